"""What drift checks found, in the history: every verdict with its numbers."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields

from pipeline.core.policy import DriftTest
from pipeline.monitoring.decisions import Cause, FeatureDrift, Kind, ScoreDrift, Verdict
from pipeline.storage.database import History, Row


@dataclass(frozen=True)
class Checked:
    """What one drift check found, by score and by input, and when."""

    at: str
    release: str | None
    drift_test: DriftTest | None  # the one that decided
    scores: tuple[ScoreDrift, ...]
    input: tuple[FeatureDrift, ...]


def record_drift(
    history: History, decision_id: int, scores: Sequence[ScoreDrift], input_: Sequence[FeatureDrift]
) -> None:
    """Record the verdicts that a decision had before it."""
    for verdict in scores:
        numbers = json.dumps(verdict.numbers, ensure_ascii=False)
        told = {**asdict(verdict), "numbers": numbers}
        history.insert("score_drift", decision_id=decision_id, **told)
    for found in input_:
        history.insert(
            "input_drift",
            decision_id=decision_id,
            **{**asdict(found), "causes": json.dumps(found.causes)},
        )


def last_checked(history: History) -> Checked | None:
    """The last check there was of a batch; None before the first."""
    decision = history.one(
        "SELECT id, at, release, drift_test FROM decisions WHERE drift_test IS NOT NULL"
        " ORDER BY id DESC LIMIT 1"
    )
    if not decision:
        return None
    return Checked(
        at=decision["at"],
        release=decision["release"],
        drift_test=DriftTest(decision["drift_test"]),
        scores=tuple(map(_score_drift, _rows(history, "score_drift", decision["id"]))),
        input=tuple(map(_feature_drift, _rows(history, "input_drift", decision["id"]))),
    )


def _score_drift(row: Row) -> ScoreDrift:
    return ScoreDrift(
        test=DriftTest(row["test"]),
        verdict=Verdict(row["verdict"]),
        reason=row["reason"],
        numbers=json.loads(row["numbers"]),
    )


def _feature_drift(row: Row) -> FeatureDrift:
    values = {field.name: row[field.name] for field in fields(FeatureDrift)}
    return FeatureDrift(
        **{
            **values,
            "kind": Kind(row["kind"]),
            "verdict": Verdict(row["verdict"]),
            "causes": tuple(map(Cause, json.loads(row["causes"]))),
        }
    )


def _rows(history: History, table: str, decision_id: int) -> list[Row]:
    return history.query(f"SELECT * FROM {table} WHERE decision_id = ? ORDER BY rowid", decision_id)
