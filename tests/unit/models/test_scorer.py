"""The quick way to ask a model against the model itself, for every make of model."""

from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from modelling import MAKES, MIXED, SCHEMAS, core_of, made, manifest_of, random_table, rows_of
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from pipeline.data.features import features_of
from pipeline.models.calibration import Calibration
from pipeline.models.cross_validation import TrainingData
from pipeline.models.estimators import Model, risk_of
from pipeline.models.manifest import Recipe
from pipeline.models.model_parts import Sigmoid
from pipeline.models.persistence import load_trained, save_model
from pipeline.models.scorer import (
    UNKNOWN,
    ByEstimator,
    ByNumbers,
    agrees,
    numbers_of,
    probing_rows,
    scorer_of,
)
from pipeline.models.threshold import with_threshold

EVERY = [(name, *make) for name, make in product(SCHEMAS, MAKES)]


def numbers(model: Any) -> ByNumbers:
    found = numbers_of(model)
    assert found is not None
    return found


@pytest.mark.parametrize(("name", "kind", "method", "threshold"), EVERY)
@settings(max_examples=3)
@given(st.data())
def test_the_numbers_give_what_the_model_gives(
    name: str, kind: str, method: str, threshold: float, data: st.DataObject
) -> None:
    schema = SCHEMAS[name]
    model = made(schema, kind, method, threshold)
    quick, estimator = numbers(model), ByEstimator(model, schema)
    rows = data.draw(rows_of(schema))

    ours, theirs = quick.scores(rows), estimator.scores(rows)

    # a steep piece of a curve makes more of the last digit of sums in another order
    within = 1e-10 if (kind, method) == ("logistic", "isotonic") else 1e-12
    np.testing.assert_allclose(ours.risk, theirs.risk, rtol=0, atol=within)
    assert ours.outcomes.tolist() == theirs.outcomes.tolist()
    assert ours.outcomes.dtype == theirs.outcomes.dtype
    np.testing.assert_allclose(quick.decision(rows), estimator.decision(rows), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("name", "kind", "method", "threshold"), EVERY)
def test_every_make_of_model_goes_the_quick_way(
    name: str, kind: str, method: str, threshold: float
) -> None:
    model = made(SCHEMAS[name], kind, method, threshold)

    scorer = scorer_of(model, manifest_of(model, SCHEMAS[name]))

    assert isinstance(scorer, ByNumbers)
    assert (scorer.curve is None, scorer.threshold) == (
        method == "none",
        None if threshold == 0.5 and method == "none" else threshold,
    )


@pytest.mark.parametrize("kind", ["logistic", "boosting"])
def test_a_risk_at_the_threshold_is_predicted_to_leave(kind: str) -> None:
    rows = features_of(random_table(MIXED), MIXED)
    risk = numbers(made(MIXED, kind, "isotonic")).scores(rows).risk
    level = float(np.sort(risk)[len(risk) // 2])
    model = made(MIXED, kind, "isotonic", level)

    ours, theirs = numbers(model).scores(rows), ByEstimator(model, MIXED).scores(rows)

    assert (ours.outcomes[ours.risk == level] == 1).all()
    assert ours.outcomes.tolist() == theirs.outcomes.tolist()


def test_a_calibrated_risk_of_one_half_is_predicted_to_stay() -> None:
    half = IsotonicRegression(out_of_bounds="clip").fit([-1.0, 1.0], [0.5, 0.5])
    model = Calibration("isotonic", half, np.empty(0), {}).apply(made(MIXED, "boosting"))
    rows = features_of(random_table(MIXED), MIXED)

    ours = numbers(model).scores(rows)

    assert set(ours.risk) == {0.5}
    assert ours.outcomes.tolist() == ByEstimator(model, MIXED).scores(rows).outcomes.tolist()
    assert not ours.outcomes.any()


def made_before() -> Model:
    """A logistic model as releases of older versions have it: without limits, gaps, rare words."""
    numbers = [
        ("impute", SimpleImputer(strategy="median", keep_empty_features=True)),
        ("scale", StandardScaler()),
    ]
    words = [
        ("impute", SimpleImputer(strategy="constant", fill_value="")),
        ("encode", OneHotEncoder(handle_unknown="ignore", sparse_output=False)),
    ]
    columns = [
        ("numbers", Pipeline(numbers), list(MIXED.numeric)),
        ("categories", Pipeline(words), list(MIXED.categorical)),
    ]
    logistic = LogisticRegression(C=100, solver="newton-cholesky", tol=1e-8, max_iter=1000)
    core = Pipeline([("columns", ColumnTransformer(columns)), ("logistic", logistic)])
    table = random_table(MIXED)
    features, outcomes = table[list(MIXED.features)], table[MIXED.outcome].to_numpy("int64")
    scores = core.fit(features, outcomes).decision_function(features)
    steps = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(scores, outcomes)
    return with_threshold(Calibration("isotonic", steps, scores, {}).apply(core), 0.3)


def test_a_model_of_an_older_version_is_loaded_and_goes_the_quick_way(tmp_path: Path) -> None:
    table, model = random_table(MIXED), made_before()
    data, risk = TrainingData(table, table, MIXED), risk_of(model, table)
    save_model(model, tmp_path, data=data, risk=risk, recipe=Recipe(), last_file=1)

    loaded = load_trained(tmp_path, MIXED)
    scorer = scorer_of(loaded.model, loaded.manifest)

    assert isinstance(scorer, ByNumbers)
    rows = features_of(table, MIXED)
    np.testing.assert_allclose(scorer.scores(rows).risk, risk, rtol=0, atol=1e-10)


BROKEN: dict[str, Any] = {
    "slope": lambda of: replace(of, curve=replace(of.curve, slope=of.curve.slope * (1 + 1e-9))),
    "offset": lambda of: replace(of, curve=replace(of.curve, offset=of.curve.offset + 1e-9)),
    "no curve": lambda of: replace(of, curve=None),
    "threshold": lambda of: replace(of, threshold=0.35),
    "no threshold": lambda of: replace(of, threshold=None),
    "a point": lambda of: replace(of, curve=replace(of.curve, risks=of.curve.risks * (1 - 1e-9))),
}


@pytest.mark.parametrize("kind", ["logistic", "boosting"])
@pytest.mark.parametrize("what", BROKEN)
def test_a_wrong_number_is_noticed(what: str, kind: str) -> None:
    model = made(MIXED, kind, "isotonic" if what == "a point" else "sigmoid", 0.3)
    right, estimator = numbers(model), ByEstimator(model, MIXED)
    probes = probing_rows(manifest_of(model, MIXED))

    assert agrees(right, estimator, probes)
    assert not agrees(BROKEN[what](right), estimator, probes)


def test_a_curve_that_is_not_what_it_looks_like_is_not_relied_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Flat:
        """It has the coefficients of a sigmoid, and does not use them."""

        a_, b_ = -1.0, 0.0

        def predict(self, scores: np.ndarray) -> np.ndarray:
            return np.full(len(scores), 0.25)

    model = Calibration("sigmoid", Flat(), np.empty(0), {}).apply(made(MIXED, "logistic"))
    assert numbers(model).curve == Sigmoid(-1.0, 0.0)

    assert isinstance(scorer_of(model, manifest_of(model, MIXED)), ByEstimator)
    assert "do not give what the model gives" in caplog.text


def test_models_are_compared_on_the_rows_of_the_self_check_with_each_feature_missing() -> None:
    manifest = manifest_of(made(MIXED, "boosting"), MIXED)

    probes = probing_rows(manifest)

    checked = features_of(random_table(MIXED).head(len(manifest.self_check.rows)), MIXED)
    np.testing.assert_array_equal(probes.numbers[: len(checked)], checked.numbers)
    assert np.isnan(probes.numbers).any(axis=0).all()
    for known, texts in zip(checked.texts, probes.texts, strict=True):
        assert {*known, "", UNKNOWN} == set(texts)


# the model itself


@pytest.mark.parametrize("method", ["none", "isotonic"])
def test_log_odds_are_those_before_calibration(method: str) -> None:
    table = random_table(MIXED)

    estimator = ByEstimator(made(MIXED, "boosting", method, 0.3), MIXED)

    expected = core_of(MIXED).decision_function(table[list(MIXED.features)])
    assert estimator.decision(features_of(table, MIXED)).tolist() == expected.tolist()
