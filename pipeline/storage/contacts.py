"""Who was contacted, or was to be, in the history; and forgetting clients there.

Contacts are written without the run lock: each call is one transaction of its own. Of a client who
was erased a line stays, with the day.
"""

import secrets
from collections.abc import Callable, Collection, Iterable
from dataclasses import astuple, dataclass, replace
from typing import TYPE_CHECKING

from pipeline.core.files import utc_now
from pipeline.storage.database import History, insertion
from pipeline.storage.held_files import WITHDRAWN

if TYPE_CHECKING:  # an empty tick erases nobody
    from pipeline.core.names import NamesInText
    from pipeline.data.loader import KeptOut


@dataclass(frozen=True)
class Contact:
    """That a client was contacted."""

    client: str
    day: str  # YYYY-MM-DD
    source: str  # `page`, `api`, or `file` and its name
    channel: str = ""
    note: str = ""
    result: str = ""
    by_whom: str = ""
    id: int = 0  # given when it is recorded
    recorded_at: str = ""  # likewise


@dataclass(frozen=True)
class Assignment:
    """That a client was to be contacted, or left alone to compare, since a day of a campaign."""

    client: str
    campaign: str  # the day on which it began, YYYY-MM-DD
    day: str
    control: bool  # whether it was left alone
    share: float  # of those left alone, then
    band: str
    risk: float


_GIVEN = (*Contact.__annotations__,)[:-2]
_OF_CLIENTS = ("ranked_clients", "contacts", "assignments")
# texts in which a client may be named
_TEXTS = (
    *("alerts.title", "alerts.body", "contact_files.problem", "contacts.channel", "contacts.note"),
    *("contacts.result", "contacts.by_whom", "decisions.reason", "files.reason", "files.held"),
    *("input_drift.reason", "requests.outcome", "runs.detail", "score_drift.reason", "told.what"),
)


def add_contacts(history: History, contacts: Iterable[Contact], *, instead_of: str = "") -> None:
    """In a transaction, record contacts, if need be instead of all of one source; none kept out."""
    if instead_of:
        history.query("DELETE FROM contacts WHERE source = ?", instead_of)
    refused, now = kept_out(history), utc_now()
    rows = ((*astuple(each)[:-2], now) for each in contacts if each.client not in refused)
    history.fill("contacts", (*_GIVEN, "recorded_at"), rows)


def record_contact(history: History, contact: Contact) -> Contact:
    """In a transaction, record a contact unless it is on record; returns it as that has it."""
    history.lock_table("contacts")
    given = {name: getattr(contact, name) for name in _GIVEN}
    same = " AND ".join(f"{name} = ?" for name in given)
    known = history.one(f"SELECT id, recorded_at FROM contacts WHERE {same}", *given.values())
    if known is None:
        known = {"recorded_at": utc_now()}
        known["id"] = history.insert("contacts", **given, **known)
    return replace(contact, **known)


def remove_contact(history: History, number: int, client: str) -> bool:
    """Take back a contact of a client that no file has said; whether there was one."""
    # numbers are given again: that of one that was taken back may be another client's by now
    sql = "DELETE FROM contacts WHERE id = ? AND client = ? AND source IN ('page', 'api')"
    return bool(history.tuples(f"{sql} RETURNING id", number, client))


def contacts(history: History, client: str | None = None) -> list[Contact]:
    """All contacts, or those of one client, newest first."""
    where, values = ("", ()) if client is None else (" WHERE client = ?", (client,))
    return history.read(Contact, f"FROM contacts{where} ORDER BY day DESC, id DESC", *values)


def marked_since(history: History, at: str, most: int) -> list[Contact]:
    """The contacts that were recorded on the page since a time, the last ones first."""
    where = "source = 'page' AND recorded_at > ?"
    return history.read(Contact, f"FROM contacts WHERE {where} ORDER BY id DESC LIMIT ?", at, most)


def never_ranked(history: History, source: str) -> list[str]:
    """The clients contacted by a source whom no ranking had; none before the first ranking."""
    return history.column(
        "SELECT DISTINCT client FROM contacts WHERE source = ? AND client NOT IN (SELECT client"
        " FROM ranked_clients) AND EXISTS (SELECT 1 FROM ranked_clients) ORDER BY client",
        source,
    )


def last_contacts(history: History, until: str) -> dict[str, str]:
    """The day of the latest contact, until a day, of each client that was contacted by then."""
    sql = "SELECT client, max(day) FROM contacts WHERE day <= ? GROUP BY client"
    return dict(history.tuples(sql, until))


def record_assignments(history: History, found: Iterable[Assignment]) -> None:
    """In a transaction, record assignments, each client's first of a campaign."""
    sql = insertion("assignments", Assignment.__annotations__)
    history.many(f"{sql} ON CONFLICT (client, campaign) DO NOTHING", map(astuple, found))


def assignments(history: History) -> list[Assignment]:
    """All assignments, in order of their days, then by client."""
    return history.read(Assignment, "FROM assignments ORDER BY day, client")


def clients_on_record(history: History, names: Collection[str]) -> set[str]:
    """Those of the names that are of clients who were ranked, contacted or to be contacted."""
    found: set[str] = set()
    for table in _OF_CLIENTS:
        found |= {*names} & {*history.column(f"SELECT DISTINCT client FROM {table}")}
    return found


def rejected_rows_of(
    history: History, search: "NamesInText", canonical: Callable[[str], str]
) -> tuple[set[tuple[int, int]], set[str]]:
    """The rows set aside that have a name in a cell, by file and line; and which names.

    Also, with nobody's name, those whose text has one and cannot be told apart into cells.
    """
    from pipeline.data.loader import cells_of, is_csv

    rows, clients = set[tuple[int, int]](), set[str]()
    for number, line, reason, row in history.tuples(
        "SELECT file_id, line, reason, row FROM rejected_rows"
    ):
        names = search.names & {*map(canonical, cells_of(row))}
        clients |= names
        if names or search.found(reason) or (not is_csv(row) and search.found(row)):
            rows.add((number, line))
    return rows, clients


def erase_records(
    history: History,
    search: "NamesInText",
    known: Collection[str],
    rejected: Collection[tuple[int, int]],
) -> None:
    """In a transaction, delete what is recorded of clients, and note that the known are erased."""
    names = [(name,) for name in sorted(search.names)]
    number = "(SELECT id FROM ranked_clients WHERE client = ?)"
    history.many(f"DELETE FROM client_risk WHERE client_id = {number}", names)
    for table in _OF_CLIENTS:
        history.many(f"DELETE FROM {table} WHERE client = ?", names)
    history.many("DELETE FROM rejected_rows WHERE file_id = ? AND line = ?", rejected)
    for table, column in (each.split(".") for each in _TEXTS):
        texts = {*history.column(f"SELECT DISTINCT {column} FROM {table}")} - {WITHDRAWN}
        changed = ((search.without(text), text) for text in texts if text)
        history.many(
            f"UPDATE {table} SET {column} = ? WHERE {column} = ?",
            [(new, old) for new, old in changed if new != old],
        )
    history.many("INSERT INTO erasures (day) VALUES (?)", [(utc_now()[:10],) for _ in known])


def erasures(history: History) -> tuple[int, str]:
    """How many clients were erased, and the day of the last; empty if none was."""
    ((count, last),) = history.tuples("SELECT count(*), max(day) FROM erasures")
    return count, last or ""


def kept_out(history: History) -> "KeptOut":
    """The clients of whom nothing is to be taken in."""
    from pipeline.data.loader import KeptOut

    (key,) = history.column("SELECT kept_out_key FROM master")
    return KeptOut(bytes.fromhex(key or ""), frozenset(history.column("SELECT hash FROM kept_out")))


def keep_out(history: History, names: Collection[str]) -> None:
    """In a transaction, let nothing be taken in of clients of these names from now on."""
    key = secrets.token_hex(32)
    history.query("UPDATE master SET kept_out_key = coalesce(kept_out_key, ?)", key)
    known = kept_out(history)
    new = sorted({*map(known.hash, names)} - known.hashes)
    history.fill("kept_out", ("hash",), ((each,) for each in new))
