"""How long the status, an empty tick and the API take while the history grows.

Runs the chain on the sample data in a temporary place, fills its history with as many runs as
asked for, and prints the median seconds of each question. Run it from the project's folder:

    python -m tests.bench.bench_history [--runs 1 1000 100000 200000] [--repeat 15]
"""

import argparse
import json
import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter
from urllib.parse import quote

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from app import create_app
from pipeline.core.config import load_config
from pipeline.storage.database import History

PROJECT = Path(__file__).resolve().parents[2]

RUNS = (1, 1_000, 100_000, 200_000)
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
    " start_byte, end_byte, recorded_at, judged_at, reported_at, current)"
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
        history.query("DROP TABLE n")


def seconds(question: Callable[[], object], repeat: int) -> float:
    """The median seconds of a question; it is asked once before."""
    question()
    taken = []
    for _ in range(repeat):
        started = perf_counter()
        question()
        taken.append(perf_counter() - started)
    return median(taken)


def first_world(place: Path, **keys: str) -> Path:
    """A project folder after the first run of the chain on the sample data; its config.

    The config is the project's, with these keys.
    """
    for name in ("sourcedata", "testdata"):
        shutil.copytree(PROJECT / name, place / name)
    told = json.loads((PROJECT / "config.json").read_text())
    (place / "config.json").write_text(json.dumps({**told, **keys}))
    run("fullprocess.py", "--config", str(place / "config.json"))
    return place / "config.json"


def run(*command: str) -> None:
    """Run Python in a process of its own, without a package index to wait for."""
    subprocess.run(
        [sys.executable, *command],
        cwd=PROJECT,
        env={**os.environ, "PIP_PYTHON": "/nowhere"},
        check=True,
        capture_output=True,
    )


def measured(config: Path, repeat: int) -> dict[str, float]:
    """Question -> median seconds: two scripts, and the API without the network."""
    given = ("fullprocess.py", "--config", str(config))
    found = {
        "python -c pass": seconds(lambda: run("-c", "pass"), repeat),
        "fullprocess.py --status": seconds(lambda: run(*given, "--status"), repeat),
        "fullprocess.py, nothing new": seconds(lambda: run(*given), repeat),
    }
    client = create_app(load_config(config)).test_client()
    name = asked(client, "/risk?limit=1").get_json()["clients"][0]["client"]
    paths = {path: path for path in ENDPOINTS} | {"/risk/<client>": f"/risk/{quote(name)}"}
    for shown, path in paths.items():
        found[shown] = seconds(partial(asked, client, path), repeat)
    return found


def asked(client: FlaskClient, path: str) -> TestResponse:
    """The API's answer, which must be a good one."""
    response = client.get(path)
    if response.status_code != 200:
        raise SystemExit(f"{path}: {response.status_code}: {response.text}")
    return response


def table(columns: dict[int, dict[str, float]]) -> list[str]:
    """Questions down, numbers of runs across; at last how many times `python -c pass` it is."""
    sizes = list(columns)
    most = columns[sizes[-1]]
    lines = [
        "| median seconds with so many runs | "
        + " | ".join(f"{size:,}" for size in sizes)
        + " | times `python -c pass` |",
        "| --- |" + " ---: |" * (len(sizes) + 1),
    ]
    for name in most:
        values = " | ".join(f"{columns[size][name]:.4f}" for size in sizes)
        lines.append(f"| `{name}` | {values} | {most[name] / most['python -c pass']:.1f} |")
    return lines


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, nargs="+", default=RUNS, metavar="N")
    parser.add_argument("--repeat", type=int, default=15, metavar="N")
    args = parser.parse_args(argv)
    logging.disable(logging.INFO)
    columns = {}
    with TemporaryDirectory(prefix="history-") as folder:
        first = Path(folder) / "first"
        first.mkdir()
        first_world(first)
        for runs in sorted(args.runs):
            place = Path(folder) / str(runs)
            shutil.copytree(first, place, symlinks=True)
            config = place / "config.json"
            with History(load_config(config).history_path) as history:
                fill(history, runs)
            size = load_config(config).history_path.stat().st_size
            print(f"{runs:,} runs: a history of {size / 2**20:,.0f} MiB", file=sys.stderr)
            columns[runs] = measured(config, args.repeat)
            shutil.rmtree(place)
    print("\n".join(table(columns)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
