"""The description at /openapi.json: valid, complete, and what a live server really answers."""

import json
import re
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from flask.testing import FlaskClient
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator
from sandbox import Sandbox, client_rows, schema_keys
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from servers import serving
from stagecalls import deploy, ingest, record_diagnostics, report, score, train
from werkzeug.test import TestResponse

from app import create_app
from pipeline.core.config import PATH_KEYS, Config, load_config
from pipeline.core.schema import DEFAULT_SCHEMA, Schema
from pipeline.storage.contacts import Assignment, Contact, add_contacts, record_assignments
from pipeline.storage.history import open_history
from pipeline.web.api import api_description
from pipeline.web.auth import TOKEN_VARIABLE
from pipeline.web.pages import PAGES, TYPES

FILES = ("/ranking.csv", "/report.pdf", *(f"/{name}" for name in TYPES))
FEATURES = ",".join(DEFAULT_SCHEMA.features)
OTHER_SCHEMAS = [
    Schema(
        "Id", "Exited", ("Age", "Balance"), ("Geography", "Gender"), carry=("Manager", "e-mail")
    ),
    Schema("kunde", "weg", (), ("Straße / Ort", "x y", "$ref", "type", "properties")),
    Schema("c", "o", tuple(f"n{i}" for i in range(300)), ()),
]


@pytest.fixture(autouse=True)
def without_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(TOKEN_VARIABLE, raising=False)


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Each method and path that is described, with its description."""
    for path, methods in api_description(DEFAULT_SCHEMA)["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


# --- the document ---


@pytest.mark.parametrize("schema", [DEFAULT_SCHEMA, *OTHER_SCHEMAS])
def test_it_is_a_valid_openapi_document(schema: Schema) -> None:
    result = api_description(schema)

    assert result["openapi"] == "3.1.0"
    assert list(OpenAPIV31SpecValidator(result).iter_errors()) == []


def test_every_route_is_in_it_with_every_method(deployed: Sandbox) -> None:
    routes = {
        (method, re.sub(r"<\w+:(\w+)>", r"{\1}", rule.rule))
        for rule in create_app(deployed.config).url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }

    forms = {"/score", "/client/contact", "/client/undo", "/operations/requests"}
    for_people = {("GET", path) for path in {*PAGES, *FILES} - forms}
    assert {(method, path) for method, path, _ in operations()} == (
        routes - for_people - {("POST", path) for path in forms}
    )


def test_the_columns_of_the_config_are_in_it() -> None:
    parts = api_description(OTHER_SCHEMAS[0])["components"]["schemas"]

    for client in (parts["ClientRow"], parts["ClientColumns"]):
        assert client["required"] == ["Age", "Balance", "Geography", "Gender"]
    numbers = parts["ClientColumns"]["properties"]["Age"]["items"]["anyOf"]
    assert [kind["type"] for kind in numbers] == ["number", "null"]
    texts = parts["ClientRow"]["properties"]["Gender"]["anyOf"]
    assert [kind["type"] for kind in texts] == ["string", "null"]


def test_columns_that_no_model_sees_are_in_the_ranking_and_asked_for() -> None:
    described = api_description(OTHER_SCHEMAS[0])

    for name in ("RankedClient", "FoundClient"):
        client = described["components"]["schemas"][name]
        assert client["properties"]["e-mail"] == {"type": "string"}
        assert {"Manager", "e-mail"} <= {*client["required"]}
    parameters = [asked["name"] for asked in described["paths"]["/risk"]["get"]["parameters"]]
    assert parameters[-3:] == ["format", "Manager", "e-mail"]


def test_all_but_health_may_ask_for_the_token() -> None:
    asking = {path for _, path, operation in operations() if "401" in operation["responses"]}
    free = {path for _, path, operation in operations() if operation.get("security") == []}

    assert free == {"/health"}
    assert asking == {path for _, path, _ in operations()} - free


# --- what is answered: each status that is described, and no other ---

Asked = tuple[str, str, dict[str, Any]]


def csv(text: str) -> dict[str, Any]:
    return {"data": text, "content_type": "text/csv"}


PROVOKED: list[Asked] = [
    ("GET", "/prediction", {"query_string": {"filename": "testdata.csv"}}),
    ("GET", "/prediction", {}),
    ("GET", "/prediction", {"query_string": {"filepath": "nosuch.csv"}}),
    ("GET", "/prediction", {"query_string": {"filename": "wide.csv"}}),
    ("GET", "/prediction", {"query_string": {"filename": "bad.csv"}}),
    ("POST", "/prediction", {"json": {"filename": "testdata.csv"}}),
    ("POST", "/prediction", csv(f"{FEATURES}\n" + "1,2,3\n" * 20 + "x,2,3\n")),
    ("POST", "/prediction", {"json": {"clients": [dict.fromkeys(DEFAULT_SCHEMA.features)]}}),
    ("POST", "/prediction", {"data": "{", "content_type": "application/json"}),
    ("POST", "/prediction", {"json": {"filepath": "nosuch.csv"}}),
    ("POST", "/prediction", {"json": {name: [1] * 100_001 for name in FEATURES.split(",")}}),
    ("POST", "/prediction", {"data": "x"}),
    ("POST", "/prediction", {"json": {"clients": []}}),
    ("GET", "/scoring", {}),
    ("GET", "/summarystats", {}),
    ("GET", "/diagnostics", {}),
    ("GET", "/risk", {}),
    ("GET", "/risk", {"query_string": {"format": "csv"}}),
    ("GET", "/risk", {"query_string": {"limit": "0"}}),
    ("GET", "/risk", {"query_string": {"sort": "expected_loss"}}),
    ("GET", "/risk/{client}", {"path": "/risk/client00063"}),
    ("GET", "/risk/{client}", {"path": "/risk/nobody"}),
    ("GET", "/contacts", {}),
    ("POST", "/contacts", {"json": {"client": "client00063", "channel": "phone"}}),
    ("POST", "/contacts", {"json": {"client": "x"}, "headers": {"Origin": "http://other"}}),
    ("POST", "/contacts", {"json": {"client": "nobody"}}),
    ("POST", "/contacts", {"data": "x" * (2**20 + 1)}),
    ("POST", "/contacts", {"json": {"client": 1}}),
    ("GET", "/movers", {}),
    ("GET", "/effect", {}),
    ("GET", "/history", {}),
    ("GET", "/history", {"query_string": {"limit": "0"}}),
    ("GET", "/metrics", {}),
    ("GET", "/health", {}),
    ("GET", "/ready", {}),
    ("GET", "/openapi.json", {}),
    *((method, path, {"query_string": {"no": "such"}}) for method, path, _ in operations()),
]


def ask_all(client: FlaskClient) -> list[tuple[str, str, TestResponse]]:
    answers = []
    for method, path, request in PROVOKED:
        place = request.get("path", path.replace("{client}", "x"))
        asked = {name: value for name, value in request.items() if name != "path"}
        answers.append((method, path, client.open(place, method=method, **asked)))
    return answers


def record_campaign(world: Sandbox) -> None:
    """One in which both groups are large enough for every estimate."""
    names = [f"client{i:05d}" for i in range(120)]
    with open_history(world.config.history_path) as history, history.transaction():
        record_assignments(
            history,
            [
                Assignment(n, "2020-01-01", "2020-01-01", i % 2 == 1, 0.5, "high", 0.5)
                for i, n in enumerate(names)
            ],
        )
        add_contacts(history, [Contact(n, "2020-01-02", "page") for n in names[::2]])


@pytest.fixture
def answers(
    deployed: Sandbox,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path_factory: pytest.TempPathFactory,
) -> list[tuple[str, str, TestResponse]]:
    """The answers of four servers: one at work, one with a token, an empty and a broken one."""
    deployed.write("testdata/bad.csv", "x\n1\n")
    deployed.write("testdata/wide.csv", f"{FEATURES}{',x' * 1000}\n")
    record_diagnostics(deployed.config)
    record_campaign(deployed)
    client = create_app(deployed.config).test_client()
    found = ask_all(client)
    for name in ("bad", "wide"):  # with them the test data cannot be used
        (deployed.root / f"testdata/{name}.csv").unlink()
    found.append(("GET", "/scoring", client.get("/scoring")))

    monkeypatch.setenv(TOKEN_VARIABLE, "token")
    found += ask_all(create_app(deployed.config).test_client())
    monkeypatch.delenv(TOKEN_VARIABLE)

    empty = Sandbox(tmp_path_factory.mktemp("empty"), deployed.capsys)
    empty.write("config.json", (deployed.root / "config.json").read_text())
    found += ask_all(create_app(empty.config).test_client())
    empty.write("history.db", "broken" * 1000)
    return [*found, *ask_all(create_app(empty.config).test_client())]


def test_each_status_that_is_described_is_given_and_no_other(
    answers: list[tuple[str, str, TestResponse]],
) -> None:
    given = defaultdict(set)
    for method, path, answer in answers:
        given[method, path].add(str(answer.status_code))

    assert dict(given) == {
        (method, path): set(operation["responses"]) for method, path, operation in operations()
    }


PARTS = {"components": api_description(DEFAULT_SCHEMA)["components"]}


def closed(schema: Any) -> Any:
    """The schema, allowing no properties but those described."""
    if isinstance(schema, list):
        return [closed(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    parts = {name: closed(part) for name, part in schema.items()}
    return {**parts, "additionalProperties": False} if "properties" in schema else parts


def test_answers_hold_what_is_described_and_nothing_else(
    answers: list[tuple[str, str, TestResponse]],
) -> None:
    result = {(method, path): operation["responses"] for method, path, operation in operations()}
    parts = closed(PARTS)

    for method, path, answer in answers:
        described = result[method, path][str(answer.status_code)]["content"][answer.mimetype]
        Draft202012Validator(described["schema"] | parts).validate(
            answer.get_json() if answer.is_json else answer.text
        )


# --- schemathesis asks a live server what the description makes it think of ---

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]


def described(examples: int, *expected: str, schema: Schema = DEFAULT_SCHEMA) -> Any:
    """The description for schemathesis: seeded, with at most so many examples an operation.

    `expected` are statuses of the server's own faults that are right in the state it is in.
    """
    statuses = ["2xx", "4xx", *expected]
    config = schemathesis.Config.from_dict(
        {
            "seed": 1,
            "generation": {"deterministic": True, "database": "none", "max-examples": examples},
            "checks": {"not_a_server_error": {"expected-statuses": statuses}},
        }
    )
    return schemathesis.openapi.from_dict(api_description(schema), config=config)


def check(case: schemathesis.Case, url: str, token: str | None = None) -> None:
    headers = {"Authorization": f"Bearer {token}"} if token else None
    answer = case.call_and_validate(base_url=url, checks=CHECKS, headers=headers)
    said = answer.content + str(answer.headers).encode()
    assert b"Traceback" not in said
    assert b"/tmp/" not in said


def configured(root: Path, schema: Schema = DEFAULT_SCHEMA) -> Config:
    """The config of a project in which nothing was run yet."""
    keys = {key: key for key in PATH_KEYS}
    (root / "config.json").write_text(json.dumps({**keys, "schema": schema_keys(schema)}))
    for key in ("input_folder_path", "test_data_path"):
        (root / key).mkdir()
    return load_config(root / "config.json")


def deployed_with(config: Config, rows: list[str]) -> Config:
    """The config of a project whose first release, of these rows, is live."""
    text = "\n".join([config.schema.header, *rows]) + "\n"
    for folder in (config.input_folder_path, config.test_data_path):
        (folder / "testdata.csv").write_text(text)
    ingest(config)
    train(config)
    score(config)
    deploy(config)
    report(config)
    return config


# hypothesis wants what a test of many examples stands on to outlive the test


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Config:
    rows = client_rows(0, 60, noise=10)
    return deployed_with(configured(tmp_path_factory.mktemp("at_work")), rows)


@pytest.fixture(scope="module")
def at_work(project: Config) -> Iterator[str]:
    with serving(project) as url:
        yield url


@pytest.fixture(scope="module")
def guarded(project: Config) -> Iterator[str]:
    with ExitStack() as running:
        with pytest.MonkeyPatch.context() as patch:  # it is asked for as the app is made
            patch.setenv(TOKEN_VARIABLE, "token")
            url = running.enter_context(serving(project))
        yield url


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(configured(tmp_path_factory.mktemp("empty"))) as url:
        yield url


@pytest.fixture(scope="module")
def of_categories(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    config = configured(tmp_path_factory.mktemp("of_categories"), OTHER_SCHEMAS[0])
    rows = [f"c{i},{i},{i % 7},{'ab'[i % 2]},{'xyz'[i % 3]},{i % 2}" for i in range(60)]
    rows = [f"{row},m{i % 3},c{i}@example.org" for i, row in enumerate(rows)]
    with serving(deployed_with(config, rows)) as url:
        yield url


@described(15).parametrize()
def test_a_server_at_work_answers_as_described(case: schemathesis.Case, at_work: str) -> None:
    check(case, at_work)


@described(5, "503").parametrize()
def test_an_empty_server_answers_as_described(case: schemathesis.Case, empty: str) -> None:
    check(case, empty)


@described(5).parametrize()
def test_a_guarded_server_answers_as_described(case: schemathesis.Case, guarded: str) -> None:
    check(case, guarded)


@pytest.mark.slow
@described(400).parametrize()
def test_a_server_at_work_answers_as_described_however_long(
    case: schemathesis.Case, at_work: str
) -> None:
    check(case, at_work)


@pytest.mark.slow
@described(200, schema=OTHER_SCHEMAS[0]).parametrize()
def test_a_server_of_other_columns_answers_as_described(
    case: schemathesis.Case, of_categories: str
) -> None:
    check(case, of_categories)
