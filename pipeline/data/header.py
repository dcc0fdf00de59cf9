"""The header of a table: the first line that has the schema's columns, whatever separates them."""

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from unicodedata import normalize

from pipeline.core.errors import DataError
from pipeline.core.formatting import format_columns, told_apart, truncate
from pipeline.core.schema import Schema
from pipeline.data.text_lines import Lines

DELIMITERS = ",;\t|"
MAX_ABOVE = 50  # lines of titles
_MAX_LINES = 100  # of a header, if names have line breaks
_SPACES = re.compile(r"[\s_]+")
_NOTHING = f'{DELIMITERS}" \n'  # what a line of empty fields has
SEPARATOR = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE)
CHECK = "python ingestion.py --check FILE proposes a schema"


@dataclass(frozen=True)
class Header:
    """Names of columns, as the schema writes them where it has them, and how they were found."""

    names: list[str]
    written: list[str]  # as the file has them
    delimiter: str
    line: int
    above: tuple[str, ...] = ()  # the lines before it
    reports: bool = False  # whether the file has outcomes alone

    @property
    def note(self) -> str:
        """What is not usual about it, in words; empty if nothing is."""
        parts = []
        if self.delimiter != ",":
            parts.append(f"separated by {self.delimiter!r}")
        if self.line > 1:
            parts.append(f"the header is line {self.line}")
        pairs = zip(self.written, self.names, strict=True)
        if others := [f"{old} is {new}" for old, new in pairs if old != new]:
            parts.append(f"columns: {format_columns(others)}")
        return "; ".join(parts)


def name_key(name: str) -> str:
    """What names of columns are compared by: not case, spaces or underscores, forms of Unicode."""
    return _SPACES.sub(" ", normalize("NFKC", normalize("NFKC", name).casefold())).strip()


def find_header(
    lines: Lines,
    schema: Schema,
    columns: Sequence[str],
    *,
    may_report: bool = False,
    quote_values: bool = True,
) -> Header:
    """Take the lines up to the header, and it; raises `DataError` where there is none.

    Columns that the schema does not need may be missing.
    """
    given = schema.format.delimiter
    above: list[str] = []
    needed = [column for column in columns if column not in schema.optional]
    best: tuple[int, Header] | None = None
    while len(above) < MAX_ABOVE and (line := lines.line()):
        above.append(line)
        if len(above) == 1 and (match := SEPARATOR.fullmatch(line)):
            given = given or match[1]
            continue
        if not line.strip(_NOTHING):
            continue
        more = _up_to_quote(line, lines)
        for text, delimiter in (
            (t, d) for t in {line: 0, line + more: 0} for d in given or DELIMITERS
        ):
            found = _header(text, delimiter, above, schema)
            have = sum(column in found.names for column in needed)
            reports = may_report and have < len(needed) and _is_report(found.names, schema)
            if reports or have == len(needed):
                while text != line:
                    line += lines.line()
                if not reports:
                    _check_outcome(found, schema, columns)
                _check_once(found, schema.report_columns if reports else columns)
                return replace(found, reports=reports)
            if any(found.names) and (best is None or have > best[0]):
                best = have, found
    if best is None:
        raise DataError("is empty; expected a header line and rows")
    raise _no_header(*best, needed, quote_values=quote_values)


def _up_to_quote(line: str, lines: Lines) -> str:
    """The lines after one up to where a quote closes that does not in it; they are put back."""
    more = ""
    while (line + more).count('"') % 2 and more.count("\n") < _MAX_LINES:
        if not (following := lines.line()):
            break
        more += following
    lines.put_back(more)
    return more


def _header(text: str, delimiter: str, lines: Sequence[str], schema: Schema) -> Header:
    """The header that a text would be: columns have the names of the schema that are alike."""
    try:
        fields = next(csv.reader(text.splitlines(keepends=True), delimiter=delimiter), [])
    except csv.Error:  # a field beyond the limit of the reader
        fields = [truncate(text, MAX_ABOVE)]
    written = [name.strip() for name in fields]
    known: dict[str, list[str]] = {}
    for column in schema.columns:
        known.setdefault(name_key(column), []).append(column)
    names = []
    for name in written:
        alike = known.get(name_key(name), [])
        taken = name in schema.columns or len(alike) != 1 or alike[0] in written
        names.append(name if taken else alike[0])
    return Header(names, written, delimiter, len(lines), tuple(lines[:-1]))


def _is_report(header: Sequence[str], schema: Schema) -> bool:
    """Whether a file with this header has outcomes alone: a client, what became of it, no more."""
    names = {*header}
    outcomes = {*schema.report_columns} - {schema.client, schema.date}
    # a feature that is written otherwise makes it a client file that lacks a column
    spelt, features = (
        {re.sub(r"[\W_]+", "", name).casefold() for name in each}
        for each in (names, schema.features)
    )
    others = names - {*schema.report_columns}  # as many as a client file has make it one
    return (
        schema.client in names
        and bool(outcomes & names)
        and not features & spelt
        and len(others) < max(2, len(schema.features))
    )


def _check_outcome(header: Header, schema: Schema, columns: Sequence[str]) -> None:
    """Raise `DataError` where the outcome is missing and another name is hardly another."""
    if schema.outcome not in columns or schema.outcome in header.names:
        return
    others = {name_key(name): name for name in header.names if name not in schema.columns}
    outcome = name_key(schema.outcome)
    near = [*get_close_matches(outcome, others, n=1, cutoff=0.8)]
    near += [name for name in others if outcome in name or (len(name) > 3 and name in outcome)]
    if near:
        expected, found = told_apart([schema.outcome], [others[near[0]]])
        raise DataError(
            f"lacks the column {expected} and has {found}: if that is the outcome, name it so"
        )


def _check_once(header: Header, columns: Sequence[str]) -> None:
    if twice := [column for column in columns if header.names.count(column) > 1]:
        pairs = zip(header.written, header.names, strict=True)
        written = [old for old, new in pairs if new in twice and old != new]
        also = f", also written {format_columns(written)}" if written else ""
        raise DataError(f"has the column {', '.join(twice)} more than once{also}")


def _no_header(
    have: int, header: Header, needed: Sequence[str], *, quote_values: bool
) -> DataError:
    """What is wrong with what comes nearest to a header."""
    helps = f"; {CHECK}" if quote_values else ""
    if not have:  # the first line may be a client's row
        found = f"; found {format_columns(header.names)}" if quote_values else ""
        return DataError(f"has no header line: expected {', '.join(needed)}{found}{helps}")
    missing = [column for column in needed if column not in header.names]
    expected, names = told_apart(missing, header.names)
    return DataError(f"lacks the column {expected}; it has {names}{helps}")
