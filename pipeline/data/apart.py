"""Reading a client file apart from those who put rows together, as executors of Spark do."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from tempfile import TemporaryFile
from typing import IO

import numpy as np
from numpy.typing import NDArray

from pipeline.core.schema import Schema
from pipeline.data.input_files import FoundFile
from pipeline.data.loader import Counts, TakenFile, take_in

_BLOCK = 16 << 20


@dataclass(frozen=True)
class Read:
    """What came of one file: None if it has to wait; and what was logged: names, levels, texts."""

    file: TakenFile | None
    logged: list[tuple[str, int, str]]


@dataclass
class LinesApart:
    """A sink that keeps the lines of one file until it is known whether they count."""

    file: IO[bytes]
    reports: bool = False  # whether they are of outcomes alone
    accepted: bool = False
    bad_at: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))

    def append(self, lines: Sequence[bytes]) -> None:
        """Add canonical lines of a file, without their line ends."""
        self.file.write(b"".join([line + b"\n" for line in lines]))

    def report(self, lines: Sequence[bytes]) -> None:
        """Add canonical lines of a file of outcomes alone, without their line ends."""
        self.reports = True
        self.append(lines)

    def accept(
        self, number: int, name: str, sha256: str, bad_at: Sequence[int], *, again: bool = False
    ) -> Counts:
        """End a file; nothing of it is counted yet."""
        del name, sha256, again
        self.accepted, self.bad_at = True, np.array(bad_at, np.int64)
        return Counts(number, 0, 0, 0, 0, 0, number)

    def waiting(self) -> tuple[str, ...]:
        """No files."""
        return ()

    def take_back(self) -> None:
        """Undo what was added."""
        self.file.seek(0)
        self.file.truncate()

    def batches(self) -> Iterator[tuple[NDArray[np.int64], list[bytes]]]:
        """The lines that count, and the number that each has among all rows of the file."""
        self.file.seek(0)
        shift, done = self.bad_at - np.arange(len(self.bad_at)), 0
        while self.accepted and (block := self.file.read(_BLOCK)):
            lines = (block + self.file.readline()).split(b"\n")[:-1]
            at = np.arange(done, done + len(lines))
            done += len(lines)
            yield at + np.searchsorted(shift, at, "right"), lines


@contextmanager
def read_apart(file: FoundFile, schema: Schema) -> Iterator[tuple[Read, LinesApart]]:
    """What came of a file, and its lines, for as long as the context lasts."""
    logger, collector = logging.getLogger("pipeline"), _Collector()
    logger.addHandler(collector)
    logger.setLevel(logging.INFO)
    try:
        with TemporaryFile() as kept:
            lines = LinesApart(kept)
            yield Read(take_in(schema, file, 0, lines), collector.found), lines
    finally:
        logger.removeHandler(collector)


class _Collector(logging.Handler):
    """Collects what is logged, for the process that asked."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, int, str]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.found.append((record.name, record.levelno, record.getMessage()))
