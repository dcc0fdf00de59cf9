"""The rows of one client, found without parsing the table that all are in."""

import csv
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pipeline.config import Config
from pipeline.history import History
from pipeline.master import counted_bytes
from pipeline.schema import csv_line

MOST = 100
_BLOCK = 1 << 18  # bytes; small enough for a processor's cache


@dataclass(frozen=True)
class ClientRows:
    """A client's last rows, oldest first, as texts of the columns; and how many there are."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    total: int


def client_rows(config: Config, history: History, client: str, most: int = MOST) -> ClientRows:
    """The last rows of a client, which is named as in the table.

    Raises `HistoryError` as `counted_bytes` does.
    """
    size = counted_bytes(config, history)
    total, last = 0, deque[bytes](maxlen=most)
    for line in _lines_of(client, config.finaldata_path, size):
        total += 1
        last.append(line)
    rows = csv.reader(line.decode() for line in last)
    return ClientRows(config.schema.columns, tuple(map(tuple, rows)), total)


def _lines_of(client: str, path: Path, size: int) -> Iterator[bytes]:
    """A client's lines in so many bytes of the file: those that begin with its cell.

    Rows are canonical, and a line break is never within one. The file is read and not mapped: it
    takes as long, and what another run cuts off meanwhile is no bus error.
    """
    begin = f"\n{csv_line((client,))},".encode(errors="surrogatepass")
    with path.open("rb") as file:
        left = size - len(file.readline())
        while left > 0 and (block := file.read(min(_BLOCK, left))):
            if not block.endswith(b"\n"):
                block += file.readline()
            left -= len(block)
            block = b"\n" + block
            at = block.find(begin)
            while at >= 0:
                end = block.index(b"\n", at + 1)
                yield block[at + 1 : end]
                at = block.find(begin, end)
