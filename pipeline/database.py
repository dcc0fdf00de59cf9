"""The SQLite database of the history: opened, brought up to date, asked and written to.

A part of its own, on little of the standard library: an empty tick asks the history and writes
nothing into it.
"""

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from pipeline.errors import HistoryError
from pipeline.migrations import MIGRATIONS


class History:
    """An open history database."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        try:
            self.connection = sqlite3.connect(path, timeout=30, isolation_level=None)
        except sqlite3.OperationalError as error:
            raise HistoryError(f"{path} cannot be opened: {error}") from error
        self.connection.row_factory = sqlite3.Row
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
        """Everything written inside counts together, or not at all."""
        with self._errors_told():
            self.connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self.connection.execute("COMMIT")
            except BaseException:
                if self.connection.in_transaction:  # a full disk makes SQLite roll back by itself
                    self.connection.execute("ROLLBACK")
                raise

    def query(self, sql: str, *values: Any) -> list[sqlite3.Row]:
        """All rows of a query."""
        with self._errors_told():
            return self.connection.execute(sql, values).fetchall()

    def tuples(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """All rows of a query as plain tuples: quicker than `query` where they are many."""
        with self._errors_told():
            cursor = self.connection.cursor()
            cursor.row_factory = None
            return cursor.execute(sql, values).fetchall()

    def blocks(self, sql: str, rows: int) -> Iterator[list[tuple[Any, ...]]]:
        """The rows of a query, so many at a time: for what need not fit into memory.

        Nothing is to be written meanwhile.
        """
        with self._errors_told():
            cursor = self.connection.cursor()
            cursor.row_factory = None
            cursor.execute(sql)
            while found := cursor.fetchmany(rows):
                yield found

    def one(self, sql: str, *values: Any) -> sqlite3.Row | None:
        """The first row of a query, if there is one."""
        with self._errors_told():
            row: sqlite3.Row | None = self.connection.execute(sql, values).fetchone()
            return row

    def insert(self, table: str, **values: Any) -> int:
        """Add one row; returns its id."""
        marks = ", ".join("?" * len(values))
        sql = f"INSERT INTO {table} ({', '.join(values)}) VALUES ({marks})"
        with self._errors_told():
            return self.connection.execute(sql, tuple(values.values())).lastrowid or 0

    def many(self, sql: str, values: Iterable[tuple[Any, ...]]) -> None:
        """Run a statement with each of these values."""
        with self._errors_told():
            self.connection.executemany(sql, values)

    @contextmanager
    def _errors_told(self) -> Iterator[None]:
        """Turn what a full or read-only disk or a long lock does into a `HistoryError`; no bugs."""
        try:
            yield
        except sqlite3.DatabaseError as error:
            bug = isinstance(error, (sqlite3.IntegrityError, sqlite3.ProgrammingError))
            if bug or _code(error) == sqlite3.SQLITE_ERROR:
                raise
            raise HistoryError(f"{self.path}: {error}") from error

    def _migrate(self) -> None:
        if self._version() == len(MIGRATIONS):
            return
        with self.transaction():
            version = self._version()  # another process may have been first
            if version > len(MIGRATIONS):
                raise HistoryError(f"{self.path} was written by a newer version of this project")
            for migration in MIGRATIONS[version:]:
                for statement in migration.split(";\n"):
                    self.connection.execute(statement)
            self.connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")

    def _version(self) -> int:
        version: int = self.connection.execute("PRAGMA user_version").fetchone()[0]
        return version


def _code(error: sqlite3.Error) -> int:
    """SQLite's code of an error, the general one where it is not SQLite's."""
    return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
