"""Rows in order, from any number of sorted runs on disk: none of them need fit into memory.

A run is a file of Arrow's, in small batches that are read one by one. It is open only while one is
read, so that there may be more runs than files may be open.
"""

import os
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa

from pipeline.files import naming

POOL_ROWS = 1 << 17  # of all runs together that are in memory, up to twice as many at times
MOST, LEAST = 1 << 15, 64  # rows of a batch

Order = Callable[[pa.Table], np.ndarray]  # the places of a table's rows in order: shape (rows,)


def batch_rows(runs: int) -> int:
    """How many rows a batch has where there are so many runs: the more, the fewer."""
    return min(MOST, max(LEAST, POOL_ROWS // max(1, runs)))


@contextmanager
def runs_folder(place: Path) -> Iterator[Path]:
    """A folder of runs within this one, for as long as the context lasts.

    It has a name of its own: a worker may still be at what a killed run asked for. What such a run
    left is deleted before.
    """
    shutil.rmtree(place, ignore_errors=True)
    folder = place / secrets.token_hex(8)
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(place, ignore_errors=True)


def write_run(path: Path, tables: Iterable[pa.Table], schema: pa.Schema, rows: int) -> Path:
    """Write tables, in order and of this schema, as a run in batches of so many rows."""
    # the same run may be made on another machine at the same time
    beside = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}.tmp")
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    try:
        with (
            naming(path),
            pa.OSFile(str(beside), "wb") as file,
            pa.ipc.new_file(file, schema, options=options) as writer,
        ):
            for table in tables:
                writer.write_table(table, max_chunksize=rows)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
    return path


def batches(path: Path, columns: Sequence[str] = ()) -> Iterator[pa.Table]:
    """A run batch by batch, of all its columns or of these."""
    run = Run(path, columns)
    while run.more:
        yield run.read()


class Run:
    """A run that is being read."""

    def __init__(self, path: Path, columns: Sequence[str] = ()) -> None:
        self._path, self._at = path, 0
        with pa.OSFile(str(path)) as file, pa.ipc.open_file(file) as reader:
            names, self._count = reader.schema.names, reader.num_record_batches
        fields = [names.index(name) for name in columns or names]
        self._options = pa.ipc.IpcReadOptions(included_fields=fields, use_threads=False)
        self.rows = 0  # of the last batch

    @property
    def more(self) -> bool:
        """Whether there is another batch."""
        return bool(self._at < self._count)

    def read(self) -> pa.Table:
        """The next batch."""
        with (
            pa.OSFile(str(self._path)) as file,
            pa.ipc.open_file(file, options=self._options) as reader,
        ):
            table = pa.Table.from_batches([reader.get_batch(self._at)])
        self._at, self.rows = self._at + 1, len(table)
        return table


def merged(paths: Sequence[Path], order: Order) -> Iterator[pa.Table]:
    """The rows of sorted runs, each in this order, as tables in which all are.

    Each time as much comes as is sure: up to the first row that is the last one read of a run that
    has more.
    """
    runs = [Run(path) for path in paths]
    pool: list[pa.Table] = []
    whose = np.empty(0, "int64")
    while True:
        read = _refill(runs, np.bincount(whose, minlength=len(runs)))
        if not (read or len(whose)):
            return
        pool += [table for _, table in read]
        whose = np.concatenate([whose, *(np.full(len(t), run) for run, t in read)])
        table = pa.concat_tables(pool).combine_chunks()
        places = order(table)
        whose = whose[places]
        sure = _sure(runs, whose)
        ready, rest = (table.take(pa.array(part)) for part in np.split(places, [sure]))
        pool, whose = [rest], whose[sure:]
        del table  # it would be in memory for as long as its rows are looked at
        yield ready


def _refill(runs: Sequence[Run], held: np.ndarray) -> list[tuple[int, pa.Table]]:
    """The next batch of each run of which less than a batch is held."""
    return [
        (place, run.read())
        for place, (run, rows) in enumerate(zip(runs, held.tolist(), strict=True))
        if run.more and rows <= run.rows
    ]


def _sure(runs: Sequence[Run], whose: np.ndarray) -> int:
    """How many of the rows, in order, no row that is not read yet can come before."""
    unread = np.array([run.more for run in runs], np.bool_)
    last = np.zeros(len(runs), "int64")
    last[whose] = np.arange(len(whose))  # of several, the last one counts
    return int(last[unread].min()) + 1 if unread.any() else len(whose)


def text_of(texts: pa.Array) -> pa.Buffer:
    """Texts one after the other, as they lie in memory."""
    _, ends, content = texts.buffers()
    first, last = np.frombuffer(ends, "int64")[[texts.offset, texts.offset + len(texts)]].tolist()
    return content.slice(first, last - first)
