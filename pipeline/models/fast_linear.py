"""A fitted logistic pipeline of scikit-learn, reduced to its numbers."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.core.schema import LARGEST_NUMBER
from pipeline.data.features import Features
from pipeline.models.probes import Landmarks


@dataclass(frozen=True)
class Linear:
    """What a linear model adds up; the arrays have an entry for each numeric column."""

    medians: np.ndarray  # in place of missing numbers
    means: np.ndarray
    scales: np.ndarray
    weights: np.ndarray
    categories: tuple[dict[str, float], ...]  # for each categorical column
    intercept: float

    def decision(self, rows: Features) -> np.ndarray:
        """The log-odds of the outcome 1 for each row: shape (rows,).

        Numbers are scaled one by one, as the pipeline does, and not through one folded weight:
        huge ones would lose other digits then. They are added up column by column: in a product of
        matrices the last digit depends on which rows are scored together.
        """
        parts = np.where(np.isnan(rows.numbers), self.medians, rows.numbers)
        parts -= self.means
        parts /= self.scales
        parts *= self.weights
        decision = np.zeros(len(rows))
        for part in parts.T:
            decision += part
        for weights, values in zip(self.categories, rows.texts, strict=True):
            decision += [weights.get(value, 0.0) for value in values]
        decision += self.intercept
        return decision

    @property
    def landmarks(self) -> Landmarks:
        """The categories that are known; numbers have no edges."""
        return Landmarks((), tuple(list(weights) for weights in self.categories))


def linear_of(model: Any) -> Linear | None:
    """The numbers of a pipeline as `training.py` makes them; None for any other model.

    It goes by names and shapes only. Whether the model is what it looks like is for its caller to
    find out, by comparing what both give.
    """
    try:
        columns, logistic = model[0], model[1]
        weights = logistic.coef_
        if len(model) != 2 or weights.shape[0] != 1 or list(logistic.classes_) != [0, 1]:
            return None
        fitted = {name: part for name, part, _ in columns.transformers_}
        if not fitted.keys() <= {"numbers", "categories"}:
            return None
        linear = _linear(fitted, weights[0], float(logistic.intercept_[0]))
    except (AttributeError, IndexError, KeyError, TypeError, ValueError):  # made in another way
        return None
    return linear if _stays_finite(linear) else None


def _linear(fitted: dict[str, Any], weights: np.ndarray, intercept: float) -> Linear:
    """Raises any of the errors that `linear_of` expects where the parts do not fit."""
    medians = means = scales = np.empty(0)
    if "numbers" in fitted:
        medians = fitted["numbers"]["impute"].statistics_
        means, scales = fitted["numbers"]["scale"].mean_, fitted["numbers"]["scale"].scale_
    known = fitted["categories"]["encode"].categories_ if "categories" in fitted else []
    at = len(medians)
    categories = []
    for words in known:
        given = weights[at : at + len(words)].tolist()
        categories.append(dict(zip(words.tolist(), given, strict=True)))
        at += len(words)
    if at != len(weights) or not len(medians) == len(means) == len(scales):
        raise ValueError("the weights are not one for each column")
    return Linear(medians, means, scales, weights[: len(medians)], tuple(categories), intercept)


def _stays_finite(linear: Linear) -> bool:
    """Whether no row that is taken can lead beyond the numbers: the pipeline refuses those."""
    with np.errstate(over="ignore", invalid="ignore"):
        furthest = (LARGEST_NUMBER + np.abs(linear.means)) / linear.scales
        reach = np.abs(linear.weights) @ np.abs(furthest)
    return bool(np.isfinite(reach) and np.isfinite(linear.medians).all())
