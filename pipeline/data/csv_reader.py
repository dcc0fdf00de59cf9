"""Reading a client table: one CSV text, checked row by row, into canonical lines.

A fault of the whole table (no header, another encoding, a quote that never closes) raises
`DataError`; a fault of one row is a `BadRow`, and the rest of the table goes on.
"""

import codecs
import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from unicodedata import is_normalized

from pipeline.core.errors import DataError
from pipeline.core.schema import Schema, csv_line
from pipeline.data.plain_rows import PlainRows

MAX_BAD_SHARE = 0.1  # of a table's rows; with more, the whole table is refused
MAX_BAD_ROWS = 100_000  # of a table of any size: they are held in memory
MAX_KEPT = 1_000  # characters of a bad row
BLOCK = 1 << 20  # bytes read at a time
MAX_ROW = 1_000_000  # characters, over all its lines

_LETTERS = re.compile(r"[\W_]+")  # what is none: names are compared without
_LINE = re.compile(r"[^\r\n]*+(?:\r\n?|\n)")
# what spreadsheets and pandas make of long ids; `12E4` may be an id
_SCIENTIFIC = re.compile(r"[1-9](?:[.,][0-9]+[eE]\+?|[eE]\+)[0-9]+")
_OTHER_FORMATS = {
    b"\x1f\x8b": "is compressed with gzip; expected plain CSV text",
    b"PK\x03\x04": "is a zip archive or spreadsheet; expected plain CSV text",
    b"\xff\xfe": "is UTF-16; expected UTF-8",
    b"\xfe\xff": "is UTF-16; expected UTF-8",
}


@dataclass(frozen=True)
class BadRow:
    """A row that was set aside: where it starts, why, and what it says."""

    line: int
    reason: str
    row: str


@dataclass(frozen=True)
class GoodRows:
    """Rows that passed, one after the other: where the first starts, and their canonical lines."""

    line: int
    text: str  # each with its line end


class Table:
    """The rows of one CSV text; iterate its `blocks` once.

    `columns` are those that must be there, but for the schema's optional ones, in the order the
    canonical lines have; further ones are left out and named in `extra_columns`. If it may have
    outcomes alone, and has no feature, `columns` become those of such a file, and `reports` is
    true. No row may have a date after `last_day`. Reasons quote the wrong value unless
    `quote_values` is false. `warning` is what to look into, once all rows are read.
    """

    def __init__(
        self,
        stream: io.BufferedReader,
        schema: Schema,
        columns: Sequence[str],
        *,
        quote_values: bool = True,
        last_day: str = "",
        may_report: bool = False,
    ) -> None:
        self._lines = Lines(stream)
        self._reader = csv.reader(self._checked_lines(), strict=True)
        self._quote_values = quote_values
        self._client = schema.client
        self._has_client = schema.client in columns
        self._line = 0  # on which the record being read starts
        self._rows = self._bad_rows = 0
        self._scientific, self._example = 0, ""  # clients in scientific notation, and one of them
        header = self._first()
        self.reports = may_report and _is_report(header, schema)
        optional = schema.optional
        if self.reports:
            columns, optional = schema.report_columns, schema.report_columns[1:]
        self._check_header(header, columns, optional)
        self.header = header
        self.width, self._last_day = len(header), last_day
        self._dated, self._days = schema.date, {schema.date, schema.left_on} - {""}
        self._picks = [
            (header.index(c) if c in header else None, c, schema.canonical(c)) for c in columns
        ]
        self.extra_columns = tuple(name for name in header if name not in columns)
        self._plain = PlainRows(header, columns, schema, MAX_ROW, last_day)

    @property
    def warning(self) -> str | None:
        """That ids were cut, in words that follow the file's name; None if none was."""
        if not self._scientific:
            return None
        found = f", such as {self._example!r}" if self._quote_values else ""
        return (
            f"has {self._client} in scientific notation in {self._scientific:,} of"
            f" {self._rows:,} rows{found}: a spreadsheet cut these ids; format the column as text"
            " there and export it again"
        )

    def blocks(self) -> Iterator[GoodRows | BadRow]:
        """The rows in order; consecutive good ones in one block where they can be read at once.

        Rows that are canonical already, as most are, are matched by the thousand; only the others
        go through the CSV reader. Raises `DataError` also where more than a tenth of the
        clients are in scientific notation.
        """
        line = self._lines.taken + 1
        while True:
            if run := self._lines.run(self._plain.run, self._plain.any_run):
                self._rows += self._lines.taken + 1 - line
                yield GoodRows(line, self._plain.canonical(run))
            if not (record := next(self._records(), None)):
                break
            self._rows += 1
            yield self._check_row(*record)
            line = self._lines.taken + 1
        if not self._rows:
            raise DataError("has a header and no rows below it")
        if self._scientific > MAX_BAD_SHARE * self._rows:
            raise DataError(self.warning)

    def _first(self) -> list[str]:
        header = [name.strip() for name in next((f for _, f in self._records()), [])]
        if not header:
            raise DataError("is empty; expected a header line and rows")
        return header

    def _check_header(
        self, header: list[str], columns: Sequence[str], optional: Sequence[str]
    ) -> None:
        columns = [column for column in columns if column in header or column not in optional]
        missing = [column for column in columns if column not in header]
        if len(missing) == len(columns):
            for separator in ";\t|":
                if {name.strip() for name in header[0].split(separator)} & set(columns):
                    raise DataError(f"is separated by {separator!r}; expected commas")
            # the first line may be a client's row
            found = f"; found {format_names(header)}" if self._quote_values else ""
            raise DataError(f"has no header line: expected {', '.join(columns)}{found}")
        if missing:
            raise DataError(f"lacks the column {', '.join(missing)}; it has {format_names(header)}")
        twice = [column for column in columns if header.count(column) > 1]
        if twice:
            raise DataError(f"has the column {', '.join(twice)} more than once")

    def _records(self) -> Iterator[tuple[int, list[str]]]:
        """The records that are not blank, each with the number of the line it starts on."""
        while True:
            self._line = line = self._lines.taken + 1
            try:
                fields = next(self._reader)
            except StopIteration:
                return
            except csv.Error as error:
                raise DataError(self._quoting_error(error)) from None
            if fields and (fields[0].strip() or not self._is_blank(fields)):
                yield line, fields

    def _is_blank(self, fields: list[str]) -> bool:
        # spreadsheets leave rows of commas only; in a table without clients they may be rows
        return not any(field.strip() for field in fields) and (len(fields) == 1 or self._has_client)

    def _checked_lines(self) -> Iterator[str]:
        """What the CSV reader reads."""
        length = 0
        while line := self._lines.line():
            number = self._lines.taken
            length = len(line) if number == self._line else length + len(line)
            if length > MAX_ROW:
                raise DataError(
                    f"has a row of more than {MAX_ROW:,} characters, which begins in"
                    f" line {self._line}"
                )
            if "\0" in line:
                raise DataError(f"holds binary content in line {number}; expected CSV text")
            yield line

    def _quoting_error(self, error: csv.Error) -> str:
        text, line = str(error), self._line
        if "field limit" in text and self._lines.taken == line:
            return f"has a field of more than {csv.field_size_limit():,} characters in line {line}"
        if "unexpected end of data" in text or "field limit" in text:
            return f"has a quote in line {line} that never closes"
        return f"has a quote in line {line} where none is allowed ({text})"

    def _check_row(self, line: int, fields: list[str]) -> GoodRows | BadRow:
        if len(fields) != self.width:
            if self._lines.taken > line:  # the quote that joined these lines may be a stray one
                raise DataError(f"has a quote in line {line} that closes in another line")
            return self._bad_row(
                line, f"has {len(fields)} fields where the header has {self.width}", fields
            )
        values = []
        for i, name, canonical in self._picks:
            if i is None or (self.reports and name == self._dated and not fields[i].strip()):
                values.append("")
                continue
            try:
                value = canonical(fields[i])
                if self._last_day and name in self._days and value > self._last_day:
                    raise ValueError("is after the day on which the file was written")
                values.append(value)
            except ValueError as error:
                quoted = f"{name} {_cut(fields[i], 40)!r}" if self._quote_values else name
                return self._bad_row(line, f"{quoted} {error}", fields)
            if name == self._client and _SCIENTIFIC.fullmatch(values[-1]):
                self._scientific += 1
                self._example = self._example or values[-1]
        return GoodRows(line, csv_line(values) + "\n")

    def _bad_row(self, line: int, reason: str, fields: list[str]) -> BadRow:
        self._bad_rows += 1
        if self._bad_rows > MAX_BAD_ROWS:
            raise DataError(
                f"has too many bad rows: more than {MAX_BAD_ROWS:,} (line {line}: {reason})"
            )
        return BadRow(line, reason, _cut(csv_line(fields), MAX_KEPT))


def _is_report(header: Sequence[str], schema: Schema) -> bool:
    """Whether a file with this header has outcomes alone: a client, what became of it, no more."""
    names = {*header}
    outcomes = {*schema.report_columns} - {schema.client, schema.date}
    # a feature that is written otherwise makes it a client file that lacks a column
    spelt = {_LETTERS.sub("", name).casefold() for name in names}
    features = {_LETTERS.sub("", name).casefold() for name in schema.features}
    return schema.client in names and bool(outcomes & names) and not features & spelt


def too_many_bad(bad: Sequence[BadRow], rows: int) -> str | None:
    """Why a whole table is refused for its bad rows, or None if they are few enough."""
    if len(bad) <= MAX_BAD_SHARE * rows:
        return None
    first = "; ".join(f"line {row.line}: {row.reason}" for row in bad[:3])
    return f"has too many bad rows: {len(bad):,} of {rows:,}, more than a tenth ({first})"


def format_names(names: Sequence[str]) -> str:
    """The first of some column names on one line, each cut to 40 characters."""
    # quoted only if a name has invisible characters
    cut = [_cut(name, 40) for name in names[:12]]
    shown = ", ".join(name if name.isprintable() else repr(name) for name in cut)
    return shown if len(names) <= 12 else f"{shown} and {len(names) - 12:,} more"


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else text[:longest] + "…"


class Lines:
    """The lines of a UTF-8 text, with or without a byte-order mark, from the first to the last.

    Raises `DataError` if it begins like another format, and at the first byte that is not UTF-8,
    after all lines before it.
    """

    def __init__(self, stream: io.BufferedReader) -> None:
        self.taken = 0  # lines so far
        self._stream = stream
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")()
        self._text, self._at = "", 0
        self._is_nfc = True  # and with it each part of the text
        self._ended = False
        self._wrong_byte: int | None = None
        head = stream.peek(4)[:4]
        for magic, what in _OTHER_FORMATS.items():
            if head.startswith(magic):
                raise DataError(what)

    def run(self, rows: re.Pattern[str], any_rows: re.Pattern[str]) -> str:
        """Take whole lines from here on for as long as the pattern matches; perhaps none.

        The second pattern is for a text that is not in NFC.
        """
        if self._at == len(self._text):
            self._read()
        pattern = rows if self._is_nfc else any_rows
        if not (match := pattern.match(self._text, self._at)):
            return ""
        self._at = match.end()
        self.taken += match[0].count("\n")
        return match[0]

    def line(self) -> str:
        """Take one line, with its end; empty after the last.

        Of a line longer than `MAX_ROW`, somewhat more than that.
        """
        while True:
            match = _LINE.match(self._text, self._at)
            # a block may end between the \r and the \n of one line end
            if match and not (match[0].endswith("\r") and match.end() == len(self._text)):
                break
            if len(self._text) - self._at > MAX_ROW or not self._read():
                break
        line = match[0] if match else self._text[self._at :]
        if not line or (not match and self._ended):
            self._refuse_wrong_byte()
        self._at += len(line)
        self.taken += bool(line)
        return line

    def _read(self) -> bool:
        """Read one more block, if there is one."""
        if self._ended:
            return False
        block = self._stream.read(BLOCK)
        self._ended = not block
        try:
            text = self._decoder.decode(block, final=self._ended)
        except UnicodeDecodeError as error:
            text = error.object[: error.start].decode()
            self._wrong_byte, self._ended = error.object[error.start], True
        self._text, self._at = self._text[self._at :] + text, 0
        self._is_nfc = is_normalized("NFC", self._text)
        return True

    def _refuse_wrong_byte(self) -> None:
        if self._wrong_byte is not None:
            raise DataError(f"is not UTF-8: byte 0x{self._wrong_byte:02x} in line {self.taken + 1}")
