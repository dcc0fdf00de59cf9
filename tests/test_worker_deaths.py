"""Workers and schedulers that die in the midst of it: the right result, or a clear failure."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from conftest import PROJECT, Sandbox
from engines import alive, dask_cluster, needs_engine, pids_below
from servers import wait_until

from pipeline import sampledata
from pipeline.anatomy import anatomy_of
from pipeline.linear import linear_of
from pipeline.models import load_trained

pytestmark = [needs_engine, pytest.mark.slow]

ROWS, FILES = 400_000, 8
SECONDS = 120


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of client files that take some seconds."""
    folder = tmp_path_factory.mktemp("tables")
    for i in range(FILES):
        sampledata.write(folder / f"{i}.csv", sampledata.bulk(ROWS // FILES, i, 0.02))
    return folder


def linked(world: Sandbox, tables: Path) -> Sandbox:
    for path in tables.iterdir():
        os.link(path, world.root / "sourcedata" / path.name)
    return world


@pytest.fixture
def plain(tmp_path: Path, sandbox: Sandbox, tables: Path) -> Sandbox:
    """The same rows in one file, and the model that one process makes of them."""
    world = Sandbox(tmp_path / "plain", sandbox.capsys)
    (world.root / "sourcedata").mkdir(parents=True)
    (world.root / "config.json").write_bytes((sandbox.root / "config.json").read_bytes())
    linked(world, tables)
    for stage in ("ingestion", "training"):
        assert world.run(stage).code == 0
    return world


def start(world: Sandbox, stage: str, *args: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, f"{stage}.py", "--config", str(world.root / "config.json"), *args],
        cwd=PROJECT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def when(
    run: "subprocess.Popen[str]", moment: Callable[[], object], act: Callable[[], None]
) -> None:
    """Act at the first moment that something is so; fails where the run ends before."""
    while not moment():
        assert run.poll() is None, run.communicate()
        time.sleep(0.002)
    act()


def end(run: "subprocess.Popen[str]", code: int = 0) -> tuple[str, str]:
    out, err = run.communicate(timeout=SECONDS)
    assert run.returncode == code, err
    assert "Traceback" not in err
    return out, err


def pieces_begun(world: Sandbox) -> Callable[[], object]:
    return lambda: list(world.config.output_folder_path.glob(".pieces/.*.tmp"))


def pieces_finished(world: Sandbox) -> Callable[[], object]:
    return lambda: list(world.config.output_folder_path.glob(".pieces/[0-9a-f]*/task.json"))


def merging(world: Sandbox) -> Callable[[], object]:
    return lambda: list(world.config.buckets_path.glob("*.tmp"))


def has_open(pid: int, folder: Path, ending: str = "") -> Callable[[], object]:
    """Whether a process has a file in or below a folder open: it is at a part."""

    def found() -> bool:
        for number in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):  # it was closed meanwhile
                path = str(number.readlink())
                if path.startswith(f"{folder}/") and path.endswith(ending):
                    return True
        return False

    return found


def at_work(pids: list[int], seconds: float) -> Callable[[], object]:
    """Whether these processes have used so much more of a processor by now."""

    def used() -> float:
        told = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in pids]
        return sum(int(words[11]) + int(words[12]) for words in told) / 100

    before = used()
    return lambda: used() - before > seconds


def rows_of(world: Sandbox) -> bytes:
    path = world.root / "exported.csv"
    assert world.run("ingestion", "--export", str(path)).code == 0
    return path.read_bytes()


def weights(world: Sandbox) -> np.ndarray:
    trained = load_trained(world.config.output_model_path, world.config.schema)
    found = linear_of(anatomy_of(trained.model).core)
    assert found
    return np.concatenate([found.weights, [found.intercept], found.medians, found.means])


@pytest.mark.parametrize(("folder", "ending"), [(".pieces", ".parquet"), ("buckets", ".tmp")])
def test_a_worker_killed_in_ingestion_is_not_missed(
    folder: str, ending: str, sandbox: Sandbox, plain: Sandbox, tables: Path
) -> None:
    with dask_cluster(2) as cluster:
        engine = {"kind": "dask", "address": cluster.address, "buckets": 4}
        linked(sandbox, tables).configure(engine=engine)
        worker = cluster.workers[0]
        place = sandbox.config.output_folder_path / folder
        run = start(sandbox, "ingestion")
        when(run, has_open(worker.process.pid, place, ending), worker.kill)
        end(run)

        assert rows_of(sandbox) == plain.config.finaldata_path.read_bytes()
        # what it was at when it was killed goes with the next ingestion
        sandbox.write("sourcedata/next.csv", ["One more Ltd,1,2,3,0"])
        assert sandbox.run("ingestion").code == 0
    assert not list(sandbox.root.rglob("*.tmp"))


def test_a_worker_that_hangs_is_given_up_and_does_no_harm_when_it_wakes(
    sandbox: Sandbox, plain: Sandbox, tables: Path
) -> None:
    patience = {"DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL": "15s"}
    with dask_cluster(2, scheduler_env=patience) as cluster:
        engine = {"kind": "dask", "address": cluster.address, "buckets": 4}
        linked(sandbox, tables).configure(engine=engine)
        hung = cluster.workers[0].process
        run = start(sandbox, "ingestion")
        when(run, pieces_begun(sandbox), lambda: hung.send_signal(signal.SIGSTOP))
        end(run)
        assert rows_of(sandbox) == plain.config.finaldata_path.read_bytes()

        before = at_work([hung.pid], 0.2)
        hung.send_signal(signal.SIGCONT)
        wait_until(lambda: before() or hung.poll() is not None, 30)
        assert rows_of(sandbox) == plain.config.finaldata_path.read_bytes()


def test_a_worker_killed_in_training_is_not_missed(
    sandbox: Sandbox, plain: Sandbox, tables: Path
) -> None:
    with dask_cluster(2) as cluster:
        engine = {"kind": "dask", "address": cluster.address, "buckets": 4}
        linked(sandbox, tables).configure(engine=engine)
        assert sandbox.run("ingestion").code == 0
        worker = cluster.workers[0]
        busy = at_work([worker.process.pid], 0.15)
        reading = has_open(worker.process.pid, sandbox.config.buckets_path)
        run = start(sandbox, "training")
        when(run, lambda: busy() and reading(), worker.kill)
        end(run)

    np.testing.assert_allclose(weights(sandbox), weights(plain), rtol=1e-8)


@pytest.mark.parametrize(("stage", "moment"), [("ingestion", pieces_begun), ("ingestion", merging)])
def test_a_process_of_a_pool_killed_is_not_missed(
    stage: str,
    moment: Callable[[Sandbox], Callable[[], object]],
    sandbox: Sandbox,
    plain: Sandbox,
    tables: Path,
) -> None:
    linked(sandbox, tables).configure(engine={"kind": "pool", "workers": 2, "buckets": 4})
    run = start(sandbox, stage)

    def kill_one() -> None:
        os.kill(max(pids_below(run.pid)), signal.SIGKILL)  # the youngest is no server of others

    when(run, moment(sandbox), kill_one)
    _, told = end(run)

    assert "a worker died: what it was at is done again" in told
    assert rows_of(sandbox) == plain.config.finaldata_path.read_bytes()


def test_a_scheduler_killed_is_told_and_the_next_run_goes_on(
    sandbox: Sandbox, plain: Sandbox, tables: Path
) -> None:
    with dask_cluster(2) as cluster:
        engine = {"kind": "dask", "address": cluster.address, "buckets": 4}
        linked(sandbox, tables).configure(engine=engine)
        run = start(sandbox, "ingestion")
        when(run, pieces_finished(sandbox), cluster.scheduler.kill)
        out, err = end(run, 1)
        assert out == ""
        (line,) = [line for line in err.splitlines() if line.startswith("error:")]
        assert line == (
            f"error: the scheduler at {cluster.address} is gone; the next run goes on where this"
            " one stopped"
        )
    with dask_cluster(2) as cluster:
        sandbox.configure(engine={**engine, "address": cluster.address})
        _, err = end(start(sandbox, "ingestion"))
        assert "parts were finished by an earlier run" in err
        assert rows_of(sandbox) == plain.config.finaldata_path.read_bytes()


def test_a_killed_run_leaves_no_process_of_its_pool(sandbox: Sandbox, tables: Path) -> None:
    linked(sandbox, tables).configure(engine={"kind": "pool", "workers": 2, "buckets": 4})
    run = start(sandbox, "ingestion")
    when(run, pieces_begun(sandbox), lambda: None)
    below = pids_below(run.pid)
    run.kill()
    run.communicate(timeout=SECONDS)

    deadline = time.monotonic() + 20
    while any(map(alive, below)):
        assert time.monotonic() < deadline, below
        time.sleep(0.05)


def test_without_any_worker_left_the_run_says_so(sandbox: Sandbox, tables: Path) -> None:
    with dask_cluster(1) as cluster:
        engine = {"kind": "dask", "address": cluster.address, "buckets": 4}
        linked(sandbox, tables).configure(engine=engine)
        run = start(sandbox, "ingestion")
        when(run, pieces_begun(sandbox), cluster.workers[0].kill)
        _, err = end(run, 1)

    assert f"the scheduler at {cluster.address} has had no worker for 60 seconds" in err


def test_a_bucket_too_large_for_a_worker_is_refused(sandbox: Sandbox, tables: Path) -> None:
    with dask_cluster(2, memory="480MiB") as cluster:
        engine = {"kind": "dask", "address": cluster.address, "buckets": 1}
        linked(sandbox, tables).configure(engine=engine)
        _, err = end(start(sandbox, "ingestion"), 1)
        assert "error: bucket 0 would have up to 400,000 rows, for which a worker needs" in err
        assert 'put more "buckets" into config.json' in err
        assert all(worker.process.poll() is None for worker in cluster.workers)
        sandbox.configure(engine={**engine, "buckets": 16})
        end(start(sandbox, "fullprocess"))
        assert all(worker.process.poll() is None for worker in cluster.workers)
