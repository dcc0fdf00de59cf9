"""Charts of how many clients are at which risk, and of how the input moved."""

from collections.abc import Sequence
from functools import partial

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from pipeline.core.config import RiskBands
from pipeline.core.formatting import format_horizon, format_percent, pluralize, truncate
from pipeline.monitoring.decisions import Cause, FeatureDrift, Verdict
from pipeline.reporting.charts.chart import Chart
from pipeline.reporting.charts.style import ALARM, MUTED, QUIET, SERIES, SMALL, mark, plain_axes
from pipeline.reporting.tables import input_grid

BINS = 20  # of equal width
MAX_FEATURES = 12  # drawn; the others are in the table
_BANDS = (  # the higher the darker, in grey too: name, colour, how much of it, edge
    ("low", QUIET, 0.25, QUIET),
    ("medium", SERIES[5], 0.6, SERIES[5]),
    ("high", ALARM, 1.0, ALARM),
)


def distribution_chart(
    risk: np.ndarray, bands: RiskBands, threshold: float | None, horizon_days: int | None = None
) -> Chart:
    """How many clients are at which risk; `risk` has the shape (clients,)."""
    edges = np.linspace(0, 1, BINS + 1)
    band = (risk >= bands.medium).astype(int) + (risk >= bands.high)
    split = np.array([np.histogram(risk[band == place], edges)[0] for place in range(len(_BANDS))])
    high, medium = int((risk >= bands.high).sum()), int((risk >= bands.medium).sum())
    title = (
        f"{pluralize(high, 'client')} at high risk, {medium - high:,} at medium, of {len(risk):,}"
    )

    return Chart(
        key="distribution",
        title=title,
        summary="Bars: how many clients are at which risk, by band; clients at or above the"
        " dashed line, the threshold, are predicted to leave.",
        header=("risk", "clients"),
        rows=tuple(
            (f"{100 * low:.0f} to {100 * up:.0f} %", f"{count:,}")
            for low, up, count in zip(
                edges[:-1], edges[1:], split.sum(axis=0).tolist(), strict=True
            )
        ),
        draw=partial(_draw_distribution, split, threshold, format_horizon(horizon_days)),
        nothing="" if len(risk) else "No client is ranked: all have left.",
    )


def _draw_distribution(
    split: np.ndarray, threshold: float | None, horizon: str, figure: Figure
) -> None:
    """`split` has the shape (bands, bins): a limit within a bin parts its bar in two."""
    axes = plain_axes(figure)
    middles = 100 * (np.arange(BINS) + 0.5) / BINS
    below = np.cumsum(split, axis=0) - split
    for counts, bottom, (name, colour, fill, edge) in zip(split, below, _BANDS, strict=True):
        here = counts > 0
        axes.bar(
            middles[here],
            counts[here],
            bottom=bottom[here],
            width=100 / BINS * 0.88,
            color=(colour, fill),
            edgecolor=edge,
            linewidth=0.8,
            label=name,
        )
    axes.yaxis.set_major_locator(MaxNLocator("auto", integer=True, min_n_ticks=1))
    axes.yaxis.set_major_formatter("{x:,.0f}")
    axes.set_ylim(0, 1.06 * max(1, split.sum(axis=0).max()))
    if threshold is not None:
        mark(axes, 100 * threshold, "threshold")
    axes.set_xlim(0, 100)
    axes.set_xlabel(f"risk of leaving{horizon}, percent")
    axes.set_ylabel("clients")
    # explicit: a band without a client has no bar to take the colours from
    axes.legend(
        handles=[Patch(fc=(c, fill), ec=edge, label=name) for name, c, fill, edge in _BANDS],
        loc="upper right",
    )


def input_chart(found: Sequence[FeatureDrift], release: str) -> Chart:
    """How far each feature of the last batch has moved from the training data."""
    drifted = [one.name for one in found if one.verdict == Verdict.DRIFT]
    drawn = [one for one in found if one.psi_limit or one.verdict == Verdict.DRIFT]
    drawn.sort(key=lambda one: (one.verdict == Verdict.DRIFT, _ratio(one)), reverse=True)
    if drifted:
        title = f"Input: {', '.join(drifted)} drifted"
    else:
        title = "Input: no feature drifted" if drawn else "Input: too few rows to tell"
    grid = input_grid(found)
    return Chart(
        key="input",
        title=title if len(title) < 100 else f"Input: {len(drifted):,} features drifted",
        summary=(
            "Bars: the population stability index (PSI) between each feature of the last batch and"
            f" the training data of release {release}, as a multiple of the limit for so many rows;"
            " dashed: the limit. Those that drifted are marked."
        ),
        header=grid.header,
        rows=grid.rows,
        draw=partial(_draw_input, drawn[:MAX_FEATURES]),
        nothing="" if drawn else "The batch has too few rows to compare.",
    )


def _draw_input(shown: Sequence[FeatureDrift], figure: Figure) -> None:
    axes = plain_axes(figure)
    places = range(len(shown))[::-1]
    for place, one in zip(places, shown, strict=True):
        alarm = one.verdict == Verdict.DRIFT
        axes.barh(place, _ratio(one), height=0.6, color=ALARM if alarm else QUIET)
        if alarm:
            axes.annotate(f" drift{_cause(one)}", (_ratio(one), place), va="center", fontsize=SMALL)
    axes.axvline(1, color=MUTED, ls="--", lw=1.2)
    room = 2.6 if any(map(_cause, shown)) else 1.25  # for the text at the longest bar
    axes.set_xlim(0, room * max(1.0, *map(_ratio, shown)))
    axes.set_yticks(np.array(places), [truncate(one.name, 22) for one in shown])
    axes.set_ylim(-0.7, len(shown) - 0.3)
    axes.grid(visible=False, axis="y")
    axes.set_xlabel("PSI, as a multiple of its limit")


def _ratio(one: FeatureDrift) -> float:
    """What has too few values for a PSI has none, and so no bar."""
    return (one.psi or 0.0) / (one.psi_limit or 1.0)


def _cause(one: FeatureDrift) -> str:
    """In which way a feature drifted, if not in its values."""
    if one.causes[:1] == (Cause.MISSING,):
        return f": {format_percent(one.missing)} missing"
    return f": {format_percent(one.unseen)} unseen" if Cause.UNSEEN in one.causes else ""
