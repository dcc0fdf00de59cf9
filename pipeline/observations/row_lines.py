"""The lines of `finaldata.csv`: read, cut in two, put together again, and written in other files.

The last cells of a line tell no observation from another. They are the outcome and, where the
schema has them, the day of leaving and columns that travel. In the file of sightings the last two
are one word a line, `more`: the day and a hash of the others.
"""

import csv
import mmap
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import lru_cache
from itertools import compress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from xxhash import xxh3_64_intdigest, xxh32_intdigest

from pipeline.core.files import errors_with_path
from pipeline.core.schema import Schema, csv_line
from pipeline.observations.rules import (
    OUTCOME_TEXTS,
    UNKNOWN,
    UNSAID,
    Days,
    Hashes,
    More,
    Outcomes,
    Places,
    Rows,
    States,
    more_of,
)

BLOCK = 16 << 20
SEARCH_BLOCK = 1 << 18  # bytes; small enough for a processor's cache
_COMMA, _LINE_END, _DATE = ord(","), ord("\n"), len("2026-01-31")
_NO_ROWS: Rows = np.zeros(0, np.uint32)
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
    """What lines of a file of outcomes alone say; each array has the shape (lines,).

    `rows` has the row of the observation that each is about, -1 where there is none.
    """

    clients: list[bytes]  # cells
    dates: list[bytes]  # empty where none is given
    outcomes: Outcomes
    days: Days
    rows: Index

    @property
    def says(self) -> NDArray[np.bool_]:
        """Which of them say anything."""
        return np.asarray((self.outcomes != UNKNOWN) | (self.days != UNSAID))

    def names(self, index: NDArray[np.bool_]) -> tuple[str, ...]:
        """The clients in some of the lines, each once, as they are written."""
        return tuple(
            dict.fromkeys(cell.decode() for cell in compress(self.clients, index.tolist()))
        )


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
    outcomes = np.array([OUTCOME_TEXTS.index(row[1]) for row in cells], np.uint8)
    return Split([row[0] for row in cells], outcomes, more_of(days, hashes), carried)


def renewer(
    schema: Schema, rows: Rows, states: States, carried: Mapping[int, bytes]
) -> Callable[[int, bytes], bytes]:
    """Lines of these rows as their states say, each by its place among the rows and as it was.

    What a row carries is as before where `carried` does not have it.
    """
    outcomes = [OUTCOME_TEXTS[outcome] for outcome in states["outcome"][rows].tolist()]
    if len(schema.tail) == 1:
        return lambda i, line: line[: line.rindex(b",") + 1] + outcomes[i]
    days = [
        date.fromordinal(day).isoformat().encode() if day else b""
        for day in states["day"][rows].tolist()
    ]

    def renewed(i: int, line: bytes) -> bytes:
        before = split([line], schema)
        cells = [before.observations[0], outcomes[i], *([days[i]] if schema.left_on else [])]
        if schema.carry:
            cells.append(carried.get(int(rows[i]), before.carried[0]))
        return b",".join(cells)

    return renewed


def reports(lines: Sequence[bytes], schema: Schema) -> Reports:
    """Read canonical lines of a file of outcomes alone; whom they are about is not known yet."""
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
    return Reports([row[0] for row in rows], dates, outcomes, days, np.full(len(rows), -1))


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


def client_of(line: bytes) -> str:
    """The client's name in a line, or in its first cell alone."""
    return next(csv.reader([line.decode(errors="replace")]))[0]


def _cells(line: bytes, count: int) -> list[bytes]:
    """What is before so many last cells, and these."""
    if b'"' not in line:
        return line.rsplit(b",", count)
    cells = next(csv.reader([line.decode()]))
    return [csv_line(cells[:-count]).encode(), *(csv_line((c,)).encode() for c in cells[-count:])]


@lru_cache(maxsize=1024)
def _day(text: bytes) -> int:
    return date.fromisoformat(text.decode()).toordinal() if text else 0


# --- files of them ---


def line_batches(source: Path, start: int, end: int) -> Iterator[list[bytes]]:
    """The lines between two bytes of a file, without their line ends, many at a time."""
    with source.open("rb") as file:
        file.seek(start)
        while (left := end - file.tell()) > 0 and (text := file.read(min(BLOCK, left))):
            if not text.endswith(b"\n"):
                text += file.readline()
            yield text.split(b"\n")[:-1]


def rows_in(source: Path, size: int) -> Iterator[list[bytes]]:
    """The lines of so many bytes of a file but the first, many at a time."""
    with source.open("rb") as file:
        start = len(file.readline())
    yield from line_batches(source, start, size)


def write_rows(
    source: Path,
    target: Path,
    order: Rows | None = None,
    changed: Rows = _NO_ROWS,
    renewed: Callable[[int, bytes], bytes] = lambda _, line: line,
) -> None:
    """Write the rows of one file in this order, if any, to another, which is durable then.

    `changed` are places in that order, rising: `renewed` gets the place of each among them, and its
    line, and returns the line that it becomes.
    """
    with (
        errors_with_path(target),
        source.open("rb") as old,
        target.open("wb") as new,
        mmap.mmap(old.fileno(), 0, access=mmap.ACCESS_READ) as text,
    ):
        ends = [np.zeros(0, np.int64)]
        for begin in range(0, len(text), BLOCK):
            part = np.frombuffer(text[begin : begin + BLOCK], np.uint8)
            ends.append(begin + 1 + np.flatnonzero(part == _LINE_END))
        bounds = np.concatenate(ends)  # the first is that of the header
        begins, after = bounds[:-1], bounds[1:]
        if order is not None:
            begins, after = begins[order], after[order]
        # rows that follow each other in both files are copied together
        apart = np.flatnonzero(begins[1:] != after[:-1]) + 1
        cuts = [apart, changed.astype(np.int64), np.array([0, len(begins)])]
        parts = np.unique(np.concatenate([*cuts, cuts[1] + 1]))
        new.write(text[: bounds[0]])
        at, found = 0, [*changed.tolist(), -1]
        for first, begin, end in zip(
            *(parts[:-1].tolist(), begins[parts[:-1]].tolist()),
            after[parts[1:] - 1].tolist(),
            strict=True,
        ):
            if first == found[at]:
                new.write(renewed(at, text[begin : end - 1]) + b"\n")
                at += 1
                continue
            for block in range(begin, end, BLOCK):
                new.write(text[block : min(block + BLOCK, end)])
        new.flush()
        os.fsync(new.fileno())


def lines_of_client(client: str, path: Path, size: int) -> Iterator[tuple[int, bytes]]:
    """A client's lines in so many bytes of the file, those that begin with its cell; by row.

    Rows are canonical, without line breaks. The file is read and not mapped: that takes as long,
    and another run that truncates it causes no bus error.
    """
    begin = f"\n{csv_line((client,))},".encode(errors="surrogatepass")
    with path.open("rb") as file:
        left, row = size - len(file.readline()), 0
        while left > 0 and (block := file.read(min(SEARCH_BLOCK, left))):
            if not block.endswith(b"\n"):
                block += file.readline()
            left -= len(block)
            block = b"\n" + block
            at = block.find(begin)
            while at >= 0:
                end = block.index(b"\n", at + 1)
                yield row + block.count(b"\n", 0, at), block[at + 1 : end]
                at = block.find(begin, end)
            row += block.count(b"\n") - 1


# --- whom outcomes alone are about ---


class ClientRows:
    """Whose rows are, and of which day."""

    def __init__(self, schema: Schema, seed: int) -> None:
        self._schema, self._seed = schema, seed
        self._clients, self._dates = np.zeros(0, np.uint64), np.zeros(0, np.uint32)

    def add(self, batches: Iterable[Sequence[bytes]]) -> None:
        """Add rows by their canonical lines."""
        clients, dates = [self._clients], [self._dates]
        for lines in batches:
            cells = [client_cell(line) for line in lines]
            clients.append(text_hashes(cells, self._seed))
            if self._schema.date:
                begins = [len(cell) + 1 for cell in cells]
                pairs = zip(begins, lines, strict=True)
                dates.append(days_of([line[at : at + _DATE] for at, line in pairs]))
        self._clients, self._dates = np.concatenate(clients), np.concatenate(dates)

    def find(self, lines: Sequence[bytes], sighted: Places) -> Reports:
        """Reports and their observations, by the places of all latest sightings: (rows,)."""
        said = reports(lines, self._schema)
        rows = self._latest(text_hashes(said.clients, self._seed), days_of(said.dates), sighted)
        return replace(said, rows=np.where(said.says, rows, -1))

    def _latest(self, clients: Hashes, dates: Days, sighted: Places) -> Index:
        """Of each of these clients the row of that day, else the latest; -1 of one without."""
        order = np.argsort(self._clients, kind="stable")
        of = self._clients[order]
        begins, ends = np.searchsorted(of, clients), np.searchsorted(of, clients, "right")
        found = np.full(len(clients), -1)
        for i in np.flatnonzero(begins < ends).tolist():
            rows = order[begins[i] : ends[i]]
            if self._schema.date:
                days = self._dates[rows]
                asked = days == dates[i]
                rows = rows[asked if asked.any() else days == days.max()]
            found[i] = rows[np.argmax(sighted[rows])]
        return found
