"""The one style of all pictures: colours, type, axes, and how a figure becomes SVG or PNG."""

import io
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from threading import Lock
from typing import Any

import matplotlib as mpl
import numpy as np
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import ListedColormap
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure

from pipeline.core.formatting import format_minute

# Distinct for people who see no red or no green, and, with the line styles, in grey print; each has
# a contrast of 3 : 1 with white, as WCAG 2.2 asks of graphics (1.4.11).
SERIES = ("#0b4f8a", "#c2570c", "#00967a", "#905aa7", "#6b7280", "#8a5524")
LINES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (1, 2)))
MAIN, ALARM, GOOD, QUIET = SERIES[0], SERIES[1], SERIES[2], SERIES[4]
INK, MUTED, GRID, PAPER = "#1f2328", "#59636e", "#d1d9e0", "#ffffff"
# of a matrix: darker is more, in grey too; never too dark for the letters on it
SHADES = ListedColormap(mpl.colormaps["Blues"](np.linspace(0, 0.55, 256)))
ON_SHADES = "#262626"  # in dark mode, too: the shades do not change

WIDTH, HEIGHT = 5.0, 2.75  # inches; on a phone of 320 pixels it is drawn at 0.8 of its size
SMALL = 10.2  # points: the smallest letters, which are 8 pixels there

FEW_POINTS = 40  # more than these are a line without markers
_DAY = 86_400.0  # seconds
_SHORTEST = 1 / 1440  # days: a minute
_MARGIN = 0.03  # of the whole time, on both sides

_STYLE: Any = {  # a mapping of names that matplotlib lists one by one
    "font.family": "DejaVu Sans",
    "font.size": 11,
    "text.color": INK,
    "text.parse_math": False,  # a dollar in a column's name is a dollar
    "axes.edgecolor": MUTED,
    "axes.facecolor": "none",
    "axes.labelcolor": INK,
    "axes.labelsize": 11,
    "axes.titlesize": 11.5,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.prop_cycle": cycler(color=SERIES, linestyle=LINES),
    "figure.facecolor": "none",
    "figure.edgecolor": "none",
    "figure.constrained_layout.use": True,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "hatch.linewidth": 0.7,
    "legend.fontsize": 10.5,
    "legend.frameon": False,
    "lines.linewidth": 1.6,
    "lines.markersize": 4.5,
    "savefig.facecolor": "none",
    "svg.hashsalt": "one",  # the same picture gives the same bytes
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 10.5,
    "ytick.labelsize": 10.5,
    # labels alone: the grid shows where they belong
    **{f"{axis}tick.{kind}.size": 0 for axis in "xy" for kind in ("major", "minor")},
    **{f"{axis}tick.major.pad": 6 for axis in "xy"},
}
_LOCK = Lock()  # matplotlib's settings are those of the whole process


@contextmanager
def styled(**more: Any) -> Iterator[None]:
    """Draw and save in the common style; one thread at a time."""
    settings: Any = {**_STYLE, **more}
    with _LOCK, mpl.rc_context(settings):
        yield


def new_figure(width: float = WIDTH, height: float = HEIGHT) -> Figure:
    """A figure of so many inches; to be called, drawn on and saved within `styled`."""
    figure = Figure(figsize=(width, height))
    FigureCanvasAgg(figure)
    return figure


def plain_axes(figure: Figure) -> Axes:
    """The axes of a figure, on a light grid."""
    axes = figure.subplots()
    axes.grid(visible=True)
    return axes


def percent_axes(figure: Figure, x: str, y: str) -> Axes:
    """Axes in percent on both sides, with their labels."""
    axes = plain_axes(figure)
    axes.set_xlabel(f"{x}, percent")
    axes.set_ylabel(f"{y}, %")
    axes.set_xlim(-2, 102)
    axes.set_ylim(-2, 102)
    return axes


def png_of(figure: Figure, dpi: int = 150) -> bytes:
    """A figure as PNG, on white: people put it into documents of any colour."""
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=dpi, facecolor=PAPER)
    return content.getvalue()


def svg_of(figure: Figure) -> str:
    """A figure as a whole SVG document, its letters as `svg.fonttype` says."""
    content = io.StringIO()
    figure.savefig(content, format="svg", metadata={"Date": None, "Creator": None})
    return content.getvalue()


def time_axes(figure: Figure, label: str) -> Axes:
    """Axes over time, with the label of the other axis."""
    axes = plain_axes(figure)
    locator = AutoDateLocator(minticks=2, maxticks=5)  # 3 to 5 has no interval for 2.5 hours
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))
    axes.set_xlabel("when (UTC)")
    axes.set_ylabel(label)
    return axes


def day_of(at: str) -> float:
    """The position of a time on the axis, in days."""
    return datetime.fromisoformat(at).timestamp() / _DAY


def middle(first: str, last: str) -> float:
    """The position of the middle of two times."""
    return (day_of(first) + day_of(last)) / 2


def set_span(axes: Axes, moments: Iterable[str]) -> None:
    """Let the axis reach over all moments of a chart: a day to both sides where they are one.

    Those within a minute count as one: there is no scale for them.
    """
    places = [day_of(at) for at in moments]
    first, last = min(places), max(places)
    margin = _MARGIN * (last - first) if last - first > _SHORTEST else 1.0
    axes.set_xlim(first - margin, last + margin)


def plot_line(
    axes: Axes, at: Sequence[float], values: Sequence[float], label: str, number: int = 0
) -> None:
    """The line of the series of a number, with markers where its points are few."""
    marker = "o" if len(at) <= FEW_POINTS else ""
    axes.plot(at, values, color=SERIES[number], ls=LINES[number], marker=marker, label=label)


def mark(axes: Axes, at: float, text: str, *, colour: str = MUTED, line: str = "--") -> None:
    """A vertical line, with a small text beside its top."""
    axes.axvline(at, color=colour, ls=line, lw=1.2)
    place, along = (3, -10), ("data", "axes fraction")
    axes.annotate(text, (at, 1), place, along, "offset points", fontsize=SMALL, clip_on=True)


def span_words(first: str, last: str) -> str:
    """From when to when, for a table."""
    return (
        format_minute(first)
        if first == last
        else f"{format_minute(first)} to {format_minute(last)}"
    )
