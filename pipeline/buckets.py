"""Client rows in buckets: Parquet files that together hold each row once.

All rows of a client lie in one bucket, told by a hash of its name that is the same everywhere. In
a bucket they stand in the order first seen: by ingestion, file and row. A column has its own name;
ours begin with "#", and a user's that does so has one more.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.errors import HistoryError
from pipeline.master import REBUILD
from pipeline.schema import Schema

ORDER = ("#ingestion", "#file", "#row")
KEYS = ("#high", "#low")  # 128 bits of the row's hash
EXACT = "#exact"  # the canonical line, where a number in it has more digits than a double
OURS = (*ORDER, *KEYS, EXACT)
GROUP_ROWS = 1 << 17  # of a Parquet file that are read at a time
HASH_ROWS = 1 << 18  # clients whose names are texts in memory at a time


def stored(column: str) -> str:
    """The name of a schema's column in Parquet."""
    return f"#{column}" if column.startswith("#") else column


def arrow_schema(schema: Schema) -> pa.Schema:
    """The columns of a bucket's file."""
    kinds = {schema.client: pa.large_string(), schema.outcome: pa.int8()}
    kinds |= dict.fromkeys(schema.numeric, pa.float64())
    own = [(stored(c), kinds.get(c, pa.large_string())) for c in schema.columns]
    order = zip(ORDER, (pa.int32(), pa.int32(), pa.int64()), strict=True)
    keys = [(name, pa.uint64()) for name in KEYS]
    return pa.schema([*own, *order, *keys, (EXACT, pa.large_string())])


def parquet_options(columns: Iterable[str]) -> dict[str, Any]:
    """How Parquet files are written: keys as they are, for nothing makes them smaller."""
    names = list(columns)
    return {
        "compression": {name: "NONE" if name in KEYS else "ZSTD" for name in names},
        "compression_level": {name: 1 for name in names if name not in KEYS},
        "use_dictionary": [name for name in names if name not in KEYS],
        "write_statistics": list(ORDER),
    }


def client_hashes(clients: pa.ChunkedArray | pa.Array) -> np.ndarray:
    """64 bits for each client's name, the same on every machine and in every process: (rows,).

    Python's own `hash` is salted, so each process has another.
    """
    hashes = np.empty(len(clients), "uint64")
    for first in range(0, len(clients), HASH_ROWS):
        names = clients.slice(first, HASH_ROWS).to_pandas().to_numpy(dtype=object)
        hashes[first : first + HASH_ROWS] = pd.util.hash_array(names, categorize=False)
    return hashes


def bucket_of(hashes: np.ndarray, buckets: int) -> np.ndarray:
    """The number of each client's bucket: shape (rows,)."""
    return (hashes % np.uint64(buckets)).astype("int64")


def drawn(table: pa.Table) -> np.ndarray:
    """A number in [0, 1) for each row, to draw samples by: shape (rows,).

    It is made of the row's place in the order first seen, so that the same rows are drawn whatever
    the number of buckets. Source: the finalizer of SplitMix64, Steele, Lea and Flood, Fast
    Splittable Pseudorandom Number Generators, OOPSLA 2014.
    """
    ingestion, file, row = (table[name].to_numpy().astype("uint64") for name in ORDER)
    mixed = (ingestion << np.uint64(52)) ^ (file << np.uint64(32)) ^ row
    mixed += np.uint64(0x9E3779B97F4A7C15)  # all of these wrap around
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed ^= mixed >> np.uint64(31)
    share: np.ndarray = (mixed >> np.uint64(11)) / float(1 << 53)
    return share


def row_groups(path: Path, columns: Sequence[str], ours: Sequence[str] = ()) -> Iterator[pa.Table]:
    """A bucket's rows of these columns, and of ours, a group at a time and in order.

    Raises `HistoryError` where the file is damaged.
    """
    names = [*map(stored, columns), *ours]
    try:
        with pq.ParquetFile(path, memory_map=False, pre_buffer=False) as file:
            for group in range(file.num_row_groups):
                yield file.read_row_group(group, columns=names, use_threads=False)
    except FileNotFoundError:
        raise
    except (OSError, pa.ArrowInvalid) as error:
        raise HistoryError(f"{path} cannot be read ({error}); {REBUILD}") from error


def frame_of_rows(table: pa.Table, schema: Schema, columns: Sequence[str]) -> pd.DataFrame:
    """Rows as `frames.frame_of` gives them: float64 numbers and outcome, texts."""
    numbers = {*schema.numeric, schema.outcome}
    data = {}
    for column in columns:
        values = table[stored(column)]
        if column in numbers:
            data[column] = pd.Series(values.to_pandas().to_numpy("float64"))
        else:
            data[column] = pd.Series(values.to_pandas().to_numpy(object), dtype="str")
    return pd.DataFrame(data)


def order_of(table: pa.Table) -> np.ndarray:
    """The places of the rows in the order first seen: shape (rows,)."""
    ingestion, file, row = (table[name].to_numpy() for name in ORDER)
    return np.lexsort((row, file, ingestion))
