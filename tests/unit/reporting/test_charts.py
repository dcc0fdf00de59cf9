"""Every chart: its numbers beside pandas and scikit-learn, its words, and that it can be drawn."""

import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial

import numpy as np
import pandas as pd
import pytest
from reportworlds import evaluation_of
from sklearn import metrics as sklearn_metrics

from pipeline.core.config import RiskBands
from pipeline.monitoring import metrics
from pipeline.monitoring.decisions import Cause, FeatureDrift, News
from pipeline.reporting.history_charts import (
    client_chart,
    input_chart,
    missing_chart,
    score_chart,
    timing_chart,
)
from pipeline.reporting.model_charts import (
    calibration_chart,
    distribution_chart,
    gain_chart,
    matrix_chart,
    model_charts,
    recall_chart,
    roc_chart,
    write_confusion_matrix,
)
from pipeline.reporting.picture import Chart, Shape, svg, time_axis
from pipeline.reporting.sections import model_section
from pipeline.storage.risk_history import RiskPoint
from pipeline.storage.trends import Deployment, Missing, ScoreBin, TimingBin

RELEASE = "000001-20261122T090000Z"
BANDS = RiskBands(high=0.6, medium=0.3)
SHARES = np.arange(11) / 10


def judged(rows: int = 1000, *, decimals: int = 6) -> metrics.Tested:
    """A model that is right more often than not; the fewer decimals, the more risks are equal."""
    lot = np.random.default_rng(rows)
    risk = lot.random(rows).round(decimals)
    outcomes = (lot.random(rows) < risk).astype("int64")
    names = np.array([f"client{i}" for i in range(rows)], dtype=object)
    return metrics.Tested(outcomes, (risk >= 0.5).astype("int64"), names, risk=risk)


def of_one_class(outcome: int) -> metrics.Tested:
    found = judged(40)
    return replace(found, outcomes=np.full(40, outcome))


def all_equal() -> metrics.Tested:
    found = judged(40)
    return replace(found, risk=np.full(40, 0.25), predicted=np.zeros(40, dtype="int64"))


def at(number: int) -> str:
    return f"{datetime(2026, 1, 1, 9) + timedelta(days=number):%Y-%m-%dT%H:%M:%SZ}"


def score_bins(count: int, batches: int = 1) -> list[ScoreBin]:
    return [
        ScoreBin(at(2 * i), at(2 * i + (batches > 1)), batches, 0.8, 0.7, 0.9, int(i % 2))
        for i in range(count)
    ]


def releases(count: int) -> list[Deployment]:
    return [Deployment(at(i), f"{i + 1:06}-x", "deploy", 0.7654) for i in range(count)]


def samples(count: int, columns: int = 3) -> list[Missing]:
    return [Missing(at(i), {f"column{j}": i + j / 8 for j in range(columns)}) for i in range(count)]


def timing_bins(count: int) -> list[TimingBin]:
    return [TimingBin(at(i), at(i), 1, 1234.5, 0.05, 1234.5, 12_000) for i in range(count)]


def feature(name: str, **result: object) -> FeatureDrift:
    whole = FeatureDrift(name, "number", 500, "ks", 0.03, 0.02, psi=0.05, psi_limit=0.2)
    return replace(whole, **{"p_value": 0.5, "verdict": "no drift", **result})


DRIFTED = [
    feature("age", psi=0.6, verdict="drift", p_value=1e-9, news=News.TOLD, effect=0.234),
    feature("balance"),
    replace(
        feature("land", kind="category", verdict="drift", unseen=0.2, causes=(Cause.UNSEEN,)),
        news=News.KNOWN,
    ),
    replace(
        feature("size", verdict="drift", missing=0.5, causes=(Cause.MISSING,)),
        news=News.SLIGHT,
        effect=-0.02,
    ),
    feature("few", psi=None, psi_limit=None, p_value=None, verdict="not enough evidence"),
    feature("land2", kind="risk"),
]
UNTIL = "2026-03-01T00:00:00.000Z"
POINTS = [RiskPoint(at(0), RELEASE, 0.31), RiskPoint(at(3), RELEASE, None)]

CHARTS: dict[str, Callable[[], Chart]] = {
    "score": lambda: score_chart(score_bins(30), releases(3)),
    "score of no batch": lambda: score_chart([], []),
    "score of no batch yet": lambda: score_chart([], releases(1)),
    "score of one batch": lambda: score_chart(score_bins(1), []),
    "score of many batches": lambda: score_chart(score_bins(100, 7), releases(100)),
    "missing": lambda: missing_chart(samples(10), "left"),
    "missing, no record": lambda: missing_chart([], "left"),
    "missing, one record": lambda: missing_chart(samples(1), "left"),
    "missing, nothing lacks": lambda: missing_chart([Missing(at(0), {"age": 0.0})], "left"),
    "missing, 60 columns": lambda: missing_chart(samples(100, 60), "left"),
    "timings": lambda: timing_chart({"ingestion": timing_bins(5), "training": timing_bins(50)}),
    "timings, none": lambda: timing_chart({}),
    "timings, one": lambda: timing_chart({"training": timing_bins(1)}),
    "client": lambda: client_chart(POINTS, 0.5, UNTIL),
    "client, no record": lambda: client_chart([], None, UNTIL),
    "client, one point": lambda: client_chart(POINTS[:1], 0.0, UNTIL),
    "client, over 150 seconds": lambda: client_chart(
        [RiskPoint("2026-02-28T23:57:30.000Z", RELEASE, 0.31)], 0.5, UNTIL
    ),
    "client that left": lambda: client_chart(POINTS[1:], 1.0, UNTIL),
    "matrix": lambda: matrix_chart(judged()),
    "matrix of one row": lambda: matrix_chart(judged(1)),
    "roc": lambda: roc_chart(judged()),
    "roc, all risks equal": lambda: roc_chart(all_equal()),
    "recall": lambda: recall_chart(judged()),
    "recall, all risks equal": lambda: recall_chart(all_equal()),
    "gain": lambda: gain_chart(evaluation_of(judged(5000))),
    "gain, all risks equal": lambda: gain_chart(evaluation_of(all_equal())),
    "gain of nine rows": lambda: gain_chart(
        evaluation_of(replace(judged(9), outcomes=np.arange(9) % 2))
    ),
    "calibration": lambda: calibration_chart(evaluation_of(judged())),
    "calibration, all risks equal": lambda: calibration_chart(evaluation_of(all_equal())),
    "calibration, nobody left": lambda: calibration_chart(evaluation_of(of_one_class(0))),
    "distribution": lambda: distribution_chart(judged().risk, BANDS, 0.5),
    "distribution, all equal": lambda: distribution_chart(all_equal().risk, BANDS, None),
    "distribution of nobody": lambda: distribution_chart(np.array([]), BANDS, 0.5),
    "distribution at the ends": lambda: distribution_chart(np.array([0.0, 1.0]), BANDS, 1.0),
    "input": lambda: input_chart(DRIFTED, "1"),
    "input, nothing drifted": lambda: input_chart(DRIFTED[1:2], "1"),
    "input, nothing to tell": lambda: input_chart(DRIFTED[4:5], "1"),
    "input of 60 features": lambda: input_chart(
        [feature(f"a rather long name of feature {i}", verdict="drift") for i in range(60)], "1"
    ),
}
# a sentence stands in place of their picture
EMPTY = {
    *("score of no batch", "score of no batch yet", "distribution of nobody"),
    *("missing, no record", "missing, one record", "missing, nothing lacks"),
    *("timings, none", "timings, one", "input, nothing to tell"),
    *("client, no record", "client, one point", "client, over 150 seconds", "client that left"),
}


def texts(chart: Chart) -> list[str]:
    """The labels of a picture."""
    assert chart.picture is not None
    return [label.text for label in chart.picture.labels]


def shapes(chart: Chart, kind: str, *colours: str) -> list[Shape]:
    """The shapes of a picture of a kind and some colours, in the order in which they are drawn."""
    assert chart.picture is not None
    return [one for one in chart.picture.shapes if one.kind == kind and one.colour in colours]


def numbers(cells: Sequence[str]) -> list[float]:
    return [float(cell.replace(",", "").removesuffix(" %")) for cell in cells]


def column(chart: Chart, place: int) -> list[float]:
    return numbers([row[place] for row in chart.rows])


@pytest.mark.parametrize("name", sorted(CHARTS.keys() - EMPTY))
def test_it_can_be_drawn_with_every_axis_named(name: str) -> None:
    axes = drawn(CHARTS[name]()).axes[0]

    unit = re.compile(r"percent$|%$|\(UTC\)$|^seconds$|\(0 to 1\)$|clients$|limit$|missing$")
    for label in (axes.get_xlabel(), axes.get_ylabel()):
        if not name.startswith("matrix") and not (name.startswith("input") and not label):
            assert unit.search(label), label
    if name.startswith("matrix"):
        assert (axes.get_xlabel(), axes.get_ylabel()) == ("predicted", "actual")


@pytest.mark.parametrize("name", CHARTS)
def test_its_table_has_as_many_cells_in_each_row_as_in_its_header(name: str) -> None:
    chart = CHARTS[name]()

    assert {len(row) for row in chart.rows} <= {len(chart.header)}
    assert all(chart.header)
    assert chart.title
    assert chart.summary.endswith(".")


@pytest.mark.parametrize("name", ["matrix", "gain"])
def test_drawn_twice_it_has_the_same_bytes(name: str) -> None:
    assert CHARTS[name]().svg() == CHARTS[name]().svg()
    assert CHARTS[name]().drawing() == CHARTS[name]().drawing()


def test_drawn_in_threads_at_once_they_come_out_right() -> None:
    names = ["score", "input"]
    jobs = [partial(Chart.svg, CHARTS[name]()) for name in names]
    jobs += [partial(Chart.drawing, CHARTS[name]()) for name in names]
    expected = [job() for job in jobs]

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda job: job(), [*jobs, *reversed(jobs)]))

    assert found == [*expected, *reversed(expected)]


# --- titles say what is seen ---


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("score", "F1 of the live model on new rows: latest 0.800; drift in 15 of 30 batches"),
        ("score of no batch yet", "F1 of the live model on new rows: none judged yet"),
        ("missing", "Missing values by column: most in column2, 9.2 %"),
        ("missing, nothing lacks", "Missing values by column: none now"),
        ("timings", "Seconds of the last runs: ingestion 1,234 s, training 1,234 s"),
        ("client", "Risk over time: latest 31 %, then no longer ranked"),
        ("client, no record", "Risk over time: none on record"),
        ("input", "Input: age, land, size drifted"),
        ("input, nothing drifted", "Input: no feature drifted"),
        ("input of 60 features", "Input: 60 features drifted"),
        ("distribution, all equal", "0 clients at high risk, 0 at medium, of 40"),
        ("distribution at the ends", "1 client at high risk, 0 at medium, of 2"),
        ("gain of nine rows", "Gain and lift: too few rows to tell"),
        (
            "gain, all risks equal",
            "Gain and lift: the first tenth holds 1.0 times as many as by chance",
        ),
        ("roc, all risks equal", "ROC curve: area 0.500 of 1 (0.5 by chance)"),
    ],
)
def test_a_title_says_what_is_seen(name: str, title: str) -> None:
    assert CHARTS[name]().title == title


# --- the tables ---


def test_the_matrix_holds_the_counts() -> None:
    result = judged()
    chart = matrix_chart(result)

    (stayed, alarms), (missed, found) = sklearn_metrics.confusion_matrix(
        result.outcomes, result.predicted
    )
    assert chart.rows == (
        ("stayed (0)", str(stayed), str(alarms)),
        ("left (1)", str(missed), str(found)),
    )
    assert chart.title == (
        f"Predicted to leave: {found} of the {missed + found} who left,"
        f" {alarms} of the {stayed + alarms} who stayed"
    )


def drawn_matrix(tested: metrics.Tested) -> object:
    with styled():
        return matrix_figure(tested, RELEASE).axes[0]


def test_the_picture_of_the_matrix_has_counts_row_percents_and_score() -> None:
    one, none = np.array([0]), np.array(["a"], dtype=object)
    axes = drawn_matrix(metrics.Tested(one, one, none, risk=np.array([0.1])))

    assert [text.get_text() for text in axes.texts] == ["1\n100.0 %", "0\n0.0 %"] + ["0\n0.0 %"] * 2
    assert axes.get_title() == f"F1 undefined on 1 client of the test data\nrelease {RELEASE}"


@pytest.mark.parametrize("decimals", [6, 1])
def test_the_roc_curve_is_read_at_every_tenth(decimals: int) -> None:
    result = judged(decimals=decimals)
    chart = roc_chart(result)

    wrong, right, _ = sklearn_metrics.roc_curve(
        result.outcomes, result.risk, drop_intermediate=False
    )
    assert column(chart, 0) == [10 * i for i in range(11)]
    assert column(chart, 1) == pytest.approx(100 * np.interp(SHARES, wrong, right), abs=0.051)
    area = sklearn_metrics.roc_auc_score(result.outcomes, result.risk)
    assert chart.title == f"ROC curve: area {area:.3f} of 1 (0.5 by chance)"


@pytest.mark.parametrize("decimals", [6, 1])
def test_precision_is_that_of_the_highest_threshold_which_reaches_a_recall(decimals: int) -> None:
    result = judged(300, decimals=decimals)
    chart = recall_chart(result)

    table = pd.DataFrame({"risk": result.risk, "left": result.outcomes})
    expected = []
    for share in SHARES[1:]:
        for threshold in sorted(set(table.risk), reverse=True):
            named = table[table.risk >= threshold]
            if named.left.sum() >= share * table.left.sum() - 1e-9:
                expected.append(100 * named.left.mean())
                break
    assert column(chart, 0) == [10 * i for i in range(1, 11)]
    assert column(chart, 1) == pytest.approx(expected, abs=0.051)
    area = sklearn_metrics.average_precision_score(result.outcomes, result.risk)
    base = result.outcomes.mean()
    assert chart.title == (
        f"Precision and recall: average precision {area:.3f} ({base:.3f} by chance)"
    )


def test_precision_is_drawn_in_steps_as_its_table_has_it() -> None:
    chart = recall_chart(judged(150, decimals=2))
    line = drawn(chart).axes[0].get_lines()[-1]

    assert line.get_drawstyle() == "steps-pre"
    x, y = np.asarray(line.get_xdata()), np.asarray(line.get_ydata())
    result = [y[x >= share - 1e-6][0] for share in column(chart, 0)]
    assert column(chart, 1) == pytest.approx(result, abs=0.051)


@pytest.mark.parametrize("decimals", [6, 1])
def test_gain_and_lift_count_a_share_of_equal_risks(decimals: int) -> None:
    result = judged(decimals=decimals)
    chart = gain_chart(evaluation_of(result))

    table = pd.DataFrame({"risk": result.risk, "left": result.outcomes})
    table["left"] = table.groupby("risk").left.transform("mean")  # in any order among equals
    found = table.sort_values("risk", ascending=False).left.cumsum() / result.outcomes.sum()
    gains = [100 * found.iloc[int(len(table) * share + 0.5) - 1] for share in SHARES[1:]]
    assert column(chart, 1) == pytest.approx(gains, abs=0.051)
    lifts = np.array(gains) / 100 / SHARES[1:]
    assert column(chart, 2) == pytest.approx(lifts, abs=0.0051)
    assert f" {lifts[0]:.1f} times" in chart.title


def test_calibration_is_by_ten_bins_of_equal_width() -> None:
    result = judged()
    chart = calibration_chart(evaluation_of(result))

    table = pd.DataFrame({"risk": result.risk, "left": result.outcomes})
    groups = table.groupby((table.risk * 10).astype(int).clip(upper=9))
    assert column(chart, 0) == groups.size().tolist()
    assert column(chart, 1) == pytest.approx(100 * groups.risk.mean(), abs=0.051)
    assert column(chart, 2) == pytest.approx(100 * groups.left.mean(), abs=0.051)
    apart = (groups.size() * (groups.risk.mean() - groups.left.mean()).abs()).sum() / 1000
    assert chart.title == (
        f"Calibration: risk and outcome differ by {100 * apart:.1f} % on average"
    )


def test_the_distribution_counts_every_client_once() -> None:
    risk = judged().risk
    chart = distribution_chart(risk, BANDS, 0.5)

    places = np.minimum(risk * 20, 19).astype(int)
    assert column(chart, 1) == pd.Series(places).value_counts().sort_index().tolist()
    assert [row[0] for row in chart.rows[:2]] == ["0 to 5 %", "5 to 10 %"]
    high, medium = int((risk >= 0.6).sum()), int(((risk >= 0.3) & (risk < 0.6)).sum())
    assert chart.title == f"{high} clients at high risk, {medium} at medium, of 1,000"


@pytest.mark.parametrize(
    ("name", "days"),
    [
        ("score of one batch", ("2025-12-31", "2026-01-02")),
        ("missing, one record", ("2025-12-31", "2026-01-02")),
        ("timings, one", ("2025-12-31", "2026-01-02")),
        ("score", ("2025-12-30", "2026-03-02")),
    ],
)
def test_time_reaches_from_the_first_to_the_last_moment(name: str, days: tuple[str, str]) -> None:
    axes = drawn(CHARTS[name]()).axes[0]

    assert tuple(f"{num2date(end):%Y-%m-%d}" for end in axes.get_xlim()) == days


@pytest.mark.parametrize("seconds", [61, 150, 3600, 9000, 170_000, 5_000_000])
def test_time_has_ticks_whatever_its_length(seconds: int) -> None:
    start = datetime(2026, 1, 1, 9)
    moments = [f"{start + timedelta(seconds=s):%Y-%m-%dT%H:%M:%SZ}" for s in (0, seconds)]
    axes = drawn(missing_chart([Missing(at, {"age": 1.0}) for at in moments], "left")).axes[0]

    first, last = axes.get_xlim()
    assert len([tick for tick in axes.get_xticks() if first <= tick <= last]) >= 2


@pytest.mark.parametrize("name", CHARTS)
def test_where_there_is_too_little_to_draw_a_sentence_says_so(name: str) -> None:
    assert CHARTS[name]().nothing.endswith(".") == (name in EMPTY)


def test_marks_of_drift_do_not_hide_a_long_line() -> None:
    chart = score_chart(score_bins(100, 10), [])
    axes = drawn(chart).axes[0]

    (line,) = axes.get_lines()
    (marks,) = (one for one in axes.collections if one.get_label() == "drift")
    assert isinstance(marks, LineCollection)
    assert len(line.get_xdata()) == 100
    assert len(marks.get_segments()) == 50
    assert max(y for segment in marks.get_segments() for _, y in segment) <= 0.1


def test_an_outcome_not_known_yet_is_not_what_lacks_most() -> None:
    chart = missing_chart([Missing(at(0), {"Exited": 42.8, "age": 1.5})], "Exited")
    legend = drawn(chart).axes[0].get_legend()

    assert chart.title == "Missing values by column: most in age, 1.5 %"
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["Exited (not known yet)", "age"]


def test_a_band_that_begins_within_a_bin_parts_its_bar() -> None:
    risk = np.array([0.61, 0.62, 0.63, 0.64])
    axes = drawn(distribution_chart(risk, RiskBands(high=0.625, medium=0.3), None)).axes[0]

    bars = {
        bars.get_label(): [(bar.get_y(), bar.get_height()) for bar in bars]
        for bars in axes.containers
    }
    assert bars == {"low": [], "medium": [(0, 2)], "high": [(2, 2)]}


@pytest.mark.parametrize("clients", [0, 1, 3, 7])
def test_clients_are_counted_in_whole_numbers_from_0(clients: int) -> None:
    axes = drawn(distribution_chart(np.full(clients, 0.1), BANDS, None)).axes[0]

    ticks = [float(at) for at in axes.get_yticks()]
    assert axes.get_ylim()[0] == 0
    assert ticks == [int(at) for at in ticks]


def test_scores_are_reported_latest_first() -> None:
    bins = [
        ScoreBin(at(0), at(0), 1, 0.81234, 0.81234, 0.81234, 0),
        ScoreBin(at(1), at(2), 1200, 0.7, 0.6, 0.8, 7),
    ]
    chart = score_chart(bins, [])

    assert chart.header == ("when", "batches", "F1", "lowest", "highest", "drifted")
    assert chart.rows == (
        ("2026-01-02 09:00 to 2026-01-03 09:00", "1,200", "0.700", "0.600", "0.800", "7"),
        ("2026-01-01 09:00", "1", "0.812", "0.812", "0.812", "0"),
    )


def test_missing_values_are_reported_by_column_the_most_first() -> None:
    chart = missing_chart([*samples(2), Missing(at(2), {"column2": 3.0, "new": 12.5})], "left")

    assert chart.header == ("when", "new", "column2")
    assert chart.rows == (
        ("2026-01-03 09:00", "12.50", "3.00"),
        ("2026-01-02 09:00", "-", "1.25"),
        ("2026-01-01 09:00", "-", "0.25"),
    )


def test_input_drift_is_reported_of_every_feature() -> None:
    chart = input_chart(DRIFTED, "1")

    assert chart.rows[0] == (
        *("age", "0.600", "0.200", "1e-09", "3.0 %", "2.0 %", "-", "drift"),
        "told: new, mean risk +23 %",
    )
    assert chart.rows[2][-3:] == ("20.0 %", "drift", "as in recent batches")
    assert [row[-1] for row in chart.rows[3:]] == ["new, mean risk -2 %", "-", "-"]
    assert chart.rows[4][:4] == ("few", "-", "-", "-")
    assert [row[0] for row in chart.rows] == [
        *("age", "balance", "land", "size", "few", "predicted risk"),
    ]
    assert "of release 1," in chart.summary


def test_the_bars_of_input_drift_are_multiples_of_the_limit_the_largest_on_top() -> None:
    axes = drawn(CHARTS["input"]()).axes[0]

    bars = sorted(axes.patches, key=lambda bar: -bar.get_y())
    assert [round(bar.get_width(), 6) for bar in bars] == [3.0, 0.25, 0.25, 0.25, 0.25]
    result = [text.get_text() for text in axes.texts]
    assert result == [" drift", " drift: 20.0 % unseen", " drift: 50.0 % missing"]


def test_of_many_features_those_that_drifted_are_drawn_first() -> None:
    calm = [feature(f"calm{i}", psi=0.19) for i in range(20)]
    gone = feature(
        "gone", psi=None, psi_limit=None, verdict="drift", missing=1.0, causes=(Cause.MISSING,)
    )
    axes = drawn(input_chart([*calm, gone, DRIFTED[3]], "1")).axes[0]

    names = [text.get_text() for text in axes.get_yticklabels()]
    assert names == ["size", "gone", *(f"calm{i}" for i in range(10))]
    assert [text.get_text() for text in axes.texts] == [
        *(" drift: 50.0 % missing", " drift: 100.0 % missing"),
    ]


def test_of_one_class_there_are_no_curves() -> None:
    assert "There are no curves" in model_section(evaluation_of(of_one_class(0))).lead
    assert "There are no curves" not in model_section(evaluation_of(judged())).lead
    assert [chart.key for chart in model_charts(evaluation_of(of_one_class(0)))] == [
        "matrix",
        "calibration",
    ]
    assert [chart.key for chart in model_charts(evaluation_of(judged()))] == [
        *("matrix", "roc", "precision-recall", "gain", "calibration"),
    ]


def test_a_curve_of_many_rows_is_drawn_in_few_points() -> None:
    lines = drawn(CHARTS["gain"]()).axes[0].get_lines()
    assert [len(line.get_xdata()) for line in lines] == [2, 200]
