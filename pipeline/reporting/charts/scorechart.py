"""The chart of the live model's score over time, with drift and releases."""

from collections.abc import Sequence
from functools import partial

from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from pipeline.core.formatting import format_release_number, format_score, pluralize
from pipeline.reporting.charts.chart import Chart
from pipeline.reporting.charts.style import ALARM, MAIN, MUTED, QUIET, SMALL
from pipeline.reporting.charts.timeaxis import (
    FEW,
    middle,
    over_time,
    place_of,
    set_span,
    span_words,
)
from pipeline.storage.trends import Deployment, ScoreBin

MOST_MARKS = 12  # releases that are named in a picture
_LOWEST, _MORE = 0.03, 0.07  # of the height: a tick of drift, and what one of all batches has more


def score_chart(bins: Sequence[ScoreBin], releases: Sequence[Deployment]) -> Chart:
    """The live model's F1 on each batch, with what drifted and when a release went live."""
    drifted = sum(part.drifted for part in bins)
    batches = sum(part.batches for part in bins)
    last = f"{format_score(bins[-1].f1)} at last; " if bins else ""
    found = f"drift in {drifted:,} of {pluralize(batches, 'batch', 'batches')}"
    title = f"F1 of the live model on new rows: {last}{found if batches else 'none judged yet'}"
    return Chart(
        key="score",
        title=title,
        summary=_summary(bins),
        header=("when", "batches", "F1", "lowest", "highest", "drifted"),
        rows=tuple(
            (
                span_words(part.first, part.last),
                f"{part.batches:,}",
                *(format_score(value) for value in (part.f1, part.low, part.high)),
                f"{part.drifted:,}",
            )
            for part in reversed(bins)
        ),
        draw=partial(_draw, bins, releases[-MOST_MARKS:]),
    )


def _summary(bins: Sequence[ScoreBin]) -> str:
    drift = (
        "triangles mark drift"
        if len(bins) <= FEW
        else "ticks at the bottom mark drift, the longer the more of the batches drifted"
    )
    told = (
        "A line of the F1 that the live model reached on each batch of new rows, over time;"
        f" {drift}, vertical lines the releases that went live."
    )
    if sum(part.batches for part in bins) > 1:
        told += (
            " Where batches are many, a point is the mean of several,"
            " and the band reaches from the lowest to the highest."
        )
    return told


def _draw(bins: Sequence[ScoreBin], releases: Sequence[Deployment], figure: Figure) -> None:
    axes = over_time(figure, "F1 (0 to 1)")
    at = [middle(part.first, part.last) for part in bins]
    marker = "o" if len(bins) <= FEW else ""
    axes.plot(at, [part.f1 for part in bins], color=MAIN, marker=marker, label="on new rows")
    if any(part.batches > 1 for part in bins):
        low, high = [part.low for part in bins], [part.high for part in bins]
        axes.fill_between(at, low, high, color=MAIN, alpha=0.2, linewidth=0)
    _mark_drift(axes, at, bins)
    _mark_releases(axes, releases)
    axes.set_ylim(-0.02, 1.02)
    ends = [moment for part in bins for moment in (part.first, part.last)]
    set_span(axes, [*ends, *(one.at for one in releases)])
    if bins:
        axes.legend(loc="best", handlelength=1.6)


def _mark_drift(axes: Axes, at: Sequence[float], bins: Sequence[ScoreBin]) -> None:
    """Triangles on the line; of many, which would hide it, ticks below."""
    alarms = [(when, part) for when, part in zip(at, bins, strict=True) if part.drifted]
    if not alarms:
        return
    if len(bins) <= FEW:
        x, y = zip(*((when, part.f1) for when, part in alarms), strict=True)
        axes.plot(x, y, ls="", marker="v", ms=8, color=ALARM, label="drift")
        return
    ticks = [
        [(when, 0.0), (when, _LOWEST + _MORE * part.drifted / part.batches)]
        for when, part in alarms
    ]
    marks = LineCollection(ticks, colors=ALARM, linewidths=1.6, label="drift")
    marks.set_transform(axes.get_xaxis_transform())
    axes.add_collection(marks, autolim=False)


def _mark_releases(axes: Axes, releases: Sequence[Deployment]) -> None:
    places = [place_of(one.at) for one in releases]
    lines = [[(at, 0.0), (at, 1.0)] for at in places]
    marks = LineCollection(lines, colors=QUIET, linestyles=":", linewidths=1.0)
    marks.set_transform(axes.get_xaxis_transform())
    axes.add_collection(marks, autolim=False)
    for at, one in zip(places, releases, strict=True):
        axes.annotate(
            format_release_number(one.release),
            (at, 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(2, -10),
            textcoords="offset points",
            fontsize=SMALL,
            color=MUTED,
        )
