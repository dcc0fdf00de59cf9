"""All client rows, wherever they lie: what stages ask of them.

In `finaldata.csv` all are read into this process; in buckets the engine maps over them.
"""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from pipeline.config import Config
from pipeline.history import History
from pipeline.ledger import PendingFile
from pipeline.master import counted_bytes

if TYPE_CHECKING:
    import pandas as pd

    from pipeline.learning import TrainingData


class Store(Protocol):
    """All client rows that are on record."""

    def summary(self) -> "pd.DataFrame":
        """`mean`, `median` and `std` (of a sample) of each number column: a row a column."""

    def missing(self) -> dict[str, float]:
        """Column -> percent missing, 0 to 100, of every column."""

    def new_rows(self, files: Sequence[PendingFile]) -> "pd.DataFrame":
        """The rows that these files brought, in the order first seen."""

    def training_data(self, without: Collection[str] = ()) -> "TrainingData":
        """The labelled rows, but for those of some clients."""


@contextmanager
def open_store(config: Config, history: History, *, here: bool = False) -> Iterator[Store]:
    """The rows that are on record, for as long as the context lasts.

    `here` has this process do the work, whatever the engine: for what a server answers. Raises
    `HistoryError` as `counted_bytes` does, `EngineError` if the engine cannot be had.
    """
    counted_bytes(config, history)
    if config.engine.bucketed:
        from pipeline.bucketstore import bucket_store

        with bucket_store(config, history, here=here) as store:
            yield store
    else:
        from pipeline.filestore import FileStore

        yield FileStore(config, history)
