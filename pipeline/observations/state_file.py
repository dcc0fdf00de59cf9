"""The states of all observations, beside `finaldata.csv`: made anew from the sightings if need be.

They are changed in place, which is quick where there are millions. What says that they are whole
is their head, which is written last.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.core.files import errors_with_path
from pipeline.core.schema import Schema
from pipeline.observations.master_files import current_path, log_path, state_path
from pipeline.observations.row_keys import RowKeys, loaded_keys
from pipeline.observations.rules import (
    STATE,
    UNKNOWN,
    UNSAID,
    WIDE_STATE,
    Changed,
    Lines,
    Places,
    States,
    content_of,
    first_lines,
    parts_of,
    states_after,
    states_after_first,
    take_in,
)
from pipeline.observations.sightings import SightingsLog, keys_of, outcomes_of
from pipeline.storage.held_files import LeftOut
from pipeline.storage.ledger import MasterState

_MAGIC = int.from_bytes(b"states02", "little")
_HEAD = np.dtype("<u8")
_WORDS = 4  # of the head: magic, id and size of the sightings they are made of, rows
_AT_ONCE = 100_000  # states worked out at a time: of all of them there would be two


class StateFile:
    """The file, open for changing."""

    def __init__(self, path: Path, states: States) -> None:
        self._path, self._dtype = path, states.dtype
        path.unlink(missing_ok=True)
        self._file = path.open("w+b")
        self._file.write(bytes(_WORDS * _HEAD.itemsize))
        self._file.write(states.view(np.uint8).data)
        self._rows = len(states)

    @classmethod
    def opened(
        cls, path: Path, schema: Schema, log: str, size: int, rows: int
    ) -> "StateFile | None":
        """The states of so many rows by these sightings; None if the file has others."""
        found = cls.__new__(cls)
        try:
            found._file = path.open("r+b")
        except FileNotFoundError:
            return None
        found._path, found._rows, found._dtype = path, rows, state_type(schema)
        if found._head() != head_of(log, size, rows):
            found.close()
            return None
        found._write_head(bytes(_WORDS * _HEAD.itemsize))  # until they are saved
        return found

    def __len__(self) -> int:
        return self._rows

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def add(self, lines: Lines) -> Changed:
        """Take in lines that follow all others; returns which observations became others by them.

        The first lines of new observations give them their numbers, in order.
        """
        first = first_lines(lines, self._rows)
        with errors_with_path(self._path):
            self._file.seek(0, os.SEEK_END)
            self._file.write(states_after_first(lines.at(first)).tobytes())
            self._file.flush()
        self._rows += int(first.sum())
        return take_in(lines.at(~first), self.states())

    def states(self) -> States:
        """The states, to be changed in place."""
        offset = _WORDS * _HEAD.itemsize
        if not self._rows:  # which cannot be mapped
            return np.zeros(0, self._dtype)
        self._file.flush()
        return np.memmap(self._file, self._dtype, "r+", offset, shape=(self._rows,))

    def save(self, log: str, size: int) -> None:
        """Note that these are the states by so many bytes of these sightings."""
        with errors_with_path(self._path):
            self._file.flush()
            os.fsync(self._file.fileno())
            self._write_head(head_of(log, size, self._rows))

    def _head(self) -> bytes:
        self._file.seek(0)
        return self._file.read(_WORDS * _HEAD.itemsize)

    def _write_head(self, head: bytes) -> None:
        self._file.seek(0)
        self._file.write(head)
        self._file.flush()


def head_of(log: str, size: int, rows: int) -> bytes:
    """The head of a file with the states of so many rows by these sightings."""
    return np.array([_MAGIC, int(log, 16), size, rows], _HEAD).tobytes()


def state_type(schema: Schema) -> "np.dtype[np.void]":
    """The form of the states."""
    return WIDE_STATE if len(schema.tail) > 1 else STATE


def recorded_states(path: Path, schema: Schema, on_record: MasterState) -> States:
    """The states of the rows of `finaldata.csv`, for those who read them."""
    log, rows = on_record.log, on_record.rows
    assert log
    try:
        with state_path(path).open("rb") as file:
            head = file.read(_WORDS * _HEAD.itemsize)
            if head == head_of(log.id, log.record.size, rows):
                return np.memmap(file, state_type(schema), "r", len(head), shape=(rows,))
    except FileNotFoundError:
        pass
    # a run is changing them, or was killed
    with recorded_lines(path, schema, on_record) as (sightings, keys):
        return states_by(lines_of(sightings, keys), schema, rows)


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
def recorded_lines(
    path: Path, schema: Schema, on_record: MasterState
) -> Iterator[tuple[SightingsLog, RowKeys]]:
    """The lines on record, and the keys of the rows of `finaldata.csv`."""
    log = on_record.log
    assert log
    sightings = SightingsLog(log_path(path, log.id), log.record.size, read_only=True)
    with closing(sightings):
        yield (
            sightings,
            loaded_keys(current_path(path, on_record), schema, on_record, sightings.seed),
        )


def places_at(path: Path, on_record: MasterState, contents: Sequence[int]) -> Places:
    """The places of all lines of some contents, by where these are in the file of sightings."""
    log = on_record.log
    assert log
    found = [np.zeros(0, np.uint64)]
    if contents:
        sightings = SightingsLog(log_path(path, log.id), log.record.size, read_only=True)
        with closing(sightings):
            found += [sightings.content(at).places for at in contents]
    return np.concatenate(found)


def lines_of(log: SightingsLog, keys: RowKeys) -> Lines:
    """All sightings and reports, in their order, with their observations' rows.

    Reports about observations that there are no more are left out.
    """
    low = keys_of(keys.low_words())
    order, said = np.argsort(low), log.said()
    asked = keys_of(said.codes)
    at, by = np.empty(len(asked), np.int64), np.argsort(asked)
    at[by] = np.searchsorted(low[order], asked[by])  # in order, which is quicker by far
    if said.reports.any():
        found = at < len(low)
        found[found] = low[order[at[found]]] == asked[found]
        said, at = said.at(found), at[found]
    rows = order[at].astype("<u4")
    reports = said.reports if said.reports.any() else None
    lines = Lines(rows, outcomes_of(said.codes), said.places, said.more, reports)
    places = said.places
    return lines if (places[1:] >= places[:-1]).all() else lines.at(np.argsort(places))


def firsts(lines: Lines) -> NDArray[np.int64]:
    """Where the first sighting of each observation is, in order of rows."""
    if lines.reports is None:
        return np.unique(lines.rows, return_index=True)[1]
    seen = np.flatnonzero(~lines.reports)
    found: NDArray[np.int64] = seen[np.unique(lines.rows[seen], return_index=True)[1]]
    return found


def states_by(lines: Lines, schema: Schema, rows: int) -> States:
    """The states of so many observations by all lines there are, in order."""
    states = np.zeros(rows, state_type(schema))
    states["outcome"] = UNKNOWN
    if not len(lines):
        return states
    first = firsts(lines)
    rest = np.ones(len(lines), np.bool_)
    rest[first] = False
    for start in range(0, len(first), _AT_ONCE):
        part = first[start : start + _AT_ONCE]
        states[lines.rows[part]] = states_after_first(lines.at(part))
    if lines.reports is not None:
        # of an observation whose first sighting was taken back there may be reports before the next
        early = lines.places < states["sighted"][lines.rows]
        rest &= ~early
        early &= (states["outcome"][lines.rows] == UNKNOWN) & (lines.outcomes != UNKNOWN)
        states["outcome"][lines.rows[early]] = lines.outcomes[early]
        states["known"][lines.rows[early]] = content_of(lines.places[early])
    again, after = states_after(lines.at(rest), states.__getitem__)
    states[again] = after
    return states
