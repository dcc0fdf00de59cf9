"""The state of the system on one screen; light to import, and nothing is written."""

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pipeline.action.alerts import count_waiting
from pipeline.core.errors import PipelineError
from pipeline.core.formatting import format_horizon, format_names
from pipeline.data.input_files import FoundFile, PendingFile, list_input
from pipeline.registry.releases import Release, live_id, live_release
from pipeline.storage.database import History
from pipeline.storage.held_files import HeldFile, held_files
from pipeline.storage.ledger import new_files, rejected_files, unjudged, unreported
from pipeline.storage.records import held_challenger

if TYPE_CHECKING:
    from pipeline.core.database_url import DatabaseUrl
    from pipeline.core.schema import Schema


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
    verdict: str
    reason: str
    challenge: str | None = None


@dataclass(frozen=True)
class Status:
    """What is live, what ran, and what is pending; an error in place of what cannot be read."""

    release: Release | PipelineError | None
    last_run: LastRun | None
    last_active: str | None  # when a run last held the lock, with or without finding work
    new: tuple[str, ...] | PipelineError
    pending: tuple[str, ...]
    rejected: tuple[tuple[str, str], ...]  # name, reason; of files that are still there
    last_verdict: LastVerdict | None
    unjudged: int = 0  # of the pending files, those that no drift check has seen
    held: tuple[HeldFile, ...] = ()
    held_challenger: str | None = None  # why: it waits to be promoted
    alerts_waiting: int = 0  # messages that are not sent yet
    live_since: str | None = None  # by deployment or rollback; None if that is not on record


def last_run(history: History) -> LastRun | None:
    """The run recorded last."""
    columns = "command, started_at, ended_at, outcome"
    row = history.one(f"SELECT {columns} FROM runs ORDER BY id DESC LIMIT 1")
    return LastRun(**row) if row else None


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
    input_folder: Path,
    production: Path,
    lock: "Path | DatabaseUrl",
    history: History | None,
    schema: "Schema",
    *,
    subfolders: bool = False,
) -> Status:
    """The state now; raises `HistoryError` if the history cannot be read."""
    found = _or_error(lambda: list_input(input_folder, subfolders=subfolders))
    release = _or_error(lambda: live_release(production) if live_id(production) else None)
    active = last_active(lock, history)
    if history is None:
        listed = found if isinstance(found, PipelineError) else _names(found)
        return Status(release, None, active, listed, (), (), None)
    new: tuple[str, ...] | PipelineError
    rejected = rejected_files(history)
    if isinstance(found, PipelineError):
        new = found
    else:
        new = _names(new_files(history, found, schema, remember=False))
        there = set(_names(found))
        rejected = [(name, reason) for name, reason in rejected if name in there]
    columns = "at, verdict, reason, challenge"
    judged = history.one(f"SELECT {columns} FROM decisions ORDER BY id DESC LIMIT 1")
    deployed = history.one("SELECT at, release FROM deployments ORDER BY id DESC LIMIT 1")
    waits = held_challenger(history, release.id if isinstance(release, Release) else None)
    by_it = deployed and isinstance(release, Release) and deployed["release"] == release.id
    return Status(
        release=release,
        last_run=last_run(history),
        last_active=active,
        new=new,
        pending=_names(unreported(history)),
        rejected=tuple(rejected),
        last_verdict=LastVerdict(**judged) if judged else None,
        unjudged=len(unjudged(history)),
        held=tuple(held_files(history)),
        held_challenger=waits.reason if waits else None,
        alerts_waiting=count_waiting(history),
        live_since=deployed["at"] if deployed and by_it else None,
    )


Value = TypeVar("Value")


def _or_error(read: Callable[[], Value]) -> Value | PipelineError:
    """A value, or the error: the others are wanted most where something is wrong."""
    try:
        return read()
    except PipelineError as error:
        return error


def _names(files: Iterable[FoundFile | PendingFile]) -> tuple[str, ...]:
    return tuple(file.name for file in files)


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
        "held": [{"name": file.name, "reason": file.reason} for file in now.held],
        "last_verdict": asdict(now.last_verdict) if now.last_verdict else None,
        "held_challenger": now.held_challenger,
        "alerts_waiting": now.alerts_waiting,
        "errors": {k: str(e) for k, e in readings.items() if isinstance(e, PipelineError)},
    }


def _release_to_dict(release: Release) -> dict[str, Any]:
    return {
        "id": release.id,
        "deployed_at": release.deployed_at,
        "f1": release.f1,
        "horizon_days": release.horizon_days,
    }


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
        *([f"held back      {len(now.held)}"] if now.held else []),
        *[f"               {file.name}: {file.reason}" for file in now.held[:10]],
        f"last verdict   {_format_verdict(now.last_verdict)}",
        *["challenger     waits for `python deployment.py --promote`"] * bool(now.held_challenger),
        *[f"alerts         {now.alerts_waiting:,} wait to be sent"] * bool(now.alerts_waiting),
    ]


def _format_release(release: Release | PipelineError | None) -> str:
    if isinstance(release, Release):
        horizon = format_horizon(release.horizon_days)
        who = f", predicts who leaves{horizon}" if horizon else ""
        return f"{release.id}, F1 {release.f1:.4f}, deployed {release.deployed_at}{who}"
    return f"unknown: {release}" if release else "none"


def _format_run(run: LastRun | None) -> str:
    if run is None:
        return "never"
    if run.ended_at is None:
        return f"{run.command}, started {run.started_at} and not ended"
    return f"{run.command}, {run.outcome}, ended {run.ended_at}"


def _format_verdict(last: LastVerdict | None) -> str:
    return f"{last.at} {last.verdict}: {last.reason}" if last else "none"


def _format_names(names: tuple[str, ...] | PipelineError) -> str:
    if isinstance(names, PipelineError):
        return f"unknown: {names}"
    return f"{len(names):,}: {format_names(names, 5)}" if names else "0"
