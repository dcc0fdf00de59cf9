"""Ingestion by a pool, of which the parent or a worker is killed at random moments of each phase.

The next run makes it good: the rows of one process, no process left, nothing half-made on record.
"""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import needsengine  # noqa: F401
import pytest
from bucketworlds import bucket_names, names_on_record, pool, rows_on_record
from conftest import PROJECT, Sandbox, client_rows
from engines import alive, pids_below
from servers import interruptible

BUCKETS = 12
SECONDS = 100  # within which every run must end

# the stage, with a task for each file, however small
STAGE = """
import sys
from pipeline import bucketing
from ingestion import main
bucketing.TASK_BYTES = 1
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture
def filled(sandbox: Sandbox) -> Sandbox:
    """A project of a few thousand rows, the first of which are in buckets already."""
    sandbox.configure(engine=pool(BUCKETS))
    for number in range(10):
        rows = client_rows(number * 1500, 2000, noise=7)  # some of them in two files
        sandbox.write(f"sourcedata/{number}.csv", [*rows, "bad,x,1,2,0"])
        if number == 2:
            assert sandbox.run("ingestion").code == 0
    sandbox.write("sourcedata/refused.csv", [*client_rows(90_000, 500), *["bad,x,1,2,0"] * 400])
    return sandbox


def expected_rows() -> list[str]:
    """What one process makes of the same files."""
    rows = (row for number in range(10) for row in client_rows(number * 1500, 2000, noise=7))
    return list(dict.fromkeys(rows))


def started(world: Sandbox, *args: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", STAGE, "--config", str(world.root / "config.json"), *args],
        cwd=PROJECT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def begins_at_once(_: Sandbox) -> bool:
    return True


def cuts(world: Sandbox) -> bool:
    pieces = world.config.output_folder_path / ".pieces"
    return pieces.is_dir() and any(pieces.glob(".*.tmp"))


def merges(world: Sandbox) -> bool:
    return any(name.startswith(".") for name in bucket_names(world))


def commits(world: Sandbox) -> bool:
    """About to: every bucket has its merged file."""
    named = sum(name.endswith(".parquet") and name[0] != "." for name in bucket_names(world))
    return named >= 2 * BUCKETS


PHASES = {"start": begins_at_once, "map": cuts, "reduce": merges, "commit": commits}


def await_phase(
    world: Sandbox, process: subprocess.Popen[str], there: Callable[[Sandbox], bool]
) -> None:
    """Wait until the run is in a phase, or has ended."""
    end = time.monotonic() + SECONDS
    while process.poll() is None and not there(world):
        assert time.monotonic() < end
        time.sleep(0.001)


def in_session(leader: int) -> list[int]:
    """The processes that still run of those that one has started, told by their session."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                told = (folder / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(told[3]) == leader and told[0] != "Z":
                found.append(int(folder.name))
    return found


def none_left(leader: int) -> bool:
    end = time.monotonic() + 20
    while in_session(leader):
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def check_on_record(world: Sandbox) -> None:
    """Whatever was killed, each row on record is there once, and is one of the files'."""
    rows = rows_on_record(world)
    ((count,),) = world.query("SELECT rows FROM master")
    assert len(rows) == len(set(rows)) == count
    assert rows == expected_rows()[:count]


def check_good(world: Sandbox) -> None:
    """A run to the end leaves what one process does, and the next new file nothing half-made."""
    run_to_the_end(world)
    assert rows_on_record(world) == expected_rows()
    assert world.query("SELECT rebuilding FROM master") == [(0,)]
    assert len(world.query("SELECT 1 FROM files WHERE current AND status = 'ingested'")) == 10
    before = names_on_record(world)
    world.write("sourcedata/new.csv", client_rows(95_000, 200))
    run_to_the_end(world)
    assert rows_on_record(world) == [*expected_rows(), *client_rows(95_000, 200)]
    assert not any(world.config.output_folder_path.glob(".pieces*"))
    assert bucket_names(world) == sorted({*names_on_record(world), *before})


def run_to_the_end(world: Sandbox) -> None:
    process = started(world)
    _, err = process.communicate(timeout=SECONDS)
    assert (process.returncode, "Traceback" in err) == (0, False), err
    assert none_left(process.pid)


@pytest.mark.slow
@pytest.mark.parametrize("args", [(), ("--rebuild",)], ids=["new files", "rebuild"])
@pytest.mark.parametrize("phase", PHASES)
def test_a_run_killed_at_a_random_moment_is_made_good_by_the_next(
    filled: Sandbox, phase: str, args: tuple[str, ...]
) -> None:
    longest = {"start": 1.5, "map": 0.3, "reduce": 0.2, "commit": 0.05}[phase]
    for _ in range(2):
        process = started(filled, *args)
        await_phase(filled, process, PHASES[phase])
        time.sleep(random.random() * longest)
        process.kill()
        process.communicate()
        assert none_left(process.pid)
        assert set(names_on_record(filled)) <= set(bucket_names(filled))
        if not args:
            check_on_record(filled)
    check_good(filled)


@pytest.mark.slow
@pytest.mark.parametrize("phase", ["map", "reduce"])
def test_a_run_goes_on_when_a_worker_is_killed(filled: Sandbox, phase: str) -> None:
    process = started(filled)
    await_phase(filled, process, PHASES[phase])
    time.sleep(random.random() * 0.05)
    workers = workers_of(process.pid)
    assert workers
    os.kill(random.choice(workers), signal.SIGKILL)
    _, err = process.communicate(timeout=SECONDS)
    assert process.returncode == 0, err
    assert err.count("refused.csv is rejected") == 1
    assert err.count("7.csv: 2,001 rows") == 1
    assert none_left(process.pid)
    assert rows_on_record(filled) == expected_rows()
    check_good(filled)


def workers_of(parent: int) -> list[int]:
    """The processes that work: those below the one that forks them, which has none above."""
    direct = {pid for pid in pids_below(parent) if _parent(pid) == parent}
    return [pid for pid in pids_below(parent) if pid not in direct and alive(pid)]


def _parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


@pytest.mark.slow
@pytest.mark.parametrize("phase", ["map", "reduce"])
def test_an_interrupted_run_says_so_in_a_line(filled: Sandbox, phase: str) -> None:
    with interruptible():
        process = started(filled)
    await_phase(filled, process, PHASES[phase])
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    out, err = process.communicate(timeout=SECONDS)
    assert (process.returncode, out) == (130, ""), err
    assert err.splitlines()[-1] == "interrupted"
    assert "Traceback" not in err
    assert none_left(process.pid)
    check_good(filled)


# the stage, where no file may have more than so many bytes, as with a quota
LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
from ingestion import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("place", [".pieces", "buckets/.00000-000001-"])
def test_without_room_a_run_says_where_and_the_next_goes_on(sandbox: Sandbox, place: str) -> None:
    sandbox.configure(engine=pool(1))
    whole = place == ".pieces"  # a single file, or two whose pieces have room
    rows = [f"client{random.random()},{i},{i * 7},{i},0" for i in range(8_000)]
    for name, part in (("a", rows[:4_000]), ("b", rows[4_000:])):
        sandbox.write(f"sourcedata/{'a' if whole else name}.csv", rows if whole else part)
    program = LIMITED.replace("from ing", "from pipeline import bucketing\nfrom ing").replace(
        "sys.exit", "bucketing.TASK_BYTES = 1\nsys.exit"
    )
    told = ("--config", str(sandbox.root / "config.json"))
    done = subprocess.run(
        [sys.executable, "-c", program, *told], cwd=PROJECT, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = (line for line in done.stderr.splitlines() if " INFO " not in line)
    assert line.startswith(f"error: {sandbox.config.output_folder_path}/{place}")
    assert line.endswith(": File too large")
    assert not any(name.startswith(".") for name in bucket_names(sandbox))
    run_to_the_end(sandbox)
    assert rows_on_record(sandbox) == rows


@pytest.mark.slow
def test_workers_leave_an_interrupt_to_their_parent(filled: Sandbox) -> None:
    process = started(filled)
    await_phase(filled, process, cuts)
    for pid in set(in_session(process.pid)) - {process.pid}:
        os.kill(pid, signal.SIGINT)
    _, err = process.communicate(timeout=SECONDS)
    assert (process.returncode, "Traceback" in err, "worker died" in err) == (0, False, False), err
    assert rows_on_record(filled) == expected_rows()
