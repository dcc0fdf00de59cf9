"""The chart of how each feature of the last batch moved from the training data."""

from collections.abc import Sequence
from functools import partial
from math import inf

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.core.formatting import format_percent, truncate
from pipeline.monitoring.decisions import Cause, FeatureDrift, Verdict
from pipeline.reporting.charts.chart import Chart
from pipeline.reporting.charts.style import ALARM, MUTED, QUIET, SMALL, plain_axes

MOST_FEATURES = 12  # drawn; the others are in the table


def input_chart(found: Sequence[FeatureDrift], release: str) -> Chart:
    """How far each feature of the last batch has moved from the training data."""
    drifted = [one.name for one in found if one.verdict == Verdict.DRIFT]
    told = [one for one in found if _measured(one) or one.verdict == Verdict.DRIFT]
    if drifted:
        title = f"Input: {', '.join(drifted)} drifted"
    else:
        title = "Input: no feature drifted" if told else "Input: too few rows to tell"
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
                *(format_percent(share) for share in (one.missing, one.missing_before, one.unseen)),
                one.verdict,
            )
            for one in found
        ),
        draw=partial(_draw, sorted(told, key=_weight, reverse=True)[:MOST_FEATURES]),
    )


def _draw(shown: Sequence[FeatureDrift], figure: Figure) -> None:
    axes = plain_axes(figure, left=2.0)
    places = range(len(shown))[::-1]
    for place, one in zip(places, shown, strict=True):
        _bar(axes, place, one)
    axes.axvline(1, color=MUTED, ls="--", lw=1.2)
    if not shown:
        axes.text(0.5, 0.5, "too few rows", transform=axes.transAxes, ha="center")
    room = 2.6 if any(map(_cause, shown)) else 1.25  # for the words at the longest bar
    axes.set_xlim(0, room * max(1.0, *map(_ratio, shown), 0.0))
    axes.set_yticks(np.array(places), [truncate(one.name, 22) for one in shown])
    axes.set_ylim(-0.7, max(len(shown), 1) - 0.3)
    axes.grid(visible=False, axis="y")
    axes.set_xlabel("PSI, as a multiple of its limit")


def _bar(axes: Axes, place: int, one: FeatureDrift) -> None:
    """One feature; a column without any value has no PSI, and so no bar."""
    alarm = one.verdict == Verdict.DRIFT
    if _measured(one):
        axes.barh(place, _ratio(one), height=0.6, color=ALARM if alarm else QUIET)
    if alarm:
        axes.annotate(f" drift{_cause(one)}", (_ratio(one), place), va="center", fontsize=SMALL)


def _measured(one: FeatureDrift) -> bool:
    return one.psi is not None and bool(one.psi_limit)


def _weight(one: FeatureDrift) -> tuple[bool, float]:
    """What drifted comes first, and before all what has too few values left for a PSI."""
    return one.verdict == Verdict.DRIFT, _ratio(one) if _measured(one) else inf


def _ratio(one: FeatureDrift) -> float:
    return (one.psi or 0.0) / (one.psi_limit or 1.0)


def _cause(one: FeatureDrift) -> str:
    """What of a feature drifted, if not its values."""
    if one.causes[:1] == (Cause.MISSING,):
        return f": {format_percent(one.missing)} missing"
    return f": {format_percent(one.unseen)} unseen" if Cause.UNSEEN in one.causes else ""


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)
