"""The state of the system on one screen; light to import, and nothing is written."""

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
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
    new = found if isinstance(found, PipelineError) else _names(found)
    now = Status(release, None, last_active(lock, history), new, (), (), None)
    if history is None:
        return now
    rejected = rejected_files(history)
    if not isinstance(found, PipelineError):
        there = {file.name for file in found}
        new = _names(new_files(history, found, schema, remember=False))
        rejected = [(name, reason) for name, reason in rejected if name in there]
    columns = "at, verdict, reason, challenge"
    judged = history.one(f"SELECT {columns} FROM decisions ORDER BY id DESC LIMIT 1")
    deployed = history.one("SELECT at, release FROM deployments ORDER BY id DESC LIMIT 1")
    live = release.id if isinstance(release, Release) else None
    waits = held_challenger(history, live)
    return replace(
        now,
        last_run=last_run(history),
        new=new,
        pending=_names(unreported(history)),
        rejected=tuple(rejected),
        last_verdict=LastVerdict(**judged) if judged else None,
        unjudged=len(unjudged(history)),
        held=tuple(held_files(history)),
        held_challenger=waits.reason if waits else None,
        alerts_waiting=count_waiting(history),
        live_since=deployed["at"] if live and deployed and deployed["release"] == live else None,
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
    release = None
    if isinstance(now.release, Release):
        keys = "id", "deployed_at", "f1", "horizon_days"
        release = {key: getattr(now.release, key) for key in keys}
    return {
        "release": release,
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


def status_lines(now: Status) -> list[str]:
    """The state in lines for a person."""
    release, run, last = f"unknown: {now.release}", "never", "none"
    if now.release is None:
        release = "none"
    elif isinstance(now.release, Release):
        live, horizon = now.release, format_horizon(now.release.horizon_days)
        release = f"{live.id}, F1 {live.f1:.4f}, deployed {live.deployed_at}"
        release += f", predicts who leaves{horizon}" if horizon else ""
    if now.last_run:
        done, ended = now.last_run, now.last_run.ended_at
        how = f"{done.outcome}, ended {ended}" if ended else f"started {done.started_at}"
        run = f"{done.command}, {how}{'' if ended else ' and not ended'}"
    if now.last_verdict:
        last = f"{now.last_verdict.at} {now.last_verdict.verdict}: {now.last_verdict.reason}"
    return [
        f"live release   {release}",
        f"last run       {run}",
        f"last active    {now.last_active or 'never'}",
        f"new files      {_format_names(now.new)}",
        f"pending files  {_format_names(now.pending)}",
        f"rejected files {len(now.rejected)}",
        *[f"               {name}: it {reason}" for name, reason in now.rejected[:10]],
        *[f"held back      {len(now.held)}"] * bool(now.held),
        *[f"               {file.name}: {file.reason}" for file in now.held[:10]],
        f"last verdict   {last}",
        *["challenger     waits for `python deployment.py --promote`"] * bool(now.held_challenger),
        *[f"alerts         {now.alerts_waiting:,} wait to be sent"] * bool(now.alerts_waiting),
    ]


def _format_names(names: tuple[str, ...] | PipelineError) -> str:
    if isinstance(names, PipelineError):
        return f"unknown: {names}"
    return f"{len(names):,}: {format_names(names, 5)}" if names else "0"
