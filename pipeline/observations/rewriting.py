"""Writing `finaldata.csv` again, line by line: with other outcomes, or in another order."""

import mmap
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from pipeline.core.files import errors_with_path
from pipeline.core.schema import csv_line
from pipeline.observations.rules import Rows

BLOCK = 16 << 20
SEARCH_BLOCK = 1 << 18  # bytes; small enough for a processor's cache
_LINE_END = 10


def write_changed(
    source: Path, target: Path, rows: Rows, renewed: Callable[[int, bytes], bytes]
) -> None:
    """Copy a file, with some of its rows, which are in rising order, as `renewed` has them.

    It gets the place of each among these rows, and its line.
    """
    with errors_with_path(target), source.open("rb") as old, target.open("wb") as new:
        new.write(next(old))
        row = at = 0
        while block := old.read(BLOCK):
            block += old.readline()
            ends = np.flatnonzero(np.frombuffer(block, np.uint8) == _LINE_END)
            upto = int(np.searchsorted(rows, row + len(ends)))
            copied = 0
            for i in range(at, upto):
                of_block = int(rows[i]) - row
                begin = int(ends[of_block - 1]) + 1 if of_block else 0
                end = int(ends[of_block]) + 1
                new.write(block[copied:begin] + renewed(i, block[begin:end]))
                copied = end
            new.write(block[copied:])
            row, at = row + len(ends), upto
        sync(new)


def write_ordered(source: Path, target: Path, order: Rows) -> None:
    """Copy a file, with its rows in this order."""
    with errors_with_path(target), source.open("rb") as old, target.open("wb") as new:
        header = old.readline()
        new.write(header)
        with mmap.mmap(old.fileno(), 0, access=mmap.ACCESS_READ) as text:
            ends = [np.zeros(0, np.int64)]
            for begin in range(0, len(text), BLOCK):
                part = np.frombuffer(text[begin : begin + BLOCK], np.uint8)
                ends.append(begin + np.flatnonzero(part == _LINE_END))
            ends_of = np.concatenate(ends)  # that of the header included
            for begin, end in zip(
                (ends_of[order] + 1).tolist(), (ends_of[order + 1] + 1).tolist(), strict=True
            ):
                new.write(text[begin:end])
        sync(new)


def line_batches(source: Path, start: int, end: int) -> Iterator[list[bytes]]:
    """The lines between two bytes of a file, without their line ends, many at a time."""
    with source.open("rb") as file:
        file.seek(start)
        while (left := end - file.tell()) > 0 and (block := file.read(min(BLOCK, left))):
            if not block.endswith(b"\n"):
                block += file.readline()
            yield block.split(b"\n")[:-1]


def lines_at(source: Path, size: int, rows: Rows) -> Iterator[bytes]:
    """The lines of these rows, which are in rising order, with their line ends."""
    with source.open("rb") as file:
        left = size - len(file.readline())
        row = at = 0
        while at < len(rows) and left > 0 and (block := file.read(min(BLOCK, left))):
            if not block.endswith(b"\n"):
                block += file.readline()
            left -= len(block)
            count = block.count(b"\n")
            upto = int(np.searchsorted(rows, row + count))
            if upto > at:
                lines = block.split(b"\n")
                for i in range(at, upto):
                    yield lines[int(rows[i]) - row] + b"\n"
            row, at = row + count, upto


def lines_of_client(client: str, path: Path, size: int) -> Iterator[tuple[int, bytes]]:
    """A client's lines in so many bytes of the file, those that begin with its cell; by row.

    Rows are canonical, without line breaks. The file is read and not mapped: that takes as long,
    and another run that truncates it causes no bus error.
    """
    begin = f"\n{csv_line((client,))},".encode(errors="surrogatepass")
    with path.open("rb") as file:
        left, row = size - len(file.readline()), 0
        while left > 0 and (block := file.read(min(SEARCH_BLOCK, left))):
            if not block.endswith(b"\n"):
                block += file.readline()
            left -= len(block)
            block = b"\n" + block
            at = block.find(begin)
            while at >= 0:
                end = block.index(b"\n", at + 1)
                yield row + block.count(b"\n", 0, at), block[at + 1 : end]
                at = block.find(begin, end)
            row += block.count(b"\n") - 1


def sync(file: BinaryIO) -> None:
    """Make what was written durable."""
    file.flush()
    os.fsync(file.fileno())
