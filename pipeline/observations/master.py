"""`finaldata.csv`: unique rows in the order first seen; checked against the ledger, and read."""

import csv
import io
import logging
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
from pipeline.storage.ledger import ListedFile, MasterState, listed_files, master_state

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from pipeline.data.input_files import PendingFile
    from pipeline.data.outcomes import FullList
    from pipeline.models.cross_validation import TrainingData
    from pipeline.observations.lists import Believed
    from pipeline.observations.rules import States

log = logging.getLogger("ranking")

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
    files: tuple[ListedFile, ...] = ()  # those that full lists are made of

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

    @cached_property
    def lists(self) -> "Believed":
        """The full lists, if client files are such."""
        from pipeline.observations.lists import Believed, believed

        if not self.schema.snapshots:
            return Believed()
        return believed(self._all_lists(self.rows), self.frame[self.schema.client])

    def _all_lists(self, rows: int, before: int | None = None) -> "list[FullList]":
        """The lists of the first rows, and of the contents numbered below `before`."""
        from pipeline.observations.lists import lists_by_date, lists_by_file
        from pipeline.observations.state_file import recorded_lines

        if self.schema.date:
            return lists_by_date(self.frame[:rows], self.schema)
        files = [file for file in self.files if before is None or file.id < before]
        with recorded_lines(self.path, self.schema, self.on_record) as lines:
            return lists_by_file(files, *lines)

    @cached_property
    def learned(self) -> "pd.DataFrame":
        """All rows with the outcomes that they teach: NaN where they teach none."""
        if not self.schema.derives:
            return self.frame
        from pipeline.data.outcomes import learned_outcomes

        order, lists = self.states["sighted"], self.lists.lists
        outcomes = learned_outcomes(self.frame, self.schema, order=order, lists=lists)
        return self.frame.assign(**{self.schema.outcome: outcomes})

    def _taught_by(self, files: "Sequence[PendingFile]") -> "NDArray[np.bool_]":
        """The rows that teach something since these files, the last ones: shape (rows,)."""
        import numpy as np

        from pipeline.data.outcomes import learned_outcomes
        from pipeline.observations.lists import believed

        begin = min([file.span[0] for file in files if file.span[1] > file.span[0]] or [self.rows])
        frame, order = self.frame[:begin], self.states["sighted"][:begin]
        found = self._all_lists(begin, min(file.id for file in files)) if self.lists.lists else []
        lists = believed(found, frame[self.schema.client]).lists
        now = self.learned[self.schema.outcome].to_numpy()
        before = np.full(len(now), np.nan)
        before[:begin] = learned_outcomes(frame, self.schema, order=order, lists=lists)
        taught: NDArray[np.bool_] = ~np.isnan(now) & (now != before)
        return taught

    @property
    def newest_day(self) -> int:
        """The newest day of its rows and lists."""
        from pipeline.data.outcomes import newest_day

        return newest_day(self.frame, self.schema, self.lists.lists)

    def current(self) -> "pd.DataFrame":
        """Of each client that has not left its present row: that of its latest sighting.

        Of full lists, only those on the newest.
        """
        from pipeline.data.outcomes import days_of
        from pipeline.observations.rules import present_rows

        clients, schema = self.frame[self.schema.client], self.schema
        dates = days_of(self.frame[schema.date]) if schema.date else None
        rows, left = present_rows(clients, self.states, dates)
        rows = rows[~left]
        if self.lists.doubt:
            log.warning(self.lists.doubt)
        if self.lists.lists:
            listed = clients.iloc[self.lists.lists[-1].rows]
            rows = rows[clients.iloc[rows].isin(listed).to_numpy()]
        return self.frame.iloc[rows]

    def brought_by(self, files: "Sequence[PendingFile]") -> "pd.DataFrame":
        """The rows that these files brought, or the outcomes of which, in order."""
        import numpy as np

        from pipeline.data.frames import frame_of
        from pipeline.observations.rewriting import lines_at

        found = np.isin(self.states["known"], [file.id for file in files])
        for file in files:
            found[slice(*file.span)] = True
        if self.schema.derives:
            return self.learned[found | self._taught_by(files)]
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

        frame = self.learned
        if without:
            frame = frame[~frame[self.schema.client].isin(list(without))]
        labelled = labelled_rows(frame, self.schema)
        return TrainingData(labelled, subsample(labelled, self.schema), self.schema)

    def client_rows(self, client: str, limit: int = MAX_CLIENT_ROWS) -> ClientRows:
        """The rows of a client that were sighted last; the others are not parsed."""
        found = dict(_lines_of(client, current_path(self.path, self.on_record), self.size))
        rows = list(csv.reader(line.decode() for line in found.values()))
        states = self.states[list(found)]
        sighted, left = states["sighted"].tolist(), states["left"].tolist()
        dates = [row[1] if self.schema.date else "" for row in rows]
        seen = sorted(zip(dates, sighted, rows, strict=True))
        has_left = bool(seen) and max(zip(dates, left, strict=True)) >= seen[-1][:2]
        last = tuple(tuple(row) for *_, row in seen[-limit:])
        return ClientRows(self.schema.columns, last, len(found), has_left)


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
    files = listed_files(history) if schema.snapshots and not schema.date else []
    return Master(path, schema, state, tuple(files))


def read_test_data(folder: Path, path: Path, schema: Schema, history: History) -> "pd.DataFrame":
    """The test data, with the outcomes that they teach by the newest day of `finaldata.csv`.

    Raises what `read_folder` and `open_master` do.
    """
    from pipeline.data.frames import read_folder

    if not schema.horizon_days:
        return read_folder(folder, schema)
    return read_folder(folder, schema, open_master(path, schema, history).newest_day)


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
