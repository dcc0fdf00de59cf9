"""A limit to how long something may take, whatever it waits for."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn


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
