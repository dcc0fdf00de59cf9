"""`finaldata.csv`: unique rows in the order first seen; checked against the ledger, and read."""

import csv
import io
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.core.errors import HistoryError
from pipeline.core.schema import Schema, csv_line
from pipeline.observations.master_files import (
    check_columns,
    check_rows,
    current_path,
    is_earlier,
)
from pipeline.storage.database import History
from pipeline.storage.ledger import MasterState, master_state

if TYPE_CHECKING:
    import pandas as pd

    from pipeline.data.input_files import PendingFile
    from pipeline.models.cross_validation import TrainingData
    from pipeline.observations.rules import States

MAX_CLIENT_ROWS = 100
SEARCH_BLOCK = 1 << 18  # bytes; small enough for a processor's cache


@dataclass(frozen=True)
class ClientRows:
    """A client's last rows, that of the latest sighting last, as texts of the columns."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    total: int  # of all its rows
    left: bool  # whether it has left


@dataclass(frozen=True)
class Master:
    """The rows of `finaldata.csv` that are on record, and what is known of their clients."""

    path: Path
    schema: Schema
    on_record: MasterState

    @property
    def rows(self) -> int:
        """How many there are."""
        return self.on_record.rows

    @property
    def size(self) -> int:
        """Their bytes, the header included; bytes beyond them do not count."""
        return self.on_record.bytes

    @cached_property
    def frame(self) -> "pd.DataFrame":
        """All rows, in order, with the columns of the schema."""
        from pipeline.data.frames import frame_of

        path = current_path(self.path, self.on_record)
        whole = path.stat().st_size == self.size
        text = path if whole else io.BytesIO(path.read_bytes()[: self.size])
        return frame_of(text, self.schema, self.schema.columns)

    @cached_property
    def states(self) -> "States":
        """What is known of each row's observation: shape (rows,)."""
        from pipeline.observations.state_file import recorded_states

        return recorded_states(self.path, self.schema, self.on_record)

    def current(self) -> "pd.DataFrame":
        """Of each client that has not left its present row: that of its latest sighting."""
        from pipeline.observations.rules import present_rows

        rows, left = present_rows(self.frame[self.schema.client], self.states)
        return self.frame.iloc[rows[~left]]

    def brought_by(self, files: "Sequence[PendingFile]") -> "pd.DataFrame":
        """The rows that these files brought, or the outcomes of which, in order."""
        import numpy as np

        from pipeline.data.frames import frame_of
        from pipeline.observations.rewriting import lines_at

        found = np.isin(self.states["known"], [file.id for file in files])
        for file in files:
            found[slice(*file.span)] = True
        rows = np.flatnonzero(found).astype("<u4")
        lines = lines_at(current_path(self.path, self.on_record), self.size, rows)
        content = b"".join([f"{self.schema.header}\n".encode(), *lines])
        return frame_of(io.BytesIO(content), self.schema, self.schema.columns)

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
        return TrainingData(labelled, subsample(labelled, self.schema), self.schema)

    def client_rows(self, client: str, limit: int = MAX_CLIENT_ROWS) -> ClientRows:
        """The rows of a client that were sighted last; the others are not parsed."""
        found = dict(_lines_of(client, current_path(self.path, self.on_record), self.size))
        states = self.states[list(found)]
        sighted, left = states["sighted"].tolist(), states["left"].tolist()
        last = sorted(zip(sighted, found.values(), strict=True))[-limit:]
        rows = csv.reader(line.decode() for _, line in last)
        has_left = bool(found) and max(left) >= max(sighted)
        return ClientRows(self.schema.columns, tuple(map(tuple, rows)), len(found), has_left)


def open_master(path: Path, schema: Schema, history: History) -> Master:
    """The rows of `finaldata.csv` that are on record.

    Raises `HistoryError` if the file is not what the ledger says, or has no rows yet.
    """
    state = master_state(history)
    if is_earlier(history):
        raise HistoryError(
            f"{path} was written by an earlier version: run `python ingestion.py`, which takes over"
            " what it has"
        )
    if not state.rows:
        raise HistoryError(f"{path} has no rows yet: run `python ingestion.py`")
    check_rows(path, history)
    check_columns(current_path(path, state), schema, state)
    return Master(path, schema, state)


def _lines_of(client: str, path: Path, size: int) -> Iterator[tuple[int, bytes]]:
    """A client's lines in so many bytes of the file, those that begin with its cell; by row.

    Rows are canonical, without line breaks. The file is read and not mapped: that takes as long,
    and another run that truncates it causes no bus error.
    """
    begin = f"\n{csv_line((client,))},".encode(errors="surrogatepass")
    with path.open("rb") as file:
        left, row = size - len(file.readline()), 0
        while left > 0 and (block := file.read(min(SEARCH_BLOCK, left))):
            if not block.endswith(b"\n"):
                block += file.readline()
            left -= len(block)
            block = b"\n" + block
            at = block.find(begin)
            while at >= 0:
                end = block.index(b"\n", at + 1)
                yield row + block.count(b"\n", 0, at), block[at + 1 : end]
                at = block.find(begin, end)
            row += block.count(b"\n") - 1
