"""The history and the run lock, in a file or on a server, as `history_path` says."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.core.errors import NotRecordedError
from pipeline.core.file_lock import file_lock
from pipeline.storage.database import History

if TYPE_CHECKING:
    from pipeline.core.database_url import DatabaseUrl


def open_history(place: "Path | DatabaseUrl") -> History:
    """The history in a file or on a server, made where there is none; raises `HistoryError`."""
    if isinstance(place, Path):
        return History(place)
    from pipeline.storage.postgres import ServerHistory  # a tick on SQLite does without

    return ServerHistory(place)


def run_lock(place: "Path | DatabaseUrl") -> AbstractContextManager[None]:
    """Hold the run lock, in a file or on the server, or raise `LockHeldError` at once.

    A killed holder leaves it free.
    """
    if isinstance(place, Path):
        return file_lock(place)
    from pipeline.storage.server_lock import server_lock

    return server_lock(place)


_OPENED: ContextVar["dict[Path | DatabaseUrl, History] | None"] = ContextVar("opened", default=None)


@contextmanager
def one_connection() -> Iterator[None]:
    """Have all who read a history within it share one connection, which is closed after it."""
    opened: dict[Path | DatabaseUrl, History] = {}
    token = _OPENED.set(opened)
    try:
        yield
    finally:
        _OPENED.reset(token)
        for history in opened.values():
            history.close()


def open_existing_history(place: "Path | DatabaseUrl") -> History | None:
    """The history for those who read it; None where there is none: opening it would make it."""
    opened = _OPENED.get()
    if opened is not None and place in opened:
        return opened[place]
    history = _open_existing(place)
    if history and opened is not None:
        history.shared = True
        opened[place] = history
    return history


def _open_existing(place: "Path | DatabaseUrl") -> History | None:
    if isinstance(place, Path):
        return History(place) if place.exists() else None
    from pipeline.storage.postgres import existing_history

    return existing_history(place)


def recorded_history(place: "Path | DatabaseUrl") -> History:
    """The history for those who need one; raises `NotRecordedError` where there is none."""
    if history := open_existing_history(place):
        return history
    raise NotRecordedError("nothing has been recorded yet")


def sending_lock(place: "Path | DatabaseUrl", history: History) -> AbstractContextManager[None]:
    """Hold the lock of who sends alerts, beside the run lock, or raise `LockHeldError` at once.

    It lasts no longer than the history is open; a killed holder leaves it free.
    """
    if isinstance(place, Path):
        return file_lock(place.with_name("alerts"))
    from pipeline.storage.server_lock import session_lock

    return session_lock(history, "alerts")
