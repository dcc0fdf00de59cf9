"""Cross-validation in which no client is on both sides."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from pipeline.core.schema import Schema

FOLDS = 5

Score = Callable[[pd.DataFrame, pd.DataFrame], np.ndarray]  # fit on the first, score the second


@dataclass(frozen=True)
class Folds:
    """Labelled rows, cut into folds by client.

    `frame` holds the rows (n), `outcomes` and `fold` their outcome and their fold's number, each of
    shape (n,); `clients` a number for each client.
    """

    frame: pd.DataFrame
    outcomes: np.ndarray
    clients: np.ndarray
    fold: np.ndarray

    def out_of_fold(self, score: Score) -> np.ndarray:
        """What `score` gives for the rows of each fold after a fit on those of the others: (n,)."""
        scores = np.empty(len(self.frame))
        for number in np.unique(self.fold):
            held_out = self.fold == number
            scores[held_out] = score(self.frame[~held_out], self.frame[held_out])
        return scores


def folds_of(frame: pd.DataFrame, schema: Schema, seed: int) -> Folds | None:
    """Cut labelled rows into up to five folds; None if there are too few clients of one outcome.

    All rows of a client are in one fold, and clients who left are spread over all folds. Source of
    the method: stratified grouped K-fold, as in scikit-learn's `StratifiedGroupKFold`, which takes
    seconds where clients are many.
    """
    random = np.random.default_rng(seed)
    outcomes = frame[schema.outcome].to_numpy().astype("int64")
    clients, names = pd.factorize(frame[schema.client])
    left = np.zeros(len(names), dtype=bool)
    left[clients[outcomes == 1]] = True
    count = min(FOLDS, left.sum(), (~left).sum())
    if count < 2:
        return None
    fold_of_client = np.empty(len(left), dtype="int64")
    for group in (left, ~left):
        fold_of_client[random.permutation(np.flatnonzero(group))] = np.arange(group.sum()) % count
    return Folds(frame, outcomes, clients, fold_of_client[clients])
