"""The Flask application: its blueprints, and what all answers share (token, errors, headers)."""

import logging
import sqlite3
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from flask import Flask, Response, jsonify, request
from gunicorn.http.errors import ParseException
from werkzeug.exceptions import HTTPException, MethodNotAllowed
from werkzeug.routing import BaseConverter
from werkzeug.wrappers import Response as AnyResponse

from pipeline.core.config import Config
from pipeline.core.errors import DataError, HistoryError, NotRecordedError, PipelineError
from pipeline.web.api import api
from pipeline.web.auth import HEADERS, api_token, authorized
from pipeline.web.contact_views import contact_forms
from pipeline.web.pages import PAGES, page, pages
from pipeline.web.request_rows import MAX_BYTES, RequestError
from pipeline.web.state import KEY, new_state
from pipeline.web.writes import check_host

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

log = logging.getLogger(__name__)

BASIC = 'Basic realm="Clients about to leave: the token is the password", charset="UTF-8"'
OPEN = "/health"  # asked by monitors, which hold no token


class AnyText(BaseConverter):
    """The rest of a path, slashes included: a client's name may hold them."""

    regex = ".+"
    part_isolating = False


def create_app(config: Config) -> Flask:
    """The application that serves a config.

    It answers from the release that is live, and follows a redeploy without a restart.
    """
    app = Flask(__name__, static_folder=None)
    app.config["DEBUG"] = False  # whatever FLASK_DEBUG says: nobody is to see a traceback
    app.config["MAX_CONTENT_LENGTH"] = MAX_BYTES
    app.config["MAX_FORM_PARTS"] = 10
    app.url_map.converters["text"] = AnyText
    app.extensions[KEY] = new_state(config)
    app.register_blueprint(api)
    app.register_blueprint(pages)
    app.register_blueprint(contact_forms)
    if token := api_token():
        _ask_for_token(app, token)
    else:
        app.before_request(check_host)
    app.wsgi_app = _with_headers(app.wsgi_app)  # type: ignore[assignment, method-assign]
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(ParseException, _body_error)
    app.register_error_handler(PipelineError, _pipeline_error)
    app.register_error_handler(OSError, _system_error)
    app.register_error_handler(sqlite3.Error, _system_error)
    return app


def _ask_for_token(app: Flask, token: str) -> None:
    @app.before_request
    def ask_for_token() -> None:
        if request.path != OPEN and not authorized(request.headers.get("Authorization"), token):
            raise RequestError(401, "send the API's token: Authorization: Bearer …")


def _with_headers(answering: "WSGIApplication") -> "WSGIApplication":
    """Add the security headers to all answers, as WSGI middleware, which costs least."""
    added = list(HEADERS.items())

    def answer(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        def start(
            status: str, headers: list[tuple[str, str]], *error: Any
        ) -> Callable[[bytes], object]:
            own = {name for name, _ in headers}  # a page has a policy of its own
            more = [header for header in added if header[0] not in own]
            return start_response(status, headers + more, *error)

        return answering(environ, start)

    return answer


def _http_error(error: HTTPException) -> AnyResponse:
    if isinstance(error, MethodNotAllowed):
        error.valid_methods = sorted(error.valid_methods or ())
    answer, response = _error(error.description or error.name), error.get_response()
    response.set_data(answer.get_data())  # its headers stay, such as Allow
    response.content_type = answer.content_type
    if policy := answer.headers.get("Content-Security-Policy"):  # of a page
        response.headers["Content-Security-Policy"] = policy
    return response


def _error(message: str, status: int = 200) -> Response:
    """An error: a page for a browser that asked for one, else JSON."""
    if _by_browser():
        answer = page("problem.html", title="That did not work", message=message)
    else:
        answer = jsonify(error=message)
    answer.status_code = status
    return answer


def _by_browser() -> bool:
    # `best` would be what a browser's list names most exactly, which need not be what it likes best
    liked = request.accept_mimetypes.best_match(["application/json", "text/html"])
    return request.path in PAGES and liked == "text/html"


def _body_error(_: ParseException) -> Response:
    """A chunked body that gunicorn finds broken while it is read."""
    return _error("the body is broken", 400)


def _pipeline_error(error: PipelineError) -> Response:
    """A fault of the request with its message; one of ours without our paths."""
    if isinstance(error, RequestError):
        answer = _error(str(error), error.status)
        if error.status == 401:
            answer.headers["WWW-Authenticate"] = BASIC if _by_browser() else "Bearer"
        return answer
    log.error("%s %r: %s", request.method, request.path, error)
    if isinstance(error, NotRecordedError):
        return _error("not recorded yet: run the pipeline first", 503)
    if isinstance(error, HistoryError):
        return _error("the records cannot be read; the server's log says why", 503)
    if isinstance(error, DataError):
        return _error("the test data cannot be used; the server's log says why", 503)
    return _error("no release is live", 503)


def _system_error(error: OSError | sqlite3.Error) -> Response:
    """A file of ours that cannot be read, or a history that is locked or damaged."""
    log.error("%s %r: %r", request.method, request.path, error)
    return _error("the data cannot be read; the server's log says why", 503)
