"""The history: what ran, what was decided, and the numbers it was decided on."""

import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, astuple, dataclass, field
from datetime import date, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from pipeline.core.errors import HistoryError, RejectedError
from pipeline.core.files import utc_now
from pipeline.core.policy import DriftTest, Gate
from pipeline.monitoring.decisions import (
    EXPECTED_SCORES,
    ChallengeOutcome,
    Decision,
    FeatureDrift,
    ScoreDrift,
    Scores,
)
from pipeline.monitoring.packages import Package
from pipeline.storage.database import History, insertion
from pipeline.storage.risk_history import forget_risks

if TYPE_CHECKING:  # it imports numpy, and what only reads the history does without
    from pipeline.monitoring.expected_scores import ExpectedOfBatch

log = logging.getLogger(__name__)

_LAST = "at = (SELECT at FROM {0} ORDER BY rowid DESC LIMIT 1)"


@contextmanager
def recorded_run(history: History, command: str) -> Iterator[None]:
    """Record that a command ran, when it ended, and how.

    One all of whose new files were rejected has done what there was to do.
    """
    run = history.insert("runs", command=command, started_at=utc_now())
    try:
        yield
    except RejectedError as error:
        _end_run(history, run, "done", str(error))
        raise
    except BaseException as error:
        try:
            _end_run(history, run, "failed", f"{type(error).__name__}: {error}")
        except HistoryError as unrecorded:  # the first error is the one that counts
            log.error("its failure is not on record: %s", unrecorded)
        raise
    _end_run(history, run, "done", None)


def _end_run(history: History, run: int, outcome: str, detail: str | None) -> None:
    history.query(
        "UPDATE runs SET ended_at = ?, outcome = ?, detail = ? WHERE id = ?",
        *(utc_now(), outcome, detail, run),
    )


def record_scores(history: History, model_sha256: str, data: str, scores: Scores) -> None:
    """Record how a model did on `test data` or `new rows`."""
    history.insert("scores", at=utc_now(), model_sha256=model_sha256, data=data, **asdict(scores))


def last_scores(history: History, model_sha256: str) -> Scores | None:
    """What a model reached on the test data when it was scored last."""
    last = "FROM scores WHERE model_sha256 = ? AND data = 'test data' ORDER BY id DESC LIMIT 1"
    return next(iter(history.read(Scores, last, model_sha256)), None)


def record_decision(history: History, decision: Decision) -> int:
    """Record what was decided on a batch; returns the id of the record."""
    return history.insert("decisions", at=utc_now(), **asdict(decision))


def last_challenged(history: History, release: str) -> tuple[int, str]:
    """The last content and newest day there was when a release was last challenged, if it was."""
    found = history.tuples(
        "SELECT last_file, coalesce(data_until, '') FROM decisions WHERE release = ?"
        " AND challenge IS NOT NULL AND last_file IS NOT NULL ORDER BY id DESC LIMIT 1",
        release,
    )
    return found[0] if found else (0, "")


@dataclass(frozen=True)
class Compared:
    """How a challenger and the model that was live did on the same rows, and how that ended."""

    at: str
    release: str  # the champion
    challenge: ChallengeOutcome
    champion_f1: float
    challenger_f1: float
    difference_low: float
    difference_high: float
    reason: str
    gate: Gate
    challenger: str | None = None  # SHA-256
    compared: dict[str, float] = field(default_factory=dict)  # what the evidence is, by name


def last_compared(history: History) -> Compared | None:
    """The last challenge whose models were compared."""
    last = "FROM decisions WHERE difference_low IS NOT NULL ORDER BY id DESC LIMIT 1"
    return next(iter(history.read(Compared, last)), None)


def held_challenger(history: History, live: str | None) -> Compared | None:
    """The challenger that waits to be promoted; none does once any is trained or deployed."""
    last = last_compared(history)
    if not last or last.challenge != ChallengeOutcome.HELD or last.release != live:
        return None
    (another,) = history.column(
        "SELECT EXISTS (SELECT 1 FROM timings WHERE stage = 'training' AND at > ?)"
        " OR EXISTS (SELECT 1 FROM deployments WHERE action = 'deploy' AND at > ?)",
        *(last.at, last.at),
    )
    return None if another else last


def batch_scores(history: History, release: str) -> list[float]:
    """The F1 of a release on each batch that it was judged on, in order.

    Batches without enough evidence (a few rows, or one outcome only) are left out: their F1 is
    mostly 0 or 1, which says nothing about how scores vary.
    """
    return history.column(
        "SELECT new_f1 FROM decisions WHERE release = ? AND new_f1 IS NOT NULL"
        " AND NOT EXISTS (SELECT 1 FROM score_drift WHERE decision_id = decisions.id"
        " AND test = 'raw' AND verdict = 'not enough evidence') ORDER BY id",
        release,
    )


def record_deployment(history: History, release: str, action: str, f1: float) -> None:
    """Record that a release went live, by `deploy` or `rollback`."""
    history.insert("deployments", at=utc_now(), release=release, action=action, f1=f1)


def deployed_releases(history: History) -> list[str]:
    """The releases that are on record as deployed or gone back to, the latest last."""
    return history.column("SELECT release FROM deployments ORDER BY id")


def record_timing(history: History, stage: str, seconds: float, rows: int) -> None:
    """Record how long a stage took over how many rows."""
    history.insert("timings", at=utc_now(), stage=stage, seconds=seconds, rows=rows)


def last_timings(history: History) -> dict[str, float]:
    """Stage -> seconds of its last real run, of `ingestion` and `training`."""
    # a question a stage: one with GROUP BY would read the whole index
    last = "SELECT seconds FROM timings WHERE stage = ? ORDER BY id DESC LIMIT 1"
    stages = ("ingestion", "training")
    return {s: seconds for s in stages for seconds in history.column(last, s)}


def record_missing(history: History, percents: dict[str, float]) -> None:
    """Record the percent missing of each column."""
    _record_table(history, "missing", ("column_name", "percent"), percents.items())


def last_missing(history: History) -> dict[str, float]:
    """Column -> percent missing, as recorded last."""
    last = _LAST.format("missing")
    sql = f"SELECT column_name, percent FROM missing WHERE {last} ORDER BY position"
    return dict(history.tuples(sql))


def record_packages(history: History, packages: list[Package]) -> None:
    """Record the table of packages."""
    _record_table(history, "packages", Package.__annotations__, map(astuple, packages))


def last_packages(history: History) -> list[Package]:
    """The table of packages, as recorded last."""
    last = _LAST.format("packages")
    return history.read(Package, f"FROM packages WHERE {last} ORDER BY position")


def _record_table(
    history: History, table: str, columns: Iterable[str], rows: Iterable[tuple[Any, ...]]
) -> None:
    now, sql = utc_now(), insertion(table, ("at", "position", *columns))
    with history.transaction():
        history.many(sql, [(now, position, *row) for position, row in enumerate(rows)])


@dataclass(frozen=True)
class Checked:
    """What one drift check found, by score and by input, and when."""

    at: str
    release: str | None
    drift_test: DriftTest  # the one that decided
    scores: tuple[ScoreDrift, ...]
    input: tuple[FeatureDrift, ...]


def record_drift(
    history: History, decision_id: int, scores: Sequence[ScoreDrift], input_: Sequence[FeatureDrift]
) -> None:
    """Record the verdicts that a decision was taken on."""
    for table, verdicts in (("score_drift", scores), ("input_drift", input_)):
        for verdict in verdicts:
            history.insert(table, decision_id=decision_id, **vars(verdict))


def record_expected(history: History, decision_id: int, found: "Sequence[ExpectedOfBatch]") -> None:
    """Record the scores to expect of a batch, beside the true ones where they are known."""
    for one in found:
        values: dict[str, float | None] = {}
        for name in EXPECTED_SCORES:
            score = getattr(one.expected, name)
            values[name] = score and score.value
            values[f"{name}_low"] = score and score.interval.low
            values[f"{name}_high"] = score and score.interval.high
            values[f"true_{name}"] = getattr(one.true, name) if one.true else None
        labelled = int(one.labelled)
        rows = {"decision_id": decision_id, "labelled": labelled, "rows": one.rows}
        history.insert("expected_scores", **rows, **values)


def last_checked(history: History) -> Checked | None:
    """The last check there was of a batch; None before the first."""
    last = history.one(
        "SELECT id, at, release, drift_test FROM decisions WHERE drift_test IS NOT NULL"
        " ORDER BY id DESC LIMIT 1"
    )
    if not last:
        return None
    of_it, number = "WHERE decision_id = ? ORDER BY rowid", last.pop("id")
    return Checked(
        **last | {"drift_test": DriftTest(last["drift_test"])},
        scores=(*history.read(ScoreDrift, f"FROM score_drift {of_it}", number),),
        input=(*history.read(FeatureDrift, f"FROM input_drift {of_it}", number),),
    )


# table -> its column of time, and what is kept however old it is
_PRUNED = {
    "runs": ("started_at", "id = (SELECT max(id) FROM runs)"),
    "scores": ("at", "id IN (SELECT max(id) FROM scores GROUP BY data)"),
    "decisions": ("at", "id = (SELECT max(id) FROM decisions)"),
    "deployments": ("at", "id = (SELECT max(id) FROM deployments)"),
    "timings": ("at", "id IN (SELECT max(id) FROM timings GROUP BY stage)"),
    "missing": ("at", _LAST.format("missing")),
    "packages": ("at", _LAST.format("packages")),
    "alerts": ("at", "event IN ('failed', 'recovered', 'overdue', 'promotion_waits')"),
    "requests": ("done_at", "done_at IS NULL"),
}
_STEPS = 12


def oldest_kept(history: History, days: int) -> str:
    """The day before which what is on record is forgotten, empty if nothing is.

    It lies `days` before the last run, counted by the days between runs, each of which counts for
    a twelfth of `days` at most: a clock that has jumped, or a machine that was off, costs no more.
    Runs that a clock that was ahead has recorded do not count.
    """
    ran = history.column(
        "SELECT DISTINCT substr(started_at, 1, 10) FROM runs WHERE started_at <= ? ORDER BY 1 DESC",
        utc_now(),
    )
    left, longest = days, max(1, days // _STEPS)
    for later, earlier in pairwise(map(date.fromisoformat, ran)):
        gap = (later - earlier).days
        if left <= min(gap, longest):
            return (later - timedelta(left) if gap <= longest else earlier).isoformat()
        left -= min(gap, longest)
    return ""


def prune(history: History, before: str) -> None:
    """Delete what was recorded before a day, but for the last of each kind, and the ledger."""
    with history.transaction():
        for table, (time, kept) in _PRUNED.items():
            history.query(f"DELETE FROM {table} WHERE {time} < ? AND NOT ({kept})", before)
        forget_risks(history, before)
