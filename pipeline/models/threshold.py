"""Where to draw the line: the least risk at which a client is predicted to leave."""

import math
from dataclasses import dataclass

import numpy as np
from sklearn.metrics import precision_recall_curve
from sklearn.model_selection import FixedThresholdClassifier

from pipeline.core.errors import ModelError
from pipeline.core.policy import Worth
from pipeline.models.persistence import Model
from pipeline.models.recipe import HALF
from pipeline.models.training_data import TrainingData


def f1_threshold(outcomes: np.ndarray, risk: np.ndarray) -> float:
    """The threshold with the highest F1 on these rows, whose risk must be out-of-fold.

    Where several are as good, the highest. Halfway to the next lower risk, so that a risk that
    is the same but for its last digit falls on the same side. Source: van Rijsbergen, Information
    Retrieval, 1979, for the score; all thresholds are tried.
    """
    precision, recall, thresholds = precision_recall_curve(outcomes, risk)
    with np.errstate(invalid="ignore"):
        f1 = np.nan_to_num(2 * precision * recall / (precision + recall))[:-1]
    best = int(np.flatnonzero(f1 == f1.max())[-1])
    lower = thresholds[best - 1] if best else 0.0
    return float((lower + thresholds[best]) / 2)


@dataclass(frozen=True)
class ValueThreshold:
    """The least risk at which a contact pays, and how it came about, in words."""

    threshold: float
    rule: str


def value_threshold(worth: Worth, data: TrainingData) -> ValueThreshold:
    """The risk beyond which contacting a client pays: where risk * save_rate * value > cost.

    Of a value that each client has for itself, the median decides here, over the labelled rows of
    clients whom it can pay to contact; the ranking goes by each client's own. Raises `ModelError`
    where it can pay for nobody. Source: Elkan, The Foundations of Cost-Sensitive Learning, IJCAI
    2001.
    """
    cost, rate = worth.contact_cost, worth.save_rate
    if cost is None or rate is None or worth.client_value is None:
        raise ModelError('the threshold "value" needs contact_cost, client_value and save_rate')
    values = np.array([worth.of_all]) if worth.of_all else data.values(str(worth.column))
    pays = values[values * rate > cost]
    if not len(pays):
        whose = f'the "{worth.column}" of any labelled row' if worth.column else f"{worth.of_all:g}"
        raise ModelError(
            f"no client is worth contacting: contact_cost {cost:g} is no less than save_rate"
            f" {rate:g} * client_value ({whose})"
        )
    value = float(np.median(pays))
    told = f"{value:g}" + (f' (the median "{worth.column}")' if worth.column else "")
    least = math.nextafter(cost / (rate * value), 1)  # more than the cost, not as much
    return ValueThreshold(least, f"where risk * {rate:g} * {told} exceeds {cost:g}")


def with_threshold(model: Model, threshold: float) -> Model:
    """The model with `predict` by this threshold: 1 where the risk reaches it.

    An uncalibrated model has the half by nature, and stays what it is; of calibrated ones many rows
    may have a risk of exactly a half, which their own `predict` takes for less.
    """
    if threshold == HALF and not hasattr(model, "calibrated_classifiers_"):
        return model
    fixed: Model = FixedThresholdClassifier(
        model, threshold=threshold, pos_label=1, response_method="predict_proba"
    )
    fixed.feature_names_in_ = model.feature_names_in_  # which its own `fit` would note
    return fixed
