"""One client in JSON, answered at the door: most requests are that, and Flask takes longer to have
one brought in than it takes to predict it.

What is answered here is what `/prediction` would answer, to the byte. Any doubt (another path, a
larger body, a missing token, a value that is none, no release) leaves a request to the app, which
then finds it as it came.
"""

import io
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from flask import Flask

from pipeline.answers import one_prediction_json
from pipeline.core.errors import PipelineError
from pipeline.core.schema import Schema
from pipeline.models.scorer import ByNumbers
from pipeline.plainjson import read_one
from pipeline.registry.live_model import LiveModel
from pipeline.web.auth import api_token, authorized
from pipeline.web.request_rows import MOST_COLUMNS

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

MOST_BYTES = 4096  # beyond them it is hardly one client, and not read here
_HOST = re.compile(r"[\w.:-]+", re.ASCII)  # others are for the app to judge
_LENGTH = re.compile("[1-9][0-9]{0,3}")


def open_door(app: Flask, live: LiveModel, schema: Schema) -> None:
    """Answer single clients before an app is asked."""
    token = api_token()
    inside = app.wsgi_app

    def answer(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        body = _small_json(environ, token, app.config["MAX_CONTENT_LENGTH"])
        told = _told(body, live, schema) if body else None
        if told is None:
            return inside(environ, start_response)
        length = str(len(told))
        start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", length)])
        return [told]

    app.wsgi_app = answer  # type: ignore[method-assign]


def _small_json(environ: dict[str, Any], token: str | None, most: int) -> bytes | None:
    """The body of a request to predict that is small, whole and plainly right; else None."""
    length = environ.get("CONTENT_LENGTH", "")
    if (
        environ.get("PATH_INFO") != "/prediction"
        or environ["REQUEST_METHOD"] != "POST"
        or environ.get("CONTENT_TYPE") != "application/json"
        or "HTTP_TRANSFER_ENCODING" in environ
        or not _LENGTH.fullmatch(length)
        or int(length) >= min(MOST_BYTES, most)
        or not _HOST.fullmatch(environ.get("HTTP_HOST", ""))
        or (token and not authorized(environ.get("HTTP_AUTHORIZATION"), token))
    ):
        return None
    body: bytes = environ["wsgi.input"].read(int(length))
    environ["wsgi.input"] = io.BytesIO(body)  # if the app is asked after all
    return body if len(body) == int(length) else None


def _told(body: bytes, live: LiveModel, schema: Schema) -> bytes | None:
    row = read_one(body, schema, MOST_COLUMNS)
    if row is None:
        return None
    try:
        served = live.get()
    except (PipelineError, OSError):  # the app finds the same, and tells
        return None
    if not isinstance(served.scorer, ByNumbers):
        return None
    outcome, risk = served.scorer.score(row)
    return one_prediction_json(outcome, risk, served.release.id)
