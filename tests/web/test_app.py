"""The API: what each endpoint answers, what it refuses, and what goes live while it serves."""

import csv
import io
import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import requests
from flask.testing import FlaskClient
from sandbox import NOISE, PROJECT, Sandbox, client_rows
from servers import answers, free_port, interruptible, serving, wait_until
from sklearn import metrics
from stagecalls import record_diagnostics
from werkzeug.test import TestResponse

from app import create_app
from pipeline.registry.releases import Release, live_release

FEATURES = ["lastmonth_activity", "lastyear_activity", "number_of_employees"]
HEADER = ",".join(FEATURES)
CLIENT = {"lastmonth_activity": 20, "lastyear_activity": 300, "number_of_employees": 12}
NO_SUCH_FILE = {"error": "no such client file in the test data or the input folder"}
TEST_DATA = "testdata/testdata.csv"


@pytest.fixture
def client(deployed: Sandbox) -> FlaskClient:
    return create_app(deployed.config).test_client()


def live(world: Sandbox) -> Release:
    return live_release(world.config.prod_deployment_path)


def redeploy(world: Sandbox) -> Release:
    """Put a model live that says the opposite."""
    world.write("sourcedata/c.csv", client_rows(300, 400, flipped=True))
    for stage in ("ingestion", "training", "scoring", "deployment"):
        result = world.run(stage)
        assert result.code == 0, result.err
    return live(world)


def said_by_model(world: Sandbox, frame: pd.DataFrame) -> dict[str, Any]:
    """What the deployed pickle says, by nothing but pickle and pandas, as the API tells it."""
    pickled = world.root / "production_deployment/trainedmodel.pkl"
    model = pickle.loads(pickled.read_bytes())
    return {
        "predictions": model.predict(frame[FEATURES]).tolist(),
        "risk": model.predict_proba(frame[FEATURES])[:, 1].round(6).tolist(),
        "release": pickled.resolve().parent.name,
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


@pytest.mark.parametrize(
    ("asked", "file"),
    [
        ("testdata.csv", TEST_DATA),
        (TEST_DATA, TEST_DATA),
        ("./testdata/testdata.csv", TEST_DATA),
        ("b.csv", "sourcedata/b.csv"),
        ("sourcedata/b.csv", "sourcedata/b.csv"),
    ],
)
@pytest.mark.parametrize("key", ["filepath", "filename"])
def test_a_named_file_is_predicted_row_by_row(
    deployed: Sandbox, client: FlaskClient, key: str, asked: str, file: str
) -> None:
    answer = ask(client, **{key: asked})

    assert answer.status_code == 200
    assert answer.get_json() == said_of_file(deployed, file)
    assert len(answer.get_json()["predictions"]) == 60


@pytest.mark.parametrize("asked", ["testdata.csv", TEST_DATA])
@pytest.mark.parametrize("key", ["filename", "filepath"])
def test_get_names_a_file_too(deployed: Sandbox, client: FlaskClient, key: str, asked: str) -> None:
    answer = client.get("/prediction", query_string={key: asked})

    assert answer.status_code == 200
    assert answer.get_json() == said_of_file(deployed, TEST_DATA)


def test_a_bare_name_is_looked_for_in_the_test_data_first(
    deployed: Sandbox, client: FlaskClient
) -> None:
    deployed.write("testdata/both.csv", client_rows(500, 3))
    deployed.write("sourcedata/both.csv", client_rows(700, 5))

    assert ask(client, filename="both.csv").get_json() == said_of_file(
        deployed, "testdata/both.csv"
    )


def test_a_name_with_spaces_and_accents_is_found(deployed: Sandbox, client: FlaskClient) -> None:
    name = "sourcedata/März 2024, Übersicht.CSV"
    deployed.write(name, client_rows(500, 3))

    assert ask(client, filepath=name).get_json() == said_of_file(deployed, name)
    answer = client.get("/prediction", query_string={"filename": Path(name).name})
    assert answer.get_json() == said_of_file(deployed, name)


def test_a_file_needs_neither_client_nor_outcome(deployed: Sandbox, client: FlaskClient) -> None:
    deployed.write("testdata/features.csv", ["20,300,12", "30,200,80"], HEADER)

    assert ask(client, filename="features.csv").get_json() == said_of_file(
        deployed, "testdata/features.csv"
    )


def test_columns_are_matched_by_name_in_any_order(deployed: Sandbox, client: FlaskClient) -> None:
    frame = pd.read_csv(deployed.root / TEST_DATA)
    turned = frame[[*reversed(FEATURES)]].assign(note="x")

    answer = post_csv(client, turned.to_csv(index=False))

    assert answer.get_json() == said_by_model(deployed, frame)


OUTSIDE = [
    "nosuch.csv",
    "config.json",
    "history.db",
    "models/clientrisk.csv",
    "ingesteddata/finaldata.csv",
    "../testdata.csv",
    "../../etc/passwd",
    "testdata/../../testdata.csv",
    "testdata/../models/clientrisk.csv",
    "/etc/passwd",
    "/etc/hosts.csv",
    "http://127.0.0.1/testdata.csv",
    "file:///etc/passwd",
    "testdata",
    "testdata/",
    "testdata/folder.csv",
    "testdata/folder.csv/inside.csv",
    "testdata/notes.txt",
    "testdata/link.csv",
    "link.csv",
    "linked/clientrisk.csv",
    "testdata.csv/",
    "testdata.csv\0",
    "testdata.csv\0.csv",
    "~/testdata.csv",
    "$HOME.csv",
    "*.csv",
    "..",
    ".",
    "/",
    "",
    " ",
    "\n",
    "a/" * 3000,
]


@pytest.mark.parametrize("name", OUTSIDE)
def test_whatever_is_no_client_file_is_refused_in_the_same_words(
    deployed: Sandbox, client: FlaskClient, name: str
) -> None:
    deployed.write("testdata/folder.csv/inside.csv", client_rows(0, 3))
    deployed.write("testdata/notes.txt", client_rows(0, 3))
    deployed.write("secret.csv", client_rows(0, 3))
    (deployed.root / "testdata/link.csv").symlink_to("../secret.csv")
    (deployed.root / "linked").symlink_to("models")

    answer = ask(client, filepath=name)

    assert (answer.status_code, answer.get_json()) == (404, NO_SUCH_FILE)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("x" * 300 + ".csv", id="longer than a name may be"),
        pytest.param("\ud800.csv", id="half a surrogate pair"),
        pytest.param("loop.csv", id="a link to itself"),
    ],
)
def test_a_name_that_the_file_system_refuses_is_refused_in_the_same_words(
    deployed: Sandbox, client: FlaskClient, name: str
) -> None:
    (deployed.root / "testdata/loop.csv").symlink_to("loop.csv")

    answer = client.post(
        "/prediction", data=json.dumps({"filepath": name}), content_type="application/json"
    )

    assert (answer.status_code, answer.get_json()) == (404, NO_SUCH_FILE)


def test_an_absolute_path_is_refused_also_where_it_leads_to_a_client_file(
    deployed: Sandbox, client: FlaskClient
) -> None:
    answer = ask(client, filepath=str(deployed.root / TEST_DATA))

    assert (answer.status_code, answer.get_json()) == (404, NO_SUCH_FILE)


@pytest.mark.parametrize("name", [None, 5, True, ["testdata.csv"], {"name": "testdata.csv"}])
def test_a_name_that_is_no_text_is_refused(client: FlaskClient, name: Any) -> None:
    expected = "name a client file, as in filename=testdata.csv"
    assert error_of(ask(client, filepath=name), 400) == expected


def test_get_without_a_name_says_what_to_give(client: FlaskClient) -> None:
    expected = "name a client file, as in filename=testdata.csv"
    assert error_of(client.get("/prediction"), 400) == expected


# --- predictions of rows in JSON ---


def test_rows_in_json_are_predicted_in_order(deployed: Sandbox, client: FlaskClient) -> None:
    frame = pd.read_csv(deployed.root / TEST_DATA)

    answer = ask(client, clients=frame.to_dict(orient="records"))

    assert answer.status_code == 200
    assert answer.get_json() == said_of_file(deployed, TEST_DATA)


def test_null_is_a_missing_number(deployed: Sandbox, client: FlaskClient) -> None:
    answer = ask(client, clients=[{**CLIENT, "lastmonth_activity": None}])

    expected = pd.DataFrame([{**CLIENT, "lastmonth_activity": float("nan")}])
    assert answer.get_json() == said_by_model(deployed, expected)


def test_a_category_is_a_text_and_may_be_unknown_to_the_model(sandbox: Sandbox) -> None:
    header = "client,place,size,left"
    rows = [f"c{i},{'north' if i % 2 else 'south'},{i},{i % 2}" for i in range(40)]
    sandbox.configure(
        schema={
            "client": "client",
            "outcome": "left",
            "numeric": ["size"],
            "categorical": ["place"],
        }
    )
    sandbox.write("sourcedata/a.csv", rows, header)
    sandbox.write(TEST_DATA, rows, header)
    for stage in ("ingestion", "training", "scoring", "deployment"):
        assert sandbox.run(stage).code == 0
    client = create_app(sandbox.config).test_client()

    known = ask(client, clients=[{"place": " north ", "size": 9}, {"place": "south", "size": 9}])
    unknown = ask(client, clients=[{"place": "Zürich", "size": 9}, {"place": None, "size": 9}])

    assert known.get_json()["predictions"] == [1, 0]
    assert unknown.status_code == 200
    assert error_of(ask(client, clients=[{"place": 5, "size": 9}]), 422) == (
        "client 1: place must be a text or null"
    )


NOT_FINITE = "client 2: lastmonth_activity must be a finite number or null"


@pytest.mark.parametrize(
    "value",
    [
        *['"many"', '"20"', "true", "false", "[]", "{}", "NaN", "Infinity", "-Infinity"],
        *["1e999", "1e308", "-1e308", "1" + "0" * 400],
    ],
)
def test_what_is_no_finite_number_is_refused(client: FlaskClient, value: str) -> None:
    good = json.dumps(CLIENT)
    bad = good.replace("20", value, 1)

    answer = client.post(
        "/prediction",
        data=f'{{"clients": [{good}, {bad}]}}',
        content_type="application/json",
    )

    assert error_of(answer, 422) == NOT_FINITE


@pytest.mark.parametrize(
    ("clients", "message"),
    [
        ([], '"clients" must be a list of at least one object'),
        (None, '"clients" must be a list of at least one object'),
        ({}, '"clients" must be a list of at least one object'),
        ("all", '"clients" must be a list of at least one object'),
        ([CLIENT, None], "client 2 must be an object"),
        ([CLIENT, [20, 300, 12]], "client 2 must be an object"),
        ([{}], "client 1 lacks lastmonth_activity, lastyear_activity, number_of_employees"),
        ([CLIENT, {"lastmonth_activity": 20}], "client 2 lacks lastyear_activity,"),
    ],
)
def test_clients_that_are_no_rows_are_refused(
    client: FlaskClient, clients: Any, message: str
) -> None:
    assert error_of(ask(client, clients=clients), 422).startswith(message)


@pytest.mark.parametrize("body", ["{}", "[]", "null", "5", '"testdata.csv"', '{"clients ": []}'])
def test_json_that_asks_for_nothing_is_refused(client: FlaskClient, body: str) -> None:
    answer = client.post("/prediction", data=body, content_type="application/json")

    expected = 'expected an object with "filepath", "filename" or "clients"'
    assert error_of(answer, 422) == expected


@pytest.mark.parametrize(
    "body", [b"", b"{", b'{"clients": [', b"clients", b'{"filepath": "\xff"}', b"\0"]
)
def test_broken_json_is_refused(client: FlaskClient, body: bytes) -> None:
    error_of(client.post("/prediction", data=body, content_type="application/json"), 400)


def test_json_nested_beyond_reason_is_refused(client: FlaskClient) -> None:
    body = '{"clients": ' + "[" * 100_000

    error_of(client.post("/prediction", data=body, content_type="application/json"), 400)


# --- predictions of CSV ---


def test_a_csv_body_is_predicted_in_order(deployed: Sandbox, client: FlaskClient) -> None:
    answer = post_csv(client, (deployed.root / TEST_DATA).read_bytes())

    assert answer.status_code == 200
    assert answer.get_json() == said_of_file(deployed, TEST_DATA)


def test_an_uploaded_file_is_predicted_in_order(deployed: Sandbox, client: FlaskClient) -> None:
    content = io.BytesIO((deployed.root / TEST_DATA).read_bytes())

    answer = client.post("/prediction", data={"file": (content, "mine.csv")})

    assert answer.status_code == 200
    assert answer.get_json() == said_of_file(deployed, TEST_DATA)


def test_a_missing_number_in_csv_is_kept_as_missing(deployed: Sandbox, client: FlaskClient) -> None:
    answer = post_csv(client, f"{HEADER}\n,300,12\n20,300,12\n")

    expected = pd.DataFrame({"lastmonth_activity": [float("nan"), 20.0]})
    expected[FEATURES[1:]] = [[300, 12], [300, 12]]
    assert answer.get_json() == said_by_model(deployed, expected)


def test_identical_rows_are_each_answered(client: FlaskClient) -> None:
    answer = post_csv(client, f"{HEADER}\n" + "20,300,12\n" * 7)

    assert len(answer.get_json()["predictions"]) == 7


def test_a_bad_row_among_many_is_null_in_its_place(deployed: Sandbox, client: FlaskClient) -> None:
    rows = [row.split(",", 1)[1].rsplit(",", 1)[0] for row in client_rows(0, 30)]
    good = pd.DataFrame([[float(cell) for cell in row.split(",")] for row in rows])
    expected = said_by_model(deployed, good.set_axis(FEATURES, axis=1))

    answer = post_csv(client, "\n".join([HEADER, *rows[:4], "many,300,12", *rows[4:]]) + "\n")

    said = answer.get_json()
    assert (said["predictions"].pop(4), said["risk"].pop(4)) == (None, None)
    assert said.pop("bad_rows") == [{"line": 6, "reason": "lastmonth_activity is not a number"}]
    assert said == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the CSV is empty; expected a header line and rows"),
        (f"{HEADER}\n", "the CSV has a header and no rows below it"),
        (
            "lastmonth_activity,lastyear_activity\n20,300\n",
            "the CSV lacks the column number_of_employees; it has lastmonth_activity,"
            " lastyear_activity",
        ),
        (
            f"{HEADER},lastmonth_activity\n1,2,3,4\n",
            "the CSV has the column lastmonth_activity more than once",
        ),
        (
            f"{HEADER}\nmany,300,12\n",
            "the CSV has too many bad rows: 1 of 1, more than a tenth"
            " (line 2: lastmonth_activity is not a number)",
        ),
        (
            f"{HEADER}\n20,inf,12\n",
            "the CSV has too many bad rows: 1 of 1, more than a tenth"
            " (line 2: lastyear_activity is not a number)",
        ),
        (
            f"{HEADER}\n20,300\n",
            "the CSV has too many bad rows: 1 of 1, more than a tenth"
            " (line 2: has 2 fields where the header has 3)",
        ),
        (f'{HEADER}\n"20,300,12\n', "the CSV has a quote in line 2 that never closes"),
        (b"\xff\xfea\0", "the CSV is UTF-16; expected UTF-8"),
        (b"PK\x03\x04zip", "the CSV is a zip archive or spreadsheet; expected plain CSV text"),
        (HEADER.encode() + b"\n20,300,\xff\n", "the CSV is not UTF-8: byte 0xff"),
        (
            HEADER.encode() + b"\n20,300,\0\n",
            "the CSV holds binary content in line 2; expected CSV text",
        ),
    ],
)
@pytest.mark.parametrize("way", ["body", "upload"])
def test_csv_that_cannot_be_used_is_refused_with_the_reason(
    client: FlaskClient, way: str, text: str | bytes, message: str
) -> None:
    content = text.encode() if isinstance(text, str) else text
    if way == "body":
        answer = post_csv(client, content)
    else:
        answer = client.post("/prediction", data={"file": (io.BytesIO(content), "mine.csv")})

    assert error_of(answer, 422).startswith(message)


def test_a_refused_file_tells_nothing_of_what_it_holds(
    deployed: Sandbox, client: FlaskClient
) -> None:
    deployed.write("sourcedata/c.csv", "Secret Ltd,10,200,5,1\nOther Ltd,20,300,80,0\n")

    assert "Secret" not in error_of(ask(client, filename="c.csv"), 422)


# --- requests that are none ---


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"20,300,12", None),
        (b"20,300,12", "text/plain"),
        (b"{}", "application/xml"),
        (b"filepath=testdata.csv", "application/x-www-form-urlencoded"),
    ],
)
def test_another_content_type_is_refused(
    client: FlaskClient, body: bytes, content_type: str | None
) -> None:
    answer = client.post("/prediction", data=body, content_type=content_type)

    expected = 'send JSON, text/csv, or a CSV file as the form field "file"'
    assert error_of(answer, 415) == expected


def test_an_upload_under_another_name_is_refused(client: FlaskClient) -> None:
    answer = client.post("/prediction", data={"csv": (io.BytesIO(b"x"), "mine.csv")})

    assert error_of(answer, 415).startswith("send JSON, text/csv, or a CSV file")


@pytest.mark.parametrize("way", ["json", "csv", "upload"])
def test_a_body_that_is_too_large_is_refused(deployed: Sandbox, way: str) -> None:
    app = create_app(deployed.config)
    app.config["MAX_CONTENT_LENGTH"] = 1000
    client, text = app.test_client(), f"{HEADER}\n" + "20,300,12\n" * 200
    ways: dict[str, Callable[[], TestResponse]] = {
        "json": lambda: ask(client, clients=[CLIENT] * 50),
        "csv": lambda: post_csv(client, text),
        "upload": lambda: client.post(
            "/prediction", data={"file": (io.BytesIO(text.encode()), "mine.csv")}
        ),
    }

    error_of(ways[way](), 413)


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH"])
def test_another_method_is_refused(client: FlaskClient, method: str) -> None:
    error_of(client.open("/prediction", method=method), 405)


@pytest.mark.parametrize(
    "path", ["/scoring", "/summarystats", "/diagnostics", "/risk", "/movers", "/health", "/ready"]
)
def test_what_is_only_read_cannot_be_posted_to(client: FlaskClient, path: str) -> None:
    error_of(client.post(path, json={}), 405)


def test_a_refused_method_comes_with_those_allowed(client: FlaskClient) -> None:
    assert client.put("/risk").headers["Allow"] == "GET, HEAD, OPTIONS"


@pytest.mark.parametrize(
    "path", ["/nope", "/client/", "/page.css/", "/prediction/", "/static/app.py", "/risk/"]
)
def test_an_unknown_address_is_refused(client: FlaskClient, path: str) -> None:
    error_of(client.get(path), 404)


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


def test_scoring_follows_the_test_data(deployed: Sandbox, client: FlaskClient) -> None:
    client.get("/scoring")
    deployed.write("testdata/more.csv", client_rows(95_000, 40))

    assert client.get("/scoring").get_json()["rows"] == 100


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


def test_summarystats_follow_new_data(deployed: Sandbox, client: FlaskClient) -> None:
    client.get("/summarystats")
    deployed.write("sourcedata/c.csv", client_rows(300, 9))
    deployed.run("ingestion")

    assert client.get("/summarystats").get_json() == statistics(deployed)


def test_summarystats_follow_a_rebuild_of_the_same_size(
    deployed: Sandbox, client: FlaskClient
) -> None:
    client.get("/summarystats")
    path = deployed.root / "sourcedata/a.csv"
    text = path.read_text()
    path.write_text(text.replace(",200,", ",900,", 1))
    assert text != path.read_text()
    assert deployed.run("ingestion", "--rebuild").code == 0

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


def test_diagnostics_measure_nothing(deployed: Sandbox, client: FlaskClient) -> None:
    record_diagnostics(deployed.config)
    before = client.get("/diagnostics").get_json()
    for folder in ("ingesteddata", "sourcedata", "testdata", "models"):
        shutil.rmtree(deployed.root / folder)

    assert client.get("/diagnostics").get_json() == before


def test_diagnostics_before_anything_was_recorded_are_empty(client: FlaskClient) -> None:
    answer = client.get("/diagnostics").get_json()

    assert (answer["missing_percent"], answer["packages"]) == ({}, [])


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
        }
        for row in rows
    ]


RANKED = ["rank", "client", "risk", "band", "release", "contact", "reasons"]


def test_risk_gives_the_fifty_clients_most_at_risk(deployed: Sandbox, client: FlaskClient) -> None:
    answer = client.get("/risk")

    assert answer.status_code == 200
    assert answer.get_json() == {"total": 64, "clients": ranking(deployed)[:50]}
    first = answer.get_json()["clients"][0]
    assert list(first) == [*RANKED, "expected_loss", "loss_rank"]
    assert first["reasons"][0].startswith("number of employees ")
    assert (first["contact"], first["expected_loss"], first["loss_rank"]) == (True, None, None)


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


def test_risk_by_risk_is_the_ranking(valued: Sandbox) -> None:
    client = create_app(valued.config).test_client()

    assert client.get("/risk?sort=risk").get_json() == client.get("/risk").get_json()


def test_one_client_has_its_expected_loss(valued: Sandbox) -> None:
    third = ranking(valued)[2]

    answer = create_app(valued.config).test_client().get(f"/risk/{third['client']}")

    assert answer.get_json() == third
    assert third["expected_loss"] > 0


def test_without_a_client_value_there_is_no_expected_loss(client: FlaskClient) -> None:
    answer = client.get("/risk?sort=expected_loss")

    told = "there is no expected_loss: config.json names no client_value"
    assert error_of(answer, 400) == told


@pytest.mark.parametrize("word", ["", "name", "RISK", "expected_loss ", "risk,expected_loss"])
def test_another_order_is_refused(client: FlaskClient, word: str) -> None:
    answer = client.get("/risk", query_string={"sort": word})

    assert error_of(answer, 400) == "sort must be risk or expected_loss"


@pytest.mark.parametrize(("limit", "count"), [("1", 1), ("7", 7), ("64", 64), ("1000", 64)])
def test_risk_gives_as_many_as_asked_for(
    deployed: Sandbox, client: FlaskClient, limit: str, count: int
) -> None:
    answer = client.get("/risk", query_string={"limit": limit})

    assert answer.get_json() == {"total": 64, "clients": ranking(deployed)[:count]}


@pytest.mark.parametrize(
    "limit",
    [
        *["0", "-1", "1.5", "many", "", " 5", "²", "٣", "1e3", "0x10", "9" * 20],
        pytest.param("9" * 5000, id="5000 digits"),
    ],
)
def test_a_limit_that_is_no_whole_number_is_refused(client: FlaskClient, limit: str) -> None:
    answer = client.get("/risk", query_string={"limit": limit})

    assert error_of(answer, 400) == "limit must be a whole number of at least 1"


def test_one_client_s_risk_is_its_line_of_the_ranking(
    deployed: Sandbox, client: FlaskClient
) -> None:
    third = ranking(deployed)[2]

    answer = client.get(f"/risk/{third['client']}")

    assert (answer.status_code, answer.get_json()) == (200, third)


NAMES = ["Müller & Söhne", "Smith / Jones", "a/b/c", "50% Off?", "O'Neill #2", "株式会社", "007"]
NAMES += [
    "=1+1",
    "-dash",
    "@home",
    "'quoted",
    "NA",
    "null",
    "Über Ltd.",
    'The "Best", Inc.',
    "C:\\Corp",
    "1e5",
    "True",
    "ends/",
]


@pytest.fixture
def named(sandbox: Sandbox) -> Sandbox:
    """A project whose clients have names of all kinds."""
    rows = client_rows(0, 40, outcome="0") + client_rows(40, 40, outcome="1")
    quoted = ['"' + name.replace('"', '""') + '"' for name in [*NAMES, "x//y", "/x", "//"]]
    rows += [f"{name},20,300,{i},0" for i, name in enumerate(quoted)]
    sandbox.write("sourcedata/a.csv", rows)
    for stage in ("ingestion", "training", "scoring", "deployment", "reporting"):
        assert sandbox.run(stage).code == 0
    return sandbox


def test_a_client_is_found_whatever_its_name(named: Sandbox) -> None:
    client = create_app(named.config).test_client()

    found = {name: client.get(f"/risk/{requests.utils.quote(name, safe='')}") for name in NAMES}

    assert {name: answer.status_code for name, answer in found.items()} == dict.fromkeys(NAMES, 200)
    assert [answer.get_json()["client"] for answer in found.values()] == NAMES


def test_a_client_whose_name_is_a_number_keeps_its_zeros(sandbox: Sandbox) -> None:
    rows = [row.replace("client", "", 1) for row in client_rows(7, 60)]
    sandbox.write("sourcedata/a.csv", rows)
    for stage in ("ingestion", "training", "scoring", "deployment", "reporting"):
        assert sandbox.run(stage).code == 0
    name = next(row.split(",")[0] for row in rows if row.endswith(",0"))

    answer = create_app(sandbox.config).test_client().get(f"/risk/{name}")

    assert (answer.status_code, answer.get_json()["client"]) == (200, name)


@pytest.mark.parametrize("name", ["x//y", "/x", "//"])
def test_a_client_whose_name_has_odd_slashes_is_found(named: Sandbox, name: str) -> None:
    client = create_app(named.config).test_client()

    answer = client.get(f"/risk/{requests.utils.quote(name, safe='')}")

    assert (answer.status_code, answer.get_json()["client"]) == (200, name)


@pytest.mark.parametrize("name", ["nobody", "client00060 ", "CLIENT00060", "..", "client00060/x"])
def test_an_unknown_client_is_not_found(client: FlaskClient, name: str) -> None:
    answer = client.get(f"/risk/{requests.utils.quote(name, safe='')}")

    assert error_of(answer, 404) == "no client of that name is in the ranking"


def test_a_client_who_left_is_not_in_the_ranking(deployed: Sandbox, client: FlaskClient) -> None:
    left = client_rows(0, 60, noise=NOISE)
    name = next(row.split(",")[0] for row in left if row.endswith(",1"))

    assert error_of(client.get(f"/risk/{name}"), 404) == "no client of that name is in the ranking"
    assert deployed.query("SELECT count(*) FROM files") == [(2,)]


def test_a_new_ranking_is_served_at_once(deployed: Sandbox, client: FlaskClient) -> None:
    assert client.get("/risk").get_json()["total"] == 64
    deployed.write("sourcedata/c.csv", ["Newcomer,10,200,5,"])
    for stage in ("ingestion", "reporting"):
        assert deployed.run(stage).code == 0

    assert client.get("/risk").get_json()["total"] == 65
    assert client.get("/risk/Newcomer").status_code == 200


# --- movers ---


def test_of_the_first_ranking_nobody_moved(deployed: Sandbox, client: FlaskClient) -> None:
    assert client.get("/movers").get_json() == {
        "release_before": None,
        "release": live_release(deployed.config.prod_deployment_path).id,
        "rose": [],
        "fell": [],
    }


def test_movers_are_those_since_the_ranking_before(deployed: Sandbox, client: FlaskClient) -> None:
    before = ranking(deployed)
    first, last = before[0], before[-1]
    rows = [f"{first['client']},49,499,94,", f"{last['client']},10,200,5,"]
    deployed.write("sourcedata/c.csv", rows)
    for stage in ("ingestion", "reporting"):
        assert deployed.run(stage).code == 0

    answer = client.get("/movers").get_json()

    after = {row["client"]: round(row["risk"], 2) for row in ranking(deployed)}
    release = live_release(deployed.config.prod_deployment_path).id

    def mover(row: dict[str, Any]) -> dict[str, Any]:
        before, risk = round(row["risk"], 2), after[row["client"]]
        change = round(risk - before, 2)
        return {"client": row["client"], "before": before, "risk": risk, "change": change}

    assert answer == {
        "release_before": release,
        "release": release,
        "rose": [mover(last)],
        "fell": [mover(first)],
    }


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


def test_a_server_is_ready_once_a_release_is_live(source: Sandbox) -> None:
    client = create_app(source.config).test_client()
    assert client.get("/ready").status_code == 503
    for stage in ("ingestion", "training", "scoring", "deployment"):
        assert source.run(stage).code == 0

    assert client.get("/ready").get_json() == {"status": "ready", "release": live(source).id}


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


def test_a_redeploy_is_served_without_a_restart(deployed: Sandbox, client: FlaskClient) -> None:
    before = ask(client, filepath=TEST_DATA).get_json()
    assert client.get("/scoring").get_json()["f1"] == live(deployed).f1

    release = redeploy(deployed)

    after = ask(client, filepath=TEST_DATA).get_json()
    assert after == said_of_file(deployed, TEST_DATA)
    assert after["release"] == release.id != before["release"]
    assert after["predictions"] != before["predictions"]
    assert client.get("/scoring").get_json()["f1"] == release.f1


def test_a_rollback_is_served_without_a_restart(deployed: Sandbox, client: FlaskClient) -> None:
    before = ask(client, filepath=TEST_DATA).get_json()
    redeploy(deployed)
    assert ask(client, filepath=TEST_DATA).get_json() != before

    assert deployed.run("deployment", "--rollback").code == 0

    assert ask(client, filepath=TEST_DATA).get_json() == before


@pytest.mark.parametrize("file", ["trainedmodel.pkl", "manifest.json", "latestscore.txt"])
def test_a_damaged_new_release_is_not_served_and_the_old_one_goes_on(
    deployed: Sandbox, client: FlaskClient, file: str
) -> None:
    before = ask(client, filepath=TEST_DATA).get_json()
    release = redeploy(deployed)
    (release.path / file).write_bytes(b"{}")

    after = [ask(client, filepath=TEST_DATA).get_json() for _ in range(2)]

    assert after == [before, before]
    assert client.get("/ready").get_json()["release"] == before["release"]


def test_a_server_that_knows_only_a_damaged_release_answers_503(
    deployed: Sandbox, client: FlaskClient
) -> None:
    (live(deployed).path / "trainedmodel.pkl").write_bytes(b"damaged")

    for path in ("/ready", "/scoring", "/prediction?filename=testdata.csv"):
        assert error_of(client.get(path), 503) == "no release is live"
    assert client.get("/health").status_code == 200


# --- over a real port ---


def test_a_live_server_answers_many_at_once(deployed: Sandbox) -> None:
    expected = said_of_file(deployed, TEST_DATA)
    with serving(deployed.config) as url, ThreadPoolExecutor(8) as pool:

        def asked(_: int) -> tuple[int, Any]:
            answer = requests.post(f"{url}/prediction", json={"filepath": TEST_DATA}, timeout=600)
            return answer.status_code, answer.json()

        found = list(pool.map(asked, range(24)))

    assert found == [(200, expected)] * 24


def test_a_live_server_refuses_a_path_that_climbs_in_the_address(deployed: Sandbox) -> None:
    with serving(deployed.config) as url:
        session = requests.Session()
        request = requests.Request("GET", f"{url}/risk/x").prepare()
        request.url = f"{url}/risk/../../../../etc/passwd"
        answer = session.send(request, timeout=600)
        session.close()

    assert (answer.status_code, list(answer.json())) == (404, ["error"])


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
