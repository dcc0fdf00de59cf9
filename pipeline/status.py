"""The state of the system on one screen; the standard library only."""

from dataclasses import dataclass
from datetime import UTC, datetime

from pipeline.config import Config
from pipeline.history import History
from pipeline.inbox import list_input, new_files
from pipeline.ledger import rejected_files, unreported
from pipeline.releases import Release, live_id, live_release


@dataclass(frozen=True)
class LastRun:
    """The run that was recorded last; it has no end while it runs, or if it was killed."""

    command: str
    started_at: str
    ended_at: str | None
    outcome: str | None


@dataclass(frozen=True)
class Status:
    """What is live, what ran, and what waits."""

    release: Release | None
    last_run: LastRun | None
    last_active: str | None  # when a run last held the lock, with or without finding work
    new: tuple[str, ...]
    pending: tuple[str, ...]
    rejected: tuple[tuple[str, str], ...]  # name, reason
    last_verdict: str | None


def last_run(history: History) -> LastRun | None:
    """The run recorded last."""
    row = history.one("SELECT * FROM runs ORDER BY id DESC LIMIT 1")
    return (
        LastRun(row["command"], row["started_at"], row["ended_at"], row["outcome"]) if row else None
    )


def last_active(config: Config) -> str | None:
    """When a run last took or released the lock: a tick without work leaves no other trace."""
    try:
        seconds = config.lock_path.parent.stat().st_mtime
    except FileNotFoundError:
        return None
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def status(config: Config) -> Status:
    """Gather the state; raises `PipelineError` if it cannot be read."""
    release = None
    if live_id(config.prod_deployment_path):
        release = live_release(config.prod_deployment_path)
    if not config.history_path.exists():  # opening it would make it
        new = tuple(file.name for file in list_input(config.input_folder_path))
        return Status(release, None, last_active(config), new, (), (), None)
    with History(config.history_path) as history:
        verdict = history.one("SELECT at, verdict, reason FROM decisions ORDER BY id DESC LIMIT 1")
        return Status(
            release=release,
            last_run=last_run(history),
            last_active=last_active(config),
            new=tuple(f.name for f in new_files(history, list_input(config.input_folder_path))),
            pending=tuple(file.name for file in unreported(history)),
            rejected=tuple(rejected_files(history)),
            last_verdict=f"{verdict['at']} {verdict['verdict']}: {verdict['reason']}"
            if verdict
            else None,
        )


def status_lines(config: Config) -> list[str]:
    """The state in lines for a person."""
    now = status(config)
    release, run = now.release, now.last_run
    return [
        f"live release   {release.id}, F1 {release.f1:.4f}, deployed {release.deployed_at}"
        if release
        else "live release   none",
        f"last run       {_told(run)}",
        f"last active    {now.last_active or 'never'}",
        f"new files      {_counted(now.new)}",
        f"pending files  {_counted(now.pending)}",
        f"rejected files {len(now.rejected)}",
        *[f"               {name}: it {reason}" for name, reason in now.rejected[:10]],
        f"last verdict   {now.last_verdict or 'none'}",
    ]


def _told(run: LastRun | None) -> str:
    if run is None:
        return "never"
    if run.ended_at is None:
        return f"{run.command}, begun {run.started_at} and not ended"
    return f"{run.command}, {run.outcome}, ended {run.ended_at}"


def _counted(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - 5:,} more" if len(names) > 5 else ""
    return f"{len(names):,}" + (f": {', '.join(names[:5])}{more}" if names else "")
