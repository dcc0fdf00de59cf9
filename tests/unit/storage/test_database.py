import sqlite3
from pathlib import Path

import pytest

from pipeline.core.errors import HistoryError
from pipeline.storage.database import History
from pipeline.storage.history import open_history
from pipeline.storage.migrations import MIGRATIONS
from pipeline.storage.records import last_timings, record_timing


def test_opening_makes_the_folder_and_all_tables(tmp_path: Path) -> None:
    with History(tmp_path / "state/history.db") as history:
        tables = history.tuples("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")
        version = history.tuples("PRAGMA user_version")
    assert [name for (name,) in tables] == [
        "alert_marks",
        "alerts",
        "assignments",
        "backups",
        "client_risk",
        "contact_files",
        "contacts",
        "decisions",
        "deliveries",
        "deployments",
        "erasures",
        "expected_scores",
        "files",
        "input_drift",
        "kept_out",
        "master",
        "missing",
        "packages",
        "ranked_clients",
        "rankings",
        "rejected_rows",
        "requests",
        "runs",
        "score_drift",
        "scores",
        "sqlite_sequence",
        "timings",
        "told",
    ]
    assert version == [(len(MIGRATIONS),)]


def test_opening_again_writes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    History(path).close()
    before = path.read_bytes()
    History(path).close()
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["history.db"]


def test_an_older_database_gets_the_steps_it_lacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with History(tmp_path / "history.db") as history:
        record_timing(history, "training", 1.5, 10)
    step = "ALTER TABLE timings ADD os TEXT, ADD host TEXT;\nUPDATE timings SET host = 'here'"
    monkeypatch.setattr(History, "migrations", (*MIGRATIONS, step))
    with History(tmp_path / "history.db") as history:
        assert history.tuples("SELECT stage, host FROM timings") == [("training", "here")]
        assert history.tuples("PRAGMA user_version") == [(len(MIGRATIONS) + 1,)]


def test_a_database_of_a_version_with_buckets_tells_that_it_had_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(History, "migrations", MIGRATIONS[:5])
    with History(tmp_path / "history.db") as history:
        history.query("UPDATE master SET buckets = 16, key_seed = 1")
        history.query("INSERT INTO buckets VALUES (0, 'a', 1, 1)")
    monkeypatch.undo()
    with History(tmp_path / "history.db") as history:
        assert history.tuples("SELECT rows, buckets FROM master") == [(0, 16)]


def test_a_step_that_fails_leaves_the_database_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "history.db"
    History(path).close()
    step = "ALTER TABLE timings ADD COLUMN host TEXT;\nUPDATE nowhere SET host = 'here'"
    monkeypatch.setattr(History, "migrations", (*MIGRATIONS, step))
    with pytest.raises(HistoryError, match="no such table: nowhere"):
        History(path)
    monkeypatch.undo()
    with History(path) as history:
        record_timing(history, "training", 1.5, 10)
        assert "host" not in history.query("SELECT * FROM timings")[0]


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
    with history.transaction():
        record_timing(history, "training", 2.5, 10)
    assert last_timings(history) == {"training": 2.5}


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
    assert history.one("SELECT stage, seconds, rows FROM timings") == {
        "stage": "training",
        "seconds": 1.5,
        "rows": 10,
    }
