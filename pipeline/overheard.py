"""What a function logs on a worker is told here, where people look."""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

P = TypeVar("P")
R = TypeVar("R")

OURS = "pipeline"  # the logger above all that may speak on a worker


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
    def __init__(self) -> None:
        super().__init__()
        self._thread = threading.get_ident()  # another's part is heard by that one's listener
        self.lines: list[Line] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.thread == self._thread:
            self.lines.append(Line(record.name, record.levelno, record.getMessage()))


def heard(function: Callable[[P], R], part: P) -> Heard[R]:
    """Call a function on a worker and listen."""
    logger, listener = logging.getLogger(OURS), _Listener()
    level, propagate = logger.level, logger.propagate
    logger.addHandler(listener)
    logger.setLevel(logging.INFO)
    logger.propagate = False  # or it would be told twice
    try:
        return Heard(function(part), tuple(listener.lines))
    finally:
        logger.removeHandler(listener)
        logger.setLevel(level)
        logger.propagate = propagate


def tell(heard: Heard[R]) -> R:
    """Log here what was logged there; returns the result."""
    for line in heard.lines:
        logging.getLogger(line.logger).log(line.level, "%s", line.text)
    return heard.result
