"""Confidence intervals of all scores of a model: what they would be of other clients like these.

Those of F1, precision, recall and accuracy come of `pipeline.monitoring.bootstrap`. The other
scores depend on every risk, so each resample weighs the rows anew: 300 times, and from a third of a
million rows on fewer, down to 100. They are taken one at a time, so that memory stays at a few
arrays of the rows' length.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from pipeline.monitoring.bootstrap import (
    Interval,
    Predictions,
    f1_of,
    interval_of,
    resampled_confusions,
)

MOST_WEIGHTED, FEWEST_WEIGHTED = 300, 100  # resamples
ROWS_WEIGHTED = 100_000_000  # rows of all resamples together: some five seconds
SMALLEST = float(np.finfo("float64").eps)  # a risk counts as no nearer to 0 or 1, as in log_loss


def score_intervals(sample: Predictions, risk: np.ndarray, seed: int) -> dict[str, Interval | None]:
    """The 95 % interval of each score of `pipeline.storage.records.Scores`, by its name there.

    `risk` in [0, 1] has the shape (rows,). None where these rows leave the score undefined (0/0, or
    one outcome only). Resamples that leave F1, precision or recall undefined count as 0; those of
    one outcome only have no ROC AUC and no average precision and are left out. Source of the
    method: as in `pipeline.monitoring.bootstrap`. Raises `ValueError` if there is no row.
    """
    counted, weighted = np.random.default_rng(seed).spawn(2)
    return _of_counts(sample, counted) | _of_risks(sample, risk, weighted)


def _of_counts(sample: Predictions, random: np.random.Generator) -> dict[str, Interval | None]:
    tables = resampled_confusions(sample, random)
    right, left, said = tables[:, 1, 1], tables[:, 1].sum(-1), tables[..., 1].sum(-1)
    accuracy = (tables[:, 0, 0] + right) / tables.sum((-2, -1))
    somebody_left, somebody_said = bool(sample.outcomes.any()), bool(sample.predicted.any())
    return {
        "f1": interval_of(f1_of(tables)) if somebody_left or somebody_said else None,
        "accuracy": interval_of(accuracy),
        "precision": interval_of(right / np.maximum(said, 1)) if somebody_said else None,
        "recall": interval_of(right / np.maximum(left, 1)) if somebody_left else None,
    }


def _of_risks(
    sample: Predictions, risk: np.ndarray, random: np.random.Generator
) -> dict[str, Interval | None]:
    rows = _ranked(sample, risk)
    ranks, losses = [], []
    fitting = ROWS_WEIGHTED // len(risk)
    for _ in range(min(MOST_WEIGHTED, max(FEWEST_WEIGHTED, fitting))):
        drawn = random.integers(rows.clients, size=rows.clients)
        weights = np.bincount(drawn, minlength=rows.clients).astype("float64")
        losses.append(weights @ rows.losses / (weights @ rows.rows))
        if (rank := _rank_scores(rows, weights[rows.codes])) is not None:
            ranks.append(rank)
    both = 0 < rows.outcomes.sum() < len(rows.outcomes)
    found: dict[str, Interval | None] = dict.fromkeys(("roc_auc", "average_precision"))
    if both and ranks:
        found = {name: interval_of(v) for name, v in zip(found, np.transpose(ranks), strict=True)}
    log_loss, brier = np.transpose(losses)
    return found | {"log_loss": interval_of(log_loss), "brier": interval_of(brier)}


@dataclass(frozen=True, eq=False)
class _Ranked:
    """The rows from the highest risk to the lowest, and what each client adds to the losses."""

    outcomes: np.ndarray  # (rows,)
    codes: np.ndarray  # (rows,): the client's number
    ends: np.ndarray  # the last place of each different risk
    rows: np.ndarray  # (clients,)
    losses: np.ndarray  # (clients, 2): log loss and Brier score, summed

    @property
    def clients(self) -> int:
        return len(self.rows)


def _ranked(sample: Predictions, risk: np.ndarray) -> _Ranked:
    order = np.argsort(-risk, kind="stable")
    risk, outcomes = risk[order], np.asarray(sample.outcomes, dtype="float64")[order]
    # numbered in this order, the weights of most rows lie side by side
    codes, _ = pd.factorize(sample.clients[order], use_na_sentinel=False)
    of_truth = np.clip(np.where(outcomes == 1, risk, 1 - risk), SMALLEST, 1 - SMALLEST)
    by_row = (-np.log(of_truth), (risk - outcomes) ** 2)
    return _Ranked(
        outcomes=outcomes,
        codes=codes,
        ends=np.append(np.flatnonzero(np.diff(risk)), len(risk) - 1),
        rows=np.bincount(codes).astype("float64"),
        losses=np.column_stack([np.bincount(codes, weights=loss) for loss in by_row]),
    )


def _rank_scores(rows: _Ranked, weights: np.ndarray) -> tuple[float, float] | None:
    """ROC AUC and average precision of weighted rows; None if they are of one outcome only."""
    found = np.cumsum(weights * rows.outcomes)[rows.ends]
    taken = np.cumsum(weights)[rows.ends]
    wrong = taken - found
    if not 0 < found[-1] < taken[-1]:
        return None
    steps = np.diff(found, prepend=0)
    area = np.trapezoid(np.append(0, found), np.append(0, wrong)) / (found[-1] * wrong[-1])
    precision = steps @ (found / np.maximum(taken, 1)) / found[-1]
    return float(area), float(precision)
