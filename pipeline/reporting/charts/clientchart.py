"""The chart of one client's risk over time."""

from collections.abc import Sequence
from functools import partial

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.core.formatting import (
    format_minute,
    format_percent,
)
from pipeline.reporting.charts.chart import Chart
from pipeline.reporting.charts.style import ALARM, MAIN, SMALL
from pipeline.reporting.charts.timeaxis import over_time, place_of, set_span
from pipeline.storage.risk_history import RiskPoint


def client_chart(points: Sequence[RiskPoint], threshold: float | None, until: str) -> Chart:
    """One client's risk over time: it holds until the next point, the last one until `until`."""
    told = [point for point in points if point.risk is not None]
    ranked = bool(points) and points[-1].risk is not None
    last = format_percent(told[-1].risk, 0) if told else "none on record"
    if told:
        last += " at last" if ranked else ", then no longer ranked"
    return Chart(
        key="client-risk",
        title=f"Risk over time: {last}",
        summary="Steps: the risk of leaving from each ranking that changed it, in percent.",
        header=("when", "risk", "release"),
        rows=tuple(
            (
                format_minute(point.at),
                "not ranked" if point.risk is None else format_percent(point.risk, 0),
                point.release,
            )
            for point in reversed(points)
        ),
        draw=partial(_draw, points, threshold, until),
    )


def _draw(points: Sequence[RiskPoint], threshold: float | None, until: str, figure: Figure) -> None:
    axes = over_time(figure, "risk, percent")
    moments = [point.at for point in points] + [until] * bool(points)
    values = [float("nan") if p.risk is None else 100 * p.risk for p in points]
    at, values = [place_of(moment) for moment in moments], values + values[-1:]
    markers = list(range(len(points)))
    axes.step(at, values, where="post", color=MAIN, marker="o", markevery=markers)
    if threshold is not None and points:
        _mark_least(axes, 100 * threshold)
    axes.set_ylim(-2, 102)
    set_span(axes, moments)


def _mark_least(axes: Axes, at: float) -> None:
    axes.axhline(at, color=ALARM, ls="--", lw=1.2)
    axes.annotate(
        "predicted to leave from here on",
        (0.01, at),
        xycoords=("axes fraction", "data"),
        xytext=(0, 3),
        textcoords="offset points",
        fontsize=SMALL,
    )
