"""The client rows that this process works with: all of them, or the sample that Spark has drawn.

Whichever engine keeps them, `open_rows` opens them; it asks nothing of Spark.
"""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.core.errors import HistoryError
from pipeline.core.schema import Schema, csv_line
from pipeline.observations.contacted import read_marks
from pipeline.observations.master import Master, open_master
from pipeline.observations.tables import Tables, open_tables
from pipeline.storage.database import History
from pipeline.storage.held_files import held_contents, left_out
from pipeline.storage.ledger import ListedFile, listed_files, master_state

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from pipeline.data.input_files import PendingFile
    from pipeline.data.outcomes import FullList
    from pipeline.observations.part import Part
    from pipeline.observations.rules import Lines, States


NOTHING = Tables()
REPLACED = "the client rows are being replaced by a run: ask again"


def is_on_spark(path: Path) -> bool:
    """Whether Spark keeps the rows."""
    return path.suffix == ".parquet"


def open_rows(
    path: Path, schema: Schema, history: History, campaign_days: int | None = None
) -> Master:
    """The rows on record, without what is held back.

    With the length of a campaign they are marked by contacts, as they must be to learn from them.
    Raises `HistoryError` if the files are not what the ledger says, or have no rows yet.
    """
    if not is_on_spark(path):
        return open_master(path, schema, history, campaign_days)
    state = master_state(history)
    tables = open_tables(path, state, schema)
    if not state.rows:
        raise HistoryError(f"{path} has no rows yet: run `python ingestion.py`")
    files = listed_files(history) if schema.snapshots and not schema.date else []
    out = left_out(history, held_contents(history))
    marks = read_marks(history, campaign_days)
    return SampledMaster(path, schema, state, tuple(files), out, marks, tables)


def read_test_data(folder: Path, path: Path, schema: Schema, history: History) -> "pd.DataFrame":
    """The test data, with the outcomes that they teach by the newest day of all rows.

    Raises what `read_folder` and `open_rows` do.
    """
    from pipeline.data.frames import read_folder

    if not schema.horizon_days:
        return read_folder(folder, schema)
    return read_folder(folder, schema, open_rows(path, schema, history).newest_day)


@contextmanager
def _still_there() -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise HistoryError(REPLACED) from None


@dataclass(frozen=True)
class SampledMaster(Master):
    """The rows of the clients in the sample that Spark has drawn, and what is known of them."""

    tables: Tables = NOTHING

    @property
    def drawn_from(self) -> int:
        """How many rows there are, if these are a sample of them; else 0."""
        return self.rows if self.tables.sampled < self.rows else 0

    @cached_property
    def _part(self) -> "Part":
        from pipeline.observations.part import Part

        return Part.of(self._read("observations"), self.schema)

    def _read(self, what: str) -> "pd.DataFrame":
        import pandas as pd

        with _still_there():
            return pd.read_parquet(self.path / self.tables.sample / what)

    @cached_property
    def _all_rows(self) -> "pd.DataFrame":
        return self._part.table()

    @cached_property
    def all_states(self) -> "States":
        """What is known of all rows on record."""
        import numpy as np

        from pipeline.observations.row_keys import states_without

        states = self._part.states
        if not self.left_out.contents:
            return states
        late, places = states["late"] == 1, self._places_of(self.left_out.renewed).values()
        renewed = np.concatenate([np.zeros(0, np.uint64), *places])
        return states_without(self._lines, late, self.left_out, renewed, self.schema)

    @cached_property
    def _lines(self) -> "Lines":
        from pipeline.observations.part import Part, lines_of

        return lines_of(self._read("lines"), Part.none(self.schema))

    @_still_there()
    def _places_of(
        self, contents: Collection[int], among: "NDArray[np.uint64] | None" = None
    ) -> "dict[int, NDArray[np.uint64]]":
        """The places of those lines, of the sample or `among` others, that some contents had."""
        import numpy as np
        from pyarrow import compute, dataset

        among = self._lines.places if among is None else among
        found: dict[int, list[NDArray[np.int64]]] = {}
        files = [name for name in self.tables.files if Path(name).parts[0] in self.tables.contents]
        asked = compute.field("content").isin(list(contents))
        parts = dataset.dataset([str(self.path / name) for name in files], format="parquet")
        for batch in parts.to_batches(columns=["content", "place"], filter=asked):
            numbers, places = batch["content"].to_numpy(), batch["place"].to_numpy()
            ours = np.isin(places.astype(np.uint64), among)
            for number in np.unique(numbers).tolist():
                found.setdefault(number, []).append(places[ours & (numbers == number)])
        return {number: np.concatenate(each).astype(np.uint64) for number, each in found.items()}

    def _lists_of(self, files: "Sequence[ListedFile]") -> "list[FullList]":
        import numpy as np

        from pipeline.observations.lists import lists_by_file

        lines, every = self._lines, self._read("lines")
        reports = every["place"][every["report"]].to_numpy(np.uint64)
        among = every["place"].to_numpy(np.uint64)
        places = self._places_of([file.id for file in files], among)

        def rows_of(file: "ListedFile") -> "NDArray[np.int64] | None":
            held = places.get(file.id, lines.places[:0])
            if np.isin(held, reports).any():
                return None
            return lines.rows[np.searchsorted(lines.places, held)].astype(np.int64)

        return lists_by_file(files, rows_of)

    @_still_there()
    def of_client(self, client: str) -> "tuple[list[bytes], States]":
        """The lines of a client's rows, and what is known of each: of any client."""
        import pandas as pd

        from pipeline.observations.part import Part, bucket_of, remade

        cell, tables = csv_line((client,)), self.tables
        bucket = self.path / tables.observations / f"bucket={bucket_of(cell, tables.buckets)}"
        asked = [("client", "=", cell)]
        if not bucket.parent.is_dir():
            raise HistoryError(REPLACED)
        if not self.left_out.contents:
            found = pd.read_parquet(bucket, filters=asked) if bucket.is_dir() else None
            part = Part.none(self.schema) if found is None else Part.of(found, self.schema)
        else:  # all lines are looked through, which takes longer
            folders = [self.path / folder for folder in tables.sightings]
            lines = pd.concat([pd.read_parquet(folder, filters=asked) for folder in folders])
            at = lines["place"].to_numpy("uint64")
            again = self._places_of(self.left_out.renewed, at).values()
            counts = {place for each in again for place in each.tolist()}
            lines = lines.assign(renewed=lines["place"].where(lines["place"].isin(counts)))
            part = remade(lines, self.schema, self.left_out)
        return [*part.lines], part.states

    def _span(self, file: "PendingFile") -> tuple[int, int]:
        import numpy as np

        from pipeline.observations.part import PLACE

        begins = np.array([file.id * PLACE, (file.id + 1) * PLACE], np.uint64)
        span = self._part.first.searchsorted(begins)
        begin, end = (span if self._heard is None else self._heard.searchsorted(span)).tolist()
        return begin, end

    def _parsed(self, rows: "NDArray[np.intp]") -> "pd.DataFrame":
        return self.frame.iloc[rows]
