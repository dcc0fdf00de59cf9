"""The pages for people: the overview at `/`, one client, a scored file, the docs of the API."""

import logging
from functools import partial
from pathlib import Path

from flask import Blueprint, Response, request
from markupsafe import Markup

from pipeline.core.config import REPORT_FORMATS, Config
from pipeline.core.errors import HistoryError, NotRecordedError
from pipeline.ranking.current_ranking import file_stamp, history_stamp
from pipeline.ranking.ranking_file import BANDS, ranking_text, ranking_to_dicts
from pipeline.registry.releases import Release
from pipeline.reporting.document import Section
from pipeline.reporting.html import rendered, static
from pipeline.reporting.overview import page_health, page_sections, readable_release
from pipeline.web.api import api_description
from pipeline.web.api_docs import example, shape
from pipeline.web.client_views import (
    CSV,
    Query,
    client_record,
    find_clients,
    listing,
    query_of,
    score_file,
    scored_csv,
    scored_grids,
    scored_sentence,
)
from pipeline.web.request_rows import MAX_BYTES, RequestError
from pipeline.web.state import ServerState, get_state

log = logging.getLogger(__name__)

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
    *("/", "/client", "/clients", "/score", "/docs"),
    *("/ranking.csv", "/report", "/report.pdf"),
)
TYPES = {"page.css": "text/css; charset=utf-8", "page.js": "text/javascript; charset=utf-8"}


pages = Blueprint("pages", __name__)


@pages.get("/")
def overview() -> Response:
    """The state of the system, the list of clients, and what led to it."""
    state = get_state()
    config = state.config
    release = readable_release(config)
    ranking, history = file_stamp(config.clientrisk_path), history_stamp(config.history_path)
    sections, html = state.sections.get(
        (release and release.id, ranking, history), lambda: _rendered_sections(state)
    )
    return page(
        "index.html",
        state=page_health(config, state.ranking, state.live),
        **_listed(state),
        **_about_risk(config, release),
        contents=[(section.key, section.title) for section in sections],
        sections=Markup(html),
        reports=[
            kind
            for kind in REPORT_FORMATS
            if (config.output_model_path / f"report.{kind}").is_file()
        ],
        features=", ".join(config.schema.features),
    )


def _rendered_sections(state: ServerState) -> tuple[tuple[Section, ...], str]:
    sections = page_sections(state.config, state.ranking)
    return sections, rendered("sections.html", sections=sections)


def _listed(state: ServerState) -> dict[str, object]:
    """The part of the ranking that is asked for, or why there is none."""
    query = _query(state)
    try:
        return {"listing": listing(state.ranking.ranking(), query), "unlisted": ""}
    except NotRecordedError:
        why = "No ranking has been written yet: run python fullprocess.py."
    except HistoryError as error:
        log.error("%s", error)
        why = "The ranking is not as it was written: run python reporting.py."
    return {"listing": None, "unlisted": why}


def _query(state: ServerState) -> Query:
    """The part of the ranking that is asked for; what is left empty in a form asks for nothing."""
    given = {name: text for name, text in request.args.items() if text}
    return query_of(given, state.config.schema)


@pages.get("/clients")
def clients() -> Response:
    """The list of clients alone."""
    state = get_state()
    return page(
        "clients.html",
        listing=listing(state.ranking.ranking(), _query(state)),
        **_about_risk(state.config, readable_release(state.config)),
    )


def _about_risk(config: Config, release: Release | None) -> dict[str, object]:
    """What a ranked client is shown with: bands, horizon, and the columns that no model sees."""
    return {
        "bands": BANDS,
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
    config = state.config
    rows = score_file(content, live, config.schema, config.labels, config.reasons_from)
    if request.form.get("as") == "csv":
        return _answer("".join(scored_csv(rows)), CSV, "scored.csv")
    return page("scored.html", lead=scored_sentence(rows, live), tables=scored_grids(rows))


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
    """The report as PDF, as a download."""
    path = get_state().config.output_model_path / "report.pdf"
    return _file(path, "application/pdf", "report.pdf")


@pages.get("/docs")
def docs() -> Response:
    """The description of the API."""
    described = api_description(get_state().config.schema)
    return page("docs.html", api=described, shape=shape, example=example)


def _static(name: str) -> Response:
    return Response(static(name), content_type=TYPES[name])


for _name in TYPES:
    pages.add_url_rule(f"/{_name}", _name.replace(".", "_"), partial(_static, _name))


def page(template: str, **values: object) -> Response:
    """A page for people, under the policy of pages."""
    answer = Response(rendered(template, **values), content_type="text/html; charset=utf-8")
    answer.headers["Content-Security-Policy"] = POLICY
    return answer


def _file(path: Path, content_type: str, download: str | None = None) -> Response:
    """A file that the last run wrote; raises `RequestError` if it has not."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise RequestError(404, "no run has written this yet") from None
    return _answer(content, content_type, download)


def _answer(content: bytes | str, content_type: str, download: str | None) -> Response:
    answer = Response(content, content_type=content_type)
    if download:
        answer.headers["Content-Disposition"] = f'attachment; filename="{download}"'
    return answer
