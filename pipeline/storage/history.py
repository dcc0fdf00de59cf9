"""The history and the run lock, in a file or on a server, as `history_path` says; copies of it."""

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.core.errors import NotRecordedError
from pipeline.core.file_lock import file_lock
from pipeline.storage.database import History

# the order of their rows is that in which they were written
WITHOUT_KEY = ("rejected_rows", "score_drift", "input_drift", "missing", "packages")

if TYPE_CHECKING:
    from pipeline.core.database_url import DatabaseUrl


def open_history(place: "Path | DatabaseUrl") -> History:
    """The history in a file or on a server, made where there is none; raises `HistoryError`."""
    if isinstance(place, Path):
        return History(place)
    from pipeline.storage.postgres import ServerHistory  # a tick on SQLite does without

    return ServerHistory(place)


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


def run_lock(place: "Path | DatabaseUrl") -> AbstractContextManager[None]:
    """Hold the run lock or raise `LockHeldError` at once; a killed holder leaves it free."""
    if isinstance(place, Path):
        return file_lock(place)
    from pipeline.storage.postgres import server_lock

    return server_lock(place)


def sending_lock(place: "Path | DatabaseUrl", history: History) -> AbstractContextManager[None]:
    """`run_lock`, of who sends alerts; on a server it lasts as long as the history is open."""
    if isinstance(place, Path):
        return file_lock(place.with_name("alerts"))
    from pipeline.storage.postgres import session_lock

    return session_lock(history, "alerts")


def copy_into_file(history: History, path: Path) -> None:
    """Make an SQLite file of all that a history holds at one moment, whoever writes meanwhile."""
    if isinstance(history.place, Path):
        with closing(sqlite3.connect(path)) as target:
            history.connection.backup(target)  # in one step, for which writers wait
        shutil.copymode(history.place, path)
        return
    with History(path) as copy, history.transaction(), copy.transaction():
        history.query("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        _copy(history, copy, _tables(copy))


def copy_from_file(path: Path, history: History) -> None:
    """Put what an SQLite file holds into an empty history on a server."""
    with History(path) as copy, history.transaction():
        tables = _tables(copy)
        _copy(copy, history, tables)
        for table, columns in tables.items():
            if "id" in columns:  # new ones go on after the last
                ids = f"CAST(pg_get_serial_sequence('{table}', 'id') AS regclass)"
                history.query(f"SELECT setval({ids}, max(id)) FROM {table} HAVING max(id) > 0")


def holds_anything(history: History) -> bool:
    """Whether there was ever a run, or anything recorded without one."""
    return any(history.one(f"SELECT 1 FROM {t} LIMIT 1") for t in ("runs", "files", "contacts"))


def _tables(copy: History) -> dict[str, list[str]]:
    """All tables with their columns, those first that others refer to."""
    names = copy.column(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
        " ORDER BY rowid"
    )
    return {n: copy.column("SELECT name FROM pragma_table_info(?) ORDER BY cid", n) for n in names}


def _copy(source: History, target: History, tables: dict[str, list[str]]) -> None:
    target.query("DELETE FROM master")  # which has its one row from the start
    for table, columns in tables.items():
        order = "rowid" if table in WITHOUT_KEY else "1"
        sql = f"SELECT {', '.join(columns)} FROM {table} ORDER BY {order}"
        target.fill(table, columns, source.tuples(sql))
