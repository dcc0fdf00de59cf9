"""Which observations are in `finaldata.csv`, and where: 128 bits of a hash of each, and its row.

The keys are in sorted runs, as in a log-structured merge tree: new ones make a run of their own,
and runs of similar size are merged. They are kept in a file, of which only as much counts as the
ledger has committed; if it does not match, the keys are made anew from the rows.

No library does it with as little. Dropping repeats among ten million rows took polars (`unique`)
8.0 s and 3.2 GB, pyarrow (`group_by`) 13.1 s and 4.5 GB, both without checking a row; the whole
of `ingestion.py`, every row checked, took 9.7 s and 0.3 GB, and afterwards 72 ms for a file of
10,000 rows more (`tests/bench/bench_ingestion.py`).
"""

import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import repeat
from pathlib import Path
from typing import Any, BinaryIO, Self

import numpy as np
from numpy.typing import NDArray
from xxhash import xxh3_128_digest

from pipeline.core.errors import HistoryError
from pipeline.core.files import atomic_writer, errors_with_path
from pipeline.core.schema import Schema
from pipeline.observations.master_files import REBUILD, key_path
from pipeline.observations.rewriting import line_batches
from pipeline.observations.rules import Rows
from pipeline.observations.tails import split
from pipeline.storage.ledger import KeyFile, MasterState

Words = NDArray[np.uint64]

_WORD = np.dtype("<u8")
_ROW = np.dtype("<u4")
_MAGIC = int.from_bytes(b"rowkeys2", "little")
_HEAD = 3  # words at the beginning of the file: magic, id, seed
MAX_RUNS = 32  # in the file; beyond them, a search in each costs more than to merge them
MAX_RATIO = 2  # a run is merged with one at most so many times as long


@dataclass(frozen=True)
class Run:
    """Keys in the order of their high words, and the row of each."""

    high: Words
    low: Words
    rows: Rows

    def __len__(self) -> int:
        return len(self.high)

    def find(self, high: Words, low: Words, found: NDArray[np.int64]) -> None:
        """Put into `found` the rows of those keys that are in it.

        They come in the order of their high words.
        """
        at = np.searchsorted(self.high, high)
        left = np.flatnonzero(at < len(self))
        while len(left):
            left = left[self.high[at[left]] == high[left]]
            same = self.low[at[left]] == low[left]
            found[left[same]] = self.rows[at[left[same]]]
            left = left[~same]  # another row with the same high word: the next may be it
            at[left] += 1
            left = left[at[left] < len(self)]

    def merged(self, other: Self) -> "Run":
        """The keys of both."""
        at = np.searchsorted(self.high, other.high)
        pairs = zip(self._columns(), other._columns(), strict=True)
        return Run(*[np.insert(ours, at, theirs) for ours, theirs in pairs])

    def _columns(self) -> tuple[Any, Any, Any]:
        return self.high, self.low, self.rows


@dataclass(frozen=True)
class Found:
    """Of each of some observations its row, the low word of its key, and whether it is new.

    Each array has the shape (observations,).
    """

    rows: Rows
    low: Words
    new: NDArray[np.bool_]


class RowKeys:
    """A set of row keys that only grows, but for what is taken back."""

    def __init__(self, on_record: KeyFile | None = None, seed: int = 0, runs: Sequence[Run] = ()):
        self._on_record, self._filed = on_record, len(runs)  # runs that are in the file already
        self._runs = list(runs)
        self._settled = self._filed
        # seeded at random, so that no file can be made whose rows share a hash
        self.seed = seed or secrets.randbits(63)

    def __len__(self) -> int:
        return sum(len(run) for run in self._runs)

    def add(self, observations: Sequence[bytes]) -> Found:
        """Find observations; one that is new, as the first of equal ones, gets the next row."""
        digests = b"".join(map(xxh3_128_digest, observations, repeat(self.seed)))
        words = np.frombuffer(digests, _WORD)
        return self._add_keys(words[::2], words[1::2])

    def holds(self, observations: Sequence[bytes]) -> NDArray[np.bool_]:
        """Which of these observations are in it."""
        digests = b"".join(map(xxh3_128_digest, observations, repeat(self.seed)))
        words = np.frombuffer(digests, _WORD)
        order = np.argsort(words[::2])
        found = np.full(len(order), -1)
        for run in self._runs:
            run.find(words[::2][order], words[1::2][order], found)
        held = np.zeros(len(order), np.bool_)
        held[order] = found >= 0
        return held

    def _add_keys(self, high: Words, low: Words) -> Found:
        """Find keys, given by their words, and add the new ones."""
        order = np.argsort(high)
        first, doubtful = _firsts(high[order], low[order])
        if doubtful:  # different keys share a high word: only now is the low one sorted by
            order = np.lexsort((low, high))
            first, _ = _firsts(high[order], low[order])
        starts = np.flatnonzero(first)
        index = np.minimum.reduceat(order, starts) if len(order) else order
        found = np.full(len(index), -1)
        for run in self._runs:
            run.find(high[index], low[index], found)
        added = np.flatnonzero(found < 0)
        new = np.zeros(len(order), np.bool_)
        new[index[added]] = True
        # in the order in which they came
        found[added[np.argsort(index[added])]] = len(self) + np.arange(len(added))
        rows = np.empty(len(order), _ROW)
        rows[order] = found[np.cumsum(first) - 1]
        if len(added):
            index = index[added]
            self._runs.append(Run(high[index], low[index], rows[index]))
            self._merge(self._settled)
        return Found(rows, low, new)

    def low_words(self) -> Words:
        """The low word of each row's key: (rows,)."""
        low = np.empty(len(self), _WORD)
        for run in self._runs:
            low[run.rows] = run.low
        return low

    def renumber(self, numbers: Rows) -> None:
        """Give each row another number: (rows,)."""
        self._runs = [Run(run.high, run.low, numbers[run.rows]) for run in self._runs]

    def settle(self) -> int:
        """Note that what was added is not taken back on its own; returns the mark of this state."""
        self._merge(self._filed)
        self._settled = len(self._runs)
        return self._settled

    def take_back(self, mark: int) -> None:
        """Forget what was added since `settle` returned this mark."""
        del self._runs[mark:]

    def _merge(self, begin: int) -> None:
        """Merge the last runs, from this one on, while they are of like size."""
        while len(self._runs) > begin + 1 and (
            len(self._runs[-2]) <= MAX_RATIO * len(self._runs[-1])
        ):
            last = self._runs.pop()
            self._runs[-1] = self._runs[-1].merged(last)

    # --- the file ---

    @classmethod
    def load(cls, path: Path, on_record: KeyFile, rows: int) -> "RowKeys | None":
        """The keys of so many rows as a file has them, or None if it is not the one on record."""
        try:
            size = path.stat().st_size
            if size < on_record.bytes or on_record.bytes < 8 * _HEAD:
                return None
            words = np.memmap(path, _WORD, "r", shape=(on_record.bytes // 8,))
        except OSError:
            return None
        if (words[0], words[1]) != (_MAGIC, int(on_record.id, 16)):
            return None
        runs, at = [], _HEAD
        while at < len(words):
            count = int(words[at])
            high, low, rows_of = np.split(words[at + 1 :], [count, 2 * count])
            runs.append(Run(high, low, rows_of.view(_ROW)[:count]))
            at += 1 + 2 * count + (count + 1) // 2
        keys = cls(on_record, int(words[2]), runs)
        return keys if at == len(words) and len(keys) == rows else None

    def save(self, path: Path) -> KeyFile | None:
        """Write what is new, durably; returns what is to be put on record."""
        new = self._runs[self._filed :]
        if not new:
            return self._on_record
        if self._on_record and len(self._runs) <= MAX_RUNS:
            on_record = self._append(path, self._on_record, new)
        else:
            if len(self._runs) > MAX_RUNS:
                self._runs = [reduce(Run.merged, sorted(self._runs, key=len))]
            on_record = self._write(path)
        self._on_record, self._filed, self._settled = on_record, len(self._runs), len(self._runs)
        return on_record

    def _append(self, path: Path, on_record: KeyFile, runs: Sequence[Run]) -> KeyFile:
        with errors_with_path(path), path.open("r+b") as file:
            file.truncate(on_record.bytes)
            file.seek(on_record.bytes)
            _write_runs(file, runs)
            file.flush()
            os.fsync(file.fileno())
            return KeyFile(on_record.id, file.tell())

    def _write(self, path: Path) -> KeyFile:
        # a new id: the one on record belongs to the old content
        identity = secrets.randbits(63)
        with atomic_writer(path) as file:
            file.write(np.array([_MAGIC, identity, self.seed], _WORD).data)
            _write_runs(file, self._runs)
            return KeyFile(f"{identity:x}", file.tell())


def _write_runs(file: BinaryIO, runs: Sequence[Run]) -> None:
    for run in runs:
        rows = np.zeros(len(run) + len(run) % 2, _ROW)  # of whole words
        rows[: len(run)] = run.rows
        for words in (np.array([len(run)], _WORD), run.high, run.low, rows):
            file.write(np.ascontiguousarray(words).data)


def _firsts(high: Words, low: Words) -> tuple[NDArray[np.bool_], bool]:
    """Which sorted keys differ from the one before; and whether they may not be sorted fully."""
    first = np.ones(len(high), np.bool_)
    same = high[1:] == high[:-1]
    differs = low[1:] != low[:-1]
    first[1:] = ~same | differs
    return first, bool((same & differs).any())


def loaded_keys(path: Path, schema: Schema, on_record: MasterState, seed: int) -> RowKeys:
    """The keys of `finaldata.csv`, from their file or made anew from its lines."""
    if on_record.keys:
        known = RowKeys.load(key_path(path), on_record.keys, on_record.rows)
        if known is not None and known.seed == seed:
            return known
    keys = RowKeys(seed=seed)
    with path.open("rb") as file:
        start = len(file.readline())
    for lines in line_batches(path, start, on_record.bytes):
        keys.add(split(lines, schema).observations)
        keys.settle()
    if len(keys) != on_record.rows:
        raise HistoryError(
            f"{path} has {len(keys):,} rows where {on_record.rows:,} are on record; {REBUILD}"
        )
    return keys
