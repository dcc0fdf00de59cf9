"""The labelled rows that a model is trained on."""

from dataclasses import dataclass

import pandas as pd

from pipeline.core.schema import Schema

MAX_CHECKED = 10_000  # labelled rows to cross-validate on; more would hardly change what is chosen


@dataclass(frozen=True, eq=False)
class TrainingData:
    """Labelled rows.

    `frame` holds the features and outcomes of all of them; `sample`, which may be the same frame,
    those of at most about `MAX_CHECKED` with the client column.
    """

    frame: pd.DataFrame
    sample: pd.DataFrame
    schema: Schema

    @property
    def rows(self) -> int:
        """The number of rows."""
        return len(self.frame)

    @property
    def left(self) -> int:
        """The number of rows whose outcome is 1."""
        return int(self.frame[self.schema.outcome].sum())


def labelled_rows(frame: pd.DataFrame, schema: Schema) -> pd.DataFrame:
    """The rows whose outcome is known; the frame itself if all are."""
    known = frame[schema.outcome].notna()
    return frame if known.all() else frame[known]


def subsample(labelled: pd.DataFrame) -> pd.DataFrame:
    """Every nth row, so that at most `MAX_CHECKED` are left."""
    return labelled[:: max(1, -(-len(labelled) // MAX_CHECKED))]
