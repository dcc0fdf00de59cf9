"""What is to be told: events found in what is on record, each once, and who waits to be told.

An event is recorded with those who want it, in one transaction with the mark up to which records
were looked at: a killed run loses none, and none is found twice.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from pipeline.core.connections import AlertRules, Target
from pipeline.core.errors import RejectedError
from pipeline.core.files import utc_now
from pipeline.core.formatting import format_minute, pluralize, truncate
from pipeline.monitoring.decisions import ChallengeOutcome, News, Verdict
from pipeline.storage.database import History
from pipeline.storage.held_files import HELD

MAX_NAMED = 20  # files or clients in a message
MAX_TEXT = 500  # characters of a reason
PATIENCE = 10  # tries of a message, after which others go first
DIGEST_HOUR = 6  # local time from which a digest may be sent: files of the night are in by then
MARKED = ("runs", "files", "decisions", "deployments", "rankings")
_LAST = {  # what arrived last: its id, when, and its name
    "client file": (
        "SELECT id, recorded_at, name FROM files WHERE status = 'ingested' ORDER BY id DESC LIMIT 1"
    ),
    # outcomes on which there was no verdict are counted in the next decision again
    "outcomes": (
        "SELECT id, at, 'ones' FROM decisions AS last WHERE labelled > coalesce((SELECT labelled"
        " FROM decisions AS earlier WHERE earlier.id < last.id AND earlier.first_file ="
        " last.first_file ORDER BY id DESC LIMIT 1), 0) ORDER BY id DESC LIMIT 1"
    ),
}


@dataclass(frozen=True)
class Event:
    """Something to tell; one of the same kind and about the same is never told again."""

    kind: str  # as the config names it, or `digest`
    about: str
    title: str
    body: str = ""  # no client's name: those are looked up when it is sent


@dataclass(frozen=True)
class Alert:
    """An event on record."""

    id: int
    event: Event


def begin(history: History, now: datetime) -> None:
    """Where events were not looked for before, look for those that happen from now on."""
    marks = _marks(history)
    if missing := [mark for mark in _newest(history, now).items() if mark[0] not in marks]:
        with history.transaction():
            history.many("INSERT INTO alert_marks (what, number) VALUES (?, ?)", missing)


def forget(history: History) -> None:
    """Forget where the search for events was, and who waits: the config has no alerts any more."""
    if _marks(history):
        with history.transaction():
            history.query("DELETE FROM alert_marks")
            history.query("DELETE FROM deliveries WHERE sent_at IS NULL")


def notice(
    history: History, rules: AlertRules, high: float, now: datetime, error: Exception | None
) -> int:
    """Record what has happened since the last time, and who is to be told; how much waits then.

    `high` is the least risk of the high band, `now` has a time zone, and `error` is what the run
    has failed by. To be called at the end of a run, and `begin` at its start.
    """
    marks, newest = _marks(history), _newest(history, now)
    # a clock that was ahead for a while leaves a mark that would be reached in years
    moved = {what: number for what, number in newest.items() if number != marks[what]}
    found = [*_run_events(history, marks["runs"], error), *_overdue(history, rules, now)]
    if moved:
        found += [*_batch_events(history, marks), *_released(history, marks["deployments"])]
        found += _high_risk(history, marks["rankings"], newest["rankings"], high)
        found += [
            Event("digest", f"{what} {date.fromordinal(number)}", f"The {what} digest")
            for what, number in moved.items()
            if what in {target.digest for target in rules.targets} and number > marks[what]
        ]
    unique = {(event.kind, event.about): event for event in found}.values()
    new = [event for event in unique if not _is_known(history, event)]
    if new or moved:
        with history.transaction():
            for event in new:
                _record(history, rules.targets, event)
            ends = [(number, what) for what, number in moved.items()]
            history.many("UPDATE alert_marks SET number = ? WHERE what = ?", ends)
    return count_waiting(history)


def _marks(history: History) -> dict[str, int]:
    return dict(history.tuples("SELECT what, number FROM alert_marks"))


def _newest(history: History, now: datetime) -> dict[str, int]:
    """The last id of each table that events are found in, and the days on which digests are due."""
    last = ", ".join(f"(SELECT coalesce(max(id), 0) FROM {table})" for table in MARKED)
    day = (now - timedelta(hours=DIGEST_HOUR)).date().toordinal()
    newest = dict(zip(MARKED, history.tuples(f"SELECT {last}")[0], strict=True))
    return newest | {"daily": day, "weekly": day - date.fromordinal(day).weekday()}


def _is_known(history: History, event: Event) -> bool:
    sql = "SELECT 1 FROM alerts WHERE event = ? AND about = ?"
    return bool(history.tuples(sql, event.kind, event.about))


def _record(history: History, targets: tuple[Target, ...], event: Event) -> None:
    columns = {"event": event.kind, "about": event.about, "title": event.title, "body": event.body}
    number = history.insert("alerts", at=utc_now(), **columns)
    digest = event.about.split()[0] if event.kind == "digest" else ""
    wanted = [
        (number, target.name)
        for target in targets
        if event.kind in target.events or (digest and digest == target.digest)
    ]
    history.many("INSERT INTO deliveries (alert_id, target) VALUES (?, ?)", wanted)


def _run_events(history: History, mark: int, error: Exception | None) -> Iterator[Event]:
    """That runs fail or were killed, once until one succeeds, and that they succeed again."""
    told = history.one(
        "SELECT event, about FROM alerts WHERE event IN ('failed', 'recovered')"
        " ORDER BY id DESC LIMIT 1"
    )
    failing = told["about"] if told and told["event"] == "failed" else None
    killed = history.one(
        "SELECT started_at FROM runs WHERE id > ? AND outcome IS NULL AND command = 'fullprocess'"
        " ORDER BY id LIMIT 1",
        mark,
    )
    if killed and not failing:
        failing = killed["started_at"]
        text = f"It began at {format_minute(failing)} UTC. It was ended, or its machine was."
        yield Event("failed", failing, "A run was killed", text)
    if error is None or isinstance(error, RejectedError):
        if failing:
            text = f"The first failure was at {format_minute(failing)} UTC."
            yield Event("recovered", failing, "Runs succeed again", text)
    elif not failing:
        text = " ".join(f"{type(error).__name__}: {error}".split())
        text = f"{truncate(text, MAX_TEXT)}\nYou are told once runs succeed again."
        yield Event("failed", utc_now(), "A run failed", text)


def _overdue(history: History, rules: AlertRules, now: datetime) -> Iterator[Event]:
    for what, days in (("client file", rules.files_days), ("outcomes", rules.outcomes_days)):
        for number, at, name in history.tuples(_LAST[what]) if days else ():
            if now - datetime.fromisoformat(at) > timedelta(days or 0):
                title = f"No new {what} for {pluralize(days or 0, 'day')}"
                text = f"The last {name} came at {format_minute(at)} UTC."
                yield Event("overdue", f"{what} {number}", title, text)


def _batch_events(history: History, marks: dict[str, int]) -> Iterator[Event]:
    """What became of files, and of what they brought."""
    mark = marks["files"]
    refused = history.tuples(  # a rebuild reads again what is refused
        "SELECT name, 'it ' || reason FROM files AS file WHERE id > ? AND status = 'rejected' AND"
        " NOT EXISTS (SELECT 1 FROM files AS earlier WHERE earlier.id <= ? AND earlier.name ="
        " file.name AND earlier.sha256 = file.sha256 AND earlier.reason = file.reason) ORDER BY id",
        *(mark, mark),
    )
    if refused:
        title = f"{pluralize(len(refused), 'file')} refused"
        yield Event("refused_file", f"files after {mark}", title, listed(refused))
    decisions = history.query(
        "SELECT id, at, rows, verdict, reason, challenge, challenger, (SELECT count(*) FROM"
        " input_drift WHERE decision_id = decisions.id AND news = ?) AS told"
        " FROM decisions WHERE id > ? ORDER BY id",
        *(News.TOLD, marks["decisions"]),
    )
    if not decisions:
        return
    # they were judged in the transaction of a decision
    held = history.tuples(
        f"SELECT name, held FROM files WHERE {HELD} AND judged_at >= ? ORDER BY id",
        decisions[0]["at"],
    )
    if held:
        title = f"{pluralize(len(held), 'file')} held back"
        yield Event("held_back", f"decision {decisions[0]['id']}", title, listed(held))
    for row in decisions:
        about, reason = f"decision {row['id']}", truncate(row["reason"], MAX_TEXT)
        if row["told"]:
            reason += f"\nThe input has drifted: {pluralize(row['told'], 'column')}."
        if row["told"] or row["verdict"] == Verdict.DRIFT:
            yield Event("drift", about, f"Drift in {pluralize(row['rows'], 'row')}", reason)
        if row["challenge"] == ChallengeOutcome.HELD:
            title = "A challenger waits to be promoted"
            yield Event("promotion_waits", row["challenger"] or about, title, reason)


def _released(history: History, mark: int) -> Iterator[Event]:
    for number, release, action, f1, reason in history.tuples(
        "SELECT id, release, action, f1, (SELECT reason FROM decisions WHERE new_release ="
        " deployments.release ORDER BY id DESC LIMIT 1) FROM deployments WHERE id > ? ORDER BY id",
        mark,
    ):
        back = " again, by a rollback" if action == "rollback" else ""
        text = f"F1 {f1:.4f} on the test data. {truncate(reason or '', MAX_TEXT)}".rstrip()
        yield Event("released", f"deployment {number}", f"Release {release} is live{back}", text)


def _high_risk(history: History, first: int, last: int, high: float) -> Iterator[Event]:
    event = Event("high_risk", f"rankings {first} {last}", "")
    if found := new_in_high_band(history, event, high):
        many = pluralize(len(found), "client is", "clients are")
        yield Event(event.kind, event.about, f"{many} new in the high band")


def new_in_high_band(history: History, event: Event, high: float) -> list[tuple[str, float]]:
    """Who is in the high band by the last ranking of an event, and was not by the first; and risks.

    Highest risk first; risks are whole percents. Nobody is where there was no ranking before.
    """
    first, last = map(int, event.about.split()[1:])
    return history.tuples(
        "SELECT client, risk FROM client_risk AS now JOIN ranked_clients ON id = client_id"
        " WHERE ranking_id > ? AND risk >= ? AND ? > 0 AND ranking_id = (SELECT max(ranking_id)"
        " FROM client_risk AS other WHERE other.client_id = now.client_id AND ranking_id <= ?)"
        " AND coalesce((SELECT risk FROM client_risk AS before WHERE before.client_id ="
        " now.client_id AND ranking_id <= ? ORDER BY ranking_id DESC LIMIT 1), 0) < ?"
        " ORDER BY risk DESC, client",
        *(first, high, first, last, first, high),
    )


def listed(rows: list[tuple[str, str]]) -> str:
    """A line for each of the first rows, and how many more there are."""
    lines = [f"{name}: {truncate(text, MAX_TEXT)}" for name, text in rows[:MAX_NAMED]]
    more = [f"and {len(rows) - MAX_NAMED:,} more"] if len(rows) > MAX_NAMED else []
    return "\n".join(lines + more)


# --- what is on record ---


def count_waiting(history: History) -> int:
    """How many messages wait to be sent."""
    ((count,),) = history.tuples("SELECT count(*) FROM deliveries WHERE sent_at IS NULL")
    return int(count)


def waiting_for(history: History, target: str) -> list[Alert]:
    """The alerts that a target waits for, oldest first; last those that it keeps refusing."""
    found = history.tuples(
        "SELECT id, event, about, title, body FROM alerts JOIN deliveries ON alert_id = id"
        f" WHERE target = ? AND sent_at IS NULL ORDER BY tries / {PATIENCE}, id",
        target,
    )
    return [Alert(number, Event(*event)) for number, *event in found]


def drop_waiting(history: History, targets: list[str]) -> None:
    """Let nothing wait for other targets than these: they are no longer in the config."""
    marks = ", ".join("?" * len(targets))
    sql = f"DELETE FROM deliveries WHERE sent_at IS NULL AND target NOT IN ({marks})"
    history.query(sql, *targets)


def record_delivery(history: History, alert: Alert, target: str, *, sent: bool) -> None:
    """Record that an alert was sent to a target, or that this failed once more."""
    what = "sent_at = ?" if sent else "tries = tries + 1"
    values = [utc_now()] * sent
    history.query(
        f"UPDATE deliveries SET {what} WHERE alert_id = ? AND target = ?",
        *(*values, alert.id, target),
    )
