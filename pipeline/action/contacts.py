"""Contacts as people report them: in files, on the page, through the API."""

import io
import logging
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

from pipeline.core.errors import DataError
from pipeline.core.formatting import pluralize, truncate
from pipeline.core.schema import Schema, canonical_date, canonical_text
from pipeline.data.input_files import UNREAD, FoundFile, digest, list_input, open_plain
from pipeline.storage.contacts import Contact, add_contacts, never_ranked
from pipeline.storage.database import History
from pipeline.storage.input_checks import tell_once

TEXTS = ("channel", "note", "result", "by")  # of a contact, beside its client and its date
COLUMNS = ("client", "date", *TEXTS)
MAX_TEXT = 1_000  # characters
_UNSTORABLE = re.compile("[\ud800-\udfff]")  # which JSON can hold, and no history

log = logging.getLogger(__name__)


def contact_of(given: Mapping[str, str], schema: Schema, source: str) -> Contact:
    """The contact that these texts say, by the names of `COLUMNS`; without a date, today's.

    Raises `ValueError` with what is wrong, which does not repeat a value.
    """
    today = date.today()
    try:
        client = schema.canonical(schema.client)(given.get("client", ""))
    except ValueError as error:
        raise ValueError(f"client {error}") from None
    try:
        day = canonical_date(given.get("date") or today.isoformat(), schema.format.date)
    except ValueError as error:
        raise ValueError(f"date {error}") from None
    if day > (today + timedelta(1)).isoformat():  # it may be tomorrow where the sender is
        raise ValueError("date is in the future")
    texts = {name: canonical_text(given.get(name, "")) for name in TEXTS}
    for name, text in texts.items():
        if _UNSTORABLE.search(text):
            raise ValueError(f"{name} has a character that is none of a text")
        if len(text) > MAX_TEXT:
            raise ValueError(f"{name} is longer than {MAX_TEXT:,} characters")
    return _contact(client, day, source, texts)


def _contact(client: str, day: str, source: str, texts: Mapping[str, str]) -> Contact:
    channel, note, result, by = (texts[name] for name in TEXTS)
    return Contact(client, day, source, channel, note, result, by)


def take_contact_files(history: History, folder: Path, schema: Schema) -> int:
    """Take in the files of contacts that are new or changed; how many contacts they hold.

    What a file said before is replaced by what it says now; of a file that cannot be read, or is
    gone, it stays. What is wrong is said once. No file fails a run.
    """
    wrong: dict[str, str] = {}
    try:
        files = list_input(folder, passed=wrong)
    except (DataError, OSError) as error:  # a share that is away
        files, wrong = [], {'"contacts_path"': str(error)}
    rows = history.tuples("SELECT name, size, mtime_ns, sha256, problem FROM contact_files")
    known, taken = {name: values for name, *values in rows}, 0
    for file in files:
        *stamp, sha256, problem = known.get(file.name, (0, 0, None, ""))
        # what could not be read, may be now
        touched = stamp != [file.size, file.mtime_ns]
        if touched or sha256 == UNREAD:
            if sha256 != (now := digest(file)):
                found, problem = _read(file, schema)
                source = f"file {file.name}"
                with history.transaction():
                    if found or not problem:
                        add_contacts(history, found, instead_of=source)
                    _record(history, file, now, problem)
                taken += len(found)
                if not problem or found:
                    log.info("%s: %s", file.name, pluralize(len(found), "contact"))
                if strangers := never_ranked(history, source):
                    log.warning(
                        "%s: no ranking ever had %s, such as %s: are names as in the client files?",
                        *(file.name, pluralize(len(strangers), "client"), strangers[0]),
                    )
            elif touched:
                _record(history, file, sha256, problem)
        if problem:
            wrong[file.name] = problem
    tell_once(history, wrong, "contacts")
    return taken


def _record(history: History, file: FoundFile, sha256: str, problem: str) -> None:
    history.query(
        "INSERT INTO contact_files (name, size, mtime_ns, sha256, problem) VALUES (?, ?, ?, ?, ?)"
        " ON CONFLICT (name) DO UPDATE SET size = excluded.size, mtime_ns = excluded.mtime_ns,"
        " sha256 = excluded.sha256, problem = excluded.problem",
        *(file.name, file.size, file.mtime_ns, sha256, problem),
    )


def _read(file: FoundFile, schema: Schema) -> tuple[list[Contact], str]:
    """The contacts in a file, and what is wrong with it."""
    import csv  # what a tick does without that finds no new file

    from pipeline.data.csv_reader import NO_ROWS, BadRow, Table, with_table

    table_schema = Schema(
        *("client", "has_left", (), ()),
        client_names=schema.client_names,
        date="date",
        carry=TEXTS,
        format=replace(schema.format, missing=()),
        has_outcome=False,
    )
    today, source = date.today().isoformat(), f"file {file.name}"

    def use(table: Table) -> tuple[list[Contact], list[BadRow]]:
        good: list[str] = []
        bad: list[BadRow] = []
        for block in table.blocks():
            if isinstance(block, BadRow):
                bad.append(block)
            else:
                good += block.text.split("\n")[:-1]  # a text may have other ends of lines
        found = [
            _contact(client, day, source, dict(zip(TEXTS, texts, strict=True)))
            for client, day, *texts in csv.reader(good)
        ]
        return found, bad

    try:
        stream: io.BufferedReader = io.BufferedReader(open_plain(file.path))
        with stream:
            found, bad = with_table(stream, table_schema, COLUMNS, use, last_day=today)
    except (DataError, OSError) as error:
        if str(error) == NO_ROWS:  # the last one was taken back
            return [], ""
        return [], f"holds no contacts that can be read: {error}"
    problem = ""
    if bad:
        first = f"line {bad[0].line}: {truncate(bad[0].reason, 200)}"
        rows = pluralize(len(bad), "row that is no contact", "rows that are no contacts")
        problem = f"has {rows} and left out; {first}"
    return found, problem
