import hashlib
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from replaced_files import REPLACED
from sandbox import HEADER, Sandbox, client_rows

from pipeline.data import loader
from pipeline.data.csv_reader import BadRow
from pipeline.data.input_files import UNREAD, FoundFile, list_input
from pipeline.data.loader import ListedFile, TakenFile, no_progress, read_apart, take_in
from pipeline.observations.master_writer import MasterWriter

KNOWN = "known,1,2,3,0"


@pytest.fixture
def master(sandbox: Sandbox) -> Iterator[MasterWriter]:
    config = sandbox.config
    with MasterWriter(config.finaldata_path, config.schema) as opened:
        opened.append([KNOWN.encode()])
        opened.accept(1, "known.csv", "", [])
        yield opened


def found(world: Sandbox, name: str) -> FoundFile:
    (file,) = (f for f in list_input(world.root / "sourcedata") if f.name == name)
    return file


def written(world: Sandbox, rows: list[str] | str) -> FoundFile:
    world.write("sourcedata/a.csv", rows)
    return found(world, "a.csv")


def taken_in(world: Sandbox, file: FoundFile, master: MasterWriter) -> TakenFile | None:
    return take_in(world.config.schema, file, 2, master)


def rows_of(master: MasterWriter) -> list[str]:
    master.save()
    return master.path.read_text().splitlines()[1:]


@contextmanager
def forbidden(path: Path) -> Iterator[None]:
    """Nobody may read a file, not even root while this lasts."""
    path.chmod(0)
    if os.geteuid() == 0:
        os.seteuid(65534)
        try:
            yield
        finally:
            os.seteuid(0)
    else:
        yield


def test_what_was_taken_in_is_reported_whole(sandbox: Sandbox, master: MasterWriter) -> None:
    file = written(sandbox, [KNOWN, *client_rows(0, 10), "x,y,2,3,0"])
    log_at = master._log.size
    assert taken_in(sandbox, file, master) == TakenFile(
        id=2,
        name="a.csv",
        size=file.path.stat().st_size,
        mtime_ns=file.path.stat().st_mtime_ns,
        sha256=hashlib.sha256(file.path.read_bytes()).hexdigest(),
        reason=None,
        rows=12,
        added=10,
        duplicates=1,
        start_row=1,
        end_row=11,
        log_at=log_at,
        bad_rows=(BadRow(13, "lastmonth_activity 'y' is not a number", "x,y,2,3,0"),),
        ctime_ns=file.path.stat().st_ctime_ns,
    )
    assert rows_of(master) == [KNOWN, *client_rows(0, 10)]


def test_of_a_rejected_file_nothing_is_kept(sandbox: Sandbox, master: MasterWriter) -> None:
    file = written(sandbox, [*client_rows(0, 5), "x,y,2,3,0"])
    taken = taken_in(sandbox, file, master)
    assert taken == TakenFile(
        id=2,
        name="a.csv",
        size=file.size,
        mtime_ns=file.mtime_ns,
        sha256=hashlib.sha256(file.path.read_bytes()).hexdigest(),
        reason="has too many bad rows: 1 of 6, more than a tenth (line 7: lastmonth_activity 'y'"
        " is not a number)",
        rows=6,
        ctime_ns=file.ctime_ns,
        schema=sandbox.config.schema.text,
    )
    assert rows_of(master) == [KNOWN]


def test_rows_of_a_rejected_file_may_come_in_another_one(
    sandbox: Sandbox, master: MasterWriter
) -> None:
    taken_in(sandbox, written(sandbox, [*client_rows(0, 5), "x,y,2,3,0"]), master)
    taken = taken_in(sandbox, written(sandbox, client_rows(3, 5)), master)
    assert taken
    assert (taken.added, taken.duplicates) == (5, 0)
    assert rows_of(master) == [KNOWN, *client_rows(3, 5)]


@pytest.mark.parametrize("target", ["plain.csv", "nowhere.csv", "/etc/passwd"])
def test_a_link_is_rejected(sandbox: Sandbox, master: MasterWriter, target: str) -> None:
    sandbox.write("sourcedata/plain.csv", client_rows(0, 5))
    (sandbox.root / "sourcedata/a.csv").symlink_to(target)
    taken = taken_in(sandbox, found(sandbox, "a.csv"), master)
    assert taken
    assert taken.sha256 == UNREAD
    assert taken.reason == "is a link or a special file; expected the file itself"
    assert rows_of(master) == [KNOWN]


def test_a_pipe_is_rejected_and_blocks_nothing(sandbox: Sandbox, master: MasterWriter) -> None:
    os.mkfifo(sandbox.root / "sourcedata/a.csv")
    taken = taken_in(sandbox, found(sandbox, "a.csv"), master)
    assert taken
    assert taken.reason == "is a link or a special file; expected the file itself"


def test_a_file_that_may_not_be_read_is_rejected(sandbox: Sandbox, master: MasterWriter) -> None:
    schema, file = sandbox.config.schema, written(sandbox, client_rows(0, 5))
    with forbidden(file.path):
        taken = take_in(schema, file, 2, master)
    assert taken
    assert (taken.sha256, taken.reason) == (UNREAD, "cannot be read: this user has no permission")


def waits(
    world: Sandbox, file: FoundFile, master: MasterWriter, caplog: pytest.LogCaptureFixture
) -> str:
    """Why a file has to wait for the next run, of which nothing is kept until then."""
    assert taken_in(world, file, master) is None
    assert rows_of(master) == [KNOWN]
    assert master.rows == 1
    return caplog.messages[-1]


def test_a_file_that_changes_while_it_is_read_waits(
    sandbox: Sandbox, master: MasterWriter, caplog: pytest.LogCaptureFixture
) -> None:
    file = written(sandbox, client_rows(0, 5))
    for older in (replace(file, size=file.size - 1), replace(file, mtime_ns=file.mtime_ns - 1)):
        assert waits(sandbox, older, master, caplog) == (
            "a.csv changed while it was read: left for the next run"
        )


@pytest.mark.parametrize(("change", "why"), REPLACED.values(), ids=REPLACED)
def test_a_file_that_is_replaced_after_it_was_listed_waits(
    sandbox: Sandbox,
    master: MasterWriter,
    caplog: pytest.LogCaptureFixture,
    change: Callable[[Path], None],
    why: str,
) -> None:
    file = written(sandbox, client_rows(0, 5))
    file.path.unlink()
    change(file.path)
    assert waits(sandbox, file, master, caplog) == f"a.csv {why}: left for the next run"


def test_a_file_that_grows_as_fast_as_it_is_read_waits(
    sandbox: Sandbox, master: MasterWriter, caplog: pytest.LogCaptureFixture
) -> None:
    file = written(sandbox, client_rows(0, 5))
    os.truncate(file.path, 2**40)  # more than could ever be read
    assert waits(sandbox, file, master, caplog) == (
        "a.csv changed while it was read: left for the next run"
    )


@pytest.mark.parametrize(
    ("encoding", "end"), [("utf-8", "\n"), ("utf-8", "\r"), ("utf-16-le", "\r\n"), ("utf-16", "\n")]
)
def test_of_a_file_that_never_ends_the_whole_lines_as_listed_go_in(
    sandbox: Sandbox, master: MasterWriter, encoding: str, end: str
) -> None:
    path = sandbox.root / "sourcedata/a.csv"
    whole = end.join([HEADER, "a,1,2,3,0", "b,1,2,3,1", ""]).encode(encoding)
    path.write_bytes(whole + "cli".encode(encoding.replace("16", "16-le").replace("le-le", "le")))
    file = replace(found(sandbox, "a.csv"), overdue=True)
    with path.open("ab") as writer:
        writer.write(f"ent,1,2,3,0{end}c".encode())
    taken = taken_in(sandbox, file, master)
    assert taken
    assert (taken.size, taken.added, taken.unfinished) == (len(whole), 2, True)
    assert taken.sha256 == hashlib.sha256(whole).hexdigest()
    assert rows_of(master) == [KNOWN, "a,1,2,3,0", "b,1,2,3,1"]


def test_what_has_to_be_whole_waits_on(
    sandbox: Sandbox, master: MasterWriter, caplog: pytest.LogCaptureFixture
) -> None:
    file = replace(written(sandbox, f"{HEADER}\na,1"), overdue=True)
    path = file.path.rename(file.path.with_suffix(".csv.gz"))
    assert "does not end" in waits(sandbox, replace(file, path=path), master, caplog)
    path.rename(file.path)
    assert take_in(replace(sandbox.config.schema, snapshots=True), file, 2, master) is None


def test_a_file_that_never_ends_and_became_shorter_waits(
    sandbox: Sandbox, master: MasterWriter, caplog: pytest.LogCaptureFixture
) -> None:
    file = replace(written(sandbox, client_rows(0, 5)), overdue=True)
    os.truncate(file.path, 100)
    assert "changed while it was read" in waits(sandbox, file, master, caplog)


def test_a_file_that_a_disk_cannot_give_back_waits(
    sandbox: Sandbox, master: MasterWriter, caplog: pytest.LogCaptureFixture
) -> None:
    broken = FoundFile(Path("/proc/self/mem"), 100, 0, 0)  # reading its first byte is an I/O error
    assert waits(sandbox, broken, master, caplog) == (
        "mem cannot be read: Input/output error: left for the next run"
    )


@pytest.mark.parametrize("text", ["", HEADER, f"{HEADER}\na,1,2,3,0\nb,1,2,3,1"])
def test_a_file_that_is_still_being_copied_waits(
    sandbox: Sandbox, master: MasterWriter, caplog: pytest.LogCaptureFixture, text: str
) -> None:
    assert waits(sandbox, written(sandbox, text), master, caplog) == (
        "a.csv does not end with a line end and changed within the last minute:"
        " left for the next run"
    )


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_file_that_ends_with_a_line_end_does_not_wait(
    sandbox: Sandbox, master: MasterWriter, end: str
) -> None:
    (sandbox.root / "sourcedata/a.csv").write_bytes(f"{HEADER}{end}a,1,2,3,0{end}".encode())
    assert taken_in(sandbox, found(sandbox, "a.csv"), master)
    assert rows_of(master) == [KNOWN, "a,1,2,3,0"]


def test_a_file_that_was_left_alone_for_a_minute_does_not_wait(
    sandbox: Sandbox, master: MasterWriter
) -> None:
    path = written(sandbox, f"{HEADER}\na,1,2,3,0").path
    os.utime(path, (0, time.time() - 61))
    assert taken_in(sandbox, found(sandbox, "a.csv"), master)
    assert rows_of(master) == [KNOWN, "a,1,2,3,0"]


def test_a_clock_that_is_a_little_ahead_makes_no_file_an_old_one(
    sandbox: Sandbox, master: MasterWriter, caplog: pytest.LogCaptureFixture
) -> None:
    path = written(sandbox, f"{HEADER}\na,1,2,3,0").path
    os.utime(path, (0, time.time() + 30))
    assert "does not end with a line end" in waits(sandbox, found(sandbox, "a.csv"), master, caplog)


def test_the_bytes_that_were_read_are_the_bytes_that_were_digested(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"old" * 10_000)
    with ListedFile(FoundFile(path, 30_000, 0, 0), no_progress) as file:
        first = bytearray(300)
        file.readinto(first)
        path.write_bytes(b"new" * 10_000)
        assert file.digest_rest() == hashlib.sha256(first + b"new" * 9_900).hexdigest()


def test_apart_a_file_that_is_read_twice_hands_on_its_rows_once(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loader, "BATCH_ROWS", 2)
    rows = ["x,1.5,2,3,0"] * 5 + ['y,"1,234.5",2,3,1']
    with read_apart(written(sandbox, rows), sandbox.config.schema) as (read, lines):
        assert read.file
        assert read.file.rows == 6
        handed = [line.decode() for _, batch in lines.batches() for line in batch]
    assert handed == [*rows[:5], "y,1234.5,2,3,1"]
