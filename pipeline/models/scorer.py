"""The quickest way to predict rows with a model that gives what the model itself gives.

Predicting a row from a model's numbers takes a hundredth of the time that its DataFrame takes.
"""

import logging
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd

from pipeline.core.schema import LARGEST_NUMBER, Schema
from pipeline.core.threads import threads_for
from pipeline.data.features import Features, features_of
from pipeline.models.estimators import Model, predictions_of, risk_of
from pipeline.models.fast_linear import Linear, linear_of
from pipeline.models.fast_trees import Trees, trees_of
from pipeline.models.manifest import HALF, ModelManifest
from pipeline.models.model_parts import (
    PLAIN,
    PUT_TOGETHER_DIFFERENTLY,
    Curve,
    curve_of,
    unwrap_model,
)

log = logging.getLogger(__name__)

UNKNOWN = "\0 unknown"
MIXED = 200
# the same sums in another order; a decision may be as large as the largest number
RISK_TOLERANCE = 1e-12
DECISION_TOLERANCE = 1e-9


class Scores(NamedTuple):
    """The predicted outcome of each row, 0 or 1, and the probability of 1."""

    outcomes: np.ndarray
    risk: np.ndarray


@dataclass(frozen=True)
class ByEstimator:
    """The model itself, given a DataFrame: right for any model."""

    model: Model
    schema: Schema

    def scores(self, rows: Features) -> Scores:
        """The outcome and the risk of each row: two arrays of shape (rows,)."""
        frame = rows.frame(self.schema)
        return Scores(predictions_of(self.model, frame), risk_of(self.model, frame))

    def decision(self, rows: Features) -> np.ndarray:
        """The log-odds of the outcome 1 before any calibration: shape (rows,), float64."""
        frame = rows.frame(self.schema)
        if frame.empty:
            return np.empty(0)
        core = unwrap_model(self.model).core
        with threads_for(len(frame)):
            decision = core.decision_function(frame[list(self.model.feature_names_in_)])
        return np.asarray(decision, dtype="float64")


@dataclass(frozen=True)
class ByNumbers:
    """The numbers of a model."""

    core: Linear | Trees
    curve: Curve | None = None
    threshold: float | None = None

    def scores(self, rows: Features) -> Scores:
        """The outcome and the risk of each row: two arrays of shape (rows,).

        Outcomes as scikit-learn's estimators predict them: a pipeline 1 if the log-odds are above
        0, a calibrated one if the risk is above a half, one with a threshold if the risk is not
        below it.
        """
        decision = self.core.decision(rows)
        risk = (self.curve or PLAIN).risk(decision)
        if self.threshold is not None:
            outcomes = risk >= self.threshold
        else:
            outcomes = risk > HALF if self.curve else decision > 0
        return Scores(outcomes.astype("int64"), risk)

    def decision(self, rows: Features) -> np.ndarray:
        """The log-odds of the outcome 1 before any calibration: shape (rows,), float64."""
        return self.core.decision(rows)


Scorer = ByEstimator | ByNumbers  # the ways to predict with a model


def scorer_of(model: Model, manifest: ModelManifest) -> Scorer:
    """The quickest way to predict with a model that gives what the model gives."""
    estimator = ByEstimator(model, manifest.schema)
    quick = numbers_of(model)
    if quick is None:
        return estimator
    if not agrees(quick, estimator, probing_rows(manifest)):
        log.warning("the model's numbers do not give what the model gives: the model is used")
        return estimator
    return quick


def numbers_of(model: Model) -> ByNumbers | None:
    """The numbers of a model as training makes it; None for any other model.

    It is recognised by names and shapes only: see `agrees`.
    """
    try:
        core, calibrator, threshold = unwrap_model(model)
        curve = None if calibrator is None else curve_of(calibrator)
    except PUT_TOGETHER_DIFFERENTLY:
        return None
    found = linear_of(core) or trees_of(core)
    return ByNumbers(found, curve, threshold) if found else None


def agrees(quick: ByNumbers, estimator: ByEstimator, probes: Features) -> bool:
    """Whether the numbers give what the model gives for each of these rows.

    Log-odds and curve are compared one by one: on a steep piece of a curve the last digit of the
    log-odds may be the first of the risk.
    """
    try:
        ours, theirs = quick.scores(probes), estimator.scores(probes)
        decision = estimator.decision(probes)
    except (AttributeError, TypeError, ValueError) as error:  # it accepts other rows than these
        log.warning("the model cannot be compared with its numbers: %r", error)
        return False
    curve, found = quick.curve or PLAIN, quick.decision(probes)
    return bool(
        np.allclose(found, decision, rtol=DECISION_TOLERANCE, atol=DECISION_TOLERANCE)
        # near log-odds of 0 a risk shows smaller differences
        and np.allclose(PLAIN.risk(found), PLAIN.risk(decision), rtol=0, atol=RISK_TOLERANCE)
        and np.allclose(curve.risk(decision), theirs.risk, rtol=0, atol=RISK_TOLERANCE)
        and (ours.outcomes == theirs.outcomes).all()
    )


def probing_rows(manifest: ModelManifest) -> Features:
    """Rows on which two ways to predict are compared: those of the self-check and variations.

    In a variation one feature is missing, huge or, if it is a category, unknown. In `MIXED` more
    rows each number is a random multiple of one of the self-check, which may cross any edge.
    """
    schema = manifest.schema
    checked = pd.DataFrame(manifest.self_check.rows, columns=list(schema.features))
    extremes = (np.nan, LARGEST_NUMBER, -LARGEST_NUMBER)
    changes: list[dict[str, float | str]] = [{}]
    changes += [{name: number} for name in schema.numeric for number in extremes]
    changes += [{name: text} for name in schema.categorical for text in ("", UNKNOWN)]
    random = np.random.default_rng(0)
    mixed = pd.DataFrame(
        {name: random.choice(checked[name].to_numpy(), MIXED) for name in schema.features}
    )
    mixed[list(schema.numeric)] *= random.normal(1, 1, (MIXED, len(schema.numeric)))
    rows = pd.concat([*(checked.assign(**change) for change in changes), mixed])
    return features_of(rows, schema)
