"""What client files look like before anything is taken in: how they read, and a schema for them."""

import csv
import io
import json
import logging
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import nullcontext, suppress
from dataclasses import asdict, dataclass, field, replace
from itertools import islice
from pathlib import Path
from textwrap import wrap
from typing import Any

from xxhash import xxh64_intdigest

from pipeline.core.errors import DataError
from pipeline.core.files import write_atomic
from pipeline.core.formatting import format_columns, pluralize, truncate
from pipeline.core.schema import MISSING, OUTCOMES, Format, Schema, canonical_digits, day_of
from pipeline.data.csv_reader import BadRow, Table, good_rows, is_total, too_many_bad, with_table
from pipeline.data.header import DELIMITERS, MAX_ABOVE, SEPARATOR
from pipeline.data.input_files import list_input, open_plain
from pipeline.data.number_forms import is_number
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
KINDS = {"number": "numeric", "category": "categorical"}  # of features, and their roles

_IN_HOW = ("separated by", "the header is", "decimal comma")  # notes that say it, too
_CLIENT = re.compile(
    r"client|customer|corporation|company|account|kunde|konto|member|subscriber|user|policy", re.I
)
_ID = re.compile(r"(?:^|[\W_])(?:id|no|nr|num|number|key)(?:$|[\W_])|nr\.?$|id$", re.I)
_OUTCOME = re.compile(r"target|label|outcome|status|abgang", re.I)  # of less use than other names
_INDEX = re.compile(r"row|index|line|^no\.?$|^nr\.?$|^#$", re.I)  # of what numbers rows
_CODE = re.compile(r"0\d+")
# what words for outcomes and names of their columns are about, and what turns them
_LEAVING = re.compile(
    r"churn|\bleft\b|\bleav|lost|cancel|\bclos|gone|exit|attrit|terminat|gek(?:u|ue|\xfc)ndigt|delet"
    r"|suspend|laps|r[e\xe9]sili|\bbaja|\bina[ck]tiv|\bformer|\bpast\b|ended|expired|\bex-"
)
_STAYING = re.compile(
    r"\bstay|retain|retention|remain|renew|\ba[ck]tiv|\bactif|current|\bopen|member|bleib|present"
    r"|still|survived|\bcustomer\b|\bclient\b"
)
_NOT = re.compile(r"\b(?:not?|non|never|nicht|kein|no longer|un)(?:\b|(?=renew))")


@dataclass(frozen=True)
class ColumnCheck:
    """How a column reads: as numbers, categories, dates, texts, one value, a name for each row."""

    name: str
    kind: str
    role: str  # in the schema; empty if it is left out
    missing: float  # a part of 1
    counts: Counter[str]  # of what is not missing

    @property
    def examples(self) -> list[str]:
        """Its most frequent values."""
        return [value for value, _ in self.counts.most_common(3)]


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
    proposed: dict[str, Any] = field(default_factory=dict)  # keys of config.json


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
    known = FileCheck(name)
    try:
        stream: io.BufferedReader = io.BufferedReader(open_plain(path))
        with stream:
            try:
                fits = with_table(stream, schema, schema.columns, lambda _: True, may_report=True)
            except DataError:
                fits = False
            stream.seek(0)
            try:
                columns, proposed = _columns(stream, schema.format)
                known = replace(known, fits=fits, columns=columns, proposed=proposed)
            except DataError:
                if not fits:
                    raise
                known = replace(known, fits=True)
            if not fits and not known.proposed:
                return replace(known, fault="has no column that could name clients, and features")
            stream.seek(0)
            used = schema if fits else _schema_of(known.proposed, schema)
            return with_table(stream, used, used.columns, lambda t: _tried(t, known, used))
    except (DataError, OSError) as error:
        return replace(known, fault=str(error))


def _tried(table: Table, known: FileCheck, schema: Schema) -> FileCheck:
    """What would become of the rows."""
    rows, bad, clients = 0, list[BadRow](), Counter[str]()
    for block in table.blocks():
        if isinstance(block, BadRow):
            bad.append(block)
            rows += 1
        else:
            lines = block.text.split("\n")[:-1]
            rows += len(lines)
            clients.update(row[0] for row in csv.reader(lines))
    fault = too_many_bad(bad, rows)
    odd = [f"the file {table.warning}"] if table.warning else []
    odd += [*_odd_columns(known.columns), *_odd_clients(clients, schema)]
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
        if column.missing > MANY_MISSING and column.role not in ("", "outcome", "left_on"):
            yield f"{column.name} is missing in {column.missing:.0%} of the rows"
        if column.role == "numeric" and any(map(_CODE.fullmatch, column.examples)):
            yield f"{column.name} has leading zeros: if it is a code, name it under categorical"
    if left := [c.name for c in columns if not c.role and c.kind in ("identifier", "text")]:
        yield f"left out: {format_columns(left)}; name under carry what people need beside a risk"
    if days := [c.name for c in columns if not c.role and c.kind == "date"]:
        yield f"left out: {format_columns(days)}; name under date the day on which a row was true"


def _odd_clients(clients: Counter[str], schema: Schema) -> Iterator[str]:
    if not schema.date and (twice := [name for name, count in clients.items() if count > 1]):
        yield f"{pluralize(len(twice), 'client')} with several rows, such as {twice[0]!r}"
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
    with nullcontext() if text is stream else text:
        try:
            sample = [*islice(iter(Lines(text, given.encoding).line, ""), SAMPLE)]
        except NotUtf8Error as error:
            text.seek(0)
            lines = Lines(text, windows_line=error.line)
            sample = [*islice(iter(lines.line, ""), SAMPLE)]
    header, rows = _table_of(sample, given.delimiter or DELIMITERS)
    rows = [row for row in rows if not any(map(is_total, row))]
    missing, columns = MISSING | {*given.missing}, list[ColumnCheck]()
    for name, values in zip(
        header, zip(*rows, strict=True) if rows else [()] * len(header), strict=True
    ):
        counts = Counter(value for value in map(str.strip, values) if value.lower() not in missing)
        lacks = 1 - counts.total() / max(1, len(rows))
        columns.append(ColumnCheck(name, _kind(name, counts), "", lacks, counts))
    return _proposal(columns)


def _table_of(sample: Sequence[str], delimiters: str) -> tuple[list[str], list[list[str]]]:
    """The names of the columns, and the rows below them as wide as they are."""
    if match := SEPARATOR.fullmatch(sample[0] if sample else ""):
        sample, delimiters = sample[1:], match[1]
    best: list[list[str]] = []
    for delimiter in delimiters:
        rows: list[list[str]] = []
        reader = csv.reader(sample, delimiter=delimiter)
        with suppress(csv.Error):  # at a field beyond the limit of the reader: of the lines before
            rows += (row for row in reader if any(map(str.strip, row)))
        widths = Counter(map(len, rows))
        width = max(widths, key=lambda width: (widths[width], width), default=1)
        if width * widths[width] > sum(map(len, best)):
            best = [row for row in rows if len(row) == width]
    for at, row in enumerate(best[:MAX_ABOVE]):
        names = [name.strip() or f"({i + 1})" for i, name in enumerate(row)]
        named = sum(map(bool, map(str.strip, row))) > len(row) // 2
        if named and sum(map(is_number, names)) <= len(row) // 3:
            return names, best[at + 1 :]
    raise DataError("has no line that looks like a header: names of columns, most no numbers")


def _kind(name: str, counts: Counter[str]) -> str:
    if len(counts) < 2:
        return "constant" if counts else "empty"
    if _date_form(counts) is not None:
        return "date"
    if any("@" in value for value in islice(counts, 20)):
        return "text"
    unique = len(counts) > UNIQUE * counts.total()
    words = {value: count for value, count in counts.items() if not is_number(value)}
    share = 1 - sum(words.values()) / counts.total()
    if share >= MOST or (share >= NUMBERS and len(words) <= WORDS):
        named = _ID.search(name) or _CLIENT.search(name) or any(map(_CODE.fullmatch, counts))
        codes = named and all(value.isdigit() for value in counts if value not in words)
        return "identifier" if unique and codes else "number"
    if unique and counts.total() > FEW // 5:
        return "identifier"
    return "category" if len(counts) <= max(FEW, counts.total() // 20) else "text"


def _date_form(counts: Counter[str]) -> str | None:
    """The form in which almost all values are days, if there is one."""
    looked = [*islice(counts, 200)]
    return next((f for f in DATE_FORMATS if _days(looked, f) >= MOST * len(looked)), None)


def _days(values: Sequence[str], form: str) -> int:
    good = 0
    for value in values:
        if len(value) >= 8 or form:
            try:
                day_of(value.split(" ")[0] if form else value, form)
                good += 1
            except ValueError:
                pass
    return good


def _proposal(columns: Sequence[ColumnCheck]) -> tuple[tuple[ColumnCheck, ...], dict[str, Any]]:
    """The columns with their roles, and the keys of `config.json`."""
    client = max(columns, key=_likely_client)
    outcome = max((c for c in columns if c is not client), key=_likely_outcome, default=None)
    roles = {client.name: "client"}
    if outcome and _likely_outcome(outcome):
        roles[outcome.name] = "outcome"
    several = len(client.counts) < client.counts.total()  # rows a client
    for column in columns:
        ended = probably_left(column.name) and column.missing > 0
        role = "left_on" if ended else "date"
        if column.kind == "date" and (ended or several) and role not in roles.values():
            roles[column.name] = role
    for column in columns:
        if column.kind in KINDS:
            roles.setdefault(column.name, KINDS[column.kind])
    if _likely_client(client) < 0 or not {*roles.values()} & {*KINDS.values()}:
        return tuple(columns), {}
    schema: dict[str, Any] = {}
    for role in ("client", "date", "outcome", "left_on", *KINDS.values()):
        if names := [column.name for column in columns if roles.get(column.name) == role]:
            schema[role] = names if role in KINDS.values() else names[0]
    found = [replace(column, role=roles.get(column.name, "")) for column in columns]
    form: dict[str, Any] = {}  # what cannot be found out of the files alone
    words: dict[str, None] = {}
    keys: dict[str, Any] = {"schema": schema}
    for column in found:
        if column.role in ("date", "left_on") and (written := _date_form(column.counts)):
            form["date"] = written
        if column.role == "numeric":
            often = [word for word, count in column.counts.items() if count > 1]
            words |= dict.fromkeys(word for word in often if not is_number(word))
        if column.role == "outcome":
            meant = _meant(column)
            if any(OUTCOMES.get(word.lower()) != str(each) for word, each in meant.items()):
                keys["outcomes"] = meant
    if words:
        form["missing"] = [*words]
    return tuple(found), keys | ({"format": form} if form else {})


def _likely_client(column: ColumnCheck) -> int:
    if column.kind not in ("identifier", "text", "number", "category"):
        return -1
    if _INDEX.search(column.name):
        return 0
    client, known = bool(_CLIENT.search(column.name)), bool(_ID.search(column.name))
    unique = column.kind == "identifier"
    return 8 * (client and known) + 4 * (client and unique) + 2 * unique + (known and unique)


def _likely_outcome(column: ColumnCheck) -> int:
    if not 1 < len(column.counts) <= 4 or column.kind not in KINDS:
        return 0
    named = probably_left(column.name)
    known = all(value.lower() in OUTCOMES for value in column.examples)
    told = set(probable_outcomes(column.examples).values()) != {None}
    score = 16 * (named is True) + 8 * told + 4 * (named is False)
    score += 2 * bool(_OUTCOME.search(column.name))
    return score + (known and column.kind == "category") if known or told or score else 0


def _meant(column: ColumnCheck) -> dict[str, int | None]:
    """What the words of a column mean for leaving: as they are known, turned, or as they seem."""
    if unknown := [word for word in column.counts if word.lower() not in OUTCOMES]:
        return probable_outcomes(unknown)
    turned = probably_left(column.name) is False
    return {word: abs(turned - int(OUTCOMES[word.lower()])) for word in column.counts}


def probably_left(text: str) -> bool | None:
    """Whether a word for an outcome, or the name of its column, is of leaving; None: unclear."""
    text = text.replace("_", " ").lower()
    left, stayed = bool(_LEAVING.search(text)), bool(_STAYING.search(text))
    return left != bool(_NOT.search(text)) if left or stayed else None


def probable_outcomes(words: Iterable[str]) -> dict[str, int | None]:
    """What words for outcomes probably mean: 1, 0, or None where that is not clear."""
    meant = {word: probably_left(word) for word in words}
    known = {*meant.values()} - {None}
    if len(meant) == 2 and len(known) == 1:  # one of two tells the other, if that is unclear
        meant = {
            word: each if each is not None else True not in known for word, each in meant.items()
        }
    if len({*meant.values()} - {None}) < 2:
        return dict.fromkeys(meant)  # as of words that all mean the same
    return {word: None if each is None else int(each) for word, each in meant.items()}


def _schema_of(proposed: dict[str, Any], schema: Schema) -> Schema:
    """The schema of proposed keys."""
    roles, form, given = proposed["schema"], proposed.get("format", {}), schema.format
    words = proposed.get("outcomes", {}).items()
    outcomes = [(word.lower(), "" if value is None else str(value)) for word, value in words]
    missing = (*given.missing, *map(str.lower, form.get("missing", ())))
    return Schema(
        roles["client"],
        roles.get("outcome", "has_left"),
        tuple(roles.get("numeric", ())),
        tuple(roles.get("categorical", ())),
        date=roles.get("date", ""),
        left_on=roles.get("left_on", ""),
        has_outcome="outcome" in roles,
        format=replace(given, date=form.get("date", given.date), missing=missing),
        outcomes=(*schema.outcomes, *outcomes),
    )


# --- for people, and for programs ---


def check_lines(checks: Sequence[FileCheck]) -> Iterator[str]:
    """What was found, in lines for a person."""
    proposed: dict[str, Any] = {}
    for check in checks:
        found = f": {check.rows:,} rows, {check.aside:,} would be set aside"
        if check.fault:
            found = f": would be rejected: it {check.fault}"
        yield check.name + (f" {check.passed}" if check.passed else found)
        yield from (f"  {note}" for note in check.notes)
        yield from _column_lines(check.columns)
        yield from (f"  set aside: line {row.line}: {row.reason}" for row in check.bad)
        yield from (f"  odd: {what}" for what in check.odd)
        if check.fits:
            yield "  has the columns of config.json"
        elif check.proposed and check.proposed != proposed:
            proposed = check.proposed
            yield "for config.json, right behind its first {, if roles and outcomes are right:"
            yield from (f"  {json.dumps(key)}: {_as_json(v)}," for key, v in proposed.items())


def _as_json(value: dict[str, Any]) -> str:
    parts = (json.dumps({k: v}, ensure_ascii=False)[1:-1] for k, v in value.items())
    lines = ("\n      ".join(wrap(part, 90, break_long_words=False)) for part in parts)
    return "{\n" + ",\n".join(f"    {line}" for line in lines) + "\n  }"


def _column_lines(columns: Collection[ColumnCheck]) -> Iterator[str]:
    rows = [("column", "reads as", "role", "missing", "values", "such as")]
    for each in columns:
        examples = ", ".join(truncate(repr(value)[1:-1], 20) for value in each.examples)
        role, missing = each.role or "left out", f"{each.missing:.0%}"
        cells = (each.kind, role, missing, f"{len(each.counts):,}", truncate(examples, 32))
        rows.append((truncate(each.name, 24), *cells))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows if columns else ():
        yield "  " + "  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip()


def checks_to_dict(checks: Sequence[FileCheck]) -> dict[str, Any]:
    """What was found, for a program."""
    return {
        "files": [
            asdict(check) | {"columns": [*map(_column_to_dict, check.columns)]} for check in checks
        ]
    }


def _column_to_dict(column: ColumnCheck) -> dict[str, Any]:
    found = {name: getattr(column, name) for name in ("name", "kind", "role", "missing")}
    return found | {"distinct": len(column.counts), "examples": column.examples}
