"""Drift tests on scores: does the live model still do as well as when it was deployed?

There are four, and every check gives the verdict of each:

    raw            the F1 on the new rows is lower than the deployed one
    parametric     it lies more than 2 standard deviations below the mean of earlier scores
    nonparametric  it lies more than 1.5 interquartile ranges below their 25th percentile
                   (Tukey, Exploratory Data Analysis, 1977, chapter 2)
    bootstrap      the 95 % interval of the F1 on the new rows less that on the test data lies
                   below zero (`pipeline.monitoring.bootstrap`)

Raw knows nothing of chance. The two that look at earlier scores learn from them how far scores
scatter, provided that the batches they come from were about as large as this one; a small batch
after large ones scatters further. Bootstrap takes chance from the rows themselves.

`python -m tests.bench.bench_drift` measures how often each is wrong; the least numbers below which
a test says nothing are drawn from it.
"""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.monitoring.bootstrap import Predictions, difference_of_samples

DRIFT, NO_DRIFT, NO_EVIDENCE = "drift", "no drift", "not enough evidence"
RAW, PARAMETRIC, NONPARAMETRIC, BOOTSTRAP = "raw", "parametric", "nonparametric", "bootstrap"
SCORE_TESTS = (RAW, PARAMETRIC, NONPARAMETRIC, BOOTSTRAP)

MAX_DEVIATIONS = 2.0
MAX_RANGES = 1.5

# The F1 of fewer rows has a handful of possible values. With 5 rows no test gives more false alarms
# than with 25; it only finds less.
MIN_ROWS = 5
# Without any change, in batches of 25 rows, parametric alarms in 12 % after 5 earlier scores and in
# 18 % after 3; nonparametric in 16 % and 19 %. After 20 both do in 6 %.
MIN_EARLIER_SCORES = 5
# Clients who left, in each of the two samples. Where all of a few are missed, every resample has an
# F1 of 0 and the interval no length: asked for one of them only, bootstrap alarms in 16 % of
# unchanged batches of 8 rows, and as often in those of 25 where 5 % leave; asked for 5, in 3 % and
# less.
MIN_LEAVERS = 5


@dataclass(frozen=True, eq=False)
class Evidence:
    """What the tests look at.

    `new` and `test` are the live model's predictions of new rows and of test data with a known
    outcome. `new_f1` is the F1 of `new`, None where that is undefined; `deployed_f1` the score the
    model was deployed with. `earlier` holds that score and the live model's F1 on each earlier
    batch, in any order.
    """

    new: Predictions
    new_f1: float | None
    deployed_f1: float
    earlier: Sequence[float]
    test: Predictions


@dataclass(frozen=True)
class Verdict:
    """What a drift test says, why, and the numbers it used, by name."""

    test: str
    verdict: str
    reason: str
    numbers: dict[str, float]


def check_scores(evidence: Evidence, seed: int) -> tuple[Verdict, ...]:
    """The verdicts of all four tests, in the order of `SCORE_TESTS`."""
    return (
        raw(evidence),
        parametric(evidence),
        nonparametric(evidence),
        bootstrap(evidence, seed),
    )


def raw(evidence: Evidence) -> Verdict:
    """Drift if the F1 on the new rows is lower than the deployed one."""
    numbers = {"deployed_f1": evidence.deployed_f1}
    if lack := _lack_of_rows(evidence):
        return _verdict(RAW, NO_EVIDENCE, lack, evidence, numbers)
    return _against(RAW, evidence, evidence.deployed_f1, "the deployed {limit:.4f}", numbers)


def parametric(evidence: Evidence) -> Verdict:
    """Drift if the F1 on the new rows is far below the mean of earlier ones, in deviations.

    The deviation is the sample's, with n - 1 below the line.
    """
    earlier = evidence.earlier
    numbers = {"earlier": float(len(earlier))}
    if lack := _lack_of_rows(evidence) or _lack_of_earlier(evidence):
        return _verdict(PARAMETRIC, NO_EVIDENCE, lack, evidence, numbers)
    # exact sums: the mean of equal scores is that score to the last digit, their deviation 0
    mean, deviation = float(statistics.mean(earlier)), float(statistics.stdev(earlier))
    numbers |= {"mean": mean, "standard_deviation": deviation}
    words = (
        f"{{limit:.4f}}, {MAX_DEVIATIONS:g} standard deviations below the mean of earlier scores"
    )
    return _against(PARAMETRIC, evidence, mean - MAX_DEVIATIONS * deviation, words, numbers)


def nonparametric(evidence: Evidence) -> Verdict:
    """Drift if the F1 on the new rows is far below the lower quarter of earlier ones."""
    numbers = {"earlier": float(len(evidence.earlier))}
    if lack := _lack_of_rows(evidence) or _lack_of_earlier(evidence):
        return _verdict(NONPARAMETRIC, NO_EVIDENCE, lack, evidence, numbers)
    lower, upper = map(float, np.percentile(evidence.earlier, [25, 75]))
    numbers |= {"percentile_25": lower, "percentile_75": upper}
    words = (
        f"{{limit:.4f}}, {MAX_RANGES:g} interquartile ranges below the 25th percentile of earlier"
        " ones"
    )
    return _against(NONPARAMETRIC, evidence, lower - MAX_RANGES * (upper - lower), words, numbers)


def bootstrap(evidence: Evidence, seed: int) -> Verdict:
    """Drift if the 95 % interval of F1 on the new rows less F1 on the test data is below zero."""
    numbers = {"test_rows": float(len(evidence.test.outcomes))}
    if lack := _lack_of_rows(evidence) or _lack_of_leavers(evidence):
        return _verdict(BOOTSTRAP, NO_EVIDENCE, lack, evidence, numbers)
    found = difference_of_samples(evidence.new, evidence.test, seed)
    numbers |= {"difference": found.value, "low": found.low, "high": found.high}
    where, verdict = "including zero", NO_DRIFT
    if found.high < 0:
        where, verdict = "below zero", DRIFT
    elif found.low > 0:
        where = "above zero: the model does better on the new rows"
    reason = (
        f"F1 on the new rows less that on the test data is {found.value:+.4f},"
        f" its 95 % interval {found.low:+.4f} to {found.high:+.4f}, {where}"
    )
    return _verdict(BOOTSTRAP, verdict, reason, evidence, numbers)


def _against(
    test: str, evidence: Evidence, limit: float, words: str, numbers: dict[str, float]
) -> Verdict:
    """Drift if the F1 on the new rows is lower than the limit, which the words name."""
    assert evidence.new_f1 is not None  # else the rows are lacking
    lower = evidence.new_f1 < limit
    how = ("lower" if lower else "not lower") + " than " + words.format(limit=limit)
    reason = f"F1 on the new rows is {evidence.new_f1:.4f}, {how}"
    verdict = DRIFT if lower else NO_DRIFT
    return _verdict(test, verdict, reason, evidence, numbers | {"limit": limit})


def _verdict(
    test: str, verdict: str, reason: str, evidence: Evidence, numbers: dict[str, float]
) -> Verdict:
    used = {"rows": float(len(evidence.new.outcomes))}
    if evidence.new_f1 is not None:
        used["new_f1"] = evidence.new_f1
    return Verdict(test, verdict, reason, used | numbers)


def _lack_of_rows(evidence: Evidence) -> str:
    outcomes = evidence.new.outcomes
    if len(outcomes) < MIN_ROWS:
        return f"new rows with a known outcome: {len(outcomes)}, at least {MIN_ROWS} are needed"
    if not 0 < np.count_nonzero(outcomes) < len(outcomes):
        who = "left" if outcomes[0] else "stayed"
        return f"all {len(outcomes):,} new rows with a known outcome are of clients who {who}"
    return "the F1 on the new rows is undefined" if evidence.new_f1 is None else ""


def _lack_of_earlier(evidence: Evidence) -> str:
    count = len(evidence.earlier)
    return (
        f"earlier scores: {count}, at least {MIN_EARLIER_SCORES} are needed"
        if count < MIN_EARLIER_SCORES
        else ""
    )


def _lack_of_leavers(evidence: Evidence) -> str:
    for sample, name in ((evidence.new, "new rows"), (evidence.test, "test data")):
        left = len(set(sample.clients[sample.outcomes == 1]))
        if left < MIN_LEAVERS:
            return f"clients who left in the {name}: {left}, at least {MIN_LEAVERS} are needed"
    return ""
