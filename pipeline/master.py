"""`finaldata.csv`: unique rows in the order first seen. What it must hold, and reading it."""

import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.config import Config
from pipeline.errors import HistoryError
from pipeline.history import History
from pipeline.ledger import master_size, rebuilding
from pipeline.schema import Schema

if TYPE_CHECKING:
    import pandas as pd

REBUILD = "run `python ingestion.py --rebuild` to make it again from the input folder"


def check_rows(config: Config, history: History) -> None:
    """Raise `HistoryError` unless all bytes that are on record are there."""
    row = history.query("SELECT bytes, buckets FROM master")[0]
    if not row["bytes"]:
        return
    if row["buckets"] is not None:
        raise HistoryError(
            f"{config.history_path} is of an earlier version that kept the rows in"
            f" {config.output_folder_path / 'buckets'}; {REBUILD}, then delete that folder"
        )
    check_size(config.finaldata_path, row["bytes"])


def check_master(config: Config, history: History) -> None:
    """`check_rows`, and that `finaldata.csv` has the columns of the schema."""
    check_rows(config, history)
    size = master_size(history)[1]
    if size:
        check_file(config.finaldata_path, config.schema, size)


def check_file(path: Path, schema: Schema, size: int) -> None:
    """Raise `HistoryError` unless `finaldata.csv` holds what the ledger counts on."""
    check_size(path, size)
    with path.open("rb") as file:
        header = file.readline().rstrip(b"\n").decode(errors="replace")
    if header != schema.header:
        raise HistoryError(
            f"{path} has the columns {header}; config.json says {schema.header}; {REBUILD}"
        )


def check_size(path: Path, size: int) -> None:
    """Raise `HistoryError` if the file has fewer bytes than are on record."""
    if not path.is_file():
        raise HistoryError(f"{path} is gone, though {size:,} bytes of it are on record; {REBUILD}")
    if path.stat().st_size < size:
        raise HistoryError(
            f"{path} has {path.stat().st_size:,} bytes where {size:,} are on record; {REBUILD}"
        )


def counted_bytes(config: Config, history: History) -> int:
    """How many bytes of the rows count, the header of `finaldata.csv` included.

    Raises `HistoryError` if what is there is not what the ledger says, or has no rows yet.
    """
    rows, size = master_size(history)
    if rebuilding(history):
        raise HistoryError(
            f"{config.finaldata_path} is being made again; run `python ingestion.py` to finish that"
        )
    if not rows:
        raise HistoryError(f"{config.finaldata_path} has no rows yet: run `python ingestion.py`")
    check_master(config, history)
    return size


def read_master(
    config: Config, history: History, columns: Sequence[str] | None = None
) -> "pd.DataFrame":
    """All rows of `finaldata.csv` that count, in order, with these or all of the schema's columns.

    Raises `HistoryError` as `counted_bytes` does.
    """
    from pipeline.frames import frame_of

    size = counted_bytes(config, history)
    whole = config.finaldata_path.stat().st_size == size
    text = config.finaldata_path if whole else _head(config.finaldata_path, size)
    return frame_of(text, config.schema, columns or config.schema.columns)


def read_spans(config: Config, spans: Iterable[tuple[int, int]]) -> "pd.DataFrame":
    """The rows that lie between these bytes of `finaldata.csv`, in order."""
    from pipeline.frames import frame_of

    content = [f"{config.schema.header}\n".encode()]
    with config.finaldata_path.open("rb") as file:
        for start, end in spans:
            file.seek(start)
            content.append(file.read(end - start))
    return frame_of(io.BytesIO(b"".join(content)), config.schema, config.schema.columns)


def read_sample(config: Config, history: History, rows: int) -> "pd.DataFrame":
    """About so many of the rows that count, in blocks spread evenly over `finaldata.csv`, in order.

    All columns. To be called after `read_master`, which checks the file; if it has no more rows
    than that, all are read.
    """
    total, size = master_size(history)
    if rows >= total:
        return read_master(config, history)
    with config.finaldata_path.open("rb") as file:
        first = len(file.readline())
        spans: list[tuple[int, int]] = []
        for block in range(_BLOCKS):
            start = first + (size - first) * block // _BLOCKS
            file.seek(start - 1)
            file.readline()  # what is left of a row that begins before
            start = max([file.tell(), *(end for _, end in spans[-1:])])
            file.seek(min(size, start + (size - first) * rows // (total * _BLOCKS)) - 1)
            file.readline()
            spans.append((start, min(size, file.tell())))
    return read_spans(config, spans)


_BLOCKS = 50  # of a sample


def _head(path: Path, size: int) -> io.BytesIO:
    with path.open("rb") as file:
        return io.BytesIO(file.read(size))
