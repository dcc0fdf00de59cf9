"""The API: what each endpoint answers, what it refuses, and what goes live while it serves."""

import csv
import io
import json
import os
import pickle
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest
import requests
from flask.testing import FlaskClient
from sandbox import HEADER as COLUMNS
from sandbox import NOISE, PROJECT, Sandbox, client_rows, schema_keys
from servers import answers, free_port, interruptible, wait_until
from sklearn import metrics
from stagecalls import record_diagnostics
from werkzeug.test import TestResponse

from app import create_app
from pipeline.core.schema import DEFAULT_SCHEMA
from pipeline.registry.releases import Release, live_release

FEATURES = ["lastmonth_activity", "lastyear_activity", "number_of_employees"]
HEADER = ",".join(FEATURES)
CLIENT = {"lastmonth_activity": 20, "lastyear_activity": 300, "number_of_employees": 12}
TEST_DATA = "testdata/testdata.csv"


@pytest.fixture
def client(deployed: Sandbox) -> FlaskClient:
    return create_app(deployed.config).test_client()


def live(world: Sandbox) -> Release:
    return live_release(world.config.prod_deployment_path)


def said_by_model(world: Sandbox, frame: pd.DataFrame) -> dict[str, Any]:
    """What the deployed pickle says, by nothing but pickle and pandas, as the API tells it."""
    pickled = world.root / "production_deployment/trainedmodel.pkl"
    model = pickle.loads(pickled.read_bytes())
    return {
        "predictions": model.predict(frame[FEATURES]).tolist(),
        "risk": model.predict_proba(frame[FEATURES])[:, 1].round(6).tolist(),
        "release": pickled.resolve().parent.name,
        "horizon_days": None,
    }


def said_of_file(world: Sandbox, name: str) -> dict[str, Any]:
    return said_by_model(world, pd.read_csv(world.root / name))


def ask(client: FlaskClient, **body: Any) -> TestResponse:
    return client.post("/prediction", json=body)


def post_csv(client: FlaskClient, text: str | bytes) -> TestResponse:
    return client.post("/prediction", data=text, content_type="text/csv")


def error_of(answer: TestResponse, status: int) -> str:
    """The message of an error, which is JSON, holds nothing else and no path of this machine."""
    assert answer.status_code == status, answer.text
    assert answer.mimetype == "application/json"
    assert list(answer.get_json()) == ["error"]
    message: str = answer.get_json()["error"]
    assert "/tmp" not in message
    assert str(PROJECT) not in message
    return message


# --- predictions of a named file ---


@pytest.mark.parametrize("key", ["filepath", "filename"])
def test_a_named_file_is_predicted_row_by_row(
    deployed: Sandbox, client: FlaskClient, key: str
) -> None:
    expected = said_of_file(deployed, TEST_DATA)

    for answer in (
        ask(client, **{key: TEST_DATA}),
        client.get("/prediction", query_string={key: TEST_DATA}),
    ):
        assert (answer.status_code, answer.get_json()) == (200, expected)
    assert len(expected["predictions"]) == 60


URLENCODED = "application/x-www-form-urlencoded"
NAMING = json.dumps({"dataset": TEST_DATA})
AS_JSON = "application/json"


@pytest.mark.parametrize(
    "asked",
    [
        {"json": {"dataset": TEST_DATA, "user": "Bo", "rows": 5}},
        {"json": {"dataset": TEST_DATA, "file": "testdata.csv"}},
        {"data": {"dataset": TEST_DATA}},
        {"data": {"dataset": TEST_DATA}, "content_type": "multipart/form-data"},
        {"query_string": {"filepath": TEST_DATA}},
        {"query_string": {"dataset": TEST_DATA}},
        {"query_string": {"dataset": TEST_DATA}, "content_type": AS_JSON},
        {"query_string": {"dataset": TEST_DATA}, "json": {}},
        *(
            {"data": NAMING, "content_type": kind}
            for kind in (None, "application/octet-stream", "text/plain", URLENCODED)
        ),
    ],
)
def test_a_file_may_be_named_under_any_key_and_without_the_right_content_type(
    deployed: Sandbox, client: FlaskClient, asked: dict[str, Any]
) -> None:
    answer = client.post("/prediction", **asked)

    assert (answer.status_code, answer.get_json()) == (200, said_of_file(deployed, TEST_DATA))


SEND = "send JSON, text/csv, a CSV file as an upload, or name a client file, as in"
EXPECTED = (
    'expected an object with "clients", a list for each feature, or the name of a client file'
)
TWO = {"one": TEST_DATA, "other": "a.csv"}


@pytest.mark.parametrize(
    ("asked", "status", "message"),
    [
        ({"json": TWO}, 400, "2 client files are named: name one"),
        ({"data": TWO}, 400, "2 client files are named: name one"),
        ({"json": {"dataset": "nosuch.csv"}}, 422, EXPECTED),
        ({"data": "[]"}, 422, EXPECTED),
        ({"data": {"dataset": "nosuch.csv"}}, 415, f"{SEND} filename=testdata.csv"),
        ({"data": {"filename": "nosuch.csv"}}, 404, "no such client file in the test data or"),
        ({"query_string": {"filename": "nosuch.csv"}}, 404, "no such client file in the test"),
        ({"data": f"dataset={TEST_DATA}&x={'x' * 2**16}", "content_type": URLENCODED}, 415, SEND),
        ({"data": {"a": (io.BytesIO(), "a"), "b": (io.BytesIO(), "b")}}, 400, "send one file, not"),
    ],
)
def test_what_names_no_file_or_several_is_refused(
    client: FlaskClient, asked: dict[str, Any], status: int, message: str
) -> None:
    assert error_of(client.post("/prediction", **asked), status).startswith(message)


def test_rows_count_before_a_file_that_is_named_beside_them(client: FlaskClient) -> None:
    for asked in (
        {"json": {"clients": [CLIENT], "dataset": TEST_DATA}},
        {"json": {"clients": [CLIENT]}, "query_string": {"filename": TEST_DATA}},
    ):
        answer = client.post("/prediction", **asked)
        assert len(answer.get_json()["predictions"]) == 1


# --- predictions of rows in JSON ---


def test_rows_in_json_are_predicted_in_order(deployed: Sandbox, client: FlaskClient) -> None:
    frame = pd.read_csv(deployed.root / TEST_DATA)

    for body in ({"clients": frame.to_dict(orient="records")}, frame.to_dict(orient="list")):
        answer = ask(client, **body)
        assert (answer.status_code, answer.get_json()) == (200, said_of_file(deployed, TEST_DATA))


# --- predictions of CSV ---


def test_csv_is_predicted_in_order_as_a_body_and_as_an_upload(
    deployed: Sandbox, client: FlaskClient
) -> None:
    content = (deployed.root / TEST_DATA).read_bytes()

    body = post_csv(client, content)
    uploads = [
        client.post("/prediction", data={field: (io.BytesIO(content), "mine.csv")})
        for field in ("file", "dataset")
    ]

    expected = said_of_file(deployed, TEST_DATA)
    for answer in (body, *uploads):
        assert (answer.status_code, answer.get_json()) == (200, expected)


def test_a_bad_row_among_many_is_null_in_its_place(deployed: Sandbox, client: FlaskClient) -> None:
    rows = [row.split(",", 1)[1].rsplit(",", 1)[0] for row in client_rows(0, 30)]
    good = pd.DataFrame([[float(cell) for cell in row.split(",")] for row in rows])
    expected = said_by_model(deployed, good.set_axis(FEATURES, axis=1))

    answer = post_csv(client, "\n".join([HEADER, *rows[:4], "many,300,12", *rows[4:]]) + "\n")

    said = answer.get_json()
    assert (said["predictions"].pop(4), said["risk"].pop(4)) == (None, None)
    assert said.pop("bad_rows") == [{"line": 6, "reason": "lastmonth_activity is not a number"}]
    assert said == expected


# --- scores, statistics, diagnostics ---


def test_scoring_gives_the_scores_of_the_deployed_model_on_the_test_data(
    deployed: Sandbox, client: FlaskClient
) -> None:
    frame = pd.read_csv(deployed.root / TEST_DATA)
    model = pickle.loads((deployed.root / "production_deployment/trainedmodel.pkl").read_bytes())
    said, risk = model.predict(frame[FEATURES]), model.predict_proba(frame[FEATURES])[:, 1]

    answer = client.get("/scoring")

    assert answer.status_code == 200
    left = frame["exited"]
    assert answer.get_json() == {
        "rows": 60,
        "f1": metrics.f1_score(left, said),
        "accuracy": metrics.accuracy_score(left, said),
        "precision": metrics.precision_score(left, said),
        "recall": metrics.recall_score(left, said),
        "roc_auc": metrics.roc_auc_score(left, risk),
        "average_precision": metrics.average_precision_score(left, risk),
        "log_loss": pytest.approx(metrics.log_loss(left, risk)),
        "brier": pytest.approx(metrics.brier_score_loss(left, risk)),
        "release": live(deployed).id,
    }
    assert answer.get_json()["f1"] == live(deployed).f1


def test_scoring_without_test_data_is_an_error_that_names_no_path(
    deployed: Sandbox, client: FlaskClient
) -> None:
    shutil.rmtree(deployed.root / "testdata")

    expected = "the test data cannot be used; the server's log says why"
    assert error_of(client.get("/scoring"), 503) == expected


def statistics(world: Sandbox) -> dict[str, dict[str, float]]:
    frame = pd.read_csv(world.root / "ingesteddata/finaldata.csv")
    return {
        column: {
            "mean": pytest.approx(frame[column].mean()),
            "median": pytest.approx(frame[column].median()),
            "std": pytest.approx(frame[column].std()),
        }
        for column in FEATURES
    }


def test_summarystats_are_those_of_pandas(deployed: Sandbox, client: FlaskClient) -> None:
    answer = client.get("/summarystats")

    assert answer.status_code == 200
    assert answer.get_json() == statistics(deployed)


def test_summarystats_follow_a_rebuild_of_the_same_size(
    deployed: Sandbox, client: FlaskClient
) -> None:
    client.get("/summarystats")
    path = deployed.root / "sourcedata/a.csv"
    text = path.read_text()
    path.write_text(text.replace(",200,", ",900,", 1))
    assert text != path.read_text()
    assert deployed.run("ingestion", "--rebuild", "--yes").code == 0

    assert client.get("/summarystats").get_json() == statistics(deployed)


def test_a_statistic_that_is_undefined_is_null(sandbox: Sandbox) -> None:
    sandbox.write("sourcedata/a.csv", ["Acme,,300,12,0"])
    assert sandbox.run("ingestion").code == 0

    answer = create_app(sandbox.config).test_client().get("/summarystats")

    nothing = {"mean": None, "median": None, "std": None}
    assert answer.get_json() == {
        "lastmonth_activity": nothing,
        "lastyear_activity": {"mean": 300.0, "median": 300.0, "std": None},
        "number_of_employees": {"mean": 12.0, "median": 12.0, "std": None},
    }


def test_diagnostics_show_what_was_recorded(deployed: Sandbox, client: FlaskClient) -> None:
    record_diagnostics(deployed.config)

    answer = client.get("/diagnostics")

    seconds = dict(deployed.query("SELECT stage, seconds FROM timings"))
    packages = deployed.query("SELECT package, installed, latest FROM packages ORDER BY position")
    assert answer.status_code == 200
    assert answer.get_json() == {
        "missing_percent": dict.fromkeys(["corporation", *FEATURES, "exited"], 0.0),
        "seconds": seconds,
        "packages": [
            {"package": package, "installed": installed, "latest": latest}
            for package, installed, latest in packages
        ],
        "drift": None,
    }
    assert next(iter(answer.get_json()["missing_percent"])) == "corporation"
    assert set(seconds) == {"ingestion", "training"}
    assert ("pandas", pd.__version__, "unknown") in packages


def test_diagnostics_show_the_last_drift_check(settled: Sandbox) -> None:
    settled.write("sourcedata/c.csv", client_rows(200, 60))
    assert settled.run("fullprocess").code == 0

    drift = create_app(settled.config).test_client().get("/diagnostics").get_json()["drift"]

    ((at, release),) = settled.query("SELECT at, release FROM decisions WHERE drift_test = 'raw'")
    assert (drift["at"], drift["release"], drift["drift_test"]) == (at, release, "raw")
    verdicts = settled.query("SELECT test, verdict, reason, numbers FROM score_drift")
    assert [tuple(v.values()) for v in drift["scores"]] == [
        (test, verdict, reason, json.loads(numbers)) for test, verdict, reason, numbers in verdicts
    ]
    columns = settled.query("SELECT feature, kind, psi, p_value, verdict FROM input_drift")
    assert [
        tuple(found[key] for key in ("feature", "kind", "psi", "p_value", "verdict"))
        for found in drift["input"]
    ] == columns
    assert [feature for feature, *_ in columns] == [*FEATURES, "risk"]


def test_after_stages_by_hand_diagnostics_tell_of_the_rows_and_packages_there_are(
    sandbox: Sandbox,
) -> None:
    sandbox.write("sourcedata/a.csv", ["Acme,,300,12,0", "Bolt,1,300,12,1"])
    assert sandbox.run("ingestion").code == 0

    answer = create_app(sandbox.config).test_client().get("/diagnostics").get_json()

    assert answer["missing_percent"] == {
        **dict.fromkeys(["corporation", *FEATURES, "exited"], 0.0),
        "lastmonth_activity": 50.0,
    }
    pandas = {"package": "pandas", "installed": pd.__version__, "latest": "unknown"}
    assert pandas in answer["packages"]


# --- the ranking ---


def ranking(world: Sandbox) -> list[dict[str, Any]]:
    """What the file says, in the form of the API."""
    with (world.root / "models/clientrisk.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return [
        {
            **row,
            "rank": int(row["rank"]),
            "risk": float(row["risk"]),
            "contact": {"yes": True, "no": False}[row["contact"]],
            "reasons": row["reasons"].split("; ") if row["reasons"] else [],
            "expected_loss": float(row["expected_loss"]) if row.get("expected_loss") else None,
            "loss_rank": int(row["loss_rank"]) if row.get("loss_rank") else None,
            "contacted_on": row["contacted_on"] or None,
        }
        for row in rows
    ]


RANKED = ["rank", "client", "risk", "band", "release", "contact", "reasons"]


def test_risk_gives_the_fifty_clients_most_at_risk(deployed: Sandbox, client: FlaskClient) -> None:
    answer = client.get("/risk")

    assert answer.status_code == 200
    assert answer.get_json() == {
        "total": 64,
        "clients": ranking(deployed)[:50],
        "horizon_days": None,
    }
    first = answer.get_json()["clients"][0]
    assert list(first) == [*RANKED, "expected_loss", "loss_rank", "contact_status", "contacted_on"]
    assert first["reasons"][0].startswith("number of employees ")
    assert (first["contact"], first["expected_loss"], first["loss_rank"]) == (True, None, None)


CARRYING = client_rows(0, 120, noise=NOISE)


def by_ada(row: dict[str, Any]) -> bool:
    return row["Account manager"] == "Ada" and not row["contact"]


@pytest.fixture
def carrying(sandbox: Sandbox) -> Sandbox:
    """A project whose clients have a manager, whom no model sees."""
    schema = {**schema_keys(DEFAULT_SCHEMA), "carry": ["Account manager"]}
    sandbox.configure(schema=schema, labels={"Account manager": "manager"})
    for name in ("sourcedata/a.csv", "testdata/testdata.csv"):
        rows = [f"{row},{('Ada', 'Bo')[i % 2]}" for i, row in enumerate(CARRYING)]
        sandbox.write(name, rows, f"{COLUMNS},Account manager")
    assert sandbox.run("fullprocess").code == 0
    return sandbox


def test_columns_that_no_model_sees_are_answered_and_filtered_by(carrying: Sandbox) -> None:
    client = create_app(carrying.config).test_client()
    everyone = client.get("/risk?limit=1000").get_json()
    query = {"Account manager": "Bo", "limit": 3, "sort": "risk"}

    found = client.get("/risk", query_string=query).get_json()

    of_bo = [row for row in everyone["clients"] if row["Account manager"] == "Bo"]
    assert (found["total"], found["clients"]) == (len(of_bo), of_bo[:3])
    assert 0 < len(of_bo) < everyone["total"]
    assert client.get(f"/risk/{of_bo[0]['client']}").get_json()["Account manager"] == "Bo"
    page = client.get("/?contact=all&Account manager=Bo").text
    (listed,) = re.findall("<tbody>.*</tbody>", page, re.DOTALL)
    assert (listed.count("manager: Bo<"), listed.count("manager: Ada<")) == (25, 0)
    assert client.get("/clients").status_code == 200
    assert "No client was found." not in client.get("/clients?Account manager=").text
    assert "<li>manager: Bo</li>" in client.get(f"/client?name={of_bo[0]['client']}").text


def test_the_list_has_a_choice_of_their_texts(carrying: Sandbox) -> None:
    client = create_app(carrying.config).test_client()
    for query, chosen in (("", False), ("?Account+manager=Ada", True)):
        answer = client.get(f"/{query}")
        assert answer.status_code == 200
        assert ("<option selected>Ada</option>" in answer.text) == chosen


def test_a_text_that_alone_is_new_is_answered_after_the_next_run(carrying: Sandbox) -> None:
    rows = [f"{row},Cy" for row in CARRYING]
    carrying.write("sourcedata/b.csv", rows, f"{COLUMNS},Account manager")

    assert carrying.run("fullprocess").code == 0

    found = create_app(carrying.config).test_client().get("/risk").get_json()["clients"]
    assert {row["Account manager"] for row in found} == {"Cy"}


@pytest.mark.parametrize(
    ("query", "kept"),
    [
        ({"band": "low"}, lambda row: row["band"] == "low"),
        ({"contact": "yes"}, lambda row: row["contact"]),
        ({"contact": "no"}, lambda row: not row["contact"]),
        ({"q": " LIENT0001"}, lambda row: "client0001" in row["client"]),
        ({"Account manager": "Ada", "contact": "no", "band": ""}, by_ada),
    ],
)
def test_the_ranking_is_filtered_and_comes_in_parts(
    carrying: Sandbox, query: dict[str, str], kept: Callable[[dict[str, Any]], bool]
) -> None:
    client = create_app(carrying.config).test_client()
    everyone = ranking(carrying)
    expected = [row for row in everyone if kept(row)]

    whole = client.get("/risk", query_string=query | {"limit": 1000}).get_json()
    part = client.get("/risk", query_string=query | {"offset": 2, "limit": 3}).get_json()

    assert 0 < len(expected) < len(everyone)
    assert (whole["total"], whole["clients"]) == (len(expected), expected)
    assert (part["total"], part["clients"]) == (len(expected), expected[2:5])


def test_the_ranking_comes_as_csv_where_that_is_asked_for(carrying: Sandbox) -> None:
    client = create_app(carrying.config).test_client()
    file = carrying.config.clientrisk_path.read_text(encoding="utf-8").splitlines(keepends=True)

    for answer in (
        client.get("/risk?limit=3&format=csv"),
        client.get("/risk?limit=3", headers={"Accept": "text/csv, */*;q=0.5"}),
    ):
        assert (answer.status_code, answer.content_type) == (200, "text/csv; charset=utf-8")
        assert answer.text == "".join(file[:4])
    by_bo = client.get("/risk", query_string={"format": "csv", "Account manager": "Bo"}).text
    assert by_bo == "".join(line for line in file if ",Bo," in line or "manager" in line)
    for headers in ({}, {"Accept": "*/*"}, {"Accept": "text/html, */*;q=0.8"}):
        assert client.get("/risk", headers=headers).mimetype == "application/json"
    assert client.get("/risk?format=json", headers={"Accept": "text/csv"}).is_json


def test_a_name_that_looks_like_a_formula_is_marked_in_csv_only(sandbox: Sandbox) -> None:
    names = ["+49 30 901820", "-dash", "@home", "=1+1", "'+49"]
    sandbox.write("sourcedata/a.csv", client_rows(0, 60) + [f"{name},9,300,5," for name in names])
    for stage in ("ingestion", "training", "scoring", "deployment", "reporting"):
        assert sandbox.run(stage).code == 0
    client = create_app(sandbox.config).test_client()
    marked = {f"'{name}" for name in names}

    listed = {row["client"] for row in client.get("/risk?limit=100").get_json()["clients"]}
    assert {*names} <= listed
    assert marked & listed == set()
    assert [client.get(f"/risk/{name}").get_json()["client"] for name in names] == names
    file = pd.read_csv(sandbox.config.clientrisk_path)
    for table in (file, pd.read_csv(io.StringIO(client.get("/risk?format=csv").text))):
        assert marked <= {*table["client"]}
        assert {*names} & {*table["client"]} == set()


@pytest.fixture
def valued(deployed: Sandbox) -> Sandbox:
    """A project that knows what its clients are worth, but for one."""
    deployed.configure(client_value="lastyear_activity")
    deployed.write("sourcedata/c.csv", ["Newcomer,10,,5,"])
    for stage in ("ingestion", "reporting"):
        assert deployed.run(stage).code == 0
    return deployed


def test_risk_by_expected_loss_gives_the_highest_first(valued: Sandbox) -> None:
    client = create_app(valued.config).test_client()

    found = client.get("/risk?sort=expected_loss&limit=100").get_json()["clients"]

    assert [row["loss_rank"] for row in found] == [*range(1, 65), None]
    losses = [row["expected_loss"] for row in found]
    assert losses == [*sorted(losses[:-1], reverse=True), None]
    assert found[-1]["client"] == "Newcomer"
    assert sorted(found, key=lambda row: row["rank"]) == ranking(valued)


def test_without_a_client_value_there_is_no_expected_loss(client: FlaskClient) -> None:
    answer = client.get("/risk?sort=expected_loss")

    result = "there is no expected_loss: config.json names no client_value"
    assert error_of(answer, 400) == result


@pytest.mark.parametrize("limit", ["0", "٣", "9" * 10])
def test_a_limit_that_is_no_whole_number_is_refused(client: FlaskClient, limit: str) -> None:
    answer = client.get("/risk", query_string={"limit": limit})

    assert error_of(answer, 400) == "limit must be a whole number from 1 to 999,999,999"


def test_one_client_s_risk_is_its_line_of_the_ranking(
    deployed: Sandbox, client: FlaskClient
) -> None:
    third = ranking(deployed)[2]

    answer = client.get(f"/risk/{third['client']}")

    assert (answer.status_code, answer.get_json()) == (200, {**third, "horizon_days": None})


NAMES = [
    *("Müller & Söhne", "Smith / Jones", "a/b/c", "50% Off?", "O'Neill #2", "株式会社", "007"),
    *("=1+1", "-dash", "@home", "'quoted", "<N&A>", "nil", "Über Ltd.", 'The "Best", Inc.'),
    *("C:\\Corp", "1e5", "True", "ends/", "x//y", "/x", "//"),
]


@pytest.fixture
def named(sandbox: Sandbox) -> Sandbox:
    """A project whose clients have names of all kinds."""
    rows = client_rows(0, 40, outcome="0") + client_rows(40, 40, outcome="1")
    quoted = ['"' + name.replace('"', '""') + '"' for name in NAMES]
    rows += [f"{name},20,300,{i},0" for i, name in enumerate(quoted)]
    sandbox.write("sourcedata/a.csv", rows)
    for stage in ("ingestion", "training", "scoring", "deployment", "reporting"):
        assert sandbox.run(stage).code == 0
    return sandbox


def test_a_client_is_found_whatever_its_name(named: Sandbox) -> None:
    client = create_app(named.config).test_client()

    found = {name: client.get(f"/risk/{requests.utils.quote(name, safe='')}") for name in NAMES}

    assert [answer.get_json().get("client") for answer in found.values()] == NAMES


# --- movers ---


def test_movers_are_those_since_the_ranking_before(deployed: Sandbox, client: FlaskClient) -> None:
    before = ranking(deployed)
    names = before[0]["client"], before[-1]["client"]
    deployed.write("sourcedata/c.csv", [f"{names[0]},49,499,94,", f"{names[1]},10,200,5,"])
    for stage in ("ingestion", "reporting"):
        assert deployed.run(stage).code == 0

    answer = client.get("/movers").get_json()

    after = {row["client"]: round(row["risk"], 2) for row in ranking(deployed)}
    for way, row in (("fell", before[0]), ("rose", before[-1])):
        (mover,) = answer[way]
        was, now = round(row["risk"], 2), after[row["client"]]
        assert mover == {
            **{"client": row["client"], "before": was, "risk": now},
            "change": round(now - was, 2),
        }
        assert (mover["change"] > 0) == (way == "rose")


# --- parameters ---

PARAMETERS = {
    "/prediction": "filename, filepath",
    "/risk": "limit, offset, sort, band, contact, q, format, Account manager",
    "/history": "limit",
    "/health": "challenge",
    **dict.fromkeys(
        [
            *["/scoring", "/summarystats", "/diagnostics", "/metrics", "/risk/client00001"],
            *["/movers", "/ready", "/openapi.json"],
        ],
        "none",
    ),
}


def test_an_unknown_parameter_is_refused_but_for_the_name_of_a_client_file(
    carrying: Sandbox,
) -> None:
    client = create_app(carrying.config).test_client()

    for path, known in PARAMETERS.items():
        for query in ("limt=2", "a=testdata.csv&a=nosuch.csv", "a=&b=testdata.csv"):
            said = error_of(client.get(f"{path}?{query}"), 400)
            assert said == f"unknown parameter; known are {known}"
        answer, plain = client.get(f"{path}?dataset=/{TEST_DATA}"), client.get(path)
        assert answer.status_code == (200 if path == "/prediction" else plain.status_code)
    assert error_of(client.post("/prediction?limt=2", json={"clients": []}), 400)


# --- health, and what is live ---


def test_health_and_readiness_name_the_release(deployed: Sandbox, client: FlaskClient) -> None:
    release = live(deployed).id

    health, ready = client.get("/health"), client.get("/ready")

    assert health.status_code == 200
    assert health.get_json().items() >= {"status": "ok", "release": release}.items()
    assert (ready.status_code, ready.get_json()) == (200, {"status": "ready", "release": release})


def test_a_server_without_a_release_is_healthy_but_not_ready(sandbox: Sandbox) -> None:
    client = create_app(sandbox.config).test_client()

    health, ready = client.get("/health"), client.get("/ready")

    assert health.status_code == 200
    assert health.get_json().items() >= {"status": "ok", "release": None}.items()
    assert error_of(ready, 503) == "no release is live"


NOT_YET = "not recorded yet: run the pipeline first"


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/prediction?filename=testdata.csv", "no release is live"),
        ("/scoring", "no release is live"),
        ("/summarystats", NOT_YET),
        ("/diagnostics", NOT_YET),
        ("/risk", NOT_YET),
        ("/risk/client00000", NOT_YET),
        ("/movers", NOT_YET),
    ],
)
def test_before_the_first_run_every_answer_is_503_and_nothing_is_made(
    sandbox: Sandbox, path: str, message: str
) -> None:
    before = sandbox.stamps()

    answer = create_app(sandbox.config).test_client().get(path)

    assert error_of(answer, 503) == message
    assert sandbox.stamps() == before


def test_no_answer_changes_a_file(deployed: Sandbox, client: FlaskClient) -> None:
    record_diagnostics(deployed.config)
    files, stamps = deployed.files(), deployed.stamps()

    asked = [
        ask(client, filepath=TEST_DATA),
        ask(client, clients=[CLIENT]),
        post_csv(client, f"{HEADER}\n20,300,12\n"),
        client.post("/prediction", data={"file": (io.BytesIO(b"x"), "mine.csv")}),
        *[client.get(path) for path in ("/scoring", "/summarystats", "/diagnostics")],
        *[client.get(path) for path in ("/risk", "/risk/nobody", "/health", "/ready", "/nope")],
    ]

    statuses = [answer.status_code for answer in asked]
    assert statuses == [200, 200, 200, 422, 200, 200, 200, 200, 404, 200, 200, 404]
    assert deployed.files() == files
    assert deployed.stamps() == stamps


def test_a_server_that_knows_only_a_damaged_release_answers_503(
    deployed: Sandbox, client: FlaskClient
) -> None:
    (live(deployed).path / "trainedmodel.pkl").write_bytes(b"damaged")

    for path in ("/ready", "/scoring", "/prediction?filename=testdata.csv"):
        assert error_of(client.get(path), 503) == "no release is live"
    assert client.get("/health").status_code == 200


# --- over a real port ---


def test_the_server_run_by_hand_serves_on_the_loopback_until_interrupted(
    deployed: Sandbox,
) -> None:
    port = free_port()
    command = [sys.executable, "app.py", "--config", str(deployed.root / "config.json")]
    with interruptible():
        child = subprocess.Popen(
            [*command, "--port", str(port)],
            cwd=PROJECT,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
    try:
        wait_until(lambda: answers(f"http://127.0.0.1:{port}/health"))
        ready = requests.get(f"http://127.0.0.1:{port}/ready", timeout=600).json()
        child.send_signal(signal.SIGINT)
        _, log = child.communicate(timeout=600)
    finally:
        child.kill()
        child.communicate()

    assert ready == {"status": "ready", "release": live(deployed).id}
    assert f"Running on http://127.0.0.1:{port}" in log
    assert "Traceback" not in log
    assert child.returncode == 0
