"""All rows of the buckets as `finaldata.csv` has them: in the order first seen, as canonical lines.

Workers make the lines of their buckets; they are merged as a stream.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.bucketledger import Bucket
from pipeline.buckets import EXACT, ORDER, order_of, row_groups
from pipeline.bucketstore import BucketStore
from pipeline.canonicallines import canonical_lines
from pipeline.schema import Schema
from pipeline.sortedmerge import batch_rows, merged, runs_folder, text_of, write_run

RUNS = ".export"  # the folder of what is sorted, beside the buckets
_LINE = "line"  # with its line end
LINES = pa.schema(
    [
        *zip(ORDER, (pa.int32(), pa.int32(), pa.int64()), strict=True),
        (_LINE, pa.large_string()),
    ]
)


class LineTask(NamedTuple):
    """A bucket whose rows are to become lines."""

    bucket: Bucket
    schema: Schema
    folder: Path
    batch_rows: int


def exported_lines(store: BucketStore) -> Iterator[pa.Buffer]:
    """`finaldata.csv`, piece by piece."""
    schema = store.config.schema
    yield pa.py_buffer(f"{schema.header}\n".encode())
    with runs_folder(store.config.output_folder_path / RUNS) as folder:
        rows = batch_rows(len(store.buckets))
        tasks = [LineTask(bucket, schema, folder, rows) for bucket in store.buckets]
        for table in merged(store.engine.map(bucket_lines, tasks), order_of):
            yield text_of(table[_LINE].combine_chunks())


def bucket_lines(task: LineTask) -> Path:
    """The run of a bucket's lines."""
    path = task.folder / f"{task.bucket.number:05d}.lines"
    return write_run(path, _lines(task), LINES, task.batch_rows)


def _lines(task: LineTask) -> Iterator[pa.Table]:
    end, none = (pa.scalar(text, pa.large_string()) for text in ("\n", ""))
    for table in row_groups(task.bucket.path, task.schema.columns, (*ORDER, EXACT)):
        lines = canonical_lines(table, task.schema)
        whole = pc.binary_join_element_wise(lines, end, none)
        yield table.select(ORDER).append_column(_LINE, whole).cast(LINES)
