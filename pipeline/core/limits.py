"""Limits to what work may take: threads of a model, and time of whatever waits."""

import signal
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController

MANY = 100_000  # rows, from which on more threads save more than they cost


def threads_for(rows: int) -> AbstractContextManager[object]:
    """One thread for what is small, as many as there are for what is large.

    The threads of a booster meet at every tree, and where there are more of them than cores that
    are free, each meeting takes as long as the system lets others work: seconds for what takes
    milliseconds. BLAS has one in any case: where it cuts the rows into shares, their ends are
    rounded otherwise.
    """
    return _limit(None if rows < MANY else "blas")


def one_thread() -> AbstractContextManager[object]:
    """BLAS in one thread, so that sums have the same digits whatever the number of cores."""
    return _limit("blas")


def _limit(user_api: str | None) -> AbstractContextManager[object]:
    found: AbstractContextManager[object] = _libraries().limit(limits=1, user_api=user_api)
    return found


@cache
def _libraries() -> "ThreadpoolController":
    """What is loaded that works in threads: whoever asks has imported scikit-learn, which does."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


@contextmanager
def time_limit(seconds: float, error: BaseException) -> Iterator[None]:
    """Raise the error in what takes longer; in the main thread only."""

    def stop(*_: object) -> NoReturn:
        raise error

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
