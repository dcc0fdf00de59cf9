"""The chart of how many clients are at which risk."""

from functools import partial

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from pipeline.core.config import RiskBands
from pipeline.core.formatting import pluralize
from pipeline.reporting.charts.chart import Chart
from pipeline.reporting.charts.style import ALARM, MUTED, QUIET, SERIES, SMALL, plain_axes

BINS = 20  # of equal width
_BANDS = (  # the higher the darker, in grey too: name, colour, how much of it, edge
    ("low", QUIET, 0.25, QUIET),
    ("medium", SERIES[5], 0.6, SERIES[5]),
    ("high", ALARM, 1.0, ALARM),
)


def distribution_chart(risk: np.ndarray, bands: RiskBands, threshold: float | None) -> Chart:
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
        summary="Bars: how many clients are at which risk, by band; the dashed line is the least"
        " risk that is predicted to leave.",
        header=("risk", "clients"),
        rows=tuple(
            (f"{100 * low:.0f} to {100 * up:.0f} %", f"{count:,}")
            for low, up, count in zip(
                edges[:-1], edges[1:], split.sum(axis=0).tolist(), strict=True
            )
        ),
        draw=partial(_draw, split, threshold),
    )


def _draw(split: np.ndarray, threshold: float | None, figure: Figure) -> None:
    """`split` has the shape (bands, bins): a limit within a bin parts its bar in two."""
    axes = plain_axes(figure, left=0.9)  # 100,000 clients
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
        mark_threshold(axes, 100 * threshold)
    axes.set_xlim(0, 100)
    axes.set_xlabel("risk of leaving, percent")
    axes.set_ylabel("clients")
    # made by hand: a band without a client has no bar to take the colours from
    axes.legend(
        handles=[Patch(fc=(c, fill), ec=edge, label=name) for name, c, fill, edge in _BANDS],
        loc="upper right",
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
