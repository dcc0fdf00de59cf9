"""The pages for people: clients at `/`, the model, operations, one client, the docs of the API."""

import logging
from collections.abc import Sequence
from contextlib import suppress
from datetime import date
from pathlib import Path

from flask import Blueprint, Response, redirect, request
from markupsafe import Markup
from werkzeug.wrappers import Response as AnyResponse

from pipeline.action.current_ranking import file_stamp, history_stamp
from pipeline.core.config import Config
from pipeline.core.errors import HistoryError, ModelError, ReleaseError
from pipeline.ranking.ranking_file import BANDS, ranking_text, ranking_to_dicts
from pipeline.registry.releases import Release, live_id
from pipeline.reporting.document import Fact, Section
from pipeline.reporting.health import risk_facts
from pipeline.reporting.html import rendered, static
from pipeline.reporting.overview import (
    card_of,
    model_sections,
    operations_sections,
    page_health,
    readable_release,
)
from pipeline.reporting.report_files import CONTENT
from pipeline.reporting.report_files import report_pdf as make_pdf
from pipeline.reporting.tables import MAX_MOVERS
from pipeline.storage.database import History
from pipeline.storage.held_files import held_files
from pipeline.storage.records import Compared, held_challenger
from pipeline.storage.work_requests import Action, ask, last_requests, undo, waiting_requests
from pipeline.web.api import api_description
from pipeline.web.client_views import (
    CSV,
    SHOWN,
    STATUSES,
    Query,
    client_record,
    find_clients,
    listing,
    newly_high,
    parameters,
    score_file,
    scored_csv,
    scored_result,
    what_if,
)
from pipeline.web.contact_views import about_marks, check_write, contacts_of
from pipeline.web.request_rows import MAX_BYTES, RequestError
from pipeline.web.state import ServerState, get_state

log = logging.getLogger(__name__)

MAX_REQUESTS = 5  # that were carried out
MAX_USER = 200  # characters
SINCE = "since the previous ranking"
UNRANKED = "No ranking has been written yet: run python fullprocess.py."
NOT_THERE = "it is not there: the next run with work writes it, and python reporting.py"
UNLISTED = "The ranking is not as it was written: run python reporting.py."

# of pages: only what this server gives, and nothing inline
POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src data:; connect-src 'self';"
    " form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
# of the report, which carries its own sheet and no script
REPORT_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none';"
    " form-action 'none'; frame-ancestors 'none'"
)
PAGES = (  # asked for by people
    *("/", "/model", "/operations", "/operations/requests"),
    *("/client", "/client/contact", "/client/undo", "/clients", "/score", "/docs"),
    *("/ranking.csv", "/report", "/report.pdf"),
)
TYPES = {"page.css": "text/css; charset=utf-8", "page.js": "text/javascript; charset=utf-8"}


pages = Blueprint("pages", __name__)


@pages.get("/")
def todays_list() -> Response:
    """Whom to contact, who is new and who moved."""
    state = get_state()
    release = readable_release(state.config)
    health, risks = page_health(state.config, state.ranking, state.live)
    facts, moved = list[Fact](), list[tuple[str, Sequence[object], int]]()
    with suppress(HistoryError):  # the health says so
        facts += risk_facts(risks, release.horizon_days if release else None) if risks else []
        if changes := state.ranking.changes():
            new = newly_high(changes, state.config.risk_bands.high)
            facts.append(Fact("New at high risk", f"{len(new):,}", SINCE))
            movers = state.ranking.movers()
            moved += [
                ("New at high risk", new[:MAX_MOVERS], len(new)),
                ("Largest increases", movers.rose[:MAX_MOVERS], movers.all_rose),
                ("Largest decreases", movers.fell[:MAX_MOVERS], movers.all_fell),
            ]
    why = "" if risks else UNLISTED if file_stamp(state.config.clientrisk_path) else UNRANKED
    around = _list(state, release) if risks else {"listing": None}
    return page("index.html", state=health, unlisted=why, facts=facts, moved=moved, **around)


@pages.get("/clients")
def clients() -> Response:
    """The list of clients alone."""
    state = get_state()
    return page("clients.html", **_list(state, readable_release(state.config)))


def _list(state: ServerState, release: Release | None) -> dict[str, object]:
    """The part of the ranking that is asked for."""
    found = listing(state.ranking.ranking(), _query(state, contact="yes"))
    return {"listing": found, **about_marks(), **_about_risk(state.config, release)}


def _query(state: ServerState, **defaults: str) -> Query:
    """The part of the ranking that is asked for; what is left empty in a form asks for nothing."""
    given = {name: text for name, text in request.args.items() if text}
    return parameters(Query, {**defaults, **given}, state.config.schema)


@pages.get("/model")
def model() -> Response:
    """Scores, drift, releases side by side, and what makes one client's risk."""
    state = get_state()
    config = state.config
    release, ranking = readable_release(config), file_stamp(config.clientrisk_path)
    key = (release and release.id, ranking, history_stamp(config.history_path))
    html = state.kept["model"].get(
        key, lambda: _sections(model_sections(config, state.ranking, state.current_effect))
    )
    name, found, why = config.schema.asked_client(request.args.get("client", "")), None, ""
    if name:
        try:
            found = what_if(config, state.live.get(), name, request.args)
            why = "" if found else "No client of that name is on record."
        except (ModelError, ReleaseError) as error:
            log.error("%s", error)
            why = "No release can be asked."
    return page(
        "model.html",
        sections=html,
        card=card_of(release) if release else "",
        features=", ".join(config.schema.features),
        client=name,
        found=found,
        why=why,
    )


def _sections(sections: tuple[Section, ...]) -> Markup:
    return Markup(rendered("sections.html", sections=sections))


@pages.get("/operations")
def operations() -> Response:
    """Runs, files, alerts and versions, and what waits for a decision."""
    state = get_state()
    config = state.config
    key = history_stamp(config.history_path)
    html = state.kept["operations"].get(key, lambda: _sections(operations_sections(config)))
    health, _ = page_health(config, state.ranking, state.live)
    history = state.history()
    return page(
        "operations.html",
        state=health,
        held=held_files(history) if history else (),
        challenger=_held_challenger(state, history) if history else None,
        waiting={one.what: one for one in waiting_requests(history)} if history else {},
        requests=last_requests(history, MAX_REQUESTS) if history else (),
        sections=html,
    )


def _held_challenger(state: ServerState, history: History) -> Compared | None:
    with suppress(ReleaseError):
        return held_challenger(history, live_id(state.config.prod_deployment_path))
    return None


@pages.post("/operations/requests")
def request_work() -> AnyResponse:
    """Record what somebody asks for, which the next run does, or take it back."""
    check_write()
    state = get_state()
    action, what = request.form.get("action", ""), request.form.get("what", "")
    signed = request.authorization  # a browser sends the user's name
    user = ((signed and signed.username) or "")[:MAX_USER]
    history = state.records()
    if action == "undo":
        number = int(what) if what.isascii() and what.isdigit() and len(what) < 10 else 0
        if not undo(history, number):
            raise RequestError(409, "a run has begun with this, or it was taken back before")
    elif action in (Action.ACCEPT, Action.FORGET, Action.PROMOTE):
        waits = [file.name for file in held_files(history)]
        if action == Action.PROMOTE:
            challenger = _held_challenger(state, history)
            waits = [challenger.challenger] if challenger and challenger.challenger else []
        if what not in waits:
            raise RequestError(409, "this does not wait for a decision, or not any more")
        ask(history, Action(action), what, user)
    else:
        raise RequestError(400, "action must be accept, forget, promote or undo")
    return redirect("../operations#decisions", 303)


def _about_risk(config: Config, release: Release | None) -> dict[str, object]:
    """What a ranked client is shown with: bands, horizon, and the columns that no model sees."""
    return {
        "bands": BANDS,
        "shown": SHOWN,
        "statuses": STATUSES,
        "horizon_days": release and release.horizon_days,
        "carried": {name: config.labels[name] for name in config.schema.carry},
    }


@pages.get("/client")
def client() -> Response:
    """One client."""
    state = get_state()
    name = state.config.schema.asked_client(request.args.get("name", ""))
    found, total = state.ranking.client(name)
    release = readable_release(state.config)
    if not (record := client_record(state.config, release, name)):
        raise RequestError(404, "no client of that name is on record")
    return page(
        "client.html",
        name=name,
        row=None if found.empty else ranking_to_dicts(found)[0],
        total=total,
        record=record,
        marks=state.config.engine is None,
        contacts=contacts_of(name),
        today=date.today().isoformat(),
        **_about_risk(state.config, release),
    )


@pages.post("/score")
def score() -> Response:
    """A client file, scored."""
    state = get_state()
    live = state.live.get()
    if "file" not in request.files or not (upload := request.files["file"]).filename:
        raise RequestError(400, "choose a CSV file first")
    with upload.stream as stream:
        content = stream.read(MAX_BYTES)
    rows = score_file(content, live, state.config)
    if request.form.get("as") == "csv":
        return _answer(scored_csv(rows), CSV, "scored.csv")
    lead, tables = scored_result(rows, live)
    return page("scored.html", lead=lead, tables=tables)


@pages.get("/ranking.csv")
def ranking_csv() -> Response:
    """The ranking, or the part of it that is asked for, as a download."""
    state = get_state()
    if not request.args:
        return _file(state.config.clientrisk_path, CSV, "clientrisk.csv")
    found = find_clients(state.ranking.ranking(), _query(state))
    return _answer(ranking_text(found), CSV, "clientrisk.csv")


@pages.get("/report")
def report() -> Response:
    """The report that the last run wrote."""
    path = get_state().config.output_model_path / "report.html"
    answer = _file(path, "text/html; charset=utf-8")
    answer.headers["Content-Security-Policy"] = REPORT_POLICY
    return answer


@pages.get("/report.pdf")
def report_pdf() -> Response:
    """The report of the last run as PDF, made when it is first asked for."""
    state = get_state()
    folder = state.config.output_model_path
    content = state.kept["report.pdf"].get(file_stamp(folder / CONTENT), lambda: make_pdf(folder))
    if content is None:
        raise RequestError(404, NOT_THERE)
    return _answer(content, "application/pdf", "report.pdf")


@pages.get("/docs")
def docs() -> Response:
    """The description of the API."""
    return page("docs.html", api=api_description(get_state().config.schema))


@pages.get("/page.css")
@pages.get("/page.js")
def static_file() -> Response:
    """What pages need."""
    name = request.path[1:]
    return Response(static(name), content_type=TYPES[name])


def page(template: str, **values: object) -> Response:
    """A page for people, under the policy of pages."""
    folder = get_state().config.output_model_path
    around = {
        "here": request.path,
        "root": "../" * (request.path.count("/") - 1) or "./",
        "reports": [name for name in ("report.html", CONTENT) if (folder / name).is_file()],
    }
    answer = Response(
        rendered(template, **around, **values), content_type="text/html; charset=utf-8"
    )
    answer.headers["Content-Security-Policy"] = POLICY
    return answer


def _file(path: Path, content_type: str, download: str | None = None) -> Response:
    """A file that the last run wrote; raises `RequestError` if it has not."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise RequestError(404, NOT_THERE) from None
    return _answer(content, content_type, download)


def _answer(content: bytes | str, content_type: str, download: str | None) -> Response:
    answer = Response(content, content_type=content_type)
    if download:
        answer.headers["Content-Disposition"] = f'attachment; filename="{download}"'
    return answer
