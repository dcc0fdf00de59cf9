"""Axes over time."""

from datetime import datetime

from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure

from pipeline.plotstyle import plain_axes

DAY = 86_400.0  # seconds


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
