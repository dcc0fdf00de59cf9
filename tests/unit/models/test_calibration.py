import numpy as np
import pandas as pd
import pytest
from modelling import MIXED, random_table
from scipy.special import expit
from sklearn.isotonic import IsotonicRegression
from sklearn.metrics import brier_score_loss

from pipeline.core.schema import Schema
from pipeline.models.calibration import (
    MIN_CALIBRATED_ROWS,
    MIN_ISOTONIC_LEAVERS,
    calibrate,
    fitted_calibrator,
)
from pipeline.models.cross_validation import Folds, folds_of
from pipeline.models.estimators import fit_model, risk_of
from pipeline.models.persistence import pickled
from pipeline.models.unpickling import unpickle

SCHEMA = Schema("client", "left", ("odds",))


def table(rows: int, seed: int = 0) -> tuple[Folds, np.ndarray]:
    """Labelled rows, a client each, with the log-odds by which each left."""
    random = np.random.default_rng(seed)
    odds = random.normal(-1, 1.5, rows)
    left = (random.random(rows) < expit(odds)).astype(float)
    frame = pd.DataFrame({"client": [f"c{i}" for i in range(rows)], "odds": odds, "left": left})
    folds = folds_of(frame, SCHEMA, 0)
    assert folds
    return folds, odds


def error(risk: np.ndarray, odds: np.ndarray) -> float:
    return float(np.abs(risk - expit(odds)).mean())


@pytest.mark.parametrize("rows", [500, 5000])
def test_scores_that_are_too_sure_are_calibrated(rows: int) -> None:
    folds, odds = table(rows)
    found = calibrate(folds, 3 * odds)
    left = folds.outcomes.sum()
    assert found.method == ("isotonic" if left >= MIN_ISOTONIC_LEAVERS else "sigmoid")
    assert found.evidence[f"brier_{found.method}"] < found.evidence["brier"]
    assert error(found.risk, odds) < error(expit(3 * odds), odds) / 3


@pytest.mark.slow
def test_a_curve_is_kept_only_where_it_lowers_the_brier_score() -> None:
    kept = []
    for seed in range(12):
        folds, odds = table(500, seed)
        found = calibrate(folds, odds)  # scores that are right, but for the luck of the draw
        kept.append(found.method == "sigmoid")
        assert kept[-1] == (found.evidence["brier_sigmoid"] < found.evidence["brier"])
        assert kept[-1] == (found.calibrator is not None)
        assert kept[-1] or (found.risk == expit(odds)).all()
    assert 0 < sum(kept) < 6


def test_a_curve_never_turns_the_ranking_upside_down() -> None:
    fell = 0
    for seed in range(20):
        random = np.random.default_rng(1000 + seed)
        folds, _ = table(300, seed)
        noise = random.normal(0, 1, 300) - 0.2 * (folds.outcomes - folds.outcomes.mean())
        found = calibrate(folds, noise)
        curve = fitted_calibrator("sigmoid", noise, folds.outcomes)
        fell += curve.predict(np.array([0.0]))[0] > curve.predict(np.array([1.0]))[0]
        if found.calibrator:
            low, high = found.calibrator.predict(np.array([0.0, 1.0]))
            assert low < high
    assert fell > 5


def test_the_risk_is_as_the_kept_curve_spreads_it() -> None:
    folds, odds = table(3000)
    found = calibrate(folds, 3 * odds)
    assert found.calibrator
    assert (found.risk == found.calibrator.predict(3 * odds)).all()


@pytest.mark.parametrize("method", ["sigmoid", "isotonic"])
def test_a_higher_score_is_a_higher_risk_also_beyond_all_scores(method: str) -> None:
    folds, odds = table(3000)
    sure = np.where(np.abs(odds) > 3, np.sign(odds) > 0, folds.outcomes)  # else no step at 0 or 1
    curve = fitted_calibrator(method, odds, sure)
    risks = curve.predict(np.array([-35, *np.unique(odds.round(6)), 35]))
    assert (np.diff(risks) > 0).all()
    assert 0 < risks[0] < risks[-1] < 1


def test_between_its_steps_an_isotonic_curve_is_as_right_as_on_them() -> None:
    gains = []
    for seed in range(10):
        folds, odds = table(3000, seed)
        steps = IsotonicRegression(out_of_bounds="clip").fit(3 * odds, folds.outcomes)
        curve = fitted_calibrator("isotonic", 3 * odds, folds.outcomes)
        gains.append(error(steps.predict(3 * odds), odds) - error(curve.predict(3 * odds), odds))
    assert np.mean(gains) > 0


def test_few_rows_are_not_calibrated() -> None:
    folds, odds = table(MIN_CALIBRATED_ROWS - 1)
    found = calibrate(folds, 3 * odds)
    assert (found.method, found.evidence) == ("none", {})


def test_the_curve_that_is_judged_has_not_seen_the_client() -> None:
    folds, odds = table(2000)
    found, risk = calibrate(folds, 3 * odds), np.empty(2000)
    for number in range(5):
        seen = folds.fold != number
        curve = fitted_calibrator(found.method, 3 * odds[seen], folds.outcomes[seen])
        risk[~seen] = curve.predict(3 * odds[~seen])
    assert found.evidence[f"brier_{found.method}"] == brier_score_loss(folds.outcomes, risk)


@pytest.mark.parametrize("rows", [400, 1200])
@pytest.mark.parametrize("kind", ["logistic", "boosting"])
def test_a_calibrated_model_is_one_estimator(kind: str, rows: int) -> None:
    frame = random_table(MIXED, rows)
    folds = folds_of(frame, MIXED, 0)
    assert folds
    pipeline = fit_model(kind, frame, MIXED)
    scores = pipeline.decision_function(frame[list(MIXED.features)])
    found = calibrate(folds, 0.1 * scores)
    assert found.calibrator
    model = found.apply(pipeline)
    assert np.allclose(risk_of(model, frame), found.calibrator.predict(scores))
    loaded = unpickle(pickled(model))
    assert (risk_of(loaded, frame) == risk_of(model, frame)).all()
    assert list(loaded.feature_names_in_) == list(MIXED.features)
    assert len(pickled(model)) < 1.2 * len(pickled(pipeline)) + 60_000


def test_a_model_without_a_curve_stays_what_it_is() -> None:
    frame = random_table(MIXED)
    pipeline = fit_model("logistic", frame, MIXED)
    folds = folds_of(frame, MIXED, 0)
    assert folds
    assert calibrate(folds, np.where(folds.outcomes == 1, 9.0, -9.0)).apply(pipeline) is pipeline
