"""Charts of how a model does on labelled rows, and of the risks it gives."""

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from sklearn import metrics

from pipeline.core.config import RiskBands
from pipeline.core.files import write_atomic
from pipeline.core.formatting import format_horizon, format_percent, format_score, pluralize
from pipeline.monitoring.metrics import Evaluation, Tested
from pipeline.reporting.picture import (
    ALARM,
    BROWN,
    DASHES,
    MAIN,
    QUIET,
    Axis,
    Chart,
    Plot,
    Row,
    Series,
    number_axis,
    percent_axis,
)
from pipeline.reporting.tables import calibration_grid

STAYED, LEFT = "stayed (0)", "left (1)"
STAY, LEAVE = "stay (0)", "leave (1)"
MAX_POINTS = 200  # of a curve that are drawn
BINS = 20  # of risk, of equal width
BANDS = (  # the higher the darker, in grey too
    Series("low", QUIET, "area", opacity=0.25),
    Series("medium", BROWN, "area", opacity=0.6),
    Series("high", ALARM, "area"),
)
_TENTHS = np.arange(11) / 10
_MODEL = Series("the model", MAIN)
_CHANCE, _RIGHT = (Series(name, "muted", dash=DASHES[3]) for name in ("by chance", "as predicted"))
_GROUPS = Series("clients of about that risk", ALARM, "dots")
_LIGHT, _DARK = (247, 251, 255), (107, 174, 214)  # of a matrix: darker is more, in grey too
_ON_SHADES = "#262626"  # in dark mode, too: the shades do not change


def model_charts(evaluation: Evaluation) -> tuple[Chart, ...]:
    """All charts of a model; the curves only where there are rows of both outcomes."""
    tested = evaluation.tested
    curves: tuple[Chart, ...] = ()
    if tested.both:
        curves = (roc_chart(tested), recall_chart(tested), gain_chart(evaluation))
    return (matrix_chart(tested), *curves, calibration_chart(evaluation))


def write_confusion_matrix(path: Path, tested: Tested, release: str) -> None:
    """The confusion matrix of a release as a PNG to print; drawn unless it is what is there."""
    scores, counts = tested.scores, tested.counts
    title = (
        f"F1 {format_score(scores.f1)} on {pluralize(scores.rows, 'client')} of the test data\n"
        f"release {release}"
    )
    shown = f"{title}, {counts.tolist()}"
    if path.is_file() and shown.encode() in path.read_bytes():
        return
    import seaborn as sns  # slow to import, and most runs draw no matrix
    from matplotlib.figure import Figure

    shares = 100 * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    cells = [f"{n:,}\n{share:.1f} %" for n, share in zip(counts.flat, shares.flat, strict=True)]
    figure = Figure(figsize=(6.4, 5.6), layout="constrained")
    axes = sns.heatmap(
        shares,
        annot=np.reshape(cells, shares.shape),
        fmt="",
        cmap=sns.blend_palette([_shade(0), _shade(1)], as_cmap=True),
        vmin=0,
        vmax=100,
        linewidths=1,
        annot_kws={"size": 12, "color": _ON_SHADES},
        cbar=False,
        xticklabels=[STAY, LEAVE],
        yticklabels=[STAYED, LEFT],
        ax=figure.subplots(),
    )
    axes.set(title=title, xlabel="predicted", ylabel="actual")
    content = BytesIO()
    figure.savefig(content, format="png", dpi=150, metadata={"Description": shown})
    write_atomic(path, content.getvalue())


def matrix_chart(tested: Tested) -> Chart:
    """Counts by actual and predicted outcome."""
    counts = tested.counts.tolist()
    (_, false_alarms), (_, found) = counts
    stayed, left = map(sum, counts)
    ticks = [(0.5, STAY), (1.5, LEAVE)], [(0.5, LEFT), (1.5, STAYED)]
    plot = Plot(
        Axis(0, 2, tuple(ticks[0]), "predicted", grid=False),
        Axis(0, 2, tuple(ticks[1]), "actual", grid=False),
    )
    for row, (cells, total) in enumerate(zip(counts, (stayed, left), strict=True)):
        for column, count in enumerate(cells):
            share, bottom = count / max(total, 1), 1 - row
            plot.box((column, column + 1), (bottom, bottom + 1), _shade(share))
            for text, lower in ((f"{count:,}", -3), (f"{100 * share:.1f} %", 11)):
                at = column + 0.5, bottom + 0.5
                plot.text(at, text, (0, lower), "middle", _ON_SHADES)
    return Chart(
        key="matrix",
        title=f"Predicted to leave: {found:,} of the {left:,} who left,"
        f" {false_alarms:,} of the {stayed:,} who stayed",
        summary="The confusion matrix: clients of the test data by actual and predicted outcome.",
        header=("actual", f"predicted {STAY}", f"predicted {LEAVE}"),
        rows=tuple(
            (name, *(f"{count:,}" for count in row))
            for name, row in zip((STAYED, LEFT), counts, strict=True)
        ),
        picture=plot.picture(),
    )


def _shade(share: float) -> str:
    mixed = (round(low + share * (up - low)) for low, up in zip(_LIGHT, _DARK, strict=True))
    return "#{:02x}{:02x}{:02x}".format(*mixed)


def roc_chart(tested: Tested) -> Chart:
    """The receiver operating characteristic."""
    x, y, _ = metrics.roc_curve(tested.outcomes, tested.risk)
    area, places = metrics.roc_auc_score(tested.outcomes, tested.risk), _few(len(x))
    return _curve(
        "roc",
        f"ROC curve: area {area:.3f} of 1 (0.5 by chance)",
        "For every threshold: the percent of those who left that are predicted to leave (true"
        " positive rate), over the percent of those who stayed that are (false positive rate)."
        " The further to the upper left the better.",
        ("false positive rate", "true positive rate"),
        [(share, format_percent(float(np.interp(share, x, y)))) for share in _TENTHS],
        (x[places], y[places]),
    )


def recall_chart(tested: Tested) -> Chart:
    """Precision over recall, in steps: the next threshold is what reaches a recall between two."""
    y, x, _ = metrics.precision_recall_curve(tested.outcomes, tested.risk)
    area = metrics.average_precision_score(tested.outcomes, tested.risk)
    base = float(tested.outcomes.mean())
    places = _few(len(x))
    steps = np.repeat(x[::-1][places], 2)[:-1], np.repeat(y[::-1][places], 2)[1:]
    return _curve(
        "precision-recall",
        f"Precision and recall: average precision {area:.3f} ({base:.3f} by chance)",
        "For every threshold: how many of the clients predicted to leave did leave (precision),"
        " over how many of those who left were predicted to (recall). The table has the highest"
        " threshold that reaches each recall.",
        ("recall, at least", "precision"),
        [(share, format_percent(y[x >= share - 1e-9][-1])) for share in _TENTHS[1:]],
        steps,
        (base, base),
    )


def gain_chart(evaluation: Evaluation) -> Chart:
    """Cumulative gain: whom one finds by contacting the clients at the highest risk first.

    Clients at the same risk have no order: between two points the line is straight.
    """
    tested, lift = evaluation.tested, evaluation.lift
    alarms, y, _ = metrics.roc_curve(tested.outcomes, tested.risk, drop_intermediate=False)
    base = tested.outcomes.mean()
    x = base * y + (1 - base) * alarms
    gains = [(share, np.interp(share, x, y)) for share in _TENTHS[1:]]
    found = "too few rows to tell"
    if lift is not None:
        found = f"the first tenth holds {lift:.1f} times as many as by chance"
    places = _few(len(x))
    return _curve(
        "gain",
        f"Gain and lift: {found}",
        "How many of all who left are among the clients contacted, if those at the highest risk"
        " are contacted first. Lift is how many times as many that is as by chance.",
        ("contacted", "of those who left", "lift"),
        [(share, format_percent(gain), f"{gain / share:.2f}") for share, gain in gains],
        (x[places], y[places]),
    )


def _few(count: int) -> np.ndarray:
    """The places of no more of so many points than a picture shows."""
    return np.unique(np.linspace(0, count - 1, MAX_POINTS).astype("int64"))


def _curve(
    key: str,
    title: str,
    summary: str,
    header: Row,
    rows: Sequence[tuple[Any, ...]],
    curve: tuple[np.ndarray, np.ndarray],
    chance: tuple[float, float] = (0.0, 1.0),
) -> Chart:
    """A curve of shares, from 0 to 1, over that of chance, which has `chance` at both ends."""
    sides = (percent_axis(f"{header[0]}, percent"), percent_axis(f"{header[1]}, %"))
    plot = Plot(*sides, (_MODEL, _CHANCE))
    plot.line([0, 100], [100 * end for end in chance], _CHANCE)
    x, y = (100 * side for side in curve)
    plot.line(x.tolist(), y.tolist(), _MODEL)
    texts = tuple((format_percent(share, 0), *cells) for share, *cells in rows)
    return Chart(key, title, summary, header, texts, plot.picture())


def calibration_chart(evaluation: Evaluation) -> Chart:
    """Whether of those at a risk of 30 % some 30 % leave."""
    bins, grid = evaluation.bins, calibration_grid(evaluation.bins)
    most = max(part.rows for part in bins)
    sides = percent_axis("predicted to leave, percent"), percent_axis("left, %")
    plot = Plot(*sides, (_RIGHT, _GROUPS))
    plot.line([0, 100], [0, 100], _RIGHT)
    plot.line([100 * part.risk for part in bins], [100 * part.left for part in bins], _MODEL)
    for part in bins:
        radius = 2 + 3.2 * (part.rows / most) ** 0.5
        plot.dot(100 * part.risk, 100 * part.left, _GROUPS.colour, radius)
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
        picture=plot.picture(),
    )


def distribution_chart(
    risk: np.ndarray, bands: RiskBands, threshold: float | None, horizon_days: int | None = None
) -> Chart:
    """How many clients are at which risk; `risk` has the shape (clients,)."""
    edges = np.linspace(0, 1, BINS + 1)
    band = (risk >= bands.medium).astype(int) + (risk >= bands.high)
    split = np.array([np.histogram(risk[band == place], edges)[0] for place in range(len(BANDS))])
    total = split.sum(axis=0)
    x = percent_axis(f"risk of leaving{format_horizon(horizon_days)}, percent")
    plot = Plot(
        Axis(0, 100, x.ticks, x.label),
        number_axis(1.18 * max(1, total.max()), "clients", whole=True),
        BANDS,
    )
    below = np.cumsum(split, axis=0) - split  # a limit within a bin parts its bar in two
    for series, counts, bottoms in zip(BANDS, split.tolist(), below.tolist(), strict=True):
        for place, (count, bottom) in enumerate(zip(counts, bottoms, strict=True)):
            if count:
                sides = 5 * place + 0.3, 5 * place + 4.7
                plot.box(sides, (bottom, bottom + count), series.colour, series.opacity)
    if threshold is not None:
        plot.mark(100 * threshold, "threshold", "muted", DASHES[1])
    high, medium = int((band == 2).sum()), int((band == 1).sum())
    return Chart(
        key="distribution",
        title=f"{pluralize(high, 'client')} at high risk, {medium:,} at medium, of {len(risk):,}",
        summary="Bars: how many clients are at which risk, by band; clients at or above the"
        " dashed line, the threshold, are predicted to leave.",
        header=("risk", "clients"),
        rows=tuple(
            (f"{100 * low:.0f} to {100 * up:.0f} %", f"{count:,}")
            for low, up, count in zip(edges[:-1], edges[1:], total.tolist(), strict=True)
        ),
        picture=plot.picture(),
        nothing="" if len(risk) else "No client is ranked: all have left.",
    )
