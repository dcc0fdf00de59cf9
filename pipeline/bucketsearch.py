"""The rows of one client in buckets: only its own bucket is read."""

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.bucketledger import check_columns
from pipeline.buckets import EXACT, bucket_of, client_hashes, stored
from pipeline.bucketstore import BucketStore
from pipeline.canonicallines import canonical_lines
from pipeline.schema import Schema


def client_lines(store: BucketStore, client: str, most: int) -> tuple[int, list[str]]:
    """How many rows a client has, and the canonical lines of the last ones, oldest first.

    Raises `HistoryError` where its bucket has other columns than the config names.
    """
    try:
        name = pa.array([client], pa.large_string())
    except UnicodeEncodeError:  # what is no text is nobody's name
        return 0, []
    own = bucket_of(client_hashes(name), store.config.engine.buckets).item()
    for bucket in store.buckets:
        if bucket.number == own:
            check_columns([bucket], store.config.schema)
            return _lines_in(bucket.path, store.config.schema, name[0], most)
    return 0, []


def _lines_in(path: Path, schema: Schema, name: pa.Scalar, most: int) -> tuple[int, list[str]]:
    total, lines = 0, list[str]()
    columns = [*map(stored, schema.columns), EXACT]
    with pq.ParquetFile(path, memory_map=False, pre_buffer=False) as file:
        for group in range(file.num_row_groups):
            clients = file.read_row_group(group, columns=columns[:1], use_threads=False)[0]
            own = pc.equal(clients, name)
            if found := pc.sum(own).as_py():
                rows = file.read_row_group(group, columns=columns, use_threads=False).filter(own)
                total += found
                last = canonical_lines(rows.slice(max(0, found - most)), schema).to_pylist()
                lines = [*lines, *last][-most:]
    return total, lines
