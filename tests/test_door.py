"""Single clients answered at the door: what the app itself would have answered."""

import json
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from flask import Flask, request_started
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sandbox import Sandbox, client_rows

from app import create_app
from pipeline.core.schema import DEFAULT_SCHEMA
from pipeline.door import MOST_BYTES
from pipeline.web.auth import TOKEN_VARIABLE

CLIENT: dict[str, Any] = {
    "lastmonth_activity": 20,
    "lastyear_activity": 300,
    "number_of_employees": 12,
}
GOOD = json.dumps({"clients": [CLIENT]})
BEARER = {"Authorization": "Bearer token"}


@pytest.fixture(autouse=True)
def without_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(TOKEN_VARIABLE, raising=False)


@pytest.fixture
def app(deployed: Sandbox) -> Flask:
    return create_app(deployed.config)


@pytest.fixture
def inside(app: Flask) -> Iterator[list[str]]:
    """The paths of the requests that came through to the app."""
    paths: list[str] = []

    def note(_: Flask, **__: object) -> None:
        paths.append("inside")

    with request_started.connected_to(note, app):
        yield paths


def told(client: FlaskClient, body: str | bytes, **asked: Any) -> tuple[int, bytes, dict[str, str]]:
    request = {"data": body, "content_type": "application/json", **asked}
    answer = client.post("/prediction", **request)
    return answer.status_code, answer.data, dict(answer.headers)


def at_large(body: str) -> str:
    """The same JSON in a body too large for the door."""
    return body + " " * MOST_BYTES


VALUES = ["1", "0", "-3", "63.5", "null", "1e5", "1e99", "-1e99", "1e100", "1e101", "true", '"1"']
VALUES += ["[]", "NaN", "01", "1" * 40, "-0.0", "1e-300", "", "1, 1"]


def test_one_client_is_answered_at_the_door(app: Flask, inside: list[str]) -> None:
    status, body, headers = told(app.test_client(), GOOD)

    assert (status, inside) == (200, [])
    assert list(json.loads(body)) == ["predictions", "risk", "release"]
    assert headers["Content-Length"] == str(len(body))


@pytest.mark.parametrize("value", VALUES)
def test_the_answer_is_the_app_s_to_the_byte(app: Flask, inside: list[str], value: str) -> None:
    body = GOOD.replace("20", value, 1)

    at_the_door = told(app.test_client(), body)
    inside.clear()
    assert at_the_door == told(app.test_client(), at_large(body))
    assert inside == ["inside"]


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.floats(-1e4, 1e4) | st.none(), min_size=3, max_size=3))
def test_any_client_is_answered_as_by_the_app(app: Flask, values: list[float | None]) -> None:
    client = dict(zip(DEFAULT_SCHEMA.features, values, strict=True))
    body = json.dumps({"clients": [client]})

    assert told(app.test_client(), body) == told(app.test_client(), at_large(body))


MADE: dict[str, dict[str, Any]] = {
    "trees with a curve": {"model": "boosting"},
    "trees with a curve and a threshold": {"model": "boosting", "threshold": "f1"},
    "coefficients and a threshold": {"threshold": 0.3},
}


@pytest.mark.parametrize("what", MADE)
def test_a_model_of_any_make_is_asked_at_the_door(deployed: Sandbox, what: str) -> None:
    deployed.configure(**MADE[what])
    deployed.write("sourcedata/c.csv", client_rows(300, 300, noise=4))
    for stage in ("ingestion", "training", "scoring", "deployment"):
        assert deployed.run(stage).code == 0
    app, paths = create_app(deployed.config), []
    asked = [GOOD.replace("12", value) for value in ("3", "49", "50", "94", "null", "1e50", "-1")]

    with request_started.connected_to(lambda _, **__: paths.append("inside"), app):
        at_the_door = [told(app.test_client(), body) for body in asked]
        assert paths == []
        assert at_the_door == [told(app.test_client(), at_large(body)) for body in asked]
    assert len({body for _, body, _ in at_the_door}) > 2


FOR_THE_APP: dict[str, dict[str, Any]] = {
    "two clients": {"data": json.dumps({"clients": [CLIENT, CLIENT]})},
    "none": {"data": '{"clients": []}'},
    "a file": {"data": '{"filename": "testdata.csv"}'},
    "a lacking column": {"data": '{"clients": [{}]}'},
    "a key twice": {"data": GOOD.replace("[{", '[{"x": 1, "x": 1, ')},
    "no JSON": {"data": "{"},
    "nothing": {"data": ""},
    "another type": {"data": GOOD, "content_type": "text/csv"},
    "a type with more to it": {"data": GOOD, "content_type": "application/json; charset=utf-8"},
    "in pieces": {"data": GOOD, "headers": {"Transfer-Encoding": "chunked"}},
    "an odd host": {"data": GOOD, "headers": {"Host": "a b"}},
    "an odd length": {"data": GOOD, "environ_overrides": {"CONTENT_LENGTH": "+99"}},
    "less than it says": {"data": GOOD, "environ_overrides": {"CONTENT_LENGTH": "999"}},
}


@pytest.mark.parametrize("what", FOR_THE_APP)
def test_all_else_is_for_the_app(app: Flask, inside: list[str], what: str) -> None:
    answer = app.test_client().post(
        "/prediction", **{"content_type": "application/json", **FOR_THE_APP[what]}
    )

    assert inside == ["inside"]
    assert answer.is_json


@pytest.mark.parametrize(("method", "path"), [("PUT", "/prediction"), ("POST", "/risk")])
def test_another_method_or_path_is_for_the_app(
    app: Flask, inside: list[str], method: str, path: str
) -> None:
    answer = app.test_client().open(path, method=method, data=GOOD, content_type="application/json")

    assert (answer.status_code, inside) == (405, ["inside"])


def test_a_body_that_ends_too_soon_is_refused(app: Flask) -> None:
    status, body, _ = told(app.test_client(), GOOD, environ_overrides={"CONTENT_LENGTH": "999"})

    assert (status, list(json.loads(body))) == (400, ["error"])


def test_a_smaller_limit_is_kept(app: Flask) -> None:
    app.config["MAX_CONTENT_LENGTH"] = len(GOOD)

    assert told(app.test_client(), GOOD)[0] == 413


def test_the_door_asks_for_the_token_too(
    deployed: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(TOKEN_VARIABLE, "token")
    client = create_app(deployed.config).test_client()

    for headers in ({}, {"Authorization": "Bearer other"}, {"Authorization": "Bearer \xff"}):
        status, body, told_with = told(client, GOOD, headers=headers)
        assert (status, list(json.loads(body))) == (401, ["error"])
        assert told_with["WWW-Authenticate"] == "Bearer"
    assert told(client, GOOD, headers=BEARER) == told(client, at_large(GOOD), headers=BEARER)
    assert told(client, GOOD, headers=BEARER)[0] == 200


def gone(world: Sandbox) -> None:
    shutil.rmtree(world.config.prod_deployment_path)


def damaged(world: Sandbox) -> None:
    (world.config.prod_deployment_path / "trainedmodel.pkl").write_bytes(b"damaged")


@pytest.mark.parametrize("harm", [gone, damaged])
def test_without_a_release_the_app_tells(
    deployed: Sandbox, harm: Callable[[Sandbox], None]
) -> None:
    harm(deployed)

    status, body, _ = told(create_app(deployed.config).test_client(), GOOD)

    assert (status, json.loads(body)) == (503, {"error": "no release is live"})


def test_the_door_follows_a_redeploy(deployed: Sandbox, app: Flask, inside: list[str]) -> None:
    before = json.loads(told(app.test_client(), GOOD)[1])
    deployed.write("sourcedata/c.csv", client_rows(300, 400, flipped=True))
    for stage in ("ingestion", "training", "scoring", "deployment"):
        assert deployed.run(stage).code == 0

    after = json.loads(told(app.test_client(), GOOD)[1])

    assert inside == []
    assert after["release"] != before["release"]
    assert not np.isclose(after["risk"], before["risk"]).any()
