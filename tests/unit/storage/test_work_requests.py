"""What people asked for on the page, in a file and on a server; and the tables of that page."""

from pipeline.reporting.tables import alerts_grid, files_grid
from pipeline.storage.database import History
from pipeline.storage.work_requests import (
    Action,
    ask,
    begin,
    finish,
    last_requests,
    requests_wait,
    undo,
    waiting_requests,
)


def test_what_waits_can_be_undone_until_a_run_begins_with_it(history: History) -> None:
    assert not requests_wait(history)
    for by_whom in ("Ana", "Ben"):
        ask(history, Action.ACCEPT, "a.csv", by_whom)
    ask(history, Action.FORGET, "b.csv")
    first, second = waiting_requests(history)
    assert (first.action, first.what, first.by_whom, first.begun) == (
        "accept",
        "a.csv",
        "Ana",
        False,
    )
    assert (undo(history, second.id), undo(history, second.id)) == (True, False)
    assert (begin(history, second.id), begin(history, first.id)) == (False, True)
    assert not undo(history, first.id)
    ask(history, Action.FORGET, "a.csv")  # too late
    assert [(one.action, one.begun) for one in waiting_requests(history)] == [("accept", True)]
    finish(history, first.id, "accepted")
    assert not requests_wait(history)
    (done,) = last_requests(history, 5)
    assert (done.outcome, done.done_at is not None) == ("accepted", True)


def test_alerts_are_listed_with_how_many_targets_they_went_to(history: History) -> None:
    for number, at in enumerate(("2026-11-22T09:00:00Z", "2026-11-23T09:00:00Z")):
        alert = {"event": "held_back", "about": str(number), "title": f"file {number}", "body": ""}
        made = history.insert("alerts", at=at, **alert)
        for target in range(2 * number):
            sent = at if target else None
            values = (made, str(target), sent)
            history.many(
                "INSERT INTO deliveries (alert_id, target, sent_at) VALUES (?, ?, ?)", [values]
            )

    assert alerts_grid(history).rows == (
        ("2026-11-23 09:00", "held back", "file 1", "1 of 2"),
        ("2026-11-22 09:00", "held back", "file 0", "0 of 0"),
    )
    assert files_grid(history).rows == ()
