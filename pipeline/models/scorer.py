"""What a fitted model predicts of rows, and the parts that it is made of."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from pipeline.core.limits import threads_for
from pipeline.core.schema import Schema
from pipeline.data.features import Features
from pipeline.models.estimators import Model, padded, predictions_of, risk_of
from pipeline.models.manifest import ISOTONIC, SIGMOID


class ModelParts(NamedTuple):
    """The parts of a fitted model.

    `core` gives log-odds by `decision_function`, if it has one; it is the whole model if that is
    not put together as training does it.
    """

    core: Any
    calibrator: Any | None  # from log-odds to risks; None if these follow from the log-odds
    threshold: float | None  # clients at or above this risk are predicted to leave; None for 0.5


def unwrap_model(model: Any) -> ModelParts:
    """The parts of a model as training puts them together, recognised by names and shapes only."""
    core, threshold = model, getattr(model, "threshold", None)
    if (
        isinstance(threshold, float)
        and getattr(model, "response_method", None) == "predict_proba"
        and getattr(model, "pos_label", None) == 1
        and hasattr(model, "estimator")
    ):
        core = getattr(model, "estimator_", model.estimator)
    else:
        threshold = None
    curved: Sequence[Any] = getattr(core, "calibrated_classifiers_", ())
    if (
        len(curved) == 1
        and curved[0].method in {SIGMOID, ISOTONIC}
        and len(curved[0].calibrators) == 1
    ):
        return ModelParts(curved[0].estimator, curved[0].calibrators[0], threshold)
    return ModelParts(core, None, threshold)


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
        risk, threshold = risk_of(self.model, frame), unwrap_model(self.model).threshold
        if threshold is None:
            return Scores(predictions_of(self.model, frame), risk)
        return Scores((risk >= threshold).astype("int64"), risk)  # as its own `predict`

    def decision(self, frame: pd.DataFrame) -> np.ndarray:
        """The log-odds of the outcome 1 before any calibration: shape (rows,), float64."""
        if frame.empty:
            return np.empty(0)
        core = unwrap_model(self.model).core
        with threads_for(len(frame)):
            decision = core.decision_function(padded(self.model, frame))[: len(frame)]
        return np.asarray(decision, dtype="float64")
