"""Outcomes alone: which observation a report of an outcome is about."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import compress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.core.schema import Schema
from pipeline.observations.rewriting import line_batches
from pipeline.observations.rules import UNKNOWN, UNSAID, Days, Hashes, Outcomes, Places
from pipeline.observations.tails import client_cell, days_of, reports, text_hashes

Index = NDArray[np.int64]

_DATE = len("2026-01-31")


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
