"""A client's rows in `finaldata.csv`, found by its name: the others are not parsed."""

import csv
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

from pipeline.core.schema import Schema
from pipeline.observations.master import Master

if TYPE_CHECKING:
    import numpy as np

MAX_CLIENT_ROWS = 100


@dataclass(frozen=True)
class RowsOfClient:
    """A client's last rows, that of the latest sighting last, as texts of the columns."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    total: int  # of all its rows
    left: bool  # whether it has left


def rows_of_client(master: Master, client: str, limit: int = MAX_CLIENT_ROWS) -> RowsOfClient:
    """The rows of a client that were sighted last; the others are not parsed."""
    schema = master.schema
    lines, states = master.of_client(client)
    rows = list(csv.reader(line.decode() for line in lines))
    sighted, left = states["sighted"].tolist(), states["left"].tolist()
    dates = [row[1] if schema.date else "" for row in rows]
    if master.left_out.contents:  # what they said of rows is in the file
        rows = [_as_known(schema, *each) for each in zip(rows, states, strict=True)]
    every = sorted(zip(dates, sighted, rows, strict=True))
    seen = [each for each in every if each[1]]
    gone = [each for each in zip(dates, left, strict=True) if each[1]]
    has_left = bool(seen and gone) and max(gone) >= seen[-1][:2]
    last = tuple(tuple(row) for *_, row in seen[-limit:])
    return RowsOfClient(schema.columns, last, len(seen), has_left)


def _as_known(schema: Schema, row: list[str], state: "np.void") -> list[str]:
    """The texts of a row with what is known of its outcome."""
    from pipeline.observations.rules import OUTCOME_TEXTS

    cells = dict(zip(schema.columns, row, strict=True))
    cells[schema.outcome] = OUTCOME_TEXTS[state["outcome"]].decode()
    if schema.left_on:
        day = int(state["day"])
        cells[schema.left_on] = date.fromordinal(day).isoformat() if day else ""
    return list(cells.values())
