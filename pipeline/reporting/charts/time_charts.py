"""Charts over time: the score, missing values, timings, and one client's risk."""

from collections.abc import Mapping, Sequence
from functools import partial

from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from pipeline.core.formatting import (
    format_minute,
    format_percent,
    format_release_number,
    format_score,
    format_seconds,
    format_significant,
    pluralize,
    truncate,
)
from pipeline.reporting.charts.chart import Chart
from pipeline.reporting.charts.style import (
    ALARM,
    MAIN,
    QUIET,
    day_of,
    mark,
    middle,
    plot_line,
    set_span,
    span_words,
    time_axes,
)
from pipeline.reporting.tables import format_number
from pipeline.storage.risk_history import RiskPoint
from pipeline.storage.trends import Deployment, Missing, ScoreBin, TimingBin

MAX_RELEASES = 12  # whose numbers are in a picture
MAX_LINES = 6  # columns that are drawn; the others are in the table
MAX_LETTERS = 24  # of a column's name
ONE_RUN = "The line begins with the second run."
_LINE = 2  # points
# of the height: a tick of drift, and how much longer it is where all batches drifted
_SHORTEST, _LONGER = 0.03, 0.07


def score_chart(bins: Sequence[ScoreBin], releases: Sequence[Deployment]) -> Chart:
    """The live model's F1 on each batch, with what drifted and when a release went live."""
    drifted = sum(part.drifted for part in bins)
    batches = sum(part.batches for part in bins)
    found = "none judged yet"
    if bins:
        latest = f"latest {format_score(bins[-1].f1)}"
        found = f"{latest}; drift in {drifted:,} of {pluralize(batches, 'batch', 'batches')}"
    return Chart(
        key="score",
        title=f"F1 of the live model on new rows: {found}",
        summary=(
            "A line of the F1 that the live model reached on each batch of new rows, over time;"
            " ticks at the bottom mark drift, the longer the more of the batches drifted, vertical"
            " lines the releases that went live. Where batches are many, a point is the mean of"
            " several, and the band reaches from the lowest to the highest."
        ),
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
        draw=partial(_draw_score, bins, releases[-MAX_RELEASES:]),
        nothing="" if bins else "The line begins with the first batch whose outcomes are known.",
    )


def _draw_score(bins: Sequence[ScoreBin], releases: Sequence[Deployment], figure: Figure) -> None:
    axes = time_axes(figure, "F1 (0 to 1)")
    at = [middle(part.first, part.last) for part in bins]
    plot_line(axes, at, [part.f1 for part in bins], "on new rows")
    low, high = [part.low for part in bins], [part.high for part in bins]
    axes.fill_between(at, low, high, color=MAIN, alpha=0.2, linewidth=0)
    alarms = [(when, part) for when, part in zip(at, bins, strict=True) if part.drifted]
    heights = [_SHORTEST + _LONGER * part.drifted / part.batches for _, part in alarms]
    if alarms:
        axes.vlines([when for when, _ in alarms], 0, heights, colors=ALARM, lw=1.6, label="drift")
    for one in releases:
        number = format_release_number(one.release)
        mark(axes, day_of(one.at), number, colour=QUIET, line=":")
    axes.set_ylim(0, 1.02)
    ends = [moment for part in bins for moment in (part.first, part.last)]
    set_span(axes, [*ends, *(one.at for one in releases)])
    axes.legend(loc="best", handlelength=1.6)


def missing_chart(samples: Sequence[Missing], outcome: str) -> Chart:
    """Percent missing of each column over time; recent clients have no known outcome yet."""
    now = samples[-1].percent if samples else {}
    order = sorted(now, key=lambda name: -now[name])
    lacking = [name for name in order if any(one.percent.get(name) for one in samples)]
    latest = "none now"
    most = next((name for name in order if name != outcome and now[name]), None)
    if most:
        latest = f"most in {truncate(most, MAX_LETTERS)}, {now[most]:.1f} %"
    shown = {name: truncate(name, MAX_LETTERS) for name in lacking[:MAX_LINES]}
    if outcome in shown:
        shown[outcome] = f"{truncate(outcome, 14)} (not known yet)"
    return Chart(
        key="missing",
        title=f"Missing values by column: {latest}",
        summary=(
            "A line for each column that lacks values: the percent missing, over time."
            f" {outcome} of recent clients is not known yet."
        ),
        header=("when", *order),
        rows=tuple(
            (
                format_minute(one.at),
                *(format_number(one.percent.get(name), ".2f") for name in order),
            )
            for one in reversed(samples)
        ),
        draw=partial(_draw_missing, samples, shown),
        nothing=ONE_RUN if len(samples) < _LINE else "" if shown else "No value has been missing.",
    )


def _draw_missing(samples: Sequence[Missing], shown: Mapping[str, str], figure: Figure) -> None:
    """`shown` has the label of each column that is drawn."""
    axes = time_axes(figure, "percent missing")
    at = [day_of(one.at) for one in samples]
    for i, (name, label) in enumerate(shown.items()):
        values = [one.percent.get(name, float("nan")) for one in samples]
        plot_line(axes, at, values, label, i)
    axes.set_ylim(0, 1.1 * max(one.percent.get(name, 0.0) for one in samples for name in shown))
    set_span(axes, [one.at for one in samples])
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
        nothing="" if any(len(bins) >= _LINE for bins in stages.values()) else ONE_RUN,
    )


def _draw_timings(stages: Mapping[str, Sequence[TimingBin]], figure: Figure) -> None:
    axes = time_axes(figure, "seconds")
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter(NullFormatter())  # its powers would not find room
    for i, (stage, bins) in enumerate(stages.items()):
        at = [middle(part.first, part.last) for part in bins]
        plot_line(axes, at, [part.seconds for part in bins], stage, i)
    parts = [part for bins in stages.values() for part in bins]
    set_span(axes, [moment for part in parts for moment in (part.first, part.last)])
    axes.legend(loc="best")


def client_chart(points: Sequence[RiskPoint], threshold: float | None, until: str) -> Chart:
    """One client's risk over time: it holds until the next point, the last one until `until`."""
    risks = [point.risk for point in points if point.risk is not None]
    latest = f"latest {format_percent(risks[-1], 0)}" if risks else "none on record"
    gone = ", then no longer ranked" if risks and points[-1].risk is None else ""
    return Chart(
        key="client-risk",
        title=f"Risk over time: {latest}{gone}",
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
        draw=partial(_draw_client, points, threshold, until),
        nothing=""
        if len(points) >= _LINE
        else "The line begins with the first change of the risk.",
    )


def _draw_client(
    points: Sequence[RiskPoint], threshold: float | None, until: str, figure: Figure
) -> None:
    axes = time_axes(figure, "risk, percent")
    moments = [*(point.at for point in points), until]
    values = [float("nan") if p.risk is None else 100 * p.risk for p in points]
    at, values = [day_of(moment) for moment in moments], values + values[-1:]
    markers = list(range(len(points)))
    axes.step(at, values, where="post", color=MAIN, marker="o", markevery=markers)
    if threshold is not None:
        axes.axhline(
            100 * threshold, color=ALARM, ls="--", lw=1.2, label="threshold: predicted to leave"
        )
        axes.legend(loc="best")
    axes.set_ylim(-2, 102)
    set_span(axes, moments)
