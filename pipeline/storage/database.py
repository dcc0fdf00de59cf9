"""The database of the history: opened, brought up to date, asked and written to.

SQLite's is here; that of a server, which answers the same queries, in `pipeline.storage.postgres`.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self

from pipeline.core.errors import HistoryError
from pipeline.storage.migrations import MIGRATIONS

if TYPE_CHECKING:
    from pipeline.core.database_url import DatabaseUrl


class Row(Protocol):
    """A row of an answer: its values by name or number, as `sqlite3.Row` has them."""

    def __getitem__(self, key: int | str, /) -> Any: ...

    def __iter__(self) -> Iterator[Any]: ...

    def keys(self) -> list[str]:  # noqa: D102
        ...


class History:
    """An open history database."""

    place: "Path | DatabaseUrl"
    connection: Any  # of sqlite3 or psycopg

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.place = path
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

    def check_lock(self) -> None:
        """Raise `HistoryError` where this process held the run lock and has lost it.

        That of a file is held as long as the process lives.
        """

    def query(self, sql: str, *values: Any) -> list[Row]:
        """All rows of a query."""
        with self._errors_told():
            rows: list[Row] = self.connection.execute(sql, values).fetchall()
            return rows

    def tuples(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """All rows of a query as plain tuples: quicker than `query` where they are many."""
        with self._errors_told():
            cursor = self.connection.cursor()
            cursor.row_factory = None
            rows: list[tuple[Any, ...]] = cursor.execute(sql, values).fetchall()
            return rows

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

    def one(self, sql: str, *values: Any) -> Row | None:
        """The first row of a query, if there is one."""
        with self._errors_told():
            row: Row | None = self.connection.execute(sql, values).fetchone()
            return row

    def insert(self, table: str, **values: Any) -> int:
        """Add one row; returns its id."""
        marks = ", ".join("?" * len(values))
        sql = f"INSERT INTO {table} ({', '.join(values)}) VALUES ({marks})"
        with self._errors_told():
            made: int = self.connection.execute(sql, tuple(values.values())).lastrowid
            return made

    def many(self, sql: str, values: Iterable[tuple[Any, ...]]) -> None:
        """Run a statement with each of these values."""
        with self._errors_told():
            self.connection.executemany(sql, values)

    def fill(self, table: str, columns: Sequence[str], rows: Iterable[tuple[Any, ...]]) -> None:
        """Add many rows, quicker than `many` does where the history is on a server."""
        marks = ", ".join("?" * len(columns))
        self.many(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})", rows)

    @contextmanager
    def _errors_told(self) -> Iterator[None]:
        """Turn what a full or read-only disk or a long lock does into a `HistoryError`; no bugs."""
        try:
            yield
        except sqlite3.DatabaseError as error:
            bug = isinstance(error, (sqlite3.IntegrityError, sqlite3.ProgrammingError))
            if bug or _code(error) == sqlite3.SQLITE_ERROR:
                raise
            raise HistoryError(f"{self.place}: {error}") from error

    def _migrate(self) -> None:
        if self._version() == len(MIGRATIONS):
            return
        with self.transaction():
            version = self._version()  # another process may have been first
            if version > len(MIGRATIONS):
                raise HistoryError(f"{self.place} was written by a newer version of this project")
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
