"""Drift tests on scores: does the live model still do as well as when it was deployed?

Every check gives the verdicts of all five:

    raw            the F1 on the new rows is lower than the deployed one
    parametric     it is more than 2 standard deviations below the mean of earlier scores
    nonparametric  it is more than 1.5 interquartile ranges below their 25th percentile
                   (Tukey, Exploratory Data Analysis, 1977, chapter 2)
    bootstrap      the 95 % interval of the F1 on the new rows minus that on the test data is
                   below zero (`pipeline.monitoring.bootstrap`)
    ranking        the 95 % interval of the ROC AUC on the new rows minus that on test data and
                   earlier batches is below zero, or that of the log loss, as a part of what the
                   share of leavers alone gives, is above (`pipeline.monitoring.risk_differences`)

Raw ignores chance. Parametric and nonparametric estimate the scatter from earlier scores, provided
that their batches were about as large as this one; smaller batches scatter further. Bootstrap
and ranking estimate it from the rows themselves. An F1 of 0 is no good result, whatever test there
is: of many leavers it is drift, of few no evidence; unless those named were contacted.

`python -m tests.bench.bench_drift` measures how often each test is wrong; the minimum numbers below
are derived from it.
"""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from pipeline.core.policy import DriftTest
from pipeline.monitoring import sentences
from pipeline.monitoring.bootstrap import Predictions, difference_of_samples
from pipeline.monitoring.decisions import ScoreDrift, Verdict
from pipeline.monitoring.metrics import Tested
from pipeline.monitoring.risk_differences import of_samples

MAX_DEVIATIONS = 2.0
MAX_RANGES = 1.5

# The F1 of fewer rows has a handful of possible values. With 5 rows no test gives more false alarms
# than with 25; it only finds less.
MIN_ROWS = 5
# Without any change, in batches of 25 rows, parametric alarms in 12 % after 5 earlier scores and in
# 18 % after 3; nonparametric in 16 % and 19 %. After 20 both do in 6 %.
MIN_EARLIER_SCORES = 5
# Clients who left, in each of the two samples. If all of a few are missed, every resample has an F1
# of 0 and the interval no length: with a minimum of 1, bootstrap alarms in 16 % of unchanged
# batches of 8 rows, and as often in those of 25 where 5 % leave; with 5, in 3 % and less.
MIN_LEAVERS = 5
# For ranking, clients of either outcome in each of the two samples.
MIN_RANKED = 20


@dataclass(frozen=True, eq=False)
class Evidence:
    """What the tests are given.

    `new` and `test` are the live model's predictions of new rows and of test data with a known
    outcome. `new_f1` is the F1 of `new`, None if undefined; `deployed_f1` the score the model was
    deployed with. `earlier` holds that score and the live model's F1 on each earlier batch, in any
    order. `before` are its predictions of the test data and of earlier batches together.
    """

    new: Tested
    new_f1: float | None
    deployed_f1: float
    earlier: Sequence[float]
    test: Predictions
    before: Tested
    contacted: bool = False  # whether rows are left out whose outcome a contact may have changed


def check_scores(evidence: Evidence, seed: int) -> tuple[ScoreDrift, ...]:
    """The verdicts of all five tests, in the order of `DriftTest`."""
    found = (
        raw(evidence),
        parametric(evidence),
        nonparametric(evidence),
        bootstrap(evidence, seed),
        ranking(evidence, seed),
    )
    left = len(set(evidence.new.clients[evidence.new.outcomes == 1]))
    # those whom the model names are contacted, and then not among the rows
    if evidence.new_f1 != 0 or not left or evidence.contacted:
        return found
    verdict = Verdict.DRIFT if left >= MIN_RANKED else Verdict.NO_EVIDENCE
    reason = sentences.NAMES_NOBODY.format(left=left)
    return tuple(
        replace(one, verdict=verdict, reason=reason) if one.verdict == Verdict.NO_DRIFT else one
        for one in found
    )


def raw(evidence: Evidence) -> ScoreDrift:
    """Drift if the F1 on the new rows is lower than the deployed one."""
    limit = evidence.deployed_f1
    numbers = {"deployed_f1": limit}
    if lack := _lack_of_rows(evidence):
        return _found(DriftTest.RAW, Verdict.NO_EVIDENCE, lack, evidence, numbers)
    return _against(DriftTest.RAW, evidence, limit, f"the deployed {limit:.4f}", numbers)


def parametric(evidence: Evidence) -> ScoreDrift:
    """Drift if the F1 on the new rows is far below the mean of earlier ones, in deviations.

    The deviation is the sample's, with n - 1 as its denominator.
    """
    earlier = evidence.earlier
    numbers = {"earlier": float(len(earlier))}
    if lack := _lack_of_rows(evidence) or _lack_of_earlier(evidence):
        return _found(DriftTest.PARAMETRIC, Verdict.NO_EVIDENCE, lack, evidence, numbers)
    # exact sums: the mean of equal scores is that score to the last digit, their deviation 0
    mean, deviation = float(statistics.mean(earlier)), float(statistics.stdev(earlier))
    numbers |= {"mean": mean, "standard_deviation": deviation}
    limit = mean - MAX_DEVIATIONS * deviation
    name = f"{limit:.4f}, {MAX_DEVIATIONS:g} standard deviations below the mean of earlier scores"
    return _against(DriftTest.PARAMETRIC, evidence, limit, name, numbers)


def nonparametric(evidence: Evidence) -> ScoreDrift:
    """Drift if the F1 on the new rows is far below the lower quarter of earlier ones."""
    numbers = {"earlier": float(len(evidence.earlier))}
    if lack := _lack_of_rows(evidence) or _lack_of_earlier(evidence):
        return _found(DriftTest.NONPARAMETRIC, Verdict.NO_EVIDENCE, lack, evidence, numbers)
    lower, upper = map(float, np.percentile(evidence.earlier, [25, 75]))
    numbers |= {"percentile_25": lower, "percentile_75": upper}
    limit = lower - MAX_RANGES * (upper - lower)
    name = (
        f"{limit:.4f}, {MAX_RANGES:g} interquartile ranges below the 25th percentile of earlier"
        " ones"
    )
    return _against(DriftTest.NONPARAMETRIC, evidence, limit, name, numbers)


def bootstrap(evidence: Evidence, seed: int) -> ScoreDrift:
    """Drift if the 95 % interval of F1 on the new rows minus F1 on the test data is below zero."""
    numbers = {"test_rows": float(evidence.test.rows)}
    if lack := _lack_of_rows(evidence) or _lack_of_leavers(evidence):
        return _found(DriftTest.BOOTSTRAP, Verdict.NO_EVIDENCE, lack, evidence, numbers)
    found = difference_of_samples(evidence.new, evidence.test, seed)
    verdict = Verdict.DRIFT if found.high < 0 else Verdict.NO_DRIFT
    reason = sentences.f1_difference(found.value, found.low, found.high)
    numbers |= {"difference": found.value, "low": found.low, "high": found.high}
    return _found(DriftTest.BOOTSTRAP, verdict, reason, evidence, numbers)


def ranking(evidence: Evidence, seed: int) -> ScoreDrift:
    """Drift if the 95 % interval of the ROC AUC, or of the log loss, is worse than before.

    Each finds a change in 2.5 % of unchanged batches, both together in at most 5 %.
    """
    numbers = {"earlier_rows": float(evidence.before.rows)}
    if lack := _lack_of_rows(evidence) or _lack_of_ranked(evidence):
        return _found(DriftTest.RANKING, Verdict.NO_EVIDENCE, lack, evidence, numbers)
    found = of_samples(evidence.new, evidence.before, seed)
    verdict = Verdict.DRIFT if found.worse() else Verdict.NO_DRIFT
    numbers |= found.numbers()
    return _found(DriftTest.RANKING, verdict, sentences.ranking(found), evidence, numbers)


def _against(
    test: DriftTest, evidence: Evidence, limit: float, name: str, numbers: dict[str, float]
) -> ScoreDrift:
    """Drift if the F1 on the new rows is lower than the limit."""
    assert evidence.new_f1 is not None  # else there is a lack of rows
    verdict = Verdict.DRIFT if evidence.new_f1 < limit else Verdict.NO_DRIFT
    reason = sentences.f1_against(evidence.new_f1, limit, name)
    return _found(test, verdict, reason, evidence, {**numbers, "limit": limit})


def _found(
    test: DriftTest, verdict: Verdict, reason: str, evidence: Evidence, numbers: dict[str, float]
) -> ScoreDrift:
    used = {"rows": float(evidence.new.rows)}
    if evidence.new_f1 is not None:
        used["new_f1"] = evidence.new_f1
    return ScoreDrift(test, verdict, reason, used | numbers)


def _lack_of_rows(evidence: Evidence) -> str:
    outcomes = evidence.new.outcomes
    if evidence.new.rows < MIN_ROWS:
        return sentences.too_few("new rows with a known outcome", evidence.new.rows, MIN_ROWS)
    if not 0 < np.count_nonzero(outcomes) < len(outcomes):
        return sentences.one_outcome(evidence.new.rows, left=bool(outcomes[0]))
    return "the F1 on the new rows is undefined" if evidence.new_f1 is None else ""


def _lack_of_earlier(evidence: Evidence) -> str:
    count = len(evidence.earlier)
    if count >= MIN_EARLIER_SCORES:
        return ""
    return sentences.too_few("earlier scores", count, MIN_EARLIER_SCORES)


def _lack_of_leavers(evidence: Evidence) -> str:
    for sample, name in ((evidence.new, "new rows"), (evidence.test, "test data")):
        left = len(set(sample.clients[sample.outcomes == 1]))
        if left < MIN_LEAVERS:
            return sentences.too_few(f"clients who left in the {name}", left, MIN_LEAVERS)
    return ""


def _lack_of_ranked(evidence: Evidence) -> str:
    before = "test data and earlier batches"
    for sample, name in ((evidence.new, "new rows"), (evidence.before, before)):
        for outcome, who in ((1, "left"), (0, "stayed")):
            clients = len(set(sample.clients[sample.outcomes == outcome]))
            if clients < MIN_RANKED:
                return sentences.too_few(f"clients who {who} in the {name}", clients, MIN_RANKED)
    return ""
