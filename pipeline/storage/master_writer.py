"""Appending to `finaldata.csv`."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import compress
from pathlib import Path
from typing import BinaryIO, Self

from pipeline.core.errors import HistoryError
from pipeline.core.file_lock import open_alone
from pipeline.core.files import errors_with_path, sync_folder
from pipeline.core.schema import Schema
from pipeline.data.loader import BATCH_BYTES
from pipeline.storage.ledger import MasterState
from pipeline.storage.master import REBUILD, check_columns, check_size
from pipeline.storage.row_keys import RowKeys

NOTHING = MasterState(0, 0)


@dataclass(frozen=True)
class Mark:
    """A state to which the file can be taken back."""

    size: int
    rows: int
    keys: int


class MasterWriter:
    """`finaldata.csv`, open for appending.

    Only what the ledger has committed counts: opening cuts off whatever a killed run wrote beyond
    that. Rows are identified by 128 bits of their hash.

    The file is locked as well: a run that has lost the server's run lock may still be writing while
    another begins, for which opening raises `LockHeldError`. `check` is called before anything is
    changed; it raises if the run lock is lost already.
    """

    def __init__(
        self,
        path: Path,
        schema: Schema,
        on_record: MasterState = NOTHING,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        self.path, self.rows, size = path, on_record.rows, on_record.bytes
        path.parent.mkdir(parents=True, exist_ok=True)
        if size:
            check_size(path, size)
            check_columns(path, schema)
        self._file: BinaryIO = open_alone(path)
        try:
            check()
            self._file.truncate(size)
            self._keys = self._loaded_keys(on_record) if size else RowKeys()
        except BaseException:
            self._file.close()
            raise
        self._file.seek(size)
        if not size:
            self._file.write(schema.header.encode() + b"\n")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with errors_with_path(self.path):
            self._file.close()

    @property
    def size(self) -> int:
        """Bytes written so far, the header included."""
        return self._file.tell()

    def append(self, lines: Sequence[bytes]) -> int:
        """Add canonical lines, without their line ends; returns how many were not there yet."""
        new = self._keys.add(lines)
        added = list(compress(lines, new.tolist()))
        if added:
            with errors_with_path(self.path):
                self._file.write(b"\n".join(added) + b"\n")
        self.rows += len(added)
        return len(added)

    def mark(self) -> Mark:
        """The current state."""
        return Mark(self.size, self.rows, self._keys.settle())

    def take_back(self, mark: Mark) -> None:
        """Undo the appends since that mark."""
        with errors_with_path(self.path):
            self._file.seek(mark.size)
            self._file.truncate()
        self.rows = mark.rows
        self._keys.take_back(mark.keys)

    def save(self) -> MasterState:
        """Make what was appended durable; returns what is to be put on record."""
        with errors_with_path(self.path):
            self._file.flush()
            os.fsync(self._file.fileno())
        sync_folder(self.path.parent)
        return MasterState(self.rows, self.size, self._keys.save(key_path(self.path)))

    def _loaded_keys(self, on_record: MasterState) -> RowKeys:
        filed = on_record.keys
        if (
            filed
            and (known := RowKeys.load(key_path(self.path), filed, on_record.rows)) is not None
        ):
            return known
        keys = RowKeys()
        self._file.seek(0)
        next(self._file)  # the header
        while lines := self._file.readlines(BATCH_BYTES):
            keys.add([line[:-1] for line in lines])
            keys.settle()
        if len(keys) != on_record.rows:
            raise HistoryError(
                f"{self.path} has {len(keys):,} rows where {on_record.rows:,} are on record;"
                f" {REBUILD}"
            )
        return keys


def rebuilt_path(path: Path) -> Path:
    """The file in which it is rebuilt, beside the old one."""
    return path.with_name(f".{path.name}.tmp")


def key_path(path: Path) -> Path:
    """The file of the keys of its rows."""
    return path.with_name(f".{path.name.lstrip('.')}.keys")
