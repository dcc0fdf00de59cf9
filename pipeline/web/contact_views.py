"""Contacts through the API and by the forms of the page: written without the run lock."""

from contextlib import nullcontext, suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from urllib.parse import urlencode

from flask import Blueprint, Response, redirect, request
from werkzeug.wrappers import Response as AnyResponse

from pipeline.action.contacts import COLUMNS, MAX_TEXT, contact_of
from pipeline.action.proposals import contact_state, new_assignments
from pipeline.core.errors import HistoryError
from pipeline.observations.master import rows_of_client
from pipeline.observations.rows import open_rows
from pipeline.storage.contacts import (
    Contact,
    contacts,
    marked_since,
    record_assignments,
    record_contact,
    remove_contact,
)
from pipeline.storage.history import open_existing_history, recorded_history
from pipeline.web.request_rows import MAX_FORM_BYTES, RequestError, parse_json
from pipeline.web.state import ServerState, get_state
from pipeline.web.writes import check_write

MAX_CONTACTS = 1_000  # of one request
UNDO_SHOWN, MAX_UNDO = timedelta(minutes=5), 3  # beside the list

contact_forms = Blueprint("contact_forms", __name__)


@dataclass(frozen=True)
class RecordedContact:
    """A contact that is on record."""

    id: int
    client: str
    date: str
    channel: str
    note: str
    result: str
    by: str
    source: str
    recorded_at: str


def as_recorded(contact: Contact) -> RecordedContact:
    """A contact as the API answers it."""
    return RecordedContact(
        *(contact.id, contact.client, contact.day, contact.channel, contact.note, contact.result),
        *(contact.by_whom, contact.source, contact.recorded_at),
    )


def contacts_of(client: str | None) -> list[Contact]:
    """The contacts of a client, or all, newest first."""
    state = get_state()
    name = None if client is None else state.config.schema.asked_client(client)
    with recorded_history(state.config.history_path) as history:
        return contacts(history, name)


def contacts_of_request() -> list[Contact]:
    """Record the contact, or contacts, that the JSON of a request says; all of them or none."""
    request.max_content_length = 2**20
    asked = parse_json(request.get_data())
    given = asked if isinstance(asked, list) else [asked]
    if not 0 < len(given) <= MAX_CONTACTS:
        raise RequestError(422, f"expected 1 to {MAX_CONTACTS:,} contacts")
    found = []
    for number, values in enumerate(given, start=1):
        if not isinstance(values, dict) or not all(isinstance(v, str) for v in values.values()):
            raise RequestError(422, f"contact {number} must be an object of texts")
        if unknown := [key for key in values if key not in COLUMNS]:
            known = ", ".join(COLUMNS)
            raise RequestError(422, f"contact {number} has unknown keys {unknown}; known: {known}")
        found.append(_checked(values, "api", f"contact {number}: "))
    return _record(found)


def _checked(values: dict[str, str], source: str, what: str = "") -> Contact:
    """A contact that these texts say; `by` is by default the name that the browser sent."""
    signed = request.authorization
    user = (signed.username or "") if signed and signed.type == "basic" else ""
    try:
        return contact_of(
            {**values, "by": values.get("by") or user}, get_state().config.schema, source
        )
    except ValueError as error:
        raise RequestError(422, f"{what}{error}") from None


def _record(found: list[Contact]) -> list[Contact]:
    check_write()
    state = get_state()
    if state.config.engine:
        raise RequestError(404, "contacts are not kept where Spark does the work")
    rules, ranking = state.config.contact_rules, None
    with suppress(HistoryError):  # of a client that is not ranked, rows tell
        ranking = state.ranking.ranking()
    ranked = set() if ranking is None else {*ranking["client"]}
    for contact in found:
        if contact.client not in ranked and not _is_known(state, contact.client):
            raise RequestError(404, "no client of that name is on record")
    with recorded_history(state.config.history_path) as history, history.transaction():
        if ranking is not None:  # who is on the list, or left alone, before a contact changes that
            known = contact_state(history, rules, date.today())
            record_assignments(history, new_assignments(ranking, rules, known))
        return [record_contact(history, contact) for contact in found]


def _is_known(state: ServerState, client: str) -> bool:
    """Whether there is a row of a client."""
    config = state.config
    with recorded_history(config.history_path) as history:
        rows = open_rows(config.finaldata_path, config.schema, history)
        return rows_of_client(rows, client, 1).total > 0


@contact_forms.post("/client/contact")
def record() -> AnyResponse:
    """Record a contact that a form of the page says, and go back."""
    request.max_content_length = MAX_FORM_BYTES
    values = {name: request.form.get(name, "")[: MAX_TEXT + 1] for name in COLUMNS}
    (contact,) = _record([_checked(values, "page")])
    return _back(contact.client)


@contact_forms.post("/client/undo")
def undo() -> AnyResponse:
    """Take back a contact that was recorded on the page or through the API, and go back."""
    check_write()
    request.max_content_length = MAX_FORM_BYTES
    number = request.form.get("id", "")
    state = get_state()
    client = state.config.schema.asked_client(request.form.get("client", ""))
    with recorded_history(state.config.history_path) as history:
        if not (number.isascii() and number.isdigit() and len(number) < 16):
            raise RequestError(400, "id must be the number of a contact")
        if not remove_contact(history, int(number), client):
            raise RequestError(404, "there is no such contact: it may be taken back already")
    return _back(client)


def _back(client: str) -> AnyResponse:
    """To the page that the form was on: the list, with its filters, or the client's."""
    asked = request.form.get("back", "")
    if asked.startswith("?") and asked.isprintable():
        return redirect(f"../{asked}#clients", 303, Response)
    return redirect(f"../client?{urlencode({'name': client})}#contacts", 303, Response)


def about_contacts(client: str) -> dict[str, object]:
    """What the page of a client shows of its contacts, and the form for a new one begins with."""
    return {
        "marks": get_state().config.engine is None,
        "contacts": contacts_of(client),
        "today": date.today().isoformat(),
    }


def about_marks() -> dict[str, object]:
    """What the list shows of contacts: whether to mark clients, and who was marked just now."""
    state = get_state()
    since = (datetime.now(UTC) - UNDO_SHOWN).strftime("%Y-%m-%dT%H:%M:%S")
    history = open_existing_history(state.config.history_path)
    with history or nullcontext():
        marked = marked_since(history, since, MAX_UNDO) if history else []
    return {"marks": state.config.engine is None, "marked": marked}
