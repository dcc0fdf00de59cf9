"""The database of the history: opened, brought up to date, asked and written to.

SQLite's is here; that of a server, which answers the same queries, in `pipeline.storage.postgres`.
"""

import json
import re
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

from pipeline.core.errors import HistoryError
from pipeline.storage.migrations import MIGRATIONS

if TYPE_CHECKING:
    from pipeline.core.database_url import DatabaseUrl

T = TypeVar("T")

IN_JSON = {"compared", "numbers", "causes"}  # columns of lists and mappings
MAX_VALUES = 900  # in a statement: SQLite takes 999 and more

Row = dict[str, Any]  # a row of an answer, by the names of its columns


class History:
    """An open history database."""

    place: "Path | DatabaseUrl"
    connection: Any  # of sqlite3 or psycopg
    shared = False  # whether others go on with it when one of its users ends
    migrations = MIGRATIONS
    _begin = "BEGIN IMMEDIATE"
    _compact = "VACUUM"

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.place = path
        if not path.exists():
            path.touch()  # with the rights that the umask gives; SQLite lets only its owner write
        try:
            self.connection = sqlite3.connect(path, timeout=30, isolation_level=None)
        except sqlite3.OperationalError as error:
            raise HistoryError(f"{path} cannot be opened: {error}") from error
        try:
            self.connection.execute("PRAGMA foreign_keys = ON")
            self._migrate()
        except BaseException as error:
            self.close()
            if not isinstance(error, sqlite3.DatabaseError):
                raise
            ours = _code(error) not in (sqlite3.SQLITE_ERROR, sqlite3.SQLITE_NOTADB)
            what = "" if ours else " is no history database of ours"
            raise HistoryError(f"{path}{what}: {error}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if not self.shared:
            self.close()

    def close(self) -> None:
        """Close the database."""
        self.connection.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Everything written inside counts together, or not at all."""
        with self._translate_errors():
            self.connection.execute(self._begin)
            try:
                yield
                self.connection.execute("COMMIT")
            except BaseException:
                self._roll_back()
                raise

    def check_lock(self) -> None:
        """Raise `HistoryError` where the run lock was lost: that of a file lasts as its process."""

    def lock_table(self, name: str) -> None:
        """Let nobody else write into a table until the transaction ends: in a file nobody can."""

    def query(self, sql: str, *values: Any) -> list[Row]:
        """All rows of a query, by the names of their columns."""
        with self._translate_errors():
            cursor = self.connection.execute(sql, values)
            names = [column[0] for column in cursor.description or ()]
            return [dict(zip(names, row, strict=True)) for row in cursor]

    def tuples(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """All rows of a query as plain tuples: quicker than `query` where they are many."""
        with self._translate_errors():
            rows: list[tuple[Any, ...]] = self.connection.execute(sql, values).fetchall()
            return rows

    def read(self, kind: type[T], sql: str, *values: Any) -> list[T]:
        """All rows of a query, which begins after its columns: these are the fields of `kind`."""
        import msgspec  # an empty tick reads none

        rows = self.query(f"SELECT {', '.join(kind.__annotations__)} {sql}", *values)
        for row in rows:
            row.update((name, json.loads(row[name])) for name in IN_JSON & row.keys())
        return msgspec.convert(rows, list[kind], strict=False)  # type: ignore[valid-type]

    def column(self, sql: str, *values: Any) -> list[Any]:
        """The first value of each row of a query."""
        return [row[0] for row in self.tuples(sql, *values)]

    def one(self, sql: str, *values: Any) -> Row | None:
        """The first row of a query, if there is one."""
        return next(iter(self.query(sql, *values)), None)

    def insert(self, table: str, **values: Any) -> int:
        """Add one row, with lists and mappings as JSON; returns its id."""
        with self._translate_errors():
            sql, stored = insertion(table, values), (*map(as_stored, values.values()),)
            return int(self.connection.execute(sql, stored).lastrowid)

    def many(self, sql: str, values: Iterable[tuple[Any, ...]]) -> None:
        """Run a statement with each of these values."""
        with self._translate_errors():
            self.connection.executemany(sql, values)

    def fill(self, table: str, columns: Sequence[str], rows: Iterable[tuple[Any, ...]]) -> None:
        """Add many rows, quicker than `many` does: some in each statement."""
        more, row = iter(rows), f", ({', '.join('?' * len(columns))})"
        with self._translate_errors():
            while part := list(islice(more, MAX_VALUES // len(columns))):
                sql = insertion(table, columns) + row * (len(part) - 1)
                self.connection.execute(sql, list(chain.from_iterable(part)))

    def compact(self) -> None:
        """Write the database anew: nothing of what was deleted is left in its files."""
        with self._translate_errors():
            self.connection.execute(self._compact)

    def _roll_back(self) -> None:
        if self.connection.in_transaction:  # a full disk makes SQLite roll back by itself
            self.connection.execute("ROLLBACK")

    @contextmanager
    def _translate_errors(self) -> Iterator[None]:
        """Raise what a full or read-only disk or a long lock does as `HistoryError`; not bugs."""
        try:
            yield
        except sqlite3.DatabaseError as error:
            bug = isinstance(error, (sqlite3.IntegrityError, sqlite3.ProgrammingError))
            if bug or _code(error) == sqlite3.SQLITE_ERROR:
                raise
            raise HistoryError(f"{self.place}: {error}") from error

    def _migrate(self) -> None:
        if self._version() == len(self.migrations):
            return
        with self.transaction():
            self._lock_migration()
            version = self._version()  # another process may have been first
            if version > len(self.migrations):
                raise HistoryError(f"{self.place} was written by a newer version of this project")
            for migration in self.migrations[version:]:
                for statement in self._statements(migration):
                    self.connection.execute(statement)
            self._set_version(len(self.migrations))

    def _lock_migration(self) -> None:
        """Let others wait; a transaction of SQLite that writes does."""

    def _statements(self, migration: str) -> list[str]:
        """Those of a migration; SQLite adds one column at a time."""
        of_one = re.sub(
            r"(ALTER TABLE \w+ )([^;]+)",
            lambda found: found[1] + re.sub(r",\s+(?=ADD )", f";\n{found[1]}", found[2]),
            migration,
        )
        return of_one.split(";\n")

    def _version(self) -> int:
        """How many migrations it has had."""
        return int(self.connection.execute("PRAGMA user_version").fetchone()[0])

    def _set_version(self, version: int) -> None:
        self.connection.execute(f"PRAGMA user_version = {version}")


def insertion(table: str, columns: Iterable[str]) -> str:
    """The statement that adds a row to a table."""
    names = [*columns]
    return f"INSERT INTO {table} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})"


def as_stored(value: Any) -> Any:
    """A value as tables have it: lists and mappings are JSON."""
    json_too = isinstance(value, (dict, list, tuple))
    return json.dumps(value, ensure_ascii=False) if json_too else value


def _code(error: sqlite3.Error) -> int:
    """SQLite's code of an error, the general one where it is not SQLite's."""
    return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
