from datetime import UTC, datetime, timedelta

import pytest

from pipeline.data.loader import TakenFile
from pipeline.storage import ledger
from pipeline.storage.database import History
from pipeline.storage.ledger import MasterState
from pipeline.storage.records import record_timing
from pipeline.storage.retention import prune

OLD, NEW = "2001-01-01T00:00:00.000Z", "2999-01-01T00:00:00.000Z"
ROWS = {
    "runs": "INSERT INTO runs (command, started_at) VALUES ('x', ?)",
    "scores": "INSERT INTO scores (at, model_sha256, data, rows) VALUES (?, 'abc', 'new rows', 1)",
    "decisions": "INSERT INTO decisions (at, files, rows, labelled, verdict, action, reason)"
    " VALUES (?, '[]', 1, 1, 'no drift', 'kept', '')",
    "deployments": "INSERT INTO deployments (at, release, action, f1) VALUES (?, 'r', 'deploy', 1)",
    "timings": "INSERT INTO timings (at, stage, seconds, rows) VALUES (?, 'training', 1, 1)",
    "missing": "INSERT INTO missing (at, position, column_name, percent) VALUES (?, 0, 'a', 1)",
    "packages": "INSERT INTO packages (at, position, package, installed, latest)"
    " VALUES (?, 0, 'p', '1', '1')",
}


def times(history: History, table: str) -> list[str]:
    column = "started_at" if table == "runs" else "at"
    return [row[0] for row in history.query(f"SELECT {column} FROM {table} ORDER BY 1")]


@pytest.mark.parametrize("table", ROWS)
def test_what_is_older_is_forgotten(history: History, table: str) -> None:
    for at in (OLD, NEW, NEW):
        history.query(ROWS[table], at)
    prune(history, 365)
    assert times(history, table) == [NEW, NEW]


@pytest.mark.parametrize("table", ROWS)
def test_the_last_of_its_kind_is_kept_however_old_it_is(history: History, table: str) -> None:
    for at in (OLD[:3] + "0" + OLD[4:], OLD):
        history.query(ROWS[table], at)
    prune(history, 365)
    assert times(history, table) == [OLD]


def test_the_last_timing_of_each_stage_is_kept(history: History) -> None:
    for stage in ("ingestion", "ingestion", "training"):
        record_timing(history, stage, 1.0, 1)
    history.query("UPDATE timings SET at = ?", OLD)
    prune(history, 365)
    kept = history.query("SELECT id, stage FROM timings")
    assert [tuple(row) for row in kept] == [(2, "ingestion"), (3, "training")]


def test_the_ledger_is_kept_whole(history: History) -> None:
    ledger.record_files(history, [TakenFile("a.csv", 1, 1, "abc", None)], MasterState(1, 1))
    history.query("UPDATE files SET recorded_at = ?, judged_at = ?", OLD, OLD)
    prune(history, 1)
    assert ledger.ingested_names(history) == ["a.csv"]


def test_days_are_counted_from_now(history: History) -> None:
    history.query(ROWS["decisions"], "")
    history.query(
        "UPDATE decisions SET at = ?", f"{datetime.now(UTC) - timedelta(hours=36):%FT%TZ}"
    )
    for at in (NEW, NEW):
        history.query(ROWS["decisions"], at)
    prune(history, 2)
    assert len(times(history, "decisions")) == 3
    prune(history, 1)
    assert times(history, "decisions") == [NEW, NEW]
