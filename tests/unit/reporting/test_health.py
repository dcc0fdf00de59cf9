"""The overall health: one sentence for each state of the system."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pandas as pd
import pytest
from sandbox import Sandbox

from pipeline.core.errors import DataError, ReleaseError
from pipeline.core.formatting import format_day, format_score
from pipeline.core.policy import Policy
from pipeline.monitoring.decisions import ChallengeOutcome, FeatureDrift, Verdict
from pipeline.registry.releases import Release
from pipeline.reporting.document import BAD, GOOD, WARNING, Fact, State
from pipeline.reporting.health import Risks, count_risks, overall_health
from pipeline.reporting.status import LastRun, LastVerdict, Status, read_status
from pipeline.storage.database import History
from pipeline.storage.records import Checked

NOW = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
RECENTLY = "2026-11-22T08:55:00Z"
DONE = LastRun("fullprocess", "2026-11-22T06:00:00Z", "2026-11-22T06:00:05Z", "done")
KEPT = LastVerdict(RECENTLY, Verdict.NO_DRIFT, "F1 on the new rows is 0.9")
RISKS = Risks(clients=10_000, high=1, contact=1234)


@pytest.fixture
def well(settled: Sandbox) -> Status:
    """A status as a finished run leaves it, at a known time."""
    config = settled.config
    paths = config.input_folder_path, config.prod_deployment_path, config.lock_path
    with History(settled.config.history_path) as history:
        found = read_status(*paths, history, config.schema)
    return replace(found, last_run=DONE, last_active=RECENTLY, last_verdict=KEPT)


def live_words(now: Status) -> str:
    release = now.release
    assert isinstance(release, Release)
    return (
        f"release 1, live since {format_day(release.deployed_at)}, has an F1 of"
        f" {format_score(release.f1)} on the test data"
    )


def state_of(now: Status, risks: Risks | None = RISKS, *, within_run: bool = False) -> State:
    return overall_health(now, risks, NOW, within_run=within_run)


def test_all_is_well(well: Status) -> None:
    found = state_of(well)

    assert (found.level, found.word) == (GOOD, "All is well")
    assert found.sentence == f"{live_words(well)}; a stage last ran 5 minutes ago."


def test_the_figures_are_reported_with_what_they_are(well: Status) -> None:
    release = well.release
    assert isinstance(release, Release)

    assert state_of(well).facts == (
        Fact("Live release", "1", f"since {format_day(release.deployed_at)}"),
        Fact("F1 on the test data", format_score(release.f1), "120 rows learned"),
        Fact("To be contacted", "1,234", "by the threshold of the release"),
        Fact("At high risk", "1", "of 10,000 clients"),
        Fact("Last run with work", "done", "3 hours ago, 2026-11-22 06:00 UTC"),
        Fact("New files", "0", "0 not judged yet, 0 rejected"),
    )


def test_before_anything_ran_it_says_what_to_do() -> None:
    found = state_of(Status(None, None, None, (), (), (), None), None)

    assert (found.level, found.word) == (WARNING, "Needs attention")
    assert found.sentence == "no release is live yet: run python fullprocess.py."
    assert found.facts == (Fact("New files", "0", "0 not judged yet, 0 rejected"),)


SAYS_WHY = "cannot be read: python fullprocess.py --status says why;"
BEGUN = replace(DONE, ended_at=None, outcome=None)
AT_WORK = replace(BEGUN, started_at="2026-11-22T08:45:00Z")
FAILED = replace(DONE, outcome="failed")
BAD_FILE = ("a.csv", "is empty")


def drift(outcome: ChallengeOutcome) -> LastVerdict:
    return LastVerdict(RECENTLY, Verdict.DRIFT, "F1 …", outcome)


@pytest.mark.parametrize(
    ("change", "level", "sentence"),
    [
        ({"release": ReleaseError("no")}, BAD, f"the live release {SAYS_WHY} a stage last ran "),
        ({"new": DataError("no")}, BAD, f"the input folder {SAYS_WHY} release 1,"),
        ({"last_run": FAILED}, BAD, "the last run failed; release 1,"),
        ({"last_run": BEGUN}, WARNING, "the last run, started 3 hours ago, has not ended; "),
        ({"last_run": AT_WORK}, GOOD, "release 1, live since "),
        ({"last_active": "2026-11-22T08:00:00Z"}, GOOD, "release 1, live since "),
        ({"last_active": "2026-11-22T07:59:59Z"}, WARNING, "nothing has run for 1 hour; "),
        ({"last_active": "2026-11-20T07:00:00Z"}, WARNING, "nothing has run for 2 days; "),
        (
            {"last_verdict": drift(ChallengeOutcome.LOST)},
            WARNING,
            "the last batch drifted, and no better model was found; ",
        ),
        ({"last_verdict": drift(ChallengeOutcome.SAME_MODEL)}, WARNING, "the last batch drifted, "),
        ({"last_verdict": drift(ChallengeOutcome.WON)}, GOOD, "release 1, live since "),
        (
            {"rejected": (BAD_FILE, BAD_FILE)},
            WARNING,
            "2 files in the input folder cannot be read; release 1,",
        ),
        (
            {"last_run": FAILED, "rejected": (BAD_FILE,)},
            BAD,
            "the last run failed; 1 file in the input folder cannot be read; release 1,",
        ),
    ],
)
def test_what_is_wrong_or_doubtful_is_said_first(
    well: Status, change: dict[str, Any], level: str, sentence: str
) -> None:
    found = state_of(replace(well, **change))
    assert (found.level, found.sentence[: len(sentence)]) == (level, sentence)


def test_within_a_run_nothing_is_said_of_that_run(well: Status) -> None:
    running = replace(well, last_run=replace(DONE, ended_at=None, outcome=None))
    found = state_of(running, within_run=True)

    assert (found.level, found.sentence) == (GOOD, f"{live_words(well)}.")
    assert [fact.name for fact in found.facts] == [
        *("Live release", "F1 on the test data", "To be contacted", "At high risk", "New files")
    ]


def test_clients_are_counted_by_the_bands_of_their_ranking() -> None:
    ranking = pd.DataFrame({"band": ["high", "low", "high"], "contact": ["yes", "no", "no"]})

    assert count_risks(ranking, Policy()) == Risks(3, 2, 1)


def feature(name: str, news: str = "told") -> FeatureDrift:
    return FeatureDrift(name, "number", 50, "ks", 0.0, 0.0, verdict="drift", news=news)


def checked(now: Status, *found: FeatureDrift, release: str | None = None) -> Checked:
    live = now.release
    assert isinstance(live, Release)
    return Checked(RECENTLY, release or live.id, "raw", (), found)


def test_what_is_new_of_the_input_is_a_doubt_and_some_is_named(well: Status) -> None:
    check = checked(well, feature("a"), feature("b", "known"), *map(feature, "cdef"))

    state = overall_health(well, RISKS, NOW, checked=check)

    assert state.level == WARNING
    unlike = "the input of the last batch is unlike that of recent ones: a, c, d and 2 more;"
    assert state.sentence.startswith(f"{unlike} release 1,")


def test_what_drifted_from_a_former_release_is_none_of_the_live_ones(well: Status) -> None:
    check = checked(well, feature("a"), release="000000-20260101T000000Z")

    assert overall_health(well, RISKS, NOW, checked=check).level == GOOD


def test_a_model_with_an_f1_of_0_is_a_doubt(well: Status) -> None:
    assert isinstance(well.release, Release)

    found = state_of(replace(well, release=replace(well.release, f1=0.0)))

    assert found.level == WARNING
    assert found.sentence.startswith(
        "the F1 of the live model is 0: it predicts no leaver correctly;"
    )
