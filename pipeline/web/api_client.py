"""Calling the API, of a server that runs or of one of our own, and keeping its answers.

The token goes only to a server that has proved to serve our release and to know the token, and
never over plain HTTP to another machine. Every exchange has a limit of time and one of size.
"""

import json
import logging
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import requests
from urllib3.exceptions import HTTPError
from werkzeug.serving import make_server

from pipeline.core.errors import PipelineError
from pipeline.core.files import write_atomic
from pipeline.core.limits import time_limit
from pipeline.data.input_files import list_input
from pipeline.registry.releases import Release, live_release
from pipeline.web.auth import TOKEN_VARIABLE, api_token, is_loopback, proof_of

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

SECONDS = 30.0
PROOF_SECONDS = 2.0
MAX_BYTES = 8 * 2**20  # of an answer


class ApiError(PipelineError):
    """The API cannot be reached, or does not answer as it should."""


@dataclass(frozen=True)
class Answer:
    """One call and what came back."""

    call: str
    status: int
    text: str
    body: dict[str, Any]


def call_api(
    url: str, filepath: str, production: Path, seconds: float = SECONDS
) -> tuple[Answer, ...]:
    """Make the four calls; `filepath` names the client file to predict.

    With a token, the server has to prove that it serves the release that is live in `production`.
    Raises `ApiError` if the server is not there, is too slow, or not one of ours. An error is an
    answer, too: `check` raises for it.
    """
    if token := api_token():
        prove(url, live_release(production), min(seconds, PROOF_SECONDS))
    return (
        _call("POST", f"{url}/prediction", seconds, token, {"filepath": filepath}),
        _call("GET", f"{url}/scoring", seconds, token),
        _call("GET", f"{url}/summarystats", seconds, token),
        _call("GET", f"{url}/diagnostics", seconds, token),
    )


def check(answer: Answer) -> None:
    """Raise `ApiError` if the answer is an error."""
    if answer.status >= 400:
        raise ApiError(f"{answer.call}: status {answer.status}: {answer.text[:200].strip()}")


def prove(url: str, release: Release, seconds: float = PROOF_SECONDS) -> None:
    """Raise `ApiError` unless the server may have our token, if there is one: it is not sent here.

    It has to answer a random text with what only those can work out who have the release's model
    and the token.
    """
    challenge, token = secrets.token_hex(16), api_token()
    answer = _call("GET", f"{url}/health?challenge={challenge}", seconds)
    if answer.body.get("proof") != proof_of(challenge, release.model.sha256, token):
        known = f" and knows {TOKEN_VARIABLE}" if token else ""
        raise ApiError(f"{url}: the server does not prove that it serves {release.id}{known}")
    place = urlsplit(url)
    if token and place.scheme != "https" and not is_loopback(place.hostname or ""):
        raise ApiError(f"{url}: the token is sent to another machine by https:// only")


def write_answers(answers: Sequence[Answer], path: Path) -> None:
    """Write the answers, each under its call, one key of the answer a line."""
    write_atomic(path, "\n".join(_format_answer(answer) for answer in answers))


def default_file(folder: Path) -> str:
    """The first client file of a folder, by its bare name."""
    files = [file for file in list_input(folder) if file.regular]
    if not files:
        raise PipelineError(f"{folder}: holds no .csv file to ask a prediction for")
    return files[0].name


def _call(
    method: str,
    url: str,
    seconds: float,
    token: str | None = None,
    body: dict[str, str] | None = None,
) -> Answer:
    call = f"{method} {url}" + (f" {json.dumps(body)}" if body else "")
    slow = ApiError(f"{call}: no answer within {seconds:g} seconds")
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        with time_limit(seconds, slow), requests.Session() as session:
            session.trust_env = False  # no proxy
            asked = session.prepare_request(requests.Request(method, url, headers, json=body))
            # by the session itself, all of a redirect's body would be read, whatever its size
            with session.get_adapter(url).send(asked, stream=True) as response:
                status, content = response.status_code, response.raw.read(MAX_BYTES + 1)
    except (requests.RequestException, HTTPError, ValueError) as error:
        raise ApiError(f"{call}: no server answers there ({type(error).__name__})") from None
    if len(content) > MAX_BYTES:
        raise ApiError(f"{call}: the answer has more than {MAX_BYTES:,} bytes")
    text = content.decode(errors="replace")
    try:
        answer = json.loads(text)
    except (ValueError, RecursionError):
        raise ApiError(f"{call}: the answer is not JSON; is this the right server?") from None
    if not isinstance(answer, dict):
        raise ApiError(f"{call}: status {status}: {text[:200].strip()}")
    return Answer(call, status, text, answer)


def _format_answer(answer: Answer) -> str:
    lines = [f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in answer.body.items()]
    return f"## {answer.call}\nstatus {answer.status}\n" + "{\n" + ",\n".join(lines) + "\n}\n"


def answers_to_dict(path: Path, answers: Sequence[Answer]) -> dict[str, Any]:
    """The answers, and where they are kept, for a program."""
    called = [{"call": a.call, "status": a.status, "body": a.body} for a in answers]
    return {"path": path, "answers": called}


@contextmanager
def serving(application: "WSGIApplication") -> Iterator[str]:
    """The URL of a server of the application, on a free port of the loopback address."""
    logging.getLogger("werkzeug").setLevel(logging.WARNING)  # no line for each request
    server = make_server("127.0.0.1", 0, application, threaded=True)
    # the time between its looks for the end; the default of half a second would be waited for
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
