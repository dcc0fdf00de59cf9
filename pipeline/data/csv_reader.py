"""Reading a client table: one CSV text, checked row by row, into canonical lines.

A fault of the whole table (no header, another encoding, a quote that never closes) raises
`DataError`; a fault of one row is a `BadRow`, and the rest of the table goes on.
"""

import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pipeline.core.errors import DataError
from pipeline.core.schema import PLAIN_OTHER, Schema, csv_line
from pipeline.data.lines import LONGEST_ROW, Lines

MOST_BAD_SHARE = 0.1  # of a table's rows; beyond that the table as a whole is not to be trusted
# what a table may ask of the memory, whatever it holds
MOST_BAD_ROWS = 100_000
LONGEST_KEPT = 1_000  # characters of a bad row
# what is read without the CSV reader: characters of a field, columns of a table
LONGEST_PLAIN = 10_000
WIDEST_PLAIN = 200


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
        self._lines = Lines(stream)
        self._reader = csv.reader(self._checked_lines(), strict=True)
        self._quote_values = quote_values
        self._has_client = schema.client in columns
        self._line = 0  # on which the record being read starts
        self._bad_rows = 0
        header = self._header(columns)
        self.width = len(header)
        self._picks = [(header.index(c), c, schema.canonical(c)) for c in columns]
        self.extra_columns = tuple(name for name in header if name not in columns)
        self._plain = PlainRows(header, columns, schema)

    def blocks(self) -> Iterator[GoodRows | BadRow]:
        """The rows in order, good ones as many at a time as can be read at once.

        Most rows are canonical as they stand, which one search can tell of thousands; the CSV
        reader has those that are not.
        """
        line, empty = self._lines.taken + 1, True
        while True:
            if run := self._lines.run(self._plain.run):
                empty = False
                yield GoodRows(line, self._plain.canonical(run))
            if not (record := next(self._records(), None)):
                break
            empty = False
            yield self._checked(*record)
            line = self._lines.taken + 1
        if empty:
            raise DataError("has a header and no rows below it")

    def _header(self, columns: Sequence[str]) -> list[str]:
        header = [name.strip() for name in next((f for _, f in self._records()), [])]
        if not header:
            raise DataError("is empty; expected a header line and rows")
        missing = [column for column in columns if column not in header]
        if len(missing) == len(columns):
            for separator in ";\t|":
                if {name.strip() for name in header[0].split(separator)} & set(columns):
                    raise DataError(f"is separated by {separator!r}; expected commas")
            # what stands in place of a header may be a client's row
            found = f"; found {some_of(header)}" if self._quote_values else ""
            raise DataError(f"has no header line: expected {', '.join(columns)}{found}")
        if missing:
            raise DataError(f"lacks the column {', '.join(missing)}; it has {some_of(header)}")
        twice = [column for column in columns if header.count(column) > 1]
        if twice:
            raise DataError(f"has the column {', '.join(twice)} more than once")
        return header

    def _records(self) -> Iterator[tuple[int, list[str]]]:
        """The records that are not blank, each with the number of the line it starts on."""
        while True:
            self._line = line = self._lines.taken + 1
            try:
                fields = next(self._reader)
            except StopIteration:
                return
            except csv.Error as error:
                raise DataError(self._quoting(error)) from None
            if fields and (fields[0].strip() or not self._is_blank(fields)):
                yield line, fields

    def _is_blank(self, fields: list[str]) -> bool:
        # spreadsheets leave rows of nothing but commas; without a client they may be meant
        return not any(field.strip() for field in fields) and (len(fields) == 1 or self._has_client)

    def _checked_lines(self) -> Iterator[str]:
        """What the CSV reader reads."""
        length = 0
        while line := self._lines.line():
            number = self._lines.taken
            length = len(line) if number == self._line else length + len(line)
            if length > LONGEST_ROW:
                raise DataError(
                    f"has a row of more than {LONGEST_ROW:,} characters, which begins in"
                    f" line {self._line}"
                )
            if "\0" in line:
                raise DataError(f"holds binary content in line {number}; expected CSV text")
            yield line

    def _quoting(self, error: csv.Error) -> str:
        text, line = str(error), self._line
        if "field limit" in text and self._lines.taken == line:
            return f"has a field of more than {csv.field_size_limit():,} characters in line {line}"
        if "unexpected end of data" in text or "field limit" in text:
            return f"has a quote in line {line} that never closes"
        return f"has a quote in line {line} where none may stand ({text})"

    def _checked(self, line: int, fields: list[str]) -> GoodRows | BadRow:
        if len(fields) != self.width:
            if self._lines.taken > line:  # the quote that joined these lines may be a stray one
                raise DataError(f"has a quote in line {line} that closes in another line")
            return self._bad(
                line, f"has {len(fields)} fields where the header has {self.width}", fields
            )
        values = []
        for i, name, canonical in self._picks:
            try:
                values.append(canonical(fields[i]))
            except ValueError as error:
                quoted = f"{name} {_quoted(fields[i])}" if self._quote_values else name
                return self._bad(line, f"{quoted} {error}", fields)
        return GoodRows(line, csv_line(values) + "\n")

    def _bad(self, line: int, reason: str, fields: list[str]) -> BadRow:
        self._bad_rows += 1
        if self._bad_rows > MOST_BAD_ROWS:
            raise DataError(
                f"has too many bad rows: more than {MOST_BAD_ROWS:,} (line {line}: {reason})"
            )
        return BadRow(line, reason, _cut(csv_line(fields), LONGEST_KEPT))


class PlainRows:
    """The rows of a file with this header that are canonical, but for their order and for a `.0`.

    Nothing in them is quoted, so a line is a row.
    """

    def __init__(self, header: Sequence[str], columns: Sequence[str], schema: Schema) -> None:
        if len(header) > WIDEST_PLAIN:  # a pattern of so many columns takes seconds to make
            self.run = re.compile("")
            return
        longest = max(1, min(LONGEST_PLAIN, LONGEST_ROW // len(header) - 1))
        fields = (
            schema.plain(name, longest) if name in columns else PLAIN_OTHER % longest
            for name in header
        )
        # a line with nothing on it is no row, even where the only field may be empty
        self.run = re.compile(rf"(?:(?!\r?\n){','.join(fields)}\r?\n)*+")
        texts = {schema.client, *schema.categorical}
        self._is_text = [name in texts for name in columns]
        self._span: re.Pattern[str] | None = None
        self._places: list[int] | None = None
        first, count = header.index(columns[0]), len(columns)
        if tuple(header[first : first + count]) != tuple(columns):
            self._places = [header.index(name) for name in columns]
        elif count < len(header):
            self._span = re.compile(
                rf"(?:[^,\n]*,){{{first}}}((?:[^,\n]*,){{{count - 1}}}[^,\n]*)[^\n]*\n"
            )

    def canonical(self, run: str) -> str:
        """The canonical lines of rows that `run` matched."""
        if "\r" in run:
            run = run.replace("\r\n", "\n")
        if self._span:
            run = "\n".join(self._span.findall(run)) + "\n"
        elif self._places:
            rows = [row.split(",") for row in run.split("\n")[:-1]]
            run = "".join([",".join([row[i] for i in self._places]) + "\n" for row in rows])
        return self._without_zeros(run) if ".0," in run or ".0\n" in run else run

    def _without_zeros(self, run: str) -> str:
        """Integers without their `.0`, with which a text may end as well."""
        if not any(self._is_text):
            return run.replace(".0,", ",").replace(".0\n", "\n")
        columns = zip(*[row.split(",") for row in run.split("\n")[:-1]], strict=True)
        kept = (
            column if is_text else [field.removesuffix(".0") for field in column]
            for is_text, column in zip(self._is_text, columns, strict=True)
        )
        return "\n".join(map(",".join, zip(*kept, strict=True))) + "\n"


def too_many_bad(bad: Sequence[BadRow], rows: int) -> str | None:
    """Why a whole table is refused for its bad rows, or None if they are few enough."""
    if len(bad) <= MOST_BAD_SHARE * rows:
        return None
    first = "; ".join(f"line {row.line}: {row.reason}" for row in bad[:3])
    return f"has too many bad rows: {len(bad):,} of {rows:,}, more than a tenth ({first})"


def some_of(names: Sequence[str]) -> str:
    """The first of some column names as a message shows them: on one line, cut where long."""
    # quoted only where there is something in a name that cannot be seen
    cut = [_cut(name, 40) for name in names[:12]]
    shown = ", ".join(name if name.isprintable() else repr(name) for name in cut)
    return shown if len(names) <= 12 else f"{shown} and {len(names) - 12:,} more"


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else text[:longest] + "…"


def _quoted(field: str) -> str:
    return repr(_cut(field, 40))
