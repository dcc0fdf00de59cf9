"""One room for what works on the client rows: stages ask it to map a function over parts.

The same functions run in this process, in a pool of processes on this machine, or on a cluster.
Run it by hand to learn whether engine, workers, versions and shared folders fit together:

    python -m pipeline.engine --check
"""

import logging
import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future
from contextlib import contextmanager
from queue import Empty, SimpleQueue
from typing import Any, Protocol, TypeVar

from pipeline.config import Config
from pipeline.engineconfig import DASK, EXTRA, FILES
from pipeline.errors import EngineError
from pipeline.overheard import Heard, packed, tell, unpacked

log = logging.getLogger(__name__)

P = TypeVar("P")
R = TypeVar("R")

MOST_LOSSES = 3  # of workers, one after the other, without any part done in between
PATIENCE = 2.0  # seconds between two looks at whether anybody is still at work


class Engine(Protocol):
    """Maps functions over parts.

    `workers` is how many parts it does at a time, `memory` how many bytes a part may take.
    """

    workers: int
    memory: int

    def map(
        self, function: Callable[[P], R], parts: Sequence[P], done: Callable[[R], object] = id
    ) -> list[R]:
        """What the function makes of each part, in their order; `done` is told each as it comes.

        A part may be begun more than once, if a worker dies: functions must not mind. Raises what
        the function raises, and `EngineError` where nobody is left to work.
        """


class InProcess:
    """Does one part after the other, here."""

    workers = 1
    memory = sys.maxsize

    def map(
        self, function: Callable[[P], R], parts: Sequence[P], done: Callable[[R], object] = id
    ) -> list[R]:
        """What the function makes of each part."""
        found = []
        for part in parts:
            found.append(function(part))
            done(found[-1])
        return found


class Crew(Protocol):
    """Workers behind an executor of `concurrent.futures`."""

    workers: int
    memory: int

    def executor(self) -> Executor:
        """The executor, a new one if the last is broken."""

    def cancel(self, futures: Collection[Future[Any]]) -> None:
        """Have nobody begin what is left of a map."""

    def worked(self) -> None:
        """Be told that a part was done."""

    def check(self) -> None:
        """Raise `EngineError` if nobody is left to work."""

    def told(self, error: BaseException) -> EngineError | None:
        """What an error of the executor means; None if it is the function's own."""


class Crewed:
    """An engine on a crew: parts of workers that die are done again by others."""

    def __init__(self, crew: Crew) -> None:
        self._crew = crew
        self.workers, self.memory = crew.workers, crew.memory

    def map(
        self, function: Callable[[P], R], parts: Sequence[P], done: Callable[[R], object] = id
    ) -> list[R]:
        """What the function makes of each part."""
        found: dict[int, R] = {}
        losses = 0
        while len(found) < len(parts):
            before = len(found)
            try:
                for place, result in self._results(function, parts, found):
                    found[place] = result
                    done(result)
            except BrokenExecutor as error:
                losses = 1 if len(found) > before else losses + 1
                if losses >= MOST_LOSSES:
                    raise EngineError(
                        f"workers died {losses} times in a row; too little memory is the usual"
                        ' reason: more "buckets" in config.json make smaller parts'
                    ) from error
                log.warning("a worker died: what it was at is done again")
        return [found[place] for place in range(len(parts))]

    def _results(
        self, function: Callable[[P], R], parts: Sequence[P], found: dict[int, R]
    ) -> Iterator[tuple[int, R]]:
        """The results of the parts that are not found yet, as they come."""
        left: dict[Future[Heard[R]], int] = {}
        # each comes by itself: to look through thousands for the next takes as long as its work
        ended: SimpleQueue[Future[Heard[R]]] = SimpleQueue()
        try:
            with self._meant():
                executor = self._crew.executor()
                for place, part in enumerate(parts):
                    if place not in found:
                        future = executor.submit(unpacked, packed(function, part))
                        left[future] = place
                        future.add_done_callback(ended.put)
            while left:
                try:
                    future = ended.get(timeout=PATIENCE)
                except Empty:
                    self._crew.check()
                    continue
                with self._meant():
                    heard = future.result()
                self._crew.worked()
                yield left.pop(future), tell(heard)
        finally:
            self._crew.cancel(left)

    @contextmanager
    def _meant(self) -> Iterator[None]:
        """Errors of the executor in our words; those of a function as they are."""
        try:
            yield
        except BrokenExecutor:
            raise
        except MemoryError as error:
            raise EngineError(
                'a part does not fit into the memory of a worker: more "buckets" in config.json'
                f" make smaller parts ({error})"
            ) from error
        except (CancelledError, Exception) as error:
            if meaning := self._crew.told(error):
                raise meaning from error
            raise


@contextmanager
def open_engine(config: Config) -> Iterator[Engine]:
    """The engine that the config names, for as long as the context lasts.

    Raises `EngineError` if it cannot be had.
    """
    engine = config.engine
    if engine.kind == FILES:
        yield InProcess()
        return
    try:
        import pyarrow  # noqa: F401, workers need it to begin at all
    except ImportError as error:
        raise EngineError(
            f'"engine": "{engine.kind}" needs more packages: pip install -r {EXTRA} ({error})'
        ) from None
    if engine.kind == DASK:
        from pipeline.cluster import cluster

        with cluster(engine) as crew:
            yield Crewed(crew)
    else:
        from pipeline.pool import Pool

        with Pool(engine.workers) as crew:
            yield Crewed(crew)


if __name__ == "__main__":
    from pipeline.enginecheck import main

    raise SystemExit(main())
