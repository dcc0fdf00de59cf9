"""Charts of how a model does on labelled rows, and the confusion matrix as a picture."""

from functools import partial
from typing import Literal

import numpy as np
from matplotlib.figure import Figure
from sklearn import metrics

from pipeline.core.formatting import format_percent, format_score, pluralize
from pipeline.monitoring.metrics import Evaluation, Tested
from pipeline.reporting.charts.chart import Chart
from pipeline.reporting.charts.style import (
    ALARM,
    MAIN,
    MUTED,
    ON_SHADES,
    SHADES,
    new_figure,
    percent_axes,
    png_of,
    styled,
)
from pipeline.reporting.tables import calibration_grid

STAYED, LEFT = "stayed (0)", "left (1)"
STAY, LEAVE = "stay (0)", "leave (1)"
MAX_POINTS = 200  # of a curve that are drawn
_TENTHS = np.arange(11) / 10


def model_charts(evaluation: Evaluation) -> tuple[Chart, ...]:
    """All charts of a model; the curves only where there are rows of both outcomes."""
    tested = evaluation.tested
    curves: tuple[Chart, ...] = ()
    if tested.both:
        curves = (roc_chart(tested), recall_chart(tested), gain_chart(evaluation))
    return (matrix_chart(tested), *curves, calibration_chart(evaluation))


def confusion_matrix_png(tested: Tested, release: str) -> bytes:
    """The confusion matrix of a release on labelled rows: counts, row percents."""
    with styled():
        return png_of(matrix_figure(tested, release))


def matrix_figure(tested: Tested, release: str) -> Figure:
    """The figure of the confusion matrix; to be called within `styled`."""
    scores = tested.scores
    figure = new_figure(6.4, 5.6)
    _draw_matrix(tested.counts, figure)
    figure.axes[0].set_title(
        f"F1 {format_score(scores.f1)} on {pluralize(scores.rows, 'client')} of the test data\n"
        f"release {release}",
    )
    return figure


def matrix_chart(tested: Tested) -> Chart:
    """Counts by actual and predicted outcome."""
    (_, false_alarms), (_, found) = tested.counts.tolist()
    stayed, left = tested.counts.sum(axis=1).tolist()
    return Chart(
        key="matrix",
        title=f"Predicted to leave: {found:,} of the {left:,} who left,"
        f" {false_alarms:,} of the {stayed:,} who stayed",
        summary="The confusion matrix: clients of the test data by actual and predicted outcome.",
        header=("actual", f"predicted {STAY}", f"predicted {LEAVE}"),
        rows=tuple(
            (name, *(f"{count:,}" for count in row))
            for name, row in zip((STAYED, LEFT), tested.counts.tolist(), strict=True)
        ),
        draw=partial(_draw_matrix, tested.counts),
    )


def _draw_matrix(counts: np.ndarray, figure: Figure) -> None:
    """A confusion matrix of counts, shape (2, 2), with the percent of each row."""
    import seaborn as sns  # slow to import, and servers draw no matrix

    axes = figure.subplots()
    shares = 100 * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    labels = [
        f"{count:,}\n{share:.1f} %"
        for count, share in zip(counts.ravel(), shares.ravel(), strict=True)
    ]
    sns.heatmap(
        shares,
        annot=np.reshape(labels, shares.shape),
        fmt="",
        cmap=SHADES,
        vmin=0,
        vmax=100,
        linewidths=1,
        annot_kws={"size": 12, "color": ON_SHADES},
        cbar=False,
        xticklabels=[STAY, LEAVE],
        yticklabels=[STAYED, LEFT],
        ax=axes,
    )
    axes.tick_params(axis="y", rotation=0)
    axes.set_xlabel("predicted")
    axes.set_ylabel("actual")


def roc_chart(tested: Tested) -> Chart:
    """The receiver operating characteristic."""
    x, y, _ = metrics.roc_curve(tested.outcomes, tested.risk)
    area = metrics.roc_auc_score(tested.outcomes, tested.risk)
    header = ("false positive rate", "true positive rate")
    return Chart(
        key="roc",
        title=f"ROC curve: area {area:.3f} of 1 (0.5 by chance)",
        summary=(
            "For every threshold: the percent of those who left that are predicted to leave (true"
            " positive rate), over the percent of those who stayed that are (false positive rate)."
            " The further to the upper left the better."
        ),
        header=header,
        rows=tuple(
            (format_percent(share, 0), format_percent(float(np.interp(share, x, y))))
            for share in _TENTHS
        ),
        draw=partial(_draw_curve, header, x, y),
    )


def recall_chart(tested: Tested) -> Chart:
    """Precision over recall."""
    y, x, _ = metrics.precision_recall_curve(tested.outcomes, tested.risk)
    area = metrics.average_precision_score(tested.outcomes, tested.risk)
    base = float(tested.outcomes.mean())
    header = ("recall, at least", "precision")
    return Chart(
        key="precision-recall",
        title=f"Precision and recall: average precision {area:.3f} ({base:.3f} by chance)",
        summary=(
            "For every threshold: how many of the clients predicted to leave did leave (precision),"
            " over how many of those who left were predicted to (recall). The table has the highest"
            " threshold that reaches each recall."
        ),
        header=header,
        rows=tuple(
            (format_percent(share, 0), format_percent(y[x >= share - 1e-9][-1]))
            for share in _TENTHS[1:]
        ),
        # there is no threshold between two points: the next one is what reaches a recall
        draw=partial(
            _draw_curve, header, x[::-1], y[::-1], chance=(base, base), drawstyle="steps-pre"
        ),
    )


def gain_chart(evaluation: Evaluation) -> Chart:
    """Cumulative gain: whom one finds by contacting the clients at the highest risk first.

    Clients at the same risk have no order: between two points the line is straight.
    """
    tested, lift = evaluation.tested, evaluation.lift
    alarms, y, _ = metrics.roc_curve(tested.outcomes, tested.risk, drop_intermediate=False)
    base = tested.outcomes.mean()
    x = base * y + (1 - base) * alarms
    gains = np.interp(_TENTHS, x, y)
    header = ("contacted", "of those who left", "lift")
    title = "Gain and lift: too few rows to tell"
    if lift is not None:
        title = f"Gain and lift: the first tenth holds {lift:.1f} times as many as by chance"
    return Chart(
        key="gain",
        title=title,
        summary=(
            "How many of all who left are among the clients contacted, if those at the highest risk"
            " are contacted first. Lift is how many times as many that is as by chance."
        ),
        header=header,
        rows=tuple(
            (format_percent(share, 0), format_percent(gain), f"{gain / share:.2f}")
            for share, gain in zip(_TENTHS[1:], gains[1:], strict=True)
        ),
        draw=partial(_draw_curve, header, x, y),
    )


def calibration_chart(evaluation: Evaluation) -> Chart:
    """Whether of those at a risk of 30 % some 30 % leave."""
    bins, grid = evaluation.bins, calibration_grid(evaluation.bins)
    x, y = [100 * part.risk for part in bins], [100 * part.left for part in bins]
    most = max(part.rows for part in bins)

    def draw(figure: Figure) -> None:
        axes = percent_axes(figure, "predicted to leave", "left")
        axes.plot([0, 100], [0, 100], color=MUTED, ls=":", lw=1, label="as predicted")
        axes.plot(x, y, color=MAIN)
        sizes = [12 + 90 * part.rows / most for part in bins]
        axes.scatter(x, y, s=sizes, color=ALARM, zorder=3, label="clients of about that risk")
        axes.legend(loc="best")

    return Chart(
        key="calibration",
        title="Calibration: risk and outcome differ by"
        f" {format_percent(evaluation.calibration_error)} on average",
        summary=(
            "Clients in ten groups by risk: the percent that left, over the percent predicted."
            " Points on the dotted line are right; larger ones are more clients."
        ),
        header=grid.header,
        rows=grid.rows,
        draw=draw,
    )


def _draw_curve(
    header: tuple[str, ...],
    x: np.ndarray,
    y: np.ndarray,
    figure: Figure,
    *,
    chance: tuple[float, float] = (0.0, 1.0),
    drawstyle: Literal["default", "steps-pre"] = "default",
) -> None:
    """A curve of shares, from 0 to 1, over that of chance, which has `chance` at both ends."""
    axes = percent_axes(figure, header[0], header[1])
    axes.plot([0, 100], [100 * end for end in chance], color=MUTED, ls=":", lw=1, label="by chance")
    # no more points than a picture shows
    places = np.unique(np.linspace(0, len(x) - 1, MAX_POINTS).astype("int64"))
    axes.plot(
        100 * x[places], 100 * y[places], color=MAIN, ls="-", drawstyle=drawstyle, label="the model"
    )
    axes.legend(loc="best")
