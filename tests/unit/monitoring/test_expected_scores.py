"""The scores to expect of rows without outcomes, against the scores that they get."""

import numpy as np
import pytest

from pipeline.monitoring.decisions import EXPECTED_SCORES, Scores
from pipeline.monitoring.expected_scores import (
    MAX_ROWS,
    MIN_ROWS,
    Expected,
    expected_of_batch,
    expected_scores,
)
from pipeline.monitoring.metrics import score_predictions

THRESHOLD = 0.2


def risks(rows: int, random: np.random.Generator, odds: float = 3.2) -> np.ndarray:
    """Calibrated risks of rows of whom about 7 % leave: 3 % at odds of 4.2, 25 % of 1.4."""
    return np.asarray(1 / (1 + np.exp(odds - 1.4 * random.standard_normal(rows))))


def scores_of(outcomes: np.ndarray, risk: np.ndarray) -> Scores:
    return score_predictions(outcomes.astype("int64"), (risk >= THRESHOLD).astype("int64"), risk)


def values(found: Expected) -> list[float]:
    scores = (found.f1, found.average_precision, found.roc_auc)
    return [score.value for score in scores if score]


def lengths(found: Expected) -> np.ndarray:
    bounds = [
        score.interval for score in (found.f1, found.average_precision, found.roc_auc) if score
    ]
    return np.array([bound.high - bound.low for bound in bounds])


def outside(found: Expected, true: Scores) -> list[int]:
    """Of each score whether the true one is below (-1) or above (1) the interval."""
    places = []
    for name in EXPECTED_SCORES:
        interval, value = getattr(found, name).interval, getattr(true, name)
        places.append(int(value > interval.high) - int(value < interval.low))
    return places


def test_what_is_expected_is_the_mean_of_what_simulated_outcomes_give() -> None:
    random = np.random.default_rng(1)
    risk = risks(500, random)
    simulated = [scores_of(random.random(500) < risk, risk) for _ in range(400)]
    drawn = np.array([[getattr(one, name) for name in EXPECTED_SCORES] for one in simulated])

    found = expected_scores(risk, THRESHOLD, seed=0)

    errors = drawn.std(axis=0) * (1 / 300 + 1 / 400) ** 0.5
    assert (np.abs(values(found) - drawn.mean(axis=0)) < 4 * errors).all()


@pytest.mark.slow
@pytest.mark.parametrize("rows", [MIN_ROWS, 1_000, 3 * MAX_ROWS])
@pytest.mark.parametrize("odds", [4.2, 1.4])
def test_of_calibrated_risks_the_interval_holds_the_true_score_in_95_of_100(
    rows: int, odds: float
) -> None:
    random, missed = np.random.default_rng(rows), []
    while len(missed) < 200:
        risk = risks(rows, random, odds)
        left = random.random(rows) < risk
        if 0 < left.sum() < rows:  # else there is no curve
            found = expected_scores(risk, THRESHOLD, len(missed))
            missed.append(outside(found, scores_of(left, risk)))
    covered = (np.array(missed) == 0).mean(axis=0)
    print(f"{rows:,} rows, {risk.mean():.0%} leave: {covered.round(3)} of {EXPECTED_SCORES}")
    assert (covered > 0.95 - 3 * (0.95 * 0.05 / 200) ** 0.5).all(), covered


def test_a_change_of_causes_is_not_seen_and_shows_once_outcomes_are_known() -> None:
    random = np.random.default_rng(2)
    risk = risks(2_000, random)
    now = random.permutation(risk)  # as many leave as before, and others than the model thinks

    before, after = (expected_scores(risk, THRESHOLD, seed) for seed in (0, 1))

    assert values(after) == pytest.approx(values(before), abs=0.01)
    assert outside(after, scores_of(random.random(2_000) < risk, risk)) == [0, 0, 0]
    assert outside(after, scores_of(random.random(2_000) < now, risk)) == [-1, -1, -1]


def test_of_many_rows_a_part_is_drawn_and_the_interval_is_as_short_as_of_all() -> None:
    risk = risks(MAX_ROWS, np.random.default_rng(3))

    few, many = (expected_scores(np.tile(risk, n), THRESHOLD, seed=0) for n in (1, 9))

    assert values(many) == pytest.approx(values(few), abs=0.01)
    assert lengths(many) == pytest.approx(lengths(few) / 3)


def test_of_one_outcome_only_there_is_no_curve() -> None:
    found = expected_scores(np.zeros(200), THRESHOLD, seed=0)

    assert (found.f1.value, found.average_precision, found.roc_auc) == (0.0, None, None)


def test_a_batch_has_one_expectation_of_all_rows_and_one_of_those_with_outcomes() -> None:
    random = np.random.default_rng(4)
    risk = risks(3 * MIN_ROWS, random)
    known = risk[:MIN_ROWS]
    true = scores_of(random.random(MIN_ROWS) < known, known)

    both = expected_of_batch(risk, known, true, THRESHOLD, seed=0)
    too_few = expected_of_batch(risk, known[1:], true, THRESHOLD, seed=0)
    alone = expected_of_batch(known, known, true, THRESHOLD, seed=0)

    assert [(one.labelled, one.rows, one.true) for one in both] == [
        (False, 300, None),
        (True, 100, true),
    ]
    assert too_few == both[:1]
    assert [(one.labelled, one.expected, one.true) for one in alone] == [
        (False, both[1].expected, true)
    ]
