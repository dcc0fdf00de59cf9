"""Overall health: a one-sentence status and a few figures."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import pandas as pd

from pipeline.core.errors import PipelineError
from pipeline.core.formatting import (
    format_age,
    format_day,
    format_horizon,
    format_minute,
    format_names,
    format_release_number,
    format_score,
    pluralize,
)
from pipeline.core.policy import Policy
from pipeline.monitoring.decisions import ChallengeOutcome, News, Verdict
from pipeline.registry.releases import Release
from pipeline.reporting.document import BAD, GOOD, WARNING, Fact, State
from pipeline.reporting.status import Status
from pipeline.storage.held_files import WITHDRAWN
from pipeline.storage.records import Checked

# pages show no path of the server
SAYS_WHY = "python fullprocess.py --status says why"
MAX_FEATURES = 3  # that are named
LONG_RUN = 1200.0  # seconds that a run may take
MAX_SILENCE = 3600.0  # seconds without any run, where one is due every ten minutes
_WORDS = {GOOD: "All is well", WARNING: "Needs attention", BAD: "Something is wrong"}
NOT_REPLACED = (ChallengeOutcome.LOST, ChallengeOutcome.SAME_MODEL)


@dataclass(frozen=True)
class Risks:
    """How many clients are in the ranking, at high risk, and to be contacted."""

    clients: int
    high: int
    contact: int
    why: str = "by the threshold of the release"


def overall_health(
    status: Status,
    risks: Risks | None,
    now: datetime | None = None,
    *,
    checked: Checked | None = None,
    wrong: Sequence[str] = (),
    doubts: Sequence[str] = (),
    within_run: bool = False,
) -> State:
    """The overall health; `risks` is None before the first ranking.

    `checked` is the last drift check; `wrong` and `doubts` are added to what is found here.
    `within_run`: the last run is the one that asks, and is left out.
    """
    now = now or datetime.now(UTC)
    if within_run:
        status = replace(status, last_run=None, last_active=None)
    wrong = [*_wrong(status), *wrong]
    doubts = [*_doubts(status, checked, now), *doubts]
    level = BAD if wrong else WARNING if doubts else GOOD
    parts, release = [*wrong, *doubts], status.release
    if isinstance(release, Release):
        since = format_day(status.live_since or release.deployed_at)
        number, f1 = format_release_number(release.id), format_score(release.f1)
        parts.append(f"release {number}, live since {since}, has an F1 of {f1} on the test data")
    if status.last_active and _seconds(status.last_active, now) <= MAX_SILENCE:
        parts.append(f"a stage last ran {format_age(status.last_active, now)}")
    return State(
        level=level,
        word=_WORDS[level],
        sentence=f"{'; '.join(parts)}.",
        facts=tuple(_facts(status, risks, now)),
        problems=(*wrong, *doubts),
    )


def _wrong(status: Status) -> Iterator[str]:
    if isinstance(status.release, PipelineError):
        yield f"the live release cannot be read: {SAYS_WHY}"
    if isinstance(status.new, PipelineError):
        yield f"the input folder cannot be read: {SAYS_WHY}"
    if status.last_run and status.last_run.outcome == "failed":
        yield "the last run failed"


def _doubts(status: Status, checked: Checked | None, now: datetime) -> Iterator[str]:
    if status.release is None:
        yield "no release is live yet: run python fullprocess.py"
    run, last, release = status.last_run, status.last_verdict, status.release
    if run and run.ended_at is None and _seconds(run.started_at, now) > LONG_RUN:
        yield f"the last run, started {format_age(run.started_at, now)}, has not ended"
    if status.last_active and _seconds(status.last_active, now) > MAX_SILENCE:
        yield f"nothing has run for {format_age(status.last_active, now)[:-4]}"
    if last and last.verdict == Verdict.DRIFT and last.challenge in NOT_REPLACED:
        yield "the last batch drifted, and no better model was found"
    if status.held_challenger:
        yield "a challenger waits to be promoted"
    if unreadable := sum(reason != WITHDRAWN for _, reason in status.rejected):
        yield f"{pluralize(unreadable, 'file')} in the input folder cannot be read"
    for file in status.held[-1:]:
        yield f"a file is held back: {file.name}: {file.reason}"
    if len(status.held) > 1:
        yield f"{pluralize(len(status.held), 'file')} are held back in all"
    if not isinstance(release, Release):
        return
    if release.f1 == 0:
        yield "the F1 of the live model is 0: it predicts no leaver correctly"
    found = checked.input if checked and checked.release == release.id else ()
    if names := [one.name for one in found if one.news == News.TOLD]:
        new = format_names(names, MAX_FEATURES)
        yield f"the input of the last batch is unlike that of recent ones: {new}"


def _seconds(at: str, now: datetime) -> float:
    return (now - datetime.fromisoformat(at).astimezone(UTC)).total_seconds()


def _facts(status: Status, risks: Risks | None, now: datetime) -> Iterator[Fact]:
    release, run = status.release, status.last_run
    if isinstance(release, Release):
        since = format_day(status.live_since or release.deployed_at)
        yield Fact("Live release", format_release_number(release.id), f"since {since}")
        rows = f"{release.model.rows:,} rows learned"
        yield Fact("F1 on the test data", format_score(release.f1), rows)
    if risks:
        yield from risk_facts(risks, release.horizon_days if isinstance(release, Release) else None)
    if run:
        note = f"{format_age(run.started_at, now)}, {format_minute(run.started_at)} UTC"
        yield Fact("Last run with work", run.outcome or "running", note)
    if isinstance(status.new, PipelineError):
        yield Fact("New files", "unknown")
    else:
        note = f"{status.unjudged:,} not judged yet, {len(status.rejected):,} rejected"
        yield Fact("New files", f"{len(status.new):,}", note)


def risk_facts(risks: Risks, horizon_days: int | None) -> Iterator[Fact]:
    """How many clients are at high risk, and how many are to be contacted."""
    horizon = format_horizon(horizon_days)
    name = f"At high risk{horizon and f' of leaving{horizon}'}"
    yield Fact("To be contacted", f"{risks.contact:,}", risks.why)
    yield Fact(name, f"{risks.high:,}", f"of {pluralize(risks.clients, 'client')}")


def count_risks(ranking: pd.DataFrame, policy: Policy) -> Risks:
    """The counts of a ranking, by the bands it was made with."""
    high, contact = (ranking["band"] == "high").sum(), (ranking["contact"] == "yes").sum()
    pays = policy.threshold == "value" and policy.worth.column is not None
    why = "where contacting pays" if pays else Risks.why
    return Risks(len(ranking), int(high), int(contact), why)
