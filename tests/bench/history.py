"""A history of many runs, and what is asked of it again and again."""

from collections.abc import Callable
from functools import partial
from urllib.parse import quote

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from pipeline.core.config import Config
from pipeline.reporting.status import read_status, status_lines
from pipeline.storage.database import History
from pipeline.web.app import create_app

ENDPOINTS = (
    "/health",
    "/ready",
    "/diagnostics",
    "/summarystats",
    "/scoring",
    "/prediction?filename=testdata.csv",
    "/risk",
)

# What a run leaves that took in a new version of the same file, one in ten with a redeployment.
# `n` numbers the runs from 1; `at` is when each was, spread over the 300 days before now.
_FILL = (
    "INSERT INTO runs (command, started_at, ended_at, outcome)"
    " SELECT 'fullprocess', at, at, 'done' FROM n",
    "INSERT INTO files (name, size, mtime_ns, sha256, status, rows, added, duplicates, rejected,"
    " start_row, end_row, recorded_at, judged_at, reported_at, current)"
    " SELECT 'export.csv', 1000, i, hex(randomblob(32)), 'ingested', 50, 0, 50, 0, 0, 0, at, at,"
    " at, 0 FROM n",
    "INSERT INTO rejected_rows (file_id, line, reason, row)"
    " SELECT (SELECT max(id) FROM files) + 1 - i, 2, 'has 3 fields where the header has 5', 'a,b,c'"
    " FROM n WHERE i % 10 = 0",
    "INSERT INTO scores (at, model_sha256, data, rows, f1)"
    " SELECT at, hex(randomblob(32)), 'new rows', 50, 0.7 FROM n",
    "INSERT INTO scores (at, model_sha256, data, rows, f1)"
    " SELECT at, hex(randomblob(32)), 'test data', 50, 0.7 FROM n WHERE i % 10 = 0",
    "INSERT INTO decisions (at, files, rows, labelled, release, deployed_f1, new_f1, verdict,"
    " action, reason) SELECT at, '[\"export.csv\"]', 50, 50, '000001-20260101T000000Z', 0.7, 0.71,"
    " 'no drift', 'kept', 'F1 on the new rows is 0.7100, not lower than the deployed 0.7000'"
    " FROM n",
    "INSERT INTO deployments (at, release, action, f1)"
    " SELECT at, '000001-20260101T000000Z', 'deploy', 0.7 FROM n WHERE i % 10 = 0",
    "INSERT INTO timings (at, stage, seconds, rows) SELECT at, 'ingestion', 0.1, 50 FROM n",
    "INSERT INTO timings (at, stage, seconds, rows)"
    " SELECT at, 'training', 0.1, 50 FROM n WHERE i % 10 = 0",
    "INSERT INTO missing (at, position, column_name, percent)"
    " SELECT at, p.value, 'column' || p.value, 3.0 FROM n, json_each('[0, 1, 2, 3, 4]') AS p",
    "INSERT INTO packages (at, position, package, installed, latest)"
    " SELECT at, p.value, 'package' || p.value, '1.0', '1.1'"
    " FROM n, json_each('[0, 1, 2, 3, 4, 5, 6, 7, 8]') AS p WHERE i % 10 = 0",
    "INSERT OR IGNORE INTO ranked_clients (client) SELECT 'Corporation ' || i % 20 FROM n",
    "INSERT INTO rankings (at, release, clients) SELECT at, '000001-20260101T000000Z', 20 FROM n",
    "INSERT INTO client_risk (client_id, ranking_id, risk)"
    " SELECT (SELECT id FROM ranked_clients WHERE client = 'Corporation ' || i % 20),"
    " (SELECT max(id) FROM rankings) - (SELECT max(i) FROM n) + i, 0.7 FROM n",
)


def fill(history: History, runs: int) -> None:
    """Record so many runs, as if they had been over the last 300 days."""
    with history.transaction():
        history.query("CREATE TEMP TABLE n (i INTEGER PRIMARY KEY, at TEXT NOT NULL)")
        history.query(
            "INSERT INTO n WITH RECURSIVE c (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c"
            " WHERE i < ?) SELECT i, strftime('%Y-%m-%dT%H:%M:%fZ', 'now',"
            " ((i - ?) * 300.0 * 86400 / ?) || ' seconds') FROM c",
            *(runs, runs, runs),
        )
        for statement in _FILL:
            history.query(statement)
        history.query("UPDATE master SET last_file = (SELECT max(id) FROM files)")
        history.query("DROP TABLE n")


def asked(client: FlaskClient, path: str) -> TestResponse:
    """The API's answer, which must be a good one."""
    response = client.get(path)
    if response.status_code != 200:
        raise SystemExit(f"{path}: {response.status_code}: {response.text}")
    return response


def questions(config: Config) -> dict[str, Callable[[], object]]:
    """What is asked again and again: the status, and the API without the network."""
    client = create_app(config).test_client()

    def status() -> None:
        paths = config.input_folder_path, config.prod_deployment_path, config.lock_path
        with History(config.history_path) as history:
            status_lines(read_status(*paths, history, config.schema))

    name = asked(client, "/risk?limit=1").get_json()["clients"][0]["client"]
    paths = {path: path for path in ENDPOINTS} | {"/risk/<client>": f"/risk/{quote(name)}"}
    return {
        "--status": status,
        **{shown: partial(asked, client, path) for shown, path in paths.items()},
    }
