"""The client rows that this process works with: all of them, or the sample that Spark has drawn.

Whichever engine keeps them, `open_rows` opens them; it asks nothing of Spark.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.core.errors import HistoryError
from pipeline.core.schema import Schema, csv_line
from pipeline.data.frames import read_folder
from pipeline.data.input_files import PendingFile
from pipeline.data.outcomes import FullList
from pipeline.observations.contacted import read_marks
from pipeline.observations.lists import Believed
from pipeline.observations.master import Master, open_master
from pipeline.observations.parts import bucket_of
from pipeline.observations.row_keys import contents_in
from pipeline.observations.rules import States
from pipeline.observations.tables import NO_TABLES, Tables, open_tables
from pipeline.storage.database import History
from pipeline.storage.held_files import held_contents, left_out
from pipeline.storage.ledger import ListedFile, Span, listed_files, master_state


def open_rows(
    path: Path, schema: Schema, history: History, campaign_days: int | None = None
) -> Master:
    """The rows on record, without what is held back.

    With the length of a campaign they are marked by contacts, as they must be to learn from them.
    Raises `HistoryError` if the files are not what the ledger says, or have no rows yet.
    """
    if path.suffix != ".parquet":
        return open_master(path, schema, history, campaign_days)
    state = master_state(history)
    tables = open_tables(path, state, schema)
    if not state.rows:
        raise HistoryError(f"{path} has no rows yet: run `python ingestion.py`")
    files = listed_files(history) if schema.snapshots and not schema.date else []
    out = left_out(history, held_contents(history))
    marks = read_marks(history, campaign_days)
    sample, sampled = tables.sample.at(path)
    return SampledMaster(
        *(sample, schema, sampled, tuple(files), out, marks), whole=path, tables=tables
    )


def read_test_data(folder: Path, path: Path, schema: Schema, history: History) -> pd.DataFrame:
    """The test data, with the outcomes that they teach by the newest day of all rows.

    Raises what `read_folder` and `open_rows` do.
    """
    if not schema.horizon_days:
        return read_folder(folder, schema)
    return read_folder(folder, schema, open_rows(path, schema, history).newest_day)


@dataclass(frozen=True)
class _OnSpark(Master):
    """Rows that Spark keeps: what the ledger has of a content is its number."""

    @cached_property
    def _at(self) -> dict[int, int]:
        return contents_in(self.path, self.on_record)

    def _in_log(self, contents: Sequence[int]) -> list[int]:
        return [self._at[number] for number in contents if number in self._at]

    def _lists_of(self, files: Sequence[ListedFile]) -> list[FullList]:
        found = (
            file if file.log_at is None else replace(file, log_at=self._at[file.log_at])
            for file in files
        )
        return super()._lists_of([*found])


@dataclass(frozen=True)
class PartMaster(_OnSpark):
    """The rows of one part; `newest` are the contents, or dates, that the newest list is of."""

    newest: tuple[int, ...] = ()

    @cached_property
    def lists(self) -> Believed:
        """The rows on the newest full list, as far as they are in this part."""
        if not self.newest:
            return Believed()
        lists = [each for each in self._all_lists(len(self.frame)) if {*each.of} & {*self.newest}]
        rows = np.concatenate([np.zeros(0, np.int64), *(each.rows for each in lists)])
        return Believed((FullList(0, rows),))


@dataclass(frozen=True)
class SampledMaster(_OnSpark):
    """The rows of the clients in the sample that Spark has drawn, and what is known of them."""

    whole: Path = Path()
    tables: Tables = NO_TABLES

    @property
    def drawn_from(self) -> int:
        """How many rows there are, if these are a sample of them; else 0."""
        return self.rows if self.on_record.rows < self.rows else 0

    @property
    def rows(self) -> int:
        """How many there are."""
        return self.tables.rows

    def of_client(self, client: str) -> tuple[list[bytes], States]:
        """The lines of a client's rows, and what is known of each: of any client."""
        parts = self.tables.parts
        file, state = parts[bucket_of(csv_line((client,)), len(parts))].at(self.whole)
        try:
            return PartMaster(file, self.schema, state, (), self.left_out).of_client(client)
        except FileNotFoundError:
            raise HistoryError("the client rows are being replaced by a run: ask again") from None

    def _span(self, file: PendingFile) -> tuple[int, int]:
        found = self.tables.spans.get(file.id, Span(0, 0))
        return super()._span(replace(file, span=(found.start, found.end)))
