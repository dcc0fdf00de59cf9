"""A chart as all of page, report and PDF show it: a picture, what it shows, and its numbers."""

from collections.abc import Callable
from dataclasses import dataclass

from matplotlib.figure import Figure

from pipeline.reporting.charts.inlinesvg import inline_svg
from pipeline.reporting.charts.style import new_figure, styled, svg_of

Row = tuple[str, ...]


@dataclass(frozen=True)
class Chart:
    """A chart that can be drawn; `key` names it among all others."""

    key: str
    title: str  # what is seen
    summary: str  # the same for those who do not see it, and how to read it
    header: Row
    rows: tuple[Row, ...]  # the numbers, as the table beside the picture tells them
    draw: Callable[[Figure], None]

    def svg(self) -> str:
        """The chart as an element of a page, with its letters as text."""
        return inline_svg(self._document("none"), self.key, self.title, self.summary)

    def drawing(self) -> str:
        """The chart as an SVG document without any text: its letters are drawn."""
        return self._document("path")

    def _document(self, letters: str) -> str:
        with styled(**{"svg.fonttype": letters}):
            figure = new_figure()
            self.draw(figure)
            return svg_of(figure)
