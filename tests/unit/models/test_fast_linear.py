"""A pipeline's coefficients against the pipeline itself, on rows of all kinds."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from modelling import MIXED, SCHEMAS, core_of, manifest_of, random_table
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from pipeline.core.schema import DEFAULT_SCHEMA, Schema
from pipeline.data.features import Features, features_of
from pipeline.models.estimators import Model, fit_model, untrained_model
from pipeline.models.fast_linear import Linear, linear_of
from pipeline.models.scorer import ByEstimator, ByNumbers, agrees, probing_rows, scorer_of

MODELS: dict[str, Model] = {name: core_of(schema, "logistic") for name, schema in SCHEMAS.items()}


def linear(model: Model) -> Linear:
    found = linear_of(model)
    assert found is not None
    return found


def with_words(of: Linear, **parts: Any) -> Linear:
    """Other numbers for the first categorical column."""
    return replace(of, categories=(of.categories[0]._replace(**parts), of.categories[1]))


BROKEN = {
    "weight": lambda of: replace(of, weights=of.weights * [1, 1 + 1e-6]),
    "median": lambda of: replace(of, medians=of.medians + np.array([0.1, 0])),
    "mean": lambda of: replace(of, means=of.means + np.array([0, 0.1])),
    "scale": lambda of: replace(of, scales=of.scales * [1, 1.0001]),
    "intercept": lambda of: replace(of, intercept=of.intercept + 1e-6),
    "lowest": lambda of: replace(of, lowest=of.lowest * [1, 1.1]),
    "highest": lambda of: replace(of, highest=of.highest * [0.9, 1]),
    "gap": lambda of: replace(of, gaps=of.gaps + np.array([0, 1e-6])),
    "slope": lambda of: replace(of, slopes=of.slopes + np.array([[0, 1e-6], [0, 0]])),
    "category": lambda of: with_words(of, weights={**of.categories[0].weights, "south": 0.5}),
    "missing category": lambda of: with_words(of, weights={**of.categories[0].weights, "": 0.5}),
    "unknown category": lambda of: with_words(of, unknown=0.1),
    "swapped columns": lambda of: replace(of, weights=of.weights[::-1]),
    "swapped categories": lambda of: replace(of, categories=of.categories[::-1]),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_wrong_coefficient_is_noticed(what: str) -> None:
    right = linear(MODELS["mixed"])
    estimator = ByEstimator(MODELS["mixed"], MIXED)
    probes = probing_rows(manifest_of(estimator.model, MIXED))

    assert agrees(ByNumbers(right), estimator, probes)
    assert not agrees(ByNumbers(BROKEN[what](right)), estimator, probes)


def test_a_wrong_coefficient_is_noticed_where_every_risk_is_0_or_1() -> None:
    model: Any = fit_model("logistic", random_table(MIXED), MIXED)
    model[-1].coef_ *= 1e6
    right, estimator = linear(model), ByEstimator(model, MIXED)
    probes = probing_rows(manifest_of(model, MIXED))

    assert agrees(ByNumbers(right), estimator, probes)
    assert not agrees(
        ByNumbers(replace(right, weights=right.weights * [1, 1.0001])), estimator, probes
    )


def features_and_outcome(schema: Schema) -> tuple[object, object]:
    table = random_table(schema)
    return table[list(schema.features)], table[schema.outcome].astype("int64")


def without_means() -> Model:
    """A pipeline of the known shape and names, which does not subtract the means that it has."""
    untrained = untrained_model("logistic", random_table(DEFAULT_SCHEMA), DEFAULT_SCHEMA)
    untrained.set_params(columns__numbers__scale__with_mean=False)
    model: Model = untrained.fit(*features_and_outcome(DEFAULT_SCHEMA))
    return model


def test_a_model_that_only_looks_like_one_of_ours_is_asked_itself(
    caplog: pytest.LogCaptureFixture,
) -> None:
    model = without_means()
    assert linear_of(model) is not None

    scorer = scorer_of(model, manifest_of(model, DEFAULT_SCHEMA))

    assert isinstance(scorer, ByEstimator)
    assert "do not give what the model gives" in caplog.text


def test_a_model_of_ours_that_refuses_unknown_words_is_asked_itself(
    caplog: pytest.LogCaptureFixture,
) -> None:
    model: Any = fit_model("logistic", random_table(MIXED), MIXED)
    encoder: OneHotEncoder = model[0].named_transformers_["categories"]["encode"]
    encoder.set_params(handle_unknown="error")

    assert isinstance(scorer_of(model, manifest_of(model, MIXED)), ByEstimator)
    assert "cannot be compared" in caplog.text


def test_numbers_that_would_lead_beyond_all_numbers_are_left_to_the_model() -> None:
    model: Any = fit_model("logistic", random_table(DEFAULT_SCHEMA), DEFAULT_SCHEMA)
    scaler: StandardScaler = model[0].named_transformers_["numbers"]["scale"]
    scaler.scale_ = scaler.scale_ * 1e-307

    assert linear_of(model) is None


def test_any_other_model_is_asked_itself() -> None:
    features, outcome = features_and_outcome(DEFAULT_SCHEMA)
    trees: Model = HistGradientBoostingClassifier(max_iter=5).fit(features, outcome)
    scaled = make_pipeline(StandardScaler(), HistGradientBoostingClassifier(max_iter=5))

    for model in (trees, scaled.fit(features, outcome), make_pipeline(StandardScaler()), {}, None):
        assert linear_of(model) is None
    scorer = scorer_of(trees, manifest_of(trees, DEFAULT_SCHEMA))
    assert isinstance(scorer, ByEstimator)
    rows = features_of(random_table(DEFAULT_SCHEMA), DEFAULT_SCHEMA)
    assert scorer.scores(rows).risk.tolist() == (
        trees.predict_proba(rows.frame(DEFAULT_SCHEMA))[:, 1].tolist()
    )


@pytest.mark.parametrize("columns", [1, 3, 8, 20])
def test_a_row_has_the_same_log_odds_to_the_last_digit_whoever_is_asked_with_it(
    columns: int,
) -> None:
    draw = np.random.default_rng(columns)
    part = [draw.normal(size=columns) for _ in range(6)]
    limits, slopes = np.sort(part[:2], axis=0), draw.normal(size=(columns, columns))
    core = Linear(part[2], *limits, part[3], np.abs(part[4]), *part[5:], part[0], slopes, (), 0.1)
    rows = Features(draw.normal(size=(1_000, columns)), ())
    rows.numbers[draw.random(rows.numbers.shape) < 0.05] = np.nan

    whole = core.decision(rows)

    for size in (1, 7, 333):
        blocks = np.split(np.arange(1_000), range(size, 1_000, size))
        parts = [core.decision(rows.at(block)) for block in blocks]
        np.testing.assert_array_equal(np.concatenate(parts), whole)
