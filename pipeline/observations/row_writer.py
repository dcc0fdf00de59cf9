"""Appending observations to a file of client rows, each once."""

import os
from collections.abc import Sequence
from contextlib import ExitStack
from itertools import compress
from pathlib import Path
from typing import BinaryIO, Self

import numpy as np

from pipeline.core.file_lock import open_alone
from pipeline.core.files import errors_with_path
from pipeline.observations.row_keys import Found, RowKeys, observations
from pipeline.observations.rules import UNKNOWN, Outcomes, Rows
from pipeline.observations.sightings import BAD, Codes, codes_of

_COMMA = ord(",")


class RowWriter:
    """A file of rows, open for appending: locked, as another run may still be writing it.

    Opening raises `LockHeldError` then.
    """

    def __init__(self, path: Path) -> None:
        self._table, self.rows, self._keys = path, 0, RowKeys()
        self._found: list[Found] = []
        self._outcomes: list[Outcomes] = []
        path.parent.mkdir(parents=True, exist_ok=True)
        self._opened = ExitStack()
        self._file: BinaryIO = self._opened.enter_context(open_alone(path))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with errors_with_path(self._table):
            self._opened.close()

    @property
    def size(self) -> int:
        """Bytes written so far, the header included."""
        return self._file.tell()

    def append(self, lines: Sequence[bytes]) -> None:
        """Add canonical lines of a file, without their line ends."""
        ends = np.array([line[-1] for line in lines], np.uint8)
        self._outcomes.append(np.where(ends == _COMMA, UNKNOWN, ends - ord("0")).astype(np.uint8))
        found = self._keys.add(observations(lines))
        self._found.append(found)
        added = list(compress(lines, found.new.tolist()))
        if added:
            with errors_with_path(self._table):
                self._file.write(b"\n".join(added) + b"\n")
        self.rows += len(added)

    def take_back(self) -> None:
        """Undo what was appended since the last file."""
        size, self.rows, keys = self._settled
        with errors_with_path(self._table):
            self._file.seek(size)
            self._file.truncate()
        self._keys.take_back(keys)
        self._found, self._outcomes = [], []

    def _settle(self) -> None:
        """Let what was appended stay."""
        self._found, self._outcomes = [], []
        self._settled = (self.size, self.rows, self._keys.settle())

    def _codes(self, bad_at: Sequence[int]) -> tuple[Rows, Codes]:
        """The rows of a file's good lines, and the codes of all its lines."""
        found = [*self._found, self._keys.add([])]
        rows = np.concatenate([part.rows for part in found])
        outcomes = np.concatenate([*self._outcomes, np.zeros(0, np.uint8)])
        codes = codes_of(np.concatenate([part.low for part in found]), outcomes)
        if bad_at:
            codes = np.insert(codes, np.array(bad_at) - np.arange(len(bad_at)), BAD)
        return rows, codes

    def _sync(self) -> None:
        with errors_with_path(self._table):
            self._file.flush()
            os.fsync(self._file.fileno())
