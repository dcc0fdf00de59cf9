"""The tables of `pipeline/models/fast_trees.py`, made of a fitted booster of scikit-learn's."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from pipeline.models.fast_trees import LEAVES, NumberTable, Trees, WordTable

ALL = (1 << LEAVES) - 1


def trees_of(model: Any) -> Trees | None:
    """The tables of a boosted pipeline as `training.py` makes them; None for any other model.

    It goes by names and shapes only. Whether the model is what it looks like is for its caller to
    find out, by comparing what both give.
    """
    try:
        columns, boosting = model[0], model[1]
        if len(model) != 2 or list(boosting.classes_) != [0, 1] or boosting._preprocessor:
            return None
        fitted = {name: part for name, part, _ in columns.transformers_}
        if list(fitted) not in (["categories", "numbers"], ["categories"], ["numbers"]):
            return None
        codes = _codes(fitted["categories"]["encode"]) if "categories" in fitted else []
        return _trees(boosting, codes)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError):  # made in another way
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
    # in the booster's rows the categories come first
    edges = {i: _edges(predictors, i) for i in range(len(codes), boosting.n_features_in_)}
    counts = [1 + max(column.values()) for column in codes]
    counts += [1 + len(rising) for rising in edges.values()]
    # one more for what is missing or unknown
    tables = [np.full((count + 1, len(predictors)), ALL, dtype="uint16") for count in counts]
    values = np.zeros((len(predictors), LEAVES))
    for i, predictor in enumerate(predictors):
        nodes = [*map(_Node._make, predictor.nodes[list(_Node._fields)].tolist())]
        marks = [table[:, i] for table in tables]
        tree = _Tree(nodes, predictor.raw_left_cat_bitsets, edges, marks, [])
        marks[0] &= tree.mark()
        values[i, : len(tree.values)] = tree.values
    values[0] += boosting._baseline_prediction.item()
    return Trees(
        tuple(map(NumberTable, edges.values(), tables[len(codes) :])),
        tuple(map(WordTable, codes, tables)),
        values.ravel(),
    )


def _edges(predictors: list[Any], column: int) -> np.ndarray:
    """The numbers at which any tree divides a column, rising."""
    found = []
    for predictor in predictors:
        nodes = predictor.nodes
        here = (nodes["is_leaf"] == 0) & (nodes["feature_idx"] == column)
        found.append(nodes["num_threshold"][here])
    return np.unique(np.concatenate(found))


class _Node(NamedTuple):
    """What is needed of a node, by scikit-learn's names."""

    value: float
    feature_idx: int
    num_threshold: float
    missing_go_to_left: int
    left: int
    right: int
    is_leaf: int
    is_categorical: int
    bitset_idx: int


@dataclass(frozen=True)
class _Tree:
    """A tree on its way into the tables."""

    nodes: list[_Node]
    bitsets: np.ndarray  # (categorical nodes, 8), uint32: which categories go left
    edges: dict[int, np.ndarray]  # of each numeric column
    marks: list[np.ndarray]  # its column of each table
    values: list[float]  # of the leaves found so far

    def mark(self, at: int = 0) -> int:
        """Take from each value of a column the leaves it cannot come to below a node.

        Returns the leaves below that node.
        """
        node = self.nodes[at]
        if node.is_leaf:
            if len(self.values) == LEAVES:
                raise ValueError("the tree has too many leaves")
            self.values.append(node.value)
            return 1 << (len(self.values) - 1)
        left, right = self.mark(node.left), self.mark(node.right)
        still = np.where(self._goes_left(node), ALL & ~right, ALL & ~left)
        self.marks[node.feature_idx] &= still.astype("uint16")
        return left | right

    def _goes_left(self, node: _Node) -> np.ndarray:
        """Whether each value of the column that a node asks for goes left."""
        places = np.arange(len(self.marks[node.feature_idx]))
        if node.is_categorical:
            goes = self.bitsets[node.bitset_idx].take(places // 32, mode="clip") >> places % 32 & 1
        else:
            goes = places <= np.searchsorted(self.edges[node.feature_idx], node.num_threshold)
        goes[-1] = node.missing_go_to_left
        goes_left: np.ndarray = goes.astype(bool)
        return goes_left
