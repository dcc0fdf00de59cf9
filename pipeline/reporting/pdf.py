"""The report as a PDF: a few pages of A4, whose blocks are kept whole where a page ends."""

import logging
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from io import BytesIO
from pathlib import Path

from fpdf import FPDF, FontFace
from fpdf.enums import TableBordersLayout, VAlign, XPos, YPos
from fpdf.fonts import TTFFont
from matplotlib import get_data_path

from pipeline.core.formatting import truncate
from pipeline.reporting.document import (
    BAD,
    GOOD,
    TITLE,
    WARNING,
    Grid,
    ReportContent,
    Section,
)
from pipeline.reporting.picture import GRID, INK, MUTED, PAPER, Chart, Row, svg_file

LEVELS = {GOOD: "#1a7f37", WARNING: "#9a6700", BAD: "#c1121f"}
MARGIN = 15.0  # millimetres
GAP = 6.0
LINE = 3.6  # the height of a line of small text
SMALL, TEXT, LARGE = 7.0, 8.5, 12.0  # points
MAX_CELL, MAX_SENTENCE = 40, 800  # letters; report.html has them all
MAX_WIDE = 70  # letters of a column; longer cells wrap
MAX_ROWS = 20  # of a table; report.html has the others
MISSING_LETTER = "□"  # in place of a letter that the font lacks

_BREAKS = "\t\r\n"  # of lines and cells, no letters

logging.getLogger("fpdf").setLevel(logging.ERROR)  # it logs the tags of an SVG that it ignores
logging.getLogger("fontTools").setLevel(logging.ERROR)  # and the tables of a font


class Paper(FPDF):
    """A4, or of that width and another height in millimetres, with margins and a footer."""

    def __init__(self, footer: str, height: float = 297) -> None:
        super().__init__(format=(210, height))
        self._footer = footer
        self.lacks_letters = False
        self.set_margin(MARGIN)
        self.set_auto_page_break(auto=True, margin=MARGIN + 5)
        folder = Path(get_data_path(), "fonts/ttf")
        self.add_font("DejaVu", fname=folder / "DejaVuSans.ttf")
        self.add_font("DejaVu", style="B", fname=folder / "DejaVuSans-Bold.ttf")
        self.set_draw_color(GRID)
        self.add_page()

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

    def set_type(self, size: float, *, bold: bool = False, colour: str = INK) -> None:
        """Set the type of the text that follows."""
        self.set_font("DejaVu", style="B" if bold else "", size=size)
        self.set_text_color(colour)

    def lines(self, text: str, height: float) -> None:
        """A text over the whole width."""
        self.multi_cell(0, height, text, align="L", new_x=XPos.LMARGIN, new_y=YPos.NEXT)

    def row(self, parts: Sequence[Chart | Grid]) -> None:
        """One wide table, or two charts or narrow tables next to each other."""
        top, offset = self.get_y(), (self.epw + GAP) / 2
        ends = [top]
        for place, part in enumerate(parts):
            if isinstance(part, Chart) or part.narrow:
                self.set_left_margin(MARGIN + place * offset)
                self.set_right_margin(MARGIN + (1 - place) * offset)
            self.set_xy(self.l_margin, top)
            if isinstance(part, Chart):
                self.chart(part)
            else:
                self.grid(part)
            ends.append(self.get_y())
        self.set_left_margin(MARGIN)
        self.set_right_margin(MARGIN)
        self.set_xy(MARGIN, max(ends) + 2)

    def chart(self, chart: Chart) -> None:
        """A chart below its title."""
        self.set_type(TEXT, bold=True)
        self.lines(chart.title, LINE)
        if chart.nothing:
            self.set_type(TEXT, colour=MUTED)
            self.lines(chart.nothing, LINE)
            return
        picture = BytesIO(svg_file(chart, "DejaVu").encode())
        self.image(picture, w=self.epw, alt_text=chart.summary)

    def grid(self, grid: Grid) -> None:
        """A table below its caption."""
        self.set_type(TEXT, bold=True)
        if not grid.rows:
            self.lines(f"{grid.caption}: {grid.empty}", LINE * 1.3)
            return
        self.lines(grid.caption, LINE * 1.3)
        self.set_type(SMALL)
        rows = paper_rows(grid)
        with self.table(
            align="LEFT",
            col_widths=_widths(rows, MAX_WIDE // (1 + grid.narrow)),
            borders_layout=TableBordersLayout.HORIZONTAL_LINES,
            headings_style=FontFace(emphasis="BOLD", color=INK),
            line_height=LINE,
            v_align=VAlign.T,
            padding=(0.5, 1.5, 0.5, 0),
            text_align=tuple(
                "RIGHT" if place in grid.numbers else "LEFT" for place in range(len(grid.header))
            ),
        ) as table:
            for row in rows:
                table.row(row)


def paper_rows(grid: Grid) -> list[Row]:
    """The rows on paper, the header first; the last column has the sentences."""
    rows = [
        (*(truncate(cell, MAX_CELL) for cell in row[:-1]), truncate(row[-1], MAX_SENTENCE))
        for row in grid.rows[:MAX_ROWS]
    ]
    if more := len(grid.rows) - len(rows):
        rows.append((f"and {more:,} more", *[""] * (len(grid.header) - 1)))
    return [grid.header, *rows]


def _widths(rows: Sequence[Row], most: int) -> list[float]:
    """How wide the columns are, relative: for their longest words and cells, up to so much."""
    found = []
    for cells in zip(*rows, strict=True):
        word = max(map(len, " ".join(cells).split()), default=0)
        found.append(4 + max(1.2 * min(word, 24), min(max(map(len, cells[1:])), most)))
    return found


def pdf_of(content: ReportContent) -> bytes:
    """The report as a PDF."""
    paper, trial = Paper(content.made), Paper(content.made, height=10_000)  # to measure on
    paper.set_title(f"{TITLE}: {content.made}")
    paper.set_lang("en")
    paper.set_creation_date(datetime.fromisoformat(content.made_at).replace(tzinfo=UTC))
    for draw in _blocks(content):
        trial.set_y(MARGIN)
        draw(trial)
        height = trial.get_y() - MARGIN
        if height < paper.eph and paper.get_y() + height > paper.page_break_trigger:
            paper.add_page()
        draw(paper)
    for font in trial.fonts.values():
        assert isinstance(font, TTFFont)
        font.close()  # as `output` does
    if paper.lacks_letters:
        paper.set_type(SMALL, colour=MUTED)
        paper.lines(f"{MISSING_LETTER}: a letter that this font lacks; report.html has it.", LINE)
    return bytes(paper.output())


def _blocks(content: ReportContent) -> Iterator[Callable[[Paper], None]]:
    """What draws the report, part by part; each part is kept on one page."""
    yield partial(_head, content)
    for section in content.sections:
        narrow = [grid for grid in section.grids if grid.narrow]
        columns: list[Chart | Grid] = [*section.charts, *narrow]
        rows: list[Sequence[Chart | Grid]] = [
            *(columns[i : i + 2] for i in range(0, len(columns), 2)),
            *((grid,) for grid in section.grids if not grid.narrow),
        ]
        yield partial(_section, section, rows[0] if rows else ())
        for row in rows[1:]:
            yield partial(Paper.row, parts=row)
        yield partial(_notes, section.notes)


def _head(content: ReportContent, paper: Paper) -> None:
    """The title, the overall health beside a bar in its colour, and the figures."""
    paper.set_type(20, bold=True)
    paper.lines(TITLE, 9)
    paper.set_type(TEXT, colour=MUTED)
    paper.lines(content.made, 5)
    paper.ln(3)
    state, top = content.state, paper.get_y()
    paper.set_left_margin(MARGIN + 4)
    paper.set_type(11, bold=True, colour=LEVELS[state.level])
    paper.lines(state.word, 5.5)
    paper.set_type(11)
    paper.lines(state.sentence[0].upper() + state.sentence[1:], 5.5)
    paper.set_left_margin(MARGIN)
    paper.set_fill_color(LEVELS[state.level])
    paper.rect(MARGIN, top, 1.4, paper.get_y() - top, style="F")
    paper.set_fill_color(PAPER)
    paper.ln(3)
    with paper.table(
        align="LEFT",
        borders_layout=TableBordersLayout.NONE,
        first_row_as_headings=False,
        line_height=LINE,
        text_align="LEFT",
        v_align=VAlign.T,
    ) as table:
        quiet, strong = FontFace(size_pt=SMALL, color=MUTED), FontFace(size_pt=13, emphasis="BOLD")
        table.row([fact.name for fact in state.facts], style=quiet)
        table.row([fact.value for fact in state.facts], style=strong)
        table.row([fact.note for fact in state.facts], style=quiet)


def _section(section: Section, row: Sequence[Chart | Grid], paper: Paper) -> None:
    """The title of a section, and the first row of its charts and tables."""
    paper.ln(3)
    paper.set_type(LARGE, bold=True)
    paper.lines(section.title, 7)
    if section.lead:
        paper.set_type(TEXT, colour=MUTED)
        paper.lines(section.lead, LINE)
    paper.ln(1)
    paper.row(row)


def _notes(notes: Sequence[str], paper: Paper) -> None:
    """A sentence, and points below it."""
    if notes:
        paper.set_type(TEXT)
        paper.lines("\n•  ".join(notes), LINE)
