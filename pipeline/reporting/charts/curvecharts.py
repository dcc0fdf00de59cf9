"""Curves over all thresholds: ROC, precision and recall, gain and lift."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn import metrics

from pipeline.core.formatting import format_percent, format_score
from pipeline.monitoring.metrics import Tested, top_lift
from pipeline.reporting.charts.chart import Chart
from pipeline.reporting.charts.style import MAIN, MUTED, SMALL, mark_diagonal, percent_axes

MOST_CURVE = 200  # points of a curve that are drawn
_TENTHS = np.arange(11) / 10


def roc_chart(tested: Tested) -> Chart:
    """The receiver operating characteristic."""
    wrong, right, _ = metrics.roc_curve(tested.outcomes, tested.risk)
    area = metrics.roc_auc_score(tested.outcomes, tested.risk)
    x, y = _thinned(100 * wrong, 100 * right)

    def draw(figure: Figure) -> None:
        axes = percent_axes(figure, "stayed, but predicted to leave", "left, and predicted")
        _beside_chance(axes, x, y, "the model")

    return Chart(
        key="roc",
        title=f"ROC curve: area {format_score(float(area))} of 1 (0.5 by chance)",
        summary=(
            "For every threshold: the percent of leaving clients that are found, over the percent"
            " of staying ones that are taken for leaving. The further to the upper left the better."
        ),
        header=("stayed, but predicted", "left, and predicted"),
        rows=_at_tenths(wrong, right),
        draw=draw,
    )


def recall_chart(tested: Tested) -> Chart:
    """Precision over recall."""
    precision, recall, _ = metrics.precision_recall_curve(tested.outcomes, tested.risk)
    area = metrics.average_precision_score(tested.outcomes, tested.risk)
    base = float(tested.outcomes.mean())
    x, y = _thinned(100 * recall[::-1], 100 * precision[::-1])

    def draw(figure: Figure) -> None:
        axes = percent_axes(figure, "recall: of those who left", "precision: of those named")
        axes.axhline(100 * base, color=MUTED, ls=":", lw=1)
        axes.annotate(
            "by chance", (0, 100 * base), (2, 3), textcoords="offset points", fontsize=SMALL
        )
        # between two thresholds there is none: what reaches a recall is the next point's
        axes.plot(x, y, color=MAIN, ls="-", drawstyle="steps-pre")

    return Chart(
        key="precision-recall",
        title=f"Precision and recall: average precision {format_score(float(area))}"
        f" ({base:.3f} by chance)",
        summary=(
            "For every threshold: how many of the clients named did leave, over how many of those"
            " who left were named. The table has the highest threshold that reaches each recall."
        ),
        header=("recall, at least", "precision"),
        rows=tuple(
            (format_percent(share, 0), format_percent(precision[recall >= share - 1e-9][-1]))
            for share in _TENTHS[1:]
        ),
        draw=draw,
    )


def gain_chart(tested: Tested) -> Chart:
    """Cumulative gain: whom one finds by contacting the clients at the highest risk first."""
    asked, found = _gain(tested)
    lift = top_lift(tested.outcomes, tested.risk)
    told = "" if lift is None else f"the first tenth holds {lift:.1f} times as many as by chance"
    x, y = _thinned(100 * asked, 100 * found)

    def draw(figure: Figure) -> None:
        axes = percent_axes(figure, "of all clients, highest risk first", "of those who left")
        _beside_chance(axes, x, y, "by risk")

    rows = []
    for share in _TENTHS[1:]:
        gain = float(np.interp(share, asked, found))
        rows.append((format_percent(share, 0), format_percent(gain), f"{gain / share:.2f}"))
    return Chart(
        key="gain",
        title=f"Gain and lift: {told or 'too few rows to tell'}",
        summary=(
            "How many of all who left are among the clients contacted, if those at the highest risk"
            " are contacted first. Lift is how many times as many that is as by chance."
        ),
        header=("contacted", "of those who left", "lift"),
        rows=tuple(rows),
        draw=draw,
    )


def _beside_chance(axes: Axes, x: np.ndarray, y: np.ndarray, name: str) -> None:
    mark_diagonal(axes, "by chance")
    axes.plot(x, y, color=MAIN, ls="-", label=name)
    axes.legend(loc="lower right")


def _gain(tested: Tested) -> tuple[np.ndarray, np.ndarray]:
    """Shares of all clients and of those who left, from 0 to 1, one point for each risk there is.

    Clients at the same risk have no order: between two points the line is straight.
    """
    order = np.argsort(-tested.risk, kind="stable")
    risk = tested.risk[order]
    ends = np.append(np.flatnonzero(np.diff(risk)), len(risk) - 1)
    left = np.cumsum(tested.outcomes[order])[ends] / tested.outcomes.sum()
    return np.append(0.0, (ends + 1) / len(risk)), np.append(0.0, left)


def _thinned(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A curve in no more points than a picture shows."""
    places = np.unique(np.linspace(0, len(x) - 1, MOST_CURVE).astype("int64"))
    return x[places], y[places]


def _at_tenths(x: np.ndarray, y: np.ndarray) -> tuple[tuple[str, str], ...]:
    """A curve, x rising from 0 to 1, read at every tenth."""
    return tuple(
        (format_percent(at, 0), format_percent(float(np.interp(at, x, y)))) for at in _TENTHS
    )
