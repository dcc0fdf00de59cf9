"""The first half of an ingestion into buckets: client files, checked, cut into pieces.

A task reads some files with the checker that all ingestion shares and writes their good rows into
a folder, a Parquet file for each bucket. The folder has its name only when it is whole: what a
worker was at when it died lies under another and is never read. One that is whole is found again
by the next run.
"""

import io
import json
import os
import secrets
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from itertools import repeat
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
from xxhash import xxh3_128_digest

from pipeline.buckets import (
    EXACT,
    KEYS,
    OURS,
    arrow_schema,
    bucket_of,
    client_hashes,
    parquet_options,
    stored,
)
from pipeline.config import Config
from pipeline.files import sync_folder, write_atomic
from pipeline.inbox import FoundFile
from pipeline.intake import take_in
from pipeline.ledger import BadRow, TakenFile

FORM = 1  # of what a task leaves; one of another form is not taken for finished
DONE = "task.json"
LARGEST_WHOLE = 2**53  # which also stands for the next one: a double holds those below


class PieceTask(NamedTuple):
    """Files to cut into pieces: where to, for how many buckets, by which keys."""

    config: Config
    files: tuple[FoundFile, ...]
    folder: Path  # of all pieces
    buckets: int
    seed: int

    @property
    def name(self) -> str:
        """The name of its folder: another for other files, columns, buckets or keys."""
        told = [FORM, self.config.schema, self.buckets, self.seed]
        listed = [(file.name, file.size, file.mtime_ns) for file in self.files]
        return sha256(json.dumps([told, listed]).encode()).hexdigest()[:32]

    @property
    def finished(self) -> Path:
        """Its folder, once it is whole."""
        return self.folder / self.name


@dataclass(frozen=True)
class Pieces:
    """What a task made of its files.

    `files` has None for one that has to wait; the pieces have the rows of the others, and those of
    refused ones perhaps: a row is told by the place of its file. `rows` counts by bucket.
    """

    folder: Path
    files: tuple[TakenFile | None, ...]
    rows: dict[int, int]

    def piece(self, bucket: int) -> Path:
        """The piece of a bucket; there is one if it has rows."""
        return self.folder / piece_name(bucket)


def piece_name(bucket: int) -> str:
    """The name of a bucket's piece."""
    return f"{bucket:05d}.parquet"


def cut(task: PieceTask) -> Pieces:
    """Read, check and cut the files of a task; what another worker has finished is taken as it is.

    Raises `OSError` where the folder cannot be written.
    """
    if found := finished(task):
        return found
    place = task.folder / f".{task.name}.{os.getpid()}.{secrets.token_hex(4)}.tmp"
    place.mkdir(parents=True)
    try:
        writer = PieceWriter(task, place)
        taken = []
        for position, file in enumerate(task.files):
            writer.begin(position)
            taken.append(take_in(task.config, file, writer))
        write_atomic(place / DONE, json.dumps(_told(taken, writer.close())))
        sync_folder(place)
        try:
            place.rename(task.finished)
        except OSError:
            if not finished(task):  # another worker was quicker: the same rows are there
                raise
    finally:
        shutil.rmtree(place, ignore_errors=True)
    sync_folder(task.folder)
    return read_pieces(task.finished)


def finished(task: PieceTask) -> Pieces | None:
    """The pieces of a task that is done, or None."""
    return read_pieces(task.finished) if (task.finished / DONE).is_file() else None


def read_pieces(folder: Path) -> Pieces:
    """What a task left."""
    told = json.loads((folder / DONE).read_text(encoding="utf-8"))
    files = tuple(None if file is None else _taken(file) for file in told["files"])
    return Pieces(folder, files, {int(bucket): rows for bucket, rows in told["rows"].items()})


def _told(taken: Sequence[TakenFile | None], rows: dict[int, int]) -> dict[str, Any]:
    return {"files": [None if file is None else asdict(file) for file in taken], "rows": rows}


def _taken(told: dict[str, Any]) -> TakenFile:
    return TakenFile(**{**told, "bad_rows": tuple(BadRow(**bad) for bad in told["bad_rows"])})


class PieceWriter:
    """A sink of files' rows that divides them among the pieces of buckets."""

    size = 0  # rows have no place of their own yet

    def __init__(self, task: PieceTask, place: Path) -> None:
        self._task, self._place = task, place
        self._schema = task.config.schema
        self._arrow = arrow_schema(self._schema)
        self._writers: dict[int, pq.ParquetWriter] = {}
        self._rows: dict[int, int] = {}
        self._lines: list[bytes] = []
        self._position = self._row = 0

    def begin(self, position: int) -> None:
        """Go on with the file at this place."""
        self._position, self._row = position, 0

    def append(self, lines: Sequence[bytes]) -> int:
        """Divide canonical lines; which of them are new, only their bucket can tell."""
        if lines:
            self._divide(self._table(lines))
            self._row += len(lines)
        return len(lines)

    def mark(self) -> None:
        """Nothing is to be remembered: the rows of a refused file are told by its place."""

    def take_back(self, mark: None) -> None:
        """Nothing is undone: see `mark`."""

    def close(self) -> dict[int, int]:
        """End all pieces; returns how many rows each bucket has, refused ones included."""
        for bucket, writer in self._writers.items():
            writer.close()
            with (self._place / piece_name(bucket)).open("rb") as file:
                os.fsync(file.fileno())
        return self._rows

    def _table(self, lines: Sequence[bytes]) -> pa.Table:
        columns = [stored(column) for column in self._schema.columns]
        text = b"\n".join(lines)
        table = pa.csv.read_csv(
            io.BytesIO(text),
            pa.csv.ReadOptions(column_names=columns, use_threads=False, block_size=len(text) + 1),
            convert_options=pa.csv.ConvertOptions(
                column_types={name: self._arrow.field(name).type for name in columns},
                null_values=[""],
                strings_can_be_null=False,
            ),
        ).combine_chunks()
        digests = b"".join(map(xxh3_128_digest, lines, repeat(self._task.seed)))
        words, count = np.frombuffer(digests, "<u8"), len(lines)
        ours = [
            pa.array(np.zeros(count, "int32")),  # the ingestion, which is not known yet
            pa.array(np.full(count, self._position, "int32")),
            pa.array(np.arange(self._row, self._row + count)),
            *(pa.array(np.ascontiguousarray(words[i::2])) for i in range(len(KEYS))),
            self._exact(table, lines),
        ]
        for name, values in zip(OURS, ours, strict=True):
            table = table.append_column(name, values)
        return table

    def _exact(self, table: pa.Table, lines: Sequence[bytes]) -> pa.Array:
        """The lines of rows with a whole number that a double does not hold."""
        large = np.zeros(len(lines), np.bool_)
        for column in self._schema.numeric:
            with np.errstate(invalid="ignore"):
                large |= np.abs(table[stored(column)].to_numpy()) >= LARGEST_WHOLE
        if not large.any():
            return pa.nulls(len(lines), self._arrow.field(EXACT).type)
        exact = [line.decode() if kept else None for line, kept in zip(lines, large, strict=True)]
        return pa.array(exact, self._arrow.field(EXACT).type)

    def _divide(self, table: pa.Table) -> None:
        hashes = client_hashes(table[stored(self._schema.client)])
        buckets = bucket_of(hashes, self._task.buckets)
        order = np.argsort(buckets, kind="stable")
        present, starts = np.unique(buckets[order], return_index=True)
        ends = np.append(starts[1:], len(order))
        for bucket, start, end in zip(present.tolist(), starts, ends, strict=True):
            rows = table.take(pa.array(order[start:end]))
            self._writer(bucket).write_table(rows)
            self._rows[bucket] = self._rows.get(bucket, 0) + len(rows)

    def _writer(self, bucket: int) -> pq.ParquetWriter:
        if bucket not in self._writers:
            self._writers[bucket] = pq.ParquetWriter(
                self._place / piece_name(bucket),
                self._arrow,
                **parquet_options(self._arrow.names),
            )
        return self._writers[bucket]


def with_counts(file: TakenFile, ingestion: int, position: int, added: int) -> TakenFile:
    """A file once its rows are in the buckets, of which so many were new."""
    if file.reason:
        return file
    return replace(
        file,
        added=added,
        duplicates=file.rows - added - len(file.bad_rows),
        ingestion=ingestion,
        position=position,
    )
