"""The rows of a bucket in parts that hold all rows of some clients: small enough for Python.

As Arrow has them, rows take some tens of bytes; as objects of Python, hundreds. So a bucket's
columns are in memory as Arrow, and one part at a time becomes more than that.
"""

from collections.abc import Iterator, Sequence
from math import ceil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.buckets import client_hashes, row_groups, stored

PART_ROWS = 100_000  # of a part, about
PASS_BYTES = 256 << 20  # of a bucket that are in memory at a time; wide tables are read in passes


def parts_of(rows: int) -> int:
    """In how many parts so many rows are divided."""
    return max(1, ceil(rows / PART_ROWS))


def part_numbers(clients: pa.ChunkedArray, buckets: int, parts: int) -> np.ndarray:
    """The part of each client, by its hash, whatever the file it is named in: shape (rows,)."""
    # the bucket has used up what is left of a division by their number
    mixed = client_hashes(clients) // np.uint64(buckets) * np.uint64(0x9E3779B97F4A7C15)  # wraps
    numbers: np.ndarray = ((mixed >> np.uint64(11)) / 2.0**53 * parts).astype("int64")
    return numbers


def divided(
    path: Path, client: str, columns: Sequence[str], buckets: int, parts: int
) -> Iterator[pa.Table]:
    """Each part of a bucket's rows, of these columns and in order; some may be empty."""
    at_once = max(1, PASS_BYTES * parts // max(1, _bytes_of(path, columns)))
    for first in range(0, parts, at_once):
        last = min(parts, first + at_once)
        kept, numbers = [], []
        for table in row_groups(path, columns):
            number = part_numbers(table[stored(client)], buckets, parts)
            here = (first <= number) & (number < last)
            kept.append(table if here.all() else table.filter(pa.array(here)))
            numbers.append(number[here])
        yield from split(pa.concat_tables(kept), np.concatenate(numbers), range(first, last))


def split(table: pa.Table, numbers: np.ndarray, parts: range) -> Iterator[pa.Table]:
    """The rows of each of these parts, in order, where each row has the number of its part."""
    for part in parts:
        yield table.take(pa.array(np.flatnonzero(numbers == part)))


def _bytes_of(path: Path, columns: Sequence[str]) -> int:
    """About how many bytes these columns take in memory."""
    names = {stored(column) for column in columns}
    found = 0
    with pq.ParquetFile(path, memory_map=False) as file:
        for group in range(file.metadata.num_row_groups):
            told = file.metadata.row_group(group)
            wanted = [told.column(i) for i in range(told.num_columns)]
            wanted = [column for column in wanted if column.path_in_schema in names]
            found += sum(
                max(column.total_uncompressed_size, 8 * told.num_rows) for column in wanted
            )
    return found
