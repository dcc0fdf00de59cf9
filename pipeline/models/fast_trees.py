"""Log-odds of fitted boosted trees from lookup tables, without DataFrames.

Walking down a tree costs a branch misprediction at most nodes. Here a row looks up, for each
column, which leaves of all trees its value can still reach, one bit per leaf; the intersection over
all columns is one leaf per tree. Source: Lucchese et al., QuickScorer, SIGIR 2015; unlike there,
trees have at most 16 leaves, and columns few distinct values.
"""

from dataclasses import dataclass
from functools import reduce
from typing import Any, NamedTuple

import numpy as np

from pipeline.data.features import Features
from pipeline.models.model_parts import PUT_TOGETHER_DIFFERENTLY, pipeline_parts

LEAVES = 16  # of a tree at most: the bits of a table entry
ALL = (1 << LEAVES) - 1
ROWS = 256  # at a time, so that their table rows stay in the processor's cache


class NumberTable(NamedTuple):
    """The leaves that the values of a numeric column can reach.

    `open` has the shape (edges + 2, trees), uint16: a row for the numbers up to each of the rising
    edges, one for those beyond the last, one for missing ones.
    """

    edges: np.ndarray
    open: np.ndarray

    def places(self, numbers: np.ndarray) -> np.ndarray:
        """The row of the table for each number: shape (rows,)."""
        places: np.ndarray = np.searchsorted(self.edges, numbers) + np.isnan(numbers)
        return places


class WordTable(NamedTuple):
    """The leaves that the values of a categorical column can reach.

    `open` has the shape (categories + 1, trees), uint16: a row for each category that the trees
    distinguish, the last for unknown ones.
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
    values: np.ndarray  # (trees * 16,) of the leaves; the baseline is added to the first tree's

    def decision(self, rows: Features) -> np.ndarray:
        """The log-odds of the outcome 1 for each row: shape (rows,).

        Added up tree by tree, as scikit-learn does, so that the last digit is the same.
        """
        columns = [*zip(self.numbers, rows.numbers.T, strict=True)]
        found = [(table.open, table.places(numbers)) for table, numbers in columns]
        texts = zip(self.words, rows.texts, strict=True)
        found += [(table.open, table.places(words)) for table, words in texts]
        first = np.arange(0, len(self.values), LEAVES, dtype="int32") - 127
        decision = np.empty(len(rows))
        for start in range(0, len(rows), ROWS):
            block = slice(start, start + ROWS)
            left = [table.take(places[block], axis=0) for table, places in found]
            # the leaf left of each tree: the exponent of a power of two is in the bits from 23 on
            leaves = reduce(np.bitwise_and, left).astype("float32").view("int32") >> 23
            leaves += first
            decision[block] = _sum_columns(self.values.take(leaves.T))
        return decision


def _sum_columns(values: np.ndarray) -> np.ndarray:
    """The sums down the columns, each from the first to the last."""
    single = values.shape[1] == 1  # `sum` would add up its halves first
    total: np.ndarray = values.cumsum(axis=0)[-1] if single else values.sum(axis=0)
    return total


def trees_of(model: Any) -> Trees | None:
    """The tables of a boosted pipeline as training makes it; None for any other model.

    It is recognised by names and shapes only: the caller must compare the results of both.
    """
    try:
        fitted, boosting = pipeline_parts(model)
        if boosting._preprocessor:
            return None
        codes = _codes(fitted["categories"]["encode"]) if "categories" in fitted else []
        return _trees(boosting, codes)
    except PUT_TOGETHER_DIFFERENTLY:
        return None


def _codes(encode: Any) -> list[dict[str, int]]:
    """Category -> code for each categorical column; rare ones share one."""
    known = [words.tolist() for words in encode.categories_]
    count = max(map(len, known))
    rows = np.array([np.resize(np.array(words, dtype=object), count) for words in known]).T
    codes = encode.transform(rows).T.tolist()
    return [
        {word: int(code) for word, code in zip(words, column[: len(words)], strict=True)}
        for words, column in zip(known, codes, strict=True)
    ]


def _trees(boosting: Any, codes: list[dict[str, int]]) -> Trees:
    """Raises any of the errors that `trees_of` expects where the parts do not fit."""
    predictors = [predictor for (predictor,) in boosting._predictors]
    # the booster's columns begin with the categories
    edges = {i: _edges(predictors, i) for i in range(len(codes), boosting.n_features_in_)}
    counts = [1 + max(column.values()) for column in codes]
    counts += [1 + len(rising) for rising in edges.values()]
    # one more for what is missing or unknown
    tables = [np.full((count + 1, len(predictors)), ALL, dtype="uint16") for count in counts]
    values = np.zeros((len(predictors), LEAVES))
    for i, predictor in enumerate(predictors):
        marks = [table[:, i] for table in tables]
        tree = _Tree(predictor.nodes, predictor.raw_left_cat_bitsets, edges, marks, [])
        marks[0] &= tree.mark()
        values[i, : len(tree.values)] = tree.values
    values[0] += boosting._baseline_prediction.item()
    return Trees(
        tuple(map(NumberTable, edges.values(), tables[len(codes) :])),
        tuple(map(WordTable, codes, tables)),
        values.ravel(),
    )


def _edges(predictors: list[Any], column: int) -> np.ndarray:
    """The numbers at which any tree splits a column, rising."""
    found = []
    for predictor in predictors:
        nodes = predictor.nodes
        here = (nodes["is_leaf"] == 0) & (nodes["feature_idx"] == column)
        found.append(nodes["num_threshold"][here])
    return np.unique(np.concatenate(found))


@dataclass(frozen=True)
class _Tree:
    """A tree that is being entered into the tables."""

    nodes: np.ndarray  # scikit-learn's, a record each
    bitsets: np.ndarray  # (categorical nodes, 8), uint32: which categories go left
    edges: dict[int, np.ndarray]  # of each numeric column
    marks: list[np.ndarray]  # this tree's column of each table
    values: list[float]  # of the leaves found so far

    def mark(self, at: int = 0) -> int:
        """Clear, for each value of a column, the leaves below a node that it cannot reach.

        Returns the bits of the leaves below that node.
        """
        node = self.nodes[at]
        if node["is_leaf"]:
            if len(self.values) == LEAVES:
                raise ValueError("the tree has too many leaves")
            self.values.append(node["value"])
            return 1 << (len(self.values) - 1)
        left, right = self.mark(node["left"]), self.mark(node["right"])
        still = np.where(self._goes_left(node), ALL & ~right, ALL & ~left)
        self.marks[node["feature_idx"]] &= still.astype("uint16")
        return left | right

    def _goes_left(self, node: np.void) -> np.ndarray:
        """Whether each value of the column that a node splits goes left."""
        column = node["feature_idx"]
        places = np.arange(len(self.marks[column]))
        if node["is_categorical"]:
            bits = self.bitsets[node["bitset_idx"]].take(places // 32, mode="clip")
            goes_left: np.ndarray = (bits >> places % 32 & 1).astype(bool)
        else:
            goes_left = places <= np.searchsorted(self.edges[column], node["num_threshold"])
        goes_left[-1] = node["missing_go_to_left"]
        return goes_left
