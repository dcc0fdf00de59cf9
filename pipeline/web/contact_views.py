"""Contacts through the API and by the forms of the page: written without the run lock.

Who may write are this server's own pages, and programs; never pages of other sites. A page of
another site that somebody has open can send requests here, with the password that the browser
knows. Browsers say where a request comes from, in `Sec-Fetch-Site` or `Origin`; programs say
nothing.
"""

from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any
from urllib.parse import urlencode

import msgspec
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
from pipeline.web.request_rows import MAX_FORM_BYTES, RequestError, parse_json
from pipeline.web.state import get_state

MAX_CONTACTS = 1_000  # of one request
UNDO_SHOWN, MAX_UNDO = timedelta(minutes=5), 3  # beside the list

_Limited = Annotated[str, msgspec.Meta(max_length=MAX_TEXT)]
GivenContact = msgspec.defstruct(
    "GivenContact",
    [("client", _Limited), *((name, _Limited, "") for name in COLUMNS if name != "client")],
    forbid_unknown_fields=True,
)
_Some = Annotated[list[GivenContact], msgspec.Meta(min_length=1, max_length=MAX_CONTACTS)]  # type: ignore[valid-type]
GIVEN: Any = GivenContact | _Some  # what the API is sent

contact_forms = Blueprint("contact_forms", __name__)


class RecordedContact(msgspec.Struct, rename={"day": "date", "by_whom": "by"}):
    """A contact that is on record."""

    id: int
    client: str
    day: str
    channel: str
    note: str
    result: str
    by_whom: str
    source: str
    recorded_at: str


def as_recorded(contact: Contact) -> RecordedContact:
    """A contact as the API answers it."""
    return msgspec.convert(contact, RecordedContact, from_attributes=True)


def check_write() -> None:
    """Raise `RequestError` if a page of another site sent this request."""
    site, origin = request.headers.get("Sec-Fetch-Site"), request.headers.get("Origin")
    own = origin is None or origin.partition("://")[2] == request.host
    if site in ("same-origin", "none") or (site is None and own):
        return
    raise RequestError(
        403,
        "the request comes from a page of another site; if it does not, have the proxy in between"
        " hand on the header Host",
    )


def contacts_of(client: str | None) -> list[Contact]:
    """The contacts of a client, or all, newest first."""
    state = get_state()
    name = None if client is None else state.config.schema.asked_client(client)
    return contacts(state.records(), name)


def contacts_of_request() -> list[Contact]:
    """Record the contact, or contacts, that the JSON of a request says; all of them or none."""
    request.max_content_length = 2**20
    try:
        given = msgspec.convert(parse_json(request.get_data()), GIVEN)
    except ValueError as error:
        raise RequestError(422, f"the contacts: {error}") from None
    texts = map(msgspec.structs.asdict, given if isinstance(given, list) else [given])
    return _record(
        [_checked(each, "api", f"contact {number}: ") for number, each in enumerate(texts, start=1)]
    )


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
    config = state.config
    if config.engine:
        raise RequestError(404, "contacts are not kept where Spark does the work")
    ranking, ranked = None, set()
    with suppress(HistoryError):  # of a client that is not ranked, rows tell
        ranking = state.ranking.ranking()
        ranked = {*ranking["client"]}
    history = state.records()
    for name in {contact.client for contact in found} - ranked:
        rows = open_rows(config.finaldata_path, config.schema, history)
        if not rows_of_client(rows, name, 1).total:
            raise RequestError(404, "no client of that name is on record")
    with history.transaction():
        if ranking is not None:  # who is on the list before a contact changes that
            rules = config.contact_rules
            known = contact_state(history, rules, date.today())
            record_assignments(history, new_assignments(ranking, rules, known))
        return [record_contact(history, contact) for contact in found]


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
    if not (number.isascii() and number.isdigit() and len(number) < 16):
        raise RequestError(400, "id must be the number of a contact")
    if not remove_contact(state.records(), int(number), client):
        raise RequestError(404, "there is no such contact: it may be taken back already")
    return _back(client)


def _back(client: str) -> AnyResponse:
    """To the page that the form was on: the list, with its filters, or the client's."""
    asked = request.form.get("back", "")
    if asked.startswith("?") and asked.isprintable():
        return redirect(f"../{asked}#clients", 303, Response)
    return redirect(f"../client?{urlencode({'name': client})}#contacts", 303, Response)


def about_marks() -> dict[str, object]:
    """What the list shows of contacts: whether to mark clients, and who was marked just now."""
    state = get_state()
    since = (datetime.now(UTC) - UNDO_SHOWN).strftime("%Y-%m-%dT%H:%M:%S")
    history = state.history()
    marked = marked_since(history, since, MAX_UNDO) if history else []
    return {"marks": state.config.engine is None, "marked": marked}
