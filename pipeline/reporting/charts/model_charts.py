"""Charts of how a model does on labelled rows, and the confusion matrix as a picture."""

import numpy as np
from matplotlib.axes import Axes
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
    SMALL,
    new_figure,
    percent_axes,
    png_of,
    styled,
)

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
    axes = figure.add_axes((0.11, 0.09, 0.83, 0.8))
    axes.set_aspect("equal")
    _draw_matrix(axes, tested.counts, size=15, scale="percent of the clients with that outcome")
    axes.set_title(
        f"F1 {format_score(scores.f1)} on {pluralize(scores.rows, 'client')} of the test data\n"
        f"release {release}",
    )
    return figure


def matrix_chart(tested: Tested) -> Chart:
    """Counts by actual and predicted outcome."""
    (_, false_alarms), (_, found) = tested.counts.tolist()
    stayed, left = tested.counts.sum(axis=1).tolist()

    def draw(figure: Figure) -> None:
        axes = figure.add_axes((0.24, 0.2, 0.73, 0.76))
        _draw_matrix(axes, tested.counts, size=11)
        axes.tick_params(axis="y", rotation=0)
        axes.xaxis.set_label_coords(0.5, -0.15)
        axes.yaxis.set_label_coords(-0.26, 0.5)

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
        draw=draw,
    )


def _draw_matrix(axes: Axes, counts: np.ndarray, *, size: float, scale: str = "") -> None:
    """A confusion matrix of counts, shape (2, 2), with the percent of each row.

    `scale` is the label of a colour bar; without it there is none.
    """
    import seaborn as sns  # slow to import, and servers draw no matrix

    shares = 100 * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    labels = [
        [f"{count:,}\n{share:.1f} %" for count, share in zip(*row, strict=True)]
        for row in zip(counts, shares, strict=True)
    ]
    sns.heatmap(
        shares,
        annot=np.array(labels),
        fmt="",
        cmap=SHADES,
        vmin=0,
        vmax=100,
        linewidths=1,
        annot_kws={"size": size, "color": ON_SHADES},
        cbar=bool(scale),
        cbar_kws={"label": scale} if scale else None,
        xticklabels=[STAY, LEAVE],
        yticklabels=[STAYED, LEFT],
        ax=axes,
    )
    axes.set_xlabel("predicted")
    axes.set_ylabel("actual")


def roc_chart(tested: Tested) -> Chart:
    """The receiver operating characteristic."""
    false_alarms, found, _ = metrics.roc_curve(tested.outcomes, tested.risk)
    area = metrics.roc_auc_score(tested.outcomes, tested.risk)

    def draw(figure: Figure) -> None:
        axes = percent_axes(figure, "false positive rate", "true positive rate")
        _draw_curve(axes, false_alarms, found, "the model")

    return Chart(
        key="roc",
        title=f"ROC curve: area {format_score(float(area))} of 1 (0.5 by chance)",
        summary=(
            "For every threshold: the percent of those who left that are predicted to leave (true"
            " positive rate), over the percent of those who stayed that are (false positive rate)."
            " The further to the upper left the better."
        ),
        header=("false positive rate", "true positive rate"),
        rows=tuple(
            (format_percent(share, 0), format_percent(float(np.interp(share, false_alarms, found))))
            for share in _TENTHS
        ),
        draw=draw,
    )


def recall_chart(tested: Tested) -> Chart:
    """Precision over recall."""
    precision, recall, _ = metrics.precision_recall_curve(tested.outcomes, tested.risk)
    area = metrics.average_precision_score(tested.outcomes, tested.risk)
    base = float(tested.outcomes.mean())
    x, y = _subsample(100 * recall[::-1], 100 * precision[::-1])

    def draw(figure: Figure) -> None:
        axes = percent_axes(figure, "recall: of those who left", "precision")
        axes.axhline(100 * base, color=MUTED, ls=":", lw=1)
        axes.annotate(
            "by chance", (0, 100 * base), (2, 3), textcoords="offset points", fontsize=SMALL
        )
        # there is no threshold between two points: the next one is what reaches a recall
        axes.plot(x, y, color=MAIN, ls="-", drawstyle="steps-pre")

    return Chart(
        key="precision-recall",
        title=f"Precision and recall: average precision {format_score(float(area))}"
        f" ({base:.3f} by chance)",
        summary=(
            "For every threshold: how many of the clients predicted to leave did leave (precision),"
            " over how many of those who left were predicted to (recall). The table has the highest"
            " threshold that reaches each recall."
        ),
        header=("recall, at least", "precision"),
        rows=tuple(
            (format_percent(share, 0), format_percent(precision[recall >= share - 1e-9][-1]))
            for share in _TENTHS[1:]
        ),
        draw=draw,
    )


def gain_chart(evaluation: Evaluation) -> Chart:
    """Cumulative gain: whom one finds by contacting the clients at the highest risk first."""
    contacted, found = _gain(evaluation.tested)
    lift = evaluation.lift
    rows = []
    for share in _TENTHS[1:]:
        gain = float(np.interp(share, contacted, found))
        rows.append((format_percent(share, 0), format_percent(gain), f"{gain / share:.2f}"))

    def draw(figure: Figure) -> None:
        axes = percent_axes(figure, "of all clients, highest risk first", "of those who left")
        _draw_curve(axes, contacted, found, "by risk")

    return Chart(
        key="gain",
        title="Gain and lift: too few rows to tell"
        if lift is None
        else f"Gain and lift: the first tenth holds {lift:.1f} times as many as by chance",
        summary=(
            "How many of all who left are among the clients contacted, if those at the highest risk"
            " are contacted first. Lift is how many times as many that is as by chance."
        ),
        header=("contacted", "of those who left", "lift"),
        rows=tuple(rows),
        draw=draw,
    )


def _gain(tested: Tested) -> tuple[np.ndarray, np.ndarray]:
    """Shares of all clients and of those who left, from 0 to 1, one point for each risk there is.

    Clients at the same risk have no order: between two points the line is straight.
    """
    order = np.argsort(-tested.risk, kind="stable")
    risk = tested.risk[order]
    ends = np.append(np.flatnonzero(np.diff(risk)), len(risk) - 1)
    left = np.cumsum(tested.outcomes[order])[ends] / tested.outcomes.sum()
    return np.append(0.0, (ends + 1) / len(risk)), np.append(0.0, left)


def calibration_chart(evaluation: Evaluation) -> Chart:
    """Whether of those at a risk of 30 % some 30 % leave."""
    bins = evaluation.bins
    x, y = [100 * part.risk for part in bins], [100 * part.left for part in bins]
    most = max(part.rows for part in bins)

    def draw(figure: Figure) -> None:
        axes = percent_axes(figure, "predicted to leave", "left")
        _draw_diagonal(axes, "as predicted")
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
        header=("clients", "predicted to leave", "left"),
        rows=tuple((f"{p.rows:,}", format_percent(p.risk), format_percent(p.left)) for p in bins),
        draw=draw,
    )


def _draw_curve(axes: Axes, x: np.ndarray, y: np.ndarray, name: str) -> None:
    """A curve of shares, from 0 to 1, and that of chance."""
    _draw_diagonal(axes, "by chance")
    axes.plot(*_subsample(100 * x, 100 * y), color=MAIN, ls="-", label=name)
    axes.legend(loc="lower right")


def _draw_diagonal(axes: Axes, name: str) -> None:
    """A dotted line where both percents are the same."""
    axes.plot([0, 100], [0, 100], color=MUTED, ls=":", lw=1, label=name)


def _subsample(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A curve in no more points than a picture shows."""
    places = np.unique(np.linspace(0, len(x) - 1, MAX_POINTS).astype("int64"))
    return x[places], y[places]
