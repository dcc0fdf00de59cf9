"""The history over the years: what a run forgets, and questions that cost the same for ever."""

import sqlite3
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sandbox import Sandbox, client_rows

from app import create_app
from pipeline.storage.database import History
from pipeline.storage.risk_history import risk_over_time
from tests.bench.history import fill
from tests.bench.history import questions as asked_often

OLD = "2001-01-01T00:00:00.000Z"
TABLES = (
    *("runs", "scores", "decisions", "deployments", "timings", "missing", "packages"),
    "rankings",
)


def time_column(table: str) -> str:
    return "started_at" if table == "runs" else "at"


def age(world: Sandbox) -> None:
    """Make everything on record old."""
    with History(world.config.history_path) as history:
        for table in TABLES:
            history.query(f"UPDATE {table} SET {time_column(table)} = ?", OLD)
        for column in ("recorded_at", "judged_at", "reported_at"):
            history.query(f"UPDATE files SET {column} = ?", OLD)


def old_rows(world: Sandbox) -> Counter[str]:
    """Table -> how many rows of it are old; tables without are left out."""
    with History(world.config.history_path) as history:
        counts = {
            table: len(history.query(f"SELECT 1 FROM {table} WHERE {time_column(table)} = ?", OLD))
            for table in TABLES
        }
    return +Counter(counts)


def ran(world: Sandbox) -> None:
    result = world.run("fullprocess")
    assert result.code == 0, result.err


# --- what a run forgets ---


def test_a_run_that_finds_the_clock_years_ahead_forgets_nothing(settled: Sandbox) -> None:
    age(settled)
    settled.write("models/reports/2001-01-01.html", "?")
    before = old_rows(settled)
    for number, name in enumerate("cd"):
        settled.write(f"sourcedata/{name}.csv", client_rows(300 + 100 * number, 60))
        ran(settled)
        assert settled.run("reporting").code == 0

    assert old_rows(settled) == before
    assert (settled.root / "models/reports/2001-01-01.html").exists()


def test_a_run_with_work_forgets_what_is_old(settled: Sandbox) -> None:
    age(settled)
    with History(settled.config.history_path) as history:
        for month in range(1, 14):
            at = f"{datetime.now(UTC) - timedelta(days=30 * month):%FT%TZ}"
            history.insert("runs", command="training", started_at=at, outcome="done")
    settled.write("models/reports/2001-01-01.html", "?")
    settled.write("sourcedata/c.csv", client_rows(300, 60))

    ran(settled)

    assert not (settled.root / "models/reports/2001-01-01.html").exists()

    # the last of its kind is kept: no drift, so nothing was trained, deployed or asked of pip
    packages = settled.query("SELECT count(*) FROM packages")[0][0]
    assert old_rows(settled) == {
        "scores": 1,  # of the live model, on the test data
        "deployments": 1,
        "timings": 1,  # of the last training
        "rankings": 1,  # in which the clients got the risk that they have
        **({"packages": packages} if packages else {}),
    }


def test_a_run_keeps_what_is_younger_than_the_config_says(settled: Sandbox) -> None:
    with History(settled.config.history_path) as history:
        fill(history, 301)  # almost one a day
    oldest = f"{datetime.now(UTC) - timedelta(100):%F}"
    of_these = "SELECT at FROM decisions WHERE files = '[\"export.csv\"]'"
    expected = [row for row in settled.query(of_these) if row[0] >= oldest]
    settled.configure(keep_history_days=100)
    settled.write("sourcedata/c.csv", client_rows(300, 60))

    ran(settled)

    assert settled.query(of_these) == expected
    assert len(expected) in (101, 102)


def test_a_run_without_work_forgets_nothing(settled: Sandbox) -> None:
    age(settled)
    before = old_rows(settled)

    ran(settled)

    assert old_rows(settled) == before


# --- what questions cost ---


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How many steps SQLite's engine takes, under the key `taken`."""
    counted: Counter[str] = Counter()
    connect = sqlite3.connect

    def step() -> None:
        counted["taken"] += 1

    def counting(*args: Any, **kwargs: Any) -> sqlite3.Connection:
        connection: sqlite3.Connection = connect(*args, **kwargs)
        connection.set_progress_handler(step, 1)
        return connection

    monkeypatch.setattr(sqlite3, "connect", counting)
    return counted


def questions(world: Sandbox) -> dict[str, Callable[[], object]]:
    """What is asked again and again, by people, cron and other programs."""
    client = create_app(world.config).test_client()
    client_at_risk = client.get("/risk?limit=1").get_json()["clients"][0]["client"]

    def risks() -> None:
        with History(world.config.history_path) as history:
            assert len(risk_over_time(history, client_at_risk)) == 1

    return {
        **asked_often(world.config),
        "an empty tick": lambda: world.run("fullprocess"),
        "the risk of a client over time": risks,
    }


def costs(world: Sandbox, steps: Counter[str]) -> dict[str, int]:
    """Question -> steps that SQLite takes for it, once what is remembered is warm."""
    found = {}
    for name, ask in questions(world).items():
        ask()
        steps.clear()
        ask()
        found[name] = steps["taken"]
    return found


@pytest.mark.parametrize("runs", [1_000, pytest.param(200_000, marks=pytest.mark.slow)])
def test_no_question_costs_more_the_longer_the_history(
    settled: Sandbox, steps: Counter[str], runs: int
) -> None:
    with History(settled.config.history_path) as history:
        fill(history, 20)
    few = costs(settled, steps)
    with History(settled.config.history_path) as history:
        fill(history, runs)

    assert costs(settled, steps) == few
    assert few["/diagnostics"] > 0
