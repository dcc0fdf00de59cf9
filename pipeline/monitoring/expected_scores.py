"""The scores to expect of a batch before its outcomes are known, from its risks alone.

If risks are calibrated, the outcomes of the rows are draws with these probabilities: outcomes are
simulated a few hundred times, and each time the predictions are scored. The mean is what to expect,
the percentile interval is where the true score will be in 95 of 100 batches. Source: what NannyML
calls confidence-based performance estimation, CBPE (its documentation, "How it works", performance
estimation); for the scores as distributions, Kivimäki, Białek, Kuberski and Nurminen, Performance
Estimation in Binary Classification Using Calibrated Confidence, 2025, arXiv:2505.05295. Theirs of
the F1 is exact; drawing outcomes gives average precision and ROC AUC by the same means.

It trusts the calibration. Other clients than those learned from it sees, a change of causes, which
makes the same clients leave at other rates, it cannot. Each row is drawn by itself: where a client
has many rows, the interval is too short.
"""

from dataclasses import dataclass

import numpy as np

from pipeline.monitoring.bootstrap import Interval, interval_of, rank_scores
from pipeline.monitoring.decisions import Scores

# Of fewer rows the interval tells nothing: of 100, of whom a fifth leave, that of an AUC of 0.8 is
# 0.2 wide, that of the F1 twice as much.
MIN_ROWS = 100
DRAWS = 300
MAX_ROWS = 10_000  # of a draw: 0.3 s for all of them


@dataclass(frozen=True)
class ExpectedScore:
    """A score as it is expected, and its 95 % interval."""

    value: float
    interval: Interval


@dataclass(frozen=True)
class Expected:
    """The scores that risks let expect; None where all draws have the same outcome."""

    f1: ExpectedScore
    average_precision: ExpectedScore | None
    roc_auc: ExpectedScore | None


@dataclass(frozen=True)
class ExpectedOfBatch:
    """The scores to expect of all rows of a batch, or of those whose outcome is known.

    `true` are the scores that the same rows have, where all outcomes are known.
    """

    labelled: bool  # whether of those with a known outcome alone
    rows: int
    expected: Expected
    true: Scores | None


def expected_of_batch(
    risk: np.ndarray, of_labelled: np.ndarray, true: Scores | None, threshold: float, seed: int
) -> tuple[ExpectedOfBatch, ...]:
    """The scores to expect of a batch, and of those of its rows whose outcome is known.

    `risk` are the risks of all rows, `of_labelled` those of the ones with a known outcome, whose
    scores are `true`. One of both where these are all rows; none of fewer rows than `MIN_ROWS`.
    """
    samples = [(False, risk, true if len(of_labelled) == len(risk) else None)]
    if len(of_labelled) < len(risk):
        samples.append((True, of_labelled, true))
    return tuple(
        ExpectedOfBatch(labelled, len(risks), expected_scores(risks, threshold, seed), scores)
        for labelled, risks, scores in samples
        if len(risks) >= MIN_ROWS
    )


def expected_scores(risk: np.ndarray, threshold: float, seed: int) -> Expected:
    """The scores to expect of rows with these calibrated risks, of shape (rows,).

    Clients at or above the threshold are predicted to leave. A draw in which the F1 is undefined
    (0/0) counts as 0; one with a single outcome has no average precision and no ROC AUC and is left
    out. Above `MAX_ROWS` a draw is of that many, evenly spaced by risk. The scores are then those
    of the expected counts of all rows, and the intervals as short as of so many, by the square root
    of the numbers. Raises `ValueError` if there is no row.
    """
    if not len(risk):
        raise ValueError("there are no rows to expect scores of")
    risk = -np.sort(-risk)
    every = max(1.0, len(risk) / MAX_ROWS)
    drawn = risk[((np.arange(min(len(risk), MAX_ROWS)) + 0.5) * every).astype("int64")]
    random = np.random.default_rng(seed)
    scores = np.array(
        [_scores_of(random.random(len(drawn)) < drawn, drawn, threshold) for _ in range(DRAWS)]
    )
    centre = _scores_of(risk, risk, threshold) if every > 1 else (None, None, None)
    f1, precision, auc = (
        _expected(found[~np.isnan(found)], value, every**-0.5)
        for found, value in zip(scores.T, centre, strict=True)
    )
    assert f1  # it counts as 0 where undefined
    return Expected(f1, precision, auc)


def _scores_of(left: np.ndarray, risk: np.ndarray, threshold: float) -> tuple[float, float, float]:
    """F1, average precision and ROC AUC of outcomes, or of their probabilities, of (rows,).

    The risks are in falling order; the last two are NaN of one outcome only.
    """
    named = int((risk >= threshold).sum())  # they are the first rows
    f1 = 2 * left[:named].sum() / max(named + left.sum(), 1)
    ends = np.append(np.flatnonzero(np.diff(risk)), len(risk) - 1)
    auc, precision = rank_scores(left, np.ones(len(risk)), ends)
    return float(f1), precision, auc


def _expected(drawn: np.ndarray, value: float | None, length: float) -> ExpectedScore | None:
    """The mean of drawn scores, or the value given, and their interval, so much shorter."""
    if not len(drawn):
        return None
    mean, found = float(drawn.mean()), interval_of(drawn)
    value = mean if value is None else value
    low, high = (value + length * (bound - mean) for bound in (found.low, found.high))
    return ExpectedScore(value, Interval(low, high))
