from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit
from sklearn.metrics import roc_auc_score

from pipeline.core.policy import DriftTest
from pipeline.monitoring import metrics
from pipeline.monitoring.bootstrap import difference_of_samples
from pipeline.monitoring.decisions import ScoreDrift, Verdict
from pipeline.monitoring.risk_differences import of_samples
from pipeline.monitoring.score_drift import (
    Evidence,
    bootstrap,
    check_scores,
    nonparametric,
    parametric,
    ranking,
    raw,
)


def rows(right: int, wrong: int, missed: int, stayed: int) -> metrics.Tested:
    """Leavers that are found, others named wrongly, leavers missed, and all others."""
    outcomes = [1] * right + [0] * wrong + [1] * missed + [0] * stayed
    predicted = [1] * (right + wrong) + [0] * (missed + stayed)
    named = np.array(predicted)
    return metrics.Tested(
        np.array(outcomes), named, np.arange(len(outcomes)), risk=0.1 + 0.5 * named
    )


TEST = rows(320, 80, 180, 1420)  # F1 0.7111
NEW = rows(16, 4, 9, 71)  # the same, a twentieth as large
EARLIER = (0.70, 0.72, 0.71, 0.69, 0.73)
EVIDENCE = Evidence(new=NEW, new_f1=0.7, deployed_f1=0.7, earlier=EARLIER, test=TEST, before=TEST)


def said(new_f1: float | None, **others: object) -> Evidence:
    return replace(EVIDENCE, new_f1=new_f1, **others)  # type: ignore[arg-type]


def test_every_check_gives_the_verdict_of_all_five() -> None:
    verdicts = check_scores(EVIDENCE, seed=1)
    assert tuple(verdict.test for verdict in verdicts) == tuple(DriftTest)
    assert [verdict.verdict for verdict in verdicts] == [Verdict.NO_DRIFT] * 5


def test_a_check_repeats_under_the_same_seed() -> None:
    assert check_scores(EVIDENCE, seed=1) == check_scores(EVIDENCE, seed=1)
    assert check_scores(EVIDENCE, seed=1) != check_scores(EVIDENCE, seed=2)


def test_an_f1_of_0_decides_nothing_where_those_named_were_contacted() -> None:
    named_nobody = said(0.0, new=rows(0, 0, 25, 75), test=rows(0, 0, 500, 1500))
    named_nobody = replace(named_nobody, before=named_nobody.test)
    for contacted, verdict in ((False, Verdict.DRIFT), (True, Verdict.NO_DRIFT)):
        found = check_scores(replace(named_nobody, contacted=contacted), seed=1)
        assert [one.verdict for one in found if one.test == DriftTest.RANKING] == [verdict]


# --- raw ---


def test_raw_a_lower_f1_is_drift() -> None:
    assert raw(said(0.5, deployed_f1=0.75)) == ScoreDrift(
        "raw",
        "drift",
        "F1 on the new rows is 0.5000, lower than the deployed 0.7500",
        {"rows": 100.0, "new_f1": 0.5, "deployed_f1": 0.75, "limit": 0.75},
    )


def test_raw_a_higher_f1_is_no_drift() -> None:
    verdict = raw(said(0.8, deployed_f1=0.75))
    assert verdict.verdict == "no drift"
    assert verdict.reason == "F1 on the new rows is 0.8000, not lower than the deployed 0.7500"


@pytest.mark.parametrize(
    ("given", "verdict"),
    [
        (said(0.7), Verdict.NO_DRIFT),  # the same
        (said(0.6999999999), Verdict.DRIFT),
        (said(0.0), Verdict.DRIFT),  # which is not a missing one
        (said(0.5, earlier=()), Verdict.DRIFT),
        (said(0.0, new=rows(0, 4, 4, 0)), Verdict.DRIFT),
    ],
)
def test_raw_takes_any_lower_f1_for_drift(given: Evidence, verdict: Verdict) -> None:
    assert raw(given).verdict == verdict


# --- parametric ---

# mean 0.71, deviation sqrt((0 + 4 + 1 + 1 + 4) 1e-4 / 4) = 0.015811, limit 0.678377


def test_parametric_far_below_the_mean_is_drift() -> None:
    assert parametric(said(0.6783)) == ScoreDrift(
        "parametric",
        "drift",
        "F1 on the new rows is 0.6783, lower than 0.6784, 2 standard deviations below the mean of"
        " earlier scores",
        {
            "rows": 100.0,
            "new_f1": 0.6783,
            "earlier": 5.0,
            "mean": pytest.approx(0.71),
            "standard_deviation": pytest.approx(0.0158114),
            "limit": pytest.approx(0.6783772),
        },
    )


def test_parametric_a_little_below_the_mean_is_no_drift() -> None:
    assert parametric(said(0.6785)).reason == (
        "F1 on the new rows is 0.6785, not lower than 0.6784, 2 standard deviations below the mean"
        " of earlier scores"
    )
    assert parametric(said(0.6785)).verdict == Verdict.NO_DRIFT


# --- nonparametric ---

# the quartiles of five are the second and the fourth: 0.70 and 0.72, limit 0.70 - 1.5 * 0.02


def test_nonparametric_far_below_the_quartile_is_drift() -> None:
    assert nonparametric(said(0.6699)) == ScoreDrift(
        "nonparametric",
        "drift",
        "F1 on the new rows is 0.6699, lower than 0.6700, 1.5 interquartile ranges below the 25th"
        " percentile of earlier ones",
        {
            "rows": 100.0,
            "new_f1": 0.6699,
            "earlier": 5.0,
            "percentile_25": pytest.approx(0.7),
            "percentile_75": pytest.approx(0.72),
            "limit": pytest.approx(0.67),
        },
    )


def test_nonparametric_a_little_below_the_quartile_is_no_drift() -> None:
    verdict = nonparametric(said(0.6701))
    assert verdict.verdict == Verdict.NO_DRIFT
    assert verdict.reason.startswith("F1 on the new rows is 0.6701, not lower than 0.6700, 1.5 ")


def test_one_odd_score_moves_the_mean_and_not_the_quartiles() -> None:
    odd = said(0.6, earlier=(*EARLIER, 0.70, 0.71, 0.1))
    assert parametric(odd).verdict == Verdict.NO_DRIFT
    assert nonparametric(odd).verdict == Verdict.DRIFT


SCORES = st.floats(0, 1)


@pytest.mark.parametrize("test", [parametric, nonparametric])
@given(score=SCORES, count=st.integers(5, 40))
def test_a_score_like_all_earlier_ones_is_no_drift(
    test: Callable[[Evidence], ScoreDrift], score: float, count: int
) -> None:
    same = said(score, earlier=[score] * count)
    assert test(same).verdict == Verdict.NO_DRIFT


@pytest.mark.parametrize("test", [parametric, nonparametric])
@given(earlier=st.lists(SCORES, min_size=5, max_size=30), scores=st.tuples(SCORES, SCORES))
def test_where_a_score_is_drift_a_lower_one_is(
    test: Callable[[Evidence], ScoreDrift], earlier: list[float], scores: tuple[float, float]
) -> None:
    low, high = sorted(scores)
    if test(said(high, earlier=earlier)).verdict == Verdict.DRIFT:
        assert test(said(low, earlier=earlier)).verdict == Verdict.DRIFT


@given(earlier=st.lists(SCORES, min_size=5, max_size=30))
def test_no_score_that_was_there_before_within_the_quartiles_is_drift(earlier: list[float]) -> None:
    middle = sorted(earlier)[len(earlier) // 2]
    assert nonparametric(said(middle, earlier=earlier)).verdict == Verdict.NO_DRIFT


# --- bootstrap ---


def test_bootstrap_an_interval_below_zero_is_drift() -> None:
    new = rows(8, 10, 17, 65)
    found = difference_of_samples(new, TEST, 1)
    verdict = bootstrap(said(0.3721, new=new), seed=1)
    assert verdict == ScoreDrift(
        "bootstrap",
        "drift",
        "F1 on the new rows minus F1 on the test data is -0.3390, its 95 % interval"
        f" {found.low:+.4f} to {found.high:+.4f}, below zero",
        {
            "rows": 100.0,
            "new_f1": 0.3721,
            "test_rows": 2000.0,
            "difference": found.value,
            "low": found.low,
            "high": found.high,
        },
    )
    assert found.high < 0


def test_bootstrap_an_interval_around_zero_is_no_drift() -> None:
    verdict = bootstrap(said(0.7111), seed=1)
    assert verdict.verdict == Verdict.NO_DRIFT
    assert verdict.reason.endswith(", including zero")
    assert verdict.numbers["low"] < 0 < verdict.numbers["high"]


def test_bootstrap_an_interval_above_zero_is_no_drift_and_says_so() -> None:
    verdict = bootstrap(said(1.0, new=rows(25, 0, 0, 75)), seed=1)
    assert verdict.verdict == Verdict.NO_DRIFT
    assert verdict.reason.endswith(", above zero: the model does better on the new rows")
    assert verdict.numbers["low"] > 0


def test_bootstrap_takes_the_same_fall_for_drift_only_where_rows_are_many() -> None:
    few, many = rows(12, 5, 13, 70), rows(1200, 500, 1300, 7000)
    assert bootstrap(said(0.5714, new=few), seed=1).verdict == Verdict.NO_DRIFT
    assert bootstrap(said(0.5714, new=many), seed=1).verdict == Verdict.DRIFT


def test_bootstrap_counts_clients_not_rows() -> None:
    few = rows(0, 0, 4, 6)
    columns = (few.outcomes, few.predicted, few.clients)
    again = metrics.Tested(*(np.repeat(v, 9) for v in columns), risk=np.repeat(few.risk, 9))
    verdict = bootstrap(said(0.0, new=again), seed=1)
    assert verdict.verdict == Verdict.NO_EVIDENCE
    assert verdict.reason == "clients who left in the new rows: 4, at least 5 are needed"


# --- not enough evidence ---


def verdicts(evidence: Evidence) -> list[str]:
    return [verdict.verdict for verdict in check_scores(evidence, seed=1)]


def reasons(evidence: Evidence) -> set[str]:
    return {verdict.reason for verdict in check_scores(evidence, seed=1)}


def test_five_rows_are_enough_for_all_but_bootstrap() -> None:
    five = said(0.0, new=rows(0, 2, 2, 1))
    assert verdicts(five) == [Verdict.DRIFT] * 3 + [Verdict.NO_EVIDENCE] * 2


@pytest.mark.parametrize("count", [0, 1, 4])
def test_of_few_rows_no_test_says_anything(count: int) -> None:
    few = said(0.0 if count else None, new=rows(0, 0, count // 2, count - count // 2))
    assert verdicts(few) == [Verdict.NO_EVIDENCE] * 5
    assert reasons(few) == {f"new rows with a known outcome: {count}, at least 5 are needed"}


def test_of_no_rows_the_numbers_are_what_there_is() -> None:
    none = said(None, new=rows(0, 0, 0, 0))
    assert [verdict.numbers for verdict in check_scores(none, seed=1)] == [
        {"rows": 0.0, "deployed_f1": 0.7},
        {"rows": 0.0, "earlier": 5.0},
        {"rows": 0.0, "earlier": 5.0},
        {"rows": 0.0, "test_rows": 2000.0},
        {"rows": 0.0, "earlier_rows": 2000.0},
    ]


@pytest.mark.parametrize(
    ("new", "f1", "who"),
    [
        (rows(1500, 0, 0, 0), 1.0, "left"),
        (rows(0, 1, 0, 1499), 0.0, "stayed"),
        (rows(0, 0, 0, 1500), None, "stayed"),
    ],
)
def test_rows_of_one_outcome_only_tell_nothing(
    new: metrics.Tested, f1: float | None, who: str
) -> None:
    alike = said(f1, new=new)
    assert verdicts(alike) == [Verdict.NO_EVIDENCE] * 5
    assert reasons(alike) == {f"all 1,500 new rows with a known outcome are of clients who {who}"}


def test_without_an_f1_there_is_nothing_to_compare() -> None:
    assert verdicts(said(None)) == [Verdict.NO_EVIDENCE] * 5
    assert reasons(said(None)) == {"the F1 on the new rows is undefined"}


@pytest.mark.parametrize("test", [parametric, nonparametric])
@pytest.mark.parametrize("count", [0, 1, 4])
def test_a_short_history_is_not_enough_evidence(
    test: Callable[[Evidence], ScoreDrift], count: int
) -> None:
    verdict = test(said(0.1, earlier=EARLIER[:count]))
    assert verdict.verdict == Verdict.NO_EVIDENCE
    assert verdict.reason == f"earlier scores: {count}, at least 5 are needed"
    assert verdict.numbers == {"rows": 100.0, "new_f1": 0.1, "earlier": float(count)}


def test_bootstrap_needs_leavers_in_the_test_data_too() -> None:
    verdict = bootstrap(said(0.3, test=rows(3, 1, 1, 5)), seed=1)
    assert verdict.verdict == Verdict.NO_EVIDENCE
    assert verdict.reason == "clients who left in the test data: 4, at least 5 are needed"


def test_bootstrap_judges_five_leavers_on_either_side() -> None:
    five = said(0.0, new=rows(0, 3, 5, 8), test=rows(5, 0, 0, 5))
    assert bootstrap(five, seed=1).verdict == Verdict.DRIFT


# --- ranking ---


def sample(rows: int, *, intercept: float, slope: float = 1.0, seed: int) -> metrics.Tested:
    """Rows as a model sees them whose risks have a slope of 1 and an intercept of -4."""
    random = np.random.default_rng(seed)
    odds = random.normal(scale=1.2, size=rows)
    outcomes = (random.random(rows) < expit(slope * odds + intercept)).astype("int64")
    risk = expit(odds - 4)
    return metrics.Tested(outcomes, (risk > 0.1).astype("int64"), np.arange(rows), risk=risk)


def ranked(new: metrics.Tested) -> ScoreDrift:
    before = sample(8_000, intercept=-4, seed=1)
    return ranking(said(new.scores.f1, new=new, before=before), seed=3)


@pytest.mark.parametrize(("intercept", "left"), [(-4, 0.035), (-3.2, 0.07), (-4.8, 0.016)])
def test_a_season_with_twice_or_half_the_leavers_is_no_drift(intercept: float, left: float) -> None:
    new = sample(8_000, intercept=intercept, seed=2)
    assert new.outcomes.mean() == pytest.approx(left, rel=0.15)
    assert ranked(new).verdict == Verdict.NO_DRIFT


def test_earlier_rows_count_as_if_it_were_the_same_season() -> None:
    random = np.random.default_rng(1)

    def season(intercept: float) -> metrics.Tested:
        odds = random.normal(scale=2.5, size=40_000)
        left = (random.random(40_000) < expit(odds + intercept)).astype("int64")
        return metrics.Tested(left, left, np.arange(40_000), risk=expit(odds - 5))

    before, new = season(-5), season(-2.5)
    # four times as many leave: among these, it is harder to rank as well
    assert (
        roc_auc_score(new.outcomes, new.risk) < roc_auc_score(before.outcomes, before.risk) - 0.02
    )
    found = of_samples(new, before, seed=3)
    assert abs(found.by_auc.value) < 0.01
    assert abs(found.by_log_loss.value) < 0.01


def test_samples_of_which_one_is_too_large_for_all_resamples_are_compared(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("pipeline.monitoring.bootstrap.ROWS_WEIGHTED", 8_000 * 150)
    assert ranked(sample(2_000, intercept=-4, seed=2)).verdict == Verdict.NO_DRIFT


@pytest.mark.parametrize("slope", [-1.0, 0.0, 0.5])
def test_a_change_of_causes_is_drift_whatever_the_f1(slope: float) -> None:
    new = sample(8_000, intercept=-3.6, slope=slope, seed=2)
    found = ranked(new)
    assert found.verdict == Verdict.DRIFT
    assert found.numbers["auc"] < 0.7 < 0.75 < found.numbers["auc_before"]
    assert found.numbers["auc_high"] < 0


@pytest.mark.parametrize(
    ("left", "verdict", "f1"), [(19, "not enough evidence", 0.0), (20, "drift", 0.0)]
)
def test_a_model_that_names_none_of_those_who_left_never_does_well(
    left: int, verdict: str, f1: float
) -> None:
    zero = said(f1, new=rows(0, 0, left, 500), deployed_f1=0.0, earlier=[0.0] * 5)
    assert [one.verdict for one in check_scores(zero, seed=1)[:3]] == [verdict] * 3
