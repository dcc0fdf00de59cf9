"""Fitting a model: its kind, calibration and threshold chosen on rows it has not learned from."""

import logging
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from sklearn.dummy import DummyClassifier

from pipeline.core.errors import ModelError
from pipeline.core.policy import Policy
from pipeline.core.schema import Schema
from pipeline.core.threads import threads_for
from pipeline.models.calibration import calibrate
from pipeline.models.cross_validation import Split, TrainingData, split_of
from pipeline.models.estimators import Model, fit_model, risk_of
from pipeline.models.manifest import AUTO, BOOSTING, HALF, LOGISTIC, Recipe
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
    the sample has too few clients of one outcome for folds, nothing is chosen: the model is
    logistic unless the policy says boosting, uncalibrated, with 0.5 in place of a tuned threshold.
    Raises `ModelError` unless both outcomes occur.
    """
    _check_outcomes(data)
    split = split_of(data.sample, data.schema, policy.seed)
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
    features = data.frame[list(data.schema.features)].head(1)
    model: Model = DummyClassifier(strategy="most_frequent").fit(features, [int(data.left > 0)])
    return model


def _check_outcomes(data: TrainingData) -> None:
    if not 0 < data.left < data.rows:
        only = f"only clients with {data.schema.outcome} = {int(data.left > 0)}"
        raise ModelError(
            f"training needs clients who left and clients who stayed; among the"
            f" {data.rows:,} rows with a known outcome there are {only if data.rows else 'none'}"
        )


def _without_folds(data: TrainingData, policy: Policy) -> Fitted:
    log.info("too few clients of one outcome to cross-validate: nothing is tuned or calibrated")
    kind = BOOSTING if policy.model == BOOSTING else LOGISTIC
    threshold, rule = _threshold(policy, data.frame)
    threshold = threshold or HALF
    recipe = Recipe(kind=kind, threshold=threshold, rule=rule, seed=policy.seed)
    model: Model = fit_model(kind, data.frame, data.schema, policy.seed)
    return Fitted(with_threshold(model, threshold), recipe, risk_of(model, data.sample))


def _chosen(split: Split, schema: Schema, policy: Policy) -> tuple[Recipe, np.ndarray]:
    """The kind of model, and the out-of-fold log-odds by models of it of each scored row."""
    kinds = (LOGISTIC, BOOSTING) if policy.model == AUTO else (policy.model,)
    scores = {kind: _out_of_fold(kind, split, schema, policy.seed) for kind in kinds}
    recipe = Recipe(kind=policy.model, seed=policy.seed)
    if policy.model != AUTO:
        return recipe, scores[recipe.kind]
    found = select(split.scored.outcomes, split.scored.clients, scores[LOGISTIC], scores[BOOSTING])
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
    """Logistic regression and boosting on the same rows: their mean out-of-fold log loss."""

    logistic: float
    boosting: float
    standard_error: float  # of the difference

    @property
    def kind(self) -> str:
        """Boosting, if it is better by more than the standard error; else the simpler one."""
        better = self.logistic - self.boosting > self.standard_error
        return BOOSTING if better else LOGISTIC


def select(
    outcomes: np.ndarray, clients: np.ndarray, logistic: np.ndarray, boosting: np.ndarray
) -> Selection:
    """Compare the out-of-fold log-odds of both kinds; every array has the shape (rows,).

    `clients` numbers the client of each row: the rows of one client are not independent, so the
    standard error is that of sums by client. Sources: the rule of one standard error, Breiman,
    Friedman, Olshen and Stone, Classification and Regression Trees, 1984, 3.4.3; the error of
    clustered rows, Cameron and Miller, Journal of Human Resources 50(2), 2015.
    """
    losses = [_log_losses(outcomes, scores) for scores in (logistic, boosting)]
    difference = losses[0] - losses[1]
    by_client = np.bincount(clients, weights=difference - difference.mean())
    error = float(np.sqrt((by_client**2).sum()) / len(difference))
    return Selection(float(losses[0].mean()), float(losses[1].mean()), error)


def _log_losses(outcomes: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """The log loss of each row, in nats, from log-odds: shape (rows,)."""
    losses: np.ndarray = np.logaddexp(0, np.where(outcomes == 1, -scores, scores))
    return losses
