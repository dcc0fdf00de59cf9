"""Fitting a model: kind, calibration and threshold chosen on out-of-fold predictions."""

import logging
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from sklearn.dummy import DummyClassifier

from pipeline.core.errors import ModelError
from pipeline.core.policy import Policy
from pipeline.core.schema import Schema
from pipeline.core.threads import threads_for
from pipeline.data.features import features_of
from pipeline.models.calibration import calibrate
from pipeline.models.cross_validation import Folds, folds_of
from pipeline.models.estimators import fit_model
from pipeline.models.fast_linear import linear_of
from pipeline.models.persistence import Model, risk_of
from pipeline.models.recipe import AUTO, BOOSTING, HALF, LOGISTIC, Recipe
from pipeline.models.selection import select
from pipeline.models.threshold import f1_threshold, value_threshold, with_threshold
from pipeline.models.training_data import TrainingData

log = logging.getLogger("training")


@dataclass(frozen=True)
class Fitted:
    """A model, how it was made, and the risk of rows of its data: out of fold, if there are folds.

    `risk` has the shape (rows of the sample,).
    """

    model: Model
    recipe: Recipe
    risk: np.ndarray


def fit(data: TrainingData, policy: Policy) -> Fitted:
    """Choose by cross-validation on a sample, and fit what was chosen on all labelled rows.

    Where the sample has too few clients of one outcome to be cut into folds, nothing is chosen: the
    model is logistic unless the policy says boosting, uncalibrated, with 0.5 in place of a tuned
    threshold. Raises `ModelError` unless both outcomes occur.
    """
    check_outcomes(data)
    folds = folds_of(data.sample, data.schema, policy.seed)
    if folds is None:
        return _unchecked(data, policy)
    recipe, scores = _chosen(folds, data.schema, policy)
    calibration = calibrate(folds, scores)
    model = calibration.applied(data.fit(recipe.kind, policy.seed))
    threshold, rule = _threshold(policy, data)
    if threshold is None:
        threshold = f1_threshold(folds.outcomes, calibration.risk)
    recipe = replace(
        recipe,
        calibration=calibration.method,
        threshold=threshold,
        rule=rule,
        evidence=recipe.evidence | calibration.evidence,
    )
    return Fitted(with_threshold(model, threshold), recipe, calibration.risk)


def check_outcomes(data: TrainingData) -> None:
    """Raise `ModelError` unless both outcomes occur."""
    if not 0 < data.left < data.rows:
        only = f"only clients with {data.schema.outcome} = {int(data.left > 0)}"
        raise ModelError(
            f"training needs clients who left and clients who stayed; among the"
            f" {data.rows:,} rows with a known outcome there are {only if data.rows else 'none'}"
        )


def fit_without(data: TrainingData, policy: Policy) -> Model | None:
    """A model of the rows that are left without some clients; None if no labelled row is left.

    Where those have one outcome only, that outcome for everybody.
    """
    if not data.rows:
        return None
    return fit(data, policy).model if 0 < data.left < data.rows else _one_outcome(data)


def _unchecked(data: TrainingData, policy: Policy) -> Fitted:
    """A model whose choices nothing can be said of."""
    log.info("too few clients of one outcome to cross-validate: nothing is tuned or calibrated")
    kind = BOOSTING if policy.model == BOOSTING else LOGISTIC
    threshold, rule = _threshold(policy, data)
    threshold = threshold or HALF
    recipe = Recipe(kind=kind, threshold=threshold, rule=rule, seed=policy.seed)
    model: Model = data.fit(kind, policy.seed)
    return Fitted(with_threshold(model, threshold), recipe, risk_of(model, data.sample))


def _chosen(folds: Folds, schema: Schema, policy: Policy) -> tuple[Recipe, np.ndarray]:
    """The kind of model, and its log-odds for each row by a model that saw none of the client's."""
    kinds = (LOGISTIC, BOOSTING) if policy.model == AUTO else (policy.model,)
    scores = {kind: _out_of_fold(kind, folds, schema, policy.seed) for kind in kinds}
    recipe = Recipe(kind=policy.model, seed=policy.seed)
    if policy.model != AUTO:
        return recipe, scores[recipe.kind]
    found = select(folds.outcomes, folds.clients, scores[LOGISTIC], scores[BOOSTING])
    evidence = {
        "log_loss_logistic": found.logistic,
        "log_loss_boosting": found.boosting,
        "log_loss_standard_error": found.standard_error,
    }
    log.info(
        "%s: log loss %.4f logistic, %.4f boosting, standard error of the difference %.4f",
        *(found.kind, found.logistic, found.boosting, found.standard_error),
    )
    return replace(recipe, kind=found.kind, evidence=evidence), scores[found.kind]


def _out_of_fold(kind: str, folds: Folds, schema: Schema, seed: int) -> np.ndarray:
    def score(known: pd.DataFrame, held_out: pd.DataFrame) -> np.ndarray:
        model = fit_model(kind, known, schema, seed)
        if linear := linear_of(model):  # the same, in a tenth of the time
            return linear.decision(features_of(held_out, schema))
        with threads_for(len(held_out)):
            scores: np.ndarray = model.decision_function(held_out[list(schema.features)])
        return scores

    return folds.out_of_fold(score)


def _threshold(policy: Policy, data: TrainingData) -> tuple[float | None, str]:
    """The threshold, None for the one that is tuned, and the rule it goes by."""
    if policy.threshold == "value":
        found = value_threshold(policy.worth, data)
        return found.threshold, found.rule
    return (None, "f1") if isinstance(policy.threshold, str) else (policy.threshold, "fixed")


def _one_outcome(data: TrainingData) -> Model:
    """The model of rows that all have the same outcome: that one for everybody."""
    features = data.head(1)
    model: Model = DummyClassifier(strategy="most_frequent").fit(features, [int(data.left > 0)])
    return model
