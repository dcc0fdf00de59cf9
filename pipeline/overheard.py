"""What a function logs on a worker is told here, where people look."""

import logging
import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock, get_ident
from typing import Any, Generic, TypeVar

P = TypeVar("P")
R = TypeVar("R")

OURS = "pipeline"  # the logger above all that may speak on a worker

# what a worker does with what is `packed`; the executor itself does so with all it hands on
unpacked = pickle.loads

_setting = Lock()  # of the logger, which all threads share
_before: list[tuple[int, bool]] = []  # its level, and whether it speaks on, for each listener


@dataclass(frozen=True)
class Line:
    """A line of the log."""

    logger: str
    level: int
    text: str


@dataclass(frozen=True)
class Heard(Generic[R]):
    """A result, and what was logged on the way to it."""

    result: R
    lines: tuple[Line, ...]


class _Listener(logging.Handler):
    """Keeps what its own thread logs: a worker may do several parts at a time, a thread each."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[Line] = []
        self._thread = get_ident()  # another's part is heard by that one's listener

    def emit(self, record: logging.LogRecord) -> None:
        if record.thread == self._thread:
            self.lines.append(Line(record.name, record.levelno, record.getMessage()))


class _Call:
    """A call that is made where its pickle is loaded."""

    def __init__(self, function: Callable[[P], R], part: P) -> None:
        self._arguments = function, part

    def __reduce__(self) -> tuple[Any, ...]:
        return heard, self._arguments


def packed(function: Callable[[P], R], part: P) -> bytes:
    """What makes `unpacked` on a worker call a function there, and listen.

    To whoever hands it on, these are bytes: a scheduler need not know our code, and a worker that
    does not know it fails at the call and not before, where it would be taken for dead.
    """
    return pickle.dumps(_Call(function, part))


def heard(function: Callable[[P], R], part: P) -> Heard[R]:
    """Call a function on a worker and listen."""
    with _listening() as lines:
        return Heard(function(part), tuple(lines))


@contextmanager
def _listening() -> Iterator[list[Line]]:
    """The lines of our log in this thread, which go nowhere else."""
    logger, listener = logging.getLogger(OURS), _Listener()
    with _setting:
        _before.append((logger.level, logger.propagate))
        logger.addHandler(listener)
        logger.setLevel(logging.INFO)
        logger.propagate = False  # or it would be told twice
    try:
        yield listener.lines
    finally:
        with _setting:
            logger.removeHandler(listener)
            level, propagate = _before.pop()
            if not _before:  # now they are what the first one found, and no other listens any more
                logger.setLevel(level)
                logger.propagate = propagate


def tell(heard: Heard[R]) -> R:
    """Log here what was logged there; returns the result."""
    for line in heard.lines:
        logging.getLogger(line.logger).log(line.level, "%s", line.text)
    return heard.result
