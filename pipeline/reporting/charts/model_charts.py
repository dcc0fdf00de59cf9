"""Charts of how a model does on labelled rows."""

from matplotlib.figure import Figure

from pipeline.core.formatting import format_percent, pluralize
from pipeline.monitoring.metrics import Tested, calibration_bins, calibration_error
from pipeline.reporting.charts.chart import Chart
from pipeline.reporting.charts.curvecharts import gain_chart, recall_chart, roc_chart
from pipeline.reporting.charts.matrixchart import matrix_chart
from pipeline.reporting.charts.style import ALARM, MAIN, mark_diagonal, percent_axes


def model_charts(tested: Tested) -> tuple[Chart, ...]:
    """All charts of a model; the curves only where there are rows of both outcomes."""
    curves = (roc_chart(tested), recall_chart(tested), gain_chart(tested)) if tested.both else ()
    return (matrix_chart(tested), *curves, calibration_chart(tested))


def calibration_chart(tested: Tested) -> Chart:
    """Whether of those at a risk of 30 % some 30 % leave."""
    bins = calibration_bins(tested.outcomes, tested.risk)
    error = calibration_error(bins)

    def draw(figure: Figure) -> None:
        axes = percent_axes(figure, "predicted to leave", "left")
        mark_diagonal(axes, "as predicted")
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
        title=f"Calibration: risk and outcome are {format_percent(error)} apart on average",
        summary=(
            "Clients in ten groups by risk: the percent that left, over the percent predicted."
            " Points on the dotted line are right; larger ones stand for more clients."
        ),
        header=("clients", "predicted to leave", "left"),
        rows=tuple((f"{p.rows:,}", format_percent(p.risk), format_percent(p.left)) for p in bins),
        draw=draw,
    )


def tested_words(tested: Tested) -> str:
    """What the rows are: how many, and how many of them left."""
    left = int(tested.outcomes.sum())
    return f"{pluralize(len(tested.outcomes), 'client')} of the test data, of whom {left:,} left"
