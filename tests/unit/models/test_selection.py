import numpy as np
import pytest
from scipy.special import expit
from sklearn.metrics import log_loss

from pipeline.models.selection import Selection, log_losses, select


def test_the_loss_of_a_row_is_that_of_its_probability() -> None:
    scores, outcomes = np.array([-3.0, 0.0, 2.5, 40.0]), np.array([0, 1, 1, 1])
    assert log_losses(outcomes, scores).mean() == pytest.approx(log_loss(outcomes, expit(scores)))


def test_a_loss_is_finite_however_sure_and_wrong() -> None:
    assert log_losses(np.array([0]), np.array([5000.0])).tolist() == [5000.0]


def two(seed: int, rows: int = 400, gain: float = 0.0) -> Selection:
    random = np.random.default_rng(seed)
    odds = random.normal(0, 2, rows)
    outcomes = (random.random(rows) < expit(odds)).astype(int)
    worse = odds + random.normal(0, 1, rows)
    better = odds + random.normal(0, 1 - gain, rows)
    return select(outcomes, np.arange(rows), worse, better)


def test_boosting_is_taken_where_it_is_clearly_better() -> None:
    found = two(0, gain=0.9)
    assert found.logistic - found.boosting > found.standard_error
    assert found.kind == "boosting"


def test_where_neither_is_better_the_simpler_is_taken_but_for_one_time_in_six() -> None:
    taken = [two(seed).kind == "boosting" for seed in range(300)]
    assert 0.1 < np.mean(taken) < 0.23


def test_a_win_within_the_standard_error_is_none() -> None:
    assert Selection(0.50, 0.49, 0.011).kind == "logistic"
    assert Selection(0.50, 0.49, 0.009).kind == "boosting"


def test_rows_of_one_client_count_as_one() -> None:
    random = np.random.default_rng(3)
    outcomes, first, second = random.integers(2, size=50), *random.normal(size=(2, 50))
    once = select(outcomes, np.arange(50), first, second)
    thrice = [np.repeat(values, 3) for values in (outcomes, np.arange(50), first, second)]
    assert select(*thrice).standard_error == pytest.approx(once.standard_error)
    alone = select(thrice[0], np.arange(150), thrice[2], thrice[3])
    assert alone.standard_error == pytest.approx(once.standard_error / np.sqrt(3))
