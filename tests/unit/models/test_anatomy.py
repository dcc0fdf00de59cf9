"""Taking models apart, and what scores in them."""

from typing import Any

import numpy as np
import pytest
from modelling import MIXED, fitted, random_table
from scipy.special import expit
from sklearn.calibration import CalibratedClassifierCV
from sklearn.model_selection import FixedThresholdClassifier
from sklearn.naive_bayes import GaussianNB

from pipeline.core.schema import DEFAULT_SCHEMA
from pipeline.data.features import Features, features_of
from pipeline.models.anatomy import ModelParts, unwrap_model
from pipeline.models.calibration import Calibration, fitted_calibrator
from pipeline.models.persistence import Model
from pipeline.models.scorer import ByEstimator
from pipeline.models.threshold import with_threshold

TABLE = random_table(MIXED)
FEATURES, OUTCOMES = TABLE[list(MIXED.features)], TABLE[MIXED.outcome].to_numpy()
CORE: Any = fitted(MIXED)
CALIBRATOR: Any = fitted_calibrator("isotonic", CORE.decision_function(FEATURES), OUTCOMES)
CURVED: Any = Calibration("isotonic", CALIBRATOR, np.empty(0), {}).applied(CORE)


def bayes() -> Any:
    """A model that tells risks only."""
    table = random_table(DEFAULT_SCHEMA).dropna()
    return GaussianNB().fit(table[list(DEFAULT_SCHEMA.features)], table[DEFAULT_SCHEMA.outcome])


def test_a_model_is_taken_apart() -> None:
    assert unwrap_model(CORE) == ModelParts(CORE, None, None)
    assert unwrap_model(CURVED) == ModelParts(CORE, CALIBRATOR, None)
    assert unwrap_model(with_threshold(CORE, 0.3)) == ModelParts(CORE, None, 0.3)
    assert unwrap_model(with_threshold(CURVED, 0.3)) == ModelParts(CORE, CALIBRATOR, 0.3)


UNKNOWN: dict[str, Any] = {
    "a threshold of log-odds": FixedThresholdClassifier(
        CORE, threshold=0.3, pos_label=1, response_method="decision_function"
    ),
    "a threshold for staying": FixedThresholdClassifier(
        CORE, threshold=0.3, pos_label=0, response_method="predict_proba"
    ),
    "a threshold that says nothing": FixedThresholdClassifier(CORE),
    "several curves": CalibratedClassifierCV(CORE, cv=2).fit(FEATURES, OUTCOMES),
    "another curve": CalibratedClassifierCV(CORE, method="temperature", ensemble=False).fit(
        FEATURES, OUTCOMES
    ),
    "no model": {},
}


@pytest.mark.parametrize("model", UNKNOWN.values(), ids=UNKNOWN)
def test_what_is_put_together_in_another_way_stays_whole(model: Any) -> None:
    assert unwrap_model(model) == ModelParts(model, None, None)


@pytest.mark.parametrize("model", [CORE, CURVED, with_threshold(CURVED, 0.3)])
def test_log_odds_are_those_before_calibration(model: Model) -> None:
    decision = ByEstimator(model, MIXED).decision(features_of(TABLE, MIXED))

    assert decision.tolist() == CORE.decision_function(FEATURES).tolist()


def test_where_a_model_tells_no_log_odds_they_are_those_of_its_risk() -> None:
    rows = features_of(random_table(DEFAULT_SCHEMA).dropna(), DEFAULT_SCHEMA)
    scorer = ByEstimator(bayes(), DEFAULT_SCHEMA)

    np.testing.assert_allclose(
        expit(scorer.decision(rows)), scorer.scores(rows).risk, rtol=0, atol=1e-14
    )


def test_a_risk_of_0_or_1_has_finite_log_odds() -> None:
    rows = Features(np.array([[1e9] * 3, [-1e9, 1e9, 1e9]]), ())
    scorer = ByEstimator(bayes(), DEFAULT_SCHEMA)
    assert set(scorer.scores(rows).risk) <= {0.0, 1.0}

    assert np.abs(scorer.decision(rows)) == pytest.approx(-np.log(1e-15), rel=1e-2)


def test_a_model_with_a_threshold_is_asked_as_one_without() -> None:
    estimator = ByEstimator(with_threshold(CURVED, 0.3), MIXED)

    found = estimator.scores(features_of(TABLE, MIXED))

    assert found.risk.tolist() == CURVED.predict_proba(FEATURES)[:, 1].tolist()
    assert found.outcomes.tolist() == (found.risk >= 0.3).astype(int).tolist()
