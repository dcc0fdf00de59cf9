"""Charts as data: what they show, their numbers, and a picture of lines, areas, dots and labels.

Pages show a picture as SVG, `pdf.py` draws the same shapes, and neither needs matplotlib.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from html import escape
from itertools import groupby
from typing import Literal

import pandas as pd

Row = tuple[str, ...]
Point = tuple[float, float]

# Distinct for people who see no red or no green, and, with the dashes, in grey print; each has a
# contrast of 3 : 1 with white, as WCAG 2.2 asks of graphics (1.4.11).
SERIES = ("#0b4f8a", "#c2570c", "#00967a", "#905aa7", "#6b7280", "#8a5524")
DASHES = ((0, 0), (6, 3), (3, 1.5), (1.5, 2), (10, 2.5), (1, 4))  # length, gap; 0: none
INK, MUTED, GRID, PAPER = "#1f2328", "#59636e", "#d1d9e0", "#ffffff"
# the names are those of the page's variables, so that pictures follow light and dark
COLOURS = {"ink": INK, "muted": MUTED, "grid": GRID} | {
    f"series-{number}": colour for number, colour in enumerate(SERIES, start=1)
}
MAIN, ALARM, QUIET, BROWN = "series-1", "series-2", "series-5", "series-6"

WIDTH, HEIGHT = 360.0, 198.0  # points; on a phone of 320 pixels it is shown at 0.8 of its size
LETTERS = 10.4  # points: the size of all letters, which are 8 pixels there
FEW_POINTS = 40  # more than these are a line without markers
_ROW = 15.0  # the height of a line of letters
_DAY = 86_400.0  # seconds
_HOUR_FORM = "%H:%M"
_STEPS = (  # of time: seconds, the name for pandas, the form of a tick, that of what they share
    *((60.0 * n, f"{n}min", "%H:%M", "%-d %B %Y, ") for n in (1, 2, 5, 10, 20, 30)),
    *((3600.0 * n, f"{n}h", "%H:%M", "%-d %B %Y, ") for n in (1, 2, 3, 6, 12)),
    *((_DAY * n, f"{n}D", "%-d %b", "%Y, ") for n in (1, 2, 4, 7, 14)),
    *((30 * _DAY * n, f"{n}MS", "%b %Y", "") for n in (1, 2, 3, 6)),
    *((365 * _DAY * n, f"{n}YS", "%Y", "") for n in (1, 2, 5, 10, 50)),
)


@dataclass(frozen=True)
class Shape:
    """A line through points, the area within them, or dots at them."""

    kind: Literal["line", "area", "dots"]
    points: tuple[Point, ...]
    colour: str  # of `COLOURS`, or as `#rrggbb`
    width: float = 1.6  # of a line; the radius of dots
    dash: tuple[float, float] = (0, 0)
    opacity: float = 1.0


@dataclass(frozen=True)
class Label:
    """A text at a place; one that is turned is read from below."""

    x: float
    y: float  # of its base line
    text: str
    anchor: Literal["start", "middle", "end"] = "start"
    colour: str = "ink"
    turned: bool = False


@dataclass(frozen=True)
class Picture:
    """What is drawn, in points from the upper left of `WIDTH` and `HEIGHT`."""

    shapes: tuple[Shape, ...]
    labels: tuple[Label, ...]


@dataclass(frozen=True)
class Chart:
    """What page, report and PDF show of a chart; `key` names it among all others."""

    key: str
    title: str  # what it shows
    summary: str  # the same for those who do not see it, and how to read it
    header: Row
    rows: tuple[Row, ...]  # the numbers, as the table below the picture has them
    picture: Picture | None
    nothing: str = ""  # in place of the picture, where there is too little to draw


@dataclass(frozen=True)
class Axis:
    """One side of a picture: from where to where, its ticks, and what they count."""

    low: float
    high: float
    ticks: tuple[tuple[float, str], ...]
    label: str = ""
    log: bool = False
    grid: bool = True

    def share(self, value: float) -> float:
        """How far along the axis a value is, from 0 to 1."""
        low, high = self.low, self.high
        if self.log:
            low, high, value = math.log(low), math.log(high), math.log(value)
        return (value - low) / (high - low)


def number_axis(low: float, high: float, label: str, *, whole: bool = False) -> Axis:
    """An axis of numbers with up to seven round ticks, if need be of whole numbers alone."""
    rough = (high - low) / 6
    size = 10.0 ** math.floor(math.log10(rough))
    step = next(size * n for n in (1, 2, 5, 10) if size * n >= rough * 0.999)
    step = max(1.0, step) if whole else step
    places = range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)
    ticks = [round(n * step, 9) for n in places]
    return Axis(low, high, tuple((at, f"{at:,.10g}") for at in ticks), label)


def percent_axis(label: str) -> Axis:
    """An axis from 0 to 100."""
    return Axis(-2, 102, tuple((at, f"{at}") for at in range(0, 101, 20)), label)


def log_axis(values: Sequence[float], label: str) -> Axis:
    """A logarithmic axis around values above 0."""
    low, high = min(values) / 1.3, max(values) * 1.3
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)))
    ticks = [n * 10.0**power for power in powers for n in ((1, 2, 5) if len(powers) < 4 else (1,))]
    shown = tuple((at, f"{at:,g}") for at in ticks if low <= at <= high)
    return Axis(low, high, shown, label, log=True)


def time_axis(moments: Iterable[str]) -> Axis:
    """An axis over all moments of a chart: a day to both sides where they are one.

    Those within a minute count as one: there is no scale for them.
    """
    places = [place_of(at) for at in moments]
    first, last = min(places), max(places)
    margin = 0.03 * (last - first) if last - first > 60 else _DAY
    low, high = first - margin, last + margin
    _, step, form, shared = next(one for one in _STEPS if one[0] * 5 >= high - low)
    start, end = (datetime.fromtimestamp(at, UTC) for at in (low, high))
    begin = start.replace(minute=0, second=0, microsecond=0)
    if not step.endswith("min"):
        begin = begin.replace(hour=0)
    if step.endswith("S"):
        begin = begin.replace(day=1, month=1) - timedelta(days=1)
    found = [at for at in pd.date_range(begin, end, freq=step) if at >= start]
    forms = ["%-d %b" if form == _HOUR_FORM and not at.hour + at.minute else form for at in found]
    ticks = tuple((at.timestamp(), at.strftime(f)) for at, f in zip(found, forms, strict=True))
    return Axis(low, high, ticks, f"{end.strftime(shared)}when (UTC)")


def place_of(at: str) -> float:
    """The position of a time on its axis, in seconds."""
    return datetime.fromisoformat(at).timestamp()


@dataclass(frozen=True)
class Series:
    """What is drawn in one way, and its name in the legend."""

    name: str
    colour: str
    kind: Literal["line", "area", "dots"] = "line"
    dash: tuple[float, float] = (0, 0)
    opacity: float = 1.0


class Plot:
    """A picture that begins with its axes and a legend above; coordinates are those of the axes."""

    def __init__(self, x: Axis, y: Axis, legend: Sequence[Series] = ()) -> None:
        self._x, self._y = x, y
        self._shapes: list[Shape] = []
        self._labels: list[Label] = []
        self._left = (
            6 + _ROW * bool(y.label) + max((_width(text) for _, text in y.ticks), default=0)
        )
        self._bottom = HEIGHT - _ROW * (2.3 if x.label else 1.3)
        self._right, self._top = WIDTH - 10, self._name(legend)
        if x.ticks:  # so that the last letters are within the picture
            at, text = x.ticks[-1]
            self._right -= max(0.0, self.at(at, y.low)[0] + _width(text) / 2 - WIDTH)
        self._frame()

    def _name(self, legend: Sequence[Series]) -> float:
        """Name the series in rows at the top; returns where the rows end."""
        x, y = self._left, 12.0
        for one in legend:
            if x > self._left and x + 19 + _width(one.name) > WIDTH:
                x, y = self._left, y + _ROW
            wide, points = 1.6, [(x, y - 3.5), (x + 15, y - 3.5)]
            if one.kind == "area":
                points = [(x + 2, y - 8), (x + 12, y - 8), (x + 12, y + 1), (x + 2, y + 1)]
            elif one.kind == "dots":
                wide, points = 3.5, [(x + 7, y - 3.5)]
            shape = Shape(one.kind, tuple(points), one.colour, wide, one.dash, one.opacity)
            self._shapes.append(shape)
            self._labels.append(Label(x + 19, y, one.name))
            x += 31 + _width(one.name)
        return y + 6 if legend else 8.0

    def _frame(self) -> None:
        """The grid, the ticks and the names of both axes."""
        x, y, top, bottom = self._x, self._y, self._top, self._bottom
        for value, text in x.ticks:
            at, _ = self.at(value, y.low)
            if x.grid:
                self._shapes.append(Shape("line", ((at, top), (at, bottom)), "grid", 0.7))
            self._labels.append(Label(at, bottom + _ROW - 2, text, "middle"))
        for value, text in y.ticks:
            _, at = self.at(x.low, value)
            if y.grid:
                line = ((self._left, at), (self._right, at))
                self._shapes.append(Shape("line", line, "grid", 0.7))
            self._labels.append(Label(self._left - 5, at + 3.6, text, "end"))
        corners = ((self._left, top), (self._left, bottom), (self._right, bottom))
        self._shapes.append(Shape("line", corners, "muted", 0.8))
        middle = (self._left + self._right) / 2, (top + bottom) / 2
        self._labels.append(Label(middle[0], HEIGHT - 4, x.label, "middle"))
        self._labels.append(Label(11, middle[1], y.label, "middle", turned=True))

    def at(self, x: float, y: float) -> Point:
        """Where a point of the axes is in the picture."""
        across, up = self._x.share(x), self._y.share(y)
        return (
            round(float(self._left + across * (self._right - self._left)), 2),
            round(float(self._bottom - up * (self._bottom - self._top)), 2),
        )

    def line(
        self, xs: Sequence[float], ys: Sequence[float], series: Series, *, markers: bool = False
    ) -> None:
        """A line through points, with a gap where a value is none (NaN)."""
        pairs = zip(xs, ys, strict=True)
        for there, run in groupby(pairs, key=lambda pair: not math.isnan(pair[1])):
            if there:
                points = tuple(self.at(*pair) for pair in run)
                self._shapes.append(Shape("line", points, series.colour, dash=series.dash))
        if markers:
            self.dots(xs, ys, series.colour)

    def dots(
        self, xs: Sequence[float], ys: Sequence[float], colour: str, radius: float = 2.3
    ) -> None:
        """Dots, but where a value is none."""
        points = (self.at(x, y) for x, y in zip(xs, ys, strict=True) if not math.isnan(y))
        self._shapes.append(Shape("dots", tuple(points), colour, radius))

    def area(self, corners: Iterable[Point], colour: str, opacity: float = 1.0) -> None:
        """What lies within these corners."""
        points = tuple(self.at(*corner) for corner in corners)
        self._shapes.append(Shape("area", points, colour, opacity=opacity))

    def box(
        self, x: tuple[float, float], y: tuple[float, float], colour: str, opacity: float = 1.0
    ) -> None:
        """A bar or a cell, from the first to the second of each side."""
        self.area(((x[0], y[0]), (x[1], y[0]), (x[1], y[1]), (x[0], y[1])), colour, opacity)

    def text(
        self,
        x: float,
        y: float,
        text: str,
        *,
        anchor: Literal["start", "middle", "end"] = "start",
        colour: str = "ink",
        off: Point = (0.0, 3.6),
    ) -> None:
        """A text at a point, or so many points to the right and lower."""
        place = self.at(x, y)
        self._labels.append(Label(place[0] + off[0], place[1] + off[1], text, anchor, colour))

    def mark(self, x: float, text: str, colour: str, dash: tuple[float, float]) -> None:
        """A line from bottom to top, with a text beside its top, on the side that has room."""
        ends = self.at(x, self._y.low), self.at(x, self._y.high)
        self._shapes.append(Shape("line", ends, colour, 1.2, dash))
        late = ends[0][0] + 3 + _width(text) > self._right
        place = ends[0][0] + (-3 if late else 3)
        self._labels.append(Label(place, self._top + 10, text, "end" if late else "start"))

    def picture(self) -> Picture:
        """All that was drawn."""
        return Picture(tuple(self._shapes), tuple(one for one in self._labels if one.text))


def _width(text: str) -> float:
    """About how wide a text is, in points."""
    return 0.6 * LETTERS * len(text)


def svg(chart: Chart) -> str:
    """The picture of a chart as an element of a page that says what it shows, without any style."""
    names = f"{chart.key}-title {chart.key}-summary"
    parts = [
        f'<svg viewBox="0 0 {WIDTH:g} {HEIGHT:g}" role="img" aria-labelledby="{names}"'
        f' font-size="{LETTERS}" stroke-linejoin="round">'
        f'<title id="{chart.key}-title">{escape(chart.title)}</title>'
        f'<desc id="{chart.key}-summary">{escape(chart.summary)}</desc>'
    ]
    if chart.picture:
        for shape in chart.picture.shapes:
            parts += _svg_shape(shape)
        parts += map(_svg_label, chart.picture.labels)
    return "".join([*parts, "</svg>"])


def _svg_shape(shape: Shape) -> Iterator[str]:
    paint = _variable(shape.colour)
    if shape.kind == "dots":
        for x, y in shape.points:
            yield f'<circle cx="{x:g}" cy="{y:g}" r="{shape.width:g}" fill="{paint}"/>'
        return
    points = " ".join(f"{x:g},{y:g}" for x, y in shape.points)
    if shape.kind == "area":
        see = f' fill-opacity="{shape.opacity:g}"' if shape.opacity < 1 else ""
        yield f'<polygon points="{points}" fill="{paint}"{see}/>'
        return
    length, gap = shape.dash
    dash = f' stroke-dasharray="{length:g} {gap:g}"' if length else ""
    stroke = f'stroke="{paint}" stroke-width="{shape.width:g}"{dash}'
    yield f'<polyline points="{points}" fill="none" {stroke}/>'


def _svg_label(label: Label) -> str:
    turn = f' transform="rotate(-90 {label.x:g} {label.y:g})"' if label.turned else ""
    anchor = f' text-anchor="{label.anchor}"' if label.anchor != "start" else ""
    place = f'x="{label.x:g}" y="{label.y:g}"{anchor}{turn} fill="{_variable(label.colour)}"'
    return f"<text {place}>{escape(label.text)}</text>"


def _variable(colour: str) -> str:
    return f"var(--{colour})" if colour in COLOURS else colour
