"""A real Dask scheduler with real workers on loopback, started as an operator would.

Tests that need one carry `needs_engine`; a module that cannot even be imported without the engine's
packages imports `needsengine` first. They skip where those are missing, and fail instead if
ENGINE_TESTS is `required`, as in CI.
"""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from conftest import PROJECT
from servers import wait_until

REQUIRED = os.environ.get("ENGINE_TESTS") == "required"
MISSING = [name for name in ("pyarrow", "distributed") if find_spec(name) is None]
WHY = f"needs pipeline/requirements-dask.txt: {', '.join(MISSING)} not installed"
if MISSING and REQUIRED:
    raise RuntimeError(f"ENGINE_TESTS=required, but the engine {WHY}")
needs_engine = pytest.mark.skipif(bool(MISSING), reason=WHY)

DASK = (sys.executable, "-m", "dask")
# a scheduler or worker whose tests were killed does not stay for ever
IDLE = ("--idle-timeout", "3600s")
DEATH = ("--death-timeout", "60s")
OURS = {"PYTHONPATH": f"{PROJECT}{os.pathsep}{PROJECT / 'tests'}"}  # where workers find functions
JOINED = "Starting established connection"  # a worker's log, once it may be given work


@dataclass
class Program:
    """A scheduler or a worker, with the log that it writes."""

    process: subprocess.Popen[bytes]
    log_path: Path

    @property
    def log(self) -> str:
        return self.log_path.read_text(errors="replace")

    def await_log(self, text: str) -> re.Match[str]:
        """The first match in its log; fails where it ends before or says nothing for a minute."""
        wait_until(lambda: re.search(text, self.log) or self.process.poll() is not None, 60)
        found = re.search(text, self.log)
        assert found, self.log
        return found

    def kill(self, how: signal.Signals = signal.SIGKILL) -> None:
        """End the process that was started: with a nanny, not the worker below it."""
        self.process.send_signal(how)
        self.process.wait(30)

    def pids(self) -> list[int]:
        """The process and all that it started."""
        return [self.process.pid, *pids_below(self.process.pid)]

    def stop(self) -> None:
        """End it and all that it started, in peace if it goes at once."""
        below = pids_below(self.process.pid)
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(10)
        for pid in filter(alive, below):
            os.kill(pid, signal.SIGKILL)


@dataclass
class Cluster:
    """A scheduler and its workers."""

    folder: Path
    security: tuple[str, ...] = ()
    scheduler: Program = field(init=False)
    address: str = field(init=False)
    workers: list[Program] = field(default_factory=list)

    def start_scheduler(self, *args: str, port: int = 0, **options: Any) -> None:
        """Start the scheduler on a free port, or on this one, and wait until it answers.

        Options are `cwd` and `env`, as of `launch_worker`.
        """
        protocol = "tls" if self.security else "tcp"
        # without a dashboard there is still a page, whose usual port may be another's
        words = [*IDLE, "--no-dashboard", "--dashboard-address", "127.0.0.1:0"]
        where = ["--host", "127.0.0.1", "--port", str(port), "--protocol", protocol]
        self.scheduler = self._started(
            "scheduler", *where, *words, *self.security, *args, **options
        )
        self.address = self.scheduler.await_log(r"Scheduler at:\s+(\S+)")[1]

    def start_worker(self, *args: str, **options: Any) -> Program:
        """Start one worker and wait until the scheduler knows it; options as of `launch_worker`."""
        worker = self.launch_worker(*args, **options)
        worker.await_log(JOINED)
        return worker

    def launch_worker(
        self,
        *args: str,
        nanny: bool = False,
        threads: int = 1,
        memory: str = "1GiB",
        cwd: Path = PROJECT,
        env: Mapping[str, str] | None = None,
    ) -> Program:
        """Start one worker of so many threads; it imports the project unless `env` is given."""
        number = len(self.workers)
        words = ["--nanny" if nanny else "--no-nanny", "--nthreads", str(threads)]
        words += ["--memory-limit", memory, "--no-dashboard", "--host", "127.0.0.1", *DEATH]
        words += ["--local-directory", str(self.folder), "--name", f"worker{number}"]
        worker = self._started(
            "worker", self.address, *words, *self.security, *args, cwd=cwd, env=env
        )
        self.workers.append(worker)
        return worker

    def _started(
        self, *words: str, cwd: Path = PROJECT, env: Mapping[str, str] | None = None
    ) -> Program:
        path = self.folder / f"{words[0]}{len(self.workers)}.log"
        with path.open("wb") as log:
            process = subprocess.Popen(
                [*DASK, *words],
                cwd=cwd,
                env={**os.environ, **(OURS if env is None else env)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        return Program(process, path)

    def stop(self) -> None:
        """End all of it."""
        for program in (*self.workers, self.scheduler):
            program.stop()


@contextmanager
def dask_cluster(
    workers: int = 2,
    *,
    nanny: bool = False,
    threads: int = 1,
    memory: str = "1GiB",
    security: Sequence[str] = (),
    scheduler_cwd: Path = PROJECT,
    scheduler_env: Mapping[str, str] | None = None,
) -> Iterator[Cluster]:
    """A scheduler and so many workers, for as long as the context lasts."""
    with TemporaryDirectory(prefix="dask", ignore_cleanup_errors=True) as folder:
        cluster = Cluster(Path(folder), tuple(security))
        try:
            cluster.start_scheduler(cwd=scheduler_cwd, env=scheduler_env)
            for _ in range(workers):
                cluster.launch_worker(nanny=nanny, threads=threads, memory=memory)
            for worker in cluster.workers:
                worker.await_log(JOINED)
            yield cluster
        finally:
            cluster.stop()


def pids_below(parent: int) -> list[int]:
    """The processes that this one started, and what those started."""
    parents = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                told = (folder / "stat").read_text()
            except OSError:
                continue  # it has ended meanwhile
            parents[int(folder.name)] = int(told.rpartition(")")[2].split()[1])
    found, new = [], [parent]
    while new:
        new = [pid for pid, above in parents.items() if above in new]
        found += new
    return found


def alive(pid: int) -> bool:
    """Whether a process runs: one that has ended and waits for its parent does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
