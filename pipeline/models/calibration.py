"""Calibrated probabilities: of those a model gives 0.3, three in ten leave.

A calibrator is a rising curve from a model's log-odds to the probability. It is fitted on
out-of-fold scores, so that it sees a model as good as it is on clients it does not know.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy.special import expit
from sklearn.base import clone
from sklearn.calibration import (
    CalibratedClassifierCV,
    _CalibratedClassifier,
    _SigmoidCalibration,
)
from sklearn.isotonic import IsotonicRegression
from sklearn.metrics import brier_score_loss
from sklearn.pipeline import Pipeline

from pipeline.models.cross_validation import Folds
from pipeline.models.persistence import Model
from pipeline.models.recipe import ISOTONIC, SIGMOID, UNCALIBRATED

ISOTONIC_FROM = 1_000  # labelled rows; of fewer, a curve of free shape learns the noise
CALIBRATED_FROM = 100  # labelled rows; fewer cannot tell whether a calibration helps


class Calibrator(Protocol):
    """A fitted curve, as scikit-learn makes them."""

    def predict(self, scores: np.ndarray) -> np.ndarray:
        """The probability of the outcome 1 for log-odds: both of shape (rows,)."""


@dataclass(frozen=True)
class Calibration:
    """Whether risks are calibrated and how, and what that rests on."""

    method: str  # none, sigmoid or isotonic
    calibrator: Calibrator | None
    risk: np.ndarray  # of each row, out of fold and calibrated or not
    evidence: dict[str, float]  # the Brier scores, out of fold

    def applied(self, pipeline: Pipeline) -> Model:
        """A fitted pipeline with its curve, if it is to have one."""
        if self.calibrator is None:
            plain: Model = pipeline
            return plain
        curved: Model = _with_curve(pipeline, self.method, self.calibrator)
        return curved


def calibrate(folds: Folds, scores: np.ndarray) -> Calibration:
    """Calibrate where that lowers the cross-validated Brier score.

    `scores` are the out-of-fold log-odds of the rows, shape (rows,). The curve that is compared
    saw no row of the client; the one that is kept has seen all.
    """
    risk: np.ndarray = expit(scores)
    if len(scores) < CALIBRATED_FROM:
        return Calibration(UNCALIBRATED, None, risk, {})
    method = method_for(len(scores))
    curved = cross_calibrated(folds, scores, method)
    evidence = {
        "brier": brier(folds.outcomes, risk),
        f"brier_{method}": brier(folds.outcomes, curved),
    }
    calibrator = fitted_calibrator(method, scores, folds.outcomes)
    if evidence[f"brier_{method}"] >= evidence["brier"] or _falls(calibrator):
        return Calibration(UNCALIBRATED, None, risk, evidence)
    # by the curve that is kept: risks by five others are not spread as those it will give
    return Calibration(method, calibrator, calibrator.predict(scores), evidence)


def _falls(calibrator: Calibrator) -> bool:
    """Whether the curve turns the ranking upside down.

    Scores that say next to nothing run against the outcome out of fold, and a sigmoid follows them.
    """
    return isinstance(calibrator, _SigmoidCalibration) and calibrator.a_ >= 0


def method_for(rows: int) -> str:
    """The kind of curve for so many labelled rows: `sigmoid` or `isotonic`."""
    return SIGMOID if rows < ISOTONIC_FROM else ISOTONIC


def fitted_calibrator(method: str, scores: np.ndarray, outcomes: np.ndarray) -> Calibrator:
    """The curve from log-odds (rows,) to the probability of the outcome 1.

    Sources: Platt, Probabilistic Outputs for Support Vector Machines, 1999 (`sigmoid`); Zadrozny
    and Elkan, Transforming Classifier Scores into Accurate Multiclass Probability Estimates, KDD
    2002 (`isotonic`).
    """
    calibrator: Calibrator = (
        _SigmoidCalibration()
        if method == SIGMOID
        else IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip")
    ).fit(scores, outcomes)
    return calibrator


def cross_calibrated(folds: Folds, scores: np.ndarray, method: str) -> np.ndarray:
    """The calibrated risk of each row by a curve that saw no row of its client: shape (rows,)."""
    risk = np.empty(len(scores))
    for number in np.unique(folds.fold):
        held_out = folds.fold == number
        calibrator = fitted_calibrator(method, scores[~held_out], folds.outcomes[~held_out])
        risk[held_out] = calibrator.predict(scores[held_out])
    return risk


def brier(outcomes: np.ndarray, risk: np.ndarray) -> float:
    """The mean squared error of the risk: Brier, Monthly Weather Review 78(1), 1950."""
    return float(brier_score_loss(outcomes, risk))


def _with_curve(pipeline: Pipeline, method: str, calibrator: Calibrator) -> CalibratedClassifierCV:
    """A fitted pipeline and its curve as one estimator of scikit-learn's.

    It is put together here because scikit-learn's own `fit` would fit the pipeline once more for
    each fold, and knows nothing of clients.
    """
    untrained = clone(pipeline)  # what a fitted one holds is in the pickle once, not twice
    model = CalibratedClassifierCV(untrained, method=method, ensemble=False)
    model.classes_ = pipeline.classes_
    model.n_features_in_ = pipeline.n_features_in_
    model.feature_names_in_ = pipeline.feature_names_in_
    model.calibrated_classifiers_ = [
        _CalibratedClassifier(pipeline, [calibrator], classes=model.classes_, method=method)
    ]
    return model
