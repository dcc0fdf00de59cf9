"""The gate: whether the challenger replaces the champion, by their F1 on the same rows."""

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from sklearn.metrics import f1_score

from pipeline.core.policy import Gate
from pipeline.core.schema import Schema
from pipeline.models.estimators import Model, predictions_of
from pipeline.monitoring import sentences
from pipeline.monitoring.bootstrap import Difference, paired_difference
from pipeline.monitoring.decisions import Action, ChallengeOutcome, Decision
from pipeline.monitoring.metrics import PredictedRows, Tested
from pipeline.registry.releases import Challenge, Release

FOLDS = 5

# a model fitted on all rows except those of some clients; None if there is nothing to learn from
FitWithout = Callable[[Collection[str]], Model | None]


@dataclass(frozen=True)
class Comparison:
    """The F1 of both models on the same rows, and the gate's decision."""

    gate: Gate
    rows: int
    champion_f1: float
    challenger_f1: float
    difference: Difference  # challenger minus champion

    @property
    def deploy(self) -> bool:
        """Whether the challenger goes live."""
        if self.gate == Gate.BETTER:
            return self.difference.low > 0
        return self.gate == Gate.ALWAYS or self.challenger_f1 >= self.champion_f1

    @property
    def reason(self) -> str:
        """The comparison in words."""
        interval = self.difference.low, self.difference.high
        return sentences.comparison(
            self.challenger_f1, self.champion_f1, self.rows, interval, self.gate
        )


def compare(
    fit_without: FitWithout,
    *,
    champion: Tested,
    challenger: Tested,
    new: PredictedRows,
    gate: Gate,
    seed: int,
    schema: Schema,
) -> Comparison:
    """Score both models on the labelled test rows and new rows together.

    `champion` and `challenger` are the predictions of both for the test data, `new` the champion's
    for the new rows. The challenger was trained on these, too: there it is represented by models
    fitted without the client in question, so that none has seen the rows it is judged on. The
    interval of the difference is the paired bootstrap's (`pipeline.monitoring.bootstrap`).
    """
    outcomes, by_champion, clients = (
        np.concatenate([getattr(tested, name) for tested in (champion, new.tested)])
        for name in ("outcomes", "predicted", "clients")
    )
    by_challenger = np.concatenate(
        [challenger.predicted, out_of_fold(fit_without, new.labelled, schema)]
    )
    return Comparison(
        gate=gate,
        rows=len(outcomes),
        champion_f1=_f1(outcomes, by_champion),
        challenger_f1=_f1(outcomes, by_challenger),
        difference=paired_difference(outcomes, by_champion, by_challenger, clients, seed),
    )


def out_of_fold(fit_without: FitWithout, rows: pd.DataFrame, schema: Schema) -> np.ndarray:
    """Predict each row by a model that saw no row of its client: 0 or 1, shape (rows,).

    Source of the method: grouped K-fold cross-validation, as in scikit-learn's `GroupKFold`.
    """
    codes, clients = pd.factorize(rows[schema.client])
    predicted = np.zeros(len(rows), dtype="int64")
    for fold in range(min(FOLDS, len(clients))):
        model = fit_without(clients[fold::FOLDS].tolist())
        if model:  # else nobody is predicted to leave
            held_out = codes % FOLDS == fold
            predicted[held_out] = predictions_of(model, rows[held_out])
    return predicted


def _f1(outcomes: np.ndarray, predicted: np.ndarray) -> float:
    return float(f1_score(outcomes, predicted, zero_division=0.0))


def challenge(compared: Comparison, champion: Release, why: str) -> Challenge:
    """The comparison and its reason, for the manifest of the release that won it."""
    return Challenge(
        gate=compared.gate,
        champion=champion.id,
        rows=compared.rows,
        champion_f1=compared.champion_f1,
        challenger_f1=compared.challenger_f1,
        low=compared.difference.low,
        high=compared.difference.high,
        reason=f"{why}; {compared.reason}",
    )


def challenged(
    found: Decision, champion: Release, compared: Comparison, deployed: Release | None
) -> Decision:
    """The decision on a batch after both models were compared, and the new release, if any."""
    new_release = deployed.id if deployed else None
    return replace(
        found,
        action=Action.DEPLOYED if deployed else Action.KEPT,
        reason=sentences.challenged(found.reason, compared.reason, new_release, champion.id),
        champion_f1=compared.champion_f1,
        challenger_f1=compared.challenger_f1,
        new_release=new_release,
        gate=compared.gate,
        difference_low=compared.difference.low,
        difference_high=compared.difference.high,
        challenge=ChallengeOutcome.WON if deployed else ChallengeOutcome.LOST,
    )


def same_model(found: Decision, champion: Release) -> Decision:
    """The decision on a batch after retraining gave the live model again."""
    return replace(
        found,
        reason=sentences.SAME_MODEL.format(reason=found.reason, release=champion.id),
        challenge=ChallengeOutcome.SAME_MODEL,
    )
