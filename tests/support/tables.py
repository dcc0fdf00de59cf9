"""Client tables row by row, as tests look at them."""

import io
from collections.abc import Iterator
from dataclasses import dataclass

from pipeline.core.schema import Schema
from pipeline.data.csv_reader import BadRow, GoodRows, Table, with_table


@dataclass(frozen=True)
class GoodRow:
    """A row that passed: where it starts, and its canonical line, without the line end."""

    line: int
    text: str


class RowTable(Table):
    """A table whose blocks of good rows are taken apart."""

    def __iter__(self) -> Iterator[GoodRow | BadRow]:
        for block in self.blocks():
            yield from taken_apart(block)


def taken_apart(block: GoodRows | BadRow) -> Iterator[GoodRow | BadRow]:
    """The rows of a block."""
    if isinstance(block, BadRow):
        yield block
    else:
        # not splitlines: a name may hold other characters that Python takes for line ends
        for i, text in enumerate(block.text.split("\n")[:-1]):
            yield GoodRow(block.line + i, text)


@dataclass(frozen=True)
class ReadTable:
    """What came of a whole table, packed or not."""

    rows: list[GoodRow | BadRow]
    notes: list[str]

    @property
    def good(self) -> list[str]:
        """The canonical lines of the good rows."""
        return [row.text for row in self.rows if isinstance(row, GoodRow)]

    @property
    def bad(self) -> list[tuple[int, str]]:
        """The lines and reasons of the bad rows."""
        return [(row.line, row.reason) for row in self.rows if isinstance(row, BadRow)]


def read(content: bytes | str, schema: Schema) -> ReadTable:
    """Read a text as a file would be; raises `DataError`."""
    raw = content.encode() if isinstance(content, str) else content

    def rows_of(table: Table) -> ReadTable:
        rows = [row for block in table.blocks() for row in taken_apart(block)]
        return ReadTable(rows, table.notes)

    stream: io.BufferedReader = io.BufferedReader(io.BytesIO(raw))
    return with_table(stream, schema, schema.columns, rows_of)
