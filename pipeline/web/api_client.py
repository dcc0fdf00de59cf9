"""Calling the API: predictions, scores, statistics and diagnostics, and keeping the answers."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from pipeline.core.config import Config
from pipeline.core.errors import PipelineError
from pipeline.core.files import write_atomic
from pipeline.data.input_files import list_input
from pipeline.web.auth import api_token

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

    Raises `ApiError` if the server is not there, is too slow, or is none of ours. An error is an
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
    """Raise `ApiError` if the answer tells of an error."""
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


def default_file(config: Config) -> str:
    """The first file of the test data, by its bare name."""
    files = [file for file in list_input(config.test_data_path) if file.regular]
    if not files:
        raise PipelineError(f"{config.test_data_path}: holds no .csv file to ask a prediction for")
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
    said = f"{method} {url}" + (f" {json.dumps(body)}" if body else "")
    try:
        response = session.request(method, url, json=body, timeout=seconds)
        answer = response.json()
    except requests.JSONDecodeError:
        raise ApiError(f"{said}: the answer is not JSON; is this the right server?") from None
    except requests.Timeout:
        raise ApiError(f"{said}: no answer within {seconds:g} seconds") from None
    except requests.RequestException as error:
        raise ApiError(f"{said}: no server answers there ({type(error).__name__})") from None
    if not isinstance(answer, dict):
        raise ApiError(f"{said}: status {response.status_code}: {response.text[:200].strip()}")
    return Answer(said, response.status_code, response.text, answer)


def _format_answer(answer: Answer) -> str:
    lines = [f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in answer.body.items()]
    return f"## {answer.call}\nstatus {answer.status}\n" + "{\n" + ",\n".join(lines) + "\n}\n"


def answers_to_dict(path: Path, answers: Sequence[Answer]) -> dict[str, Any]:
    """The answers, and where they are kept, for a program."""
    told = [{"call": a.call, "status": a.status, "body": a.body} for a in answers]
    return {"path": path, "answers": told}
