"""The tables of page and report as aligned text for a terminal."""

import unicodedata
from bisect import bisect_right
from itertools import accumulate

from pipeline.core.formatting import format_minute
from pipeline.reporting.document import Grid
from pipeline.reporting.tables import (
    checks_grid,
    deployments_grid,
    input_grid,
    missing_grid,
    refused_grid,
    timings_grid,
    verdicts_grid,
)
from pipeline.storage.records import Checked
from pipeline.storage.trends import Trends

MAX_CELLS = 60  # of a terminal, for one cell of a table; the rest is in `--json`


def trend_lines(found: Trends) -> list[str]:
    """Every kind of trend as a table, the latest first."""
    grids = (
        checks_grid(found.checks),
        deployments_grid(found.deployments),
        missing_grid(found.missing),
        timings_grid(found.timings),
        refused_grid(found.refused),
    )
    lines = [line for grid in grids for line in ("", *grid_lines(grid))]
    return lines[1:]


def drift_lines(checked: Checked) -> list[str]:
    """What the last drift check found, by score, then by input."""
    title = f"last drift check, {format_minute(checked.at)} UTC, of release {checked.release}"
    lines = [title, *grid_lines(verdicts_grid(checked))]
    return [*lines, "", *grid_lines(input_grid(checked.input))] if checked.input else lines


def grid_lines(grid: Grid) -> list[str]:
    """A table below its caption, numbers to the right, long cells cut short."""
    if not grid.rows:
        return [grid.caption, f"  {grid.empty}"]
    rows = [[_short(cell) for cell in row] for row in (grid.header, *grid.rows)]
    widths = [max(map(width, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = []
        for place, (cell, wide) in enumerate(zip(row, widths, strict=True)):
            padding = " " * (wide - width(cell))
            cells.append(padding + cell if place in grid.numbers else cell + padding)
        lines.append(f"  {'  '.join(cells)}".rstrip())
    return [grid.caption, *lines]


def width(text: str) -> int:
    """How many cells of a terminal a text takes: wide letters take two, combining marks none."""
    return sum(map(_cells, text))


def _cells(letter: str) -> int:
    if unicodedata.category(letter) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(letter) in ("W", "F") else 1


def _short(text: str) -> str:
    if width(text) <= MAX_CELLS:
        return text
    cells = list(accumulate(map(width, text)))
    return text[: bisect_right(cells, MAX_CELLS - 1)] + "…"
