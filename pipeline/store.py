"""Client rows in `finaldata.csv`, read into this process."""

from collections.abc import Collection, Sequence
from functools import cached_property

import pandas as pd

from pipeline.config import Config
from pipeline.history import History
from pipeline.learning import MOST_CHECKED, TrainingData, labelled_rows, thinned
from pipeline.ledger import PendingFile, master_size
from pipeline.master import counted_bytes, read_master, read_sample, read_spans


class Store:
    """All client rows on record, in one file."""

    def __init__(self, config: Config, history: History) -> None:
        self._config, self._history = config, history

    @cached_property
    def _frame(self) -> pd.DataFrame:
        return read_master(self._config, self._history)

    def summary(self) -> pd.DataFrame:
        """`mean`, `median` and `std` of each number column."""
        numbers = self._frame[list(self._config.schema.numeric)]
        return numbers.agg(["mean", "median", "std"]).T

    def missing(self) -> dict[str, float]:
        """Column -> percent missing."""
        frame = self._frame
        return {
            column: float((frame[column].isna() | (frame[column] == "")).mean() * 100)
            for column in self._config.schema.columns
        }

    def new_rows(self, files: Sequence[PendingFile]) -> pd.DataFrame:
        """The rows that these files brought."""
        return read_spans(self._config, [file.span for file in files])

    def training_data(self, without: Collection[str] = ()) -> TrainingData:
        """The labelled rows, but for those of some clients."""
        schema = self._config.schema
        if not without:
            return self._all_training_data()
        frame = self._frame
        labelled = labelled_rows(frame[~frame[schema.client].isin(list(without))], schema)
        return TrainingData(labelled, thinned(labelled), schema)

    def _all_training_data(self) -> TrainingData:
        """Of many rows, the clients of a sample only are read: names take longer than numbers."""
        config, schema = self._config, self._config.schema
        rows, _ = master_size(self._history)
        if rows <= MOST_CHECKED:
            labelled = labelled_rows(self._frame, schema)
            return TrainingData(labelled, labelled, schema)
        columns = (*schema.features, schema.outcome)
        labelled = labelled_rows(read_master(config, self._history, columns), schema)
        wanted = MOST_CHECKED * rows // max(1, len(labelled))  # so that so many are labelled
        sample = read_sample(config, self._history, wanted)
        return TrainingData(labelled, labelled_rows(sample, schema), schema)


def open_store(config: Config, history: History) -> Store:
    """The rows that are on record; raises `HistoryError` as `counted_bytes` does."""
    counted_bytes(config, history)
    return Store(config, history)
