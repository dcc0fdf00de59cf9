"""Client rows in buckets, and the engine that maps over them."""

import logging
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import NamedTuple, TypeVar

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.bucketdata import BucketData
from pipeline.bucketledger import Bucket, check_columns, counted_buckets
from pipeline.buckets import (
    ORDER,
    bucket_of,
    client_hashes,
    drawn,
    frame_of_rows,
    order_of,
    row_groups,
)
from pipeline.columnsums import BucketRows, ColumnSums, all_sums, column_sums
from pipeline.config import Config
from pipeline.engine import Engine, InProcess, open_engine
from pipeline.errors import HistoryError
from pipeline.history import History
from pipeline.ledger import PendingFile
from pipeline.master import counted_bytes
from pipeline.medians import medians

R = TypeVar("R")

log = logging.getLogger(__name__)

TRIES = 5  # of a reader, while ingestions replace what it reads
MOST_JUDGED = 1_000_000  # rows of a batch that are looked at, in one process


class NewRows(NamedTuple):
    """Rows of a bucket to be gathered: those of some files that are drawn below a share of all."""

    rows: BucketRows
    places: tuple[tuple[int, int], ...]  # of files: the ingestion, and the place in it
    share: float


class BucketStore:
    """All client rows on record, in buckets."""

    def __init__(self, config: Config, engine: Engine, buckets: Sequence[Bucket]) -> None:
        self.config, self.engine, self.buckets = config, engine, tuple(buckets)

    def rows(self, *, labelled: bool = False, without: Collection[str] = ()) -> list[BucketRows]:
        """The rows of each bucket: all, or some."""
        schema, others = self.config.schema, self._by_bucket(without)
        return [
            BucketRows(bucket.path, schema, labelled, frozenset(others.get(bucket.number, ())))
            for bucket in self.buckets
        ]

    def _by_bucket(self, clients: Collection[str]) -> dict[int, list[str]]:
        """Each bucket's own of some clients: there may be many, and they go to every worker."""
        names = pa.array(clients, pa.large_string())
        numbers = bucket_of(client_hashes(names), self.config.engine.buckets)
        found: dict[int, list[str]] = {}
        for number, client in zip(numbers.tolist(), clients, strict=True):
            found.setdefault(number, []).append(client)
        return found

    @cached_property
    def _sums(self) -> ColumnSums:
        return all_sums(self.engine.map(column_sums, self.rows()), self.config.schema)

    def summary(self) -> pd.DataFrame:
        """`mean`, `median` and `std` of each number column."""
        numbers = self._sums.numbers
        middle = medians(self.engine, self.rows(), [found.count for found in numbers])
        rows = [
            (
                found.mean if found.count else np.nan,
                median,
                (found.squares / (found.count - 1)) ** 0.5 if found.count > 1 else np.nan,
            )
            for found, median in zip(numbers, middle, strict=True)
        ]
        columns = ["mean", "median", "std"]
        return pd.DataFrame(
            rows, index=list(self.config.schema.numeric), columns=columns, dtype="float64"
        )

    def missing(self) -> dict[str, float]:
        """Column -> percent missing."""
        schema, sums = self.config.schema, self._sums
        lacking = {schema.client: 0, schema.outcome: sums.rows - sums.known}
        for column, found in zip(schema.numeric, sums.numbers, strict=True):
            lacking[column] = sums.rows - found.count
        for column, counts in zip(schema.categorical, sums.categories, strict=True):
            lacking[column] = counts.get("", 0)
        return {column: lacking[column] / sums.rows * 100 for column in schema.columns}

    def new_rows(self, files: Sequence[PendingFile]) -> pd.DataFrame:
        """The rows that these files brought; of more than a million, so many, drawn evenly."""
        schema, count = self.config.schema, sum(file.added for file in files)
        if count > MOST_JUDGED:
            log.warning(
                "of %s new rows, about %s are judged, drawn evenly",
                f"{count:,}",
                f"{MOST_JUDGED:,}",
            )
        share = min(1.0, MOST_JUDGED / max(1, count))
        places = tuple(file.place for file in files if file.place)
        tables = self.engine.map(gather_new, [NewRows(r, places, share) for r in self.rows()])
        table = pa.concat_tables(tables)
        return frame_of_rows(table.take(pa.array(order_of(table))), schema, schema.columns)

    def training_data(self, without: Collection[str] = ()) -> BucketData:
        """The labelled rows, but for those of some clients."""
        return BucketData(
            self.engine, self.rows(labelled=True, without=without), self.config.schema
        )


def gather_new(asked: NewRows) -> pa.Table:
    """The rows of a bucket that some files brought."""
    groups = row_groups(asked.rows.path, asked.rows.schema.columns, ORDER)
    return pa.concat_tables(_of_files(table, asked) for table in groups).combine_chunks()


def _of_files(table: pa.Table, asked: NewRows) -> pa.Table:
    """The rows of a group; most groups are older than all that is asked for."""
    kept = pa.array(np.zeros(len(table), np.bool_))
    newest = pc.max(table[ORDER[0]]).as_py() if len(table) else -1
    for ingestion in {place[0] for place in asked.places if place[0] <= newest}:
        files = pa.array([file for i, file in asked.places if i == ingestion], pa.int32())
        here = pc.equal(table[ORDER[0]], ingestion)
        kept = pc.or_(kept, pc.and_(here, pc.is_in(table[ORDER[1]], files)))
    found = table.filter(kept)
    return found if asked.share >= 1 else found.filter(pa.array(drawn(found) < asked.share))


@contextmanager
def bucket_store(config: Config, history: History, *, here: bool = False) -> Iterator[BucketStore]:
    """The buckets on record and the engine, for as long as the context lasts."""
    buckets = counted_buckets(config, history)
    check_columns(buckets, config.schema)
    if here:
        yield BucketStore(config, InProcess(), buckets)
        return
    with open_engine(config) as engine:
        yield BucketStore(config, engine, buckets)


def ask_here(
    config: Config,
    history: History,
    question: Callable[[BucketStore], R],
    *,
    tries: int = TRIES,
) -> R:
    """What a question finds in the buckets, in this process: for what a server answers.

    An ingestion may replace a bucket meanwhile: then all is asked again. Raises `HistoryError` as
    `counted_bytes` does.
    """
    buckets = tuple(counted_buckets(config, history))
    try:
        counted_bytes(config, history)
        return question(BucketStore(config, InProcess(), buckets))
    except (OSError, HistoryError):
        if tries == 1 or buckets == tuple(counted_buckets(config, history)):
            raise
    return ask_here(config, history, question, tries=tries - 1)
