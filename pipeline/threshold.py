"""Where to draw the line: the least risk at which a client is predicted to leave."""

import math

import numpy as np
import pandas as pd
from sklearn.metrics import precision_recall_curve
from sklearn.model_selection import FixedThresholdClassifier

from pipeline.errors import ModelError
from pipeline.models import Model
from pipeline.policy import Worth
from pipeline.recipe import HALF


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


def value_threshold(worth: Worth, frame: pd.DataFrame) -> float:
    """The risk beyond which contacting a client pays: where risk * save_rate * value > cost.

    Of a value that each client has for itself, the median of the labelled rows decides here; the
    ranking goes by each client's own. Raises `ModelError` where it would pay for nobody. Source:
    Elkan, The Foundations of Cost-Sensitive Learning, IJCAI 2001.
    """
    if worth.contact_cost is None or worth.save_rate is None or worth.client_value is None:
        raise ModelError('the threshold "value" needs contact_cost, client_value and save_rate')
    value = worth.of_all or float(frame[worth.column].median())
    least = worth.contact_cost / (worth.save_rate * value) if value > 0 else math.inf
    if not least < 1:
        told = f'the median of "{worth.column}", {value:g}' if worth.column else f"{value:g}"
        raise ModelError(
            f"no client is worth contacting: contact_cost {worth.contact_cost:g} is no less than"
            f" save_rate {worth.save_rate:g} * client_value ({told})"
        )
    return math.nextafter(least, 1)  # more than the cost, not as much


def with_threshold(model: Model, threshold: float) -> Model:
    """The model with `predict` by this threshold; itself for the half it has by nature."""
    if threshold == HALF:
        return model
    fixed: Model = FixedThresholdClassifier(
        model, threshold=threshold, pos_label=1, response_method="predict_proba"
    )
    fixed.feature_names_in_ = model.feature_names_in_  # which its own `fit` would note
    return fixed
