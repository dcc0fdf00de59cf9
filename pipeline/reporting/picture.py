"""Charts: what they show in words and numbers, and a picture as SVG, which page and PDF share."""

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from itertools import groupby
from typing import Literal

Row = tuple[str, ...]
Point = tuple[float, float]

# Distinct for people who see no red or no green, and, with the dashes, in grey print; each has a
# contrast of 3 : 1 with white, as WCAG 2.2 asks of graphics (1.4.11).
SERIES = ("#0b4f8a", "#c2570c", "#00967a", "#905aa7", "#6b7280", "#8a5524")
DASHES = ("", "6 3", "3 2", "2 3", "10 3", "1.5 4")
INK, MUTED, GRID, PAPER = "#1f2328", "#59636e", "#d1d9e0", "#ffffff"
# the names are those of the page's variables, so that pictures follow light and dark
COLOURED = [f"series-{number}" for number in range(1, 7)]
COLOURS = {"ink": INK, "muted": MUTED, "grid": GRID, **dict(zip(COLOURED, SERIES, strict=True))}
MAIN, ALARM, _, _, QUIET, BROWN = COLOURED

WIDTH, HEIGHT = 360.0, 198.0  # points; on a phone of 320 pixels it is shown at 0.8 of its size
LETTERS = 10.4  # points: the size of all letters, which are 8 pixels there
FEW_POINTS = 40  # more than these are a line without markers
_ROW = 15.0  # the height of a line of letters
_DAY = 86_400.0  # seconds


@dataclass(frozen=True)
class Chart:
    """What page, report and PDF show of a chart; `key` names it among all others."""

    key: str
    title: str  # what it shows
    summary: str  # the same for those who do not see it, and how to read it
    header: Row
    rows: tuple[Row, ...]  # the numbers, as the table below the picture has them
    picture: str  # elements of SVG; their texts are escaped
    nothing: str = ""  # in place of the picture, where there is too little to draw


def svg(chart: Chart) -> str:
    """The picture as an element of a page that says what it shows, without any style."""
    names = f"{chart.key}-title {chart.key}-summary"
    return (
        f'<svg viewBox="0 0 {WIDTH:g} {HEIGHT:g}" role="img" aria-labelledby="{names}"'
        f' font-size="{LETTERS}"><title id="{chart.key}-title">{escape(chart.title)}</title>'
        f'<desc id="{chart.key}-summary">{escape(chart.summary)}</desc>{chart.picture}</svg>'
    )


def svg_file(chart: Chart, font: str) -> str:
    """The picture as a document of its own, in fixed colours and one font."""
    picture = re.sub(r"var\(--([\w-]+)\)", lambda found: COLOURS[found[1]], chart.picture)
    about = f'viewBox="0 0 {WIDTH:g} {HEIGHT:g}" font-size="{LETTERS}" font-family="{font}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {about}>{picture}</svg>'


@dataclass(frozen=True)
class Axis:
    """One side of a picture: from where to where, its ticks, and what they count."""

    low: float
    high: float
    ticks: tuple[tuple[float, str], ...]
    label: str
    grid: bool = True

    def share(self, value: float) -> float:
        """How far along the axis a value is, from 0 to 1."""
        return (value - self.low) / (self.high - self.low)


def number_axis(high: float, label: str, *, whole: bool = False) -> Axis:
    """An axis from 0 with up to seven round ticks, if need be of whole numbers alone."""
    rough = high / 6
    size = 10.0 ** math.floor(math.log10(rough))
    step = next(size * n for n in (1, 2, 5, 10) if size * n >= rough * 0.999)
    step = max(1.0, step) if whole else step
    ticks = [round(n * step, 9) for n in range(math.floor(high / step + 1e-9) + 1)]
    return Axis(0, high, tuple((at, f"{at:,.10g}") for at in ticks), label)


def percent_axis(label: str) -> Axis:
    """An axis from 0 to 100."""
    return Axis(-2, 102, tuple((at, f"{at}") for at in range(0, 101, 20)), label)


def time_axis(moments: Iterable[str]) -> Axis:
    """An axis over all moments of a chart: a day to both sides where they are one.

    Those within a minute count as one: there is no scale for them.
    """
    places = [place_of(at) for at in moments]
    first, last = min(places), max(places)
    margin = 0.03 * (last - first) if last - first > 60 else _DAY
    low, high = first - margin, last + margin
    unit = next(size for size in (_DAY, 3600.0, 60.0, 1.0) if (high - low) / 4 >= size)
    form = {_DAY: "%-d %b %Y", 1.0: "%H:%M:%S"}.get(unit, "%-d %b, %H:%M")
    ticks = [unit * math.ceil((low + part * (high - low)) / unit) for part in (0.1, 0.42, 0.74)]
    texts = (datetime.fromtimestamp(at, UTC).strftime(form) for at in ticks)
    return Axis(low, high, tuple(zip(ticks, texts, strict=True)), "when (UTC)")


def place_of(at: str) -> float:
    """The position of a time on its axis, in seconds."""
    return datetime.fromisoformat(at).timestamp()


@dataclass(frozen=True)
class Series:
    """What is drawn in one way, and its name in the legend."""

    name: str
    colour: str  # of `COLOURS`, or as `#rrggbb`
    kind: Literal["line", "area", "dots"] = "line"
    dash: str = ""
    opacity: float = 1.0


class Plot:
    """A picture that begins with its axes and a legend above; coordinates are those of the axes."""

    def __init__(self, x: Axis, y: Axis, legend: Sequence[Series] = ()) -> None:
        self._x, self._y = x, y
        self._parts: list[str] = []
        self._left = 6 + _ROW * bool(y.label) + max(_width(text) for _, text in y.ticks)
        self._bottom, self._right = HEIGHT - _ROW * 2.3, WIDTH - 10
        self._top = self._name(legend)
        at, text = x.ticks[-1]  # its letters, too, are within the picture
        self._right -= max(0.0, self._at(at, y.low)[0] + _width(text) / 2 - WIDTH)
        self._frame()

    def _name(self, legend: Sequence[Series]) -> float:
        """Name the series in rows at the top; returns where the rows end."""
        x, y = self._left, 12.0
        for one in legend:
            if x > self._left and x + 19 + _width(one.name) > WIDTH:
                x, y = self._left, y + _ROW
            middle = y - 3.5
            if one.kind == "line":
                self._line([(x, middle), (x + 15, middle)], one.colour, dash=one.dash)
            elif one.kind == "dots":
                self._dot((x + 7, middle), one.colour, 3.5)
            else:
                ends = [(x + 2, y - 8), (x + 12, y - 8), (x + 12, y + 1), (x + 2, y + 1)]
                self._area(ends, one.colour, one.opacity)
            self._text((x + 19, y), one.name)
            x += 31 + _width(one.name)
        return y + 6 if legend else 8.0

    def _frame(self) -> None:
        """The grid, the ticks and the names of both axes."""
        x, y, left, bottom = self._x, self._y, self._left, self._bottom
        for value, text in x.ticks:
            at, _ = self._at(value, y.low)
            if x.grid:
                self._line([(at, self._top), (at, bottom)], "grid", 0.7)
            self._text((at, bottom + _ROW - 2), text, "middle")
        for value, text in y.ticks:
            _, at = self._at(x.low, value)
            if y.grid:
                self._line([(left, at), (self._right, at)], "grid", 0.7)
            self._text((left - 5, at + 3.6), text, "end")
        self._line([(left, self._top), (left, bottom), (self._right, bottom)], "muted", 0.8)
        self._text(((left + self._right) / 2, HEIGHT - 4), x.label, "middle")
        self._text((11, (self._top + bottom) / 2), y.label, "middle", turn=-90)

    def line(
        self, xs: Sequence[float], ys: Sequence[float], series: Series, *, markers: bool = False
    ) -> None:
        """A line through points, with a gap where a value is none (NaN)."""
        pairs = list(zip(xs, ys, strict=True))
        for there, run in groupby(pairs, key=lambda pair: not math.isnan(pair[1])):
            if there:
                self._line([self._at(*pair) for pair in run], series.colour, dash=series.dash)
        for x, y in pairs if markers and len(pairs) <= FEW_POINTS else ():
            self.dot(x, y, series.colour)

    def dot(self, x: float, y: float, colour: str, radius: float = 2.3) -> None:
        """A dot, unless its value is none."""
        if not math.isnan(y):
            self._dot(self._at(x, y), colour, radius)

    def area(self, corners: Iterable[Point], colour: str, opacity: float = 1.0) -> None:
        """What lies within these corners."""
        self._area([self._at(*corner) for corner in corners], colour, opacity)

    def box(self, x: Point, y: Point, colour: str, opacity: float = 1.0) -> None:
        """A bar or a cell, from the first to the second of each side."""
        self.area(((x[0], y[0]), (x[1], y[0]), (x[1], y[1]), (x[0], y[1])), colour, opacity)

    def text(self, at: Point, text: str, off: Point, anchor: str, colour: str = "ink") -> None:
        """A text so many points to the right of a point, and lower."""
        x, y = self._at(*at)
        self._text((x + off[0], y + off[1]), text, anchor, colour)

    def mark(self, x: float, text: str, colour: str, dash: str) -> None:
        """A line from bottom to top, with a text beside its top, on the side that has room."""
        at, _ = self._at(x, self._y.low)
        self._line([(at, self._bottom), (at, self._top)], colour, 1.2, dash)
        late = at + 3 + _width(text) > self._right
        self._text((at - 3 if late else at + 3, self._top + 10), text, "end" if late else "start")

    def picture(self) -> str:
        """All that was drawn."""
        return "".join(self._parts)

    def _at(self, x: float, y: float) -> Point:
        """Where a point of the axes is in the picture."""
        across, up = self._x.share(x), self._y.share(y)
        height = self._bottom - self._top
        return self._left + across * (self._right - self._left), self._bottom - up * height

    def _line(
        self, points: Sequence[Point], colour: str, width: float = 1.6, dash: str = ""
    ) -> None:
        dashed = f' stroke-dasharray="{dash}"' if dash else ""
        stroke = f'stroke="{_paint(colour)}" stroke-width="{width}"{dashed}'
        self._parts.append(f'<polyline points="{_joined(points)}" fill="none" {stroke}/>')

    def _area(self, points: Sequence[Point], colour: str, opacity: float) -> None:
        fill = f'fill="{_paint(colour)}" fill-opacity="{opacity}"'
        self._parts.append(f'<polygon points="{_joined(points)}" {fill}/>')

    def _dot(self, at: Point, colour: str, radius: float) -> None:
        place = f'cx="{at[0]:.2f}" cy="{at[1]:.2f}" r="{radius:.2f}"'
        self._parts.append(f'<circle {place} fill="{_paint(colour)}"/>')

    def _text(
        self, at: Point, text: str, anchor: str = "start", colour: str = "ink", turn: int = 0
    ) -> None:
        if not text:
            return
        turned = f' transform="rotate({turn} {at[0]:.2f} {at[1]:.2f})"' if turn else ""
        place = f'x="{at[0]:.2f}" y="{at[1]:.2f}" text-anchor="{anchor}"{turned}'
        self._parts.append(f'<text {place} fill="{_paint(colour)}">{escape(text)}</text>')


def _joined(points: Sequence[Point]) -> str:
    return " ".join(f"{x:.2f},{y:.2f}" for x, y in points)


def _paint(colour: str) -> str:
    return f"var(--{colour})" if colour in COLOURS else colour


def _width(text: str) -> float:
    """About how wide a text is, in points."""
    return 0.6 * LETTERS * len(text)
