"""Newton's method: the minimum it finds is one, and where it may not find it, it says so."""

import numpy as np
import pytest
from scipy.optimize import check_grad, minimize

from pipeline.newton import BLOCK, newton


def table(rows: int, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, 3))
    y = (x @ [1.0, -2.0, 0.5] - 1 + rng.logistic(size=rows) > 0).astype("int64")
    return x, y


def loss(weights: np.ndarray, x: np.ndarray, y: np.ndarray, penalty: float) -> float:
    z = x @ weights[:-1] + weights[-1]
    return float((np.logaddexp(0, z) - y * z).sum() + penalty / 2 * (weights[:-1] ** 2).sum())


def gradient(weights: np.ndarray, x: np.ndarray, y: np.ndarray, penalty: float) -> np.ndarray:
    beyond = 1 / (1 + np.exp(-(x @ weights[:-1] + weights[-1]))) - y
    return np.append(x.T @ beyond + penalty * weights[:-1], beyond.sum())


@pytest.mark.parametrize("rows", [200, BLOCK, BLOCK + 1, 3 * BLOCK - 5])
def test_no_part_of_the_loss_is_left_out(rows: int) -> None:
    x, y = table(rows)
    found = newton(x, y, np.zeros(4), penalty=3.0, tol=1e-8)
    assert found is not None
    assert check_grad(loss, gradient, np.full(4, 0.3), x[:200], y[:200], 3.0) < 1e-3
    assert np.abs(gradient(found.weights, x, y, 3.0)).max() < 1e-14 * rows


def test_a_general_minimiser_finds_nothing_less() -> None:
    x, y = table(500)
    found = newton(x, y, np.zeros(4), penalty=0.5, tol=1e-8)
    assert found is not None
    other = minimize(loss, np.zeros(4), (x, y, 0.5), jac=gradient, tol=1e-10)
    assert found.weights == pytest.approx(other.x, abs=1e-5)
    assert loss(found.weights, x, y, 0.5) <= other.fun + 1e-9


def test_the_nearer_the_start_the_fewer_the_looks() -> None:
    x, y = table(5000)
    far = newton(x, y, np.zeros(4), penalty=0.01, tol=1e-8)
    assert far is not None
    near = newton(x, y, far.weights + 1e-3, penalty=0.01, tol=1e-8)
    there = newton(x, y, far.weights, penalty=0.01, tol=1e-8)
    assert near is not None
    assert there is not None
    assert far.looks > near.looks > there.looks == 1
    assert near.weights == pytest.approx(far.weights, abs=1e-12)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("start", [30.0, -400.0, 1e6])
def test_a_start_that_is_too_far_off_is_told(start: float) -> None:
    x, y = table(500)
    assert newton(x, y, np.full(4, start), penalty=0.01, tol=1e-8) is None


def test_columns_that_say_the_same_share_the_weight() -> None:
    x, y = table(500)
    twice = newton(x[:, [0, 0]], y, np.zeros(3), penalty=0.01, tol=1e-8)
    once = newton(x[:, :1], y, np.zeros(2), penalty=0.005, tol=1e-8)
    assert twice is not None
    assert once is not None
    assert twice.weights == pytest.approx(once.weights[[0, 0, 1]] * [0.5, 0.5, 1], abs=1e-10)


def test_without_a_penalty_they_have_no_one_answer() -> None:
    ones = np.ones((8, 1))  # as the intercept is
    assert newton(ones, table(8)[1], np.zeros(2), penalty=0.0, tol=1e-8) is None


def test_what_it_is_given_stays_as_it_was() -> None:
    x, y = table(300)
    start = np.zeros(4)
    before = x.copy(), y.copy()
    newton(x, y, start, penalty=0.01, tol=1e-8)
    assert np.array_equal(x, before[0])
    assert np.array_equal(y, before[1])
    assert not start.any()
