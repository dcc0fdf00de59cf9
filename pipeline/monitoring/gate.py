"""The decision to redeploy: champion and challenger on the same rows."""

from collections.abc import Callable, Collection
from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.metrics import f1_score

from pipeline.core.schema import Schema
from pipeline.models.estimators import (
    Model,
    predictions_of,
)
from pipeline.monitoring.bootstrap import Difference, paired_difference

FOLDS = 5

# a model fitted on all rows but those of some clients; None if there is nothing to learn from
FitWithout = Callable[[Collection[str]], Model | None]


@dataclass(frozen=True)
class Comparison:
    """The F1 of both models on the same rows, and what the gate makes of it."""

    gate: str  # not_worse, better or always
    rows: int
    champion_f1: float
    challenger_f1: float
    difference: Difference  # challenger less champion

    @property
    def deploy(self) -> bool:
        """Whether the challenger goes live."""
        if self.gate == "better":
            return self.difference.low > 0
        return self.gate == "always" or self.challenger_f1 >= self.champion_f1

    @property
    def reason(self) -> str:
        """The comparison in words."""
        how = "at least as good as" if self.challenger_f1 >= self.champion_f1 else "worse than"
        rule = {
            "better": "which must be above zero",
            "always": "and it goes live in any case",
        }.get(self.gate)
        found = self.difference
        return (
            f"the challenger's F1 {self.challenger_f1:.4f} is {how} the deployed model's"
            f" {self.champion_f1:.4f} on the same {self.rows:,} rows (95 % interval of the"
            f" difference {found.low:+.4f} to {found.high:+.4f}{f', {rule}' if rule else ''})"
        )


def compare(
    champion: Model,
    challenger: Model,
    fit_without: FitWithout,
    *,
    gate: str,
    seed: int,
    schema: Schema,
    test: pd.DataFrame,
    new: pd.DataFrame,
) -> Comparison:
    """Score both models on the labelled test rows and new rows together.

    The challenger was fitted on the new rows, too: for these it is stood in for by models fitted
    without the client in question, so that it has seen none of the rows it is judged on. The
    interval of the difference is the paired bootstrap's (`pipeline.monitoring.bootstrap`).
    """
    test, new = (frame[frame[schema.outcome].notna()] for frame in (test, new))
    both = pd.concat([frame[[schema.client, schema.outcome]] for frame in (test, new)])
    outcomes = both[schema.outcome].to_numpy().astype("int64")
    champion_says = np.concatenate([predictions_of(champion, frame) for frame in (test, new)])
    challenger_says = np.concatenate(
        [predictions_of(challenger, test), out_of_fold(fit_without, new, schema)]
    )
    clients = both[schema.client].to_numpy(dtype=object)
    return Comparison(
        gate=gate,
        rows=len(outcomes),
        champion_f1=_f1(outcomes, champion_says),
        challenger_f1=_f1(outcomes, challenger_says),
        difference=paired_difference(outcomes, champion_says, challenger_says, clients, seed),
    )


def out_of_fold(fit_without: FitWithout, rows: pd.DataFrame, schema: Schema) -> np.ndarray:
    """Predict each row by a model that saw no row of its client.

    `rows` (n) are cut into folds by client; each fold is predicted by a model fitted without the
    fold's clients. Returns 0 or 1: shape (n,). Source of the method: grouped K-fold
    cross-validation, as in scikit-learn's `GroupKFold`.
    """
    clients = pd.unique(rows[schema.client])
    fold_of = pd.Series(np.arange(len(clients)) % FOLDS, index=clients)
    folds = rows[schema.client].map(fold_of).to_numpy()
    predicted = np.zeros(len(rows), dtype="int64")
    for fold in np.unique(folds):
        model = fit_without(fold_of.index[fold_of == fold].tolist())
        if model:  # else there is nothing to learn from: nobody is predicted to leave
            chosen = folds == fold
            predicted[chosen] = predictions_of(model, rows[chosen])
    return predicted


def _f1(outcomes: np.ndarray, predicted: np.ndarray) -> float:
    return float(f1_score(outcomes, predicted, zero_division=0.0))
