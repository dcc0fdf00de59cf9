"""Taking a model apart: what scores, what turns scores into risks, where the line is drawn."""

from collections.abc import Sequence
from typing import Any, NamedTuple

CURVES = {"sigmoid", "isotonic"}


class ModelParts(NamedTuple):
    """The parts of a fitted model.

    `core` gives log-odds by `decision_function`, if it has one; it is the whole model where that
    has no parts that are known here.
    """

    core: Any
    calibrator: Any | None  # from log-odds to risks; None where these follow from the log-odds
    threshold: float | None  # the least risk that is predicted to leave; None for the usual half


def unwrap_model(model: Any) -> ModelParts:
    """The parts of a model as `training.py` puts them together: by names and shapes only."""
    core, threshold = _without_threshold(model)
    core, calibrator = _without_curve(core)
    return ModelParts(core, calibrator, threshold)


def _without_threshold(model: Any) -> tuple[Any, float | None]:
    threshold = getattr(model, "threshold", None)
    if (
        not isinstance(threshold, float)
        or getattr(model, "response_method", None) != "predict_proba"
        or getattr(model, "pos_label", None) != 1
        or not hasattr(model, "estimator")
    ):
        return model, None
    return getattr(model, "estimator_", model.estimator), threshold


def _without_curve(model: Any) -> tuple[Any, Any | None]:
    curved: Sequence[Any] = getattr(model, "calibrated_classifiers_", ())
    if len(curved) != 1 or curved[0].method not in CURVES or len(curved[0].calibrators) != 1:
        return model, None
    return curved[0].estimator, curved[0].calibrators[0]
