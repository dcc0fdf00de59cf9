"""Appending observations to a file of client rows, each once."""

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from itertools import compress
from pathlib import Path
from typing import BinaryIO, Self

import numpy as np

from pipeline.core.file_lock import open_alone
from pipeline.core.files import errors_with_path
from pipeline.core.schema import Schema
from pipeline.observations.row_keys import Found, RowKeys
from pipeline.observations.rules import OUTCOME_TEXTS, Rows, States, more_of
from pipeline.observations.sightings import BAD, NOBODY, Words, codes_of
from pipeline.observations.tails import Resolved, RowsOfFile, Split, joined, resolved, split


class RowWriter:
    """A file of rows, open for appending: locked, as another run may still be writing it.

    Opening raises `LockHeldError` then.
    """

    def __init__(self, path: Path, schema: Schema) -> None:
        self._table, self._schema, self.rows, self._keys = path, schema, 0, RowKeys()
        self._found: list[Found] = []
        self._split: list[Split] = []
        self._reports: list[bytes] | None = None
        self._clients: RowsOfFile | None = None  # once there are reports
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
        cut = split(lines, self._schema)
        found = self._keys.add(cut.observations)
        cut = replace(cut, observations=[])  # which may take much memory
        self._split.append(cut)
        self._found.append(found)
        added = list(compress(lines, found.new.tolist()))
        if added:
            with errors_with_path(self._table):
                self._file.write(b"\n".join(added) + b"\n")
        self.rows += len(added)

    def report(self, lines: Sequence[bytes]) -> None:
        """Add canonical lines of a file of outcomes alone, without their line ends."""
        self._reports = [*(self._reports or []), *lines]

    def take_back(self) -> None:
        """Undo what was appended since the last file."""
        size, self.rows, keys = self._settled
        with errors_with_path(self._table):
            self._file.seek(size)
            self._file.truncate()
        self._keys.take_back(keys)
        self._forget()

    def _settle(self) -> None:
        """Let what was appended stay."""
        self._forget()
        self._settled = (self.size, self.rows, self._keys.settle())

    def _forget(self) -> None:
        self._found, self._split, self._reports = [], [], None

    def _words(self, bad_at: Sequence[int]) -> tuple[Rows, Words]:
        """The rows of a file's good lines, and the words of all its lines."""
        found = [*self._found, self._keys.add([])]
        cut = [*self._split, split([], self._schema)]
        rows = np.concatenate([part.rows for part in found])
        low = np.concatenate([part.keys for part in found])
        codes = codes_of(low, np.concatenate([part.outcomes for part in cut]))
        more = np.concatenate([part.more for part in cut])
        words = np.column_stack([codes, more]) if len(self._schema.tail) > 1 else codes[:, None]
        return rows, _with_bad(words, bad_at)

    def _resolved(self, states: States) -> Resolved:
        """The reports of a file, by what is known of all rows so far."""
        assert self._reports is not None
        return resolved(self._reports, self._schema, self._client_rows(), states["sighted"])

    def _client_rows(self) -> RowsOfFile:
        if self._clients is None:
            self._clients = RowsOfFile(self._table, self._schema, self._keys.seed)
        self._file.flush()
        self._clients.extend(self.size)
        return self._clients

    def _report_words(self, found: Resolved, bad_at: Sequence[int]) -> Words:
        """The words of the lines of a file of outcomes alone."""
        low = self._keys.words()
        codes = np.where(found.says, NOBODY, BAD)
        known = found.rows >= 0
        codes[known] = codes_of(low[found.rows[known]], found.outcomes[known])
        columns = [found.identities, codes]
        if len(self._schema.tail) > 1:
            columns.append(more_of(found.days, np.zeros(len(codes), np.uint32)))
        return _with_bad(np.column_stack(columns), bad_at)

    def _sync(self) -> None:
        with errors_with_path(self._table):
            self._file.flush()
            os.fsync(self._file.fileno())


def renewer(
    schema: Schema, rows: Rows, states: States, carried: Mapping[int, bytes]
) -> Callable[[int, bytes], bytes]:
    """Lines of these rows as their states say, each by its place among the rows and as it was.

    What a row carries is as before where `carried` does not have it.
    """
    outcomes = [OUTCOME_TEXTS[outcome] for outcome in states["outcome"][rows].tolist()]
    if len(schema.tail) == 1:
        return lambda i, line: line[: line.rindex(b",") + 1] + outcomes[i] + b"\n"
    days = states["day"][rows].tolist()

    def renewed(i: int, line: bytes) -> bytes:
        before = split([line[:-1]], schema)
        travels = carried.get(int(rows[i]), before.carried[0]) if schema.carry else b""
        return joined(before.observations[0], outcomes[i], days[i], travels, schema) + b"\n"

    return renewed


def _with_bad(words: Words, bad_at: Sequence[int]) -> Words:
    """The words of a file's lines, with those that were set aside."""
    if not bad_at:
        return words
    return np.insert(words, np.array(bad_at) - np.arange(len(bad_at)), BAD, axis=0)
