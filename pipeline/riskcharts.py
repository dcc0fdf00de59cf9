"""Charts of the clients as they are now: their risks, and how their data changed."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.chart import Chart
from pipeline.config import RiskBands
from pipeline.drift import DRIFT
from pipeline.featuredrift import FeatureDrift
from pipeline.plotstyle import ALARM, MUTED, QUIET, SERIES, SMALL, plain_axes
from pipeline.words import counted, percent

BINS = 20  # of equal width
_BANDS = (  # the higher the darker, in grey too: name, colour, how much of it, edge
    ("low", QUIET, 0.25, QUIET),
    ("medium", SERIES[5], 0.6, SERIES[5]),
    ("high", ALARM, 1.0, ALARM),
)
MOST_FEATURES = 12  # drawn; the others are in the table


def distribution_chart(risk: np.ndarray, bands: RiskBands, threshold: float | None) -> Chart:
    """How many clients are at which risk; `risk` has the shape (clients,)."""
    counts, edges = np.histogram(risk, bins=BINS, range=(0, 1))
    high, medium = int((risk >= bands.high).sum()), int((risk >= bands.medium).sum())
    title = f"{counted(high, 'client')} at high risk, {medium - high:,} at medium, of {len(risk):,}"

    def draw(figure: Figure) -> None:
        axes = plain_axes(figure, left=0.9)  # 100,000 clients
        middles = (edges[:-1] + edges[1:]) / 2
        band = (middles >= bands.medium).astype(int) + (middles >= bands.high)
        for place, (name, colour, fill, edge) in enumerate(_BANDS):
            here = band == place
            axes.bar(
                100 * middles[here],
                counts[here],
                width=100 / BINS * 0.88,
                color=(colour, fill),
                edgecolor=edge,
                linewidth=0.8,
                label=name,
            )
        axes.yaxis.set_major_formatter("{x:,.0f}")
        if threshold is not None:
            mark_threshold(axes, 100 * threshold)
        axes.set_xlim(0, 100)
        axes.set_xlabel("risk of leaving, percent")
        axes.set_ylabel("clients")
        axes.legend(loc="upper right")

    return Chart(
        key="distribution",
        title=title,
        summary="Bars: how many clients are at which risk, by band; the dashed line is the least"
        " risk that is predicted to leave.",
        header=("risk", "clients"),
        rows=tuple(
            (f"{100 * low:.0f} to {100 * up:.0f} %", f"{count:,}")
            for low, up, count in zip(edges[:-1], edges[1:], counts.tolist(), strict=True)
        ),
        draw=draw,
    )


def mark_threshold(axes: Axes, at: float) -> None:
    """A dashed line at the least risk that is predicted to leave."""
    axes.axvline(at, color=MUTED, ls="--", lw=1.2)
    axes.annotate(
        "threshold",
        (at, 1.0),
        xycoords=("data", "axes fraction"),
        xytext=(3, -10),
        textcoords="offset points",
        fontsize=SMALL,
    )


def input_chart(found: Sequence[FeatureDrift], release: str) -> Chart:
    """How far each feature of the last batch has moved from the training data."""
    drifted = [one.name for one in found if one.verdict == DRIFT]
    told = [one for one in found if one.psi is not None and one.psi_limit]
    shown = sorted(told, key=_ratio, reverse=True)[:MOST_FEATURES]
    if drifted:
        title = f"Input: {', '.join(drifted)} drifted"
    else:
        title = "Input: no feature drifted" if told else "Input: too few rows to tell"

    def draw(figure: Figure) -> None:
        axes = plain_axes(figure, left=2.0)
        places = np.arange(len(shown))[::-1]
        for place, one in zip(places, shown, strict=True):
            alarm = one.verdict == DRIFT
            axes.barh(
                place,
                _ratio(one),
                height=0.6,
                color=ALARM if alarm else QUIET,
            )
            if alarm:
                axes.annotate(
                    f" drift{_cause(one)}", (_ratio(one), place), va="center", fontsize=SMALL
                )
        axes.axvline(1, color=MUTED, ls="--", lw=1.2)
        if not shown:
            axes.text(0.5, 0.5, "too few rows", transform=axes.transAxes, ha="center")
        room = 2.6 if any(map(_cause, shown)) else 1.25  # for the words at the longest bar
        axes.set_xlim(0, room * max(1.0, *map(_ratio, shown), 0.0))
        axes.set_yticks(places, [_short(one.name) for one in shown])
        axes.set_ylim(-0.7, max(len(shown), 1) - 0.3)
        axes.grid(visible=False, axis="y")
        axes.set_xlabel("PSI, as a multiple of its limit")

    return Chart(
        key="input",
        title=title if len(title) < 100 else f"Input: {len(drifted):,} features drifted",
        summary=(
            "Bars: the population stability index of each feature of the last batch beside the"
            f" training data of release {release}, as a multiple of the limit for so many rows;"
            " dashed: the limit. Those that drifted are named so."
        ),
        header=("feature", "PSI", "limit", "p", "missing", "before", "unseen", "verdict"),
        rows=tuple(
            (
                one.name,
                _number(one.psi, ".3f"),
                _number(one.psi_limit, ".3f"),
                _number(one.p_value, ".2g"),
                *(percent(share) for share in (one.missing, one.missing_before, one.unseen)),
                one.verdict,
            )
            for one in found
        ),
        draw=draw,
    )


def _ratio(one: FeatureDrift) -> float:
    return (one.psi or 0.0) / (one.psi_limit or 1.0)


def _cause(one: FeatureDrift) -> str:
    """What of a feature drifted, if not its values."""
    if one.reason.startswith("missing"):
        return f": {percent(one.missing)} missing"
    return f": {percent(one.unseen)} unseen" if "in categories" in one.reason else ""


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def _short(name: str) -> str:
    return name if len(name) <= 22 else f"{name[:21]}…"
