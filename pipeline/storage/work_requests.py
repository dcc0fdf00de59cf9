"""What people asked for on the page, without the run lock, for the next run to do under it."""

from dataclasses import dataclass
from enum import StrEnum

from pipeline.core.files import utc_now
from pipeline.storage.database import History

UNDER_WAY = "under way"
_WAITS = "done_at IS NULL"


class Action(StrEnum):
    """What can be asked for."""

    ACCEPT = "accept"  # a file that is held back
    FORGET = "forget"  # likewise
    PROMOTE = "promote"  # the challenger that waits


@dataclass(frozen=True)
class WorkRequest:
    """That somebody asked for something: of a file, or of a model by its SHA-256."""

    id: int
    at: str
    action: str
    what: str
    by_whom: str
    done_at: str | None  # None: it waits
    outcome: str | None  # or that it is under way

    @property
    def begun(self) -> bool:
        """Whether a run has begun with it, which may have been killed since."""
        return self.outcome is not None


def ask(history: History, action: Action, what: str, by_whom: str = "") -> None:
    """Record a request; asked twice it is one, and of one thing the last one counts."""
    with history.transaction():
        history.lock_table("requests")
        asked = history.read(WorkRequest, f"FROM requests WHERE what = ? AND {_WAITS}", what)
        if any(each.action == action or each.begun for each in asked):
            return
        history.query(f"DELETE FROM requests WHERE what = ? AND {_WAITS}", what)
        values = {"action": str(action), "what": what, "by_whom": by_whom}
        history.insert("requests", at=utc_now(), **values)


def undo(history: History, number: int) -> bool:
    """Take back a request that no run has begun with; whether there was one."""
    where = f"id = ? AND {_WAITS} AND outcome IS NULL"
    return bool(history.tuples(f"DELETE FROM requests WHERE {where} RETURNING id", number))


def requests_wait(history: History) -> bool:
    """Whether there is a request to carry out."""
    return bool(history.tuples(f"SELECT 1 FROM requests WHERE {_WAITS} LIMIT 1"))


def waiting_requests(history: History) -> list[WorkRequest]:
    """The requests that wait, oldest first."""
    return history.read(WorkRequest, f"FROM requests WHERE {_WAITS} ORDER BY id")


def last_requests(history: History, limit: int) -> list[WorkRequest]:
    """The last requests that were carried out, or could not be, the latest first."""
    done = f"FROM requests WHERE NOT ({_WAITS}) ORDER BY id DESC LIMIT ?"
    return history.read(WorkRequest, done, limit)


def begin(history: History, number: int) -> bool:
    """Record that a run begins with a request; false if it was undone."""
    begun = f"UPDATE requests SET outcome = ? WHERE id = ? AND {_WAITS} RETURNING id"
    return bool(history.tuples(begun, UNDER_WAY, number))


def finish(history: History, number: int, outcome: str) -> None:
    """Record what came of a request."""
    done = "UPDATE requests SET done_at = ?, outcome = ? WHERE id = ?"
    history.query(done, utc_now(), outcome, number)
