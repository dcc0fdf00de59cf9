"""Log-odds of a fitted logistic pipeline from its coefficients, without DataFrames."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple

import numpy as np

from pipeline.core.schema import LARGEST_NUMBER
from pipeline.data.features import Features
from pipeline.models.model_parts import PUT_TOGETHER_DIFFERENTLY, pipeline_parts


class Words(NamedTuple):
    """What the categories of a column add to the log-odds."""

    weights: dict[str, float]
    unknown: float = 0.0  # of any other

    def parts(self, words: list[str]) -> list[float]:
        """What each of some categories adds."""
        return [self.weights.get(word, self.unknown) for word in words]


@dataclass(frozen=True)
class Linear:
    """The numbers of a linear model; the arrays have an entry for each numeric column."""

    medians: np.ndarray  # in place of missing numbers
    lowest: np.ndarray  # what lies beyond these two is taken for them
    highest: np.ndarray
    means: np.ndarray
    scales: np.ndarray
    weights: np.ndarray
    gaps: np.ndarray  # what it adds that a number is missing
    slopes: np.ndarray  # and by how much it changes each weight: (columns, columns)
    categories: tuple[Words, ...]  # for each categorical column
    intercept: float

    def decision(self, rows: Features) -> np.ndarray:
        """The log-odds of the outcome 1 for each row: shape (rows,).

        Numbers are scaled as in the pipeline; with scale and weight folded into one factor, huge
        ones would lose other digits. They are added up column by column: in a product of matrices
        the last digit depends on which rows are scored together.
        """
        scaled = self.scaled(rows.numbers)
        decision = np.zeros(len(rows))
        for part in (scaled * self.weights).T:
            decision += part
        missing = np.isnan(rows.numbers)
        if np.count_nonzero(missing):
            for column in np.flatnonzero(missing.any(axis=0)):
                at = missing[:, column]
                decision[at] += self.gaps[column]
                for number, slope in zip(scaled[at].T, self.slopes[column], strict=True):
                    decision[at] += number * slope
        for words, values in zip(self.categories, rows.texts, strict=True):
            decision += words.parts(values)
        decision += self.intercept
        return decision

    def scaled(self, numbers: np.ndarray) -> np.ndarray:
        """The numbers as the weights count them: of the same shape (rows, columns)."""
        found: np.ndarray = np.where(np.isnan(numbers), self.medians, numbers)
        np.maximum(found, self.lowest, out=found)
        np.minimum(found, self.highest, out=found)
        found -= self.means
        found /= self.scales
        return found


def linear_of(model: Any) -> Linear | None:
    """The numbers of a logistic pipeline as training makes it; None for any other model.

    It is recognised by names and shapes only: the caller must compare the results of both.
    """
    try:
        linear = _linear(model)
    except PUT_TOGETHER_DIFFERENTLY:
        return None
    return linear if _stays_finite(linear) else None


def _linear(model: Any) -> Linear:
    """Raises any of the errors that `linear_of` expects where the parts do not fit."""
    fitted, logistic = pipeline_parts(model)
    weights = iter(logistic.coef_[0].tolist())  # in the order of the columns of the pipeline
    medians = means = scales = np.empty(0)
    names: list[str] = []
    limits: dict[str, Any] = {"a_min": -np.inf, "a_max": np.inf}  # of older versions
    if "numbers" in fitted:
        numbers = fitted["numbers"]
        names = numbers["impute"].feature_names_in_.tolist()
        medians = numbers["impute"].statistics_
        means, scales = numbers["scale"].mean_, numbers["scale"].scale_
        limits = numbers["clip"].kw_args if "clip" in numbers.named_steps else limits
    count = len(names)
    of_numbers = np.array([*islice(weights, count)])
    gaps, slopes = np.zeros(count), np.zeros((count, count))
    unknown = fitted["unknown"].feature_names_in_.tolist() if "unknown" in fitted else []
    for name in unknown:
        gaps[names.index(name)] = next(weights)
    categories = _words(fitted["categories"]["encode"], weights) if "categories" in fitted else ()
    if "slopes" in model.named_steps:
        products = model["slopes"].named_transformers_["products"]
        for gap, number in products["pairs"].kw_args["indices"]:
            slopes[names.index(unknown[gap - count]), number] = next(weights)
    if [*weights] or not count == len(of_numbers) == len(medians) == len(means) == len(scales):
        raise ValueError("there is not one weight per column")
    lowest, highest = (np.broadcast_to(limits[end], count) for end in ("a_min", "a_max"))
    return Linear(
        *(medians, lowest, highest, means, scales, of_numbers, gaps, slopes, categories),
        intercept=float(logistic.intercept_[0]),
    )


def _words(encode: Any, weights: Iterator[float]) -> tuple[Words, ...]:
    """What the categories of each column add; the rare ones, and new ones with them, come last."""
    known = [words.tolist() for words in encode.categories_]
    rare = getattr(encode, "infrequent_categories_", [None] * len(known))  # not in older versions
    found = []
    for words, few in zip(known, rare, strict=True):
        pooled = set() if few is None else set(few.tolist())
        own = {word: next(weights) for word in words if word not in pooled}
        found.append(Words(own, next(weights) if pooled else 0.0))
    return tuple(found)


def _stays_finite(linear: Linear) -> bool:
    """Whether no accepted row can overflow: the pipeline refuses infinite numbers."""
    with np.errstate(over="ignore", invalid="ignore"):
        furthest = np.array([[-LARGEST_NUMBER], [LARGEST_NUMBER]])
        reach = linear.scaled(np.repeat(furthest, len(linear.medians), axis=1))
        steepest = np.abs(linear.weights) + np.abs(linear.slopes).sum(axis=0)
        total = (np.abs(reach) * steepest).sum()
    return bool(np.isfinite(total) and np.isfinite(linear.medians).all())
