"""The second half of an ingestion into buckets: a bucket and its new pieces, merged.

Keys are compared first, then rows go through in groups, so that a worker needs memory for the keys
of a bucket and not for its rows.
"""

import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.bucketledger import Bucket
from pipeline.buckets import (
    GROUP_ROWS,
    KEYS,
    ORDER,
    arrow_schema,
    parquet_options,
    row_groups,
)
from pipeline.errors import EngineError
from pipeline.files import naming, sync_folder
from pipeline.rowkeys import RowKeys
from pipeline.schema import Schema

KEY_BYTES = 100  # of memory for each row's key, while keys are sorted and compared
GROUP_BYTES = 64 << 20  # for the rows that go through, and what Parquet keeps of them
VOID = -1  # the position of a file whose rows do not count


class Piece(NamedTuple):
    """New rows of a bucket; `positions` has the place in this ingestion of each of its files."""

    path: Path
    rows: int
    positions: tuple[int, ...]


class MergeTask(NamedTuple):
    """A bucket, the new pieces in order, and the folder in which the merged one is to lie."""

    number: int
    before: Bucket | None
    pieces: tuple[Piece, ...]
    ingestion: int
    folder: Path
    schema: Schema
    memory: int  # bytes that the task may take


@dataclass(frozen=True)
class Merged:
    """A merged bucket, and how many rows of each file, by its place, were new.

    Where none was, `bucket` is None: the one before goes on.
    """

    bucket: Bucket | None
    added: dict[int, int]


def merge(task: MergeTask) -> Merged:
    """Merge a bucket: rows identical in all columns are kept once, in the order first seen.

    Raises `EngineError` if the worker has too little memory for that.
    """
    _check_memory(task)
    new, added = _new_rows(task)
    if not new.any():
        return Merged(None, {})
    # a name of its own: another worker, even of a run that was killed, may be at the same part
    name = f"{task.number:05d}-{task.ingestion:06d}-{secrets.token_hex(4)}.parquet"
    path, beside = task.folder / name, task.folder / f".{name}.tmp"
    task.folder.mkdir(parents=True, exist_ok=True)
    try:
        rows, size = _write(task, new, beside)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
    sync_folder(task.folder)
    return Merged(Bucket(task.number, path, rows, size), added)


def _check_memory(task: MergeTask) -> None:
    rows = (task.before.rows if task.before else 0) + sum(piece.rows for piece in task.pieces)
    needed = rows * KEY_BYTES + GROUP_BYTES
    if needed > task.memory:
        raise EngineError(
            f"bucket {task.number} would have up to {rows:,} rows, for which a worker needs"
            f" {needed >> 20:,} MiB beside its own; it has {task.memory >> 20:,} MiB: give workers"
            ' more memory, or put more "buckets" into config.json and run'
            " `python ingestion.py --rebuild`"
        )


def _new_rows(task: MergeTask) -> tuple[np.ndarray, dict[int, int]]:
    """Which rows of the pieces, one after the other, are new; and how many of each file."""
    keys = RowKeys()
    if task.before:
        keys.add_keys(*_words(_columns(task.before.path, KEYS)))
    names = (ORDER[1], *KEYS)
    tables = [_columns(piece.path, names) for piece in task.pieces]
    positions = np.concatenate(
        [
            np.array(piece.positions)[table[ORDER[1]].to_numpy()]
            for piece, table in zip(task.pieces, tables, strict=True)
        ]
    )
    counts = positions != VOID
    new = np.zeros(len(counts), np.bool_)
    high, low = _words(pa.concat_tables(tables))
    new[counts] = keys.add_keys(high[counts], low[counts])
    places, rows = np.unique(positions[new], return_counts=True)
    return new, dict(zip(places.tolist(), rows.tolist(), strict=True))


def _columns(path: Path, names: tuple[str, ...]) -> pa.Table:
    return pa.concat_tables(row_groups(path, (), names))


def _words(table: pa.Table) -> tuple[np.ndarray, np.ndarray]:
    high, low = (table[name].to_numpy() for name in KEYS)
    return high, low


def _write(task: MergeTask, new: np.ndarray, path: Path) -> tuple[int, int]:
    """Write the rows before and the new ones, durably; returns how many they are, and bytes."""
    arrow = arrow_schema(task.schema)
    options = parquet_options(arrow.names)
    rows = 0
    with naming(path), path.open("wb") as file:
        with pq.ParquetWriter(file, arrow, **options) as writer:
            for table in _regrouped(_rows(task, new)):
                writer.write_table(table, row_group_size=GROUP_ROWS)
                rows += len(table)
        file.flush()
        os.fsync(file.fileno())
        return rows, file.tell()


def _rows(task: MergeTask, new: np.ndarray) -> Iterator[pa.Table]:
    """All rows of the merged bucket, a group at a time and in order."""
    columns = task.schema.columns
    ours = arrow_schema(task.schema).names[len(columns) :]
    if task.before:
        yield from row_groups(task.before.path, columns, ours)
    at = 0
    for piece in task.pieces:
        for table in row_groups(piece.path, columns, ours):
            kept = table.filter(pa.array(new[at : at + len(table)]))
            at += len(table)
            yield _placed(kept, task.ingestion, piece.positions)


def _placed(table: pa.Table, ingestion: int, positions: tuple[int, ...]) -> pa.Table:
    """Rows of a piece with the number of the ingestion and their file's place in it."""
    files = np.array(positions, "int32")[table[ORDER[1]].to_numpy()]
    for name, values in ((ORDER[0], np.full(len(table), ingestion, "int32")), (ORDER[1], files)):
        table = table.set_column(table.schema.get_field_index(name), name, pa.array(values))
    return table


def _regrouped(tables: Iterator[pa.Table]) -> Iterator[pa.Table]:
    """The same rows in tables of `GROUP_ROWS`, but for the last: small groups read slowly."""
    waiting: list[pa.Table] = []
    count = 0
    for table in tables:
        waiting.append(table)
        count += len(table)
        while count >= GROUP_ROWS:
            whole = pa.concat_tables(waiting)
            yield whole.slice(0, GROUP_ROWS).combine_chunks()
            waiting, count = [whole.slice(GROUP_ROWS)], count - GROUP_ROWS
    if count:
        yield pa.concat_tables(waiting).combine_chunks()
