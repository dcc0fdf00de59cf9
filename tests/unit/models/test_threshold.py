import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from modelling import MIXED, random_table
from sklearn.isotonic import IsotonicRegression
from sklearn.metrics import f1_score

from pipeline.core.errors import ModelError
from pipeline.core.policy import Worth
from pipeline.core.schema import Schema
from pipeline.models.calibration import Calibration, f1_threshold, value_threshold, with_threshold
from pipeline.models.estimators import fit_model, predictions_of, risk_of

SCHEMA = Schema("id", "left", ("balance",))
FRAME = pd.DataFrame({"balance": [100.0, 200.0, 900.0, math.nan]})


@given(
    st.lists(
        st.tuples(st.integers(0, 1), st.sampled_from([0.0, 0.1, 0.25, 0.3, 0.7, 0.99, 1.0])),
        min_size=2,
    ).filter(lambda rows: any(outcome for outcome, _ in rows))
)
def test_no_threshold_has_a_higher_f1(rows: list[tuple[int, float]]) -> None:
    outcomes, risk = (np.array(column) for column in zip(*rows, strict=True))
    threshold = f1_threshold(outcomes, risk)
    best = max(f1_score(outcomes, risk >= other, zero_division=0) for other in np.unique(risk))
    assert f1_score(outcomes, risk >= threshold, zero_division=0) == pytest.approx(best)


def test_of_equally_good_thresholds_the_highest_is_taken() -> None:
    outcomes, risk = np.array([0, 1, 0, 1]), np.array([0.2, 0.3, 0.4, 0.9])
    # 0.3 and up finds both of three (F1 0.8), 0.9 and up one of one (0.67)
    assert f1_threshold(outcomes, risk) == pytest.approx(0.25)
    # F1 is 2/3 both for 0.9 alone and for all of them
    assert f1_threshold(np.array([1, 0, 0, 1]), np.array([0.1, 0.2, 0.3, 0.9])) == pytest.approx(
        0.6
    )


def test_the_line_lies_where_a_contact_pays() -> None:
    threshold, rule = value_threshold(Worth(1000.0, 50.0, 0.25), FRAME)
    assert threshold == pytest.approx(0.2)
    assert rule == "where risk * 0.25 * 1000 exceeds 50"
    assert threshold > 0.2  # as much as the cost is not more than it


def test_of_a_column_the_median_of_those_worth_a_contact_decides() -> None:
    assert value_threshold(Worth("balance", 10.0, 0.5), FRAME)[0] == pytest.approx(0.1)
    threshold, rule = value_threshold(Worth("balance", 60.0, 0.5), FRAME)  # 100 is not worth it
    assert threshold == pytest.approx(60 / (0.5 * 550))
    assert rule == 'where risk * 0.5 * 550 (the median "balance") exceeds 60'


@pytest.mark.parametrize("balance", [[0.0], [-5.0], [math.nan], [10.0]])
def test_a_contact_that_never_pays_is_reported(balance: list[float]) -> None:
    with pytest.raises(ModelError) as caught:
        value_threshold(Worth("balance", 10.0, 0.5), pd.DataFrame({"balance": balance}))
    assert str(caught.value) == (
        "no client is worth contacting: contact_cost 10 is no less than save_rate 0.5"
        ' * client_value (the "balance" of any labelled row)'
    )


def test_by_a_measured_save_rate_it_may_be_that_no_contact_pays() -> None:
    found = value_threshold(Worth(100.0, 10.0, 0.05, measured=True), FRAME)
    assert found == (1.0, "nobody's: at a save rate of 0.05 no contact pays")


@pytest.mark.parametrize("kind", ["logistic", "boosting"])
def test_predict_goes_by_the_threshold(kind: str) -> None:
    frame = random_table(MIXED)
    model = with_threshold(fit_model(kind, frame, MIXED), 0.2)
    risk = risk_of(model, frame)
    assert ((risk >= 0.2) & (risk < 0.5)).mean() > 0.05
    assert (predictions_of(model, frame) == (risk >= 0.2)).all()


def test_a_half_is_what_a_model_has_by_nature() -> None:
    model = fit_model("logistic", random_table(MIXED), MIXED)
    assert with_threshold(model, 0.5) is model


def test_of_a_calibrated_model_a_risk_of_a_half_reaches_the_threshold() -> None:
    frame = random_table(MIXED)
    pipeline = fit_model("logistic", frame, MIXED)
    scores = pipeline.decision_function(frame[list(MIXED.features)])
    curve = IsotonicRegression(out_of_bounds="clip").fit([-1.0, 1.0], [0.5, 0.5])
    calibrated = Calibration("isotonic", curve, scores, {}).apply(pipeline)
    at_half = risk_of(calibrated, frame) == 0.5
    assert at_half.all()
    assert (predictions_of(calibrated, frame)[at_half] == 0).all()  # by its own rule
    assert (predictions_of(with_threshold(calibrated, 0.5), frame)[at_half] == 1).all()
