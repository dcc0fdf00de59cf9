"""Logistic regression or boosting: which does better on clients it has not seen."""

from dataclasses import dataclass

import numpy as np

from pipeline.models.recipe import BOOSTING, LOGISTIC


@dataclass(frozen=True)
class Selection:
    """Two kinds of model on the same rows, by their out-of-fold log loss, a row."""

    logistic: float
    boosting: float
    standard_error: float  # of the difference

    @property
    def kind(self) -> str:
        """Boosting, if it wins by more than the standard error; else the simpler one."""
        wins = self.logistic - self.boosting > self.standard_error
        return BOOSTING if wins else LOGISTIC


def select(
    outcomes: np.ndarray, clients: np.ndarray, logistic: np.ndarray, boosting: np.ndarray
) -> Selection:
    """Compare the out-of-fold log-odds of both kinds; every array has the shape (rows,).

    `clients` numbers the client of each row: the rows of one client are not independent, so the
    standard error is that of sums by client. Sources: the rule of one standard error, Breiman,
    Friedman, Olshen and Stone, Classification and Regression Trees, 1984, 3.4.3; the error of
    clustered rows, Cameron and Miller, Journal of Human Resources 50(2), 2015.
    """
    losses = [log_losses(outcomes, scores) for scores in (logistic, boosting)]
    difference = losses[0] - losses[1]
    by_client = np.bincount(clients, weights=difference - difference.mean())
    error = float(np.sqrt((by_client**2).sum()) / len(difference))
    return Selection(float(losses[0].mean()), float(losses[1].mean()), error)


def log_losses(outcomes: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """The log loss of each row, in nats, from log-odds: shape (rows,)."""
    losses: np.ndarray = np.logaddexp(0, np.where(outcomes == 1, -scores, scores))
    return losses
