"""From a model's log-odds to risks and decisions: calibrated probabilities, and the threshold.

Of the clients with a calibrated risk of 0.3, three in ten leave; clients at or above the threshold
are predicted to leave. Both are found on out-of-fold scores, which are as good as the model's are
on clients it has not seen.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV, _CalibratedClassifier, _SigmoidCalibration
from sklearn.isotonic import IsotonicRegression
from sklearn.metrics import brier_score_loss, precision_recall_curve
from sklearn.model_selection import FixedThresholdClassifier

from pipeline.core.errors import ModelError
from pipeline.core.policy import Worth
from pipeline.models.cross_validation import Folds, first_times
from pipeline.models.estimators import Model
from pipeline.models.manifest import HALF, ISOTONIC, SIGMOID, UNCALIBRATED

MAX_LOG_ODDS = 700  # beyond it a risk is 0 or 1 to the last digit, and exp overflows
MIN_CALIBRATED_ROWS = 100  # labelled; fewer cannot show whether calibration helps
MIN_ISOTONIC_LEAVERS = 500  # on fewer, a curve of free shape fits the noise


@dataclass(frozen=True)
class Calibration:
    """Whether risks are calibrated and how, and on which evidence."""

    method: str  # none, sigmoid or isotonic
    calibrator: Any  # its `predict` gives risks for log-odds: both of shape (rows,); or None
    risk: np.ndarray  # of each row, out of fold, calibrated or not
    evidence: dict[str, float]  # the Brier scores, out of fold

    def apply(self, pipeline: Any) -> Any:
        """The fitted pipeline with the calibrator, if there is one, as one estimator.

        scikit-learn's own `fit` would fit the pipeline again for each fold, and ignore clients.
        """
        if self.calibrator is None:
            return pipeline
        untrained = clone(pipeline)  # so that the fitted parts are in the pickle once, not twice
        curved = CalibratedClassifierCV(untrained, method=self.method, ensemble=False)
        for fitted in ("classes_", "n_features_in_", "feature_names_in_"):
            setattr(curved, fitted, getattr(pipeline, fitted))
        inner = _CalibratedClassifier(
            pipeline, [self.calibrator], classes=pipeline.classes_, method=self.method
        )
        curved.calibrated_classifiers_ = [inner]
        return curved


def calibrate(folds: Folds, scores: np.ndarray) -> Calibration:
    """Calibrate where that lowers the cross-validated Brier score.

    `scores` are the out-of-fold log-odds of the rows, shape (rows,). The score is that of curves
    which saw no row of the client; the curve that is kept has seen all rows.
    """
    risk: np.ndarray = expit(scores)
    if len(scores) < MIN_CALIBRATED_ROWS:
        return Calibration(UNCALIBRATED, None, risk, {})
    left = folds.outcomes[first_times(folds.frame)].sum()
    method = SIGMOID if left < MIN_ISOTONIC_LEAVERS else ISOTONIC

    def by_others(known: np.ndarray, held_out: np.ndarray) -> np.ndarray:
        curve = fitted_calibrator(method, scores[known], folds.outcomes[known])
        calibrated: np.ndarray = curve.predict(scores[held_out])
        return calibrated

    evidence = {
        "brier": float(brier_score_loss(folds.outcomes, risk)),
        f"brier_{method}": float(brier_score_loss(folds.outcomes, folds.out_of_fold(by_others))),
    }
    curve = fitted_calibrator(method, scores, folds.outcomes)
    # scores with next to no signal run against the outcome out of fold, and a sigmoid with them
    falls = method == SIGMOID and curve.a_ >= 0
    if evidence[f"brier_{method}"] >= evidence["brier"] or falls:
        return Calibration(UNCALIBRATED, None, risk, evidence)
    # risks by the five other curves are distributed differently from those of the one kept
    return Calibration(method, curve, curve.predict(scores), evidence)


def fitted_calibrator(method: str, scores: np.ndarray, outcomes: np.ndarray) -> Any:
    """The curve from log-odds (rows,) to the probability of the outcome 1, which rises strictly.

    Isotonic regression has straight lines between the middles of its steps, so that clients of one
    step differ in risk as in score; steps lie between Platt's targets in place of 0 and 1, so that
    the lines beyond the first and the last rise too. Sources: Platt, Probabilistic Outputs for
    Support Vector Machines, 1999 (`sigmoid`); Zadrozny and Elkan, Transforming Classifier Scores
    into Accurate Multiclass Probability Estimates, KDD 2002 (`isotonic`); Jiang and others, Smooth
    Isotonic Regression, AMIA Summits on Translational Science 2011, here with lines for curves.
    """
    if method == SIGMOID:
        return _SigmoidCalibration().fit(scores, outcomes)
    steps = IsotonicRegression().fit(scores, outcomes).predict(scores)
    # rounded, as the last digits make two steps of one
    risks, step = np.unique(steps.round(12), return_inverse=True)
    middles = np.bincount(step, weights=scores) / np.bincount(step)
    left = outcomes.sum()
    lowest, highest = 1 / (len(outcomes) - left + 2), (left + 1) / (left + 2)
    points = [middles[0] - MAX_LOG_ODDS, *middles, middles[-1] + MAX_LOG_ODDS]
    heights = [0.0, *(lowest + (highest - lowest) * risks), 1.0]
    return IsotonicRegression(out_of_bounds="clip").fit(points, heights)


def f1_threshold(outcomes: np.ndarray, risk: np.ndarray) -> float:
    """The threshold with the highest F1 on these rows, whose risk must be out-of-fold.

    The highest of several that are as good. It lies halfway to the next lower risk, so that a risk
    that differs in its last digit only falls on the same side. Source of the score: van Rijsbergen,
    Information Retrieval, 1979; all thresholds are tried.
    """
    precision, recall, thresholds = precision_recall_curve(outcomes, risk)
    with np.errstate(invalid="ignore"):
        f1 = np.nan_to_num(2 * precision * recall / (precision + recall))[:-1]
    best = int(np.flatnonzero(f1 == f1.max())[-1])
    lower = thresholds[best - 1] if best else 0.0
    return float((lower + thresholds[best]) / 2)


def value_threshold(worth: Worth, frame: pd.DataFrame) -> tuple[float, str]:
    """The least risk where risk * save_rate * value > cost, and this rule in words.

    If each client has a value of its own, the median counts here, over the labelled rows in `frame`
    of clients whom it can pay to contact; the ranking uses each client's own. Raises `ModelError`
    if it can pay for nobody. Source: Elkan, The Foundations of Cost-Sensitive Learning, IJCAI 2001.
    """
    cost, rate = worth.contact_cost, worth.save_rate
    if cost is None or rate is None or worth.client_value is None:
        raise ModelError('the threshold "value" needs contact_cost, client_value and save_rate')
    values = np.array([worth.of_all]) if worth.of_all else frame[str(worth.column)].to_numpy()
    pays = values[values * rate > cost]
    if not len(pays) and worth.measured:  # what is measured may say so, which is no mistake
        return 1.0, f"nobody's: at a save rate of {rate:g} no contact pays"
    if not len(pays):
        whose = f'the "{worth.column}" of any labelled row' if worth.column else f"{worth.of_all:g}"
        raise ModelError(
            f"no client is worth contacting: contact_cost {cost:g} is no less than save_rate"
            f" {rate:g} * client_value ({whose})"
        )
    value = float(np.median(pays))
    used = f"{value:g}" + (f' (the median "{worth.column}")' if worth.column else "")
    least = math.nextafter(cost / (rate * value), 1)  # more than the cost, not as much
    return least, f"where risk * {rate:g} * {used} exceeds {cost:g}"


def with_threshold(model: Model, threshold: float) -> Model:
    """The model with `predict` by this threshold: 1 if the risk is not below it.

    An uncalibrated model's own threshold is 0.5, so it is returned as it is. Of a calibrated model
    many rows may have a risk of exactly 0.5, for which its own `predict` gives 0.
    """
    if threshold == HALF and not hasattr(model, "calibrated_classifiers_"):
        return model
    fixed: Model = FixedThresholdClassifier(
        model, threshold=threshold, pos_label=1, response_method="predict_proba"
    )
    fixed.feature_names_in_ = model.feature_names_in_  # which its own `fit` would set
    return fixed
