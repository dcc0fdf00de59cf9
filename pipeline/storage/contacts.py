"""Who was contacted, and who was to be contacted or left alone, in the history.

Contacts are written without the run lock: each call is one transaction of its own.
"""

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace

from pipeline.core.files import utc_now
from pipeline.storage.database import History


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


_CONTACT = tuple(field.name for field in fields(Contact))
_GIVEN = _CONTACT[:-2]
_ASSIGNMENT = tuple(field.name for field in fields(Assignment))


def add_contacts(history: History, contacts: Iterable[Contact], *, instead_of: str = "") -> None:
    """Record contacts, if need be instead of all of one source, all of them or none.

    Those of clients who are kept out are left out.
    To be called in a transaction.
    """
    if instead_of:
        history.query("DELETE FROM contacts WHERE source = ?", instead_of)
    from pipeline.storage.erasures import kept_out  # an empty tick adds none

    refused, now = kept_out(history), utc_now()
    contacts = (each for each in contacts if each.client not in refused)
    rows = ((*(getattr(each, name) for name in _GIVEN), now) for each in contacts)
    history.fill("contacts", (*_GIVEN, "recorded_at"), rows)


def record_contact(history: History, contact: Contact) -> Contact:
    """Record a contact, unless the same one is on record; returns it as that has it.

    To be called in a transaction.
    """
    history.lock_table("contacts")
    given = {name: getattr(contact, name) for name in _GIVEN}
    same = " AND ".join(f"{name} = ?" for name in given)
    if known := history.one(f"SELECT id, recorded_at FROM contacts WHERE {same}", *given.values()):
        return replace(contact, **known)
    now = utc_now()
    return replace(
        contact, id=history.insert("contacts", **given, recorded_at=now), recorded_at=now
    )


def remove_contact(history: History, number: int, client: str) -> bool:
    """Take back a contact of a client that no file has said; whether there was one.

    Numbers are given again: that of one that was taken back may be another client's by now.
    """
    where = "id = ? AND client = ? AND source IN ('page', 'api')"
    with history.transaction():
        history.lock_table("contacts")
        there = history.one(f"SELECT 1 FROM contacts WHERE {where}", number, client)
        history.query(f"DELETE FROM contacts WHERE {where}", number, client)
    return there is not None


def contacts(history: History, client: str | None = None) -> list[Contact]:
    """All contacts, or those of one client, newest first."""
    where, values = ("", ()) if client is None else (" WHERE client = ?", (client,))
    found = history.tuples(
        f"SELECT {', '.join(_CONTACT)} FROM contacts{where} ORDER BY day DESC, id DESC", *values
    )
    return [Contact(*row) for row in found]


def marked_since(history: History, at: str, most: int) -> list[Contact]:
    """The contacts that were recorded on the page since a time, the last ones first."""
    found = history.tuples(
        f"SELECT {', '.join(_CONTACT)} FROM contacts WHERE source = 'page' AND recorded_at > ?"
        " ORDER BY id DESC LIMIT ?",
        *(at, most),
    )
    return [Contact(*row) for row in found]


def never_ranked(history: History, source: str) -> list[str]:
    """The clients contacted by a source whom no ranking had; none before the first ranking."""
    found = history.tuples(
        "SELECT DISTINCT client FROM contacts WHERE source = ? AND client NOT IN (SELECT client"
        " FROM ranked_clients) AND EXISTS (SELECT 1 FROM ranked_clients) ORDER BY client",
        source,
    )
    return [client for (client,) in found]


def last_contacts(history: History) -> dict[str, str]:
    """The day of the latest contact of each client that was ever contacted."""
    return dict(history.tuples("SELECT client, max(day) FROM contacts GROUP BY client"))


def record_assignments(history: History, found: Iterable[Assignment]) -> None:
    """Record assignments, each client's first of a campaign; to be called in a transaction."""
    marks = ", ".join("?" * len(_ASSIGNMENT))
    history.many(
        f"INSERT INTO assignments ({', '.join(_ASSIGNMENT)}) VALUES ({marks})"
        " ON CONFLICT (client, campaign) DO NOTHING",
        ((*(getattr(each, name) for name in _ASSIGNMENT),) for each in found),
    )


def assignments(history: History) -> list[Assignment]:
    """All assignments, in order of their days, then by client."""
    names = ", ".join(_ASSIGNMENT)
    found = history.tuples(f"SELECT {names} FROM assignments ORDER BY day, client")
    return [
        Assignment(client, campaign, day, bool(control), share, band, risk)
        for client, campaign, day, control, share, band, risk in found
    ]
