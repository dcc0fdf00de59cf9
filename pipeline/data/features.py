"""Rows as a model sees them: numbers in one array, texts in lists."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd

from pipeline.core.schema import Schema


@dataclass(frozen=True)
class Features:
    """The feature columns of some rows.

    `numbers` has the shape (rows, numeric columns), float64, NaN where missing; `texts` a list for
    each categorical column, empty texts where missing. Both are in the schema's order.
    """

    numbers: np.ndarray
    texts: tuple[list[str], ...]

    def __len__(self) -> int:
        return len(self.numbers)

    def at(self, places: np.ndarray | slice) -> "Features":
        """The rows with these numbers, in that order."""
        texts = tuple(np.array(values, object)[places].tolist() for values in self.texts)
        return Features(self.numbers[places], texts)

    def frame(self, schema: Schema) -> pd.DataFrame:
        """The same rows as a DataFrame of the schema's feature columns."""
        frame = pd.DataFrame(self.numbers, columns=list(schema.numeric))
        pairs = zip(schema.categorical, self.texts, strict=True)
        return frame.assign(**{name: pd.Series(values, dtype="str") for name, values in pairs})


class Row(NamedTuple):
    """The feature columns of one row."""

    numbers: list[float]  # NaN where missing
    texts: list[str]


def features_of(frame: pd.DataFrame, schema: Schema) -> Features:
    """The rows of a frame with the schema's feature columns."""
    numbers = frame[list(schema.numeric)].to_numpy(dtype="float64")
    return Features(numbers, tuple(frame[name].tolist() for name in schema.categorical))


def usual_row(frame: pd.DataFrame, schema: Schema) -> Row:
    """The median of each number and the most frequent category of each other feature."""
    medians = frame[list(schema.numeric)].median().tolist()
    modes = (frame[name].value_counts(sort=False) for name in schema.categorical)
    # of equally frequent ones the first by name
    return Row(medians, [min(counts.index[counts == counts.max()]) for counts in modes])
