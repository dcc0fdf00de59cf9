"""What migrations make of histories that older versions wrote."""

from dataclasses import replace

import pytest

from pipeline.monitoring.decisions import Cause, Decision, FeatureDrift, Verdict
from pipeline.storage.database import History
from pipeline.storage.migrations import MIGRATIONS
from pipeline.storage.postgres import ServerHistory, statements
from pipeline.storage.records import last_checked, record_decision, record_drift

OUTCOMES = 5  # the migration that adds how challenges ended and why features drifted
CHECKED = Decision(
    files="[]",
    rows=60,
    labelled=60,
    release="1",
    deployed_f1=0.7,
    new_f1=0.5,
    verdict="drift",
    action="kept",
    reason="F1 …",
    drift_test="raw",
)
COMPARED = replace(CHECKED, champion_f1=0.5, challenger_f1=0.6)


def migrate(history: History, number: int) -> None:
    """Apply one migration again, to what it added before and is dropped now."""
    on_server = isinstance(history, ServerHistory)
    migration = MIGRATIONS[number]
    for statement in statements(migration) if on_server else migration.split(";\n"):
        history.query(statement)


def without_outcomes(history: History) -> None:
    history.query("ALTER TABLE decisions DROP COLUMN challenge")
    history.query("ALTER TABLE input_drift DROP COLUMN causes")


@pytest.mark.parametrize(
    ("decision", "challenge"),
    [
        (replace(COMPARED, action="deployed", reason="…: deployed 2"), "won"),
        (replace(COMPARED, reason="…: 1 stays live"), "lost"),
        (
            replace(
                CHECKED,
                reason="…; what there is to learn from gives the same model: 1 stays live",
            ),
            "same model",
        ),
        (replace(CHECKED, verdict="no drift"), None),
        (replace(CHECKED, release=None, action="deployed", reason="deployed 1"), None),
    ],
)
def test_how_an_old_challenge_ended_is_read_from_its_reason(
    history: History, decision: Decision, challenge: str | None
) -> None:
    record_decision(history, decision)
    without_outcomes(history)
    migrate(history, OUTCOMES)
    assert [row["challenge"] for row in history.query("SELECT challenge FROM decisions")] == [
        challenge
    ]


def test_a_verdict_of_the_first_version_gets_its_name_of_today(history: History) -> None:
    record_decision(history, replace(CHECKED, verdict="no evidence"))
    without_outcomes(history)
    migrate(history, OUTCOMES)
    assert history.query("SELECT verdict FROM decisions")[0]["verdict"] == Verdict.NO_EVIDENCE


REASONS = {
    "PSI 0.300 above its limit 0.100": (Cause.PSI,),
    "PSI 0.150 above 0.1, Kolmogorov-Smirnov test p 1e-05": (Cause.DISTRIBUTION,),
    "missing 15.0 %, before 0.0 %": (Cause.MISSING,),
    "20.0 % in categories that the training data lack": (Cause.UNSEEN,),
    "PSI 0.300 above its limit 0.100; missing 15.0 %, before 0.0 %; 20.0 % in categories that the"
    " training data lack": (Cause.PSI, Cause.MISSING, Cause.UNSEEN),
}


def test_why_a_feature_drifted_is_read_from_its_reason(history: History) -> None:
    found = [
        FeatureDrift("a", "number", 60, "ks", 0.0, 0.0, verdict="drift", reason=reason)
        for reason in REASONS
    ]
    calm = "PSI 0.050, not above its limit 0.100"
    found.append(FeatureDrift("a", "number", 60, "ks", 0.0, 0.0, verdict="no drift", reason=calm))
    record_drift(history, record_decision(history, CHECKED), (), found)
    without_outcomes(history)
    migrate(history, OUTCOMES)
    checked = last_checked(history)
    assert checked
    assert [one.causes for one in checked.input] == [*REASONS.values(), ()]
