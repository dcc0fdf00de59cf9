"""The confusion matrix, alone and as a chart."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.monitoring.metrics import Tested
from pipeline.reporting.charts.chart import Chart
from pipeline.reporting.charts.style import ON_SHADES, SHADES

STAYED, LEFT = "stayed (0)", "left (1)"
STAY, LEAVE = "stay (0)", "leave (1)"


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

    def draw(figure: Figure) -> None:
        axes = figure.add_axes((0.24, 0.2, 0.73, 0.76))
        draw_matrix(axes, tested.counts, size=11)
        axes.tick_params(axis="y", rotation=0)
        axes.xaxis.set_label_coords(0.5, -0.15)
        axes.yaxis.set_label_coords(-0.26, 0.5)

    return Chart(
        key="matrix",
        title=_title(tested),
        summary="The confusion matrix: clients of the test data by actual and predicted outcome.",
        header=("actual", f"predicted {STAY}", f"predicted {LEAVE}"),
        rows=tuple(
            (name, *(f"{count:,}" for count in row))
            for name, row in zip((STAYED, LEFT), tested.counts.tolist(), strict=True)
        ),
        draw=draw,
    )


def _title(tested: Tested) -> str:
    (right, alarms), (missed, found) = tested.counts.tolist()
    left, stayed = missed + found, right + alarms
    if not left:
        return f"Nobody left; the model named {alarms:,} of the {stayed:,} who stayed"
    others = f"and {alarms:,} who stayed" if stayed else "and nobody stayed"
    return f"The model named {found:,} of the {left:,} who left, {others}"
