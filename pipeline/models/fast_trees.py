"""Boosted trees of scikit-learn, reduced to tables: what each value of a column leaves open.

Following one tree after the other takes a guess of the processor at each node. Here a row looks up,
for each column, which leaves of all trees its value can still come to, a bit each; what is left
after all columns is one leaf a tree. Source: Lucchese et al., QuickScorer, SIGIR 2015, from which
it differs in that a tree has few leaves and a column few values that are told apart.
"""

from dataclasses import dataclass
from functools import cached_property, reduce
from typing import NamedTuple

import numpy as np

from pipeline.data.features import Features
from pipeline.models.probes import Landmarks

LEAVES = 16  # of a tree at most: bits of an entry
ROWS = 256  # at once, so that what they need stays near the processor


class NumberTable(NamedTuple):
    """What the trees make of a numeric column.

    `open` has the shape (edges + 2, trees), uint16: a row for the numbers up to each of the edges,
    which rise, one for those beyond the last, one for missing ones.
    """

    edges: np.ndarray
    open: np.ndarray

    def places(self, numbers: np.ndarray) -> np.ndarray:
        """The row of the table for each number: shape (rows,)."""
        places: np.ndarray = np.searchsorted(self.edges, numbers) + np.isnan(numbers)
        return places


class WordTable(NamedTuple):
    """What the trees make of a categorical column.

    `open` has the shape (categories + 1, trees), uint16: a row for each that the trees tell apart,
    the last for unknown ones.
    """

    codes: dict[str, int]
    open: np.ndarray

    def places(self, words: list[str]) -> np.ndarray:
        """The row of the table for each text: shape (rows,)."""
        unknown = len(self.open) - 1
        return np.array([self.codes.get(word, unknown) for word in words], dtype="intp")


@dataclass(frozen=True)
class Trees:
    """A sum over trees, each with up to 16 leaves."""

    numbers: tuple[NumberTable, ...]
    words: tuple[WordTable, ...]
    values: np.ndarray  # (trees * 16,) of the leaves; what all rows have is in the first tree's

    def decision(self, rows: Features) -> np.ndarray:
        """The log-odds of the outcome 1 for each row: shape (rows,).

        Added up tree by tree, as scikit-learn does, so that the last digit is the same.
        """
        columns = [*zip(self.numbers, rows.numbers.T, strict=True)]
        found = [(table.open, table.places(numbers)) for table, numbers in columns]
        texts = zip(self.words, rows.texts, strict=True)
        found += [(table.open, table.places(words)) for table, words in texts]
        decision = np.empty(len(rows))
        for start in range(0, len(rows), ROWS):
            block = slice(start, start + ROWS)
            left = [table.take(places[block], axis=0) for table, places in found]
            leaves = self._leaves(reduce(np.bitwise_and, left))
            decision[block] = _added_up(self.values.take(leaves.T))
        return decision

    @property
    def landmarks(self) -> Landmarks:
        """The edges of numbers and the categories that are told apart."""
        return Landmarks(
            tuple(table.edges.tolist() for table in self.numbers),
            tuple(list(table.codes) for table in self.words),
        )

    def _leaves(self, left: np.ndarray) -> np.ndarray:
        """The place among `values` of the one leaf that is left of each tree: shape (…, trees).

        As a float, a power of two tells its exponent in the bits from 23 on.
        """
        leaves = left.astype("float32").view("int32") >> 23
        leaves += self._first
        return leaves

    @cached_property
    def _first(self) -> np.ndarray:
        return np.arange(0, len(self.values), LEAVES, dtype="int32") - 127


def _added_up(values: np.ndarray) -> np.ndarray:
    """The sums down the columns, each from the first to the last."""
    alone = values.shape[1] == 1  # which `sum` would cut into halves
    total: np.ndarray = values.cumsum(axis=0)[-1] if alone else values.sum(axis=0)
    return total
