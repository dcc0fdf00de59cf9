"""What page, report and PDF are made of: sections of words, figures, charts and tables."""

from dataclasses import dataclass

from pipeline.core.formatting import truncate
from pipeline.reporting.charts.chart import Chart, Row

GOOD, WARNING, BAD = "good", "warning", "bad"
LONGEST = 150  # characters of a cell on paper; report.html has them all


@dataclass(frozen=True)
class Grid:
    """A table as people read it; every row has as many cells as the header."""

    caption: str
    header: Row
    rows: tuple[Row, ...]
    numbers: tuple[int, ...] = ()  # the places of the columns that hold numbers, from 0
    empty: str = "None yet."  # said in place of a table without rows
    widths: tuple[int, ...] = ()  # of the columns on paper, in proportion; equal if not told
    longest: tuple[int, ...] = ()  # characters of a cell on paper, by column; LONGEST if not told
    on_paper: int = 8  # rows; the others are in report.html
    beside: bool = False  # narrow enough to stand beside a chart

    @property
    def paper_rows(self) -> list[Row]:
        """The rows that stand on paper, the header first, their cells cut short."""
        most = self.longest or (LONGEST,) * len(self.header)
        rows = [
            tuple(truncate(cell, at_most) for cell, at_most in zip(row, most, strict=True))
            for row in self.rows[: self.on_paper]
        ]
        if more := len(self.rows) - len(rows):
            rows.append((f"and {more:,} more", *[""] * (len(self.header) - 1)))
        return [self.header, *rows]


@dataclass(frozen=True)
class Fact:
    """One figure, what it is, and what there is to say of it."""

    name: str
    value: str
    note: str = ""


@dataclass(frozen=True)
class State:
    """How the system stands: at a glance, in one sentence, and in figures."""

    level: str  # GOOD, WARNING or BAD
    word: str  # the same as a word: colour alone says nothing to many
    sentence: str
    facts: tuple[Fact, ...]


@dataclass(frozen=True)
class Section:
    """One part of the page or of a report; `key` names it among the others."""

    key: str
    title: str
    lead: str = ""
    charts: tuple[Chart, ...] = ()
    grids: tuple[Grid, ...] = ()
    notes: tuple[str, ...] = ()
