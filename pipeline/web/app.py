"""The Flask application: its blueprints, and what all answers share (token, limits, headers)."""

import logging
import re
import socket
import sqlite3
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from threading import Timer
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from flask import Flask, Response, jsonify, request
from gunicorn.http.errors import ParseException
from markupsafe import escape
from werkzeug.exceptions import HTTPException
from werkzeug.routing import BaseConverter
from werkzeug.wrappers import Response as AnyResponse

from pipeline.core.config import Config
from pipeline.core.errors import DataError, HistoryError, NotRecordedError, PipelineError
from pipeline.storage.history import one_connection
from pipeline.web.api import api
from pipeline.web.auth import TOKEN_VARIABLE, authorized, is_loopback
from pipeline.web.contact_views import contact_forms
from pipeline.web.pages import PAGES, page, pages
from pipeline.web.request_rows import MAX_BYTES, RequestError
from pipeline.web.state import KEY, new_state

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

log = logging.getLogger(__name__)

BASIC = 'Basic realm="Clients about to leave: the token is the password", charset="UTF-8"'
OPEN = "/health"  # asked by monitors, which hold no token
BODY_SECONDS = 60.0  # within which a body has to come
OURS = {  # what is answered to errors that are no fault of the request
    NotRecordedError: "not recorded yet: run the pipeline first",
    HistoryError: "the records cannot be read; the server's log says why",
    DataError: "the test data cannot be used; the server's log says why",
}
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


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
    app.extensions[KEY] = state = new_state(config)
    app.register_blueprint(api)
    app.register_blueprint(pages)
    app.register_blueprint(contact_forms)

    @app.before_request
    def check_who_asks() -> None:
        sent = request.headers.get("Authorization")
        if not state.token:
            _check_host()
        elif request.path != OPEN and not authorized(sent, state.token):
            raise RequestError(401, "send the API's token: Authorization: Bearer …")

    app.after_request(_finish(config))
    app.wsgi_app = _within_limits(app.wsgi_app)  # type: ignore[assignment, method-assign]
    app.register_error_handler(HTTPException, _http_error)
    # a chunked body that gunicorn finds broken while it is read
    app.register_error_handler(ParseException, lambda _: _error("the body is broken", 400))
    app.register_error_handler(PipelineError, _pipeline_error)
    app.register_error_handler(OSError, _system_error)
    app.register_error_handler(sqlite3.Error, _system_error)
    return app


def _check_host() -> None:
    """Refuse names that are not loopback's: a page of another site could read by its own name."""
    name = urlsplit(f"//{request.host}").hostname or ""
    if not is_loopback(name):
        raise RequestError(
            421, f"without a token this server answers to localhost only: set {TOKEN_VARIABLE}"
        )


def _finish(config: Config) -> Callable[[Response], Response]:
    """Add the security headers, and leave out of texts in which folders of this machine things are.

    Messages that are on record may name a file by its whole path, as may those of the system.
    """
    paths = [config.root, *(path for path in vars(config).values() if isinstance(path, Path))]
    folders = {f"{folder}/" for path in paths if len((folder := path.parent).parts) > 1}
    folders.add(f"{config.root}/")
    found = sorted({*folders, *(str(escape(folder)) for folder in folders)}, key=len, reverse=True)
    texts = [text.encode() for text in found]

    def finish(response: Response) -> Response:
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)  # a page has a policy of its own
        if response.mimetype in ("text/html", "application/json"):
            content = response.get_data()
            if any(text in content for text in texts):
                response.set_data(re.sub(b"|".join(map(re.escape, texts)), b"", content))
        return response

    return finish


def _within_limits(answering: "WSGIApplication") -> "WSGIApplication":
    """A request has one connection to the history, and its body a limit of time.

    A body that comes too slowly is cut off there: else a few clients who send a byte now and then
    would keep all threads.
    """

    def answer(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        channel = environ.get("gunicorn.socket") or environ.get("werkzeug.socket")
        sends = environ.get("CONTENT_LENGTH", "0") != "0" or "HTTP_TRANSFER_ENCODING" in environ
        with one_connection():
            if not (sends and channel):
                return answering(environ, start_response)
            late = Timer(BODY_SECONDS, _stop_reading, [channel])
            late.daemon = True
            late.start()
            try:
                return answering(environ, start_response)
            finally:
                late.cancel()

    return answer


def _stop_reading(channel: socket.socket) -> None:
    log.warning("a body did not come within %.0f seconds", BODY_SECONDS)
    with suppress(OSError):  # it may be closed by now
        channel.shutdown(socket.SHUT_RD)


def _http_error(error: HTTPException) -> AnyResponse:
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


def _pipeline_error(error: PipelineError) -> Response:
    """A fault of the request with its message; one of ours without our paths."""
    if isinstance(error, RequestError):
        answer = _error(str(error), error.status)
        if error.status == 401:
            answer.headers["WWW-Authenticate"] = BASIC if _by_browser() else "Bearer"
        return answer
    log.error("%s %r: %s", request.method, request.path, error)
    for kind, message in OURS.items():
        if isinstance(error, kind):
            return _error(message, 503)
    return _error("no release is live", 503)


def _system_error(error: OSError | sqlite3.Error) -> Response:
    """A file of ours that cannot be read, or a history that is locked or damaged."""
    log.error("%s %r: %r", request.method, request.path, error)
    return _error("the data cannot be read; the server's log says why", 503)
