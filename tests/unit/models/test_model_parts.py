"""The parts of models, and the numbers of their calibrators against the calibrators."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from modelling import MIXED, core_of, random_table
from scipy.special import expit
from sklearn.calibration import CalibratedClassifierCV
from sklearn.isotonic import IsotonicRegression
from sklearn.model_selection import FixedThresholdClassifier

from pipeline.models.calibration import Calibration, fitted_calibrator
from pipeline.models.model_parts import PLAIN, Curve, Isotonic, ModelParts, curve_of, unwrap_model
from pipeline.models.threshold import with_threshold

TABLE = random_table(MIXED)
FEATURES, OUTCOMES = TABLE[list(MIXED.features)], TABLE[MIXED.outcome].to_numpy()
CORE: Any = core_of(MIXED, "logistic")
CALIBRATOR: Any = fitted_calibrator("isotonic", CORE.decision_function(FEATURES), OUTCOMES)
CURVED: Any = Calibration("isotonic", CALIBRATOR, np.empty(0), {}).apply(CORE)


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


# the numbers of calibrators

RANDOM = np.random.default_rng(3)
SCORES = RANDOM.normal(0, 2, 500)
OUTCOMES = (SCORES + RANDOM.normal(0, 2, 500) > 0).astype("float64")
CALIBRATORS: dict[str, Any] = {
    method: fitted_calibrator(method, SCORES, OUTCOMES) for method in ("sigmoid", "isotonic")
}
CURVES: dict[str, Curve] = {
    "plain": PLAIN,
    **{method: curve_of(calibrator) for method, calibrator in CALIBRATORS.items()},
}
DECISIONS = st.floats(-1e100, 1e100) | st.floats(-5, 5) | st.sampled_from(SCORES.tolist())


@pytest.mark.parametrize("method", CALIBRATORS)
@settings(deadline=None)
@given(st.lists(DECISIONS, min_size=1, max_size=9))
def test_a_curve_gives_what_the_calibrator_gives(method: str, decisions: list[float]) -> None:
    found = CURVES[method].risk(np.array(decisions))

    expected = CALIBRATORS[method].predict(np.array(decisions))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-15)


@settings(deadline=None)
@given(st.lists(DECISIONS, min_size=1, max_size=9))
def test_without_a_calibrator_log_odds_are_taken_at_their_word(decisions: list[float]) -> None:
    np.testing.assert_allclose(
        PLAIN.risk(np.array(decisions)), expit(decisions), rtol=0, atol=1e-15
    )


def test_the_points_of_a_curve_are_met_to_the_last_digit() -> None:
    curve = CURVES["isotonic"]
    assert isinstance(curve, Isotonic)
    points = curve.decisions

    assert curve.risk(points).tolist() == curve.risks.tolist()


def test_a_curve_of_one_point_is_level() -> None:
    curve = curve_of(IsotonicRegression(out_of_bounds="clip").fit([2.0, 2.0], [0.0, 1.0]))

    assert curve.risk(np.array([-9.0, 2.0, 9.0])).tolist() == [0.5, 0.5, 0.5]


def test_a_curve_that_ends_is_refused() -> None:
    with pytest.raises(ValueError, match="ends"):
        curve_of(IsotonicRegression(out_of_bounds="nan").fit(SCORES, OUTCOMES))
