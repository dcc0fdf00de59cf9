"""The report as a PDF: a few pages of A4, in one column or two."""

import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

from fpdf import FPDF
from fpdf.enums import MethodReturnValue, TableBordersLayout, VAlign, XPos, YPos
from fpdf.fonts import FontFace, TTFFont
from matplotlib import get_data_path

from pipeline.reporting.charts.chart import Chart
from pipeline.reporting.charts.style import GRID, HEIGHT, INK, MUTED, PAPER, WIDTH
from pipeline.reporting.document import (
    BAD,
    GOOD,
    TITLE,
    WARNING,
    Fact,
    Grid,
    ReportContent,
    Section,
    State,
)

LEVELS = {GOOD: "#1a7f37", WARNING: "#9a6700", BAD: "#c1121f"}
_TITLE = 3 + 7 + 1.0  # millimetres: title of a section, with the space above and below
MARGIN = 15.0  # millimetres
GAP = 6.0
LINE = 3.9  # the height of a line of small text
SMALL, TEXT, LARGE = 7.0, 8.5, 12.0  # points
ABOVE, PADDING = 0.5, 1.5  # millimetres in a cell: above and below, to the right
MAX_KEPT = 100.0  # height of a table that is kept on one page
MISSING_LETTER = "□"  # in place of a letter that the font lacks

_BREAKS = "\t\r\n"  # of lines and cells, no letters

logging.getLogger("fpdf").setLevel(logging.ERROR)  # it logs the tags of an SVG that it ignores
logging.getLogger("fontTools").setLevel(logging.ERROR)  # and the tables of a font


class Paper(FPDF):
    """A4 with margins and a footer on every page."""

    def __init__(self, title: str, footer: str) -> None:
        super().__init__(format="A4")
        self._footer = footer
        self.lacks_letters = False
        self.set_margin(MARGIN)
        self.set_auto_page_break(auto=True, margin=MARGIN + 5)
        folder = Path(get_data_path(), "fonts/ttf")
        self.add_font("DejaVu", fname=folder / "DejaVuSans.ttf")
        self.add_font("DejaVu", style="B", fname=folder / "DejaVuSans-Bold.ttf")
        self.set_title(title)
        self.set_lang("en")
        self.set_draw_color(GRID)

    def normalize_text(self, text: str) -> str:
        """The text as it is written; letters that the font lacks are replaced, and noted."""
        font = self.current_font
        assert isinstance(font, TTFFont)  # no other is ever set
        known = "".join(c if ord(c) in font.cmap or c in _BREAKS else MISSING_LETTER for c in text)
        self.lacks_letters |= known != text
        return known

    def footer(self) -> None:
        """The footer of each page."""
        self.set_xy(MARGIN, -MARGIN)
        self.set_type(SMALL, colour=MUTED)
        self.cell(0, LINE, self._footer)
        self.set_x(MARGIN)
        self.cell(0, LINE, f"Page {self.page_no()}", align="R")

    def two_columns(self, parts: Sequence[Chart | Grid]) -> None:
        """Charts and narrow tables in two columns, each below what is shorter."""
        tops = [self.get_y()] * 2
        for part in parts:
            height = self._part_height(part)
            if min(tops) + height > self.page_break_trigger and min(tops) > MARGIN + 20:
                self.add_page()
                tops = [self.get_y()] * 2
            place = tops.index(min(tops))
            left = MARGIN + place * (self.half + GAP)
            self.set_xy(left, tops[place])
            if isinstance(part, Chart):
                self.chart(part, left)
                tops[place] += height
            else:
                self.grid(part, self.half, left)
                tops[place] = self.get_y()
        self.set_xy(MARGIN, max(tops))

    def first_height(self, parts: Sequence[Chart | Grid]) -> float:
        """The height of the first row of these: two charts, or what stays together of a table."""
        charts = [part for part in parts[:2] if isinstance(part, Chart)]
        if charts:
            return self.charts_height(charts)
        tables = [part for part in parts[:1] if isinstance(part, Grid)]
        return sum(min(self.grid_height(one, self._width_of(one)), MAX_KEPT) for one in tables)

    def _width_of(self, grid: Grid) -> float:
        return self.half if grid.narrow else self.epw

    def _part_height(self, part: Chart | Grid) -> float:
        if isinstance(part, Chart):
            return self.charts_height([part])
        return self.grid_height(part, self.half)

    @property
    def half(self) -> float:
        """The width of one of two columns."""
        return (self.epw - GAP) / 2

    def charts_height(self, charts: Sequence[Chart]) -> float:
        """The height of charts next to each other, the highest title included."""
        self.set_type(TEXT, bold=True)
        title = max(self._height(chart.title, self.half) for chart in charts)
        return title + self.half * HEIGHT / WIDTH + 2

    def chart(self, chart: Chart, left: float) -> None:
        """A chart below its title, as wide as half the page."""
        self.set_type(TEXT, bold=True)
        self.multi_cell(self.half, LINE, chart.title, align="L", new_x=XPos.LEFT)
        self.image(
            BytesIO(chart.drawing().encode()),
            x=left,
            y=self.get_y() + 1,
            w=self.half,
            alt_text=chart.summary,
        )

    def text_height(self, text: str) -> float:
        """The height of a text over the whole width, in the type that is set."""
        return self._height(text, self.epw) if text else 0.0

    def _height(self, text: str, width: float) -> float:
        """The height of a text in the type that is set."""
        return LINE * len(self._broken(text, width))

    def _broken(self, text: str, width: float) -> list[str]:
        """A text, broken into lines."""
        lines = self.multi_cell(
            width, LINE, text, align="L", dry_run=True, output=MethodReturnValue.LINES
        )
        assert isinstance(lines, list)  # as `output` says
        return lines

    def grid_height(self, grid: Grid, width: float) -> float:
        """The height of a table."""
        self.set_type(SMALL)
        shares = grid.widths or (1,) * len(grid.header)
        parts = [width * part / sum(shares) - PADDING for part in shares]
        lines = (
            max(len(self._broken(cell, part)) for cell, part in zip(row, parts, strict=True))
            for row in grid.paper_rows
        )
        return sum(LINE * count + 2 * ABOVE for count in lines) + LINE * 1.3 + 2

    def grid(self, grid: Grid, width: float, left: float = MARGIN) -> None:
        """A table below its caption."""
        self.set_x(left)
        self.set_type(TEXT, bold=True)
        if not grid.rows:
            self.multi_cell(width, LINE * 1.3, f"{grid.caption}: {grid.empty}", align="L")
            self.ln(1)
            return
        self.multi_cell(width, LINE * 1.3, grid.caption, align="L")
        self.set_type(SMALL)
        self.set_x(left)
        with self.table(
            width=width,
            align="LEFT" if left == MARGIN else "RIGHT",
            col_widths=grid.widths or None,
            borders_layout=TableBordersLayout.HORIZONTAL_LINES,
            headings_style=FontFace(emphasis="BOLD", color=INK),
            line_height=LINE,
            v_align=VAlign.T,
            padding=(ABOVE, PADDING, ABOVE, 0),
            text_align=tuple(
                "RIGHT" if place in grid.numbers else "LEFT" for place in range(len(grid.header))
            ),
        ) as table:
            for row in grid.paper_rows:
                table.row(row)
        self.ln(2)

    def keep_together(self, height: float) -> None:
        """Begin a new page if this one has less room left."""
        if self.get_y() + height > self.page_break_trigger and self.get_y() > MARGIN + 20:
            self.add_page()

    def set_type(self, size: float, *, bold: bool = False, colour: str = INK) -> None:
        """Set the type of the text that follows."""
        self.set_font("DejaVu", style="B" if bold else "", size=size)
        self.set_text_color(colour)

    def lines(self, text: str, height: float) -> None:
        """A text over the whole width."""
        self.multi_cell(0, height, text, align="L", new_x=XPos.LMARGIN, new_y=YPos.NEXT)


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
    """The overall health: a bar in its colour, the level, the sentence, the figures."""
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
    columns: list[Chart | Grid] = [
        *section.charts,
        *(grid for grid in section.grids if grid.narrow),
    ]
    below = [grid for grid in section.grids if not grid.narrow]
    paper.set_type(TEXT)
    lead = paper.text_height(section.lead)
    paper.keep_together(_TITLE + lead + paper.first_height([*columns, *below]))
    paper.ln(3)
    paper.set_type(LARGE, bold=True)
    paper.lines(section.title, 7)
    if section.lead:
        paper.set_type(TEXT, colour=MUTED)
        paper.lines(section.lead, LINE)
    paper.ln(1)
    paper.two_columns(columns)
    for grid in below:
        paper.keep_together(min(paper.grid_height(grid, paper.epw), MAX_KEPT))
        paper.grid(grid, paper.epw)
    _notes(paper, section.notes)


def _notes(paper: Paper, notes: Sequence[str]) -> None:
    """A sentence, and points below it."""
    paper.set_type(TEXT)
    paper.keep_together(min(sum(paper.text_height(note) for note in notes), MAX_KEPT))
    for note in notes:
        paper.lines(note if note == notes[0] else f"•  {note}", LINE)


def _letters(paper: Paper) -> None:
    """A note on letters that the font lacks."""
    if paper.lacks_letters:
        paper.set_type(SMALL, colour=MUTED)
        paper.ln(2)
        paper.lines(f"{MISSING_LETTER}: a letter that this font lacks; report.html has it.", LINE)
