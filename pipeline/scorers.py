"""Asking a model for the rows of a request: quickly where that is proven, else as it is."""

import logging
import math
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
import pandas as pd

from pipeline.features import Features, Row
from pipeline.linear import Linear, linear_of
from pipeline.models import Model, predictions_of, risk_of
from pipeline.releases import ModelManifest
from pipeline.schema import LARGEST_NUMBER, Schema

log = logging.getLogger(__name__)

PROBES = 200
FURTHEST = 700  # decisions beyond it have a risk of 0 or 1 to the last digit, and exp overflows
# the same sums in another order; a decision may be as large as the largest number
RISK_TOLERANCE = 1e-12
DECISION_TOLERANCE = 1e-9


class Scores(NamedTuple):
    """What a model says of rows: the outcome of each, 0 or 1, and the probability of 1."""

    outcomes: np.ndarray
    risk: np.ndarray


class Scorer(Protocol):
    """A way to ask a model."""

    def scores(self, rows: Features) -> Scores:
        """The outcome and the risk of each row: two arrays of shape (rows,)."""

    def decision(self, rows: Features) -> np.ndarray:
        """The log-odds of each row before calibration: shape (rows,)."""


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
        """Ask the model within the threshold and the calibration."""
        if not len(rows):
            return np.empty(0)
        inner: Any = self.model
        inner = getattr(inner, "estimator_", getattr(inner, "estimator", inner))
        if hasattr(inner, "calibrated_classifiers_"):
            inner = inner.calibrated_classifiers_[0].estimator
        elif hasattr(self.model, "calibrated_classifiers_"):
            inner = self.model.calibrated_classifiers_[0].estimator
        frame = rows.frame(self.schema)[list(inner.feature_names_in_)]
        decision: np.ndarray = inner.decision_function(frame)
        return decision


@dataclass(frozen=True)
class ByCoefficients:
    """A linear model's own numbers: a hundred times as fast for one row."""

    linear: Linear

    def scores(self, rows: Features) -> Scores:
        """Add up what the columns give."""
        decision = self.linear.decision(rows)
        risk = 1 / (1 + np.exp(-np.maximum(decision, -FURTHEST)))
        return Scores((decision > 0).astype("int64"), risk)

    def decision(self, rows: Features) -> np.ndarray:
        """Add up what the columns give."""
        return self.linear.decision(rows)

    def score(self, row: Row) -> tuple[int, float]:
        """The outcome and the risk of one row."""
        decision = self.linear.decision_of_one(row)
        return int(decision > 0), 1 / (1 + math.exp(-max(decision, -FURTHEST)))


def scorer_of(model: Model, manifest: ModelManifest) -> Scorer:
    """The quickest way to ask a model that gives what the model gives."""
    estimator = ByEstimator(model, manifest.schema)
    linear = linear_of(model)
    if linear is None:
        return estimator
    probes = probing_rows(linear, manifest)
    if not agrees(linear, estimator, probes):
        log.warning("the model's coefficients do not give what the model gives: it is asked itself")
        return estimator
    return ByCoefficients(linear)


def agrees(linear: Linear, estimator: ByEstimator, probes: Features) -> bool:
    """Whether the coefficients give what the model gives for each of these rows."""
    frame = probes.frame(estimator.schema)[list(estimator.model.feature_names_in_)]
    try:
        ours, theirs = ByCoefficients(linear).scores(probes), estimator.scores(probes)
        # where a risk is all but 0 or 1 a wrong coefficient would not show
        decision = estimator.model.decision_function(frame)  # type: ignore[attr-defined]
    except (AttributeError, TypeError, ValueError) as error:  # it takes other rows than these
        log.warning("the model cannot be compared with its coefficients: %r", error)
        return False
    alone = [linear.decision_of_one(row) for row in probes.rows()]
    within = DECISION_TOLERANCE * (1 + np.abs(decision))
    return bool(
        (np.abs(ours.risk - theirs.risk) <= RISK_TOLERANCE).all()
        and (np.abs(linear.decision(probes) - decision) <= within).all()
        and (np.abs(alone - decision) <= within).all()
        and (ours.outcomes == theirs.outcomes).all()
    )


def probing_rows(linear: Linear, manifest: ModelManifest) -> Features:
    """Rows to compare on: those of the self-check, and ones like them and unlike them.

    In each column some are missing, some near those of the self-check, some huge; each category
    that is known occurs, and one that is not.
    """
    schema, random = manifest.schema, np.random.default_rng(0)
    known = pd.DataFrame(manifest.self_check.rows, columns=list(schema.features))
    count = max([PROBES, *(2 + len(weights) for weights in linear.categories)])
    picked = known[list(schema.numeric)].to_numpy(dtype="float64")[np.arange(count) % len(known)]
    near = np.where(np.isnan(picked), 0, picked)
    spread = 1 + np.abs(near).max(axis=0, initial=0)
    numbers = near + spread * random.standard_normal(near.shape)
    dice = random.random(near.shape)
    numbers[dice < 0.1] = np.nan
    # one row in ten only: beside a huge number the others do not count
    huge = (dice > 0.5) & (np.arange(count) % 10 == 9)[:, None]
    numbers[huge] = random.choice([-LARGEST_NUMBER, LARGEST_NUMBER, 1e9, -1e9], near.shape)[huge]
    numbers[: len(known)] = picked[: len(known)]
    texts = []
    for weights in linear.categories:
        words = [*weights, "", "\0 unknown"]
        texts.append([words[i] for i in random.permutation(np.arange(count) % len(words))])
    return Features(numbers, tuple(texts))
