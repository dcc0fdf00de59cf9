"""Axes over time."""

from collections.abc import Iterable
from datetime import datetime

from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, NullLocator

from pipeline.core.formatting import format_minute
from pipeline.reporting.charts.style import MUTED, plain_axes

FEW = 40  # points; more than these are a line without marks
DAY = 86_400.0  # seconds
HOUR = 1 / 24  # of a day
_MARGIN = 0.03  # of the whole time, on both sides


def over_time(figure: Figure, what: str, left: float = 0.7) -> Axes:
    """Axes over time, with what stands beside them."""
    axes = plain_axes(figure, left=left)
    locator = AutoDateLocator(minticks=3, maxticks=5)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))
    axes.set_xlabel("when (UTC)")
    axes.set_ylabel(what)
    return axes


def place_of(at: str) -> float:
    """Where a time stands on the axis, in days."""
    return datetime.fromisoformat(at).timestamp() / DAY


def middle(first: str, last: str) -> float:
    """Where the middle of two times stands."""
    return (place_of(first) + place_of(last)) / 2


def set_span(axes: Axes, moments: Iterable[str]) -> None:
    """Let the axis reach over all moments of a chart: a day to both sides where they are one.

    Those of less than an hour count as one: there is no scale for them.
    """
    places = [place_of(at) for at in moments]
    if not places:
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(NullLocator())
            axis.set_minor_locator(NullLocator())
            axis.set_major_formatter(NullFormatter())  # that of dates needs a tick
        axes.text(0.5, 0.5, "none yet", transform=axes.transAxes, ha="center", color=MUTED)
        return
    first, last = min(places), max(places)
    margin = _MARGIN * (last - first) if last - first > HOUR else 1.0
    axes.set_xlim(first - margin, last + margin)


def span_words(first: str, last: str) -> str:
    """From when to when, for a table."""
    return (
        format_minute(first)
        if first == last
        else f"{format_minute(first)} to {format_minute(last)}"
    )
