"""What cuts checked rows into pieces: a Parquet file for each bucket, in one folder."""

import io
import os
from collections.abc import Sequence
from contextlib import ExitStack
from itertools import repeat
from pathlib import Path
from typing import BinaryIO, Self

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
from pipeline.files import naming
from pipeline.schema import Schema

FIRST_DOUBTFUL = 2**53  # a double that is also read from a whole number that it does not hold
HEAD = b"#\n"  # a line that is skipped: of a first line, the CSV reader drops a byte order mark


def piece_name(bucket: int) -> str:
    """The name of a bucket's piece."""
    return f"{bucket:05d}.parquet"


class PieceWriter:
    """A sink of files' rows that divides them among the pieces of buckets."""

    size = 0  # rows have no place of their own yet

    def __init__(self, place: Path, schema: Schema, buckets: int, seed: int) -> None:
        self._place, self._schema, self._buckets, self._seed = place, schema, buckets, seed
        self._arrow = arrow_schema(self._schema)
        self._files = ExitStack()
        self._open: dict[int, BinaryIO] = {}
        self._writers: dict[int, pq.ParquetWriter] = {}
        self.rows: dict[int, int] = {}  # of each bucket, those of refused files included
        self._position = self._row = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        with naming(self._place.parent), self._files:
            try:
                if kind is None:
                    self._end()
            finally:
                for writer in self._writers.values():
                    writer.is_open = False  # else it would try again, when it is forgotten

    def _end(self) -> None:
        for bucket, writer in self._writers.items():
            writer.close()
            self._open[bucket].flush()
            os.fsync(self._open[bucket].fileno())

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

    def _table(self, lines: Sequence[bytes]) -> pa.Table:
        columns = [stored(column) for column in self._schema.columns]
        text = HEAD + b"\n".join(lines)
        table = pa.csv.read_csv(
            io.BytesIO(text),
            pa.csv.ReadOptions(
                column_names=columns, skip_rows=1, use_threads=False, block_size=len(text) + 1
            ),
            convert_options=pa.csv.ConvertOptions(
                column_types={name: self._arrow.field(name).type for name in columns},
                null_values=[""],
                strings_can_be_null=False,
            ),
        ).combine_chunks()
        digests = b"".join(map(xxh3_128_digest, lines, repeat(self._seed)))
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
                large |= np.abs(table[stored(column)].to_numpy()) >= FIRST_DOUBTFUL
        if not large.any():
            return pa.nulls(len(lines), self._arrow.field(EXACT).type)
        exact = [line.decode() if kept else None for line, kept in zip(lines, large, strict=True)]
        return pa.array(exact, self._arrow.field(EXACT).type)

    def _divide(self, table: pa.Table) -> None:
        hashes = client_hashes(table[stored(self._schema.client)])
        buckets = bucket_of(hashes, self._buckets)
        order = np.argsort(buckets, kind="stable")
        present, starts = np.unique(buckets[order], return_index=True)
        ends = np.append(starts[1:], len(order))
        for bucket, start, end in zip(present.tolist(), starts, ends, strict=True):
            rows = table.take(pa.array(order[start:end]))
            with naming(self._place.parent):
                self._writer(bucket).write_table(rows)
            self.rows[bucket] = self.rows.get(bucket, 0) + len(rows)

    def _writer(self, bucket: int) -> pq.ParquetWriter:
        if bucket not in self._writers:
            file = self._files.enter_context((self._place / piece_name(bucket)).open("wb"))
            options = parquet_options(self._arrow.names)
            self._open[bucket] = file
            self._writers[bucket] = pq.ParquetWriter(file, self._arrow, **options)
        return self._writers[bucket]
