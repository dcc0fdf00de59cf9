"""What the history has over time: scores and verdicts, missing values, timings, refused files."""

from dataclasses import dataclass
from typing import TypeVar

from pipeline.monitoring.decisions import Verdict
from pipeline.storage.database import History

T = TypeVar("T")

DEFAULT_TRENDS = 100  # of each kind, by default
MAX_TRENDS = 10_000  # of each kind in one answer of the API
MAX_POINTS = 100  # of a chart, however long the history


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
class ExpectedScores:
    """The scores that the risks of a batch let expect, with 95 % intervals.

    `labelled` 0: of all its rows; 1: of those alone whose outcome is known. The true scores are
    those of the same rows; None where not all of their outcomes are known, or undefined.
    """

    at: str
    release: str | None
    labelled: int
    rows: int
    f1: float
    f1_low: float
    f1_high: float
    average_precision: float | None
    average_precision_low: float | None
    average_precision_high: float | None
    roc_auc: float | None
    roc_auc_low: float | None
    roc_auc_high: float | None
    true_f1: float | None
    true_average_precision: float | None
    true_roc_auc: float | None


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
    expected: tuple[ExpectedScores, ...]


@dataclass(frozen=True)
class ScoreBin:
    """The scores of the live model on one batch, or on several that follow each other."""

    first: str  # when the first was judged
    last: str
    batches: int
    f1: float  # the mean
    low: float
    high: float
    drifted: int  # batches


@dataclass(frozen=True)
class TimingBin:
    """How long a stage took in one run, or in several that follow each other."""

    first: str
    last: str
    runs: int
    seconds: float  # the mean
    low: float
    high: float
    rows: int  # of the last


def trends(history: History, limit: int = DEFAULT_TRENDS) -> Trends:
    """The last so many of each kind."""
    moments = "SELECT DISTINCT at FROM missing ORDER BY at DESC LIMIT ?"
    return Trends(
        checks=last_checks(history, limit),
        deployments=last_deployments(history, limit),
        missing=_missing(history, moments, limit),
        timings=_last(history, Timing, "timings", limit),
        refused=last_refused(history, limit),
        expected=last_expected(history, limit),
    )


def last_checks(history: History, limit: int) -> tuple[Check, ...]:
    """The last batches that were judged, oldest first."""
    checks = (
        "(SELECT decisions.*, (SELECT count(*) FROM input_drift WHERE decision_id = decisions.id"
        " AND verdict = 'drift') AS drifted FROM decisions) AS checks"
    )
    return _last(history, Check, checks, limit)


def last_expected(history: History, limit: int, where: str = "1 = 1") -> tuple[ExpectedScores, ...]:
    """The scores to expect of the last batches, of which a condition is true, oldest first."""
    expected = (
        "(SELECT at, release, expected_scores.* FROM expected_scores"
        f" JOIN decisions ON decisions.id = decision_id WHERE {where}) AS expected"
    )
    return _last(history, ExpectedScores, expected, limit)


def last_deployments(history: History, limit: int) -> tuple[Deployment, ...]:
    """The last releases that went live, oldest first."""
    return _last(history, Deployment, "deployments", limit)


def last_refused(history: History, limit: int) -> tuple[Refused, ...]:
    """The last files that were rejected, or of which rows were set aside, oldest first."""
    refused = (
        "(SELECT id, recorded_at AS at, name, rows, rejected AS set_aside, reason FROM files"
        " WHERE status = 'rejected' OR rejected > 0) AS refused"
    )
    return _last(history, Refused, refused, limit)


def _last(history: History, kind: type[T], table: str, limit: int) -> tuple[T, ...]:
    return (*reversed(history.read(kind, f"FROM {table} ORDER BY id DESC LIMIT ?", limit)),)


def score_bins(history: History, limit: int = MAX_POINTS) -> list[ScoreBin]:
    """The F1 on every batch that has one, oldest first, in at most so many bins."""
    rows = history.tuples(
        "SELECT min(at), max(at), count(*), avg(new_f1), min(new_f1), max(new_f1),"
        " sum(CASE WHEN verdict = ? THEN 1 ELSE 0 END) FROM decisions,"
        " (SELECT min(id) AS low, max(id) + 1 - min(id) AS span FROM decisions) AS ids"
        " WHERE new_f1 IS NOT NULL GROUP BY (id - low) * ? / span ORDER BY min(id)",
        *(Verdict.DRIFT, limit),
    )
    return [ScoreBin(*row) for row in rows]


def timing_bins(history: History, stage: str, limit: int = MAX_POINTS) -> list[TimingBin]:
    """The seconds of every real run of a stage, oldest first, in at most so many bins."""
    rows = history.tuples(
        "SELECT first, last, runs, mean, shortest, longest, rows FROM"
        " (SELECT min(at) AS first, max(at) AS last, count(*) AS runs, avg(seconds) AS mean,"
        " min(seconds) AS shortest, max(seconds) AS longest, max(id) AS last_id FROM timings,"
        " (SELECT min(id) AS low, max(id) + 1 - min(id) AS span FROM timings WHERE stage = ?)"
        " AS ids WHERE stage = ? GROUP BY (id - low) * ? / span) AS bins"
        " JOIN timings ON id = last_id ORDER BY id",
        *(stage, stage, limit),
    )
    return [TimingBin(*row) for row in rows]


def missing_samples(history: History, limit: int = MAX_POINTS) -> tuple[Missing, ...]:
    """The percent missing by column at so many moments, evenly spread; the last is among them."""
    ids = "SELECT min(rowid) AS low, max(rowid) + 1 - min(rowid) AS span FROM missing"
    part = "(missing.rowid - low) * ? / span"
    moments = f"SELECT max(at) FROM missing, ({ids}) AS ids WHERE position = 0 GROUP BY {part}"
    return _missing(history, moments, limit)


def _missing(history: History, moments: str, limit: int) -> tuple[Missing, ...]:
    """The percent missing at the moments that a query picks, oldest first."""
    sql = f"SELECT at, column_name, percent FROM missing WHERE at IN ({moments})"
    found: dict[str, dict[str, float]] = {}
    for at, column, percent in history.tuples(f"{sql} ORDER BY at, position", limit):
        found.setdefault(at, {})[column] = percent
    return (*(Missing(*each) for each in found.items()),)
