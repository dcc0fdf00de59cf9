"""Reading a client table: one CSV text, checked row by row, into canonical lines.

A fault of the whole table (no header, another encoding, a quote that never closes) raises
`DataError`; a fault of one row is a `BadRow`, and the rest of the table goes on.
"""

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pipeline.errors import DataError
from pipeline.ledger import BadRow
from pipeline.schema import Schema, csv_line

MOST_BAD_ROWS = 0.1  # of a table's rows; beyond that the table as a whole is not to be trusted
LONGEST_LINE = 1_000_000  # characters

_OTHER_FORMATS = {
    b"\x1f\x8b": "is compressed with gzip; expected plain CSV text",
    b"PK\x03\x04": "is a zip archive or spreadsheet; expected plain CSV text",
    b"\xff\xfe": "is UTF-16; expected UTF-8",
    b"\xfe\xff": "is UTF-16; expected UTF-8",
}


@dataclass(frozen=True)
class GoodRow:
    """A row that passed: where it starts, and its canonical line, without the line end."""

    line: int
    text: str


class Table:
    """The rows of one CSV text; iterate it once.

    `columns` are those that must be there, in the order the canonical lines have; further ones
    are left out and named in `extra_columns`. Reasons quote the value at fault unless told not to.
    """

    def __init__(
        self,
        stream: io.BufferedReader,
        schema: Schema,
        columns: Sequence[str],
        *,
        quote_values: bool = True,
    ) -> None:
        self._reader = csv.reader(_lines(_text(stream)), strict=True)
        self._quote_values = quote_values
        header = self._header(columns)
        self.width = len(header)
        self._picks = [(header.index(c), c, schema.canonical(c)) for c in columns]
        self.extra_columns = tuple(name for name in header if name not in columns)

    def __iter__(self) -> Iterator[GoodRow | BadRow]:
        rows = 0
        for line, fields in self._records():
            rows += 1
            yield self._checked(line, fields)
        if not rows:
            raise DataError("has a header and no rows below it")

    def _header(self, columns: Sequence[str]) -> list[str]:
        header = [name.strip() for name in next((f for _, f in self._records()), [])]
        if not header:
            raise DataError("is empty; expected a header line and rows")
        missing = [column for column in columns if column not in header]
        if len(missing) == len(columns):
            raise DataError(
                f"has no header line: expected {', '.join(columns)}; found {_some(header)}"
            )
        if missing:
            raise DataError(f"lacks the column {', '.join(missing)}; it has {_some(header)}")
        twice = [column for column in columns if header.count(column) > 1]
        if twice:
            raise DataError(f"has the column {', '.join(twice)} more than once")
        return header

    def _records(self) -> Iterator[tuple[int, list[str]]]:
        """The records that are not blank, each with the number of the line it starts on."""
        while True:
            line = self._reader.line_num + 1
            try:
                fields = next(self._reader)
            except StopIteration:
                return
            except csv.Error as error:
                raise DataError(f"line {line}: {_quoting(error)}") from None
            if any(field.strip() for field in fields):
                yield line, fields

    def _checked(self, line: int, fields: list[str]) -> GoodRow | BadRow:
        if len(fields) != self.width:
            if self._reader.line_num > line:  # the quote that joined these lines may be a stray one
                raise DataError(f"line {line}: a quote opens here and closes in another line")
            reason = f"has {len(fields)} fields where the header has {self.width}"
            return BadRow(line, reason, csv_line(fields))
        values = []
        for i, name, canonical in self._picks:
            try:
                values.append(canonical(fields[i]))
            except ValueError as error:
                quoted = f"{name} {_quoted(fields[i])}" if self._quote_values else name
                return BadRow(line, f"{quoted} {error}", csv_line(fields))
        return GoodRow(line, csv_line(values))


def too_many_bad(bad: Sequence[BadRow], rows: int) -> str | None:
    """Why a whole table is refused for its bad rows, or None if they are few enough."""
    if len(bad) <= MOST_BAD_ROWS * rows:
        return None
    first = "; ".join(f"line {row.line}: {row.reason}" for row in bad[:3])
    return f"{len(bad):,} of {rows:,} rows are bad, more than a tenth ({first})"


def _quoted(field: str) -> str:
    return repr(field if len(field) <= 40 else field[:40] + "…")


def _text(stream: io.BufferedReader) -> io.TextIOWrapper:
    head = stream.peek(4)[:4]
    for magic, what in _OTHER_FORMATS.items():
        if head.startswith(magic):
            raise DataError(what)
    return io.TextIOWrapper(stream, encoding="utf-8-sig", newline="")


def _lines(text: io.TextIOWrapper) -> Iterator[str]:
    number = 0
    try:
        while line := text.readline(LONGEST_LINE + 1):
            number += 1
            if len(line) > LONGEST_LINE:
                raise DataError(f"line {number} is longer than {LONGEST_LINE:,} characters")
            if "\0" in line:
                raise DataError(f"line {number} holds binary content; expected CSV text")
            yield line
    except UnicodeDecodeError as error:
        byte = error.object[error.start]
        raise DataError(f"is not UTF-8: byte 0x{byte:02x} after line {number}") from None
    finally:
        text.detach()  # the stream belongs to the caller, who goes on to digest the rest of it


def _quoting(error: csv.Error) -> str:
    text = str(error)
    if "unexpected end of data" in text or "field limit" in text:
        return "a quote opens here and never closes"
    return f"a quote stands where none may ({text})"


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(name[:40] for name in names[:12])
    return shown if len(names) <= 12 else f"{shown} and {len(names) - 12:,} more"
