"""What page, report and PDF are made of: sections of text, figures, charts and tables."""

from dataclasses import dataclass

from pipeline.core.formatting import truncate
from pipeline.reporting.picture import Chart, Row

GOOD, WARNING, BAD = "good", "warning", "bad"
MAX_LETTERS = 150  # of a cell on paper; report.html has them all
TITLE = "Clients about to leave"


@dataclass(frozen=True)
class Grid:
    """A table for people; every row has as many cells as the header."""

    caption: str
    header: Row
    rows: tuple[Row, ...]
    numbers: tuple[int, ...] = ()  # columns that hold numbers, from 0
    empty: str = "None yet."  # in place of a table without rows
    widths: tuple[int, ...] = ()  # of the columns on paper, relative; equal if not given
    longest: tuple[int, ...] = ()  # letters of a cell on paper, by column; else MAX_LETTERS
    on_paper: int = 8  # rows; the others are in report.html
    narrow: bool = False  # fits next to a chart
    folded: bool = False  # shown where it is asked for

    @property
    def paper_rows(self) -> list[Row]:
        """The rows on paper, the header first, their cells cut short."""
        most = self.longest or (MAX_LETTERS,) * len(self.header)
        rows = [
            tuple(truncate(cell, at_most) for cell, at_most in zip(row, most, strict=True))
            for row in self.rows[: self.on_paper]
        ]
        if more := len(self.rows) - len(rows):
            rows.append((f"and {more:,} more", *[""] * (len(self.header) - 1)))
        return [self.header, *rows]


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
