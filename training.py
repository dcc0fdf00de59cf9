"""Fit the model on all labelled rows of finaldata.csv.

Logistic regression or boosted trees, as config.json says or as cross-validation chooses; the
probabilities calibrated where that helps, the threshold as config.json says: one pickled
scikit-learn estimator. It goes to output_model_path as trainedmodel.pkl, beside a manifest.json
that says what it is made of and from, and reference.json, what its data were like. The same data
give the same bytes.
"""

import argparse
import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from time import perf_counter

import numpy as np
import pandas as pd

from pipeline import cli
from pipeline.calibration import calibrate
from pipeline.config import Config
from pipeline.database import open_history
from pipeline.errors import ModelError
from pipeline.estimators import fit_model
from pipeline.features import features_of
from pipeline.folds import Folds, folds_of
from pipeline.gate import one_outcome
from pipeline.history import record_timing
from pipeline.learning import TrainingData
from pipeline.ledger import last_file
from pipeline.linear import linear_of
from pipeline.manifests import manifest_object
from pipeline.models import Model, TrainedModel, risk_of, save_model
from pipeline.policy import Policy
from pipeline.recipe import AUTO, BOOSTING, HALF, LOGISTIC, UNCALIBRATED, Recipe
from pipeline.schema import Schema
from pipeline.selection import select
from pipeline.store import Store, open_store
from pipeline.threads import threads_for
from pipeline.threshold import f1_threshold, value_threshold, with_threshold

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


def fit_without(store: Store, policy: Policy, clients: Collection[str]) -> Model | None:
    """A model fitted without some clients, to predict them; None if no labelled row is left.

    Where those have one outcome only, that outcome for everybody.
    """
    data = store.training_data(without=clients)
    if not data.rows:
        return None
    return fit(data, policy).model if 0 < data.left < data.rows else one_outcome(data)


def train(config: Config) -> TrainedModel:
    """Fit on finaldata.csv and save the model; raises `ModelError` if that cannot be done."""
    started = perf_counter()
    with open_history(config.history_path) as history:
        data = open_store(config, history).training_data()
        fitted = fit(data, config.policy)
        trained = save_model(
            fitted.model,
            config.output_model_path,
            data=data,
            risk=fitted.risk,
            recipe=fitted.recipe,
            last_file=last_file(history),
        )
        seconds = perf_counter() - started
        record_timing(history, "training", seconds, data.rows)
    log.info("trained on %s labelled rows in %.2f s", f"{data.rows:,}", seconds)
    return trained


def command(config: Config, args: argparse.Namespace) -> None:
    """Train, and tell what came of it."""
    manifest = train(config).manifest
    recipe = manifest.recipe
    curve = "" if recipe.calibration == UNCALIBRATED else f", {recipe.calibration} calibration"
    line = "" if recipe.threshold == HALF else f", threshold {recipe.threshold:.4f}"
    made = f"{recipe.kind}{curve}{line}, trained on {manifest.rows:,} labelled rows"
    path = config.trainedmodel_path
    result = {"path": path, **manifest_object(manifest)}
    cli.tell(config, args, result, [f"{config.shown(path)}: {made}"])


def main(argv: Sequence[str] | None = None) -> int:
    """Run the stage from the command line."""
    return cli.run_alone("training", command, cli.result_parser(__doc__).parse_args(argv))


if __name__ == "__main__":
    raise SystemExit(main())
