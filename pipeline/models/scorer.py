"""Asking a model for the rows of a request: quickly where that is proven, else as it is."""

import logging
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, Protocol

import numpy as np

from pipeline.core.schema import Schema
from pipeline.core.threads import threads_for
from pipeline.data.features import Features
from pipeline.models.anatomy import unwrap_model
from pipeline.models.curves import PLAIN, Curve, curve_of
from pipeline.models.fast_linear import linear_of
from pipeline.models.manifest import ModelManifest
from pipeline.models.persistence import Model, predictions_of, risk_of
from pipeline.models.probes import Landmarks, probing_rows
from pipeline.models.recipe import HALF
from pipeline.models.treetables import trees_of

log = logging.getLogger(__name__)

# the same sums in another order; a decision may be as large as the largest number
RISK_TOLERANCE = 1e-12
DECISION_TOLERANCE = 1e-9
SMALLEST_RISK = 1e-15  # in place of 0, which has no log-odds


class Scores(NamedTuple):
    """What a model says of rows: the outcome of each, 0 or 1, and the probability of 1."""

    outcomes: np.ndarray
    risk: np.ndarray


class Scorer(Protocol):
    """A way to ask a model."""

    def scores(self, rows: Features) -> Scores:
        """The outcome and the risk of each row: two arrays of shape (rows,)."""

    def decision(self, rows: Features) -> np.ndarray:
        """The log-odds of the outcome 1 before any calibration: shape (rows,), float64."""


class Core(Protocol):
    """What scores rows in a model, reduced to its numbers."""

    @property
    def landmarks(self) -> Landmarks:
        """What it tells apart."""

    def decision(self, rows: Features) -> np.ndarray:
        """The log-odds of the outcome 1 for each row: shape (rows,)."""


@dataclass(frozen=True)
class ByEstimator:
    """The model itself, asked with a DataFrame: right for every model there is."""

    model: Model
    schema: Schema

    def scores(self, rows: Features) -> Scores:
        """Ask the model."""
        frame = rows.frame(self.schema)
        return Scores(predictions_of(self.model, frame), risk_of(self.model, frame))

    def decision(self, rows: Features) -> np.ndarray:
        """Ask what scores in the model; where it tells no log-odds, those of its risk.

        A risk of 0 or 1 counts as 1e-15 short of it then.
        """
        frame = rows.frame(self.schema)
        if frame.empty:
            return np.empty(0)
        with threads_for(len(frame)):
            if not hasattr(self._core, "decision_function"):
                risk = np.clip(risk_of(self.model, frame), SMALLEST_RISK, 1 - SMALLEST_RISK)
                odds: np.ndarray = np.log(risk) - np.log1p(-risk)
                return odds
            decision = self._core.decision_function(frame[list(self.model.feature_names_in_)])
        return np.asarray(decision, dtype="float64")

    @cached_property
    def _core(self) -> Any:
        return unwrap_model(self.model).core


@dataclass(frozen=True)
class ByNumbers:
    """A model's own numbers: a hundred times as fast for one row."""

    core: Core
    curve: Curve | None = None
    threshold: float | None = None

    def scores(self, rows: Features) -> Scores:
        """Work it out for all rows at once."""
        decision = self.core.decision(rows)
        risk = (self.curve or PLAIN).risk(decision)
        return Scores(self.leaves(decision, risk).astype("int64"), risk)

    def decision(self, rows: Features) -> np.ndarray:
        """Work it out for all rows at once."""
        return self.core.decision(rows)

    def leaves(self, decision: np.ndarray, risk: np.ndarray) -> np.ndarray:
        """Whether the outcome 1 is predicted: shape (rows,).

        As the estimators of scikit-learn have it, each in its own way: a pipeline by log-odds
        above 0, a calibrated one by a risk above a half, a threshold by a risk that is no less.
        """
        if self.threshold is not None:
            return risk >= self.threshold
        return risk > HALF if self.curve else decision > 0


def scorer_of(model: Model, manifest: ModelManifest) -> Scorer:
    """The quickest way to ask a model that gives what the model gives."""
    estimator = ByEstimator(model, manifest.schema)
    quick = numbers_of(model)
    if quick is None:
        return estimator
    probes = probing_rows(quick.core.landmarks, manifest)
    if not agrees(quick, estimator, probes):
        log.warning("the model's numbers do not give what the model gives: it is asked itself")
        return estimator
    return quick


def numbers_of(model: Model) -> ByNumbers | None:
    """The numbers of a model as `training.py` makes them; None for any other model.

    It goes by names and shapes only. Whether the model is what it looks like is for its caller to
    find out, by comparing what both give.
    """
    try:
        core, calibrator, threshold = unwrap_model(model)
        curve = None if calibrator is None else curve_of(calibrator)
    except (AttributeError, IndexError, TypeError, ValueError):  # made in another way
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
    except (AttributeError, TypeError, ValueError) as error:  # it takes other rows than these
        log.warning("the model cannot be compared with its numbers: %r", error)
        return False
    curve = quick.curve or PLAIN
    return bool(
        _same_decision(quick.decision(probes), decision)
        and _near(curve.risk(decision), theirs.risk)
        and (ours.outcomes == theirs.outcomes).all()
    )


def _same_decision(found: np.ndarray, decision: np.ndarray) -> bool:
    """Whether log-odds are the same: where a risk is all but 0 or 1 it would not show in that."""
    within = DECISION_TOLERANCE * (1 + np.abs(decision))
    return bool(
        (np.abs(found - decision) <= within).all()
        and _near(PLAIN.risk(found), PLAIN.risk(decision))
    )


def _near(risk: np.ndarray, expected: np.ndarray) -> bool:
    return bool((np.abs(risk - expected) <= RISK_TOLERANCE).all())
