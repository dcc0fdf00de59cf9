"""The parts of a fitted model: what computes its log-odds, its calibration curve, its threshold."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from pipeline.models.manifest import ISOTONIC, SIGMOID

# what looking for a part that a model does not have may raise
PUT_TOGETHER_DIFFERENTLY = (
    *(AttributeError, IndexError, KeyError, StopIteration, TypeError, ValueError),
)
MAX_LOG_ODDS = 700  # beyond it a risk is 0 or 1 to the last digit, and exp overflows


class ModelParts(NamedTuple):
    """The parts of a fitted model.

    `core` gives log-odds by `decision_function`, if it has one; it is the whole model if that is
    not put together as training does it.
    """

    core: Any
    calibrator: Any | None  # from log-odds to risks; None if these follow from the log-odds
    threshold: float | None  # clients at or above this risk are predicted to leave; None for 0.5


def pipeline_parts(model: Any) -> tuple[dict[str, Any], Any]:
    """The fitted transformers of a pipeline's columns, by name, and its classifier of 0 and 1.

    Raises any of `PUT_TOGETHER_DIFFERENTLY` for any other model.
    """
    columns, classifier = model["columns"], model[-1]
    if len(model) > 3 or list(classifier.classes_) != [0, 1]:
        raise ValueError("it is another pipeline")
    return {name: part for name, part, _ in columns.transformers_}, classifier


def unwrap_model(model: Any) -> ModelParts:
    """The parts of a model as training puts them together, recognised by names and shapes only."""
    core, threshold = model, getattr(model, "threshold", None)
    if (
        isinstance(threshold, float)
        and getattr(model, "response_method", None) == "predict_proba"
        and getattr(model, "pos_label", None) == 1
        and hasattr(model, "estimator")
    ):
        core = getattr(model, "estimator_", model.estimator)
    else:
        threshold = None
    curved: Sequence[Any] = getattr(core, "calibrated_classifiers_", ())
    if (
        len(curved) == 1
        and curved[0].method in {SIGMOID, ISOTONIC}
        and len(curved[0].calibrators) == 1
    ):
        return ModelParts(curved[0].estimator, curved[0].calibrators[0], threshold)
    return ModelParts(core, None, threshold)


@dataclass(frozen=True)
class Sigmoid:
    """1 / (1 + exp(slope * log-odds + offset)).

    The slope is negative where the risk rises, as in Platt, Probabilistic Outputs for Support
    Vector Machines, 1999.
    """

    slope: float
    offset: float

    def risk(self, decision: np.ndarray) -> np.ndarray:
        """The risk for each of some log-odds: both of shape (rows,)."""
        exponent = np.minimum(self.slope * decision + self.offset, MAX_LOG_ODDS)
        risk: np.ndarray = 1 / (1 + np.exp(exponent))
        return risk


PLAIN = Sigmoid(-1.0, 0.0)  # of an uncalibrated model


@dataclass(frozen=True)
class Isotonic:
    """Straight lines from point to point, constant beyond the first and the last."""

    decisions: np.ndarray  # rising, shape (points,)
    risks: np.ndarray  # of the same shape

    def risk(self, decision: np.ndarray) -> np.ndarray:
        """The risk for each of some log-odds: both of shape (rows,)."""
        risk: np.ndarray = np.interp(decision, self.decisions, self.risks)
        return risk


# A rising curve from log-odds to risks: a fitted calibrator, reduced to its numbers. For one row it
# takes 1 to 10 µs, where the calibrator itself takes 150 to 300.
Curve = Sigmoid | Isotonic


def curve_of(calibrator: Any) -> Curve:
    """The numbers of one of scikit-learn's calibrators.

    Raises `AttributeError`, `TypeError` or `ValueError` for one of another kind.
    """
    if hasattr(calibrator, "a_"):
        return Sigmoid(float(calibrator.a_), float(calibrator.b_))
    if calibrator.out_of_bounds != "clip":
        raise ValueError("the curve is undefined beyond its ends")
    return Isotonic(calibrator.X_thresholds_, calibrator.y_thresholds_)
