"""Log-odds of a fitted logistic pipeline from its coefficients, without DataFrames."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.core.schema import LARGEST_NUMBER
from pipeline.data.features import Features
from pipeline.models.model_parts import PUT_TOGETHER_DIFFERENTLY, pipeline_parts


@dataclass(frozen=True)
class Linear:
    """The numbers of a linear model; the arrays have an entry for each numeric column."""

    medians: np.ndarray  # in place of missing numbers
    means: np.ndarray
    scales: np.ndarray
    weights: np.ndarray
    categories: tuple[dict[str, float], ...]  # for each categorical column
    intercept: float

    def decision(self, rows: Features) -> np.ndarray:
        """The log-odds of the outcome 1 for each row: shape (rows,).

        Numbers are scaled as in the pipeline; with scale and weight folded into one factor, huge
        ones would lose other digits. They are added up column by column: in a product of matrices
        the last digit depends on which rows are scored together.
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


def linear_of(model: Any) -> Linear | None:
    """The numbers of a logistic pipeline as training makes it; None for any other model.

    It is recognised by names and shapes only: the caller must compare the results of both.
    """
    try:
        fitted, logistic = pipeline_parts(model)
        linear = _linear(fitted, logistic.coef_[0], float(logistic.intercept_[0]))
    except PUT_TOGETHER_DIFFERENTLY:
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
        raise ValueError("there is not one weight per column")
    return Linear(medians, means, scales, weights[: len(medians)], tuple(categories), intercept)


def _stays_finite(linear: Linear) -> bool:
    """Whether no accepted row can overflow: the pipeline refuses infinite numbers."""
    with np.errstate(over="ignore", invalid="ignore"):
        furthest = (LARGEST_NUMBER + np.abs(linear.means)) / linear.scales
        reach = np.abs(linear.weights) @ np.abs(furthest)
    return bool(np.isfinite(reach) and np.isfinite(linear.medians).all())
