"""Ticks of an axis drawn at once, which takes a third of the time of matplotlib's one by one.

Matplotlib still chooses where they stand and what they say. A page with five charts is drawn
anew whenever the history has changed, and its ticks took most of that.
"""

from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.collections import LineCollection
from matplotlib.ticker import NullLocator

from pipeline.reporting.charts.style import GRID, INK

_OUT = 3.0  # points that a mark sticks out, and as many to its label
_BEHIND = 0.5  # the order of drawing: before the data


def lighten(axes: Axes) -> None:
    """Replace the ticks of both axes; to be called when all else is drawn."""
    # what moves the limits comes first: a label of an axis lies beyond its ticks' labels
    ticks = [(axis, *_ticks(axis)) for axis in (axes.xaxis, axes.yaxis)]
    for axis, places, labels, aside in ticks:
        if axis.get_tick_params()["gridOn"]:
            _rule(axes, axis, places)
        _label(axes, axis, places, labels, aside)
        axis.set_major_locator(NullLocator())
        axis.set_minor_locator(NullLocator())
        axis.offsetText.set_visible(False)


def _ticks(axis: Axis) -> tuple[list[float], list[str], str]:
    """Where the ticks are within the limits, what they say, and what stands aside for them all."""
    low, high = sorted(axis.get_view_interval())
    places = [float(place) for place in axis.get_major_locator()() if low <= place <= high]
    formatter = axis.get_major_formatter()
    return places, formatter.format_ticks(places), formatter.get_offset()


def _rule(axes: Axes, axis: Axis, places: list[float]) -> None:
    across = axis is axes.xaxis
    lines = [[(at, 0.0), (at, 1.0)] if across else [(0.0, at), (1.0, at)] for at in places]
    transform = axes.get_xaxis_transform() if across else axes.get_yaxis_transform()
    axes.add_collection(
        LineCollection(lines, colors=GRID, linewidths=0.7, zorder=_BEHIND, transform=transform),
        autolim=False,
    )


def _label(axes: Axes, axis: Axis, places: list[float], labels: list[str], aside: str) -> None:
    across = axis is axes.xaxis
    where = "xaxis" if across else "yaxis"
    transform = getattr(axes, f"get_{where}_transform")()
    size = axis.get_tick_params().get("labelsize", 10.5)
    for at, text in zip(places, labels, strict=True):
        axes.annotate(
            text,
            (at, 0.0) if across else (0.0, at),
            (0, -2 * _OUT) if across else (-2 * _OUT, 0),
            xycoords=transform,
            textcoords="offset points",
            ha="center" if across else "right",
            va="top" if across else "center",
            fontsize=size,
            color=INK,
            annotation_clip=False,
        )
    if aside:
        axes.annotate(
            aside,
            (1.0, 0.0),
            (0, -20),
            xycoords="axes fraction",
            textcoords="offset points",
            ha="right",
            va="top",
            fontsize=size,
        )
