"""The history copied into an SQLite file, and from one, wherever it is kept."""

import shutil
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from pipeline.storage.database import History

# in PostgreSQL, every statement of a transaction then sees the tables as they were at its start
_ONE_STATE = "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL REPEATABLE READ"


@dataclass(frozen=True)
class _Table:
    name: str
    columns: list[str]
    order: str


def copy_into_file(history: History, path: Path) -> None:
    """Make an SQLite file of all that a history holds at one moment, whoever writes meanwhile."""
    if isinstance(history.place, Path):
        with closing(sqlite3.connect(path)) as copy:
            history.connection.backup(copy)  # in one step, for which writers wait
        shutil.copymode(history.place, path)
        return
    with History(path) as copy:
        history.query(_ONE_STATE)
        with history.transaction(), copy.transaction():
            _copy(history, copy, _tables(copy))


def copy_from_file(path: Path, history: History) -> None:
    """Put what an SQLite file holds into an empty history on a server."""
    with History(path) as copy, history.transaction():
        tables = _tables(copy)
        _copy(copy, history, tables)
        for table in tables:
            if "id" in table.columns:  # new ones go on after the last
                ids = f"CAST(pg_get_serial_sequence('{table.name}', 'id') AS regclass)"
                history.query(f"SELECT setval({ids}, max(id)) FROM {table.name} HAVING max(id) > 0")


def holds_anything(history: History) -> bool:
    """Whether there was ever a run, or anything recorded without one."""
    return any(history.one(f"SELECT 1 FROM {t} LIMIT 1") for t in ("runs", "files", "contacts"))


def _tables(copy: History) -> list[_Table]:
    """All tables, those first that others refer to."""
    found = []
    for (name,) in copy.tuples(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
        " ORDER BY rowid"
    ):
        columns = copy.tuples("SELECT name, pk FROM pragma_table_info(?) ORDER BY cid", name)
        keyed = any(key for _, key in columns)
        found.append(_Table(name, [column for column, _ in columns], "1" if keyed else "rowid"))
    return found


def _copy(source: History, target: History, tables: list[_Table]) -> None:
    target.query("DELETE FROM master")  # which has its one row from the start
    for table in tables:
        sql = f"SELECT {', '.join(table.columns)} FROM {table.name} ORDER BY {table.order}"
        target.fill(table.name, table.columns, source.tuples(sql))
