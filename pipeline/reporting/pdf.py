"""The report on paper: a few pages of A4 for somebody who has a minute."""

from collections.abc import Sequence
from datetime import UTC, datetime

from fpdf.enums import XPos

from pipeline.reporting.charts.chart import Chart
from pipeline.reporting.charts.style import INK, MUTED, PAPER
from pipeline.reporting.document import BAD, GOOD, WARNING, Fact, Grid, Section, State
from pipeline.reporting.html import TITLE, ReportContent
from pipeline.reporting.paper import LACKING, LARGE, LINE, MARGIN, SMALL, TABLE, TEXT, Paper

LEVELS = {GOOD: "#1a7f37", WARNING: "#9a6700", BAD: "#c1121f"}
_TITLE = 3 + 7 + 1.0  # millimetres: of a section, with what is free above and below


def report_pdf(content: ReportContent) -> bytes:
    """The report as a PDF."""
    paper = Paper(f"{TITLE}: {content.made}", content.made)
    paper.set_creation_date(datetime.fromisoformat(content.made_at).replace(tzinfo=UTC))
    paper.add_page()
    _head(paper, content)
    _state(paper, content.state)
    for section in content.sections:
        _section(paper, section)
    _letters(paper)
    return bytes(paper.output())


def _head(paper: Paper, content: ReportContent) -> None:
    """The title."""
    paper.set_type(20, bold=True)
    paper.lines(TITLE, 9)
    paper.set_type(TEXT, colour=MUTED)
    paper.lines(content.made, 5)
    paper.ln(3)


def _state(paper: Paper, state: State) -> None:
    """How the system stands: a bar in its colour, the word, the sentence, the figures."""
    top = paper.get_y()
    colour = LEVELS[state.level]
    paper.set_left_margin(MARGIN + 4)
    paper.set_x(MARGIN + 4)
    paper.set_type(11, bold=True, colour=colour)
    paper.lines(state.word, 5.5)
    paper.set_type(11)
    paper.lines(state.sentence[0].upper() + state.sentence[1:], 5.5)
    paper.set_left_margin(MARGIN)
    paper.set_fill_color(colour)
    paper.rect(MARGIN, top, 1.4, paper.get_y() - top, style="F")
    paper.set_fill_color(PAPER)
    paper.ln(3)
    _facts(paper, state.facts)


def _facts(paper: Paper, facts: Sequence[Fact]) -> None:
    width = paper.epw / max(1, len(facts))
    top = paper.get_y()
    bottom = top
    for place, fact in enumerate(facts):
        left = MARGIN + place * width
        paper.set_xy(left, top)
        for text, size, bold, colour in (
            (fact.name, SMALL, False, MUTED),
            (fact.value, 13.0, True, INK),
            (fact.note, SMALL, False, MUTED),
        ):
            paper.set_type(size, bold=bold, colour=colour)
            paper.multi_cell(width - 2, size * 0.45, text, align="L", new_x=XPos.LEFT)
        bottom = max(bottom, paper.get_y())
    paper.set_xy(MARGIN, bottom + 2)


def _section(paper: Paper, section: Section) -> None:
    """One section: its title, then charts by two, narrow tables by two, wide ones."""
    beside: list[Chart | Grid] = [*section.charts, *(grid for grid in section.grids if grid.beside)]
    below = [grid for grid in section.grids if not grid.beside]
    paper.set_type(TEXT)
    lead = paper.text_height(section.lead)
    paper.keep_together(_TITLE + lead + paper.first_height([*beside, *below]))
    paper.ln(3)
    paper.set_type(LARGE, bold=True)
    paper.lines(section.title, 7)
    if section.lead:
        paper.set_type(TEXT, colour=MUTED)
        paper.lines(section.lead, LINE)
    paper.ln(1)
    paper.beside(beside)
    for grid in below:
        paper.keep_together(min(paper.grid_height(grid, paper.epw), TABLE))
        paper.grid(grid, paper.epw)
    _notes(paper, section.notes)


def _notes(paper: Paper, notes: Sequence[str]) -> None:
    """A sentence, and points below it."""
    paper.set_type(TEXT)
    paper.keep_together(min(sum(paper.text_height(note) for note in notes), TABLE))
    for note in notes:
        paper.lines(note if note == notes[0] else f"•  {note}", LINE)


def _letters(paper: Paper) -> None:
    """What became of names in letters that cannot be written here."""
    if paper.lacks_letters:
        paper.set_type(SMALL, colour=MUTED)
        paper.ln(2)
        paper.lines(f"Letters that this font lacks stand as {LACKING}; report.html has them.", LINE)
