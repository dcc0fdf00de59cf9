"""Other people's files: none crashes or blocks a run, or touches a good row beside it."""

import csv
import io
import json
import logging
import os
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from faulty_tables import FAULTS, PLAIN, ROWS, wide
from hypothesis import HealthCheck, given, settings
from malformed import malformed
from replaced_files import link_to, socket_at
from sandbox import HEADER, Result, Sandbox, client_rows, within
from stagecalls import ingest

from pipeline.core.config import PATH_KEYS, Config, load_config
from pipeline.core.schema import DEFAULT_SCHEMA
from pipeline.data.frames import frame_of
from pipeline.stages.ingestion import ingestion_lines
from pipeline.storage.history import open_history

FIRST, LAST = client_rows(0, 20), client_rows(50, 20)  # the good files beside the bad one
SPECIAL = "is a link or a special file; expected the file itself"
IN_MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None  # no disk to wait for


@pytest.fixture
def world(sandbox: Sandbox) -> Iterator[Sandbox]:
    """A project with two good files, between which bad ones come; each test has its time limit."""
    aged(sandbox.write("sourcedata/a.csv", FIRST), 300)
    sandbox.write("sourcedata/z.csv", LAST)
    with within(600):
        yield sandbox


def aged(path: Path, seconds: float = 120) -> Path:
    """Let a file's last change be so long ago that it cannot still be being copied."""
    then = time.time() - seconds
    os.utime(path, (then, then))
    return path


def put(world: Sandbox, content: bytes | str, name: str = "m.csv") -> Path:
    path = world.root / "sourcedata" / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return aged(path)


def finaldata(world: Sandbox) -> list[str]:
    lines = world.config.finaldata_path.read_bytes().decode().split("\n")
    assert (lines[0], lines[-1]) == (HEADER, "")
    return lines[1:-1]


def set_aside(world: Sandbox) -> list[list[str]]:
    path = world.config.rejectedrows_path
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file, strict=True))[1:]


def ingested(world: Sandbox) -> Result:
    """Ingest twice: the first tells all, the second tells nothing and changes nothing."""
    first = world.run("ingestion")
    assert (first.code, "Traceback" in first.err) == (0, False), first.err
    before = world.files(), world.stamps()
    second = world.run("ingestion")
    assert (second.code, second.out, second.err) == (0, "nothing new in sourcedata\n", "")
    after = world.files(), world.stamps()
    for known in (*before, *after):
        known.pop("history.db", None)  # the second run is on record
    assert after == before
    return first


def warnings_of(result: Result) -> list[str]:
    """What is reported beyond the usual, without its time."""
    lines = [line.split(" ", 1)[1] for line in result.err.splitlines()]
    return [line for line in lines if not line.startswith("INFO ")]


def assert_rejected(world: Sandbox, reasons: dict[str, str]) -> None:
    """Some files are rejected, each reported once with one reason; the good go in unchanged."""
    result = ingested(world)
    assert result.out.splitlines() == [
        "a.csv: 20 new of 20 rows",
        *[f"{name}: rejected: it {reason}" for name, reason in reasons.items()],
        "z.csv: 20 new of 20 rows",
        "ingesteddata/finaldata.csv: 40 rows",
    ]
    assert warnings_of(result) == [
        f"WARNING pipeline.data.loader: {name} is rejected: it {reason}"
        for name, reason in reasons.items()
    ]
    assert finaldata(world) == FIRST + LAST
    assert set_aside(world) == []


def test_what_is_no_client_table_is_rejected_for_one_reason(world: Sandbox) -> None:
    reasons = {}
    for i, (kind, (content, reason)) in enumerate(FAULTS.items()):
        name = f"m{i:02d} {kind}.csv"
        put(world, content, name)
        reasons[name] = reason
    assert_rejected(world, reasons)


def test_columns_left_out_are_reported_on_one_short_line(world: Sandbox) -> None:
    put(world, "".join(f'"{name}\n",{wide(line)}\n' for name, line in [("a", HEADER)]))
    put(world, wide(HEADER).replace("x", "a\tb", 1) + "\n" + wide(ROWS[0]) + "\n")
    (line,) = [line for line in ingested(world).err.splitlines() if "left out" in line]
    assert line.endswith(
        " INFO pipeline.data.loader: m.csv: left out columns: 'a\\tb', x, x, x, x, x, x, x, x, x,"
        " x, x and 9,983 more"
    )


# --- large files, and those that are none ---


@pytest.mark.slow
def test_a_file_of_bad_rows_takes_little_memory(world: Sandbox) -> None:
    row = f"{'a' * 50_000},x,2,3,0\n"
    with (world.root / "sourcedata/m.csv").open("w") as file:
        file.write(f"{HEADER}\n")
        file.writelines([row] * 20_000)  # 1 GB
    aged(world.root / "sourcedata/m.csv")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with within(600):
        result = world.run("ingestion")
    assert "m.csv: rejected: it has too many bad rows: 20,000 of 20,000" in result.out
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak < 150_000  # KiB


STRANGE: dict[str, Callable[[Path], None]] = {
    "m link out of the folder.csv": link_to("../testdata/testdata.csv"),
    "m link to another user's file.csv": link_to("/etc/passwd"),
    "m link that leads nowhere.csv": link_to("nowhere.csv"),
    "m link to itself.csv": link_to("m link to itself.csv"),
    "m link to a folder.csv": link_to("../testdata"),
    "m link within the folder.csv": link_to("a.csv"),
    "m link to a device.csv": link_to("/dev/zero"),
    "m pipe.csv": os.mkfifo,
    "m socket.csv": socket_at,
}


def test_what_is_no_plain_file_is_rejected_once(world: Sandbox) -> None:
    then = time.time() - 200
    for name, make in STRANGE.items():
        path = world.root / "sourcedata" / name
        make(path)
        os.utime(path, (then, then), follow_symlinks=False)
    assert_rejected(world, dict.fromkeys(sorted(STRANGE), SPECIAL))


# --- names of files ---

FILE_NAMES = {
    "not UTF-8": (b"m\xfcller.csv", "m\\xfcller.csv"),
    "a line end": (b"m\nINFO all is well.csv", "m\\u000aINFO all is well.csv"),
    "a carriage return": (b"m\r.csv", "m\\u000d.csv"),
    "an escape sequence": (b"m\x1b[2J.csv", "m\\u001b[2J.csv"),
    "another line end": ("m\u2028.csv".encode(), "m\\u2028.csv"),
    "a backslash": (b"m\\n.csv", "m\\\\n.csv"),
    "double quotes": (b'"m".csv', '"m".csv'),
    "a comma": (b"m,n.csv", "m,n.csv"),
    "a formula": (b"=cmd|'calc'!A1.csv", "=cmd|'calc'!A1.csv"),
    "an option": (b"--rebuild.csv", "--rebuild.csv"),
    "a format": (b"m%s%n.csv", "m%s%n.csv"),
    "capitals": (b"M.CSV", "M.CSV"),
    "not ASCII": ("m株式🙂.csv".encode(), "m株式🙂.csv"),
    "255 bytes": (b"m" * 251 + b".csv", "m" * 251 + ".csv"),
}


def test_a_file_of_any_name_goes_in_and_is_reported_on_one_line(world: Sandbox) -> None:
    for i, (raw, _) in enumerate(FILE_NAMES.values()):
        rows = client_rows(2000 + 100 * i, 20)
        put(world, "\n".join([HEADER, *rows, f"bad{i},x,2,3,0"]) + "\n", os.fsdecode(raw))
    result = ingested(world)
    names = [name for _, name in FILE_NAMES.values()]
    for name in names:
        assert f"{name}: 20 new of 21 rows, 1 set aside" in result.out.split("\n")
        assert f"{name}: 21 rows: 20 new, 0 already known, 1 set aside\n" in result.err
    assert len(finaldata(world)) == 40 + 20 * len(names)
    found = [row[0] for row in set_aside(world)]
    assert sorted(found) == sorted(f"'{name}" if name[0] in "=-" else name for name in names)
    recorded = json.loads(world.config.ingestedfiles_path.read_text())
    assert sorted(recorded) == sorted(["a.csv", *names, "z.csv"])


def test_a_full_disk_is_not_taken_for_a_fault_of_the_file(world: Sandbox) -> None:
    put(world, "\n".join([HEADER, *client_rows(1000, 30_000)]) + "\n")
    (world.root / "sourcedata/m.csv").rename(world.root / "m.csv")
    ingested(world)
    (world.root / "m.csv").rename(world.root / "sourcedata/m.csv")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, before[1]))
    try:
        result = world.run("ingestion")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert (result.code, result.out) == (1, "")
    assert "left for the next run" not in result.err
    assert "File too large" in result.err
    assert world.run("ingestion").out.startswith("m.csv: 30,000 new of 30,000 rows\n")


# --- files that are still being copied ---

HALF = "\n".join([HEADER, *ROWS[:10], ROWS[10][:7]])


def test_a_file_that_is_still_being_copied_waits_and_then_goes_in(world: Sandbox) -> None:
    path = put(world, HALF)
    aged(path, 0)
    first = world.run("ingestion")
    assert first.out.splitlines()[:2] == ["a.csv: 20 new of 20 rows", "z.csv: 20 new of 20 rows"]
    assert first.err.count("m.csv") == 1
    assert (
        "WARNING pipeline.storage.input_checks: m.csv does not end with a line end and changed"
        in first.err
    )
    assert finaldata(world) == FIRST + LAST

    path.write_text(PLAIN)

    assert ingested(world).out.startswith("m.csv: 20 new of 20 rows\n")
    assert finaldata(world) == FIRST + LAST + ROWS


def test_a_file_that_is_always_being_written_goes_in_after_an_hour_as_far_as_it_is(
    world: Sandbox,
) -> None:
    path = aged(put(world, HALF), 0)

    def run(seconds_later: float = 0) -> str:
        with open_history(world.config.history_path) as history, history.transaction():
            history.query(
                "UPDATE told SET what = CAST(CAST(what AS INTEGER) - ? AS TEXT)"
                " WHERE kind = 'unfinished'",
                seconds_later,
            )
        aged(path, 0)
        return world.run("ingestion").err

    assert "does not end with a line end" in world.run("ingestion").err
    assert "m.csv" not in run(3590)
    assert finaldata(world) == FIRST + LAST
    text = "m.csv is written to without pause: its whole lines so far are taken in"
    assert text in run(20)
    assert finaldata(world) == FIRST + LAST + ROWS[:10]
    path.write_text("\n".join([HEADER, *ROWS[:15], "cl"]))
    assert "m.csv: 15 rows: 5 new, 10 already known" in run()
    path.write_text(PLAIN[:-1])
    aged(path)
    ingested(world)
    assert finaldata(world) == FIRST + LAST + ROWS
    assert world.query("SELECT count(*) FROM told") == [(0,)]


# --- the whole chain ---


def test_the_chain_goes_on_among_bad_files(settled: Sandbox) -> None:
    for i, (content, _) in enumerate(FAULTS.values()):
        put(settled, content, f"m{i:02d}.csv")
    os.mkfifo(settled.root / "sourcedata/mfifo.csv")
    settled.write("sourcedata/c.csv", [*client_rows(300, 60), "huge,1e308,1,1,1", "a,b,c,d,e"])
    with within(600):
        result = settled.run("fullprocess")
    assert (result.code, "Traceback" in result.err) == (0, False)
    assert "c.csv: 60 new of 62 rows, 2 set aside\n" in result.out
    assert settled.run("fullprocess").out == "nothing new in sourcedata\n"


# --- any file at all ---

CELL_STARTS = ("=", "+", "-", "@", "\t", "\r")  # of formulas


@contextmanager
def heard() -> Iterator[list[str]]:
    """What is logged meanwhile."""
    handler, messages = logging.Handler(), list[str]()
    handler.emit = lambda record: messages.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("pipeline")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield messages
    finally:
        logger.removeHandler(handler)
        logger.setLevel(logging.NOTSET)


def config_of(root: Path, files: dict[str, bytes]) -> Config:
    """A project with these client files, none of them still being copied."""
    folders = dict(zip(PATH_KEYS, ("sourcedata", *"otmp"), strict=True))
    (root / "config.json").write_text(json.dumps(folders))
    (root / "sourcedata").mkdir()
    for name, content in sorted(files.items()):
        (root / "sourcedata" / name).write_bytes(content)
        aged(root / "sourcedata" / name)
    return load_config(root / "config.json")


def state(config: Config) -> dict[Path, tuple[bytes, int]]:
    """The files that an ingestion writes, but for the history."""
    paths = (config.finaldata_path, config.ingestedfiles_path, config.rejectedrows_path)
    return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in paths if path.exists()}


def check_any_file(content: bytes) -> bool:
    """Ingest a file between two good ones and hold every promise; whether it had any fault."""
    good = {name: "\n".join([HEADER, *rows, ""]).encode() for name, rows in BESIDE.items()}
    with tempfile.TemporaryDirectory(dir=IN_MEMORY) as folder, within(600), heard() as messages:
        config = config_of(Path(folder), {**good, "m.csv": content})
        first = ingest(config)
        lines = ingestion_lines(config, first)
        before = state(config)
        second = ingest(config)
        assert (second.files, state(config)) == ((), before)
        a, m, z = first.files
        assert [(f.name, f.reason, f.rows, f.added) for f in (a, z)] == [
            ("a.csv", None, 20, 20),
            ("z.csv", None, 20, 20),
        ]
        middle = finaldata_between(config)
        assert len(middle) == m.added
        assert all(len(line.splitlines()) == 1 for line in (*lines, *messages))
        rejected = list(csv.reader(rejected_text(config), strict=True))[1:]
        assert len(rejected) == len(m.bad_rows)
        assert not any(cell.startswith(CELL_STARTS) for row in rejected for cell in row)
        if m.reason is None:
            assert m.added + m.duplicates + len(m.bad_rows) == m.rows
            assert intact_rows(content) <= set(middle)
        else:
            assert (m.added, m.duplicates, m.bad_rows) == (0, 0, ())
            assert 0 < len(m.reason) < 1000
            assert sum("m.csv" in line for line in lines) == 1
    return m.reason is not None or bool(m.bad_rows)


BESIDE = {"a.csv": FIRST, "z.csv": LAST}


def finaldata_between(config: Config) -> list[str]:
    """What lies between the rows of the good files, every one of them a whole canonical row."""
    text = config.finaldata_path.read_bytes().decode()
    lines = text.split("\n")
    assert (lines[0], lines[-1]) == (HEADER, "")
    assert (lines[1:21], lines[-21:-1]) == (FIRST, LAST)
    rows = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    assert len(rows) == len(lines) - 1 == len(set(lines)) - 1
    for row in rows[1:]:
        forms = map(DEFAULT_SCHEMA.canonical, DEFAULT_SCHEMA.columns)
        assert [form(value) for form, value in zip(forms, row, strict=True)] == row
    frame = frame_of(config.finaldata_path, DEFAULT_SCHEMA, DEFAULT_SCHEMA.columns)
    assert frame.columns.tolist() == rows[0]
    assert frame["corporation"].tolist() == [row[0] for row in rows[1:]]
    return lines[21:-21]


def rejected_text(config: Config) -> io.StringIO:
    path = config.rejectedrows_path
    return io.StringIO(path.read_bytes().decode() if path.exists() else "", newline="")


def intact_rows(content: bytes) -> set[str]:
    """The rows that nothing happened to, as far as that shows without reading quotes."""
    text = content.decode(errors="replace").removeprefix("\ufeff")
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return set() if lines[0] != HEADER else set(lines) & set(ROWS)


def check_any_files(count: int) -> int:
    """Check so many files; returns how many of them had a fault."""
    faulty = 0

    @settings(
        max_examples=count,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    @given(malformed())
    def check(content: bytes) -> None:
        nonlocal faulty
        faulty += check_any_file(content)

    check()
    return faulty


def test_no_file_breaks_a_promise() -> None:
    assert check_any_files(60) > 40


@pytest.mark.slow
def test_none_of_a_thousand_malformed_files_breaks_a_promise() -> None:
    assert check_any_files(2000) >= 1500
