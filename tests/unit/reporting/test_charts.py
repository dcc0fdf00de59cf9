"""Every chart: its numbers beside pandas and scikit-learn, its words, and that it can be drawn."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

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
from pipeline.reporting.overview import model_section
from pipeline.reporting.picture import HEIGHT, WIDTH, Chart, svg, time_axis
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


@dataclass(frozen=True)
class Shape:
    """A shape of a picture as it is read: its points, those of a dot its middle."""

    colour: str
    points: list[tuple[float, float]]


@dataclass(frozen=True)
class Label:
    """A text of a picture, and where it is."""

    x: float
    y: float
    text: str
    anchor: str


def elements(chart: Chart, *tags: str) -> list[ElementTree.Element]:
    return [one for one in ElementTree.fromstring(svg(chart)).iter() if one.tag in tags]


def labels(chart: Chart) -> list[Label]:
    """The labels of a picture."""
    return [
        Label(float(e.get("x", "")), float(e.get("y", "")), e.text or "", e.get("text-anchor", ""))
        for e in elements(chart, "text")
    ]


def texts(chart: Chart) -> list[str]:
    return [label.text for label in labels(chart)]


def shapes(chart: Chart, *tags: str, colours: Sequence[str] = ()) -> list[Shape]:
    """The shapes of a picture of these kinds and some colours, in the order in which they are."""
    found = []
    for one in elements(chart, *tags):
        colour = one.get("stroke") or one.get("fill", "")
        places = one.get("points") or f"{one.get('cx')},{one.get('cy')}"
        points = [tuple(map(float, place.split(","))) for place in places.split()]
        found.append(Shape(colour, [(x, y) for x, y in points]))
    wanted = [f"var(--{colour})" for colour in colours]
    return [one for one in found if not colours or one.colour in wanted]


def numbers(cells: Sequence[str]) -> list[float]:
    return [float(cell.replace(",", "").removesuffix(" %")) for cell in cells]


def column(chart: Chart, place: int) -> list[float]:
    return numbers([row[place] for row in chart.rows])


@pytest.mark.parametrize("name", sorted(CHARTS.keys() - EMPTY))
def test_it_is_drawn_within_its_bounds_and_with_every_axis_named(name: str) -> None:
    chart = CHARTS[name]()

    unit = re.compile(r"percent$|%$|\(UTC\)$|^seconds$|\(0 to 1\)$|clients$|limit$|missing$")
    wanted = 1 if name.startswith("input") else 2
    named = [text for text in texts(chart) if unit.search(text)]
    if name.startswith("matrix"):
        assert {"predicted", "actual"} <= {*texts(chart)}
    else:
        assert len(named) >= wanted, texts(chart)
    assert "nan" not in svg(chart)
    for shape in shapes(chart, "polyline", "polygon", "circle"):
        assert all(0 <= x <= WIDTH and 0 <= y <= HEIGHT for x, y in shape.points), shape
    for label in labels(chart):
        assert 0 <= label.x <= WIDTH
        assert 0 < label.y <= HEIGHT


@pytest.mark.parametrize("name", CHARTS)
def test_it_has_words_and_numbers_and_a_sentence_where_there_is_too_little_to_draw(
    name: str,
) -> None:
    chart = CHARTS[name]()

    assert {len(row) for row in chart.rows} <= {len(chart.header)}
    assert all(chart.header)
    assert chart.title
    assert chart.summary.endswith(".")
    assert chart.nothing.endswith(".") == (name in EMPTY)


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


def test_the_picture_of_the_matrix_has_counts_and_row_percents() -> None:
    chart = CHARTS["matrix of one row"]()

    cells = [text for text in texts(chart) if text[0].isdigit()]
    assert cells == ["0", "0.0 %", "1", "100.0 %", *["0", "0.0 %"] * 2]


def test_the_matrix_to_print_is_drawn_again_only_where_it_has_changed(tmp_path: Path) -> None:
    path, result = tmp_path / "matrix.png", judged()
    write_confusion_matrix(path, result, RELEASE)
    first = path.stat().st_ino, path.read_bytes()

    write_confusion_matrix(path, result, RELEASE)
    assert (path.stat().st_ino, path.read_bytes()) == first

    write_confusion_matrix(path, result, RELEASE.replace("1", "2"))
    assert path.read_bytes() != first[1]
    assert f"release {RELEASE.replace('1', '2')}".encode() in path.read_bytes()


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
    line = shapes(chart, "polyline", colours=["series-1"])[-1]  # the first is the legend's

    assert all(a[0] == b[0] or a[1] == b[1] for a, b in pairwise(line.points))
    at = {label.text: label.x for label in labels(chart) if label.anchor == "middle"}
    up = {label.text: label.y - 3.6 for label in labels(chart) if label.anchor == "end"}
    scale = 100 / (up["0"] - up["100"])
    result = []
    for share in column(chart, 0):
        x = at["0"] + share / 100 * (at["100"] - at["0"])
        result.append((up["0"] - next(y for a, y in line.points if a >= x - 0.02)) * scale)
    assert column(chart, 1) == pytest.approx(result, abs=0.1)


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
    ("moments", "days"),
    [
        ([at(0)], ("2025-12-31", "2026-01-02")),
        ([at(0), at(0).replace("00Z", "59Z")], ("2025-12-31", "2026-01-02")),
        ([at(58), at(0)], ("2025-12-30", "2026-03-02")),
    ],
)
def test_time_reaches_from_the_first_to_the_last_moment(
    moments: list[str], days: tuple[str, str]
) -> None:
    axis = time_axis(moments)

    ends = [datetime.fromtimestamp(end, UTC) for end in (axis.low, axis.high)]
    assert tuple(f"{end:%Y-%m-%d}" for end in ends) == days


@pytest.mark.parametrize(
    "seconds", [61, 150, 3600, 20_000, 9000, 170_000, 5_000_000, 40_000_000, 10**9]
)
def test_time_has_ticks_whatever_its_length(seconds: int) -> None:
    start = datetime(2026, 1, 1, 9)
    moments = [f"{start + timedelta(seconds=s):%Y-%m-%dT%H:%M:%SZ}" for s in (0, seconds)]
    axis = time_axis(moments)

    assert len(axis.ticks) == 3
    assert all(axis.low <= tick <= axis.high for tick, _ in axis.ticks)
    assert all(one != other for (_, one), (_, other) in pairwise(axis.ticks))


def test_marks_of_drift_do_not_hide_a_long_line() -> None:
    chart = score_chart(score_bins(100, 10), [])

    (_, line) = shapes(chart, "polyline", colours=["series-1"])
    (_, *marks) = shapes(chart, "polyline", colours=["series-2"])
    assert len(line.points) == 100
    assert len(marks) == 50
    band = shapes(chart, "polygon", colours=["series-1"])[0].points
    tenth = 0.1 / (0.9 - 0.7) * (max(y for _, y in band) - min(y for _, y in band))
    assert max(low - up for (_, low), (_, up) in (mark.points for mark in marks)) <= tenth + 0.01


def test_an_outcome_not_known_yet_is_not_what_lacks_most() -> None:
    chart = missing_chart([Missing(at(0), {"Exited": 42.8, "age": 1.5})], "Exited")
    both = missing_chart([Missing(at(n), {"Exited": 42.8, "age": 1.5}) for n in (0, 1)], "Exited")

    assert chart.title == "Missing values by column: most in age, 1.5 %"
    assert texts(both)[:2] == ["Exited (not known yet)", "age"]


def test_a_band_that_begins_within_a_bin_parts_its_bar() -> None:
    risk = np.array([0.61, 0.62, 0.63, 0.64])
    chart = distribution_chart(risk, RiskBands(high=0.625, medium=0.3), None)

    (_, medium) = shapes(chart, "polygon", colours=["series-6"])
    (_, high) = shapes(chart, "polygon", colours=["series-2"])
    assert shapes(chart, "polygon", colours=["series-5"])[1:] == []
    sides = [sorted({point[1] for point in bar.points}, reverse=True) for bar in (medium, high)]
    assert sides[0][1] == sides[1][0]  # one upon the other, of two clients each
    assert sides[0][0] - sides[0][1] == pytest.approx(sides[1][0] - sides[1][1], abs=0.011)


@pytest.mark.parametrize("clients", [0, 1, 3, 7])
def test_clients_are_counted_in_whole_numbers_from_0(clients: int) -> None:
    chart = distribution_chart(np.full(clients, 0.1), BANDS, None)

    ticks = [label.text for label in labels(chart) if label.anchor == "end"]
    assert ticks[0] == "0"
    assert all(tick.isdigit() for tick in ticks)


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
    chart = CHARTS["input"]()

    bars = shapes(chart, "polygon", colours=["series-2", "series-5"])
    wide = [max(x for x, _ in bar.points) - min(x for x, _ in bar.points) for bar in bars]
    limit = wide[0] / 3
    assert wide == pytest.approx([3 * limit, *[0.25 * limit] * 4], abs=0.02)
    assert [min(y for _, y in bar.points) for bar in bars] == sorted(
        min(y for _, y in bar.points) for bar in bars
    )
    assert texts(chart)[-3:] == ["drift", "drift: 20.0 % unseen", "drift: 50.0 % missing"]


def test_of_many_features_those_that_drifted_are_drawn_first() -> None:
    calm = [feature(f"calm{i}", psi=0.19) for i in range(20)]
    gone = feature(
        "gone", psi=None, psi_limit=None, verdict="drift", missing=1.0, causes=(Cause.MISSING,)
    )
    result = texts(input_chart([*calm, gone, DRIFTED[3]], "1"))

    names = ["size", "gone", *(f"calm{i}" for i in range(10))]
    assert [text for text in result if text in names or text.startswith("calm")] == names
    assert result[-2:] == ["drift: 50.0 % missing", "drift: 100.0 % missing"]


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
    assert len(shapes(CHARTS["gain"](), "polyline", colours=["series-1"])[-1].points) == 200


def test_a_risk_that_ends_leaves_a_gap() -> None:
    steps = shapes(CHARTS["client"](), "polyline", colours=["series-1"])[1:]

    assert [len(line.points) for line in steps] == [2]
    assert len(shapes(CHARTS["client"](), "circle")) == 1
