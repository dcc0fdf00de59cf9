"""What a fitted model predicts of rows."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from sklearn.calibration import CalibratedClassifierCV
from sklearn.model_selection import FixedThresholdClassifier

from pipeline.core.limits import threads_for
from pipeline.core.schema import Schema
from pipeline.data.frames import Features
from pipeline.models.estimators import Model, padded, predictions_of, risk_of


def unwrap_model(model: Any) -> tuple[Any, float | None]:
    """What gives the log-odds in a model, and the threshold; None for 0.5."""
    threshold = None
    if isinstance(model, FixedThresholdClassifier):
        model, threshold = getattr(model, "estimator_", model.estimator), model.threshold
    if isinstance(model, CalibratedClassifierCV):
        model = model.calibrated_classifiers_[0].estimator
    return model, threshold


class Scores(NamedTuple):
    """The predicted outcome of each row, 0 or 1, and the probability of 1."""

    outcomes: np.ndarray
    risk: np.ndarray


@dataclass(frozen=True)
class Scorer:
    """A model and the schema of the rows that it is asked about."""

    model: Model
    schema: Schema

    def scores(self, rows: Features) -> Scores:
        """The outcome and the risk of each row: two arrays of shape (rows,)."""
        frame = rows.frame(self.schema)
        risk, (_, threshold) = risk_of(self.model, frame), unwrap_model(self.model)
        if threshold is None:
            return Scores(predictions_of(self.model, frame), risk)
        return Scores((risk >= threshold).astype("int64"), risk)  # as its own `predict`

    def decision(self, frame: pd.DataFrame) -> np.ndarray:
        """The log-odds of the outcome 1 before any calibration: shape (rows,), float64."""
        if frame.empty:
            return np.empty(0)
        with threads_for(len(frame)):
            found = unwrap_model(self.model)[0].decision_function(padded(self.model, frame))
        return np.asarray(found[: len(frame)], dtype="float64")
