"""What a model learns from: the labelled rows, in one frame."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.pipeline import Pipeline

from pipeline.estimators import fit_model
from pipeline.features import Row, usual_row
from pipeline.reference import Reference, reference_of
from pipeline.schema import Schema

MOST_CHECKED = 10_000  # labelled rows to cross-validate on; more would tell hardly more


@dataclass(frozen=True, eq=False)
class TrainingData:
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
