"""`finaldata.csv`: unique rows in the order first seen; checked against the ledger, and read."""

import csv
import io
from collections import deque
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.core.errors import HistoryError
from pipeline.core.schema import Schema, csv_line
from pipeline.storage.database import History
from pipeline.storage.ledger import master_state, rebuilding

if TYPE_CHECKING:
    import pandas as pd

    from pipeline.models.cross_validation import TrainingData

REBUILD = "run `python ingestion.py --rebuild` to rebuild it from the input folder"
MAX_CLIENT_ROWS = 100
SEARCH_BLOCK = 1 << 18  # bytes; small enough for a processor's cache


@dataclass(frozen=True)
class ClientRows:
    """A client's last rows, oldest first, as texts of the columns; and how many there are."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    total: int


@dataclass(frozen=True)
class Master:
    """The rows of `finaldata.csv` that are on record; bytes beyond `size` do not count."""

    path: Path
    schema: Schema
    rows: int
    size: int  # bytes, the header included

    @cached_property
    def frame(self) -> "pd.DataFrame":
        """All rows, in order, with the columns of the schema."""
        from pipeline.data.frames import frame_of

        whole = self.path.stat().st_size == self.size
        text = self.path if whole else io.BytesIO(self.path.read_bytes()[: self.size])
        return frame_of(text, self.schema, self.schema.columns)

    def read_spans(self, spans: Iterable[tuple[int, int]]) -> "pd.DataFrame":
        """The rows between these bytes of the file, in order."""
        from pipeline.data.frames import frame_of

        content = [f"{self.schema.header}\n".encode()]
        with self.path.open("rb") as file:
            for start, end in spans:
                file.seek(start)
                content.append(file.read(end - start))
        return frame_of(io.BytesIO(b"".join(content)), self.schema, self.schema.columns)

    def summary(self) -> "pd.DataFrame":
        """`mean`, `median` and `std` (of a sample) of each number column, a row a column."""
        return self.frame[list(self.schema.numeric)].agg(["mean", "median", "std"]).T

    def missing(self) -> dict[str, float]:
        """Column -> percent missing."""
        frame = self.frame
        return {
            column: float((frame[column].isna() | (frame[column] == "")).mean() * 100)
            for column in self.schema.columns
        }

    def training_data(self, without: Collection[str] = ()) -> "TrainingData":
        """The rows whose outcome is known, but for those of some clients."""
        from pipeline.models.cross_validation import TrainingData, labelled_rows, subsample

        frame = self.frame
        if without:
            frame = frame[~frame[self.schema.client].isin(list(without))]
        labelled = labelled_rows(frame, self.schema)
        return TrainingData(labelled, subsample(labelled), self.schema)

    def client_rows(self, client: str, limit: int = MAX_CLIENT_ROWS) -> ClientRows:
        """The last rows of a client, named as in the table; the others are not parsed."""
        total, last = 0, deque[bytes](maxlen=limit)
        for line in _lines_of(client, self.path, self.size):
            total += 1
            last.append(line)
        rows = csv.reader(line.decode() for line in last)
        return ClientRows(self.schema.columns, tuple(map(tuple, rows)), total)


def open_master(path: Path, schema: Schema, history: History) -> Master:
    """The rows of `finaldata.csv` that are on record.

    Raises `HistoryError` if the file is not what the ledger says, or has no rows yet.
    """
    state = master_state(history)
    if rebuilding(history):
        raise HistoryError(f"{path} is being rebuilt; run `python ingestion.py` to finish")
    if not state.rows:
        raise HistoryError(f"{path} has no rows yet: run `python ingestion.py`")
    check_rows(path, history)
    check_columns(path, schema)
    return Master(path, schema, state.rows, state.bytes)


def check_rows(path: Path, history: History) -> None:
    """Raise `HistoryError` unless all bytes of `finaldata.csv` that are on record are there."""
    row = history.query("SELECT bytes, buckets FROM master")[0]
    if not row["bytes"]:
        return
    if row["buckets"] is not None:
        raise HistoryError(
            f"{history.place} is of an earlier version that kept the rows in"
            f" {path.with_name('buckets')}; {REBUILD}, then delete that folder"
        )
    check_size(path, row["bytes"])


def check_size(path: Path, size: int) -> None:
    """Raise `HistoryError` if `finaldata.csv` has fewer bytes than are on record."""
    if not path.is_file():
        raise HistoryError(f"{path} is gone, though {size:,} bytes of it are on record; {REBUILD}")
    if (found := path.stat().st_size) < size:
        raise HistoryError(f"{path} has {found:,} bytes where {size:,} are on record; {REBUILD}")


def check_columns(path: Path, schema: Schema) -> None:
    """Raise `HistoryError` unless `finaldata.csv` has the columns of the schema."""
    with path.open("rb") as file:
        header = file.readline().rstrip(b"\n").decode(errors="replace")
    if header != schema.header:
        raise HistoryError(
            f"{path} has the columns {header}; config.json says {schema.header}; {REBUILD}"
        )


def _lines_of(client: str, path: Path, size: int) -> Iterator[bytes]:
    """A client's lines in so many bytes of the file: those that begin with its cell.

    Rows are canonical, without line breaks. The file is read and not mapped: that takes as long,
    and another run that truncates it causes no bus error.
    """
    begin = f"\n{csv_line((client,))},".encode(errors="surrogatepass")
    with path.open("rb") as file:
        left = size - len(file.readline())
        while left > 0 and (block := file.read(min(SEARCH_BLOCK, left))):
            if not block.endswith(b"\n"):
                block += file.readline()
            left -= len(block)
            block = b"\n" + block
            at = block.find(begin)
            while at >= 0:
                end = block.index(b"\n", at + 1)
                yield block[at + 1 : end]
                at = block.find(begin, end)
