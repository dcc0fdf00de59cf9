"""What a model learns from: the labelled rows, in one frame or in buckets."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pandas as pd
from sklearn.pipeline import Pipeline

from pipeline.estimators import fit_model
from pipeline.features import Row, usual_row
from pipeline.reference import Reference, reference_of
from pipeline.schema import Schema

MOST_CHECKED = 10_000  # labelled rows to cross-validate on; more would tell hardly more


class TrainingData(Protocol):
    """Labelled rows, and some of them to cross-validate on."""

    @property
    def schema(self) -> Schema:
        """The columns."""

    @property
    def rows(self) -> int:
        """How many rows there are."""

    @property
    def left(self) -> int:
        """How many of them are of clients who left."""

    @property
    def sample(self) -> pd.DataFrame:
        """Some of the rows, with all columns."""

    def fit(self, kind: str, seed: int) -> Pipeline:
        """Fit a kind of model, `logistic` or `boosting`; both outcomes must occur."""

    def learned(self, kind: str) -> int:
        """How many of the rows a model of this kind learns from."""

    def head(self, count: int) -> pd.DataFrame:
        """The features of the first rows, or of as many others."""

    def values(self, column: str) -> np.ndarray:
        """The numbers of a column, NaN where missing: shape (any,)."""

    def usual(self, medians: Sequence[float] | None) -> Row:
        """The median of each number and the most frequent category.

        `medians` are those of a model, if it has any: NaN is in place of what it has for a column
        without values.
        """

    def reference(self, risk: np.ndarray, seed: int) -> Reference:
        """What the rows are like; `risk` as in `reference_of`."""


@dataclass(frozen=True, eq=False)
class FrameData:
    """Labelled rows in a frame: `frame` has features and outcome, `sample` the client as well."""

    frame: pd.DataFrame
    sample: pd.DataFrame
    schema: Schema

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return len(self.frame)

    @property
    def left(self) -> int:
        """How many of them are of clients who left."""
        return int(self.frame[self.schema.outcome].sum())

    def fit(self, kind: str, seed: int) -> Pipeline:
        """Fit on all rows."""
        return fit_model(kind, self.frame, self.schema, seed)

    def learned(self, kind: str) -> int:  # noqa: ARG002
        """All rows, whatever the kind."""
        return self.rows

    def head(self, count: int) -> pd.DataFrame:
        """The first rows."""
        return self.frame[list(self.schema.features)].head(count)

    def values(self, column: str) -> np.ndarray:
        """The numbers of all rows."""
        return self.frame[column].to_numpy()

    def usual(self, medians: Sequence[float] | None) -> Row:
        """What is usual in all rows."""
        if medians is None:
            return usual_row(self.frame, self.schema)
        known = [self.frame[column].notna().any() for column in self.schema.numeric]
        return usual_row(self.frame, self.schema, np.where(known, medians, np.nan).tolist())

    def reference(self, risk: np.ndarray, seed: int) -> Reference:
        """What all rows are like."""
        return reference_of(self.frame, risk, self.schema, seed)


def labelled_rows(frame: pd.DataFrame, schema: Schema) -> pd.DataFrame:
    """The rows whose outcome is known; the frame itself if it has no others."""
    known = frame[schema.outcome].notna()
    return frame if known.all() else frame[known]


def thinned(labelled: pd.DataFrame) -> pd.DataFrame:
    """Every so many-th row, so that no more than `MOST_CHECKED` are left."""
    return labelled[:: max(1, -(-len(labelled) // MOST_CHECKED))]
