"""Calibrated probabilities: of the clients with a risk of 0.3, three in ten leave.

A calibrator is a rising curve from a model's log-odds to the probability. It is fitted on
out-of-fold scores, which are as good as the model's are on clients it has not seen.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy.special import expit
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV, _CalibratedClassifier, _SigmoidCalibration
from sklearn.isotonic import IsotonicRegression
from sklearn.metrics import brier_score_loss
from sklearn.pipeline import Pipeline

from pipeline.models.cross_validation import Folds, first_times
from pipeline.models.estimators import Model
from pipeline.models.manifest import ISOTONIC, SIGMOID, UNCALIBRATED

MAX_LOG_ODDS = 700  # beyond it a risk is 0 or 1 to the last digit, and exp overflows
MIN_CALIBRATED_ROWS = 100  # labelled; fewer cannot show whether calibration helps
MIN_ISOTONIC_LEAVERS = 500  # on fewer, a curve of free shape fits the noise


class Calibrator(Protocol):
    """A fitted curve, as scikit-learn makes them."""

    def predict(self, scores: np.ndarray) -> np.ndarray:
        """The probability of the outcome 1 for log-odds: both of shape (rows,)."""


@dataclass(frozen=True)
class Calibration:
    """Whether risks are calibrated and how, and on which evidence."""

    method: str  # none, sigmoid or isotonic
    calibrator: Calibrator | None
    risk: np.ndarray  # of each row, out of fold, calibrated or not
    evidence: dict[str, float]  # the Brier scores, out of fold

    def apply(self, pipeline: Pipeline) -> Model:
        """The fitted pipeline with the calibrator, if there is one."""
        if self.calibrator is None:
            plain: Model = pipeline
            return plain
        curved: Model = _with_curve(pipeline, self.method, self.calibrator)
        return curved


def calibrate(folds: Folds, scores: np.ndarray) -> Calibration:
    """Calibrate where that lowers the cross-validated Brier score.

    `scores` are the out-of-fold log-odds of the rows, shape (rows,). The score is that of curves
    which saw no row of the client; the curve that is kept has seen all rows.
    """
    risk: np.ndarray = expit(scores)
    if len(scores) < MIN_CALIBRATED_ROWS:
        return Calibration(UNCALIBRATED, None, risk, {})
    method = method_for(folds.outcomes[first_times(folds.frame)])
    curved = cross_calibrated(folds, scores, method)
    evidence = {
        "brier": float(brier_score_loss(folds.outcomes, risk)),
        f"brier_{method}": float(brier_score_loss(folds.outcomes, curved)),
    }
    calibrator = fitted_calibrator(method, scores, folds.outcomes)
    if evidence[f"brier_{method}"] >= evidence["brier"] or _is_falling(calibrator):
        return Calibration(UNCALIBRATED, None, risk, evidence)
    # risks by the five other curves are distributed differently from those of the one kept
    return Calibration(method, calibrator, calibrator.predict(scores), evidence)


def _is_falling(calibrator: Calibrator) -> bool:
    """Whether the curve reverses the ranking.

    Scores with next to no signal run against the outcome out of fold, and a sigmoid follows them.
    """
    return isinstance(calibrator, _SigmoidCalibration) and calibrator.a_ >= 0


def method_for(outcomes: np.ndarray) -> str:
    """The kind of curve for rows of these outcomes, shape (rows,): `sigmoid` or `isotonic`."""
    return SIGMOID if outcomes.sum() < MIN_ISOTONIC_LEAVERS else ISOTONIC


def fitted_calibrator(method: str, scores: np.ndarray, outcomes: np.ndarray) -> Calibrator:
    """The curve from log-odds (rows,) to the probability of the outcome 1, which rises strictly.

    Sources: Platt, Probabilistic Outputs for Support Vector Machines, 1999 (`sigmoid`); Zadrozny
    and Elkan, Transforming Classifier Scores into Accurate Multiclass Probability Estimates, KDD
    2002 (`isotonic`).
    """
    if method == ISOTONIC:
        return _isotonic(scores, outcomes)
    curve: Calibrator = _SigmoidCalibration().fit(scores, outcomes)
    return curve


def _isotonic(scores: np.ndarray, outcomes: np.ndarray) -> Calibrator:
    """Straight lines between the middles of the steps of isotonic regression.

    So clients of one step differ in risk as in score. Source: Jiang and others, Smooth Isotonic
    Regression, AMIA Summits on Translational Science 2011, with lines in place of cubic curves.
    Steps lie between Platt's targets in place of 0 and 1, so that the lines beyond the first and
    the last rise too.
    """
    steps = IsotonicRegression().fit(scores, outcomes).predict(scores)
    # rounded, as the last digits make two steps of one
    risks, step = np.unique(steps.round(12), return_inverse=True)
    middles = np.bincount(step, weights=scores) / np.bincount(step)
    left = outcomes.sum()
    lowest, highest = 1 / (len(outcomes) - left + 2), (left + 1) / (left + 2)
    points = [middles[0] - MAX_LOG_ODDS, *middles, middles[-1] + MAX_LOG_ODDS]
    heights = [0.0, *(lowest + (highest - lowest) * risks), 1.0]
    curve: Calibrator = IsotonicRegression(out_of_bounds="clip").fit(points, heights)
    return curve


def cross_calibrated(folds: Folds, scores: np.ndarray, method: str) -> np.ndarray:
    """The calibrated risk of each row by a curve that saw no row of its client: shape (rows,)."""

    def score(known: np.ndarray, held_out: np.ndarray) -> np.ndarray:
        calibrator = fitted_calibrator(method, scores[known], folds.outcomes[known])
        return calibrator.predict(scores[held_out])

    return folds.out_of_fold(score)


def _with_curve(pipeline: Pipeline, method: str, calibrator: Calibrator) -> CalibratedClassifierCV:
    """A fitted pipeline and its calibrator as one scikit-learn estimator.

    scikit-learn's own `fit` would fit the pipeline again for each fold, and ignore clients.
    """
    untrained = clone(pipeline)  # so that the fitted parts are in the pickle once, not twice
    model = CalibratedClassifierCV(untrained, method=method, ensemble=False)
    model.classes_ = pipeline.classes_
    model.n_features_in_ = pipeline.n_features_in_
    model.feature_names_in_ = pipeline.feature_names_in_
    model.calibrated_classifiers_ = [
        _CalibratedClassifier(pipeline, [calibrator], classes=model.classes_, method=method)
    ]
    return model
