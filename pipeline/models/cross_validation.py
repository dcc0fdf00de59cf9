"""The labelled rows that a model is trained on, and their splits: by client, and by time."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date, timedelta

import numpy as np
import pandas as pd

from pipeline.core.schema import Schema

FOLDS = 5
NEWER = 0.3  # the share of dated rows that is chosen on, as nearly as dates allow
MAX_CHECKED = 10_000  # labelled rows to cross-validate on; more would hardly change what is chosen

# given two masks of rows: fits on the first and scores the second
Score = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True, eq=False)
class TrainingData:
    """Labelled rows.

    `frame` holds the features and outcomes of all of them; `sample`, which may be the same frame,
    those of at most about `MAX_CHECKED` with the columns of the client and of the date, if any. A
    row that counts more is there several times, with one number in the index: whatever is done by
    client then is right for it.
    """

    frame: pd.DataFrame
    sample: pd.DataFrame
    schema: Schema

    @property
    def rows(self) -> int:
        """The number of rows, each once."""
        return int(first_times(self.frame).sum())

    @property
    def left(self) -> int:
        """The number of rows whose outcome is 1, each once."""
        return int(self.frame[self.schema.outcome][first_times(self.frame)].sum())


def repeated(frame: pd.DataFrame, times: np.ndarray) -> pd.DataFrame:
    """The rows of a frame, each as often as `times` says, of shape (rows,)."""
    return frame.iloc[np.repeat(np.arange(len(frame)), times)]


def first_times(frame: pd.DataFrame) -> np.ndarray:
    """Which rows are no repetitions: shape (rows,)."""
    first: np.ndarray = ~frame.index.duplicated()
    return first


def labelled_rows(frame: pd.DataFrame, schema: Schema) -> pd.DataFrame:
    """The rows whose outcome is known; the frame itself if all are."""
    known = frame[schema.outcome].notna()
    return frame if known.all() else frame[known]


def subsample(labelled: pd.DataFrame, schema: Schema) -> pd.DataFrame:
    """At most `MAX_CHECKED` rows, evenly spaced; of dated rows at random, always the same ones."""
    if len(labelled) <= MAX_CHECKED:
        return labelled
    if schema.date:  # of ten lists of 10,000 clients, every tenth row has the same 1,000 clients
        drawn = np.random.default_rng(0).choice(len(labelled), MAX_CHECKED, replace=False)
        return labelled.iloc[np.sort(drawn)]
    return labelled.iloc[np.arange(MAX_CHECKED) * len(labelled) // MAX_CHECKED]


@dataclass(frozen=True)
class Folds:
    """Labelled rows (n), and of each its outcome and the numbers of its client and its fold."""

    frame: pd.DataFrame
    outcomes: np.ndarray
    clients: np.ndarray
    fold: np.ndarray

    def out_of_fold(self, score: Score, learned: "Folds | None" = None) -> np.ndarray:
        """The scores of each fold's rows after a fit on the rows of the others: shape (n,).

        The rows to fit on, and the mask of them that `score` gets, are these or those of `learned`.
        """
        known = (learned or self).fold
        scores = np.empty(len(self.frame))
        for number in np.unique(self.fold):
            held_out = self.fold == number
            scores[held_out] = score(known != number, held_out)
        return scores


@dataclass(frozen=True)
class Split:
    """The rows to learn from when choosing, and those to choose on, in the same folds by client.

    By time, each of `scored` is dated `since` or later, all of `learned` are older, and the fold of
    a client with none to score is -1. Else both are the same rows, and `since` is empty.
    """

    learned: Folds
    scored: Folds
    since: str = ""


def split_of(frame: pd.DataFrame, schema: Schema, seed: int) -> Split | None:
    """Split labelled rows by time if they are dated and enough for it, and by client.

    None if too few clients have one of the outcomes.
    """
    folds = folds_of(frame, schema, seed)
    by_time = _by_time(frame, schema, seed) if folds and schema.date else None
    return by_time or (Split(folds, folds) if folds else None)


def _by_time(frame: pd.DataFrame, schema: Schema, seed: int) -> Split | None:
    """The newest rows, to be scored by models of older ones; None if there are too few.

    Where the world changes, that tells best how a model will do: Cerqueira, Torgo and Mozetič,
    Evaluating Time Series Forecasting Models, Machine Learning 109, 2020. If enough others remain,
    rows whose horizon reaches to the scored ones are not learned from, as their outcomes were not
    known then: purging, López de Prado, Advances in Financial Machine Learning, 2018, 7.4.1.
    """
    if schema.horizon_days:  # of later rows only those who left have an outcome yet
        stayed = frame[schema.date][frame[schema.outcome] == 0]
        frame = frame[frame[schema.date] <= stayed.max()]
    dates = frame[schema.date]
    days, rows = np.unique(dates.to_numpy(dtype=object), return_counts=True)
    if len(days) < 2:
        return None
    newer = rows[::-1].cumsum()[::-1] / len(frame)  # the share from each day on
    since = days[1 + np.abs(newer[1:] - NEWER).argmin()]
    for gap in dict.fromkeys((schema.horizon_days or 1, 1)):
        until = (date.fromisoformat(since) - timedelta(gap)).isoformat()
        split = _clients_apart(frame[dates <= until], frame[dates >= since], schema, seed)
        if split:
            return replace(split, since=since)
    return None


def _clients_apart(
    older: pd.DataFrame, newer: pd.DataFrame, schema: Schema, seed: int
) -> Split | None:
    """Older rows, and newer ones in folds; None if either are too few to learn or choose."""
    learned, scored = folds_of(older, schema, seed), folds_of(newer, schema, seed)
    if len(older) < len(newer) or learned is None or scored is None:
        return None
    if min(learned.fold.max(), scored.fold.max()) < FOLDS - 1:  # a few clients show only noise
        return None
    fold_of_client = dict(zip(newer[schema.client], scored.fold, strict=True))
    fold = older[schema.client].map(fold_of_client).fillna(-1).to_numpy("int64")
    if any(len(np.unique(learned.outcomes[fold != number])) < 2 for number in range(FOLDS)):
        return None
    return Split(replace(learned, fold=fold), scored)


def folds_of(frame: pd.DataFrame, schema: Schema, seed: int) -> Folds | None:
    """Divide labelled rows into up to five folds; None if too few clients have one of the outcomes.

    All rows of a client are in one fold, and clients who left are spread evenly. scikit-learn's
    `StratifiedGroupKFold` takes 3.0 s for 10,000 clients with a row each, this 0.001 s.
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
