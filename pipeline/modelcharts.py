"""Charts of how a model does on labelled rows: matrix, curves, calibration, gain and lift."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn import metrics

from pipeline.chart import Chart
from pipeline.evaluation import Tested, calibration_bins, calibration_error, top_lift
from pipeline.plotstyle import ALARM, MAIN, MUTED, ON_SHADES, SHADES, SMALL, plain_axes
from pipeline.words import counted, percent, score

MOST_CURVE = 200  # points of a curve that are drawn
_TENTHS = np.arange(11) / 10
STAYED, LEFT = "stayed (0)", "left (1)"
STAY, LEAVE = "stay (0)", "leave (1)"


def model_charts(tested: Tested) -> tuple[Chart, ...]:
    """All charts of a model; the curves only where there are rows of both outcomes."""
    curves = (roc_chart(tested), recall_chart(tested), gain_chart(tested)) if tested.both else ()
    return (matrix_chart(tested), *curves, calibration_chart(tested))


def draw_matrix(axes: Axes, counts: np.ndarray, *, size: float, scale: str = "") -> None:
    """A confusion matrix of counts, shape (2, 2), with the percent of each row.

    `scale` is what stands beside a scale of the shades; without it there is none.
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


def matrix_chart(tested: Tested) -> Chart:
    """Counts by actual and predicted outcome."""
    (_, alarms), (missed, found) = tested.counts.tolist()
    title = (
        f"The model named {found:,} of the {missed + found:,} who left, and {alarms:,} who stayed"
    )

    def draw(figure: Figure) -> None:
        axes = figure.add_axes((0.16, 0.2, 0.8, 0.76))
        draw_matrix(axes, tested.counts, size=11)

    return Chart(
        key="matrix",
        title=title,
        summary="The confusion matrix: clients of the test data by actual and predicted outcome.",
        header=("actual", f"predicted {STAY}", f"predicted {LEAVE}"),
        rows=tuple(
            (name, *(f"{count:,}" for count in row))
            for name, row in zip((STAYED, LEFT), tested.counts.tolist(), strict=True)
        ),
        draw=draw,
    )


def roc_chart(tested: Tested) -> Chart:
    """The receiver operating characteristic."""
    wrong, right, _ = metrics.roc_curve(tested.outcomes, tested.risk)
    area = metrics.roc_auc_score(tested.outcomes, tested.risk)
    x, y = _thinned(100 * wrong, 100 * right)

    def draw(figure: Figure) -> None:
        axes = _percent_axes(figure, "stayed, but predicted to leave", "left, and predicted")
        axes.plot([0, 100], [0, 100], color=MUTED, ls=":", lw=1, label="by chance")
        axes.plot(x, y, color=MAIN, ls="-", label="the model")
        axes.legend(loc="lower right")

    return Chart(
        key="roc",
        title=f"ROC curve: area {score(float(area))} of 1 (0.5 by chance)",
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
        axes = _percent_axes(figure, "recall: of those who left", "precision: of those named")
        axes.axhline(100 * base, color=MUTED, ls=":", lw=1)
        axes.annotate(
            "by chance", (0, 100 * base), (2, 3), textcoords="offset points", fontsize=SMALL
        )
        axes.plot(x, y, color=MAIN, ls="-")

    return Chart(
        key="precision-recall",
        title=f"Precision and recall: average precision {score(float(area))}"
        f" ({base:.3f} by chance)",
        summary=(
            "For every threshold: how many of the clients named did leave, over how many of those"
            " who left were named. The table has the highest threshold that reaches each recall."
        ),
        header=("recall, at least", "precision"),
        rows=tuple(
            (percent(share, 0), percent(precision[recall >= share - 1e-9][-1]))
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
        axes = _percent_axes(figure, "of all clients, highest risk first", "of those who left")
        axes.plot([0, 100], [0, 100], color=MUTED, ls=":", lw=1, label="by chance")
        axes.plot(x, y, color=MAIN, ls="-", label="by risk")
        axes.legend(loc="lower right")

    rows = []
    for share in _TENTHS[1:]:
        gain = float(np.interp(share, asked, found))
        rows.append((percent(share, 0), percent(gain), f"{gain / share:.2f}"))
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


def _gain(tested: Tested) -> tuple[np.ndarray, np.ndarray]:
    """Shares of all clients and of those who left, from 0 to 1, one point for each risk there is.

    Clients at the same risk have no order: between two points the line is straight.
    """
    order = np.argsort(-tested.risk, kind="stable")
    risk = tested.risk[order]
    ends = np.append(np.flatnonzero(np.diff(risk)), len(risk) - 1)
    left = np.cumsum(tested.outcomes[order])[ends] / tested.outcomes.sum()
    return np.append(0.0, (ends + 1) / len(risk)), np.append(0.0, left)


def calibration_chart(tested: Tested) -> Chart:
    """Whether of those at a risk of 30 % some 30 % leave."""
    bins = calibration_bins(tested.outcomes, tested.risk)
    error = calibration_error(bins)

    def draw(figure: Figure) -> None:
        axes = _percent_axes(figure, "predicted to leave", "left")
        axes.plot([0, 100], [0, 100], color=MUTED, ls=":", lw=1, label="as predicted")
        most = max(part.rows for part in bins)
        axes.plot(
            [100 * part.risk for part in bins], [100 * part.left for part in bins], color=MAIN
        )
        axes.scatter(
            [100 * part.risk for part in bins],
            [100 * part.left for part in bins],
            s=[12 + 90 * part.rows / most for part in bins],
            color=ALARM,
            zorder=3,
            label="clients of about that risk",
        )
        axes.legend(loc="best")

    return Chart(
        key="calibration",
        title=f"Calibration: risk and outcome are {percent(error)} apart on average",
        summary=(
            "Clients in ten groups by risk: the percent that left, over the percent predicted."
            " Points on the dotted line are right; larger ones stand for more clients."
        ),
        header=("clients", "predicted to leave", "left"),
        rows=tuple((f"{p.rows:,}", percent(p.risk), percent(p.left)) for p in bins),
        draw=draw,
    )


def tested_words(tested: Tested) -> str:
    """What the rows are: how many, and how many of them left."""
    left = int(tested.outcomes.sum())
    return f"{counted(len(tested.outcomes), 'client')} of the test data, of whom {left:,} left"


def _percent_axes(figure: Figure, x: str, y: str) -> Axes:
    axes = plain_axes(figure)
    axes.set_xlabel(f"{x}, percent")
    axes.set_ylabel(f"{y}, %")
    axes.set_xlim(-2, 102)
    axes.set_ylim(-2, 102)
    return axes


def _thinned(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A curve in no more points than a picture shows."""
    places = np.unique(np.linspace(0, len(x) - 1, MOST_CURVE).astype("int64"))
    return x[places], y[places]


def _at_tenths(x: np.ndarray, y: np.ndarray) -> tuple[tuple[str, str], ...]:
    """A curve, x rising from 0 to 1, read at every tenth."""
    return tuple((percent(at, 0), percent(float(np.interp(at, x, y)))) for at in _TENTHS)
