from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from pipeline.data.loader import TakenFile
from pipeline.monitoring.bootstrap import Interval
from pipeline.monitoring.decisions import Cause, Decision, FeatureDrift, News, ScoreDrift, Scores
from pipeline.monitoring.expected_scores import Expected, ExpectedOfBatch, ExpectedScore
from pipeline.monitoring.packages import Package
from pipeline.storage import ledger
from pipeline.storage.database import History
from pipeline.storage.ledger import MasterState, unsettled_since
from pipeline.storage.records import (
    Checked,
    batch_scores,
    last_checked,
    last_missing,
    last_packages,
    last_scores,
    last_timings,
    oldest_kept,
    prune,
    record_decision,
    record_deployment,
    record_drift,
    record_expected,
    record_missing,
    record_packages,
    record_scores,
    record_timing,
    recorded_run,
)
from pipeline.storage.trends import ExpectedScores, last_expected

SCORES = Scores(
    rows=10,
    f1=0.5,
    accuracy=0.6,
    precision=0.7,
    recall=0.4,
    roc_auc=0.8,
    average_precision=0.75,
    log_loss=0.3,
    brier=0.2,
)
UNDEFINED = Scores(3, None, 1.0, None, None, None, None, 0.1, 0.01)


@pytest.mark.parametrize("error", [ValueError("no rows"), KeyboardInterrupt("no rows")])
def test_a_run_is_recorded_with_its_error_if_it_fails(
    history: History, error: BaseException
) -> None:
    with recorded_run(history, "training"):
        (during,) = history.tuples("SELECT command, ended_at, outcome FROM runs")
    (after,) = history.tuples("SELECT command, ended_at >= started_at, outcome, detail FROM runs")
    assert during == ("training", None, None)
    assert after == ("training", 1, "done", None)
    with pytest.raises(type(error)), recorded_run(history, "training"):
        raise error
    failed = ("failed", f"{type(error).__name__}: no rows")
    assert history.tuples("SELECT outcome, detail FROM runs WHERE id = 2") == [failed]


def test_the_last_scores_of_a_model_on_the_test_data_are_its_own(history: History) -> None:
    record_scores(history, "abc", "new rows", SCORES)
    assert last_scores(history, "abc") is None
    for scores in (UNDEFINED, SCORES):
        record_scores(history, "abc", "test data", scores)
    record_scores(history, "def", "test data", UNDEFINED)
    record_scores(history, "abc", "new rows", UNDEFINED)
    assert (last_scores(history, "abc"), last_scores(history, "def")) == (SCORES, UNDEFINED)


def test_a_decision_is_recorded_whole(history: History) -> None:
    decision = Decision(
        files='["a.csv"]',
        rows=8,
        labelled=7,
        release="000001",
        deployed_f1=0.8,
        new_f1=0.1,
        verdict="drift",
        action="deployed",
        reason="because",
        champion_f1=0.2,
        challenger_f1=0.6,
        new_release="000002",
        drift_test="raw",
        gate="better",
        difference_low=0.125,
        difference_high=0.5,
    )
    record_decision(history, decision)
    (row,) = history.query("SELECT * FROM decisions")
    assert Decision(**{k: row[k] for k in vars(decision)}) == decision


def judged(history: History, release: str, f1: float | None, *, raw: str | None = None) -> None:
    """Record a decision, and what the raw test said, unless it is one of a former version."""
    decision = Decision(
        files="[]",
        rows=60,
        labelled=60,
        release=release,
        deployed_f1=0.8,
        new_f1=f1,
        verdict="no drift",
        action="kept",
        reason="",
    )
    made = record_decision(history, decision)
    if raw:
        record_drift(history, made, [ScoreDrift("raw", raw, "", {})], [])


def test_the_batch_scores_of_a_release_are_its_own_in_order(history: History) -> None:
    for release, f1 in [("000001", 0.75), ("000002", 0.25), ("000001", 0.5), ("000001", None)]:
        judged(history, release, f1, raw="no drift")
    judged(history, "000001", 0.625)
    for f1 in (1.0, 0.0):  # which say nothing
        judged(history, "000001", f1, raw="not enough evidence")
    judged(history, "000001", 0.0, raw="drift")
    assert batch_scores(history, "000001") == [0.75, 0.5, 0.625, 0.0]
    assert batch_scores(history, "000003") == []


def test_a_deployment_is_recorded(history: History) -> None:
    record_deployment(history, "000001", "deploy", 0.8)
    record_deployment(history, "000002", "rollback", 0.7)
    assert history.tuples("SELECT release, action, f1 FROM deployments ORDER BY id") == [
        ("000001", "deploy", 0.8),
        ("000002", "rollback", 0.7),
    ]


def test_the_last_record_of_each_kind_counts_and_comes_back_in_order(history: History) -> None:
    assert (last_timings(history), last_missing(history), last_packages(history)) == ({}, {}, [])
    for stage, seconds in [("training", 9.0), ("ingestion", 0.5), ("training", 1.5)]:
        record_timing(history, stage, seconds, 10)
    percents = {"z": 0.0, "a": 12.5, "m": 100.0}
    packages = [Package("pandas", "3.1.1", "3.2.0"), Package("flask", "3.1.3", "unknown")]
    record_missing(history, {"b": 1.0})
    history.query("UPDATE missing SET at = '2999'")  # by a clock that was ahead
    record_missing(history, percents)
    record_packages(history, packages)
    assert last_timings(history) == {"ingestion": 0.5, "training": 1.5}
    assert [*last_missing(history).items()] == [*percents.items()]
    assert last_packages(history) == packages


@pytest.mark.parametrize("outcome", [None, "failed"])
def test_what_was_killed_or_failed_is_unsettled_until_the_chain_is_done(
    history: History, outcome: str | None
) -> None:
    assert unsettled_since(history) is None
    history.insert("runs", command="ingestion", started_at="1", outcome="done")
    assert unsettled_since(history) is None
    for started_at in ("2", "3"):
        history.insert("runs", command="ingestion", started_at=started_at, outcome=outcome)
    history.insert("runs", command="ingestion", started_at="4", outcome="done")
    assert unsettled_since(history) == "2"
    history.insert("runs", command="fullprocess", started_at="5", outcome="done")
    assert unsettled_since(history) is None


CHECK = Decision(
    files="[]",
    rows=60,
    labelled=60,
    release="000001-x",
    deployed_f1=0.75,
    new_f1=0.5,
    verdict="drift",
    action="kept",
    reason="",
    drift_test="bootstrap",
)
OTHER = Decision(
    files="[]",
    rows=60,
    labelled=60,
    release=None,
    deployed_f1=None,
    new_f1=None,
    verdict="nothing deployed",
    action="deployed",
    reason="",
)
VERDICTS = (
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
        news=News.TOLD,
        effect=0.25,
    ),
    FeatureDrift("risk", "risk", 3, "ks", 0.0, 0.0, reason="too few rows"),
)


def decide(history: History, decision: Decision, at: str = "2026-01-01T00:00:00.000Z") -> int:
    made = record_decision(history, decision)
    history.query("UPDATE decisions SET at = ? WHERE id = ?", at, made)
    return made


def test_the_last_check_comes_back_whole(history: History) -> None:
    decide(history, OTHER)
    assert last_checked(history) is None
    record_drift(history, decide(history, replace(CHECK, release="2")), VERDICTS[:1], INPUT[1:])
    record_drift(history, decide(history, CHECK, "2026-01-02"), VERDICTS, INPUT)
    decide(history, OTHER, "2026-01-03")  # without a check
    assert last_checked(history) == Checked(
        at="2026-01-02",
        release="000001-x",
        drift_test="bootstrap",
        scores=VERDICTS,
        input=INPUT,
    )


def test_expected_scores_come_back_and_go_with_their_decision(history: History) -> None:
    f1 = ExpectedScore(0.5, Interval(0.25, 0.75))
    found = [
        ExpectedOfBatch(False, 200, Expected(f1, None, None), None),
        ExpectedOfBatch(True, 100, Expected(f1, f1, f1), SCORES),
    ]
    decision = decide(history, CHECK, OLD)
    decide(history, CHECK, NEW)
    record_expected(history, decision, found)
    record_drift(history, decision, VERDICTS, INPUT)
    bounds, true = (0.5, 0.25, 0.75), (SCORES.f1, SCORES.average_precision, SCORES.roc_auc)
    assert last_expected(history, 5) == (
        ExpectedScores(OLD, "000001-x", 0, 200, *bounds, *[None] * 9),
        ExpectedScores(OLD, "000001-x", 1, 100, *bounds, *bounds, *bounds, *true),
    )
    (last,) = last_expected(history, 1, "expected_scores.labelled = 0")
    assert last.rows == 200
    prune(history, BEFORE)
    assert last_expected(history, 5) == ()
    assert history.tuples("SELECT 1 FROM score_drift UNION ALL SELECT 1 FROM input_drift") == []


def test_the_numbers_are_plain_json_for_whoever_reads_them(history: History) -> None:
    record_drift(history, decide(history, CHECK), VERDICTS, ())
    assert history.tuples("SELECT numbers, reason FROM score_drift ORDER BY rowid") == [
        ('{"rows": 60.0, "new_f1": 0.30000000000000004, "limit": 0.75}', "lower"),
        ("{}", "too few: “five” are needed"),
    ]


OLDER, OLD, NEW = (f"{year}-01-01T00:00:00.000Z" for year in (2000, 2001, 2999))
BEFORE = "2026-01-01"
ROWS = {
    "runs": "INSERT INTO runs (command, started_at) VALUES ('x', ?)",
    "scores": "INSERT INTO scores (at, model_sha256, data, rows) VALUES (?, 'abc', 'new rows', 1)",
    "decisions": "INSERT INTO decisions (at, files, rows, labelled, verdict, action, reason)"
    " VALUES (?, '[]', 1, 1, 'no drift', 'kept', '')",
    "deployments": "INSERT INTO deployments (at, release, action, f1) VALUES (?, 'r', 'deploy', 1)",
    "timings": "INSERT INTO timings (at, stage, seconds, rows) VALUES (?, 'training', 1, 1)",
    "missing": "INSERT INTO missing (at, position, column_name, percent) VALUES (?, 0, 'a', 1)",
    "packages": "INSERT INTO packages (at, position, package, installed, latest)"
    " VALUES (?, 0, 'p', '1', '1')",
}


def times(history: History, table: str) -> list[str]:
    column = "started_at" if table == "runs" else "at"
    return [at for (at,) in history.tuples(f"SELECT {column} FROM {table} ORDER BY 1")]


@pytest.mark.parametrize("table", ROWS)
def test_what_is_older_is_forgotten_but_for_the_last_of_its_kind(
    history: History, table: str
) -> None:
    for known, left in (([OLDER, OLD], [OLD]), ([NEW, NEW], [NEW, NEW])):
        for at in known:
            history.query(ROWS[table], at)
        prune(history, BEFORE)
        assert times(history, table) == left


def test_the_ledger_is_kept_whole(history: History) -> None:
    ledger.record_files(history, [TakenFile(1, "a.csv", 1, 1, "abc", None)], MasterState(1, 1))
    history.query("UPDATE files SET recorded_at = ?, judged_at = ?", OLD, OLD)
    prune(history, BEFORE)
    assert ledger.ingested_names(history) == ["a.csv"]


def ran(history: History, *days: str) -> None:
    for day in days:
        history.query(ROWS["runs"], f"{day}T09:00:00.000Z")


def ago(days: int) -> str:
    return f"{datetime.now(UTC) - timedelta(days):%F}"


def test_without_a_run_nothing_is_forgotten(history: History) -> None:
    assert oldest_kept(history, 1) == ""


@pytest.mark.parametrize("every", [1, 7, 30])
def test_days_are_counted_from_the_last_run(history: History, every: int) -> None:
    ran(history, *map(ago, range(2, 400, every)))
    assert oldest_kept(history, 365) == ago(367)
    assert oldest_kept(history, 400) == ""


@pytest.mark.parametrize("keep", [1, 7, 30, 365])
@pytest.mark.parametrize("jump", [400, 5_000])
def test_a_clock_that_jumps_costs_a_twelfth_at_most(history: History, keep: int, jump: int) -> None:
    """Time and again: of every tick while it is ahead, and after a time off."""
    ran(history, *map(ago, range(jump, jump + 2 * keep)))
    ran(history, ago(0))
    assert oldest_kept(history, keep) == ago(jump + keep - max(1, keep // 12))
    ran(history, ago(0))
    assert oldest_kept(history, keep) == ago(jump + keep - max(1, keep // 12))


def test_what_a_clock_that_was_ahead_has_left_does_not_count(history: History) -> None:
    ran(history, *map(ago, range(60)))
    assert oldest_kept(history, 30) == ago(30)
    ran(history, "2199-01-01", *(f"2999-01-{day:02}" for day in range(1, 32)))
    assert oldest_kept(history, 30) == ago(30)


def test_a_clock_that_is_back_at_its_start_forgets_nothing(history: History) -> None:
    ran(history, "1970-01-01", *(f"2999-01-{day:02}" for day in range(1, 32)))
    assert oldest_kept(history, 1) == ""
