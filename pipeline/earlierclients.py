"""Clients of before, of the ranking that lies there or of the record, split by bucket on disk.

They come in blocks, and a block is a file that has a batch for each bucket: whoever works on a
bucket reads its batch of each.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from pipeline.buckets import bucket_of, client_hashes
from pipeline.files import naming

BLOCK = 200_000  # clients that are in memory at a time
_SCHEMA = pa.schema([("client", pa.large_string()), ("risk", pa.float64())])


class ClientBlock(NamedTuple):
    """Some clients, and the risk of each: (clients,), NaN where it is not told."""

    clients: list[str]
    risk: np.ndarray


class EarlierClients(NamedTuple):
    """Where they lie, and how many there are of each bucket."""

    files: tuple[Path, ...] = ()
    counts: tuple[int, ...] = ()

    def of_bucket(self, bucket: int) -> pa.Table:
        """The clients of a bucket in the order they came in: `client` and `risk`."""
        found = [_SCHEMA.empty_table()]
        for path in self.files:
            with pa.OSFile(str(path)) as file, pa.ipc.open_file(file) as reader:
                found.append(pa.Table.from_batches([reader.get_batch(bucket)]))
        return pa.concat_tables(found)


def split_clients(blocks: Iterable[ClientBlock], folder: Path, buckets: int) -> EarlierClients:
    """Split clients into files of a folder, which is made."""
    folder.mkdir()
    files: list[Path] = []
    counts = np.zeros(buckets, "int64")
    for block in blocks:
        table = pa.table([pa.array(block.clients, pa.large_string()), block.risk], schema=_SCHEMA)
        numbers = bucket_of(client_hashes(table["client"]), buckets)
        found = np.bincount(numbers, minlength=buckets)
        path = folder / f"{len(files):05d}.arrow"
        _write(path, table.take(pa.array(np.argsort(numbers, kind="stable"))), found)
        files.append(path)
        counts += found
    return EarlierClients(tuple(files), tuple(counts.tolist()))


def _write(path: Path, table: pa.Table, counts: np.ndarray) -> None:
    ends = np.cumsum(counts)
    table = table.combine_chunks()
    with (
        naming(path),
        pa.OSFile(str(path), "wb") as file,
        pa.ipc.new_file(file, _SCHEMA) as writer,
    ):
        for start, rows in zip((ends - counts).tolist(), counts.tolist(), strict=True):
            found = table.slice(start, rows).to_batches()
            writer.write_batch(found[0] if found else _SCHEMA.empty_table().to_batches()[0])
