"""What the tests of buckets share: ingestion in this process, and all rows on record as lines."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from conftest import HEADER, Sandbox

from pipeline import inbox, ledger
from pipeline.bucketing import ingest_files
from pipeline.bucketledger import counted_buckets, pieces_path
from pipeline.buckets import EXACT, order_of, stored
from pipeline.config import Config
from pipeline.engine import Engine, InProcess
from pipeline.history import History
from pipeline.inbox import FoundFile, list_input
from pipeline.ledger import TakenFile
from pipeline.pieces import PieceTask
from pipeline.schema import Schema, canonical_number, csv_line


def pool(buckets: int = 3) -> dict[str, Any]:
    """A pool of two workers, in config.json."""
    return {"kind": "pool", "workers": 2, "buckets": buckets}


def ingest_here(
    world: Sandbox, *, rebuilt: bool = False, engine: Engine | None = None
) -> list[TakenFile]:
    """Take what is new into the buckets, by this process."""
    config = world.config
    with History(config.history_path) as history:
        found = list_input(config.input_folder_path)
        files = found if rebuilt else inbox.new_files(history, found)
        return ingest_files(config, history, engine or InProcess(), files, rebuilt=rebuilt)


def table_on_record(config: Config) -> pa.Table:
    """All columns of all rows on record, in the order first seen."""
    with History(config.history_path) as history:
        paths = [bucket.path for bucket in counted_buckets(config, history)]
    table = pa.concat_tables(map(pq.read_table, paths))
    return table.take(pa.array(order_of(table)))


def lines_of(table: pa.Table, schema: Schema) -> list[str]:
    """The canonical lines of rows, as `finaldata.csv` has them."""
    return [_line(row, schema) for row in table.to_pylist()]


def _line(row: dict[str, Any], schema: Schema) -> str:
    if row[EXACT] is not None:
        return str(row[EXACT])
    return csv_line([_text(row[stored(column)]) for column in schema.columns])


def _text(value: str | float | None) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else canonical_number(repr(value))


def rows_on_record(world: Sandbox) -> list[str]:
    """The canonical lines of all rows on record, in the order first seen."""
    return lines_of(table_on_record(world.config), world.config.schema)


def bucket_names(world: Sandbox) -> list[str]:
    """Every name in the folder of buckets."""
    folder = world.config.buckets_path
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


def names_on_record(world: Sandbox) -> list[str]:
    """The names of the files of buckets that count."""
    return [name for (name,) in world.query("SELECT file FROM buckets ORDER BY bucket")]


def task_of(world: Sandbox, *, buckets: int = 3, seed: int = 7) -> PieceTask:
    """All files of the input folder in one task."""
    config = world.config
    files = tuple(list_input(config.input_folder_path))
    return PieceTask(config.schema, files, pieces_path(config), buckets, seed)


def found_file(path: Path) -> FoundFile:
    """A file as a listing of its folder shows it."""
    (found,) = (file for file in list_input(path.parent) if file.path == path)
    return found


def files_on_record(world: Sandbox) -> list[tuple[Any, ...]]:
    """What the ledger says of each file, but for where its rows lie and when."""
    return world.query(
        "SELECT id, name, sha256, status, reason, rows, added, duplicates, rejected, current,"
        " judged_at IS NULL, reported_at IS NULL FROM files ORDER BY id"
    )


def unjudged(world: Sandbox) -> list[str]:
    """The files that no drift check has seen."""
    with History(world.config.history_path) as history:
        return [file.name for file in ledger.unjudged(history)]


def frame(rows: Sequence[str], header: str = HEADER) -> str:
    """A client table."""
    return "\n".join([header, *rows]) + "\n"


def same_frames(found: pd.DataFrame, expected: pd.DataFrame) -> None:
    """Whether two frames are the same, types included."""
    pd.testing.assert_frame_equal(found, expected, check_exact=True)
