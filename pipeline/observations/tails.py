"""The last cells of a line, which tell no observation from another.

They are the outcome and, where the schema has them, the day of leaving and columns that travel. In
the file of sightings the last two are one word a line, `more`: the day and a hash of the others.
"""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from functools import lru_cache

import numpy as np
from xxhash import xxh3_64_intdigest, xxh32_intdigest

from pipeline.core.schema import Schema, csv_line
from pipeline.observations.rules import (
    OUTCOME_TEXTS,
    UNKNOWN,
    UNSAID,
    Days,
    Hashes,
    More,
    Outcomes,
    more_of,
)

_COMMA = ord(",")


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


def _cells(line: bytes, count: int) -> list[bytes]:
    """What is before so many last cells, and these."""
    if b'"' not in line:
        return line.rsplit(b",", count)
    cells = next(csv.reader([line.decode()]))
    return [csv_line(cells[:-count]).encode(), *(csv_line((c,)).encode() for c in cells[-count:])]


@lru_cache(maxsize=1024)
def _day(text: bytes) -> int:
    return date.fromisoformat(text.decode()).toordinal() if text else 0
