"""The history in a PostgreSQL database, asked and written to as the one of SQLite is."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from pipeline.core.database_url import DatabaseUrl
from pipeline.core.errors import HistoryError
from pipeline.storage.database import History, Row
from pipeline.storage.migrations import MIGRATIONS
from pipeline.storage.serverconnection import (
    connected,
    error_text,
    psycopg,
    tuple_row,
    wrap_db_errors,
)
from pipeline.storage.serverrows import server_rows
from pipeline.storage.serversql import placeholders, statements

MIGRATING = 0x7269736B, 0  # the key of the lock under which tables are made
# what SQLite keeps in its header, and in the time of change of the run lock's folder
STATE = """
CREATE TABLE IF NOT EXISTS server_state (version INTEGER NOT NULL, last_active TEXT);
INSERT INTO server_state (version) SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM server_state)
"""
# of the databases whose run lock this process holds: what raises `HistoryError` once it is lost
guards: dict[DatabaseUrl, Callable[[History], None]] = {}


class ServerHistory(History):
    """An open history on a server."""

    place: DatabaseUrl

    def __init__(self, url: DatabaseUrl, *, make: bool = True) -> None:
        self.place = url
        self.connection = connected(url)
        try:
            version = self._steps()
            self.made = make or version is not None
            if self.made and version != len(MIGRATIONS):
                self._migrate()
        except psycopg.Error as error:
            self.close()
            raise HistoryError(
                f"{url} is no history database of ours: {error_text(error)}"
            ) from error
        except BaseException:
            self.close()
            raise

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Everything written inside counts together, or not at all.

        Raises `HistoryError` where this process held the run lock and has lost it.
        """
        with wrap_db_errors(self.place):
            self.connection.execute("BEGIN")
            try:
                self.check_lock()
                yield
                self.connection.execute("COMMIT")
            except BaseException:
                with suppress(psycopg.OperationalError):  # one that is lost was rolled back
                    self.connection.execute("ROLLBACK")
                raise

    def check_lock(self) -> None:
        """Raise `HistoryError` where this process held the run lock and has lost it."""
        if check := guards.get(self.place):
            check(self)

    def query(self, sql: str, *values: Any) -> list[Row]:
        """All rows of a query."""
        with self._asked(sql, values, server_rows) as cursor:
            return cursor.fetchall() if cursor.description else []

    def tuples(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """All rows of a query as plain tuples."""
        with self._asked(sql, values, tuple_row) as cursor:
            return cursor.fetchall() if cursor.description else []

    def blocks(self, sql: str, rows: int) -> Iterator[list[tuple[Any, ...]]]:
        """The rows of a query, so many at a time; all of them are fetched at once."""
        with self._asked(sql, (), tuple_row) as cursor:
            while found := cursor.fetchmany(rows):
                yield found

    def one(self, sql: str, *values: Any) -> Row | None:
        """The first row of a query, if there is one."""
        with self._asked(sql, values, server_rows) as cursor:
            row: Row | None = cursor.fetchone()
            return row

    def insert(self, table: str, **values: Any) -> int:
        """Add one row; returns its id."""
        if self.connection.info.transaction_status == psycopg.pq.TransactionStatus.IDLE:
            with self.transaction():  # which asks whether the run lock is still held
                return self.insert(table, **values)
        given = {name: value for name, value in values.items() if (name, value) != ("id", None)}
        marks = ", ".join("?" * len(given))
        sql = f"INSERT INTO {table} ({', '.join(given)}) VALUES ({marks}) RETURNING *"
        number: int = self.tuples(sql, *given.values())[0][0]  # it comes first in every table
        if "id" in given:
            self._go_on_after(table, number)
        return number

    def many(self, sql: str, values: Iterable[tuple[Any, ...]]) -> None:
        """Run a statement with each of these values."""
        # this cursor lets the server prepare the statement once, which takes a fifth of the time
        with wrap_db_errors(self.place), psycopg.Cursor(self.connection) as cursor:
            cursor.executemany(placeholders(sql), map(_storable, values))

    def fill(self, table: str, columns: Sequence[str], rows: Iterable[tuple[Any, ...]]) -> None:
        """Add many rows as one stream."""
        sql = f"COPY {table} ({', '.join(columns)}) FROM STDIN"
        with (
            wrap_db_errors(self.place),
            self.connection.cursor() as cursor,
            cursor.copy(sql) as stream,
        ):
            for row in rows:
                stream.write_row(_storable(row))

    @contextmanager
    def _asked(self, sql: str, values: tuple[Any, ...], rows: Any) -> Iterator[Any]:
        with wrap_db_errors(self.place), self.connection.cursor(row_factory=rows) as cursor:
            yield cursor.execute(placeholders(sql), _storable(values))

    def _go_on_after(self, table: str, number: int) -> None:
        """Let the ids that a table gives by itself go on beyond one that was given."""
        self.query(
            "SELECT setval(ids, greatest(?, pg_sequence_last_value(ids))) FROM"
            " (SELECT CAST(pg_get_serial_sequence(?, 'id') AS regclass) AS ids) AS of_table",
            *(number, table),
        )

    def _steps(self) -> int | None:
        """How many of our steps it has taken; None where it has no tables of ours."""
        try:
            return int(self.tuples("SELECT version FROM server_state")[0][0])
        except psycopg.errors.UndefinedTable:
            return None

    def _migrate(self) -> None:
        with self.transaction():
            self.query("SELECT pg_advisory_xact_lock(?, ?)", *MIGRATING)
            self._execute(STATE)
            version = self._steps() or 0  # another process may have been first
            if version > len(MIGRATIONS):
                raise HistoryError(f"{self.place} was written by a newer version of this project")
            for migration in MIGRATIONS[version:]:
                self._execute(migration)
            self.query("UPDATE server_state SET version = ?", len(MIGRATIONS))

    def _execute(self, migration: str) -> None:
        for statement in statements(migration):
            self.connection.execute(statement)


def existing_history(url: DatabaseUrl) -> ServerHistory | None:
    """The history for those who read it; None where its tables have not been made."""
    history = ServerHistory(url, make=False)
    if history.made:
        return history
    history.close()
    return None


def _storable(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """Values without the one character that PostgreSQL's texts cannot hold."""
    return tuple(v.replace("\0", "\ufffd") if isinstance(v, str) else v for v in values)
