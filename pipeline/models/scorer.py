"""The quickest way to predict rows with a model that gives what the model itself gives.

Predicting a row from a model's numbers takes a hundredth of the time that its DataFrame takes.
"""

import logging
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import pandas as pd

from pipeline.core.schema import LARGEST_NUMBER, Schema
from pipeline.core.threads import threads_for
from pipeline.data.features import Features
from pipeline.models.estimators import Model, predictions_of, risk_of
from pipeline.models.fast_linear import linear_of
from pipeline.models.fast_trees import trees_of
from pipeline.models.manifest import HALF, ModelManifest
from pipeline.models.model_parts import (
    PLAIN,
    PUT_TOGETHER_DIFFERENTLY,
    Curve,
    Landmarks,
    curve_of,
    unwrap_model,
)

log = logging.getLogger(__name__)

PROBES = 200
UNKNOWN = "\0 unknown"
# the same sums in another order; a decision may be as large as the largest number
RISK_TOLERANCE = 1e-12
DECISION_TOLERANCE = 1e-9


class Scores(NamedTuple):
    """The predicted outcome of each row, 0 or 1, and the probability of 1."""

    outcomes: np.ndarray
    risk: np.ndarray


class Scorer(Protocol):
    """A way to predict with a model."""

    def scores(self, rows: Features) -> Scores:
        """The outcome and the risk of each row: two arrays of shape (rows,)."""

    def decision(self, rows: Features) -> np.ndarray:
        """The log-odds of the outcome 1 before any calibration: shape (rows,), float64."""


class Core(Protocol):
    """The part of a model that gives log-odds, reduced to its numbers."""

    @property
    def landmarks(self) -> Landmarks:
        """The values that it distinguishes."""

    def decision(self, rows: Features) -> np.ndarray:
        """The log-odds of the outcome 1 for each row: shape (rows,)."""


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

    core: Core
    curve: Curve | None = None
    threshold: float | None = None

    def scores(self, rows: Features) -> Scores:
        """The outcome and the risk of each row: two arrays of shape (rows,)."""
        decision = self.core.decision(rows)
        risk = (self.curve or PLAIN).risk(decision)
        return Scores(self.leaves(decision, risk).astype("int64"), risk)

    def decision(self, rows: Features) -> np.ndarray:
        """The log-odds of the outcome 1 before any calibration: shape (rows,), float64."""
        return self.core.decision(rows)

    def leaves(self, decision: np.ndarray, risk: np.ndarray) -> np.ndarray:
        """Whether the outcome 1 is predicted: shape (rows,).

        As scikit-learn's estimators do it: a pipeline if the log-odds are above 0, a calibrated one
        if the risk is above a half, one with a threshold if the risk is not below it.
        """
        if self.threshold is not None:
            return risk >= self.threshold
        return risk > HALF if self.curve else decision > 0


def scorer_of(model: Model, manifest: ModelManifest) -> Scorer:
    """The quickest way to predict with a model that gives what the model gives."""
    estimator = ByEstimator(model, manifest.schema)
    quick = numbers_of(model)
    if quick is None:
        return estimator
    probes = probing_rows(quick.core.landmarks, manifest)
    if not agrees(quick, estimator, probes):
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


def probing_rows(landmarks: Landmarks, manifest: ModelManifest) -> Features:
    """Rows on which two ways to predict are compared: those of the self-check and variations.

    In each numeric column some are missing, some near those of the self-check, some huge, and some
    at each edge and just beyond it; in each categorical column every word occurs, and an unknown
    one.
    """
    random = np.random.default_rng(0)
    names = manifest.schema.features
    known = pd.DataFrame(manifest.self_check.rows, columns=list(names))
    checked = known[list(manifest.schema.numeric)].to_numpy(dtype="float64")
    at_edges = [_at_edges(edges) for edges in landmarks.edges]
    words = [[*known_words, "", UNKNOWN] for known_words in landmarks.words]
    count = max([0, *map(len, at_edges), *map(len, words)]) + PROBES
    numbers = _numbers(checked, count, random)
    for column, values in enumerate(at_edges):
        there = len(known) + random.permutation(count - len(known))[: len(values)]
        numbers[there, column] = values
    texts = [[some[i] for i in random.permutation(np.arange(count) % len(some))] for some in words]
    return Features(numbers, tuple(texts))


def _at_edges(edges: list[float]) -> np.ndarray:
    near: np.ndarray = np.concatenate([edges, np.nextafter(edges, np.inf)])
    near[np.abs(near) > LARGEST_NUMBER] = np.nan  # not accepted; an edge may be infinite
    return near


def _numbers(checked: np.ndarray, count: int, random: np.random.Generator) -> np.ndarray:
    """The checked numbers, then missing, similar and huge ones: shape (count, columns)."""
    picked = checked[np.arange(count) % len(checked)]
    near = np.where(np.isnan(picked), 0, picked)
    spread = 1 + np.abs(near).max(axis=0, initial=0)
    numbers: np.ndarray = near + spread * random.standard_normal(near.shape)
    draw = random.random(near.shape)
    numbers[draw < 0.1] = np.nan
    # one row in ten only: beside a huge number the others have no effect
    huge = (draw > 0.5) & (np.arange(count) % 10 == 9)[:, None]
    numbers[huge] = random.choice([-LARGEST_NUMBER, LARGEST_NUMBER, 1e9, -1e9], near.shape)[huge]
    numbers[: len(checked)] = checked
    return numbers
