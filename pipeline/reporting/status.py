"""The state of the system on one screen; light to import, and nothing is written."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pipeline.core.errors import PipelineError
from pipeline.data.input_files import list_input
from pipeline.monitoring.decisions import ChallengeOutcome, Verdict
from pipeline.registry.releases import Release, live_id, live_release
from pipeline.storage.database import History
from pipeline.storage.ledger import new_files, rejected_files, unjudged, unreported

if TYPE_CHECKING:
    from pipeline.core.database_url import DatabaseUrl


@dataclass(frozen=True)
class LastRun:
    """The run that was recorded last; it has no end while it runs, or if it was killed."""

    command: str
    started_at: str
    ended_at: str | None
    outcome: str | None


@dataclass(frozen=True)
class LastVerdict:
    """What was decided on the batch judged last."""

    at: str
    verdict: Verdict
    reason: str
    challenge: ChallengeOutcome | None = None


@dataclass(frozen=True)
class Status:
    """What is live, what ran, and what is pending; an error in place of what cannot be read."""

    release: Release | PipelineError | None
    last_run: LastRun | None
    last_active: str | None  # when a run last held the lock, with or without finding work
    new: tuple[str, ...] | PipelineError
    pending: tuple[str, ...]
    rejected: tuple[tuple[str, str], ...]  # name, reason
    last_verdict: LastVerdict | None
    unjudged: int = 0  # of the pending files, those that no drift check has seen
    live_since: str | None = None  # by deployment or rollback; None if that is not on record


def last_run(history: History) -> LastRun | None:
    """The run recorded last."""
    row = history.one("SELECT * FROM runs ORDER BY id DESC LIMIT 1")
    return (
        LastRun(row["command"], row["started_at"], row["ended_at"], row["outcome"]) if row else None
    )


def last_active(lock: "Path | DatabaseUrl", history: History | None) -> str | None:
    """When a run last took or released the lock: a tick without work leaves no other trace.

    The folder of the lock has the time, or the server that holds it.
    """
    if not isinstance(lock, Path):
        row = history.one("SELECT last_active FROM server_state") if history else None
        return row["last_active"] if row else None
    try:
        seconds = lock.parent.stat().st_mtime
    except FileNotFoundError:
        return None
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def read_status(
    input_folder: Path, production: Path, lock: "Path | DatabaseUrl", history: History | None
) -> Status:
    """The state now; raises `HistoryError` if the history cannot be read."""
    release = _or_error(lambda: live_release(production) if live_id(production) else None)
    active = last_active(lock, history)
    if history is None:
        new = _or_error(lambda: tuple(file.name for file in list_input(input_folder)))
        return Status(release, None, active, new, (), (), None)
    return Status(
        release=release,
        last_run=last_run(history),
        last_active=active,
        new=_or_error(
            lambda: tuple(
                file.name for file in new_files(history, list_input(input_folder), remember=False)
            )
        ),
        pending=tuple(file.name for file in unreported(history)),
        rejected=tuple(rejected_files(history)),
        last_verdict=_last_verdict(history),
        unjudged=len(unjudged(history)),
        live_since=_since(history, release) if isinstance(release, Release) else None,
    )


Value = TypeVar("Value")


def _or_error(read: Callable[[], Value]) -> Value | PipelineError:
    """A value, or the error: the others are wanted most where something is wrong."""
    try:
        return read()
    except PipelineError as error:
        return error


def _since(history: History, release: Release) -> str | None:
    last = history.one("SELECT at, release FROM deployments ORDER BY id DESC LIMIT 1")
    return last["at"] if last and last["release"] == release.id else None


def status_to_dict(now: Status) -> dict[str, Any]:
    """The state for a program: null for what cannot be read, and the errors that say why."""
    readings = {"release": now.release, "new": now.new}
    return {
        "release": _release_to_dict(now.release) if isinstance(now.release, Release) else None,
        "last_run": asdict(now.last_run) if now.last_run else None,
        "last_active": now.last_active,
        "new": None if isinstance(now.new, PipelineError) else now.new,
        "pending": now.pending,
        "rejected": [{"name": name, "reason": reason} for name, reason in now.rejected],
        "last_verdict": asdict(now.last_verdict) if now.last_verdict else None,
        "errors": {k: str(e) for k, e in readings.items() if isinstance(e, PipelineError)},
    }


def _release_to_dict(release: Release) -> dict[str, Any]:
    return {"id": release.id, "deployed_at": release.deployed_at, "f1": release.f1}


def status_lines(now: Status) -> list[str]:
    """The state in lines for a person."""
    return [
        f"live release   {_format_release(now.release)}",
        f"last run       {_format_run(now.last_run)}",
        f"last active    {now.last_active or 'never'}",
        f"new files      {_format_names(now.new)}",
        f"pending files  {_format_names(now.pending)}",
        f"rejected files {len(now.rejected)}",
        *[f"               {name}: it {reason}" for name, reason in now.rejected[:10]],
        f"last verdict   {_format_verdict(now.last_verdict)}",
    ]


def _format_release(release: Release | PipelineError | None) -> str:
    if isinstance(release, Release):
        return f"{release.id}, F1 {release.f1:.4f}, deployed {release.deployed_at}"
    return f"unknown: {release}" if release else "none"


def _format_run(run: LastRun | None) -> str:
    if run is None:
        return "never"
    if run.ended_at is None:
        return f"{run.command}, started {run.started_at} and not ended"
    return f"{run.command}, {run.outcome}, ended {run.ended_at}"


def _last_verdict(history: History) -> LastVerdict | None:
    row = history.one(
        "SELECT at, verdict, reason, challenge FROM decisions ORDER BY id DESC LIMIT 1"
    )
    if row is None:
        return None
    challenge = ChallengeOutcome(row["challenge"]) if row["challenge"] else None
    return LastVerdict(row["at"], Verdict(row["verdict"]), row["reason"], challenge)


def _format_verdict(last: LastVerdict | None) -> str:
    return f"{last.at} {last.verdict}: {last.reason}" if last else "none"


def _format_names(names: tuple[str, ...] | PipelineError) -> str:
    if isinstance(names, PipelineError):
        return f"unknown: {names}"
    more = f" and {len(names) - 5:,} more" if len(names) > 5 else ""
    return f"{len(names):,}" + (f": {', '.join(names[:5])}{more}" if names else "")
