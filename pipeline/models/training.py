"""Fitting a model: its kind, calibration and threshold chosen on rows it has not learned from.

Where the world may have changed, the rows to learn from are chosen too: all of them, or the newest.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import logit
from sklearn.dummy import DummyClassifier

from pipeline.core.errors import ModelError
from pipeline.core.limits import threads_for
from pipeline.core.policy import Policy, enough_rows
from pipeline.core.schema import Schema
from pipeline.models.calibration import (
    calibrate,
    f1_threshold,
    value_threshold,
    with_threshold,
)
from pipeline.models.cross_validation import Split, TrainingData, first_times, split_of
from pipeline.models.estimators import Model, fit_model, risk_of
from pipeline.models.manifest import AUTO, BOOSTING, BOOSTING_7, HALF, LOGISTIC, Recipe

RECENT_LEAVERS = 1_000  # of the newest rows, to learn from them alone
NEWEST_LEAVERS = 200  # of those newer still, which choose between both fits
CERTAIN = 2  # standard errors by which the newest must be better: all rows know more
MIN_RISK = float(np.finfo("float64").eps)  # as in log_loss

log = logging.getLogger("training")

RowNumbers = NDArray[np.int64]


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
    if not 0 < data.left < data.rows:
        only = f"only clients with {data.schema.outcome} = {int(data.left > 0)}"
        raise ModelError(
            f"training needs clients who left and clients who stayed; among the"
            f" {data.rows:,} rows with a known outcome there are {only if data.rows else 'none'}"
        )
    outcomes = data.sample[data.schema.outcome][first_times(data.sample)]
    enough = enough_rows(len(outcomes), int(outcomes.sum()))
    split = split_of(data.sample, data.schema, policy.seed) if enough else None
    threshold, rule = (policy.threshold, "fixed")
    if threshold == "value":
        threshold, rule = value_threshold(policy.worth, data.frame)
    if split is None:
        log.info("too few clients, or of one outcome: nothing is chosen, tuned or calibrated")
        kind = LOGISTIC if policy.model == AUTO else policy.model
        least, rule = (HALF, "f1") if isinstance(threshold, str) else (threshold, rule)
        recipe = Recipe(kind=kind, threshold=least, rule=rule, seed=policy.seed)
        model: Model = fit_model(kind, data.frame, data.schema, policy.seed)
        return Fitted(with_threshold(model, least), recipe, risk_of(model, data.sample))
    recipe, scores = _chosen(split, data.schema, policy)
    calibration = calibrate(split.scored, scores)
    model = calibration.apply(fit_model(recipe.kind, data.frame, data.schema, policy.seed))
    if isinstance(threshold, str):
        threshold, rule = f1_threshold(split.scored.outcomes, calibration.risk), "f1"
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


def _chosen(split: Split, schema: Schema, policy: Policy) -> tuple[Recipe, np.ndarray]:
    """The kind of model, and the out-of-fold log-odds by models of it of each scored row."""
    recipe = Recipe(kind=policy.model, seed=policy.seed)
    kinds = (LOGISTIC, BOOSTING_7, BOOSTING) if policy.model == AUTO else (policy.model,)
    scores = {}
    for kind in kinds:

        def score(known: np.ndarray, held_out: np.ndarray, kind: str = kind) -> np.ndarray:
            model = fit_model(kind, split.learned.frame[known], schema, policy.seed)
            rows = split.scored.frame.loc[held_out, list(schema.features)]
            with threads_for(len(rows)):
                odds: np.ndarray = model.decision_function(rows)
            return odds

        scores[kind] = split.scored.out_of_fold(score, split.learned)
    if policy.model == AUTO:
        found = select(split.scored.outcomes, split.scored.clients, scores)
        log.info("%s: out of fold, %s", found.kind, found)
        recipe = replace(recipe, kind=found.kind, evidence=found.evidence)
    return recipe, scores[recipe.kind]


@dataclass(frozen=True)
class Selection:
    """The kind of model that was chosen, and the evidence.

    That is the mean out-of-fold log loss of each kind, in nats, and of each but the first the
    standard error of its difference from the best before.
    """

    kind: str
    evidence: dict[str, float]

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
    losses = {
        kind: np.logaddexp(0, np.where(outcomes == 1, -odds, odds)) for kind, odds in scores.items()
    }
    evidence = {f"log_loss_{kind}": float(loss.mean()) for kind, loss in losses.items()}
    best, *others = losses
    for kind in others:
        difference = losses[best] - losses[kind]
        by_client = np.bincount(clients, weights=difference - difference.mean())
        error = float(np.sqrt((by_client**2).sum()) / len(difference))
        evidence[f"standard_error_{kind}"] = error
        if difference.mean() > error:
            best = kind
    return Selection(best, evidence)


# --- which rows to learn from ---


@dataclass(frozen=True, eq=False)
class Learned:
    """The numbers of the rows to learn from, whether they are not all, and why."""

    rows: RowNumbers
    recent: bool = False
    evidence: dict[str, float] = field(default_factory=dict)


def newest_holding(outcomes: NDArray[np.float64], leavers: int) -> int:
    """Where the newest rows begin that hold so many leavers, of outcomes oldest first."""
    left = np.flatnonzero(outcomes == 1)
    return int(left[-leavers]) if len(left) >= leavers else 0


def choose_rows(
    rows: RowNumbers,
    outcomes: NDArray[np.float64],
    data_of: Callable[[RowNumbers], TrainingData],
    policy: Policy,
) -> Learned:
    """All rows or the newest, by how fits on either do on rows newer still that neither saw.

    `rows` and their `outcomes`, 0 or 1, are in order of age, the oldest first; `data_of` gives the
    rows of some numbers. The newest are those that hold `RECENT_LEAVERS`. Without at least half as
    many before them, or with one outcome only, all are learned from. Source of the rule: a window
    of the newest rows, Gama and others, A Survey on Concept Drift Adaptation, ACM Computing Surveys
    46(4), 2014, 3.1; the newest rows as its judges, Cerqueira, Torgo and Mozetič, 2020.
    """
    newest = newest_holding(outcomes, NEWEST_LEAVERS)
    recent = newest_holding(outcomes[:newest], RECENT_LEAVERS)
    few = (outcomes[:recent] == 1).sum() < RECENT_LEAVERS / 2
    if few or any(len(set(part)) < 2 for part in (outcomes[recent:newest], outcomes[newest:])):
        return Learned(rows)
    held_out, odds = data_of(rows[newest:]), {}
    for name, part in {"all": rows[:newest], "recent": rows[recent:newest]}.items():
        risk = risk_of(fit(data_of(part), policy).model, held_out.frame)
        odds[name] = logit(np.clip(risk, MIN_RISK, 1 - MIN_RISK))
    clients = pd.factorize(held_out.frame[held_out.schema.client])[0]
    found = select(held_out.frame[held_out.schema.outcome].to_numpy(), clients, odds)
    better = found.evidence["log_loss_all"] - found.evidence["log_loss_recent"]
    recent_wins = better > CERTAIN * found.evidence["standard_error_recent"]
    which = "the newest" if recent_wins else "all"
    log.info("learning from %s rows: on the newest %s, %s", which, held_out.rows, found)
    begin = newest_holding(outcomes, RECENT_LEAVERS + NEWEST_LEAVERS) if recent_wins else 0
    return Learned(rows[begin:], recent=recent_wins, evidence=found.evidence)
