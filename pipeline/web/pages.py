"""The page for people at `/`, one client's page, and scoring a file, beside the API."""

import logging
from functools import partial
from pathlib import Path

from flask import Flask, Response, request
from markupsafe import Markup

from pipeline.core.cache import KeyedCache
from pipeline.core.config import REPORT_FORMATS, Config
from pipeline.core.errors import HistoryError, NotRecordedError
from pipeline.ranking.current_ranking import CurrentRanking, file_stamp, history_stamp
from pipeline.ranking.ranking_file import BANDS
from pipeline.ranking.rankingreader import ranking_to_dicts
from pipeline.registry.live_model import LiveModel
from pipeline.reporting.document import Section
from pipeline.reporting.overview import current_state, page_sections, readable_release
from pipeline.reporting.rendering import rendered, static
from pipeline.web.api_docs import documented
from pipeline.web.client_views import listing, query_of
from pipeline.web.clientpage import client_record
from pipeline.web.openapi import description
from pipeline.web.request_rows import MOST_BYTES, RequestError
from pipeline.web.score_upload import score_file, scored_csv, scored_grids, scored_words

log = logging.getLogger("app")

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


def open_pages(app: Flask, config: Config, live: LiveModel, latest: CurrentRanking) -> None:
    """Serve the pages of a config."""
    _serve_overview(app, config, live, latest)
    _serve_client(app, config, latest)
    _serve_scoring(app, config, live)
    _serve_files(app, config)
    app.get("/docs", endpoint="docs")(
        lambda: page("docs.html", **documented(description(config.schema)))
    )
    for name in TYPES:
        app.get(f"/{name}", endpoint=name)(partial(_static, name))


def _serve_overview(app: Flask, config: Config, live: LiveModel, latest: CurrentRanking) -> None:
    kept = KeyedCache[tuple[tuple[Section, ...], str]]()

    @app.get("/")
    def overview() -> Response:
        sections, told = kept.get(_state(config), lambda: _rendered_sections(config, latest))
        return page(
            "index.html",
            state=current_state(config, latest, live),
            **_listed(latest),
            bands=BANDS,
            contents=[(section.key, section.title) for section in sections],
            sections=Markup(told),
            reports=[
                kind
                for kind in REPORT_FORMATS
                if (config.output_model_path / f"report.{kind}").is_file()
            ],
            features=", ".join(config.schema.features),
        )

    @app.get("/clients")
    def clients() -> Response:
        found = listing(latest.ranking(), query_of(request.args.to_dict()))
        return page("clients.html", listing=found, bands=BANDS)


def _state(config: Config) -> tuple[object, ...]:
    """What tells one state of all that the sections are made of from another."""
    release = readable_release(config)
    written = map(file_stamp, (config.clientrisk_path, config.movers_path))
    return (release.id if release else None, history_stamp(config.history_path), *written)


def _rendered_sections(config: Config, latest: CurrentRanking) -> tuple[tuple[Section, ...], str]:
    sections = page_sections(config, latest)
    return sections, rendered("sections.html", sections=sections)


def _listed(latest: CurrentRanking) -> dict[str, object]:
    """The part of the ranking that is asked for, or why there is none."""
    query = query_of(request.args.to_dict())
    try:
        return {"listing": listing(latest.ranking(), query), "unlisted": ""}
    except NotRecordedError:
        why = "No ranking has been written yet: run python fullprocess.py."
    except HistoryError as error:
        log.error("%s", error)
        why = "The ranking is not as it was written: run python reporting.py."
    return {"listing": None, "unlisted": why}


def _serve_client(app: Flask, config: Config, latest: CurrentRanking) -> None:
    @app.get("/client")
    def client() -> Response:
        name = request.args.get("name", "")
        ranking = latest.ranking()
        found = ranking[ranking["client"] == name]
        if not (record := client_record(config, readable_release(config), name)):
            raise RequestError(404, "no client of that name is on record")
        return page(
            "client.html",
            name=name,
            row=None if found.empty else ranking_to_dicts(found)[0],
            total=len(ranking),
            record=record,
        )


def _serve_scoring(app: Flask, config: Config, live: LiveModel) -> None:
    @app.post("/score")
    def score() -> Response:
        served = live.get()
        if "file" not in request.files or not (upload := request.files["file"]).filename:
            raise RequestError(400, "choose a CSV file first")
        with upload.stream as stream:
            content = stream.read(MOST_BYTES)
        rows = score_file(content, served, config)
        if request.form.get("as") == "csv":
            return _download("".join(scored_csv(rows)), "scored.csv")
        return page("scored.html", lead=scored_words(rows, served), tables=scored_grids(rows))


def _serve_files(app: Flask, config: Config) -> None:
    models = config.output_model_path

    @app.get("/ranking.csv")
    def ranking_csv() -> Response:
        return _file(config.clientrisk_path, "text/csv; charset=utf-8", "clientrisk.csv")

    @app.get("/report")
    def report() -> Response:
        answer = _file(models / "report.html", "text/html; charset=utf-8")
        answer.headers["Content-Security-Policy"] = REPORT_POLICY
        return answer

    @app.get("/report.pdf")
    def report_pdf() -> Response:
        return _file(models / "report.pdf", "application/pdf", "report.pdf")


def page(template: str, **values: object) -> Response:
    """A page for people, under the policy of pages."""
    answer = Response(rendered(template, **values), content_type="text/html; charset=utf-8")
    answer.headers["Content-Security-Policy"] = POLICY
    return answer


def _static(name: str) -> Response:
    return Response(static(name), content_type=TYPES[name])


def _file(path: Path, content_type: str, download: str | None = None) -> Response:
    """A file that the last run wrote; raises `RequestError` if it has not."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise RequestError(404, "no run has written this yet") from None
    return _named(Response(content, content_type=content_type), download)


def _download(text: str, name: str) -> Response:
    return _named(Response(text, content_type="text/csv; charset=utf-8"), name)


def _named(answer: Response, download: str | None) -> Response:
    if download:
        answer.headers["Content-Disposition"] = f'attachment; filename="{download}"'
    return answer
