"""A pool of processes on this machine."""

import logging
import multiprocessing
import os
import resource
import signal
import sys
from collections.abc import Collection
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from multiprocessing import forkserver, resource_tracker
from pathlib import Path
from threading import Thread
from typing import Any, Self

from pipeline.engineconfig import WORKER_BYTES
from pipeline.errors import EngineError

CONTAINER = Path("/sys/fs/cgroup")  # where it sees its limits: Linux, control groups v2
SHARE = 0.7  # of the memory that is free now, for all workers together


class Pool:
    """The workers of a pool; a broken executor is replaced when the next is asked for."""

    def __init__(self, workers: int | None) -> None:
        self.workers = workers or len(os.sched_getaffinity(0))
        self.memory = max(0, _memory_for_each(self.workers) - WORKER_BYTES)
        self._executor: ProcessPoolExecutor | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._executor:
            if kind:  # nobody waits any more for what they are at
                for process in [*(getattr(self._executor, "_processes", None) or {}).values()]:
                    process.terminate()
            self._executor.shutdown(wait=True, cancel_futures=True)

    def executor(self) -> Executor:
        """The executor; processes come with the first parts."""
        if self._executor and getattr(self._executor, "_broken", False):
            self._executor.shutdown(wait=True, cancel_futures=True)
            self._executor = None
        if not self._executor:
            # not by fork: libraries have threads here, which a fork would leave half alive
            context = multiprocessing.get_context("forkserver")
            context.set_forkserver_preload(["pipeline.bucketmerge", "pipeline.pieces"])
            _start_without_interrupts()
            self._executor = ProcessPoolExecutor(self.workers, context, _begin)
        return self._executor

    def cancel(self, futures: Collection[Future[Any]]) -> None:
        """Have nobody begin what is left of a map."""
        for future in futures:
            future.cancel()

    def worked(self) -> None:
        """Nothing to note: see `check`."""

    def check(self) -> None:
        """Nothing to look at: a pool tells by itself when a process dies."""

    def told(self, error: BaseException) -> EngineError | None:  # noqa: ARG002
        """No error of a pool needs words, but those that the engine has."""
        return None


def _start_without_interrupts() -> None:
    """Start what forks the workers: neither sees Ctrl-C, which is for this process to tell."""
    resource_tracker.ensure_running()  # it changes the mask
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _begin() -> None:
    """What each worker does first."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # one who presses Ctrl-C speaks to the parent
    Thread(target=_end_with_parent, daemon=True).start()
    limit_threads()
    logging.getLogger().addHandler(logging.NullHandler())


def _end_with_parent() -> None:
    """A worker whose parent was killed would wait for work for ever."""
    parent = multiprocessing.parent_process()
    if parent:
        parent.join()
        os._exit(1)


def limit_threads() -> None:
    """One thread a worker: there is a worker for each core."""
    import pyarrow as pa
    from threadpoolctl import threadpool_limits

    threadpool_limits(1)
    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)


def _memory_for_each(workers: int) -> int:
    """The bytes that each worker may take: its share of what is free, or what it is limited to."""
    limits = [
        limit
        for kind in (resource.RLIMIT_AS, resource.RLIMIT_DATA)
        if (limit := resource.getrlimit(kind)[0]) != resource.RLIM_INFINITY
    ]
    return min([int(SHARE * _free_memory() / workers), *limits])


def _free_memory() -> int:
    """The bytes that may be taken without swapping, as the kernel estimates them."""
    told = _told(Path("/proc/meminfo"))
    if "MemAvailable:" not in told:
        return sys.maxsize  # no Linux: the system itself will say when there is too little
    return min(told["MemAvailable:"] << 10, _left_to_container(CONTAINER))


def _left_to_container(folder: Path) -> int:
    """The bytes that a container may still take; files that the kernel keeps it can drop."""
    try:
        most = (folder / "memory.max").read_text(encoding="ascii").strip()
        if most == "max":
            return sys.maxsize
        used = int((folder / "memory.current").read_text(encoding="ascii"))
    except OSError:  # not in one, or of an older kernel
        return sys.maxsize
    return max(0, int(most) - used + _told(folder / "memory.stat").get("inactive_file", 0))


def _told(path: Path) -> dict[str, int]:
    """Numbers by name, as the kernel writes them; none where there is no such file."""
    if not path.exists():
        return {}
    words = (line.split() for line in path.read_text(encoding="ascii").splitlines())
    return {word[0]: int(word[1]) for word in words}
