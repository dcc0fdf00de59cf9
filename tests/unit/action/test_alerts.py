"""Events as they are found in a history, in a file and on a server."""

from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pipeline.action.alerts import (
    begin,
    count_waiting,
    new_in_high_band,
    notice,
    waiting_for,
)
from pipeline.core.connections import EVENTS, AlertRules, Target
from pipeline.core.errors import DataError, LockHeldError, RejectedError
from pipeline.monitoring.decisions import Action, ChallengeOutcome, Decision, Verdict
from pipeline.storage.database import History
from pipeline.storage.history import open_history, sending_lock
from pipeline.storage.records import record_decision, record_deployment
from pipeline.storage.risk_history import record_risks

NOW = datetime(2026, 12, 1, 12, tzinfo=UTC)  # a Tuesday
ALL = Target("all", "json://here", EVENTS, "weekly")
ONE = Target("one", "json://there", ("recovered",), None)


def look(history: History, *, now: datetime = NOW, error: Exception | None = None) -> list[str]:
    """What a run that ends so finds, by kind and title."""
    sql = "SELECT event || ': ' || title FROM alerts ORDER BY id"
    before = len(history.tuples(sql))
    rules = AlertRules((ALL, ONE), files_days=7, outcomes_days=30)
    notice(history, rules, 0.6, now, error)
    return [text for (text,) in history.tuples(sql)[before:]]


def add_file(history: History, name: str, reason: str | None = None, **others: object) -> None:
    values = dict.fromkeys(
        ("size", "mtime_ns", "rows", "added", "duplicates", "rejected", "start_row", "end_row"), 0
    )
    history.query("UPDATE files SET current = 0 WHERE name = ?", name)
    history.insert(
        "files",
        **values,
        name=name,
        sha256=name,
        reason=reason,
        status="rejected" if reason else "ingested",
        **{"recorded_at": "2026-12-01T11:00:00.000Z", **others},
    )


def decide(history: History, verdict: Verdict, **others: object) -> None:
    given = {"rows": 5, "action": Action.KEPT, "reason": "because", **others}
    record_decision(history, Decision(files="[]", verdict=verdict, **given))  # type: ignore[arg-type]


def test_what_is_on_record_is_found_once(history: History) -> None:
    add_file(history, "old.csv", "is no table")
    record_deployment(history, "000001-x", "deploy", 0.5)
    record_risks(history, "000001-x", {"Acme": 0.2, "Bolt": 0.6, "Cog": 0.7, "Dot": 0.9})
    begin(history, NOW)
    assert look(history) == []

    add_file(history, "old.csv", "is no table")  # as a rebuild reads it again
    for i in range(22):
        add_file(history, f"{i:02}.csv", "is empty")
    judged = "2100-01-01T00:00:00.000Z"
    add_file(history, "held.csv", held="column age is 0", judged_at=judged)
    decide(history, Verdict.DRIFT)
    decide(history, Verdict.NO_DRIFT, challenge=ChallengeOutcome.HELD, challenger="abc")
    decide(history, Verdict.NO_DRIFT, challenge=ChallengeOutcome.HELD, challenger="abc")
    record_deployment(history, "000002-x", "deploy", 0.75)
    record_deployment(history, "000001-x", "rollback", 0.5)
    record_risks(history, "000001-x", {"Acme": 0.8, "Bolt": 0.5, "Cog": 0.7, "Eve": 0.6})
    record_risks(history, "000001-x", {"Acme": 0.8, "Bolt": 0.6, "Cog": 0.7, "Eve": 0.61})

    assert look(history) == [
        "refused_file: 22 files refused",
        "held_back: 1 file held back",
        "drift: Drift in 5 rows",
        "promotion_waits: A challenger waits to be promoted",
        "released: Release 000002-x is live",
        "released: Release 000001-x is live again, by a rollback",
        "high_risk: 2 clients are new in the high band",
    ]
    alerts = waiting_for(history, "all")
    assert alerts[0].event.body.splitlines()[-2:] == ["19.csv: it is empty", "and 2 more"]
    assert alerts[1].event.body == "held.csv: column age is 0"
    assert alerts[4].event.body == "F1 0.7500 on the test data."
    # until it was looked, Bolt was in the high band
    assert new_in_high_band(history, alerts[-1].event, 0.6) == [("Acme", 0.8), ("Eve", 0.61)]
    assert count_waiting(history) == len(alerts)
    assert look(history) == []


def test_the_first_ranking_has_nobody_new(history: History) -> None:
    begin(history, NOW)
    record_risks(history, "000001-x", {"Acme": 0.9})
    assert look(history) == []
    record_risks(history, "000001-x", {"Acme": 0.9, "Bolt": 0.9})
    assert look(history) == ["high_risk: 1 client is new in the high band"]


def test_failures_and_kills_are_one_until_a_run_succeeds(history: History) -> None:
    begin(history, NOW)
    assert look(history, error=DataError("no folder")) == ["failed: A run failed"]
    history.insert("runs", command="fullprocess", started_at="2026-12-01T11:00:00.000Z")
    assert look(history, error=OSError("disk")) == []
    assert look(history, error=RejectedError("e.csv")) == ["recovered: Runs succeed again"]
    assert [alert.event.kind for alert in waiting_for(history, "one")] == ["recovered"]
    assert look(history) == []
    history.insert("runs", command="training", started_at="2026-12-01T11:00:00.000Z")
    assert look(history) == []
    history.insert("runs", command="fullprocess", started_at="2026-12-01T11:30:00.000Z")
    assert look(history) == ["failed: A run was killed", "recovered: Runs succeed again"]


def test_outcomes_that_wait_for_a_verdict_are_not_new_ones(history: History) -> None:
    begin(history, NOW)
    for at, first, labelled in (("10-01", 1, 4), ("11-20", 1, 4), ("11-25", 3, 0)):
        decide(history, Verdict.NO_EVIDENCE, first_file=first, labelled=labelled)
        last = "(SELECT max(id) FROM decisions)"
        history.query(f"UPDATE decisions SET at = ? WHERE id = {last}", f"2026-{at}T00:00:00.000Z")
    assert look(history) == ["overdue: No new outcomes for 30 days"]
    assert (
        waiting_for(history, "all")[-1].event.body == "The last ones came at 2026-10-01 00:00 UTC."
    )
    decide(history, Verdict.NO_EVIDENCE, first_file=3, labelled=1)
    assert look(history) == []
    assert look(history, now=datetime(2100, 1, 1, tzinfo=UTC))[0].startswith("overdue: No new out")


def test_a_digest_is_due_from_six_of_the_first_day_of_its_period(history: History) -> None:
    begin(history, NOW)
    # a daily one is wanted by nobody
    assert look(history, now=datetime(2026, 12, 7, 5, 59, tzinfo=UTC)) == []
    assert look(history, now=datetime(2026, 12, 7, 6, tzinfo=UTC)) == ["digest: The weekly digest"]
    assert count_waiting(history) == 1
    assert look(history, now=datetime(2026, 12, 7, 23, tzinfo=UTC)) == []


def test_digests_go_on_after_a_clock_that_was_ahead(history: History) -> None:
    begin(history, NOW)
    ahead, weekly = datetime(2090, 1, 3, tzinfo=UTC), "digest: The weekly digest"
    assert weekly in look(history, now=ahead)
    later = datetime(2026, 12, 9, 12, tzinfo=UTC)
    assert [look(history, now=now) for now in (NOW, later, NOW, later)] == [
        *([], [weekly], [], []),
    ]


@pytest.fixture
def opened() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def test_one_process_at_a_time_sends(history: History, opened: ExitStack, tmp_path: Path) -> None:
    at_file = isinstance(history.place, Path)
    place = tmp_path / "history.db.run/lock" if at_file else history.place
    other = opened.enter_context(open_history(history.place))
    with sending_lock(place, history), pytest.raises(LockHeldError), sending_lock(place, other):
        pass
    with sending_lock(place, other):
        pass
