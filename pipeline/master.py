"""`finaldata.csv`: unique rows in the order first seen, which only grows."""

import io
import os
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Self

from pipeline.config import Config
from pipeline.errors import HistoryError
from pipeline.files import naming, sync_folder
from pipeline.history import History
from pipeline.ledger import master_size, rebuilding
from pipeline.schema import Schema

if TYPE_CHECKING:
    import pandas as pd

REBUILD = "run `python ingestion.py --rebuild` to make it again from the input folder"


class Master:
    """`finaldata.csv`, open for appending.

    Only what the ledger has committed counts: opening cuts off whatever a killed run wrote beyond
    that. Rows are told apart by 128 bits of their digest.
    """

    def __init__(self, path: Path, schema: Schema, size: int) -> None:
        self.path, self.rows = path, 0
        self._seen: set[bytes] = set()
        path.parent.mkdir(parents=True, exist_ok=True)
        if size:
            check_master(path, schema, size)
        self._file: BinaryIO = path.open("r+b" if size else "w+b")
        self._file.truncate(size)
        if size:
            self._load()
        else:
            self._file.write(schema.header.encode() + b"\n")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with naming(self.path):
            self._file.close()

    @property
    def size(self) -> int:
        """Bytes written so far, the header included."""
        return self._file.tell()

    def append(self, line: str) -> bytes | None:
        """Add a canonical line; returns its key, or None if the same row is there already."""
        text = line.encode()
        key = blake2b(text, digest_size=16).digest()
        if key in self._seen:
            return None
        self._seen.add(key)
        try:
            self._file.write(text + b"\n")
        except OSError as error:  # not `naming`: it would cost more than the write, for each row
            raise OSError(error.errno, error.strerror, str(self.path)) from error
        self.rows += 1
        return key

    def take_back(self, size: int, keys: Iterable[bytes]) -> None:
        """Undo the appends since the file had this size; `keys` are what they returned."""
        with naming(self.path):
            self._file.seek(size)
            self._file.truncate()
        for key in keys:
            self._seen.remove(key)
            self.rows -= 1

    def sync(self) -> None:
        """Make what was appended durable."""
        with naming(self.path):
            self._file.flush()
            os.fsync(self._file.fileno())
        sync_folder(self.path.parent)

    def _load(self) -> None:
        self._file.seek(0)
        next(self._file)  # the header
        for line in self._file:
            self._seen.add(blake2b(line[:-1], digest_size=16).digest())
            self.rows += 1


def check_master(path: Path, schema: Schema, size: int) -> None:
    """Raise `HistoryError` unless the file holds what the ledger counts on."""
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


def read_master(
    config: Config, history: History, columns: Sequence[str] | None = None
) -> "pd.DataFrame":
    """All rows of `finaldata.csv` that count, in order, with these or all of the schema's columns.

    Raises `HistoryError` if the file is not what the ledger says, or has no rows yet.
    """
    from pipeline.frames import frame_of

    rows, size = master_size(history)
    if rebuilding(history):
        raise HistoryError(
            f"{config.finaldata_path} is being made again; run `python ingestion.py` to finish that"
        )
    if not rows:
        raise HistoryError(f"{config.finaldata_path} has no rows yet: run `python ingestion.py`")
    check_master(config.finaldata_path, config.schema, size)
    whole = config.finaldata_path.stat().st_size == size
    text = config.finaldata_path if whole else _head(config.finaldata_path, size)
    return frame_of(text, config.schema, columns or config.schema.columns)


def read_spans(config: Config, spans: Iterable[tuple[int, int]]) -> "pd.DataFrame":
    """The rows that lie between these bytes of `finaldata.csv`, in order."""
    from pipeline.frames import frame_of_lines

    lines: list[str] = []
    with config.finaldata_path.open("rb") as file:
        for start, end in spans:
            file.seek(start)
            # not splitlines: a name may hold other characters that Python takes for line ends
            lines += file.read(end - start).decode().split("\n")[:-1]
    return frame_of_lines(lines, config.schema, config.schema.columns)


def _head(path: Path, size: int) -> io.BytesIO:
    with path.open("rb") as file:
        return io.BytesIO(file.read(size))
