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
from typing import Any, TypeVar

from pipeline.core.errors import DataError
from pipeline.core.formatting import format_names, truncate
from pipeline.core.schema import SHORTEST, Format, Schema, csv_line
from pipeline.data.header import CHECK, find_header
from pipeline.data.number_forms import SHAPES, NumberForm, Survey, is_odd, notes_of, settled_decimal
from pipeline.data.text_lines import MAX_ROW, Lines, NotUtf8Error
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
# what a row of totals has in place of a client
_TOTALS = "|".join(
    (
        *("total", "totals", "grand total", "subtotal", "sub-total", "sub total", "sum", "overall"),
        *("summe", "gesamt", "gesamtsumme", "insgesamt", "endsumme", "zwischensumme"),
        *("total général", "total general", "totale", "totaal", "suma", "somma", "soma", "razem"),
        *("average", "mean", "count", "durchschnitt", "mittelwert", "anzahl", "moyenne"),
    )
)
_TOTAL = re.compile(
    rf"(?:{_TOTALS})(?:\s?[:=(][\d\s.,()]*+|[\w ]*+[:=]\s?[\d.,]++)?", re.IGNORECASE
)
# what spreadsheets and pandas make of long ids; `12E4` may be an id
_SCIENTIFIC = re.compile(r'^"?([1-9](?:[.,][0-9]+[eE]\+?|[eE]\+)[0-9]+)"?$', re.MULTILINE)
_MAY_BE_TOTALS = re.compile(rf"^(?:{_TOTALS})", re.IGNORECASE | re.MULTILINE)  # of many names
# columns of cells that are canonical as written, as most are: numbers, and ids such as C0012
_NUMBERS = re.compile(rf"(?:(?:-?[1-9][0-9]{{0,17}}+|0|{SHORTEST})?\n)*+")
_IDS = re.compile(r"(?:(?:[A-Za-z]+-?[0-9]++|[1-9][0-9]*+)\n)*+")

_QUOTING = {  # what the reader of rows says, in our words
    "field limit": f"has a field of more than {csv.field_size_limit():,} characters",
    "unexpected end of data": "has a quote that never closes",
}

T = TypeVar("T")
Forms = Mapping[str, NumberForm]
Reader = Callable[[str], str]  # makes the canonical text; raises `ValueError`
_Pick = tuple[int | None, str, Reader]  # a column: its place in the file, its name, how it is read


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


class _Odd(str):
    """A cell that makes its row one to be looked at alone: the name of a total."""

    __slots__ = ()


class _Fault(_Odd):
    """A cell that cannot be read, as the reason."""

    __slots__ = ()


def is_total(text: str) -> bool:
    """Whether a text is a word for a total, perhaps with a number."""
    return bool(_TOTAL.fullmatch(text.strip()))


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

    Where a text turns out to be of another encoding, or its numbers can be read only once all of a
    column were looked at, it is called again, with the table from its beginning; the stream can be
    wound back. Raises `DataError`, also if, unpacked, it has more than `most` bytes, where that is
    given; 0: it may not be packed.
    """
    table_of = partial(
        Table,
        columns=columns,
        quote_values=quote_values,
        last_day=last_day,
        may_report=may_report,
    )

    def fits(text: io.BufferedReader) -> bool:
        with suppress(DataError):
            text.seek(0)
            return bool(table_of(text, typed))
        return False

    form = schema.format
    typed = replace(schema, format=Format(date=form.date, missing=form.missing))
    text, packed, has_types = unpacked(stream, most, fits)
    schema = typed if has_types else schema
    forms: Forms | None = None
    windows_line, survey = 0, False
    with nullcontext() if text is stream else text:
        while True:
            text.seek(0)
            try:
                table = table_of(text, schema, forms=forms, windows_line=windows_line)
                if not survey:
                    table.notes += [packed] * bool(packed)
                    return use(table)
                forms, survey = table.survey(), False
            except OddNumbersError:
                forms, survey = {}, True
            except NotUtf8Error as error:
                windows_line = error.line


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
        windows_line: int = 0,
    ) -> None:
        self._lines = Lines(stream, schema.format.encoding, windows_line)
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
        columns = schema.report_columns if self.reports else columns
        self._last_day = last_day
        self._picks: list[_Pick] = []
        for column in columns:
            read, form = schema.canonical(column), (forms or {}).get(column)
            place = self.header.index(column) if column in self.header else None
            self._picks.append(
                (place, column, partial(form.canonical, plain=read) if form else read)
            )
        self._days = {schema.date, schema.left_on} - {""} if last_day else set()
        numbers = () if forms else {*schema.numeric} - {rule.column for rule in schema.rules}
        self._plain = {schema.client: _IDS, **dict.fromkeys(numbers, _NUMBERS)}
        self._client_pick = columns.index(self._client) if self._has_client else None
        self.extra_columns = tuple(name for name in self.header if name not in columns)
        self.lacks_outcome = schema.outcome in columns and schema.outcome not in self.header
        if self._has_client and any(map(self._is_row, found.above)):
            raise DataError(f"has rows above its header, which is line {found.line}")

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
            f"has {self._client} in scientific notation in {self._scientific:,} of"
            f" {self._rows:,} rows{found}: a spreadsheet cut these ids; format the column as text"
            " there and export it again"
        )

    @property
    def bad_outcomes(self) -> str:
        """What to do about texts in the column of the outcome that are none; empty if all were."""
        if not (self._outcomes and self._quote_values):
            return ""
        words = [*self._outcomes]
        key = ", ".join(
            f"{json.dumps(word, ensure_ascii=not word.isprintable())}: …" for word in words[:4]
        )
        return (
            f"; {self._schema.outcome} has {format_names([repr(word) for word in words], 10)}: say"
            " in config.json which means leaving (1), staying (0) or nothing (null), as in"
            f' "outcomes": {{{key}}}; {CHECK}'
        )

    def survey(self) -> Forms:
        """How each column of numbers is written; raises `DataError` where that cannot be told."""
        missing, given, empty = self._schema.missing, self._schema.format, [""] * self.width
        numeric = {*self._schema.numeric}
        surveys = [(i, Survey(c)) for i, c, _ in self._picks if i is not None and c in numeric]
        while text := self._lines.batch(BATCH) or self._lines.line():
            rows = text.rstrip("\n").split("\n")
            fields = self._split(rows) or [f for row in rows for f in self._split([row]) or []]
            padded = [(row + empty)[: self.width] for row in fields if len(row) > 1]
            columns = [*zip(*(padded or fields), strict=True)]
            for i, survey in surveys if columns else ():
                shapes = "\n".join(columns[i]).translate(SHAPES).split("\n")
                examples = dict(zip(shapes[::-1], columns[i][::-1], strict=True))
                for shape, count in Counter(shapes).items():
                    if (value := examples[shape].strip()).lower() not in missing:
                        survey.add(value, count)
        others = {mark for _, survey in surveys for mark in survey.ways}
        european, quoted = self._delimiter == ";", self._quote_values
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
        """Rows in order: as many at a time as follow each other, else one by one."""
        while True:
            line = self._lines.taken + 1
            text = self._lines.batch(BATCH)
            rows = text.split("\n")[:-1]
            if rows and "\0" not in text and (fields := self._split(rows)):
                yield from self._checked(line, fields)
                continue
            self._lines.put_back(text)
            while True:
                first = self._lines.taken + 1
                if (found := self._one()) is None:
                    return
                if isinstance(found, BadRow):
                    yield found
                else:
                    fields, ended = found
                    yield from self._checked(first, fields, ended=ended)
                if self._lines.taken + 1 >= line + len(rows):
                    break

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

    def _one(self) -> tuple[list[list[str]], bool] | BadRow | None:
        """The fields of the next row, which may have several lines, and whether it has an end.

        If a quote does not close, or closes in a later line though a row has begun in between, the
        first of these lines alone is bad. None at the end.
        """
        line, taken, fault = self._lines.taken + 1, list[str](), ""
        try:
            fields = next(csv.reader(self._feed(taken), strict=True, **self._dialect))
        except StopIteration:
            return None
        except csv.Error as error:
            known = (reason for said, reason in _QUOTING.items() if said in str(error))
            fields, fault = [], next(known, f"has a quote where none is allowed ({error})")
        if len(taken) > 1 and (fault or len(fields) != self.width or self._begins(taken)):
            self._lines.put_back("".join(taken[1:]))
            fault = fault or "has a quote that closes in another line"
        if fault:
            self._rows += 1
            return self._bad_row(line, fault, taken[0].rstrip("\n"))
        return [fields], taken[-1].endswith("\n")

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
        fields = text.rstrip("\n").split(self._delimiter)
        if len(fields) != self.width:
            return False
        try:
            texts = [(field,) for field in fields]
            cells = [self._cells(texts, 1, *pick)[0] for pick in self._picks]
        except OddNumbersError:
            return True
        named = zip(cells, self._picks, strict=True)
        known = any(cell for cell, (_, name, _) in named if name in self._schema.features)
        return known and not any(isinstance(cell, _Fault) for cell in cells)

    def _checked(
        self, line: int, fields: list[list[str]], *, ended: bool = True
    ) -> Iterator[GoodRows | BadRow]:
        """Rows in consecutive lines, read by the column; `ended`: whether the last has an end."""
        fitted = [row if len(row) == self.width else self._fitted(row, ended) for row in fields]
        whole = [row for row in fitted if isinstance(row, list)]
        texts = [*zip(*whole, strict=True)] or [()] * self.width
        columns = [self._cells(texts, len(whole), *pick) for pick in self._picks]
        if self._client_pick is not None:
            cut = _SCIENTIFIC.findall("\n".join(columns[self._client_pick]))
            self._scientific += len(cut)
            self._example = self._example or next(iter(cut), "")
        if len(whole) == len(fields) and all({*map(type, cells)} == {str} for cells in columns):
            yield self._good(line, [*map(",".join, zip(*columns, strict=True))])
            return
        cells, good = zip(*columns, strict=True), list[str]()
        for number, (row, fit) in enumerate(zip(fields, fitted, strict=True), line):
            values = next(cells) if isinstance(fit, list) else ()
            odd = [i for i, value in enumerate(values) if isinstance(value, _Odd)]
            if values and not odd:
                good.append(",".join(values))
                continue
            if good:
                yield self._good(number - len(good), good)
                good = []
            if fit is None or (self._has_client and not any(map(str.strip, row))):
                continue  # blank, as spreadsheets leave rows of commas only
            self._rows += 1
            faults = [i for i in odd if isinstance(values[i], _Fault)]
            if faults:
                yield self._bad(number, str(values[faults[0]]), row, self._picks[faults[0]])
            elif values:
                yield _TotalRow(number, ",".join(values) + "\n")
            else:
                yield self._bad(number, str(fit), row)
        if good:
            yield self._good(line + len(fields) - len(good), good)

    def _good(self, line: int, texts: list[str]) -> GoodRows:
        self._rows += len(texts)
        return GoodRows(line, "\n".join(texts) + "\n")

    def _fitted(self, row: list[str], ended: bool) -> list[str] | str | None:
        """A row as wide as the header, or why it cannot be; None if it is blank."""
        if not any(map(str.strip, row)) and (len(row) < 2 or self._has_client):
            return None
        lacking = self.width - len(row)
        if lacking < 0 and not any(map(str.strip, row[self.width :])):
            return row[: self.width]
        if lacking > 0 and ended and (len(row) > 1 or self.width == 2):
            return row + [""] * lacking  # cut off where they were empty
        cut = ", and no line end: it seems to be cut off" if lacking > 0 and not ended else ""
        return f"has {len(row)} fields where the header has {self.width}{cut}"

    def _cells(
        self,
        columns: Sequence[Sequence[str]],
        rows: int,
        place: int | None,
        name: str,
        read: Reader,
    ) -> list[str]:
        """The canonical cells of a column of some rows; those that are odd say so by their type."""
        if place is None:
            return [""] * rows
        if plain := self._plain.get(name):
            text = "\n".join([*columns[place], ""])
            if text.count("\n") == rows and plain.fullmatch(text):
                return [*columns[place]]
        cells: dict[str, str] = {}
        for text in {*columns[place]}:
            try:
                lacks = self.reports and name == self._schema.date and not text.strip()
                value = "" if lacks else read(text)
                if name in self._days and value > self._last_day:
                    raise ValueError("is after the day on which the file was written")
            except ValueError as error:
                if self._forms is None and name in self._schema.numeric and is_odd(text):
                    raise OddNumbersError from None
                quoted = f" {truncate(text, 41)!r}" if self._quote_values else ""
                cells[text] = _Fault(f"{name}{quoted} {error}")
            else:
                cells[text] = csv_line((value,)) if "," in value or '"' in value else value
        found = [cells[text] for text in columns[place]]
        if name == self._client and _MAY_BE_TOTALS.search("\n".join(found)):
            return [_Odd(cell) if is_total(cell) else cell for cell in found]
        return found

    def _bad(self, line: int, reason: str, fields: list[str], pick: _Pick | None = None) -> BadRow:
        """A row that is set aside, perhaps as a total: of all, or of clients above it."""
        if pick and pick[0] is not None and pick[1] == self._schema.outcome:
            self._outcomes.setdefault(truncate(fields[pick[0]].strip(), 41))
        if self._has_client and any(map(is_total, fields)):
            place = self.header.index(self._client)
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


def too_many_bad(bad: Sequence[BadRow], rows: int) -> str | None:
    """Why a whole table is refused for its bad rows, or None if they are few enough."""
    if len(bad) <= MAX_BAD_SHARE * rows:
        return None
    first = "; ".join(f"line {row.line}: {row.reason}" for row in bad[:3])
    return f"has too many bad rows: {len(bad):,} of {rows:,}, more than a tenth ({first})"
