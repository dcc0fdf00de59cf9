"""Logistic regression of rows in buckets: Newton's method on sums over all of them.

Scaling, imputation and encoding follow from counts, sums and medians; what comes out is the
pipeline that scikit-learn would have fitted on the same rows.
"""

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from scipy.linalg import LinAlgError, LinAlgWarning, lstsq, solve
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing._data import _handle_zeros_in_scale, _is_constant_feature

from pipeline.buckets import stored
from pipeline.columnsums import BucketRows, ColumnSums, Moments, numbers_of
from pipeline.engine import Engine
from pipeline.errors import ModelError
from pipeline.estimators import encoders_frame, fit_on_sample, untrained_model
from pipeline.newton import BLOCK, NEAR, Minimum
from pipeline.recipe import LOGISTIC
from pipeline.schema import Schema
from pipeline.threads import one_thread

MOST_STEPS = 100
MOST_HALVINGS = 30  # of a step that would go too far
BLOCK_CELLS = 1 << 22  # of the matrix that are in memory at a time
SLOPES_BYTES = 1 << 29  # for the slopes of all shares, which are in memory together


class Encoding(NamedTuple):
    """How rows become columns of a matrix: numbers scaled, categories one by one."""

    medians: tuple[float, ...]  # in place of missing numbers
    means: tuple[float, ...]
    scales: tuple[float, ...]
    categories: tuple[tuple[str, ...], ...]

    @property
    def width(self) -> int:
        """The columns of the matrix, and one more for the intercept."""
        return len(self.means) + sum(map(len, self.categories)) + 1

    def matrix(self, table: pa.Table, schema: Schema) -> np.ndarray:
        """The matrix of some rows, turned: shape (width, rows), the last row of ones."""
        matrix = np.ones((self.width, len(table)))
        at = len(self.means)
        if at:
            numbers = numbers_of(table, schema)
            filled = np.where(np.isnan(numbers), self.medians, numbers)
            matrix[:at] = ((filled - self.means) / self.scales).T
        for column, known in zip(schema.categorical, self.categories, strict=True):
            codes = pc.index_in(table[stored(column)], pa.array(known, pa.large_string()))
            matrix[at : at + len(known)] = codes.to_numpy() == np.arange(len(known))[:, None]
            at += len(known)
        return matrix


class Place(NamedTuple):
    """Where some buckets are to be looked at: weights of the columns, the intercept last."""

    buckets: tuple[BucketRows, ...]
    encoding: Encoding
    weights: tuple[float, ...]


@dataclass(frozen=True, eq=False)
class Slope:
    """The log loss of some rows at one place, its gradient and its Hessian, all summed."""

    loss: float
    gradient: np.ndarray
    hessian: np.ndarray

    @property
    def steepest(self) -> float:
        """The largest part of the gradient."""
        return float(np.abs(self.gradient).max())

    def plus(self, other: "Slope") -> "Slope":
        """That of both together."""
        return Slope(
            self.loss + other.loss, self.gradient + other.gradient, self.hessian + other.hessian
        )


def slope(place: Place) -> Slope:
    """The slope of the labelled rows of some buckets."""
    encoding, weights = place.encoding, np.array(place.weights)
    size = len(weights)
    found = Slope(0.0, np.zeros(size), np.zeros((size, size)))
    with one_thread():
        for rows in place.buckets:
            for block in _blocks(rows, size):
                outcomes = block[stored(rows.schema.outcome)].to_numpy()
                matrix = encoding.matrix(block, rows.schema)
                found = found.plus(_slope_of(matrix, outcomes, weights))
    return found


def _blocks(rows: BucketRows, width: int) -> Iterator[pa.Table]:
    """The rows in blocks that stay in the processor's cache, or in memory if they are wide."""
    count = min(BLOCK, max(1, BLOCK_CELLS // width))
    for table in rows.groups((*rows.schema.features, rows.schema.outcome)):
        for first in range(0, len(table), count):
            yield table.slice(first, count)


def _slope_of(matrix: np.ndarray, outcomes: np.ndarray, weights: np.ndarray) -> Slope:
    odds = weights @ matrix
    with np.errstate(over="ignore"):  # exp(-z) is infinite where the risk is 0
        risk = 1 / (1 + np.exp(-odds))
    loss = float(np.logaddexp(0, np.where(outcomes == 1, -odds, odds)).sum())
    return Slope(loss, matrix @ (risk - outcomes), (matrix * (risk * (1 - risk))) @ matrix.T)


def fit_logistic(
    engine: Engine,
    parts: Sequence[BucketRows],
    sums: ColumnSums,
    medians: Sequence[float],
    sample: pd.DataFrame,
) -> Pipeline:
    """The logistic pipeline fitted on all labelled rows of some buckets.

    `sums` and `medians` are those of the rows; a fit on `sample`, some of them, is the start.
    """
    schema = parts[0].schema
    model = untrained_model(LOGISTIC, schema)
    encoding = _fit_columns(model, schema, sums, medians)
    logistic = model["logistic"]
    with one_thread():
        start = fit_on_sample(logistic, model["columns"], sample, schema, encoding.width - 1)
        for first in (start, np.zeros_like(start)):  # a sample may lead astray
            minimum = _minimum(engine, parts, encoding, first, sums.rows, logistic)
            if minimum:
                logistic.coef_ = minimum.weights[None, :-1]
                logistic.intercept_ = minimum.weights[-1:]
                logistic.n_iter_[:] = minimum.looks
                return model
    raise ModelError("the logistic regression did not converge")


def _fit_columns(
    model: Pipeline, schema: Schema, sums: ColumnSums, medians: Sequence[float]
) -> Encoding:
    """Fit imputation, scaling and encoding by what is known of the columns."""
    columns = model["columns"]
    known = {
        column: sorted(counts)
        for column, counts in zip(schema.categorical, sums.categories, strict=True)
    }
    columns.fit(encoders_frame(dict(zip(schema.numeric, medians, strict=True)), known))
    fills, means, scales = np.nan_to_num(np.array(medians, "float64")), np.empty(0), np.empty(0)
    if schema.numeric:
        filled = [
            found.plus(Moments(sums.rows - found.count, float(fill), 0.0))
            for found, fill in zip(sums.numbers, fills, strict=True)
        ]
        scaler = columns.named_transformers_["numbers"]["scale"]
        means = scaler.mean_ = np.array([moments.mean for moments in filled])
        scaler.var_ = np.array([moments.squares / moments.count for moments in filled])
        scaler.n_samples_seen_ = np.float64(sums.rows)
        constant = _is_constant_feature(scaler.var_, means, sums.rows)
        scales = scaler.scale_ = _handle_zeros_in_scale(
            np.sqrt(scaler.var_), copy=False, constant_mask=constant
        )
    return Encoding(
        tuple(fills.tolist()),
        tuple(means.tolist()),
        tuple(scales.tolist()),
        tuple(tuple(words) for words in known.values()),
    )


def _minimum(
    engine: Engine,
    parts: Sequence[BucketRows],
    encoding: Encoding,
    start: np.ndarray,
    rows: int,
    logistic: LogisticRegression,
) -> Minimum | None:
    """Where the loss is least; None where the start was so far off that it is not found.

    A step that lowers neither the loss nor, by half, its gradient is halved until it does: the loss
    is convex. Source: Boyd and Vandenberghe, Convex Optimization, 2004, 9.5. The last step is as in
    `newton`.
    """
    penalties = np.append(np.full(len(start) - 1, 1 / logistic.C), 0.0)
    shares = _shares(parts, encoding.width)

    def look(weights: np.ndarray) -> Slope:
        places = [Place(share, encoding, tuple(weights.tolist())) for share in shares]
        found = reduce(Slope.plus, engine.map(slope, places))
        return Slope(
            found.loss + float(penalties @ weights**2) / 2,
            found.gradient + penalties * weights,
            found.hessian + np.diag(penalties),
        )

    weights, here, looks = start, look(start), 1
    for _ in range(MOST_STEPS):
        step, flat = _step(here), here.steepest <= logistic.tol * rows
        if flat and np.abs(step).max() <= NEAR:
            return Minimum(weights - step, looks)
        for _ in range(MOST_HALVINGS):
            there, looks = look(weights - step), looks + 1
            if there.loss < here.loss or there.steepest <= here.steepest / 2:
                break
            if flat:
                return Minimum(weights, looks)  # no digit is left to win
            step = step / 2
        else:
            return None
        weights, here = weights - step, there
    return None


def _step(here: Slope) -> np.ndarray:
    """Newton's step; of weights that nothing tells apart the shortest."""
    step: np.ndarray
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", LinAlgWarning)  # where the risks are all but certain
            step = solve(here.hessian, here.gradient, assume_a="pos")
    except (LinAlgError, LinAlgWarning):
        step = lstsq(here.hessian, here.gradient)[0]
    return step


def _shares(parts: Sequence[BucketRows], width: int) -> list[tuple[BucketRows, ...]]:
    """The buckets in as many shares as their slopes have room for, whoever works on them."""
    count = max(1, min(len(parts), SLOPES_BYTES // (8 * width**2)))
    return [tuple(parts[i::count]) for i in range(count)]
