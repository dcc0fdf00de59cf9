"""The decision threshold: clients at or above this risk are predicted to leave."""

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.metrics import precision_recall_curve
from sklearn.model_selection import FixedThresholdClassifier

from pipeline.core.errors import ModelError
from pipeline.core.policy import Worth
from pipeline.models.estimators import Model
from pipeline.models.manifest import HALF


def f1_threshold(outcomes: np.ndarray, risk: np.ndarray) -> float:
    """The threshold with the highest F1 on these rows, whose risk must be out-of-fold.

    The highest of several that are as good. It lies halfway to the next lower risk, so that a risk
    that differs in its last digit only falls on the same side. Source of the score: van Rijsbergen,
    Information Retrieval, 1979; all thresholds are tried.
    """
    precision, recall, thresholds = precision_recall_curve(outcomes, risk)
    with np.errstate(invalid="ignore"):
        f1 = np.nan_to_num(2 * precision * recall / (precision + recall))[:-1]
    best = int(np.flatnonzero(f1 == f1.max())[-1])
    lower = thresholds[best - 1] if best else 0.0
    return float((lower + thresholds[best]) / 2)


@dataclass(frozen=True)
class ValueThreshold:
    """The least risk at which contacting a client pays, and the rule behind it in words."""

    threshold: float
    rule: str


def value_threshold(worth: Worth, frame: pd.DataFrame) -> ValueThreshold:
    """The risk beyond which contacting a client pays: where risk * save_rate * value > cost.

    If each client has a value of its own, the median counts here, over the labelled rows in `frame`
    of clients whom it can pay to contact; the ranking uses each client's own. Raises `ModelError`
    if it can pay for nobody. Source: Elkan, The Foundations of Cost-Sensitive Learning, IJCAI 2001.
    """
    cost, rate = worth.contact_cost, worth.save_rate
    if cost is None or rate is None or worth.client_value is None:
        raise ModelError('the threshold "value" needs contact_cost, client_value and save_rate')
    values = np.array([worth.of_all]) if worth.of_all else frame[str(worth.column)].to_numpy()
    pays = values[values * rate > cost]
    if not len(pays) and worth.measured:  # what is measured may say so, which is no mistake
        return ValueThreshold(1.0, f"nobody's: at a save rate of {rate:g} no contact pays")
    if not len(pays):
        whose = f'the "{worth.column}" of any labelled row' if worth.column else f"{worth.of_all:g}"
        raise ModelError(
            f"no client is worth contacting: contact_cost {cost:g} is no less than save_rate"
            f" {rate:g} * client_value ({whose})"
        )
    value = float(np.median(pays))
    used = f"{value:g}" + (f' (the median "{worth.column}")' if worth.column else "")
    least = math.nextafter(cost / (rate * value), 1)  # more than the cost, not as much
    return ValueThreshold(least, f"where risk * {rate:g} * {used} exceeds {cost:g}")


def with_threshold(model: Model, threshold: float) -> Model:
    """The model with `predict` by this threshold: 1 if the risk is not below it.

    An uncalibrated model's own threshold is 0.5, so it is returned as it is. Of a calibrated model
    many rows may have a risk of exactly 0.5, for which its own `predict` gives 0.
    """
    if threshold == HALF and not hasattr(model, "calibrated_classifiers_"):
        return model
    fixed: Model = FixedThresholdClassifier(
        model, threshold=threshold, pos_label=1, response_method="predict_proba"
    )
    fixed.feature_names_in_ = model.feature_names_in_  # which its own `fit` would set
    return fixed
