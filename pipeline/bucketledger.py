"""What the history knows of the buckets: how many there are, and which file of each counts."""

import re
import secrets
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from pipeline.config import Config
from pipeline.errors import HistoryError
from pipeline.history import History
from pipeline.ledger import MasterState, TakenFile, add_files, swap_files
from pipeline.master import REBUILD
from pipeline.schema import Schema

_OURS = re.compile(r"\d+-\d+(-\w+)?\.parquet|\.\d+-\d+.*\.parquet.*\.tmp")


class Bucket(NamedTuple):
    """The file of a bucket that counts."""

    number: int
    path: Path
    rows: int
    bytes: int


def begun(history: History) -> bool:
    """Whether buckets were ever begun by this history."""
    return history.query("SELECT key_seed FROM master")[0]["key_seed"] is not None


def key_seed(history: History) -> int:
    """The seed of the keys of rows, of this installation's own: see `RowKeys`."""
    seed = history.query("SELECT key_seed FROM master")[0]["key_seed"]
    if seed is None:
        seed = secrets.randbits(62)
        history.query("UPDATE master SET key_seed = ?", seed)
    return int(seed)


def last_ingestion(history: History) -> int:
    """The number of the last ingestion into buckets; 0 before the first."""
    return int(history.query("SELECT ingestion FROM master")[0]["ingestion"])


def counted_buckets(config: Config, history: History) -> list[Bucket]:
    """The buckets that have rows, by number, as far as they are on record."""
    rows = history.query("SELECT bucket, file, rows, bytes FROM buckets ORDER BY bucket")
    return [
        Bucket(row["bucket"], config.buckets_path / row["file"], row["rows"], row["bytes"])
        for row in rows
    ]


def check_buckets(config: Config, history: History) -> None:
    """Raise `HistoryError` unless each file has the bytes that are on record."""
    for bucket in counted_buckets(config, history):
        if not bucket.path.is_file() or bucket.path.stat().st_size != bucket.bytes:
            raise HistoryError(f"{bucket.path} is gone, or not what is on record; {REBUILD}")


def check_lost(config: Config, history: History) -> None:
    """Rows that are there while nothing is on record are of a history that was lost: they stay."""
    if begun(history):
        return
    if _has_rows(config.finaldata_path):
        raise lost(config, config.finaldata_path)
    if any(not path.name.startswith(".") for path in bucket_files(config)):
        raise lost(config, config.buckets_path)


def _has_rows(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return bool(file.readline() and file.readline())


def lost(config: Config, path: Path) -> HistoryError:
    """What is said of rows of a history that was lost."""
    return HistoryError(
        f"{path} has rows that {config.history_path.name} knows nothing of: if that was moved"
        f" or lost, move {config.output_folder_path} away too; what the input folder has is taken"
        " in again"
    )


def bucket_files(config: Config) -> list[Path]:
    """All files of buckets, whether they count or not; what else lies in the folder is not ours."""
    folder = config.buckets_path
    return [] if not folder.is_dir() else [p for p in folder.iterdir() if _OURS.fullmatch(p.name)]


def pieces_path(config: Config) -> Path:
    """The folder of the pieces that are to be merged into buckets."""
    return config.output_folder_path / ".pieces"


def leave_buckets(config: Config) -> None:
    """Delete all buckets and pieces, if rows were kept there before."""
    for folder in (config.buckets_path, pieces_path(config)):
        shutil.rmtree(folder, ignore_errors=True)


def check_columns(buckets: Sequence[Bucket], schema: Schema) -> None:
    """Raise `HistoryError` unless the files have the columns of the schema, in their roles."""
    import pyarrow.parquet as pq  # not needed where nothing is new

    from pipeline.buckets import arrow_schema

    for bucket in buckets[:1]:  # all are written alike
        found, expected = pq.read_schema(bucket.path), arrow_schema(schema)
        if not found.equals(expected):
            raise HistoryError(
                f"{bucket.path} has the columns {', '.join(_own(found.names))};"
                f" config.json says {', '.join(_own(expected.names))}, or gives one another role;"
                f" {REBUILD}"
            )


def _own(names: Sequence[str]) -> list[str]:
    return [name.removeprefix("#") for name in names if name[:1] != "#" or name[:2] == "##"]


def record_ingestion(
    history: History,
    taken: list[TakenFile],
    changed: Sequence[Bucket],
    *,
    buckets: int,
    ingestion: int,
    rebuilt: bool,
) -> None:
    """Commit an ingestion: its files, and the buckets that it changed or, `rebuilt`, all."""
    with history.transaction():
        if rebuilt:
            history.query("DELETE FROM buckets")
        for bucket in changed:
            history.query("DELETE FROM buckets WHERE bucket = ?", bucket.number)
            history.query(
                "INSERT INTO buckets (bucket, file, rows, bytes) VALUES (?, ?, ?, ?)",
                *(bucket.number, bucket.path.name, bucket.rows, bucket.bytes),
            )
        found = history.query("SELECT rows, bytes FROM buckets")
        state = MasterState(sum(row["rows"] for row in found), sum(row["bytes"] for row in found))
        (swap_files if rebuilt else add_files)(history, taken, state)
        told = buckets if found else None  # without rows, the next may be kept in another way
        history.query("UPDATE master SET buckets = ?, ingestion = ?", told, ingestion)
