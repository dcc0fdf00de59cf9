"""What the history tells over time: scores and verdicts, missing values, timings, refused files."""

from dataclasses import dataclass
from typing import Any

from pipeline.storage.database import History

DEFAULT_TRENDS = 100  # of each kind, if nobody says how many
MAX_TRENDS = 10_000  # of each kind in one answer of the API


@dataclass(frozen=True)
class Check:
    """One batch: how the live release did on it, and what came of it."""

    at: str
    rows: int
    labelled: int
    release: str | None  # live before
    deployed_f1: float | None
    new_f1: float | None
    verdict: str
    drifted: int  # features whose input had drifted
    action: str
    new_release: str | None


@dataclass(frozen=True)
class Deployment:
    """A release that went live, by `deploy` or `rollback`."""

    at: str
    release: str
    action: str
    f1: float


@dataclass(frozen=True)
class Missing:
    """Percent missing (0 to 100) by column, in the order of the table."""

    at: str
    percent: dict[str, float]


@dataclass(frozen=True)
class Timing:
    """How long a stage took over how many rows."""

    at: str
    stage: str
    seconds: float
    rows: int


@dataclass(frozen=True)
class Refused:
    """A file that was rejected, with the reason, or of which rows were set aside."""

    at: str
    name: str
    rows: int
    set_aside: int
    reason: str | None


@dataclass(frozen=True)
class Trends:
    """All of it, oldest first."""

    checks: tuple[Check, ...]
    deployments: tuple[Deployment, ...]
    missing: tuple[Missing, ...]
    timings: tuple[Timing, ...]
    refused: tuple[Refused, ...]


def trends(history: History, most: int = DEFAULT_TRENDS) -> Trends:
    """The last so many of each kind."""
    return Trends(
        checks=last_checks(history, most),
        deployments=last_deployments(history, most),
        missing=tuple(_missing(history, most)),
        timings=tuple(
            Timing(**row) for row in _last(history, "at, stage, seconds, rows", "timings", most)
        ),
        refused=last_refused(history, most),
    )


def _last(history: History, columns: str, table: str, most: int) -> list[dict[str, Any]]:
    rows = history.query(f"SELECT {columns} FROM {table} ORDER BY id DESC LIMIT ?", most)
    return [dict(row) for row in reversed(rows)]


def last_checks(history: History, most: int) -> tuple[Check, ...]:
    """The last batches that were judged, oldest first."""
    columns = (
        "at, rows, labelled, release, deployed_f1, new_f1, verdict, action, new_release,"
        " (SELECT count(*) FROM input_drift WHERE decision_id = decisions.id"
        " AND verdict = 'drift') AS drifted"
    )
    return tuple(Check(**row) for row in _last(history, columns, "decisions", most))


def last_deployments(history: History, most: int) -> tuple[Deployment, ...]:
    """The last releases that went live, oldest first."""
    rows = _last(history, "at, release, action, f1", "deployments", most)
    return tuple(Deployment(**row) for row in rows)


def _missing(history: History, most: int) -> list[Missing]:
    rows = history.query(
        "SELECT at, column_name, percent FROM missing WHERE at >= coalesce("
        "(SELECT DISTINCT at FROM missing ORDER BY at DESC LIMIT 1 OFFSET ?), '')"
        " ORDER BY at, position",
        most - 1,
    )
    found: dict[str, dict[str, float]] = {}
    for row in rows:
        found.setdefault(row["at"], {})[row["column_name"]] = row["percent"]
    return [Missing(at, percent) for at, percent in found.items()]


def last_refused(history: History, most: int) -> tuple[Refused, ...]:
    """The last files that were rejected, or of which rows were set aside, oldest first."""
    rows = history.query(
        "SELECT recorded_at AS at, name, rows, rejected AS set_aside, reason FROM files"
        " WHERE status = 'rejected' OR rejected > 0 ORDER BY id DESC LIMIT ?",
        most,
    )
    return tuple(Refused(**dict(row)) for row in reversed(rows))
