from dataclasses import replace

from pipeline.monitoring.decisions import Cause, Decision, FeatureDrift, ScoreDrift
from pipeline.storage.database import History
from pipeline.storage.driftrecords import Checked, last_checked, record_drift
from pipeline.storage.records import record_decision
from pipeline.storage.retention import prune

CHECK = Decision("[]", 60, 60, "000001-x", 0.75, 0.5, "drift", "kept", "", drift_test="bootstrap")
OTHER = Decision("[]", 60, 60, None, None, None, "nothing deployed", "deployed", "")
SCORES = (
    ScoreDrift("raw", "drift", "lower", {"rows": 60.0, "new_f1": 0.1 + 0.2, "limit": 0.75}),
    ScoreDrift("bootstrap", "not enough evidence", "too few: “five” are needed", {}),
)
INPUT = (
    FeatureDrift(
        feature="place | of work",
        kind="category",
        rows=60,
        test="chi2",
        missing=0.25,
        missing_before=0.125,
        psi=0.1 + 0.2,
        psi_limit=0.1,
        statistic=12.5,
        p_value=1e-300,
        missing_p_value=0.5,
        unseen=0.0625,
        unseen_p_value=0.03,
        verdict="drift",
        reason="PSI 0.300 above its limit 0.100",
        causes=(Cause.PSI, Cause.UNSEEN),
    ),
    FeatureDrift("risk", "risk", 3, "ks", 0.0, 0.0, reason="too few rows"),
)


def record(history: History, decision: Decision, at: str = "2026-01-01T00:00:00.000Z") -> int:
    made = record_decision(history, decision)
    history.query("UPDATE decisions SET at = ? WHERE id = ?", at, made)
    return made


def test_a_check_comes_back_whole(history: History) -> None:
    record_drift(history, record(history, CHECK), SCORES, INPUT)
    assert last_checked(history) == Checked(
        at="2026-01-01T00:00:00.000Z",
        release="000001-x",
        drift_test="bootstrap",
        scores=SCORES,
        input=INPUT,
    )


def test_the_last_check_is_that_of_the_last_batch(history: History) -> None:
    record_drift(history, record(history, CHECK), SCORES, INPUT)
    later = replace(CHECK, release="000002-x", drift_test="raw")
    record_drift(history, record(history, later, "2026-01-02T00:00:00.000Z"), SCORES[:1], ())
    assert last_checked(history) == Checked(
        at="2026-01-02T00:00:00.000Z",
        release="000002-x",
        drift_test="raw",
        scores=SCORES[:1],
        input=(),
    )


def test_a_decision_without_a_check_is_passed_over(history: History) -> None:
    record_drift(history, record(history, CHECK), SCORES, INPUT)
    record(history, OTHER, "2026-01-02T00:00:00.000Z")
    checked = last_checked(history)
    assert checked
    assert checked.at == "2026-01-01T00:00:00.000Z"


def test_before_the_first_check_there_is_none(history: History) -> None:
    assert last_checked(history) is None
    record(history, OTHER)
    assert last_checked(history) is None


def test_the_numbers_are_plain_json_for_whoever_reads_them(history: History) -> None:
    record_drift(history, record(history, CHECK), SCORES, ())
    told = history.query("SELECT numbers, reason FROM score_drift ORDER BY rowid")
    assert [tuple(row) for row in told] == [
        ('{"rows": 60.0, "new_f1": 0.30000000000000004, "limit": 0.75}', "lower"),
        ("{}", "too few: “five” are needed"),
    ]


def test_what_a_check_found_goes_with_its_decision(history: History) -> None:
    old = record(history, CHECK, "2001-01-01T00:00:00.000Z")
    kept = record(history, CHECK, "2999-01-01T00:00:00.000Z")
    for decision in (old, kept):
        record_drift(history, decision, SCORES, INPUT)
    prune(history, 365)
    left = {
        table: [row["decision_id"] for row in history.query(f"SELECT decision_id FROM {table}")]
        for table in ("score_drift", "input_drift")
    }
    assert left == {"score_drift": [kept, kept], "input_drift": [kept, kept]}
