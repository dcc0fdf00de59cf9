"""Why a client is at risk: contributions against their definition, and the words made of them."""

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from modelling import MIXED, SCHEMAS, random_table, rows_of

from pipeline.core.schema import Schema
from pipeline.data.frames import Features, Row, features_of, usual_row
from pipeline.models.calibration import Calibration, fitted_calibrator, with_threshold
from pipeline.models.estimators import fit_model
from pipeline.models.manifest import BOOSTING, LOGISTIC, SIGMOID, ModelManifest, SelfCheck
from pipeline.models.scorer import Scorer
from pipeline.ranking.explanations import (
    MAX_LETTERS,
    MIN_CONTRIBUTION,
    Explainer,
    baseline_row,
    contributions,
    explainer_of,
    number_text,
    reason,
    shown,
    strongest,
)

MODELS = {
    name: fit_model(LOGISTIC, random_table(schema), schema) for name, schema in SCHEMAS.items()
}
TREES = fit_model(BOOSTING, random_table(MIXED), MIXED)
USUAL = {name: usual_row(random_table(schema), schema) for name, schema in SCHEMAS.items()}


def alone(row: Row) -> Features:
    return Features(np.array([row.numbers], dtype="float64"), tuple([text] for text in row.texts))


# --- contributions ---


@pytest.mark.parametrize("name", SCHEMAS)
@settings(max_examples=20, deadline=None)
@given(st.data())
def test_of_a_linear_model_they_add_up_to_the_log_odds(name: str, data: st.DataObject) -> None:
    schema, usual = SCHEMAS[name], USUAL[name]
    scorer, rows = Scorer(MODELS[name], schema), data.draw(rows_of(schema))
    rows = rows.at(np.flatnonzero(~np.isnan(rows.numbers).any(axis=1)))

    found = contributions(scorer, rows, usual) if len(rows) else np.empty((len(schema.features), 0))

    base = scorer.decision(alone(usual).frame(schema))
    size = 1 + np.abs(found).sum(axis=0)
    off = base + found.sum(axis=0) - scorer.decision(rows.frame(schema))
    assert (np.abs(off) <= 1e-9 * size).all()


def test_of_boosted_trees_each_is_what_one_exchanged_column_changes() -> None:
    frame = random_table(MIXED)[list(MIXED.features)]
    usual = USUAL["mixed"]

    found = contributions(Scorer(TREES, MIXED), features_of(frame, MIXED), usual)

    given = TREES.decision_function(frame)
    values = [*usual.numbers, *usual.texts]
    for place, (column, value) in enumerate(zip(MIXED.features, values, strict=True)):
        exchanged = frame.assign(**{column: value}).astype(frame.dtypes)
        expected = given - TREES.decision_function(exchanged)
        np.testing.assert_array_equal(found[place], expected)


def test_a_threshold_and_a_calibration_change_no_contribution() -> None:
    table, pipeline = random_table(MIXED), MODELS["mixed"]
    scores = pipeline.decision_function(table[list(MIXED.features)])
    curve = fitted_calibrator(SIGMOID, scores, table["left"].to_numpy())
    whole = with_threshold(Calibration(SIGMOID, curve, scores, {}).apply(pipeline), 0.3)
    rows = features_of(table, MIXED)

    found = contributions(Scorer(whole, MIXED), rows, USUAL["mixed"])

    expected = contributions(Scorer(pipeline, MIXED), rows, USUAL["mixed"])
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("scorer", [Scorer(MODELS["mixed"], MIXED), Scorer(TREES, MIXED)])
def test_a_usual_client_has_none(scorer: Scorer) -> None:
    found = contributions(scorer, alone(USUAL["mixed"]), USUAL["mixed"])

    assert found.tolist() == [[0.0]] * 4


# --- the strongest ---


def test_what_lowers_the_risk_or_hardly_raises_it_is_left_out() -> None:
    found = np.array(
        [[MIN_CONTRIBUTION, -1.0, 0.0], [MIN_CONTRIBUTION * 0.99, 0.5, -0.0], [0.0, 0.2, 0.009]]
    )

    assert strongest(found).T.tolist() == [[0, -1, -1], [1, 2, -1], [-1, -1, -1]]


@settings(deadline=None)
@given(st.lists(st.lists(st.sampled_from([-1.0, 0.0, 0.5, 1.0, 2.0]), min_size=4, max_size=4)))
def test_they_are_those_a_sort_gives(rows: list[list[float]]) -> None:
    found = np.array(rows, dtype="float64").reshape(len(rows), 4).T

    expected = [
        [i for i in sorted(range(4), key=lambda i: -row[i]) if row[i] >= MIN_CONTRIBUTION][:3]
        for row in rows
    ]
    result = [[i for i in row if i >= 0] for row in strongest(found).T.tolist()]
    assert result == expected


# --- the reasons ---


class ByHand:
    """A model whose weights are known."""

    feature_names_in_ = ("activity", "employees", "place")

    def decision_function(self, frame: pd.DataFrame) -> np.ndarray:
        places = frame["place"].map({"France": 0.0, "Germany": 0.7, "": 0.3}).fillna(0)
        activity, employees = frame["activity"] / 10, frame["employees"] / 20
        return (places - activity - employees / 2).to_numpy()


BY_HAND: Any = ByHand()
SCHEMA = Schema("client", "left", ("activity", "employees"), ("place",))
LABELS = ["last month's activity", "number of employees", "Geography"]


def reasons_of(numbers: list[list[float]], texts: list[str], usual: Row | None) -> list[list[str]]:
    explainer = Explainer(Scorer(BY_HAND, SCHEMA), usual, LABELS)
    return explainer.reasons(Features(np.array(numbers), (texts,)))


def test_reasons_are_reported_strongest_first_beside_what_is_usual() -> None:
    usual = Row([41.0, 60.0], ["France"])

    assert reasons_of(
        [[3, 50], [41, 60], [90, 20], [41, 61]], ["Germany", "", "Spain", "France"], usual
    ) == [
        [
            "last month's activity 3, usual 41",
            "Geography Germany, usual France",
            "number of employees 50, usual 60",
        ],
        ["Geography unknown, usual France"],
        ["number of employees 20, usual 60"],
        [],
    ]


@pytest.mark.parametrize("kind", [LOGISTIC, BOOSTING])
def test_a_missing_number_is_reported_where_it_raises_the_risk(kind: str) -> None:
    table = random_table(MIXED)
    table["left"] = table["age"].isna().astype("float64")
    scorer = Scorer(fit_model(kind, table, MIXED), MIXED)
    row = Row([math.nan, *USUAL["mixed"].numbers[1:]], USUAL["mixed"].texts)

    found = Explainer(scorer, USUAL["mixed"], ["age", "b", "p", "k"]).reasons(alone(row))

    assert found == [[f"age unknown, usual {USUAL['mixed'].numbers[0]:.3g}"]]


def test_only_the_columns_that_may_be_reasons_are_some() -> None:
    manifest = ModelManifest(
        *("", "", 400, 1, SCHEMA, {}, SelfCheck(((1.0, 2.0, ""),), (0.5,))),
        usual=(41.0, 60.0, "France"),
    )
    labels = dict(zip(SCHEMA.features, LABELS, strict=True))
    rows = Features(np.array([[3.0, 50.0], [3.0, 60.0]]), (["Germany", "France"],))

    explainer = explainer_of(Scorer(BY_HAND, SCHEMA), manifest, labels, ["place", "employees"])

    assert explainer.reasons(rows) == [
        ["Geography Germany, usual France", "number of employees 50, usual 60"],
        [],
    ]


def test_without_usual_values_there_are_no_reasons() -> None:
    assert reasons_of([[3, 50]], ["Germany"], None) == [[]]


def test_no_rows_have_no_reasons() -> None:
    rows = Features(np.empty((0, 2)), ([],))

    assert Explainer(Scorer(BY_HAND, SCHEMA), Row([41, 60], [""]), LABELS).reasons(rows) == []


# --- the words ---


@pytest.mark.parametrize(
    ("value", "text"),
    [
        *[(0.0, "0"), (-0.0, "0"), (3.0, "3"), (1234.0, "1234"), (-41.0, "-41")],
        *[(12.5, "12.5"), (0.03125, "0.0312"), (3.14159, "3.14"), (99.96, "100")],
        *[(113931.57, "113932"), (-1234.5, "-1234"), (999999999.0, "999999999")],
        *[(1.2345e9, "1.23e+09"), (1e100, "1e+100"), (0.0000123, "1.23e-05")],
        (math.nan, "unknown"),
    ],
)
def test_a_number_is_short_and_without_commas(value: float, text: str) -> None:
    assert number_text(value) == text


@pytest.mark.parametrize(
    ("value", "usual", "text"),
    [
        (3.0, 41.0, "%s 3, usual 41"),
        (math.nan, 41.0, "%s unknown, usual 41"),
        (3.0, math.nan, "%s 3, usual unknown"),
        (1000.25, 1000.125, "%s 1000.25, usual 1000.125"),
        (1000.0, 1000.125, "%s 1000, usual 1000.125"),
        ("Germany", "France", "%s Germany, usual France"),
        ("", "France", "%s unknown, usual France"),
        ("", "unknown", "%s other than the usual, unknown"),
        ("x" * 100 + "y", "x" * 100, f"%s other than the usual, {'x' * 59}…"),
        ("a;b", "a,b", "%s other than the usual, a,b"),
    ],
)
def test_a_value_is_beside_the_usual_one(value: float | str, usual: float | str, text: str) -> None:
    assert reason("%s", value, usual) == text


def test_what_is_shown_is_one_short_line_without_semicolons() -> None:
    assert shown("a\r\nb; c") == "a b, c"
    assert shown("x" * MAX_LETTERS) == "x" * MAX_LETTERS
    assert shown("x" * (MAX_LETTERS + 1)) == "x" * (MAX_LETTERS - 1) + "…"


# --- the usual client ---


def manifest(usual: tuple[float | str | None, ...]) -> ModelManifest:
    check = SelfCheck(((3, None, "north", None),), (0.5,))
    return ModelManifest("", "", 0, 0, MIXED, {}, check, usual=usual)


def test_the_usual_client_is_that_of_the_manifest() -> None:
    found = baseline_row(manifest((3, None, "north", None)))

    assert found is not None
    assert (found.numbers[0], found.texts) == (3.0, ["north", ""])
    assert math.isnan(found.numbers[1])
