"""What page, report and PDF are made of: sections of text, figures, charts and tables."""

import re
import unicodedata
from bisect import bisect_right
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

from pipeline.reporting.picture import Chart, Row

GOOD, WARNING, BAD = "good", "warning", "bad"
TITLE = "Clients about to leave"
MAX_CELLS = 60  # of a terminal, for one cell of a table; the rest is in `--json`
# of cells that stand to the right: numbers, with their interval or where they lie
_NUMBER = re.compile(
    r"-?|[-+]?\d[\d.,]*(e[-+]?\d+)?( %)?( \(.* to .*\)| to .*| above| below)?|undefined"
)


@dataclass(frozen=True)
class Grid:
    """A table for people; every row has as many cells as the header."""

    caption: str
    header: Row
    rows: tuple[Row, ...]
    empty: str = "None yet."  # in place of a table without rows
    narrow: bool = False  # fits next to a chart
    folded: bool = False  # shown where it is asked for

    @cached_property
    def numbers(self) -> frozenset[int]:
        """The columns that hold numbers alone, from 0."""
        cells = enumerate(zip(*self.rows, strict=True))
        return frozenset(i for i, column in cells if all(map(_NUMBER.fullmatch, column)))


@dataclass(frozen=True)
class Fact:
    """One figure, its name, and a remark."""

    name: str
    value: str
    note: str = ""


@dataclass(frozen=True)
class State:
    """Overall health: a level, a one-sentence status, and figures."""

    level: str  # GOOD, WARNING or BAD
    word: str  # the level for people, many of whom see no colours
    sentence: str
    facts: tuple[Fact, ...]
    problems: tuple[str, ...] = ()  # what is wrong or in doubt, each a part of the sentence


@dataclass(frozen=True)
class Section:
    """One part of the page or of a report; `key` names it among the others."""

    key: str
    title: str
    lead: str = ""
    charts: tuple[Chart, ...] = ()
    grids: tuple[Grid, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class ReportContent:
    """What the report contains, as HTML and as PDF."""

    made_at: str  # to the minute
    release: str
    state: State
    sections: tuple[Section, ...]
    card: str  # the whole model card, in Markdown

    @property
    def made(self) -> str:
        """When it was made, and of what, for a person."""
        return f"Report of {self.made_at} UTC, of release {self.release}"


def grid_lines(grid: Grid) -> list[str]:
    """A table for a terminal, below its caption, numbers to the right, long cells cut short."""
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
    """A cell without what a terminal obeys, cut short."""
    text = "".join(" " if unicodedata.category(letter) == "Cc" else letter for letter in text)
    if width(text) <= MAX_CELLS:
        return text
    cells = list(accumulate(map(width, text)))
    return text[: bisect_right(cells, MAX_CELLS - 1)] + "…"
