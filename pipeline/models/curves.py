"""From log-odds to the probability of leaving: a fitted calibrator, reduced to its numbers."""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

FURTHEST = 700  # log-odds beyond it have a risk of 0 or 1 to the last digit, and exp overflows


class Curve(Protocol):
    """A rising curve from log-odds to risks."""

    def risk(self, decision: np.ndarray) -> np.ndarray:
        """The risk for each of some log-odds: both of shape (rows,)."""


@dataclass(frozen=True)
class Sigmoid:
    """1 / (1 + exp(slope * log-odds + offset)).

    The slope is negative where the risk rises, as Platt has it: Probabilistic Outputs for Support
    Vector Machines, 1999.
    """

    slope: float
    offset: float

    def risk(self, decision: np.ndarray) -> np.ndarray:
        """All at once."""
        told: np.ndarray = 1 / (
            1 + np.exp(np.minimum(self.slope * decision + self.offset, FURTHEST))
        )
        return told


PLAIN = Sigmoid(-1.0, 0.0)  # of log-odds that are taken at their word


@dataclass(frozen=True)
class Isotonic:
    """Straight lines from point to point, level beyond the first and the last."""

    decisions: np.ndarray  # rising, shape (points,)
    risks: np.ndarray  # of the same shape

    def risk(self, decision: np.ndarray) -> np.ndarray:
        """All at once."""
        risk: np.ndarray = np.interp(decision, self.decisions, self.risks)
        return risk


def curve_of(calibrator: Any) -> Curve:
    """The numbers of a calibrator of scikit-learn's.

    Raises `AttributeError`, `TypeError` or `ValueError` for one of another kind.
    """
    if hasattr(calibrator, "a_"):
        return Sigmoid(float(calibrator.a_), float(calibrator.b_))
    if calibrator.out_of_bounds != "clip":
        raise ValueError("the curve ends")
    return Isotonic(calibrator.X_thresholds_, calibrator.y_thresholds_)
