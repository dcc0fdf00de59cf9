"""The states of all observations, beside `finaldata.csv`: made anew from the sightings if need be.

They are changed in place, which is quick where there are millions. What says that they are whole
is their head, which is written last.
"""

import os
from pathlib import Path

import numpy as np

from pipeline.core.files import errors_with_path
from pipeline.observations.master_files import current_path, log_path, state_path
from pipeline.observations.row_keys import RowKeys, loaded_keys
from pipeline.observations.rules import (
    STATE,
    UNKNOWN,
    Lines,
    Outcomes,
    Rows,
    States,
    states_after,
    states_after_first,
)
from pipeline.observations.sightings import SightingsLog, keys_of, outcomes_of
from pipeline.storage.ledger import MasterState

_MAGIC = int.from_bytes(b"states01", "little")
_HEAD = np.dtype("<u8")
_WORDS = 4  # of the head: magic, id and size of the sightings they are made of, rows


class StateFile:
    """The file, open for changing."""

    def __init__(self, path: Path, states: States) -> None:
        self._path = path
        path.unlink(missing_ok=True)
        self._file = path.open("w+b")
        self._file.write(bytes(_WORDS * _HEAD.itemsize))
        self._file.write(states.view(np.uint8).data)
        self._rows = len(states)

    @classmethod
    def opened(cls, path: Path, log: str, size: int, rows: int) -> "StateFile | None":
        """The states of so many rows by these sightings; None if the file has others."""
        found = cls.__new__(cls)
        try:
            found._file = path.open("r+b")
        except FileNotFoundError:
            return None
        found._path, found._rows = path, rows
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

    def add(self, lines: Lines) -> Rows:
        """Take in lines that follow all others; returns the rows whose outcomes became others.

        The first lines of new observations give them their numbers, in order.
        """
        highest = np.maximum.accumulate(np.append(self._rows - 1, lines.rows.astype(np.int64)))
        first = lines.rows > highest[:-1]
        with errors_with_path(self._path):
            self._file.seek(0, os.SEEK_END)
            self._file.write(states_after_first(lines.at(first)).tobytes())
            self._file.flush()
        self._rows += int(first.sum())
        again = lines.at(~first)
        if not len(again):
            return again.rows
        states = self._mapped()
        rows, after = states_after(again, states.__getitem__)
        changed = after["outcome"] != states["outcome"][rows]
        states[rows] = after
        others: Rows = rows[changed]
        return others

    def outcomes(self, rows: Rows) -> Outcomes:
        """The outcomes of these observations."""
        found: Outcomes = self._mapped()["outcome"][rows]
        return found

    def save(self, log: str, size: int) -> None:
        """Note that these are the states by so many bytes of these sightings."""
        with errors_with_path(self._path):
            self._file.flush()
            os.fsync(self._file.fileno())
            self._write_head(head_of(log, size, self._rows))

    def _mapped(self) -> "np.memmap[tuple[int], np.dtype[np.void]]":
        offset = _WORDS * _HEAD.itemsize
        return np.memmap(self._file, STATE, "r+", offset, shape=(self._rows,))

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


def recorded_states(path: Path, on_record: MasterState) -> States:
    """The states of the rows of `finaldata.csv`, for those who read them."""
    log, rows = on_record.log, on_record.rows
    assert log
    try:
        with state_path(path).open("rb") as file:
            head = file.read(_WORDS * _HEAD.itemsize)
            if head == head_of(log.id, log.record.size, rows):
                return np.memmap(file, STATE, "r", len(head), shape=(rows,))
    except FileNotFoundError:
        pass
    # a run is changing them, or was killed
    sightings = SightingsLog(log_path(path, log.id), log.record.size, read_only=True)
    try:
        keys = loaded_keys(current_path(path, on_record), on_record, sightings.seed)
        return states_by(lines_of(sightings, keys), rows)
    finally:
        sightings.close()


def lines_of(log: SightingsLog, keys: RowKeys) -> Lines:
    """All sightings and reports, in their order, with their observations' rows."""
    low = keys_of(keys.low_words())
    order = np.argsort(low)
    codes, places = log.sightings()
    rows = order[np.searchsorted(low, keys_of(codes), sorter=order)].astype("<u4")
    lines = Lines(rows, outcomes_of(codes), places)
    return lines if (places[1:] >= places[:-1]).all() else lines.at(np.argsort(places))


def states_by(lines: Lines, rows: int) -> States:
    """The states of so many observations by all lines there are, in order."""
    states = np.zeros(rows, STATE)
    states["outcome"] = UNKNOWN
    first = np.unique(lines.rows, return_index=True)[1]
    rest = np.ones(len(lines), np.bool_)
    rest[first] = False
    states[lines.rows[first]] = states_after_first(lines.at(first))
    again, after = states_after(lines.at(rest), states.__getitem__)
    states[again] = after
    return states
