"""How many threads a model works in."""

from contextlib import AbstractContextManager
from functools import cache

from threadpoolctl import ThreadpoolController

MANY = 100_000  # rows, from which on more threads save more than they cost


def threads_for(rows: int) -> AbstractContextManager[object]:
    """One thread for what is small, as many as there are for what is large.

    The threads of a booster meet at every tree, and where there are more of them than cores that
    are free, each meeting takes as long as the system lets others work: seconds for what takes
    milliseconds.
    """
    # BLAS has one in any case: what it does here is little, and where it cuts the rows into shares,
    # their ends are rounded otherwise
    limits: AbstractContextManager[object] = _libraries().limit(
        limits=1, user_api=None if rows < MANY else "blas"
    )
    return limits


def one_thread() -> AbstractContextManager[object]:
    """BLAS in one thread, so that sums have the same digits whatever the number of cores."""
    limits: AbstractContextManager[object] = _libraries().limit(limits=1, user_api="blas")
    return limits


@cache
def _libraries() -> ThreadpoolController:
    """What is loaded that works in threads, which takes a while to find.

    Whoever asks has imported scikit-learn, which loads them all.
    """
    return ThreadpoolController()
