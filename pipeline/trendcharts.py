"""Charts of how things went over time: scores, missing values, timings."""

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from pipeline.chart import Chart
from pipeline.plotstyle import ALARM, LINES, MAIN, MUTED, QUIET, SERIES, SMALL
from pipeline.timeaxis import middle, over_time, place_of
from pipeline.trendbins import ScoreBin, TimingBin
from pipeline.trends import Deployment, Missing
from pipeline.words import (
    counted,
    minute,
    release_number,
    score,
    seconds,
    three_digits,
)

MOST_LINES = 6  # columns drawn by name; the others are in the table
MOST_MARKS = 12  # releases that are named in a picture
FEW = 40  # points; more than these are a line without marks


def score_chart(bins: Sequence[ScoreBin], releases: Sequence[Deployment]) -> Chart:
    """The live model's F1 on each batch, with what drifted and when a release went live."""
    drifted = sum(part.drifted for part in bins)
    batches = sum(part.batches for part in bins)
    last = f"{score(bins[-1].f1)} at last; " if bins else ""
    found = f"drift in {drifted:,} of {counted(batches, 'batch', 'batches')}"
    title = f"F1 of the live model on new rows: {last}{found if batches else 'none judged yet'}"

    def draw(figure: Figure) -> None:
        axes = over_time(figure, "F1 (0 to 1)")
        at = [middle(part.first, part.last) for part in bins]
        few = len(bins) <= FEW
        axes.plot(
            at, [p.f1 for p in bins], color=MAIN, marker="o" if few else "", label="on new rows"
        )
        if any(part.batches > 1 for part in bins):
            low, high = [p.low for p in bins], [p.high for p in bins]
            axes.fill_between(at, low, high, color=MAIN, alpha=0.2, linewidth=0)
        alarms = [(when, p.f1) for when, p in zip(at, bins, strict=True) if p.drifted]
        if alarms:
            x, y = zip(*alarms, strict=True)
            axes.plot(x, y, ls="", marker="v", ms=8, color=ALARM, label="drift")
        _mark_releases(axes, releases)
        axes.set_ylim(-0.02, 1.02)
        axes.legend(loc="best", handlelength=1.6)

    return Chart(
        key="score",
        title=title,
        summary=(
            "A line of the F1 that the live model reached on each batch of new rows, over time;"
            " triangles mark drift, vertical lines the releases that went live."
            + (" Where batches are many, a point is the mean of several," if batches > 1 else "")
            + (" and the band reaches from the lowest to the highest." if batches > 1 else "")
        ),
        header=("when", "batches", "F1", "lowest", "highest", "drifted"),
        rows=tuple(
            (
                _span(part.first, part.last),
                f"{part.batches:,}",
                *(score(value) for value in (part.f1, part.low, part.high)),
                f"{part.drifted:,}",
            )
            for part in reversed(bins)
        ),
        draw=draw,
    )


def missing_chart(samples: Sequence[Missing]) -> Chart:
    """Percent missing of each column over time."""
    now = samples[-1].percent if samples else {}
    order = sorted(now, key=lambda name: -now[name])
    shown = [name for name in order if any(one.percent.get(name) for one in samples)][:MOST_LINES]
    most = f"{order[0]} most, {now[order[0]]:.1f} %" if order and now[order[0]] else "none now"

    def draw(figure: Figure) -> None:
        axes = over_time(figure, "percent missing")
        at = [place_of(one.at) for one in samples]
        for i, name in enumerate(shown):
            values = [one.percent.get(name, float("nan")) for one in samples]
            marker = "o" if len(samples) <= FEW else ""
            axes.plot(at, values, color=SERIES[i], ls=LINES[i], marker=marker, label=_short(name))
        most_of_all = max(
            (one.percent.get(name, 0.0) for one in samples for name in shown), default=0
        )
        axes.set_ylim(0, 1.1 * most_of_all or 1)
        if shown:
            axes.legend(loc="upper left")

    return Chart(
        key="missing",
        title=f"Missing values by column: {most}",
        summary="A line for each column that lacks values: the percent missing, over time.",
        header=("when", *order),
        rows=tuple(
            (minute(one.at), *(_percent(one.percent.get(name)) for name in order))
            for one in reversed(samples)
        ),
        draw=draw,
    )


def timing_chart(stages: Mapping[str, Sequence[TimingBin]]) -> Chart:
    """How long each stage took over time, on a logarithmic scale."""
    last = ", ".join(f"{stage} {seconds(bins[-1].seconds)}" for stage, bins in stages.items())

    def draw(figure: Figure) -> None:
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
        if stages:
            axes.legend(loc="upper left")

    return Chart(
        key="timings",
        title=f"Seconds of the last runs: {last or 'none yet'}",
        summary="A line for each stage: the seconds that a run took, over time.",
        header=("when", "stage", "runs", "seconds", "least", "most", "rows"),
        rows=tuple(
            (
                _span(part.first, part.last),
                stage,
                f"{part.runs:,}",
                *(three_digits(value) for value in (part.seconds, part.low, part.high)),
                f"{part.rows:,}",
            )
            for stage, bins in stages.items()
            for part in reversed(bins)
        ),
        draw=draw,
    )


def _mark_releases(axes: Axes, releases: Sequence[Deployment]) -> None:
    places = [place_of(one.at) for one in releases[-MOST_MARKS:]]
    lines = [[(at, 0.0), (at, 1.0)] for at in places]
    marks = LineCollection(lines, colors=QUIET, linestyles=":", linewidths=1.0)
    marks.set_transform(axes.get_xaxis_transform())
    axes.add_collection(marks, autolim=False)
    for at, one in zip(places, releases[-MOST_MARKS:], strict=True):
        axes.annotate(
            release_number(one.release),
            (at, 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(2, -10),
            textcoords="offset points",
            fontsize=SMALL,
            color=MUTED,
        )
    if places:
        axes.update_datalim([(min(places), 0), (max(places), 0)], updatey=False)


def _span(first: str, last: str) -> str:
    return minute(first) if first == last else f"{minute(first)} to {minute(last)}"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _short(name: str) -> str:
    return name if len(name) <= 24 else f"{name[:23]}…"
