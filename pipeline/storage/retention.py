"""Forgetting what the history no longer needs."""

from datetime import UTC, datetime, timedelta

from pipeline.storage.database import History
from pipeline.storage.risk_history import forget_risks

# table -> its column of time, and what is kept however old it is
_PRUNED = {
    "runs": ("started_at", "id = (SELECT max(id) FROM runs)"),
    "scores": ("at", "id IN (SELECT max(id) FROM scores GROUP BY data)"),
    "decisions": ("at", "id = (SELECT max(id) FROM decisions)"),
    "deployments": ("at", "id = (SELECT max(id) FROM deployments)"),
    "timings": ("at", "id IN (SELECT max(id) FROM timings GROUP BY stage)"),
    "missing": ("at", "at = (SELECT max(at) FROM missing)"),
    "packages": ("at", "at = (SELECT max(at) FROM packages)"),
    "rejected_rows": (
        "(SELECT recorded_at FROM files WHERE id = file_id)",
        "file_id IN (SELECT id FROM files WHERE current = 1)",
    ),
}


def prune(history: History, days: int) -> None:
    """Delete what was recorded more than so many days ago, but for the last of each kind.

    The ledger of files is kept whole: it is the truth about what is new. Of the rows set aside,
    those go that stood in an old version of a file.
    """
    before = (datetime.now(UTC) - timedelta(days=days)).strftime("%Y-%m-%dT%H:%M:%S")
    with history.transaction():
        for table, (time, kept) in _PRUNED.items():
            history.query(f"DELETE FROM {table} WHERE {time} < ? AND NOT ({kept})", before)
        forget_risks(history, before)
