"""The database of the history: opened, brought up to date, asked and written to.

SQLite's is here; that of a server, which answers the same queries, in `pipeline.storage.postgres`.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from pipeline.core.errors import HistoryError
from pipeline.storage.migrations import MIGRATIONS

if TYPE_CHECKING:
    from pipeline.core.database_url import DatabaseUrl

MAX_VALUES = 900  # in a statement: SQLite takes 999 and more
Row = dict[str, Any]  # a row of an answer, by the names of its columns


class History:
    """An open history database."""

    place: "Path | DatabaseUrl"
    connection: Any  # of sqlite3 or psycopg
    migrations = MIGRATIONS
    _begin = "BEGIN IMMEDIATE"
    _compact = "VACUUM"

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.place = path
        try:
            self.connection = sqlite3.connect(path, timeout=30, isolation_level=None)
        except sqlite3.OperationalError as error:
            raise HistoryError(f"{path} cannot be opened: {error}") from error
        try:
            self.connection.execute("PRAGMA foreign_keys = ON")
            self._migrate()
        except sqlite3.DatabaseError as error:
            self.close()
            if _code(error) in (sqlite3.SQLITE_ERROR, sqlite3.SQLITE_NOTADB):
                raise HistoryError(f"{path} is no history database of ours: {error}") from error
            raise HistoryError(f"{path}: {error}") from error
        except HistoryError:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the database."""
        self.connection.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Everything written inside counts together, or not at all.

        Raises `HistoryError` where this process held the run lock and has lost it.
        """
        with self._translate_errors():
            self.connection.execute(self._begin)
            try:
                self.check_lock()
                yield
                self.connection.execute("COMMIT")
            except BaseException:
                self._roll_back()
                raise

    def check_lock(self) -> None:
        """Raise `HistoryError` where this process held the run lock and has lost it.

        That of a file is held as long as the process lives.
        """

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

    def one(self, sql: str, *values: Any) -> Row | None:
        """The first row of a query, if there is one."""
        return next(iter(self.query(sql, *values)), None)

    def insert(self, table: str, **values: Any) -> int:
        """Add one row; returns its id."""
        with self._translate_errors():
            made: int = self.connection.execute(
                insertion(table, values), tuple(values.values())
            ).lastrowid
            return made

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
            for migration in self._missing_migrations():
                for statement in migration.split(";\n"):
                    self.connection.execute(statement)
            self.connection.execute(f"PRAGMA user_version = {len(self.migrations)}")

    def _missing_migrations(self) -> tuple[str, ...]:
        version = self._version()  # another process may have been first
        if version > len(self.migrations):
            raise HistoryError(f"{self.place} was written by a newer version of this project")
        return self.migrations[version:]

    def _version(self) -> int:
        """How many migrations it has had."""
        version: int = self.connection.execute("PRAGMA user_version").fetchone()[0]
        return version


def insertion(table: str, columns: Iterable[str]) -> str:
    """The statement that adds a row to a table."""
    names = [*columns]
    return f"INSERT INTO {table} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})"


def _code(error: sqlite3.Error) -> int:
    """SQLite's code of an error, the general one where it is not SQLite's."""
    return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
