"""What client files look like before anything is taken in: how they read, and a schema for them."""

import csv
import io
import json
import logging
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from textwrap import wrap
from typing import Any

from xxhash import xxh64_intdigest

from pipeline.core.errors import DataError
from pipeline.core.files import write_atomic
from pipeline.core.formatting import format_columns, pluralize, truncate
from pipeline.core.schema import (
    MISSING,
    OUTCOMES,
    Format,
    Schema,
    canonical_digits,
    day_of,
)
from pipeline.data.csv_reader import BadRow, Table, good_rows, is_total, too_many_bad, with_table
from pipeline.data.header import DELIMITERS, MAX_ABOVE
from pipeline.data.input_files import list_input, open_plain
from pipeline.data.number_forms import is_number
from pipeline.data.outcome_words import probable_outcomes, probably_left
from pipeline.data.text_lines import Lines, NotUtf8Error
from pipeline.data.unpacking import unpacked

log = logging.getLogger(__name__)

SAMPLE = 20_000  # lines by which columns are told
MOST = 0.9  # of a column's values: as many make it one of numbers, or of dates
NUMBERS, WORDS = 0.6, 3  # or as many, where few words are all the rest
UNIQUE = 0.98  # of values that differ: as many make it an identifier
FEW = 50  # categories, or a twentieth of the rows
SHOWN = 5  # rows set aside
MANY_MISSING = 0.5
DATE_FORMATS = (
    *("", "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%Y/%m/%d", "%d-%m-%Y", "%d.%m.%y", "%m/%d/%y"),
    *("%d/%m/%y", "%d-%b-%Y", "%d %b %Y", "%b %d, %Y", "%Y-%m-%d"),
)

_IN_HOW = ("separated by", "the header is", "decimal comma")  # notes that say it, too
_CLIENT = re.compile(
    r"client|customer|corporation|company|account|kunde|konto|member|subscriber|user|policy", re.I
)
_ID = re.compile(r"(?:^|[\W_])(?:id|no|nr|num|number|key)(?:$|[\W_])|nr\.?$|id$", re.I)
_OUTCOME = re.compile(r"target|label|outcome|status|abgang", re.I)  # of less use than other names
_INDEX = re.compile(r"row|index|line|^no\.?$|^nr\.?$|^#$", re.I)  # of what numbers rows
_CODE = re.compile(r"0\d+")


@dataclass(frozen=True)
class ColumnCheck:
    """How a column reads: as numbers, categories, dates, texts, one value, a name for each row."""

    name: str
    kind: str
    role: str  # in the schema; empty if it is left out
    missing: float  # a part of 1
    distinct: int
    examples: tuple[str, ...]


@dataclass(frozen=True)
class FileCheck:
    """What a file looks like, and what would become of it."""

    name: str
    fault: str = ""  # why it would be rejected as a whole
    passed: str = ""  # why it would be passed over
    fits: bool = False  # whether it has the columns of the config
    notes: tuple[str, ...] = ()
    rows: int = 0
    aside: int = 0  # rows that would be set aside, and the first of them
    bad: tuple[BadRow, ...] = ()
    columns: tuple[ColumnCheck, ...] = ()
    odd: tuple[str, ...] = ()
    proposed: tuple[tuple[str, Any], ...] = ()  # keys of config.json


def check_files(paths: Sequence[Path], schema: Schema, *, subfolders: bool) -> Iterator[FileCheck]:
    """Look at files, and at those in folders; raises `DataError` where there is none of a name."""
    for path in paths:
        if path.is_dir():
            passed: dict[str, str] = {}
            found = list_input(path, subfolders=subfolders, passed=passed)
            yield from (_check(file.path, file.name, schema) for file in found)
            yield from (FileCheck(name, passed=why) for name, why in passed.items())
        elif path.exists():
            yield _check(path, path.name, schema)
        else:
            raise DataError(f"{path}: there is no such file or folder")


def _check(path: Path, name: str, schema: Schema) -> FileCheck:
    try:
        stream: io.BufferedReader = io.BufferedReader(open_plain(path))
        with stream:
            fits = _fits(stream, schema)
            stream.seek(0)
            columns: tuple[ColumnCheck, ...] = ()
            proposed: dict[str, Any] = {}
            with suppress(*((DataError,) if fits else ())):
                columns, proposed = _columns(stream, schema.format)
            stream.seek(0)
            known = FileCheck(name, fits=fits, columns=columns, proposed=tuple(proposed.items()))
            if not fits and "schema" not in proposed:
                return replace(known, fault="has no column that could name clients, and features")
            used = schema if fits else _schema_of(proposed, schema)
            try:
                return with_table(stream, used, used.columns, lambda t: _tried(t, known, used))
            except DataError as error:
                return replace(known, fault=str(error))
    except (DataError, OSError) as error:
        return FileCheck(name, fault=str(error))


def _fits(stream: io.BufferedReader, schema: Schema) -> bool:
    """Whether a file has the columns of the config."""
    try:
        return with_table(stream, schema, schema.columns, lambda _: True, may_report=True)
    except DataError:
        return False


def _tried(table: Table, known: FileCheck, schema: Schema) -> FileCheck:
    """What would become of the rows."""
    rows, bad, clients = 0, [], Counter[str]()
    for block in table.blocks():
        if isinstance(block, BadRow):
            bad.append(block)
            rows += 1
        else:
            lines = block.text.split("\n")[:-1]
            rows += len(lines)
            clients.update(row[0] for row in csv.reader(lines))
    fault = too_many_bad(bad, rows)
    odd = [*_odd_columns(known.columns), *_odd_clients(clients, schema)]
    if table.warning:
        odd.insert(0, f"the file {table.warning}")
    if table.lacks_outcome and not table.reports:
        odd.append(
            "no column says who has left: outcomes are unknown; if each file lists all clients,"
            ' "input": "snapshots" and "absent": "left" tell who left'
        )
    return replace(
        known,
        fault=fault + table.bad_outcomes if fault else "",
        notes=(table.how, *(note for note in table.notes if not note.startswith(_IN_HOW))),
        rows=rows,
        aside=len(bad),
        bad=tuple(bad[:SHOWN]),
        odd=tuple(odd),
    )


def _odd_columns(columns: Sequence[ColumnCheck]) -> Iterator[str]:
    for column in columns:
        if (
            column.role
            and column.missing > MANY_MISSING
            and column.role not in ("outcome", "left_on")
        ):
            yield f"{column.name} is missing in {column.missing:.0%} of the rows"
        if column.role == "numeric" and any(map(_CODE.fullmatch, column.examples)):
            yield f"{column.name} has leading zeros: if it is a code, name it under categorical"
    if left := [c.name for c in columns if not c.role and c.kind in ("identifier", "text")]:
        yield f"left out: {format_columns(left)}; name under carry what people need beside a risk"
    if days := [c.name for c in columns if not c.role and c.kind == "date"]:
        yield f"left out: {format_columns(days)}; name under date the day on which a row was true"


def _odd_clients(clients: Counter[str], schema: Schema) -> Iterator[str]:
    if (most := clients.most_common(1)) and most[0][1] > 1 and not schema.date:
        twice = sum(count > 1 for count in clients.values())
        yield f"{pluralize(twice, 'client')} with several rows, such as {most[0][0]!r}"
    for what, key in (("leading zeros or a last .0", canonical_digits), ("case", str.lower)):
        alike = Counter(map(key, clients))
        if several := [name for name, count in alike.items() if count > 1]:
            yield (
                f"{pluralize(len(several), 'name')} of clients written in several ways that differ"
                f" only in {what}, such as {several[0]!r}"
            )


def split_file(path: Path, schema: Schema, test_data: Path, others: Path) -> tuple[int, int]:
    """Write the good rows of a file to two folders, canonical: a fifth of the clients to the first.

    Returns how many rows are in each. Raises `DataError` if it has not the columns of the schema,
    or one of the files is there already.
    """
    targets = [folder / f"{path.name.partition('.')[0]}.csv" for folder in (test_data, others)]
    for target in targets:
        if target.exists():
            raise DataError(f"{target} is there already: move it away, or rename {path}")
    stream: io.BufferedReader = io.BufferedReader(open_plain(path))
    with stream:
        text, bad = good_rows(stream, schema, schema.columns, str(path))
    lines, rows = text.split("\n")[:-1], (list[str](), list[str]())
    for line, cells in zip(lines, csv.reader(lines), strict=True):
        rows[xxh64_intdigest(cells[0].encode()) % 5 > 0].append(line)
    for row in bad[:SHOWN]:
        log.warning("%s: line %d is left out: %s", path, row.line, row.reason)
    if len(bad) > SHOWN:
        log.warning("%s: %s more are left out", path, pluralize(len(bad) - SHOWN, "row"))
    for target, part in zip(targets, rows, strict=True):
        write_atomic(target, "\n".join([schema.header, *part, ""]))
    return len(rows[0]), len(rows[1])


# --- what a table looks like whose columns nobody has named ---


def _columns(
    stream: io.BufferedReader, given: Format
) -> tuple[tuple[ColumnCheck, ...], dict[str, Any]]:
    """How the columns of a table read; and the keys of `config.json` that would fit."""
    text, *_ = unpacked(stream)
    try:
        try:
            sample = [*islice(iter(Lines(text, given.encoding).line, ""), SAMPLE)]
        except NotUtf8Error as error:
            text.seek(0)
            lines = Lines(text, windows_line=error.line)
            sample = [*islice(iter(lines.line, ""), SAMPLE)]
    finally:
        if text is not stream:
            text.close()
    header, rows = _table_of(sample, given.delimiter or DELIMITERS)
    rows = [row for row in rows if not any(map(is_total, row))]
    values = [[row[i].strip() for row in rows] for i in range(len(header))]
    missing = MISSING | {*given.missing}
    columns = [_column(name, each, missing) for name, each in zip(header, values, strict=True)]
    return _proposal(columns, values, missing)


def _table_of(sample: Sequence[str], delimiters: str) -> tuple[list[str], list[list[str]]]:
    """The names of the columns, and the rows below them as wide as they are."""
    if match := re.fullmatch(r'"?sep=(.)"?\s*', sample[0] if sample else "", re.I):
        sample, delimiters = sample[1:], match[1]
    best: tuple[int, list[list[str]]] = (1, [])
    for delimiter in delimiters:
        rows: list[list[str]] = []
        with suppress(csv.Error):  # at a field beyond the limit of the reader: of the lines before
            rows.extend(
                row for row in csv.reader(sample, delimiter=delimiter) if any(map(str.strip, row))
            )
        widths = Counter(map(len, rows))
        width, count = max(widths.items(), key=lambda each: (each[1], each[0]), default=(1, 0))
        if width * count > best[0] * len(best[1]) or not best[1]:
            best = width, [row for row in rows if len(row) == width]
    width, rows = best
    for at, row in enumerate(rows[:MAX_ABOVE]):
        names = [name.strip() or f"({i + 1})" for i, name in enumerate(row)]
        if (
            sum(map(is_number, names)) <= width // 3
            and sum(map(bool, map(str.strip, row))) > width // 2
        ):
            return names, rows[at + 1 :]
    raise DataError("has no line that looks like a header: names of columns, most no numbers")


def _column(name: str, values: Sequence[str], missing: frozenset[str]) -> ColumnCheck:
    present = [value for value in values if value.lower() not in missing]
    counts = Counter(present)
    kind = _kind(name, present, counts)
    share = 1 - len(present) / max(1, len(values))
    examples = tuple(value for value, _ in counts.most_common(3))
    return ColumnCheck(name, kind, "", share, len(counts), examples)


def _kind(name: str, present: Sequence[str], counts: Counter[str]) -> str:
    if len(counts) < 2:
        return "constant" if counts else "empty"
    if any(_dated(counts, form) for form in DATE_FORMATS):
        return "date"
    unique = len(counts) > UNIQUE * len(present)
    if any("@" in value for value in islice(counts, 20)):
        return "text"
    words = {value: count for value, count in counts.items() if not is_number(value)}
    share = 1 - sum(words.values()) / len(present)
    if share >= MOST or (share >= NUMBERS and len(words) <= WORDS):
        codes = all(value.isdigit() for value in counts if value not in words) and (
            _ID.search(name) or _CLIENT.search(name) or any(map(_CODE.fullmatch, counts))
        )
        return "identifier" if unique and codes else "number"
    if unique and len(present) > FEW // 5:
        return "identifier"
    return "category" if len(counts) <= max(FEW, len(present) // 20) else "text"


def _dated(counts: Counter[str], form: str) -> bool:
    """Whether almost all values are days in this form."""
    looked = [*islice(counts, 200)]
    good = 0
    for value in looked:
        if len(value) >= 8 or form:
            try:
                day_of(value.split(" ")[0] if form else value, form)
            except ValueError:
                continue
            good += 1
    return good >= MOST * len(looked)


def _proposal(
    columns: Sequence[ColumnCheck], values: Sequence[Sequence[str]], missing: frozenset[str]
) -> tuple[tuple[ColumnCheck, ...], dict[str, Any]]:
    """The columns with their roles, and the keys of `config.json`."""
    client = max(columns, key=_likely_client)
    outcome = max((c for c in columns if c is not client), key=_likely_outcome, default=None)
    if outcome and not _likely_outcome(outcome):
        outcome = None
    roles = {client.name: "client"} | ({outcome.name: "outcome"} if outcome else {})
    several = client.distinct < len(values[0]) * (1 - client.missing)  # rows a client
    for column in columns:
        ended = probably_left(column.name) and column.missing > 0
        if column.kind == "date" and (ended or several):
            role = "left_on" if ended else "date"
            if role not in roles.values():
                roles[column.name] = role
    kinds = {"number": "numeric", "category": "categorical"}
    for column in columns:
        if column.kind in kinds:
            roles.setdefault(column.name, kinds[column.kind])
    if client.kind not in ("identifier", "text", "category", "number") or not (
        {*roles.values()} & {*kinds.values()}
    ):
        return tuple(columns), {}
    schema: dict[str, Any] = {}
    of_role = {role: name for name, role in roles.items()}
    schema |= {r: of_role[r] for r in ("client", "date", "outcome", "left_on") if r in of_role}
    for role in ("numeric", "categorical"):
        if names := [column.name for column in columns if roles.get(column.name) == role]:
            schema[role] = names
    keys: dict[str, Any] = {"schema": schema}
    form = _format(columns, values, roles, missing)
    if form:
        keys["format"] = form
    if outcome:
        meant = _meant(outcome, values[columns.index(outcome)], missing)
        if any(OUTCOMES.get(word.lower()) != str(each) for word, each in meant.items()):
            keys["outcomes"] = meant
    return tuple(replace(each, role=roles.get(each.name, "")) for each in columns), keys


def _likely_client(column: ColumnCheck) -> int:
    if column.kind not in ("identifier", "text", "number", "category"):
        return -1
    if _INDEX.search(column.name):
        return 0
    client, known = bool(_CLIENT.search(column.name)), bool(_ID.search(column.name))
    unique = column.kind == "identifier"
    return 8 * (client and known) + 4 * (client and unique) + 2 * unique + (known and unique)


def _likely_outcome(column: ColumnCheck) -> int:
    if not 1 < column.distinct <= 4 or column.kind not in ("number", "category"):
        return 0
    named = probably_left(column.name)
    known = all(value.lower() in OUTCOMES for value in column.examples)
    told = set(probable_outcomes(column.examples).values()) != {None}
    score = (
        16 * (named is True)
        + 8 * told
        + 4 * (named is False)
        + 2 * bool(_OUTCOME.search(column.name))
    )
    return score + (known and column.kind == "category") if known or told or score else 0


def _meant(
    column: ColumnCheck, texts: Sequence[str], missing: frozenset[str]
) -> dict[str, int | None]:
    """What the words of a column mean for leaving: as they are known, turned, or as they seem."""
    words = [*Counter(text for text in texts if text.lower() not in missing)]
    if unknown := [word for word in words if word.lower() not in OUTCOMES]:
        return probable_outcomes(unknown)
    turned = probably_left(column.name) is False
    return {word: abs(turned - int(OUTCOMES[word.lower()])) for word in words}


def _format(
    columns: Sequence[ColumnCheck],
    values: Sequence[Sequence[str]],
    roles: dict[str, str],
    missing: frozenset[str],
) -> dict[str, Any]:
    """What of `format` cannot be found out of the files alone."""
    found: dict[str, Any] = {}
    words: dict[str, None] = {}
    for column, texts in zip(columns, values, strict=True):
        if roles.get(column.name) in ("date", "left_on"):
            counts = Counter(text for text in texts if text.lower() not in missing)
            form = next(form for form in DATE_FORMATS if _dated(counts, form))
            if form:
                found["date"] = form
        if roles.get(column.name) == "numeric":
            others = (t for t in texts if t.lower() not in missing and not is_number(t))
            words |= dict.fromkeys(word for word, n in Counter(others).items() if n > 1)
    if words:
        found["missing"] = [*words]
    return found


def _schema_of(proposed: dict[str, Any], schema: Schema) -> Schema:
    """The schema of proposed keys."""
    roles, form = proposed["schema"], proposed.get("format", {})
    words = proposed.get("outcomes", {}).items()
    given = schema.format
    return Schema(
        roles["client"],
        roles.get("outcome", "has_left"),
        tuple(roles.get("numeric", ())),
        tuple(roles.get("categorical", ())),
        date=roles.get("date", ""),
        left_on=roles.get("left_on", ""),
        has_outcome="outcome" in roles,
        format=replace(
            given,
            date=form.get("date", given.date),
            missing=(*given.missing, *map(str.lower, form.get("missing", ()))),
        ),
        outcomes=(
            *schema.outcomes,
            *((word.lower(), "" if value is None else str(value)) for word, value in words),
        ),
    )


# --- for people, and for programs ---


def check_lines(checks: Sequence[FileCheck]) -> Iterator[str]:
    """What was found, in lines for a person."""
    proposed: tuple[tuple[str, Any], ...] = ()
    for check in checks:
        found = f"{check.rows:,} rows, {check.aside:,} would be set aside"
        if check.fault:
            found = f"would be rejected: it {check.fault}"
        yield f"{check.name}{f' {check.passed}' if check.passed else f': {found}'}"
        yield from (f"  {note}" for note in check.notes)
        yield from _column_lines(check.columns)
        yield from (f"  set aside: line {row.line}: {row.reason}" for row in check.bad)
        yield from (f"  odd: {what}" for what in check.odd)
        if check.fits:
            yield "  has the columns of config.json"
        elif check.proposed and check.proposed != proposed:
            proposed = check.proposed
            yield "for config.json, right behind its first {, if roles and outcomes are right:"
            yield from (f"  {json.dumps(key)}: {_as_json(value)}," for key, value in proposed)


def _as_json(value: Any) -> str:
    parts = (
        f"{json.dumps(k, ensure_ascii=False)}: {json.dumps(v, ensure_ascii=False)}"
        for k, v in value.items()
    )
    lines = ("\n      ".join(wrap(part, 90, break_long_words=False)) for part in parts)
    lines = (f"    {line}" for line in lines)
    return "{\n" + ",\n".join(lines) + "\n  }"


def _column_lines(columns: Sequence[ColumnCheck]) -> Iterator[str]:
    rows = [("column", "reads as", "role", "missing", "values", "such as")]
    for each in columns:
        examples = ", ".join(truncate(repr(value)[1:-1], 20) for value in each.examples)
        role, missing = each.role or "left out", f"{each.missing:.0%}"
        cells = (each.kind, role, missing, f"{each.distinct:,}", truncate(examples, 32))
        rows.append((truncate(each.name, 24), *cells))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows if columns else ():
        yield "  " + "  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip()


def checks_to_dict(checks: Sequence[FileCheck]) -> dict[str, Any]:
    """What was found, for a program."""
    return {"files": [asdict(check) | {"proposed": dict(check.proposed)} for check in checks]}
