import sqlite3
from pathlib import Path

import pytest

from pipeline.core.errors import HistoryError
from pipeline.monitoring.decisions import Decision, ScoreDrift
from pipeline.monitoring.packages import Package
from pipeline.monitoring.scores import Scores
from pipeline.storage import database as module
from pipeline.storage.database import History
from pipeline.storage.driftrecords import record_drift
from pipeline.storage.history import open_history
from pipeline.storage.ledger import unsettled_since
from pipeline.storage.migrations import MIGRATIONS
from pipeline.storage.records import (
    batch_scores,
    last_missing,
    last_packages,
    last_timings,
    record_decision,
    record_deployment,
    record_missing,
    record_packages,
    record_scores,
    record_timing,
    recorded_f1,
    recorded_run,
)

SCORES = Scores(
    rows=10,
    f1=0.5,
    accuracy=0.6,
    precision=0.7,
    recall=0.4,
    roc_auc=0.8,
    average_precision=0.75,
    log_loss=0.3,
    brier=0.2,
)
UNDEFINED = Scores(3, None, 1.0, None, None, None, None, 0.1, 0.01)


def rows(history: History, sql: str) -> list[tuple[object, ...]]:
    return [tuple(row) for row in history.query(sql)]


def test_opening_makes_the_folder_and_all_tables(tmp_path: Path) -> None:
    with History(tmp_path / "state/history.db") as history:
        tables = rows(history, "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")
        version = rows(history, "PRAGMA user_version")
    assert [name for (name,) in tables] == [
        "buckets",
        "client_risk",
        "decisions",
        "deployments",
        "files",
        "input_drift",
        "master",
        "missing",
        "packages",
        "ranked_clients",
        "rankings",
        "rejected_rows",
        "runs",
        "score_drift",
        "scores",
        "sqlite_sequence",
        "timings",
    ]
    assert version == [(len(MIGRATIONS),)]


def test_opening_again_writes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    History(path).close()
    before = path.read_bytes()
    History(path).close()
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["history.db"]


def test_what_was_written_is_there_after_opening_again(tmp_path: Path) -> None:
    with History(tmp_path / "history.db") as history:
        record_timing(history, "training", 1.5, 10)
    with History(tmp_path / "history.db") as history:
        assert last_timings(history) == {"training": 1.5}


def test_an_empty_file_becomes_a_history(tmp_path: Path) -> None:
    (tmp_path / "history.db").touch()
    with History(tmp_path / "history.db") as history:
        assert rows(history, "SELECT bytes, rows, rebuilding FROM master") == [(0, 0, 0)]


def test_an_older_database_gets_the_steps_it_lacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with History(tmp_path / "history.db") as history:
        record_timing(history, "training", 1.5, 10)
    step = "ALTER TABLE timings ADD COLUMN host TEXT;\nUPDATE timings SET host = 'here'"
    monkeypatch.setattr(module, "MIGRATIONS", (*MIGRATIONS, step))
    with History(tmp_path / "history.db") as history:
        assert rows(history, "SELECT stage, host FROM timings") == [("training", "here")]
        assert rows(history, "PRAGMA user_version") == [(len(MIGRATIONS) + 1,)]


def test_a_step_that_fails_leaves_the_database_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "history.db"
    History(path).close()
    step = "ALTER TABLE timings ADD COLUMN host TEXT;\nUPDATE nowhere SET host = 'here'"
    monkeypatch.setattr(module, "MIGRATIONS", (*MIGRATIONS, step))
    with pytest.raises(HistoryError, match="no such table: nowhere"):
        History(path)
    monkeypatch.undo()
    with History(path) as history:
        record_timing(history, "training", 1.5, 10)
        assert "host" not in history.query("SELECT * FROM timings")[0].keys()  # noqa: SIM118


def test_a_newer_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    with History(path) as history:
        history.query(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    before = path.read_bytes()
    with pytest.raises(HistoryError) as caught:
        History(path)
    assert str(caught.value) == f"{path} was written by a newer version of this project"
    assert path.read_bytes() == before


def test_another_file_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    path.write_text("client,outcome\n" * 100)
    with pytest.raises(HistoryError) as caught:
        History(path)
    assert str(caught.value) == f"{path} is no history database of ours: file is not a database"
    assert path.read_text() == "client,outcome\n" * 100


def test_another_programs_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE files (name)")
    other.commit()
    other.close()
    before = path.read_bytes()
    with pytest.raises(HistoryError, match=r"no history database of ours: table files already"):
        History(path)
    assert path.read_bytes() == before


def test_a_folder_in_its_place_is_refused(tmp_path: Path) -> None:
    with pytest.raises(HistoryError):
        History(tmp_path)


def test_what_a_transaction_wrote_counts_at_its_end(history: History) -> None:
    with history.transaction():
        record_timing(history, "training", 1.5, 10)
        record_timing(history, "ingestion", 0.5, 10)
    assert last_timings(history) == {"ingestion": 0.5, "training": 1.5}


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, sqlite3.IntegrityError])
def test_a_transaction_that_fails_leaves_nothing(
    history: History, error: type[BaseException]
) -> None:
    record_timing(history, "training", 1.5, 10)

    def write_and_fail() -> None:
        with history.transaction():
            record_timing(history, "training", 9.9, 10)
            raise error

    with pytest.raises(error):
        write_and_fail()
    assert last_timings(history) == {"training": 1.5}


def test_after_a_failed_transaction_another_one_goes_through(history: History) -> None:
    with pytest.raises(RuntimeError), history.transaction():
        raise RuntimeError
    with history.transaction():
        record_timing(history, "training", 1.5, 10)
    assert last_timings(history) == {"training": 1.5}


def test_another_connection_sees_a_transaction_only_when_it_is_whole(history: History) -> None:
    with open_history(history.place) as other:
        with history.transaction():
            record_timing(history, "training", 1.5, 10)
            assert last_timings(other) == {}
        assert last_timings(other) == {"training": 1.5}


def test_rows_that_hang_on_nothing_are_refused(history: History) -> None:
    with pytest.raises(Exception, match=r"(?i)foreign key constraint") as caught:
        history.insert("rejected_rows", file_id=7, line=1, reason="", row="")
    assert not isinstance(caught.value, HistoryError)  # it is a bug


def test_one_is_the_first_row_or_none(history: History) -> None:
    assert history.one("SELECT * FROM timings") is None
    record_timing(history, "training", 1.5, 10)
    row = history.one("SELECT stage, seconds, rows FROM timings")
    assert row
    assert tuple(row) == ("training", 1.5, 10)


def test_insert_returns_the_id(history: History) -> None:
    ids = [history.insert("runs", command="x", started_at="t") for _ in range(2)]
    assert ids == [1, 2]


def test_a_run_that_is_done_is_recorded(history: History) -> None:
    with recorded_run(history, "training"):
        (during,) = rows(history, "SELECT command, ended_at, outcome FROM runs")
    (after,) = rows(history, "SELECT command, ended_at >= started_at, outcome, detail FROM runs")
    assert during == ("training", None, None)
    assert after == ("training", 1, "done", None)


@pytest.mark.parametrize("error", [ValueError("no rows"), KeyboardInterrupt("no rows")])
def test_a_run_that_fails_is_recorded_with_the_error(
    history: History, error: BaseException
) -> None:
    with pytest.raises(type(error)), recorded_run(history, "training"):
        raise error
    assert rows(history, "SELECT outcome, detail FROM runs WHERE ended_at IS NOT NULL") == [
        ("failed", f"{type(error).__name__}: no rows")
    ]


def test_all_scores_are_recorded(history: History) -> None:
    record_scores(history, "abc", "new rows", SCORES)
    columns = "f1, accuracy, precision, recall, roc_auc, average_precision, log_loss, brier"
    assert rows(history, f"SELECT model_sha256, data, rows, {columns} FROM scores") == [
        ("abc", "new rows", 10, 0.5, 0.6, 0.7, 0.4, 0.8, 0.75, 0.3, 0.2)
    ]


def test_undefined_scores_are_null(history: History) -> None:
    record_scores(history, "abc", "new rows", UNDEFINED)
    assert rows(history, "SELECT f1, precision, recall, roc_auc FROM scores") == [(None,) * 4]


def test_the_f1_on_the_test_data_recorded_last_is_a_models(history: History) -> None:
    record_scores(history, "abc", "test data", SCORES)
    record_scores(history, "abc", "test data", Scores(**{**vars(SCORES), "f1": 0.1 + 0.2}))
    record_scores(history, "abc", "new rows", UNDEFINED)
    record_scores(history, "def", "test data", SCORES)
    assert recorded_f1(history, "abc") == 0.1 + 0.2


def test_a_model_never_scored_has_no_f1(history: History) -> None:
    record_scores(history, "abc", "new rows", SCORES)
    assert recorded_f1(history, "abc") is None


def test_a_decision_is_recorded_whole(history: History) -> None:
    decision = Decision(
        files='["a.csv"]',
        rows=8,
        labelled=7,
        release="000001",
        deployed_f1=0.8,
        new_f1=0.1,
        verdict="drift",
        action="deployed",
        reason="because",
        champion_f1=0.2,
        challenger_f1=0.6,
        new_release="000002",
        drift_test="raw",
        gate="better",
        difference_low=0.125,
        difference_high=0.5,
    )
    record_decision(history, decision)
    (row,) = history.query("SELECT * FROM decisions")
    assert Decision(**{k: row[k] for k in vars(decision)}) == decision


def judged(history: History, release: str, f1: float | None, *, raw: str | None = None) -> None:
    """Record a decision, and what the raw test said, unless it is one of a former version."""
    decision = Decision("[]", 60, 60, release, 0.8, f1, "no drift", "kept", "")
    made = record_decision(history, decision)
    if raw:
        record_drift(history, made, [ScoreDrift("raw", raw, "", {})], [])


def test_the_batch_scores_of_a_release_are_its_own_in_order(history: History) -> None:
    for release, f1 in [("000001", 0.75), ("000002", 0.25), ("000001", 0.5), ("000001", None)]:
        judged(history, release, f1, raw="no drift")
    judged(history, "000001", 0.625)
    judged(history, "000001", 0.0, raw="drift")
    assert batch_scores(history, "000001") == [0.75, 0.5, 0.625, 0.0]
    assert batch_scores(history, "000003") == []


def test_batches_that_say_nothing_are_not_among_the_batch_scores(history: History) -> None:
    judged(history, "000001", 0.75, raw="no drift")
    judged(history, "000001", 1.0, raw="not enough evidence")
    judged(history, "000001", 0.0, raw="not enough evidence")
    assert batch_scores(history, "000001") == [0.75]


def test_a_deployment_is_recorded(history: History) -> None:
    record_deployment(history, "000001", "deploy", 0.8)
    record_deployment(history, "000002", "rollback", 0.7)
    assert rows(history, "SELECT release, action, f1 FROM deployments ORDER BY id") == [
        ("000001", "deploy", 0.8),
        ("000002", "rollback", 0.7),
    ]


def test_the_last_timing_of_each_stage_counts(history: History) -> None:
    for stage, seconds in [("training", 9.0), ("ingestion", 0.5), ("training", 1.5)]:
        record_timing(history, stage, seconds, 10)
    assert last_timings(history) == {"ingestion": 0.5, "training": 1.5}


def test_missing_percents_come_back_in_order(history: History) -> None:
    percents = {"z": 0.0, "a": 12.5, "m": 100.0}
    record_missing(history, percents)
    assert list(last_missing(history).items()) == list(percents.items())


def test_packages_come_back_in_order(history: History) -> None:
    packages = [Package("pandas", "3.1.1", "3.2.0"), Package("flask", "3.1.3", "unknown")]
    record_packages(history, packages)
    assert last_packages(history) == packages


def test_before_the_first_record_there_is_nothing(history: History) -> None:
    assert (last_timings(history), last_missing(history), last_packages(history)) == ({}, {}, [])


@pytest.mark.parametrize("outcome", [None, "failed"])
def test_what_was_killed_or_failed_is_unsettled_until_the_chain_is_done(
    history: History, outcome: str | None
) -> None:
    assert unsettled_since(history) is None
    history.insert("runs", command="ingestion", started_at="1", outcome="done")
    assert unsettled_since(history) is None
    for started_at in ("2", "3"):
        history.insert("runs", command="ingestion", started_at=started_at, outcome=outcome)
    history.insert("runs", command="ingestion", started_at="4", outcome="done")
    assert unsettled_since(history) == "2"
    history.insert("runs", command="fullprocess", started_at="5", outcome="done")
    assert unsettled_since(history) is None
