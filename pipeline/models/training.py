"""Fitting a model: its kind, calibration and threshold chosen on rows it has not learned from."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from sklearn.dummy import DummyClassifier

from pipeline.core.errors import ModelError
from pipeline.core.limits import threads_for
from pipeline.core.policy import Policy, enough_rows
from pipeline.core.schema import Schema
from pipeline.models.calibration import calibrate
from pipeline.models.cross_validation import Split, TrainingData, first_times, split_of
from pipeline.models.estimators import Model, fit_model, risk_of
from pipeline.models.manifest import AUTO, BOOSTING, BOOSTING_7, HALF, LOGISTIC, Recipe
from pipeline.models.threshold import f1_threshold, value_threshold, with_threshold

log = logging.getLogger("training")


@dataclass(frozen=True)
class Fitted:
    """A model, how it was made, and risks of rows like those that it learned from.

    `risk` has the shape (rows,): out of fold those of the rows that were chosen on; of the whole
    sample, by the model itself, if nothing was chosen.
    """

    model: Model
    recipe: Recipe
    risk: np.ndarray


def fit(data: TrainingData, policy: Policy) -> Fitted:
    """Choose out of fold on the sample, and fit what was chosen on all labelled rows.

    Of dated rows the newest are chosen on, by models of older ones, if there are enough of both. If
    the sample has too few rows or clients of one outcome, nothing is chosen: the model is logistic
    unless the policy says boosting, uncalibrated, with 0.5 in place of a tuned threshold. Raises
    `ModelError` unless both outcomes occur.
    """
    _check_outcomes(data)
    outcomes = data.sample[data.schema.outcome][first_times(data.sample)]
    enough = enough_rows(len(outcomes), int(outcomes.sum()))
    split = split_of(data.sample, data.schema, policy.seed) if enough else None
    if split is None:
        return _without_folds(data, policy)
    recipe, scores = _chosen(split, data.schema, policy)
    calibration = calibrate(split.scored, scores)
    model = calibration.apply(fit_model(recipe.kind, data.frame, data.schema, policy.seed))
    threshold, rule = _threshold(policy, data.frame)
    if threshold is None:
        threshold = f1_threshold(split.scored.outcomes, calibration.risk)
    recipe = replace(
        recipe,
        calibration=calibration.method,
        threshold=threshold,
        rule=rule,
        chosen_since=split.since,
        evidence=recipe.evidence | calibration.evidence,
    )
    return Fitted(with_threshold(model, threshold), recipe, calibration.risk)


def fit_without(data: TrainingData, policy: Policy) -> Model | None:
    """A model fitted on the rows that are left without some clients; None if there are none.

    If all have the same outcome, it predicts that for everybody.
    """
    if not data.rows:
        return None
    if 0 < data.left < data.rows:
        return fit(data, policy).model
    two_rows = data.frame[list(data.schema.features)].iloc[[0, 0]]
    constant = DummyClassifier(strategy="constant", constant=int(data.left > 0))
    model: Model = constant.fit(two_rows, [0, 1])  # it knows both, and so their probabilities
    return model


def _check_outcomes(data: TrainingData) -> None:
    if not 0 < data.left < data.rows:
        only = f"only clients with {data.schema.outcome} = {int(data.left > 0)}"
        raise ModelError(
            f"training needs clients who left and clients who stayed; among the"
            f" {data.rows:,} rows with a known outcome there are {only if data.rows else 'none'}"
        )


def _without_folds(data: TrainingData, policy: Policy) -> Fitted:
    log.info("too few clients, or of one outcome: nothing is chosen, tuned or calibrated")
    kind = LOGISTIC if policy.model == AUTO else policy.model
    threshold, rule = _threshold(policy, data.frame)
    threshold = threshold or HALF
    recipe = Recipe(kind=kind, threshold=threshold, rule=rule, seed=policy.seed)
    model: Model = fit_model(kind, data.frame, data.schema, policy.seed)
    return Fitted(with_threshold(model, threshold), recipe, risk_of(model, data.sample))


def _chosen(split: Split, schema: Schema, policy: Policy) -> tuple[Recipe, np.ndarray]:
    """The kind of model, and the out-of-fold log-odds by models of it of each scored row."""
    kinds = (LOGISTIC, BOOSTING_7, BOOSTING) if policy.model == AUTO else (policy.model,)
    scores = {kind: _out_of_fold(kind, split, schema, policy.seed) for kind in kinds}
    recipe = Recipe(kind=policy.model, seed=policy.seed)
    if policy.model != AUTO:
        return recipe, scores[recipe.kind]
    found = select(split.scored.outcomes, split.scored.clients, scores)
    log.info("%s: out of fold, %s", found.kind, found)
    return replace(recipe, kind=found.kind, evidence=found.evidence), scores[found.kind]


def _out_of_fold(kind: str, split: Split, schema: Schema, seed: int) -> np.ndarray:
    def score(known: np.ndarray, held_out: np.ndarray) -> np.ndarray:
        model = fit_model(kind, split.learned.frame[known], schema, seed)
        rows = split.scored.frame.loc[held_out, list(schema.features)]
        with threads_for(len(rows)):
            scores: np.ndarray = model.decision_function(rows)
        return scores

    return split.scored.out_of_fold(score, split.learned)


def _threshold(policy: Policy, frame: pd.DataFrame) -> tuple[float | None, str]:
    """The threshold, None if it is to be tuned, and the rule behind it."""
    if policy.threshold == "value":
        found = value_threshold(policy.worth, frame)
        return found.threshold, found.rule
    return (None, "f1") if isinstance(policy.threshold, str) else (policy.threshold, "fixed")


@dataclass(frozen=True)
class Selection:
    """The kind of model that was chosen, and the mean out-of-fold log loss of each, in nats.

    Beside each but the first is the standard error of its difference from the best before.
    """

    kind: str
    losses: dict[str, float]
    standard_errors: dict[str, float]

    @property
    def evidence(self) -> dict[str, float]:
        """The figures as a recipe keeps them."""
        found = {f"log_loss_{kind}": loss for kind, loss in self.losses.items()}
        errors = self.standard_errors.items()
        return found | {f"standard_error_{kind}": error for kind, error in errors}

    def __str__(self) -> str:
        return ", ".join(f"{name} {figure:.4f}" for name, figure in self.evidence.items())


def select(
    outcomes: np.ndarray, clients: np.ndarray, scores: Mapping[str, np.ndarray]
) -> Selection:
    """Choose by the out-of-fold log-odds of each kind, simplest first; arrays of shape (rows,).

    One is chosen that is better, by more than the standard error, than the best before. `clients`
    numbers the client of each row: the rows of one client are not independent, so the standard
    error is that of sums by client. Sources: the rule of one standard error, Breiman, Friedman,
    Olshen and Stone, Classification and Regression Trees, 1984, 3.4.3; the error of clustered rows,
    Cameron and Miller, Journal of Human Resources 50(2), 2015.
    """
    losses = {kind: _log_losses(outcomes, of_kind) for kind, of_kind in scores.items()}
    best, *others = losses
    errors = {}
    for kind in others:
        difference = losses[best] - losses[kind]
        by_client = np.bincount(clients, weights=difference - difference.mean())
        errors[kind] = float(np.sqrt((by_client**2).sum()) / len(difference))
        if difference.mean() > errors[kind]:
            best = kind
    return Selection(best, {kind: float(found.mean()) for kind, found in losses.items()}, errors)


def _log_losses(outcomes: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """The log loss of each row, in nats, from log-odds: shape (rows,)."""
    losses: np.ndarray = np.logaddexp(0, np.where(outcomes == 1, -scores, scores))
    return losses
