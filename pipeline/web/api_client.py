"""Calling the API, of a server that runs or of one of our own, and keeping its answers."""

import json
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

import requests
from werkzeug.serving import make_server

from pipeline.core.errors import PipelineError
from pipeline.core.files import write_atomic
from pipeline.data.input_files import list_input
from pipeline.web.auth import api_token

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

SECONDS = 30.0


class ApiError(PipelineError):
    """The API cannot be reached, or does not answer as it should."""


@dataclass(frozen=True)
class Answer:
    """One call and what came back."""

    call: str
    status: int
    text: str
    body: dict[str, Any]


def call_api(url: str, filepath: str, seconds: float = SECONDS) -> list[Answer]:
    """Make the four calls; `filepath` names the client file to predict.

    Raises `ApiError` if the server is not there, is too slow, or not one of ours. An error is an
    answer, too: `check` raises for it.
    """
    with _session() as session:
        return [
            _call(session, "POST", f"{url}/prediction", seconds, {"filepath": filepath}),
            _call(session, "GET", f"{url}/scoring", seconds),
            _call(session, "GET", f"{url}/summarystats", seconds),
            _call(session, "GET", f"{url}/diagnostics", seconds),
        ]


def check(answer: Answer) -> None:
    """Raise `ApiError` if the answer is an error."""
    if answer.status >= 400:
        raise ApiError(f"{answer.call}: status {answer.status}: {answer.text[:200].strip()}")


def release_served(url: str, seconds: float = 2.0) -> str | None:
    """The id of the release that a server of ours serves; None if none answers there."""
    try:
        with _session() as session:
            answer = session.get(f"{url}/ready", timeout=seconds).json()
        return str(answer["release"])
    except (requests.RequestException, KeyError, TypeError):
        return None


def write_answers(answers: Sequence[Answer], path: Path) -> None:
    """Write the answers, each under its call, one key of the answer a line."""
    write_atomic(path, "\n".join(_format_answer(answer) for answer in answers))


def default_file(folder: Path) -> str:
    """The first client file of a folder, by its bare name."""
    files = [file for file in list_input(folder) if file.regular]
    if not files:
        raise PipelineError(f"{folder}: holds no .csv file to ask a prediction for")
    return files[0].name


def _session() -> requests.Session:
    """A session that carries the API's token, if one is set, and uses no proxy."""
    session = requests.Session()
    session.trust_env = False
    if token := api_token():
        session.headers["Authorization"] = f"Bearer {token}"
    return session


def _call(
    session: requests.Session,
    method: str,
    url: str,
    seconds: float,
    body: dict[str, str] | None = None,
) -> Answer:
    call = f"{method} {url}" + (f" {json.dumps(body)}" if body else "")
    try:
        response = session.request(method, url, json=body, timeout=seconds)
        answer = response.json()
    except requests.JSONDecodeError:
        raise ApiError(f"{call}: the answer is not JSON; is this the right server?") from None
    except requests.Timeout:
        raise ApiError(f"{call}: no answer within {seconds:g} seconds") from None
    except requests.RequestException as error:
        raise ApiError(f"{call}: no server answers there ({type(error).__name__})") from None
    if not isinstance(answer, dict):
        raise ApiError(f"{call}: status {response.status_code}: {response.text[:200].strip()}")
    return Answer(call, response.status_code, response.text, answer)


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
