"""Logistic regression of many rows: from a good start, Newton's method needs few looks at them.

Each look goes through the rows in blocks that stay in the processor's cache, so it takes no memory
to speak of.
"""

from dataclasses import dataclass

import numpy as np

BLOCK = 16_384  # rows; larger and smaller ones are slower
NEAR = 1e-6  # a step of no weight by more than that leads to the minimum itself, but for rounding


@dataclass(frozen=True)
class Minimum:
    """Where the loss is least: a weight for each column, the intercept last."""

    weights: np.ndarray
    looks: int  # at all rows, until it was found


def newton(
    x: np.ndarray, y: np.ndarray, start: np.ndarray, *, penalty: float, tol: float
) -> Minimum | None:
    """Minimise the log loss of all rows plus half `penalty` times the squared weights.

    `x` is (rows, columns), `y` (rows,) of 0 and 1, `start` (columns + 1,) with the intercept last,
    which is not penalised. Where no part of the gradient, divided by the rows, is beyond `tol`, the
    step from there is the last if it is a small one: a rare category may be far off and hardly be
    seen in the gradient. Returns None as soon as a step does not halve the gradient: the start was
    too far off for steps of full length. Source of the method: iteratively reweighted least
    squares, as in Hastie, Tibshirani and Friedman, The Elements of Statistical Learning, 4.4.1.
    """
    penalties = np.append(np.full(x.shape[1], penalty), 0.0)
    weights, before, looks = start, np.inf, 0
    while True:
        gradient, hessian = _derivatives(x, y, weights)
        gradient += penalties * weights
        steepest, looks = np.abs(gradient).max() / len(y), looks + 1
        flat = steepest <= tol
        if not steepest <= before / 2:  # nor if it is no number
            return Minimum(weights, looks) if flat else None  # no digit is left to win
        try:
            step = np.linalg.solve(hessian + np.diag(penalties), gradient)
        except np.linalg.LinAlgError:
            return None
        weights = weights - step
        if flat and np.abs(step).max() <= NEAR:
            return Minimum(weights, looks)
        before = steepest


def _derivatives(
    x: np.ndarray, y: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Gradient and Hessian of the log loss, summed over the rows."""
    size = len(weights)
    gradient, hessian = np.zeros(size), np.zeros((size, size))
    block = np.ones((size, BLOCK))  # its last row stays 1, for the intercept
    for first in range(0, len(y), BLOCK):
        outcomes = y[first : first + BLOCK]
        rows = block[:, : len(outcomes)]
        rows[:-1] = x[first : first + BLOCK].T
        with np.errstate(over="ignore"):  # exp(-z) is infinite where the risk is 0
            risk = 1 / (1 + np.exp(-(weights @ rows)))
        gradient += rows @ (risk - outcomes)
        hessian += (rows * (risk * (1 - risk))) @ rows.T
    return gradient, hessian
