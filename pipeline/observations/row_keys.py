"""Which observations are in `finaldata.csv`, where, and what is known of each.

Keys are 64 bits of a hash, in sorted runs, as in a log-structured merge tree: new ones make a run
of their own, and runs of similar size are merged. With the states they are kept in a file beside
the rows, which is made anew from these and the sightings where it is not of what is on record.

No library does it with as little. Dropping repeats among ten million rows took polars (`unique`)
8.0 s and 3.2 GB, pyarrow (`group_by`) 13.1 s and 4.5 GB, both without checking a row; the whole
of `ingestion.py`, every row checked, took 9.7 s and 0.3 GB (`tests/bench/bench_ingestion.py`).
"""

import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from itertools import repeat
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray
from xxhash import xxh3_128_digest

from pipeline.core.errors import HistoryError
from pipeline.core.files import atomic_writer
from pipeline.core.schema import Schema
from pipeline.observations.master_files import REBUILD, current_path, log_path, state_path
from pipeline.observations.row_lines import rows_in, split
from pipeline.observations.rules import (
    UNKNOWN,
    UNSAID,
    Lines,
    Places,
    Rows,
    States,
    content_of,
    parts_of,
    state_type,
    states_after_first,
    take_in,
)
from pipeline.observations.sightings import SightingsLog, keys_of
from pipeline.storage.held_files import LeftOut
from pipeline.storage.ledger import LogFile, MasterState, file_fault

Words = NDArray[np.uint64]

_WORD = np.dtype("<u8")
_ROW = np.dtype("<u4")
_MAGIC = int.from_bytes(b"states03", "little")
_HEAD = 4 * _WORD.itemsize  # magic, id and size of the sightings they are made of, rows
MAX_RATIO = 2  # a run is merged with one at most so many times as long
AT_ONCE = 100_000  # states worked out at a time: of all of them there would be two


@dataclass(frozen=True)
class Run:
    """Keys in order, and the row of each."""

    keys: Words
    rows: Rows

    def merged(self, other: Self) -> "Run":
        """The keys of both."""
        at = np.searchsorted(self.keys, other.keys)
        return Run(np.insert(self.keys, at, other.keys), np.insert(self.rows, at, other.rows))


@dataclass(frozen=True)
class Found:
    """Of each of some observations its row, its key, and whether it is new.

    Each array has the shape (observations,).
    """

    rows: Rows
    keys: Words
    new: NDArray[np.bool_]


class RowKeys:
    """A set of row keys that only grows, but for what is taken back; first the given ones."""

    def __init__(self, seed: int = 0, words: Sequence[int] | Words = ()) -> None:
        keys = np.array(words, _WORD)
        order = np.argsort(keys)
        self._runs = [Run(keys[order], order.astype(_ROW))] if len(keys) else []
        # seeded at random, so that no file can be made whose rows share a hash
        self.seed = seed or secrets.randbits(63)

    def __len__(self) -> int:
        return sum(len(run.keys) for run in self._runs)

    def add(self, observations: Sequence[bytes]) -> Found:
        """Find observations; one that is new, as the first of equal ones, gets the next row."""
        return self.add_keys(key_words(observations, self.seed))

    def find(self, keys: Words) -> NDArray[np.int64]:
        """The rows of keys, -1 of those that there are not."""
        found = np.full(len(keys), -1)
        for run in self._runs:
            at = np.minimum(np.searchsorted(run.keys, keys), len(run.keys) - 1)
            here = run.keys[at] == keys
            found[here] = run.rows[at[here]]
        return found

    def add_keys(self, words: Words) -> Found:
        """The same by their keys."""
        keys, index, of = np.unique(words, return_index=True, return_inverse=True)
        found = self.find(keys)
        added = np.flatnonzero(found < 0)
        new = np.zeros(len(words), np.bool_)
        new[index[added]] = True
        # in the order in which they came
        found[added[np.argsort(index[added])]] = len(self) + np.arange(len(added))
        if len(added):
            self._runs.append(Run(keys[added], found[added].astype(_ROW)))
            self._merge()
        return Found(found[of].astype(_ROW), words, new)

    def words(self) -> Words:
        """The key of each row: (rows,)."""
        words = np.empty(len(self), _WORD)
        for run in self._runs:
            words[run.rows] = run.keys
        return words

    def take_back(self, rows: int) -> None:
        """Forget all but so many rows, the first ones."""
        kept = [(run, run.rows < rows) for run in self._runs]
        self._runs = [Run(run.keys[at], run.rows[at]) for run, at in kept if at.any()]

    def _merge(self) -> None:
        """Merge the last runs while they are of like size."""
        while len(self._runs) > 1 and (
            len(self._runs[-2].keys) <= MAX_RATIO * len(self._runs[-1].keys)
        ):
            last = self._runs.pop()
            self._runs[-1] = self._runs[-1].merged(last)


def key_words(observations: Sequence[bytes], seed: int) -> Words:
    """The key of each observation: (observations,)."""
    digests = b"".join(map(xxh3_128_digest, observations, repeat(seed)))
    words: Words = np.frombuffer(digests, _WORD)[1::2]  # of 128 bits the low ones
    return words


# --- the file of keys and states, and what it is made of ---


def kept_rows(path: Path, schema: Schema, on_record: MasterState) -> tuple[Words, States] | None:
    """The keys and states of the rows on record; None if the file has others.

    So it is while a run changes them, or if one was killed.
    """
    log, rows, dtype = on_record.log, on_record.rows, state_type(schema)
    at = _HEAD + rows * _WORD.itemsize
    try:
        with state_path(path).open("rb") as file:
            whole = os.fstat(file.fileno()).st_size == at + rows * dtype.itemsize
            if not (log and whole and file.read(_HEAD) == _head(log, rows)):
                return None
            words = np.memmap(file, _WORD, "r", _HEAD, shape=(rows,))
            return words, np.memmap(file, dtype, "r", at, shape=(rows,))
    except FileNotFoundError:
        return None


def keep_rows(path: Path, log: LogFile, words: Words, states: States) -> None:
    """Write the keys and states of all rows by these sightings."""
    with atomic_writer(state_path(path)) as file:
        file.write(_head(log, len(words)))
        file.write(np.ascontiguousarray(words).data)
        file.write(np.ascontiguousarray(states).view(np.uint8).data)


def _head(log: LogFile, rows: int) -> bytes:
    return np.array([_MAGIC, int(log.id, 16), log.record.size, rows], _WORD).tobytes()


def line_keys(path: Path, schema: Schema, size: int, seed: int) -> Words:
    """The key of each row in so many bytes of a file."""
    batches = rows_in(path, size) if size else ()
    found = [key_words(split(lines, schema).observations, seed) for lines in batches]
    return np.concatenate([np.zeros(0, _WORD), *found])


def loaded_keys(path: Path, schema: Schema, on_record: MasterState, seed: int) -> Words:
    """The key of each row of `finaldata.csv`, as it is kept or made anew from the lines."""
    if known := kept_rows(path, schema, on_record):
        return known[0]
    path = current_path(path, on_record)
    words = line_keys(path, schema, on_record.bytes, seed)
    if (rows := len(np.unique(words))) != on_record.rows:
        raise HistoryError(
            f"{path} has {rows:,} rows where {on_record.rows:,} are on record; {REBUILD}"
        )
    return words


def recorded_states(path: Path, schema: Schema, on_record: MasterState) -> States:
    """The states of the rows of `finaldata.csv`, for those who read them."""
    if known := kept_rows(path, schema, on_record):
        return known[1]
    with recorded_lines(path, schema, on_record) as (sightings, words):
        return states_by(lines_of(sightings, words), schema, on_record.rows)


def states_without(
    lines: Lines,
    late: NDArray[np.bool_],
    left_out: LeftOut,
    renewed: Places,
    schema: Schema,
) -> States:
    """The states by all lines but those of some contents; `renewed` are places that count all the
    same. `late` says of each observation whether it first came unknown, by all lines there are.

    An observation that only lines left out have sighted has not been sighted: `sighted` is 0. What
    reports it stays a report.
    """
    out = np.isin(content_of(lines.places), list(left_out.contents))
    out &= ~np.isin(lines.places, renewed)
    lines = lines.at(~out)
    said = lines.outcomes != UNKNOWN
    if len(lines.more):
        days, _ = parts_of(lines.more)
        said |= (days > 0) & (days != UNSAID)
    reports = said & late[lines.rows]
    if lines.reports is not None:
        reports |= lines.reports
    return states_by(replace(lines, reports=reports), schema, len(late))


@contextmanager
def recorded_log(path: Path, on_record: MasterState) -> Iterator[SightingsLog | None]:
    """The lines on record; None where there are none, or their file is damaged."""
    log = on_record.log
    if not log or file_fault(log_path(path, log.id), log.record, longer=True):
        yield None
        return
    with closing(SightingsLog(log_path(path, log.id), log.record.size, read_only=True)) as found:
        yield found


@contextmanager
def recorded_lines(
    path: Path, schema: Schema, on_record: MasterState
) -> Iterator[tuple[SightingsLog, Words]]:
    """The lines on record, and the keys of the rows of `finaldata.csv`."""
    with recorded_log(path, on_record) as log:
        assert log
        yield log, loaded_keys(path, schema, on_record, log.seed)


def contents_in(path: Path, on_record: MasterState) -> dict[int, int]:
    """Where contents are in the file of sightings, by their numbers."""
    with recorded_log(path, on_record) as log:
        return log.numbers() if log else {}


def places_at(path: Path, on_record: MasterState, contents: Sequence[int]) -> Places:
    """The places of all lines of some contents, by where these are in the file of sightings."""
    with recorded_log(path, on_record) as log:
        found = [log.content(at).places for at in contents] if log else []
    return np.concatenate([np.zeros(0, np.uint64), *found])


def lines_of(log: SightingsLog, words: Words) -> Lines:
    """All sightings and reports, in their order, with their observations' rows.

    `words` has the key of each row. Reports about observations that there are no more are left out.
    """
    low, said = keys_of(words), log.said()
    order, by = np.argsort(low), np.argsort(said.rows)
    at = np.empty(len(by), np.int64)
    at[by] = np.searchsorted(low[order], said.rows[by])  # in order, which is quicker by far
    if said.reports is not None and said.reports.any():
        there = at < len(low)
        there[there] = low[order[at[there]]] == said.rows[there]
        said, at = said.at(there), at[there]
    else:
        said = replace(said, reports=None)
    lines, places = replace(said, rows=order[at].astype("<u4")), said.places
    return lines if (places[1:] >= places[:-1]).all() else lines.at(np.argsort(places))


def firsts(lines: Lines) -> NDArray[np.int64]:
    """Where the first sighting of each observation is, in order of rows."""
    found = np.full(int(lines.rows.max(initial=0)) + 1, -1)
    seen = np.arange(len(lines)) if lines.reports is None else np.flatnonzero(~lines.reports)
    found[lines.rows[seen[::-1]]] = seen[::-1]  # of those of one row the last assignment stays
    return found[found >= 0]


def states_by(lines: Lines, schema: Schema, rows: int) -> States:
    """The states of so many observations by all lines there are, in order."""
    states = np.zeros(rows, state_type(schema))
    states["outcome"] = UNKNOWN
    if not len(lines):
        return states
    first = firsts(lines)
    rest = np.ones(len(lines), np.bool_)
    rest[first] = False
    for start in range(0, len(first), AT_ONCE):
        part = first[start : start + AT_ONCE]
        states[lines.rows[part]] = states_after_first(lines.at(part))
    if lines.reports is not None:
        # of an observation whose first sighting was taken back there may be reports before the next
        early = lines.places < states["sighted"][lines.rows]
        rest &= ~early
        early &= (states["outcome"][lines.rows] == UNKNOWN) & (lines.outcomes != UNKNOWN)
        states["outcome"][lines.rows[early]] = lines.outcomes[early]
        states["known"][lines.rows[early]] = content_of(lines.places[early])
    take_in(lines.at(rest), states)
    return states
