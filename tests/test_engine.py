"""The engine with real workers: processes of this machine, and a real cluster on loopback."""

import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread
from typing import Any, NamedTuple

import pytest
from conftest import PROJECT, Sandbox, within
from engines import alive, dask_cluster, needs_engine, pids_below
from servers import free_port, interruptible, wait_until

from pipeline.config import Config
from pipeline.engine import Engine, InProcess, open_engine
from pipeline.engineconfig import EngineConfig
from pipeline.errors import DataError, EngineError, LockHeldError

POOL = {"kind": "pool", "workers": 2}


@pytest.fixture(params=["files", "pool", "dask"])
def engine(request: pytest.FixtureRequest, sandbox: Sandbox) -> Iterator[Engine]:
    """An engine of each kind."""
    if request.param == "dask":
        sandbox.configure(engine=at(request.getfixturevalue("dask_address")))
    else:
        sandbox.configure(engine={"kind": request.param})
    with open_engine(sandbox.config) as opened:
        yield opened


def at(address: str) -> dict[str, str]:
    return {"kind": "dask", "address": address}


class Part(NamedTuple):
    """A part that leaves a trace in a folder."""

    folder: Path
    number: int


# what workers do


def doubled(number: int) -> int:
    return 2 * number


def talking(number: int) -> int:
    logging.getLogger("pipeline.talk").warning("part %d speaks", number)
    logging.getLogger("pipeline.talk").debug("not of this")
    logging.getLogger("elsewhere").warning("nor of that")
    return number


def failing(error: Exception) -> None:
    raise error


def buggy(number: int) -> float:
    return 1 / number


def swallowing(_: int) -> None:
    raise MemoryError("400 MiB")


def dying(_: int) -> None:
    os._exit(7)


def slow(part: Part) -> tuple[int, int]:
    """Half a second's work, with a trace of who did it."""
    (part.folder / f"{part.number}.{os.getpid()}").touch()
    time.sleep(0.5)
    return part.number, os.getpid()


def uneven(part: Part) -> tuple[int, int]:
    """All is done at once but for one part, so that others wait for more."""
    if part.number == 1:
        time.sleep(30)
    return slow(part)


def dying_once(part: Part) -> int:
    """A worker that dies at part 3, the first time that it is begun."""
    mark = part.folder / f"died{part.number}"
    if part.number == 3 and not mark.exists():
        mark.touch()
        os._exit(9)
    return part.number


# every kind


@needs_engine
def test_a_function_is_mapped_over_parts_in_their_order(engine: Engine) -> None:
    done: list[int] = []
    assert engine.map(doubled, [3, 1, 2, 1], done.append) == [6, 2, 4, 2]
    assert sorted(done) == [2, 2, 4, 6]
    assert engine.map(doubled, []) == []
    assert engine.workers >= 1
    assert engine.memory > 0


@needs_engine
def test_what_is_logged_there_is_told_here_once(
    engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "pipeline")
    engine.map(talking, [1, 2, 3])
    told = sorted(r.getMessage() for r in caplog.records if r.name == "pipeline.talk")
    assert told == ["part 1 speaks", "part 2 speaks", "part 3 speaks"]


@needs_engine
@pytest.mark.parametrize(
    "error", [DataError("a.csv is empty"), LockHeldError("another run"), EngineError("too small")]
)
def test_our_errors_arrive_as_they_are(engine: Engine, error: Exception) -> None:
    with pytest.raises(type(error)) as caught:
        engine.map(failing, [error])
    assert str(caught.value) == str(error)


@needs_engine
def test_a_bug_keeps_the_traceback_of_the_worker(engine: Engine) -> None:
    with pytest.raises(ZeroDivisionError) as caught:
        engine.map(buggy, [1, 0])
    texts = [str(caught.getrepr()), str(caught.value.__cause__)]
    assert any("return 1 / number" in text for text in texts)


@needs_engine
def test_after_an_error_the_engine_goes_on(engine: Engine) -> None:
    with pytest.raises(DataError):
        engine.map(failing, [DataError("bad")] * 5)
    assert engine.map(doubled, [1, 2]) == [2, 4]


@needs_engine
def test_where_memory_is_short_it_says_what_to_do(engine: Engine) -> None:
    here = isinstance(engine, InProcess)  # no worker, so no words of workers
    with pytest.raises(MemoryError if here else EngineError) as caught:
        engine.map(swallowing, [1])
    assert here or str(caught.value) == (
        'a part does not fit into the memory of a worker: more "buckets" in config.json make'
        " smaller parts (400 MiB)"
    )


@needs_engine
@pytest.mark.slow
def test_ten_thousand_parts_take_seconds(engine: Engine) -> None:
    with within(240):
        assert engine.map(doubled, range(10_000)) == [2 * number for number in range(10_000)]


# a pool


@pytest.fixture
def pooled(sandbox: Sandbox) -> Config:
    sandbox.configure(engine=POOL)
    return sandbox.config


@needs_engine
def test_a_part_whose_worker_dies_is_done_again(
    pooled: Config, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with open_engine(pooled) as engine:
        assert engine.map(dying_once, [Part(tmp_path, n) for n in range(8)]) == [*range(8)]
    assert caplog.messages == ["a worker died: what it was at is done again"]


@needs_engine
def test_a_part_that_always_kills_its_worker_is_given_up(pooled: Config) -> None:
    with within(60), open_engine(pooled) as engine:
        with pytest.raises(EngineError) as caught:
            engine.map(dying, [1])
        assert str(caught.value).startswith("workers died 3 times in a row; too little memory is")
        assert engine.map(doubled, [4]) == [8]


@needs_engine
def test_after_an_error_nobody_waits_for_what_is_being_done(pooled: Config) -> None:
    with open_engine(pooled) as engine:
        engine.map(doubled, [1, 2])  # the processes are there
    start = time.monotonic()
    with pytest.raises(DataError), open_engine(pooled) as engine:
        engine.map(long_or_failing, [30.0, None])
    assert time.monotonic() - start < 20


def long_or_failing(seconds: float | None) -> None:
    if seconds is None:
        time.sleep(1)
        raise DataError("bad")
    time.sleep(seconds)


SCRIPT = """
import sys
sys.path[:0] = [{project!r}, {tests!r}]
from pathlib import Path
from test_engine import Part, slow, uneven
from pipeline.config import load_config
from pipeline.engine import open_engine

def main():
    with open_engine(load_config({config!r})) as engine:
        print("begun", flush=True)
        parts = [Part(Path({folder!r}), n) for n in range({parts})]
        print(sorted(n for n, _ in engine.map({function}, parts)), flush=True)

if __name__ == "__main__":
    from pipeline import cli
    cli.set_up_logging(False)
    sys.exit(cli.run(lambda config, args: main(), cli.stage_parser("").parse_args([
        "--config", {config!r}])))
"""


def script(world: Sandbox, parts: int, function: str = "slow") -> str:
    """A program that maps a function over parts, of half a second each."""
    (world.root / "traces").mkdir()
    return SCRIPT.format(
        project=str(PROJECT),
        tests=str(PROJECT / "tests"),
        config=str(world.root / "config.json"),
        folder=str(world.root / "traces"),
        parts=parts,
        function=function,
    )


@contextmanager
def started(world: Sandbox, parts: int, function: str = "slow") -> Iterator[subprocess.Popen[str]]:
    """The program, once its workers have begun."""
    path = world.root / "program.py"
    path.write_text(script(world, parts, function))
    with interruptible():
        process = subprocess.Popen(
            [sys.executable, "-W", "error", str(path)],
            cwd=world.root,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    try:
        wait_until(lambda: [*(world.root / "traces").iterdir()] or process.poll() is not None, 60)
        yield process
    finally:
        process.kill()
        process.communicate()


@needs_engine
@pytest.mark.slow
@pytest.mark.parametrize("how", ["script", "-c"])
def test_it_works_from_a_script_and_from_a_line_of_code(sandbox: Sandbox, how: str) -> None:
    sandbox.configure(engine=POOL)
    text = script(sandbox, 3)
    (sandbox.root / "program.py").write_text(text)
    words = ["program.py"] if how == "script" else ["-c", text]
    done = subprocess.run(
        [sys.executable, "-W", "error", *words],
        cwd=sandbox.root,
        text=True,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "begun\n[0, 1, 2]\n", "")


@needs_engine
@pytest.mark.slow
def test_a_pool_whose_parent_is_killed_leaves_no_process(sandbox: Sandbox) -> None:
    sandbox.configure(engine=POOL)
    with started(sandbox, 100) as process:
        below = pids_below(process.pid)
        assert len(below) >= 4  # two workers, who forks them, who counts semaphores
        process.send_signal(signal.SIGKILL)
        process.wait()
        wait_until(lambda: not any(map(alive, below)), 10)


@needs_engine
@pytest.mark.slow
@pytest.mark.parametrize("kind", ["pool", "dask"])
@pytest.mark.parametrize("group", [False, True])
def test_an_interrupt_ends_it_at_once(
    sandbox: Sandbox, kind: str, group: bool, dask_address: str
) -> None:
    sandbox.configure(engine=POOL if kind == "pool" else at(dask_address))
    with started(sandbox, 100) as process:
        below = pids_below(process.pid)
        start = time.monotonic()
        if group:  # as Ctrl-C in a terminal
            os.killpg(process.pid, signal.SIGINT)
        else:
            process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
        assert (process.returncode, out, err) == (130, "begun\n", "interrupted\n")
        assert time.monotonic() - start < 10
        wait_until(lambda: not any(map(alive, below)), 10)


@needs_engine
@pytest.mark.slow
def test_an_interrupt_makes_no_noise_of_who_waits_for_work(sandbox: Sandbox) -> None:
    sandbox.configure(engine=POOL)
    with started(sandbox, 2, "uneven") as process:
        time.sleep(2)  # it has its part done
        (trace,) = (sandbox.root / "traces").iterdir()
        os.kill(int(trace.suffix[1:]), signal.SIGINT)  # it hears of it before the parent does
        time.sleep(1)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
        assert (process.returncode, out, err) == (130, "begun\n", "interrupted\n")


# a cluster


@needs_engine
@pytest.mark.slow
def test_where_nobody_answers_it_says_so(sandbox: Sandbox) -> None:
    address = f"tcp://127.0.0.1:{free_port()}"
    done = refused_by(sandbox, address)
    assert done.stdout == ""
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith(
        f'error: no scheduler answers at {address}: start one, or mend "engine.address" in'
        " config.json ("
    )


@needs_engine
@pytest.mark.slow
def test_a_host_that_is_not_there_is_told(sandbox: Sandbox) -> None:
    done = refused_by(sandbox, "tcp://nosuchhost.invalid:8786")
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: no scheduler answers at tcp://nosuchhost.invalid:8786: start")


@needs_engine
@pytest.mark.slow
@pytest.mark.parametrize("banner", [b"", b"SSH-2.0-OpenSSH_9.2\r\n", b"HTTP/1.1 400 Bad Request"])
def test_whoever_else_listens_there_is_told_from_a_scheduler(
    sandbox: Sandbox, banner: bytes
) -> None:
    visitors: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def greet() -> None:
            with suppress(OSError):
                while True:
                    visitors.append(server.accept()[0])
                    visitors[-1].sendall(banner)

        Thread(target=greet, daemon=True).start()
        try:
            address = f"tcp://127.0.0.1:{server.getsockname()[1]}"
            done = refused_by(sandbox, address)
        finally:
            server.shutdown(socket.SHUT_RDWR)
    for visitor in visitors:
        visitor.close()
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error: no scheduler answers at {address}: start one")


def refused_by(world: Sandbox, address: str) -> subprocess.CompletedProcess[str]:
    """What a program says that finds no scheduler."""
    world.configure(engine=at(address))
    start = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", script(world, 1)],
        text=True,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert time.monotonic() - start < 40
    return done


@needs_engine
@pytest.mark.slow
def test_without_a_worker_it_says_so(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.cluster.WORKERLESS_SECONDS", 2)
    with dask_cluster(0) as cluster:
        sandbox.configure(engine=at(cluster.address))
        with pytest.raises(EngineError) as caught, open_engine(sandbox.config):
            pass
    assert str(caught.value) == (
        f"the scheduler at {cluster.address} has no worker: start one on each machine"
    )


@needs_engine
@pytest.mark.slow
def test_workers_that_were_at_work_since_may_be_gone_again(
    monkeypatch: pytest.MonkeyPatch, sandbox: Sandbox
) -> None:
    from pipeline.cluster import cluster as cluster_of

    monkeypatch.setattr("pipeline.cluster.WORKERLESS_SECONDS", 1)
    with dask_cluster(1) as running:
        sandbox.configure(engine=at(running.address))
        with cluster_of(sandbox.config.engine) as crew:
            running.workers[0].kill()
            wait_until(lambda: not crew.found())
            crew.check()
            time.sleep(1.1)
            crew.worked()
            crew.check()  # since when there is nobody, counts anew
            time.sleep(1.1)
            with pytest.raises(EngineError, match="has had no worker for 1 seconds"):
                crew.check()


def test_a_container_has_what_it_is_allowed(tmp_path: Path) -> None:
    from pipeline.pool import _left_to_container

    assert _left_to_container(tmp_path) == sys.maxsize
    (tmp_path / "memory.max").write_text("max\n")
    assert _left_to_container(tmp_path) == sys.maxsize
    (tmp_path / "memory.max").write_text("1000000\n")
    (tmp_path / "memory.current").write_text("700000\n")
    assert _left_to_container(tmp_path) == 300_000
    (tmp_path / "memory.stat").write_text("anon 400000\ninactive_file 250000\n")
    assert _left_to_container(tmp_path) == 550_000


@contextmanager
def meanwhile(action: Any) -> Iterator[None]:
    """Do something in another thread, and wait for it."""
    thread = Thread(target=action)
    thread.start()
    try:
        yield
    finally:
        thread.join()


def begun(folder: Path, count: int = 1) -> None:
    wait_until(lambda: len([*folder.iterdir()]) >= count, 60)


@needs_engine
@pytest.mark.slow
@pytest.mark.parametrize("nanny", [False, True])
def test_what_a_killed_worker_was_at_is_done_again(
    sandbox: Sandbox, tmp_path: Path, nanny: bool
) -> None:
    traces = tmp_path / "traces"
    traces.mkdir()
    with dask_cluster(2, nanny=nanny) as cluster:
        sandbox.configure(engine=at(cluster.address))

        def kill() -> None:
            begun(traces, 3)
            pid = int(sorted(traces.iterdir())[0].suffix[1:])
            os.kill(pid, signal.SIGKILL)

        with within(60), open_engine(sandbox.config) as engine, meanwhile(kill):
            found = engine.map(slow, [Part(traces, n) for n in range(12)])
    assert [number for number, _ in found] == [*range(12)]


@needs_engine
@pytest.mark.slow
def test_a_worker_that_comes_later_does_its_share(sandbox: Sandbox, tmp_path: Path) -> None:
    traces = tmp_path / "traces"
    traces.mkdir()
    with dask_cluster(1) as cluster:
        sandbox.configure(engine=at(cluster.address))
        with (
            within(90),
            open_engine(sandbox.config) as engine,
            meanwhile(lambda: (begun(traces), cluster.start_worker())),
        ):
            found = engine.map(slow, [Part(traces, n) for n in range(40)])
    assert len({pid for _, pid in found}) == 2


@needs_engine
@pytest.mark.slow
def test_a_part_that_kills_every_worker_is_given_up(sandbox: Sandbox) -> None:
    with dask_cluster(2, nanny=True) as cluster:
        sandbox.configure(engine=at(cluster.address))
        with within(90), open_engine(sandbox.config) as engine:
            with pytest.raises(EngineError) as caught:
                engine.map(dying, [1])
            assert engine.map(doubled, [1]) == [2]
    assert str(caught.value).startswith("4 workers died on the same part; too little memory is")


@needs_engine
@pytest.mark.slow
def test_where_all_workers_are_gone_it_waits_and_then_says_so(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.cluster.WORKERLESS_SECONDS", 4)
    traces = tmp_path / "traces"
    traces.mkdir()
    with dask_cluster(1) as cluster:
        sandbox.configure(engine=at(cluster.address))

        killed: list[float] = []

        def kill() -> None:
            begun(traces, 10)  # after more seconds than it would wait
            cluster.workers[0].kill()
            killed.append(time.monotonic())

        with within(60), open_engine(sandbox.config) as engine, meanwhile(kill):
            with pytest.raises(EngineError) as caught:
                engine.map(slow, [Part(traces, n) for n in range(40)])
            assert time.monotonic() - killed[0] > 4
    assert str(caught.value).startswith(
        f"the scheduler at {cluster.address} has had no worker for 4 seconds: start some"
    )


@needs_engine
@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_scheduler_that_dies_ends_the_run_in_one_line(
    sandbox: Sandbox, how: signal.Signals
) -> None:
    with dask_cluster(2) as cluster:
        sandbox.configure(engine=at(cluster.address))
        with started(sandbox, 100) as process:
            cluster.scheduler.kill(how)
            start = time.monotonic()
            out, err = process.communicate(timeout=40)
            assert time.monotonic() - start < 15
    assert (process.returncode, out) == (1, "begun\n")
    assert err == (
        f"error: the scheduler at {cluster.address} is gone; the next run goes on where this one"
        " stopped\n"
    )


@needs_engine
@pytest.mark.slow
def test_a_scheduler_that_hangs_ends_the_run(sandbox: Sandbox) -> None:
    with dask_cluster(1) as cluster:
        sandbox.configure(engine=at(cluster.address))
        with started(sandbox, 100) as process:
            cluster.scheduler.process.send_signal(signal.SIGSTOP)
            try:
                _, err = process.communicate(timeout=60)
            finally:
                cluster.scheduler.process.send_signal(signal.SIGCONT)
    assert process.returncode == 1
    assert err.startswith(f"error: the scheduler at {cluster.address} is gone")
    assert len(err.splitlines()) == 1


@needs_engine
@pytest.mark.slow
def test_the_scheduler_need_not_know_the_project(sandbox: Sandbox, tmp_path: Path) -> None:
    with dask_cluster(1, scheduler_cwd=tmp_path, scheduler_env={"PYTHONPATH": ""}) as cluster:
        sandbox.configure(engine=at(cluster.address))
        with open_engine(sandbox.config) as engine:
            assert engine.map(doubled, [1, 2]) == [2, 4]
            with pytest.raises(DataError, match=r"^bad$"):
                engine.map(failing, [DataError("bad")])


@needs_engine
@pytest.mark.slow
def test_a_worker_without_the_project_is_told(sandbox: Sandbox, tmp_path: Path) -> None:
    with dask_cluster(0) as cluster:
        worker = cluster.start_worker(cwd=tmp_path, env={"PYTHONPATH": ""})
        sandbox.configure(engine=at(cluster.address))
        with open_engine(sandbox.config) as engine, pytest.raises(EngineError) as caught:
            engine.map(doubled, [1, 2])
        assert worker.process.poll() is None
    assert str(caught.value) == (
        "a worker has no pipeline: `python -m pipeline.engine --check` tells which, and what to do"
    )


@needs_engine
@pytest.mark.slow
def test_a_worker_of_several_threads_does_not_mix_up_what_is_logged(
    sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "pipeline")
    with dask_cluster(1, threads=4) as cluster:
        sandbox.configure(engine=at(cluster.address))
        with open_engine(sandbox.config) as engine:
            engine.map(talking_slowly, [*range(20)])
    told = sorted(r.getMessage() for r in caplog.records if r.name == "pipeline.talk")
    assert told == sorted(f"part {n} speaks" for n in range(20))


def talking_slowly(number: int) -> int:
    time.sleep(0.05)
    talking(number)
    time.sleep(0.05)
    return number


@needs_engine
@pytest.mark.slow
def test_other_versions_on_the_cluster_are_told_in_a_line(
    sandbox: Sandbox, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "toolz-0.0.1.dist-info").mkdir()
    told = "Metadata-Version: 2.1\nName: toolz\nVersion: 0.0.1\n"
    (tmp_path / "toolz-0.0.1.dist-info/METADATA").write_text(told)
    path = f"{tmp_path}{os.pathsep}{PROJECT}{os.pathsep}{PROJECT / 'tests'}"
    with dask_cluster(0) as cluster:
        cluster.start_worker(env={"PYTHONPATH": path})
        sandbox.configure(engine=at(cluster.address))
        with open_engine(sandbox.config) as engine:
            assert engine.map(doubled, [1]) == [2]
    assert caplog.messages == [
        "not all versions of packages are the same on the cluster: `python -m pipeline.engine"
        " --check` tells which"
    ]


def test_without_the_packages_it_says_which_are_needed(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    sandbox.configure(engine=at("tcp://127.0.0.1:9"))
    with pytest.raises(EngineError) as caught, open_engine(sandbox.config):
        pass
    assert str(caught.value).startswith(
        '"engine": "dask" needs more packages: pip install -r pipeline/requirements-dask.txt ('
    )


def test_the_engine_of_files_is_this_process(sandbox: Sandbox) -> None:
    assert sandbox.config.engine == EngineConfig()
    with open_engine(sandbox.config) as engine:
        assert isinstance(engine, InProcess)
