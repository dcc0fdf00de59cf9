"""The slope of the log loss on rows in buckets: what each step of Newton's method asks for."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.buckets import stored
from pipeline.columnsums import BucketRows, numbers_of
from pipeline.newton import BLOCK
from pipeline.schema import Schema
from pipeline.threads import one_thread

BLOCK_CELLS = 1 << 22  # of the matrix that are in memory at a time


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
