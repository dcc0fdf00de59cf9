"""What is made of the history for the pages is made anew when what it is of has changed."""

from pathlib import Path

from pipeline.action.current_ranking import CurrentRanking
from pipeline.core.names import NamesInText
from pipeline.storage.contacts import Contact, erase_records, record_contact
from pipeline.storage.database import History
from pipeline.storage.risk_history import record_risks


def test_changes_are_read_anew_after_a_ranking_or_an_erasure_and_not_after_a_contact(
    tmp_path: Path,
) -> None:
    with History(tmp_path / "history.db") as history:
        record_risks(history, "a", {"A": 0.2, "B": 0.3})
        record_risks(history, "a", {"A": 0.5, "B": 0.6})
        current = CurrentRanking(tmp_path / "clientrisk.csv", tmp_path / "history.db")
        found, movers = current.changes(), current.movers()
        assert set(found) == {"A", "B"}

        with history.transaction():
            record_contact(history, Contact("A", "2026-11-01", "page"))
        assert (current.changes() is found, current.movers() is movers) == (True, True)

        with history.transaction():
            erase_records(history, NamesInText({"A"}), {"A"}, ())
        assert set(current.changes()) == {"B"}

        record_risks(history, "a", {"B": 0.1})
        assert current.changes()["B"].risk == 0.1
