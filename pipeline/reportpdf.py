"""The report on paper: a few pages of A4 for somebody who has a minute."""

import logging
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

from fpdf import FPDF
from fpdf.enums import MethodReturnValue, TableBordersLayout, VAlign, XPos, YPos
from fpdf.fonts import FontFace
from matplotlib import get_data_path

from pipeline.chart import Chart
from pipeline.content import BAD, GOOD, WARNING, Fact, Grid, Section, State
from pipeline.plotstyle import GRID, HEIGHT, INK, MUTED, PAPER, WIDTH
from pipeline.reportpage import TITLE, ReportContent

MARGIN = 15.0  # millimetres
GAP = 6.0
LINE = 3.9  # the height of a line of small text
SMALL, TEXT, LARGE = 7.0, 8.5, 12.0  # points
LEVELS = {GOOD: "#1a7f37", WARNING: "#9a6700", BAD: "#c1121f"}
ABOVE, PADDING = 0.5, 1.5  # millimetres in a cell: above and below, to the right
LONGEST = 160  # characters of a cell on paper

logging.getLogger("fpdf").setLevel(logging.ERROR)  # it tells which tags of an SVG it passes over
logging.getLogger("fontTools").setLevel(logging.ERROR)  # and which tables of a font


def report_pdf(content: ReportContent) -> bytes:
    """The report as a PDF."""
    paper = _Paper(content)
    paper.add_page()
    paper.head(content)
    paper.state(content.state)
    for section in content.sections:
        paper.section(section)
    return bytes(paper.output())


class _Paper(FPDF):
    """A4 with margins, a foot on every page, and the parts of a report."""

    def __init__(self, content: ReportContent) -> None:
        super().__init__(format="A4")
        self._foot = content.made
        self.set_margin(MARGIN)
        self.set_auto_page_break(auto=True, margin=MARGIN + 5)
        folder = Path(get_data_path(), "fonts/ttf")
        self.add_font("DejaVu", fname=folder / "DejaVuSans.ttf")
        self.add_font("DejaVu", style="B", fname=folder / "DejaVuSans-Bold.ttf")
        self.set_title(f"{TITLE}: {content.made}")
        self.set_lang("en")
        self.set_draw_color(GRID)

    def footer(self) -> None:
        """What stands below each page."""
        self.set_xy(MARGIN, -MARGIN)
        self._type(SMALL, colour=MUTED)
        self.cell(0, LINE, self._foot)
        self.set_x(MARGIN)
        self.cell(0, LINE, f"Page {self.page_no()}", align="R")

    def head(self, content: ReportContent) -> None:
        """The title."""
        self._type(20, bold=True)
        self._lines(TITLE, 9)
        self._type(TEXT, colour=MUTED)
        self._lines(content.made, 5)
        self.ln(3)

    def state(self, state: State) -> None:
        """How the system stands: a bar in its colour, the word, the sentence, the figures."""
        top = self.get_y()
        colour = LEVELS[state.level]
        self.set_left_margin(MARGIN + 4)
        self.set_x(MARGIN + 4)
        self._type(11, bold=True, colour=colour)
        self._lines(state.word, 5.5)
        self._type(11)
        self._lines(state.sentence[0].upper() + state.sentence[1:], 5.5)
        self.set_left_margin(MARGIN)
        self.set_fill_color(colour)
        self.rect(MARGIN, top, 1.4, self.get_y() - top, style="F")
        self.set_fill_color(PAPER)
        self.ln(3)
        self._facts(state.facts)

    def section(self, section: Section) -> None:
        """One section: its title, then charts by two, narrow tables by two, wide ones."""
        first = self._charts_height(section.charts[:2]) if section.charts else 30
        self._keep_together(first + 20)
        self.ln(3)
        self._type(LARGE, bold=True)
        self._lines(section.title, 7)
        if section.lead:
            self._type(TEXT, colour=MUTED)
            self._lines(section.lead, LINE)
        self.ln(1)
        self._beside([*section.charts, *(grid for grid in section.grids if grid.beside)])
        for grid in section.grids:
            if not grid.beside:
                self._keep_together(min(self._grid_height(grid, self.epw), 100))
                self._grid(grid, self.epw)
        self._type(TEXT)
        for note in section.notes:
            self._lines(note if note == section.notes[0] else f"•  {note}", LINE)

    def _beside(self, parts: Sequence[Chart | Grid]) -> None:
        """Charts and narrow tables in two columns, each below what is shorter."""
        tops = [self.get_y()] * 2
        for part in parts:
            height = self._part_height(part)
            if min(tops) + height > self.page_break_trigger and min(tops) > MARGIN + 20:
                self.add_page()
                tops = [self.get_y()] * 2
            place = tops.index(min(tops))
            left = MARGIN + place * (self._half + GAP)
            self.set_xy(left, tops[place])
            if isinstance(part, Chart):
                self._chart(part, left)
                tops[place] += height
            else:
                self._grid(part, self._half, left)
                tops[place] = self.get_y()
        self.set_xy(MARGIN, max(tops))

    def _part_height(self, part: Chart | Grid) -> float:
        if isinstance(part, Chart):
            return self._charts_height([part])
        return self._grid_height(part, self._half)

    @property
    def _half(self) -> float:
        return (self.epw - GAP) / 2

    def _facts(self, facts: Sequence[Fact]) -> None:
        width = self.epw / max(1, len(facts))
        top = self.get_y()
        bottom = top
        for place, fact in enumerate(facts):
            left = MARGIN + place * width
            self.set_xy(left, top)
            for text, size, bold, colour in (
                (fact.name, SMALL, False, MUTED),
                (fact.value, 13.0, True, INK),
                (fact.note, SMALL, False, MUTED),
            ):
                self._type(size, bold=bold, colour=colour)
                self.multi_cell(width - 2, size * 0.45, text, align="L", new_x=XPos.LEFT)
            bottom = max(bottom, self.get_y())
        self.set_xy(MARGIN, bottom + 2)

    def _charts_height(self, charts: Sequence[Chart]) -> float:
        self._type(TEXT, bold=True)
        words = max(self._height(chart.title, self._half) for chart in charts)
        return words + self._half * HEIGHT / WIDTH + 2

    def _chart(self, chart: Chart, left: float) -> None:
        self._type(TEXT, bold=True)
        self.multi_cell(self._half, LINE, chart.title, align="L", new_x=XPos.LEFT)
        self.image(
            BytesIO(chart.drawing().encode()),
            x=left,
            y=self.get_y() + 1,
            w=self._half,
            alt_text=chart.summary,
        )

    def _height(self, text: str, width: float) -> float:
        """Of a text in the type that is set."""
        return LINE * len(self._broken(text, width))

    def _broken(self, text: str, width: float) -> list[str]:
        """A text in the lines that it takes."""
        lines = self.multi_cell(
            width, LINE, text, align="L", dry_run=True, output=MethodReturnValue.LINES
        )
        assert isinstance(lines, list)  # as was asked for
        return lines

    def _grid_height(self, grid: Grid, width: float) -> float:
        self._type(SMALL)
        told = grid.widths or (1,) * len(grid.header)
        parts = [width * part / sum(told) - PADDING for part in told]
        lines = (
            max(len(self._broken(cell, part)) for cell, part in zip(row, parts, strict=True))
            for row in _shown(grid)
        )
        return sum(LINE * count + 2 * ABOVE for count in lines) + LINE * 1.3 + 2

    def _grid(self, grid: Grid, width: float, left: float = MARGIN) -> None:
        self.set_x(left)
        self._type(TEXT, bold=True)
        if not grid.rows:
            self.multi_cell(width, LINE * 1.3, f"{grid.caption}: {grid.empty}", align="L")
            self.ln(1)
            return
        self.multi_cell(width, LINE * 1.3, grid.caption, align="L")
        self._type(SMALL)
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
            for row in _shown(grid):
                table.row(row)
        self.ln(2)

    def _keep_together(self, height: float) -> None:
        """Go on to the next page if this one has not so much left."""
        if self.get_y() + height > self.page_break_trigger and self.get_y() > MARGIN + 20:
            self.add_page()

    def _type(self, size: float, *, bold: bool = False, colour: str = INK) -> None:
        self.set_font("DejaVu", style="B" if bold else "", size=size)
        self.set_text_color(colour)

    def _lines(self, text: str, height: float) -> None:
        self.multi_cell(0, height, text, align="L", new_x=XPos.LMARGIN, new_y=YPos.NEXT)


def _shown(grid: Grid) -> list[tuple[str, ...]]:
    """The rows that stand on paper, the header first."""
    rows = [tuple(_shortened(cell) for cell in row) for row in grid.rows[: grid.on_paper]]
    if more := len(grid.rows) - len(rows):
        rows.append((f"and {more:,} more", *[""] * (len(grid.header) - 1)))
    return [grid.header, *rows]


def _shortened(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
