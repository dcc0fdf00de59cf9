"""Reading a client table: one CSV text, checked row by row, into canonical lines.

A fault of the whole table (no header, another encoding, a column that may be read in two ways)
raises `DataError`; a fault of one row is a `BadRow`, and the rest of the table goes on.
"""

import csv
import io
import json
import logging
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, replace
from functools import partial
from itertools import compress
from typing import Any, TypeVar

from pipeline.core.errors import DataError
from pipeline.core.formatting import format_names, truncate
from pipeline.core.schema import Format, Schema, csv_line
from pipeline.data.header import find_header
from pipeline.data.number_forms import SHAPES, NumberForm, Survey, is_odd, notes_of, settled_decimal
from pipeline.data.outcome_words import probable_outcomes
from pipeline.data.plain_columns import is_total, plain_column
from pipeline.data.text_lines import MAX_ROW, Lines
from pipeline.data.unpacking import unpacked

log = logging.getLogger(__name__)

NO_ROWS = "has a header and no rows below it"
MAX_BAD_SHARE = 0.1  # of a table's rows; with more, the whole table is refused
MAX_BAD_ROWS = 100_000  # of a table of any size: they are held in memory
MAX_KEPT = 1_000  # characters of a bad row
MAX_RECORD = 1_000  # lines that one row may have
BATCH = 1 << 16  # characters of rows that are read together
LOOKED_AT = 5  # lines within quotes, each of which may be a row of its own

A_TOTAL = "is a total, and no client"

# what spreadsheets and pandas make of long ids; `12E4` may be an id
_SCIENTIFIC = re.compile(r"[1-9](?:[.,][0-9]+[eE]\+?|[eE]\+)[0-9]+")

T = TypeVar("T")
Forms = Mapping[str, NumberForm]


class OddNumbersError(Exception):
    """A column has numbers that can be read only once all of the column were looked at."""


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


@dataclass(frozen=True)
class _TotalRow(GoodRows):
    """A row whose client's name is a word for a total: it is one if no good row follows."""


def with_table(
    stream: io.BufferedReader,
    schema: Schema,
    columns: Sequence[str],
    use: Callable[["Table"], T],
    *,
    quote_values: bool = True,
    last_day: str = "",
    may_report: bool = False,
    most: int | None = None,
) -> T:
    """What `use` makes of the table that a file holds, which may be packed.

    Where numbers can be read only once all of a column were looked at, it is called a second time,
    with the table from its beginning; the stream can be wound back. Raises `DataError`, also if,
    unpacked, it has more than `most` bytes, where that is given; 0: it may not be packed.
    """

    def table_of(text: io.BufferedReader, schema: Schema, forms: Forms | None = None) -> Table:
        text.seek(0)
        return Table(
            *(text, schema, columns, forms),
            quote_values=quote_values,
            last_day=last_day,
            may_report=may_report,
        )

    def fits(text: io.BufferedReader) -> bool:
        with suppress(DataError):
            return bool(table_of(text, typed))
        return False

    form = schema.format
    typed = replace(schema, format=Format(date=form.date, missing=form.missing))
    text, packed, has_types = unpacked(stream, most, fits)

    def table(forms: Forms | None) -> Table:
        table = table_of(text, typed if has_types else schema, forms)
        table.notes += [packed] * bool(packed)
        return table

    with nullcontext() if text is stream else text:
        with suppress(OddNumbersError):
            return use(table(None))
        return use(table(table({}).survey()))


def good_rows(
    stream: io.BufferedReader, schema: Schema, columns: Sequence[str], name: str
) -> tuple[str, list[BadRow]]:
    """The canonical lines of a table, and its bad rows; columns cut short are warned of.

    Raises `DataError` where the table as a whole is refused.
    """

    def read(table: Table) -> tuple[str, list[BadRow], str | None]:
        blocks = [*table.blocks()]
        text = "".join([block.text for block in blocks if isinstance(block, GoodRows)])
        bad = [block for block in blocks if isinstance(block, BadRow)]
        if why := too_many_bad(bad, text.count("\n") + len(bad)):
            raise DataError(why + table.bad_outcomes)
        return text, bad, table.warning

    try:
        text, bad, warning = with_table(stream, schema, columns, read)
    except DataError as error:
        raise DataError(f"{name} {error}") from None
    if warning:
        log.warning("%s %s", name, warning)
    return text, bad


class Table:
    """The rows of one CSV text; iterate its `blocks` once.

    `columns` are those that must be there, but for the schema's optional ones, in the order the
    canonical lines have; further ones are left out and named in `extra_columns`. If it may have
    outcomes alone, and has no feature, `columns` become those of such a file, and `reports` is
    true. `forms` say how columns of numbers are written; None: not known yet. No row may have a
    date after `last_day`. Reasons quote the wrong value unless `quote_values` is false.
    `warning` is what to look into, and `notes` are how it was read, once all rows are.
    """

    def __init__(
        self,
        stream: io.BufferedReader,
        schema: Schema,
        columns: Sequence[str],
        forms: Forms | None = None,
        *,
        quote_values: bool = True,
        last_day: str = "",
        may_report: bool = False,
    ) -> None:
        self._lines = Lines(stream, schema.format.encoding)
        self._schema, self._quote_values, self._forms = schema, quote_values, forms
        self._client, self._has_client = schema.client, schema.client in columns
        self._bad_rows = self._rows = 0
        self._scientific, self._example = 0, ""  # clients in scientific notation, and one of them
        self._outcomes: dict[str, None] = {}  # words that are none
        self._found = found = find_header(
            self._lines, schema, columns, may_report=may_report, quote_values=quote_values
        )
        self.notes = [found.note] if found.note else []
        self.reports, self._delimiter = found.reports, found.delimiter
        self._dialect: Any = {"delimiter": found.delimiter, "skipinitialspace": True}
        self.header, self.width = found.names, len(found.names)
        self._empty = [""] * self.width
        columns = schema.report_columns if self.reports else columns
        self._last_day, self._days = last_day, {schema.date, schema.left_on} - {""}
        self._picks = [
            (self.header.index(c) if c in self.header else None, c, self._reader(c))
            for c in columns
        ]
        self.extra_columns = tuple(name for name in self.header if name not in columns)
        self._client_at = self.header.index(self._client) if self._has_client else 0
        self.lacks_outcome = schema.outcome in columns and schema.outcome not in self.header
        if self._has_client and any(map(self._is_row, found.above)):
            raise DataError(f"has rows above its header, which is line {found.line}")
        self._plain = {} if forms else {c: plain_column(c, schema) for c in columns}

    def _reader(self, column: str) -> Callable[[str], str]:
        """What makes the canonical text of a column's text; raises `ValueError`."""
        canonical = self._schema.canonical(column)
        form = (self._forms or {}).get(column)
        return partial(form.canonical, plain=canonical) if form else canonical

    @property
    def how(self) -> str:
        """What it is, in words, once all rows are read."""
        commas = any(form.decimal == "," for form in (self._forms or {}).values())
        return (
            f"{self._lines.encoding}, separated by {self._delimiter!r}, header in line"
            f" {self._found.line}, decimal {'comma' if commas else 'point'}"
        )

    @property
    def warning(self) -> str | None:
        """That ids were cut, in words that follow the file's name; None if none was."""
        if not self._scientific:
            return None
        found = f", such as {self._example!r}" if self._quote_values else ""
        return (
            f"has {self._schema.client} in scientific notation in {self._scientific:,} of"
            f" {self._rows:,} rows{found}: a spreadsheet cut these ids; format the column as text"
            " there and export it again"
        )

    @property
    def bad_outcomes(self) -> str:
        """What to do about texts in the column of the outcome that are none; empty if all were."""
        if not (self._outcomes and self._quote_values):
            return ""
        words = [*self._outcomes]
        given = {word: int(value) if value else None for word, value in self._schema.outcomes}
        plain = all(map(str.isprintable, words))
        meant = json.dumps(given | probable_outcomes(words), ensure_ascii=not plain)
        found = format_names([repr(word) for word in words], 10)
        return (
            f"; {self._schema.outcome} has {found}: say in config.json which means leaving (1),"
            " staying (0) or nothing (null), as in"
            f' "outcomes": {meant if len(words) < 5 else "{…}"}'
        )

    def survey(self) -> Forms:
        """How each column of numbers is written; raises `DataError` where that cannot be told."""
        missing, given = self._schema.missing, self._schema.format
        numeric = {*self._schema.numeric}
        surveys = [(i, Survey(c)) for i, c, _ in self._picks if i is not None and c in numeric]
        while text := self._lines.batch(BATCH) or self._lines.line():
            rows = text.rstrip("\r\n").split("\n")
            fields = self._split(rows) or self._one_by_one(rows)
            padded = [(row + self._empty)[: self.width] for row in fields if len(row) > 1]
            columns = [*zip(*(padded or fields), strict=True)]
            for i, survey in surveys if columns else ():
                shapes = "\n".join(columns[i]).translate(SHAPES).split("\n")
                examples = dict(zip(shapes[::-1], columns[i][::-1], strict=True))
                for shape, count in Counter(shapes).items():
                    if (value := examples[shape].strip()).lower() not in missing:
                        survey.add(value, count)
        others = {mark for _, survey in surveys for mark in survey.ways}
        european = self._delimiter == ";"
        quoted = self._quote_values
        forms = {
            s.column: s.form(given, others, european=european, quoted=quoted) for _, s in surveys
        }
        plain = not any(s.odd for _, s in surveys)
        return {} if plain and all(form == NumberForm() for form in forms.values()) else forms

    def blocks(self) -> Iterator[GoodRows | BadRow]:
        """The rows in order; consecutive good ones in one block where they can be read at once.

        The last good rows are bad ones if they are totals. Raises `DataError` also where more than
        a tenth of the clients are in scientific notation, and `OddNumbersError`.
        """
        comma = settled_decimal(self._schema.format) == ","
        if self._forms is None and (comma or self._delimiter == ";"):
            raise OddNumbersError
        held: list[GoodRows | BadRow] = []  # totals, if no good row follows, and bad rows below
        for block in self._blocks():
            if isinstance(block, _TotalRow) or (held and isinstance(block, BadRow)):
                held.append(block)
                continue
            yield from held
            held.clear()
            yield block
        for each in held:
            if isinstance(each, GoodRows):
                each = self._bad_row(each.line, A_TOTAL, each.text.rstrip("\n"))
            yield each
        if not self._rows:
            raise DataError(NO_ROWS)
        if self._scientific > MAX_BAD_SHARE * self._rows:
            raise DataError(self.warning)
        self.notes += [self._lines.note] * bool(self._lines.note)
        self.notes += notes_of(self._forms or {})

    def _blocks(self) -> Iterator[GoodRows | BadRow]:
        """Rows in order.

        They are read by the column, as many at a time as follow each other, and what cannot be so,
        one by one.
        """
        while True:
            line = self._lines.taken + 1
            if text := self._lines.batch(BATCH):
                yield from self._batch(line, text)
            elif not (found := self._one()):
                break
            else:
                yield found

    def _split(self, rows: list[str]) -> list[list[str]] | None:
        """The fields of lines without ends; None where a quote does not close in its line."""
        if max(map(len, rows)) > csv.field_size_limit():
            return None
        if not any('"' in row for row in rows):
            return [row.split(self._delimiter) for row in rows]
        with suppress(csv.Error):
            fields = [*csv.reader(rows, strict=True, **self._dialect)]
            if len(fields) == len(rows):
                return fields
        return None

    def _one_by_one(self, rows: list[str]) -> list[list[str]]:
        """The fields of lines, each by itself; of what is no row alone none."""
        found: list[list[str]] = []
        for row in rows:
            with suppress(csv.Error):
                found += csv.reader([row], strict=True, **self._dialect)
        return found

    def _batch(self, line: int, text: str) -> Iterator[GoodRows | BadRow]:
        """The rows of lines, the first of which has this number, read by the column."""
        rows, mark = text.split("\n")[:-1], self._delimiter
        simple = not ('"' in text or "\0" in text or len(text) > csv.field_size_limit())
        if simple and {row.count(mark) for row in rows} == {self.width - 1}:
            flat = mark.join(rows).split(mark)
            columns: list[Sequence[str]] = [flat[i :: self.width] for i in range(self.width)]
            read = [self._column(columns, *pick) for pick in self._picks]
            if not any(None in column for column in read):
                yield self._good(line, [*map(",".join, zip(*read, strict=True))])
                return
        fields = self._split(rows)
        if fields is None or "\0" in text:
            self._lines.put_back(text, len(rows))
            while self._lines.taken + 1 < line + len(rows) and (found := self._one()):
                yield found
            return
        usual = [len(row) == self.width for row in fields]
        columns = [*zip(*compress(fields, usual), strict=True)]
        read = [self._column(columns, *pick) for pick in self._picks] if columns else []
        if read and all(usual) and not any(None in column for column in read):
            yield self._good(line, [",".join(row) for row in zip(*read, strict=True)])
            return
        texts = (None if None in row else ",".join(row) for row in zip(*read, strict=True))
        good: list[str] = []
        for number, (row, is_usual) in enumerate(zip(fields, usual, strict=True), line):
            if is_usual and (whole := next(texts)) is not None:
                good.append(whole)
                continue
            if good:
                yield self._good(number - len(good), good)
                good = []
            if found := self._row(number, row):
                yield found
        if good:
            yield self._good(line + len(rows) - len(good), good)

    def _good(self, line: int, texts: list[str]) -> GoodRows:
        self._rows += len(texts)
        return GoodRows(line, "\n".join(texts) + "\n")

    def _column(
        self,
        columns: Sequence[Sequence[str]],
        place: int | None,
        name: str,
        canonical: Callable[[str], str],
    ) -> list[str | None]:
        """The cells of a column of some rows; None where the row has to be looked at alone."""
        if place is None:
            return [""] * len(columns[0])
        texts = columns[place]
        late = self._last_day and name in self._days and max(texts) > self._last_day
        plain = self._plain.get(name)
        if plain and not late and plain.fullmatch("\n".join(texts) + "\n"):
            return [*texts]
        cells: dict[str, str | None] = {}
        for text in {*texts}:
            value: str | None = None
            with suppress(ValueError):
                value = self._value(text, name, canonical)
            alone = value and name == self._client
            if value is None or (alone and (_SCIENTIFIC.fullmatch(value) or is_total(value))):
                cells[text] = None
            else:
                cells[text] = csv_line((value,)) if "," in value or '"' in value else value
        return [cells[text] for text in texts]

    def _value(self, text: str, name: str, canonical: Callable[[str], str]) -> str:
        """The canonical text of one field; raises `ValueError`."""
        try:
            value = canonical(text)
        except ValueError:
            if self._forms is None and name in self._schema.numeric and is_odd(text):
                raise OddNumbersError from None
            if self.reports and name == self._schema.date and not text.strip():
                return ""
            raise
        if self._last_day and name in self._days and value > self._last_day:
            raise ValueError("is after the day on which the file was written")
        return value

    def _one(self) -> GoodRows | BadRow | None:
        """The next row, which may have several lines, or what is wrong with it; None at the end.

        If a quote does not close, or closes in a later line though a row has begun in between, the
        first of these lines alone is bad.
        """
        while True:
            line, taken, fault = self._lines.taken + 1, list[str](), ""
            try:
                fields = next(csv.reader(self._feed(taken), strict=True, **self._dialect))
            except StopIteration:
                return None
            except csv.Error as error:
                fields, fault = [], _quoting_fault(error)
            if len(taken) > 1 and (fault or len(fields) != self.width or self._begins(taken)):
                self._lines.put_back("".join(taken[1:]), len(taken) - 1)
                fault = fault or "has a quote that closes in another line"
            if fault:
                self._rows += 1
                return self._bad_row(line, fault, taken[0].rstrip("\r\n"))
            if found := self._row(line, fields, ended=taken[-1].endswith(("\n", "\r"))):
                return found

    def _feed(self, taken: list[str]) -> Iterator[str]:
        """The lines that one row may have."""
        length = 0
        while len(taken) < MAX_RECORD and length <= MAX_ROW and (text := self._lines.line()):
            taken.append(text)
            length += len(text)
            yield text

    def _begins(self, lines: list[str]) -> bool:
        """Whether one of a row's lines is a whole row without the quote that joins them."""
        alone = [lines[0].replace('"', ""), *(line for line in lines[1:] if '"' not in line)]
        return self.width > 1 and any(map(self._is_row, alone[:LOOKED_AT]))

    def _is_row(self, text: str) -> bool:
        """Whether a line without quotes is a good row, in which some feature is known."""
        fields = text.rstrip("\r\n").split(self._delimiter)
        known = False
        try:
            for place, name, canonical in self._picks if len(fields) == self.width else ():
                value = self._value("" if place is None else fields[place], name, canonical)
                known = known or (value != "" and name in self._schema.features)
        except ValueError:
            return False
        except OddNumbersError:
            return True
        return known

    def _row(self, line: int, fields: list[str], *, ended: bool = True) -> GoodRows | BadRow | None:
        """One row, checked; None if it is blank. `ended` says whether its line has an end."""
        # spreadsheets leave rows of commas only; in a table without clients they may be rows
        if not any(map(str.strip, fields)) and (len(fields) < 2 or self._has_client):
            return None
        self._rows += 1
        more, lacking = fields[self.width :], self.width - len(fields)
        if not any(map(str.strip, more)):
            fields = fields[: self.width]
        if lacking > 0 and ended and (len(fields) > 1 or self.width == 2):
            fields = fields + [""] * lacking  # cut off where they were empty
        if len(fields) != self.width:
            reason = f"has {len(fields)} fields where the header has {self.width}"
            if lacking > 0 and not ended:
                reason += ", and no line end: it seems to be cut off"
            return self._bad(line, reason, fields)
        values, is_a_total = [], False
        for place, name, canonical in self._picks:
            if place is None:
                values.append("")
                continue
            try:
                value = self._value(fields[place], name, canonical)
            except ValueError as error:
                quoted = f"{name} {truncate(fields[place], 41)!r}" if self._quote_values else name
                if name == self._schema.outcome:
                    self._outcomes.setdefault(truncate(fields[place].strip(), 41))
                return self._bad(line, f"{quoted} {error}", fields)
            values.append(value)
            if name == self._client:
                is_a_total = is_total(value)
                if _SCIENTIFIC.fullmatch(value):
                    self._scientific += 1
                    self._example = self._example or value
        return (_TotalRow if is_a_total else GoodRows)(line, csv_line(values) + "\n")

    def _bad(self, line: int, reason: str, fields: list[str]) -> BadRow:
        """A row that is set aside, perhaps as a total: of all, or of clients above it."""
        if self._has_client and any(map(is_total, fields)):
            place = self._client_at
            name = fields[place].strip() if place < len(fields) else ""
            if not name or is_total(name):
                reason = A_TOTAL
        return self._bad_row(line, reason, csv_line(fields))

    def _bad_row(self, line: int, reason: str, row: str) -> BadRow:
        self._bad_rows += 1
        if self._bad_rows > MAX_BAD_ROWS:
            raise DataError(
                f"has too many bad rows: more than {MAX_BAD_ROWS:,} (line {line}: {reason})"
            )
        return BadRow(line, reason, truncate(row, MAX_KEPT + 1))


def _quoting_fault(error: csv.Error) -> str:
    if "field limit" in str(error):
        return f"has a field of more than {csv.field_size_limit():,} characters"
    if "unexpected end of data" in str(error):
        return "has a quote that never closes"
    return f"has a quote where none is allowed ({error})"


def too_many_bad(bad: Sequence[BadRow], rows: int) -> str | None:
    """Why a whole table is refused for its bad rows, or None if they are few enough."""
    if len(bad) <= MAX_BAD_SHARE * rows:
        return None
    first = "; ".join(f"line {row.line}: {row.reason}" for row in bad[:3])
    return f"has too many bad rows: {len(bad):,} of {rows:,}, more than a tenth ({first})"
