"""Charts of how things went over time: missing values and timings."""

from collections.abc import Mapping, Sequence
from functools import partial

from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from pipeline.core.formatting import format_minute, format_seconds, format_significant, truncate
from pipeline.reporting.charts.chart import Chart
from pipeline.reporting.charts.style import LINES, SERIES
from pipeline.reporting.charts.timeaxis import (
    FEW,
    middle,
    over_time,
    place_of,
    set_span,
    span_words,
)
from pipeline.storage.trends import Missing, TimingBin

MOST_LETTERS = 24  # of a column's name
MOST_LINES = 6  # columns drawn by name; the others are in the table


def missing_chart(samples: Sequence[Missing], outcome: str) -> Chart:
    """Percent missing of each column over time; of recent clients nobody knows the outcome."""
    now = samples[-1].percent if samples else {}
    order = sorted(now, key=lambda name: -now[name])
    lacking = [name for name in order if any(one.percent.get(name) for one in samples)]
    most = next((name for name in order if name != outcome), None)
    told = (
        f"{truncate(most, MOST_LETTERS)} most, {now[most]:.1f} %"
        if most and now[most]
        else "none now"
    )
    shown = {
        name: f"{truncate(name, 14)} (not known yet)"
        if name == outcome
        else truncate(name, MOST_LETTERS)
        for name in lacking[:MOST_LINES]
    }
    return Chart(
        key="missing",
        title=f"Missing values by column: {told}",
        summary=(
            "A line for each column that lacks values: the percent missing, over time."
            f" {outcome} is what comes later: of recent clients it is not known yet."
        ),
        header=("when", *order),
        rows=tuple(
            (format_minute(one.at), *(_percent(one.percent.get(name)) for name in order))
            for one in reversed(samples)
        ),
        draw=partial(_draw_missing, samples, shown),
    )


def _draw_missing(samples: Sequence[Missing], shown: Mapping[str, str], figure: Figure) -> None:
    """`shown` has the label of each column that is drawn."""
    axes = over_time(figure, "percent missing")
    at = [place_of(one.at) for one in samples]
    marker = "o" if len(samples) <= FEW else ""
    for i, (name, label) in enumerate(shown.items()):
        values = [one.percent.get(name, float("nan")) for one in samples]
        axes.plot(at, values, color=SERIES[i], ls=LINES[i], marker=marker, label=label)
    highest = max((one.percent.get(name, 0.0) for one in samples for name in shown), default=0)
    axes.set_ylim(0, 1.1 * highest or 1)
    set_span(axes, [one.at for one in samples])
    if shown:
        axes.legend(loc="best")


def timing_chart(stages: Mapping[str, Sequence[TimingBin]]) -> Chart:
    """How long each stage took over time, on a logarithmic scale."""
    last = ", ".join(
        f"{stage} {format_seconds(bins[-1].seconds)}" for stage, bins in stages.items()
    )
    return Chart(
        key="timings",
        title=f"Seconds of the last runs: {last or 'none yet'}",
        summary="A line for each stage: the seconds that a run took, over time.",
        header=("when", "stage", "runs", "seconds", "least", "most", "rows"),
        rows=tuple(
            (
                span_words(part.first, part.last),
                stage,
                f"{part.runs:,}",
                *(format_significant(value) for value in (part.seconds, part.low, part.high)),
                f"{part.rows:,}",
            )
            for stage, bins in stages.items()
            for part in reversed(bins)
        ),
        draw=partial(_draw_timings, stages),
    )


def _draw_timings(stages: Mapping[str, Sequence[TimingBin]], figure: Figure) -> None:
    axes = over_time(figure, "seconds", left=0.85)  # 0.005
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter(NullFormatter())  # its powers would not find room
    for i, (stage, bins) in enumerate(stages.items()):
        at = [middle(part.first, part.last) for part in bins]
        marker = "os"[i % 2] if len(bins) <= FEW else ""
        values = [part.seconds for part in bins]
        axes.plot(at, values, color=SERIES[i], ls=LINES[i], marker=marker, label=stage)
    parts = [part for bins in stages.values() for part in bins]
    set_span(axes, [moment for part in parts for moment in (part.first, part.last)])
    if stages:
        axes.legend(loc="upper left")


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
