"""The last cells of a line, which tell no observation from another.

They are the outcome and, where the schema has them, the day of leaving and columns that travel. In
the file of sightings the last two are one word a line, `more`: the day and a hash of the others.
"""

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from itertools import compress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from xxhash import xxh3_64_intdigest, xxh32_intdigest

from pipeline.core.schema import Schema, csv_line
from pipeline.observations.rewriting import line_batches
from pipeline.observations.rules import (
    OUTCOME_TEXTS,
    UNKNOWN,
    UNSAID,
    Days,
    Hashes,
    More,
    Outcomes,
    Places,
    more_of,
)

_COMMA, _DATE = ord(","), len("2026-01-31")
Index = NDArray[np.int64]


@dataclass(frozen=True)
class Split:
    """Lines cut in two: `observations`, and what their last cells say, each of shape (lines,).

    `more` and `carried`, the text of the cells that travel, are empty where the schema has but an
    outcome.
    """

    observations: list[bytes]
    outcomes: Outcomes
    more: More
    carried: list[bytes]


@dataclass(frozen=True)
class Reports:
    """What lines of a file of outcomes alone say; each array has the shape (lines,)."""

    clients: list[bytes]  # cells
    dates: list[bytes]  # empty where none is given
    outcomes: Outcomes
    days: Days


def split(lines: Sequence[bytes], schema: Schema) -> Split:
    """Cut canonical lines, without their line ends."""
    count = len(schema.tail)
    if count == 1:  # the outcome is one character, or none
        ends = np.array([line[-1] for line in lines], np.uint8)
        outcomes = np.where(ends == _COMMA, UNKNOWN, ends - ord("0")).astype(np.uint8)
        found = [line[:-1] if line[-1] == _COMMA else line[:-2] for line in lines]
        return Split(found, outcomes, np.zeros(0, np.uint64), [])
    cells = [_cells(line, count) for line in lines]
    at = 3 if schema.left_on else 2
    days = days_of([row[2] if schema.left_on else b"" for row in cells])
    carried = [b",".join(row[at:]) for row in cells] if schema.carry else []
    hashes = np.array([xxh32_intdigest(text) for text in carried] or len(cells) * [0], np.uint32)
    return Split(
        [row[0] for row in cells],
        np.array([OUTCOME_TEXTS.index(row[1]) for row in cells], np.uint8),
        more_of(days, hashes),
        carried,
    )


def joined(observation: bytes, outcome: bytes, day: int, carried: bytes, schema: Schema) -> bytes:
    """The line that `split` cuts into these."""
    cells = [observation, outcome]
    if schema.left_on:
        cells.append(date.fromordinal(day).isoformat().encode() if day else b"")
    return b",".join([*cells, carried] if schema.carry else cells)


def reports(lines: Sequence[bytes], schema: Schema) -> Reports:
    """Read canonical lines of a file of outcomes alone."""
    first = 2 if schema.date else 1
    rows = [_cells(line, len(schema.report_columns) - 1) for line in lines]
    outcomes = np.array([OUTCOME_TEXTS.index(row[first]) for row in rows], np.uint8)
    days = np.full(len(rows), UNSAID, np.uint32)
    if schema.left_on:
        left = days_of([row[first + 1] for row in rows])
        if not schema.has_outcome:  # who has no day of leaving has not left
            outcomes[(left == 0) & (outcomes == UNKNOWN)] = 0
        days = np.where((left > 0) | (outcomes == 0), left, UNSAID).astype(np.uint32)
    dates = [row[1] if schema.date else b"" for row in rows]
    return Reports([row[0] for row in rows], dates, outcomes, days)


def text_hashes(texts: Sequence[bytes], seed: int) -> Hashes:
    """A hash of each text: shape (texts,)."""
    return np.array([xxh3_64_intdigest(text, seed) for text in texts], np.uint64)


def days_of(texts: Sequence[bytes]) -> Days:
    """The days that these texts name, 0 where they are empty: shape (texts,)."""
    return np.array([_day(text) for text in texts], np.uint32)


def client_cell(line: bytes) -> bytes:
    """The first cell of a line as it is written."""
    if not line.startswith(b'"'):
        return line[: line.index(b",")]
    return csv_line(next(csv.reader([line.decode()]))[:1]).encode()


# --- whom outcomes alone are about ---


@dataclass(frozen=True)
class Resolved:
    """Reports and whom they are about; each array has the shape (lines,).

    `rows` has the row of each one's observation, -1 where there is none, or where it says nothing.
    """

    rows: Index
    identities: Hashes  # of the text, by which it is told from others
    outcomes: Outcomes
    days: Days
    says: NDArray[np.bool_]  # whether it says anything
    cells: list[bytes]  # of clients

    def clients(self, index: NDArray[np.bool_]) -> tuple[str, ...]:
        """The names in some of the lines, each once, as they are written."""
        return tuple(dict.fromkeys(cell.decode() for cell in compress(self.cells, index.tolist())))


class ClientRows:
    """Whose rows are, and of which day."""

    def __init__(self, schema: Schema, seed: int) -> None:
        self._schema, self.seed = schema, seed
        self.clients, self.dates = np.zeros(0, np.uint64), np.zeros(0, np.uint32)

    def add(self, batches: Iterable[Sequence[bytes]]) -> None:
        """Add rows by their canonical lines."""
        clients, dates = [self.clients], [self.dates]
        for lines in batches:
            cells = [client_cell(line) for line in lines]
            clients.append(text_hashes(cells, self.seed))
            if self._schema.date:
                begins = [len(cell) + 1 for cell in cells]
                pairs = zip(begins, lines, strict=True)
                dates.append(days_of([line[at : at + _DATE] for at, line in pairs]))
        self.clients, self.dates = np.concatenate(clients), np.concatenate(dates)

    def latest(self, clients: Hashes, dates: Days, sighted: Places) -> Index:
        """Of each of these clients the row of that day, else the latest; -1 of one without."""
        order = np.argsort(self.clients, kind="stable")
        of = self.clients[order]
        begins, ends = np.searchsorted(of, clients), np.searchsorted(of, clients, "right")
        found = np.full(len(clients), -1)
        for i in np.flatnonzero(begins < ends).tolist():
            rows = order[begins[i] : ends[i]]
            if self._schema.date:
                days = self.dates[rows]
                asked = days == dates[i]
                rows = rows[asked if asked.any() else days == days.max()]
            found[i] = rows[np.argmax(sighted[rows])]
        return found


class RowsOfFile(ClientRows):
    """Those of a file: it is read once, and what is appended later."""

    def __init__(self, path: Path, schema: Schema, seed: int) -> None:
        super().__init__(schema, seed)
        self._path, self._read = path, 0

    def extend(self, size: int) -> None:
        """Read up to this byte."""
        if not self._read:
            with self._path.open("rb") as file:
                self._read = len(file.readline())
        self.add(line_batches(self._path, self._read, size))
        self._read = size


def resolved(
    lines: Sequence[bytes], schema: Schema, known: ClientRows, sighted: Places
) -> Resolved:
    """Find the observations of reports, by the places of all latest sightings: (rows,)."""
    said = reports(lines, schema)
    clients = text_hashes(said.clients, known.seed)
    rows = known.latest(clients, days_of(said.dates), sighted)
    says = (said.outcomes != UNKNOWN) | (said.days != UNSAID)
    rows[~says] = -1
    identities = text_hashes(lines, known.seed)
    return Resolved(rows, identities, said.outcomes, said.days, says, said.clients)


def _cells(line: bytes, count: int) -> list[bytes]:
    """What is before so many last cells, and these."""
    if b'"' not in line:
        return line.rsplit(b",", count)
    cells = next(csv.reader([line.decode()]))
    return [csv_line(cells[:-count]).encode(), *(csv_line((c,)).encode() for c in cells[-count:])]


@lru_cache(maxsize=1024)
def _day(text: bytes) -> int:
    return date.fromisoformat(text.decode()).toordinal() if text else 0
