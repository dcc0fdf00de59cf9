"""The history in a PostgreSQL database, asked and written to as the one of SQLite is."""

import os
import re
import socket
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache
from typing import Any

from pipeline.core.database_url import DatabaseUrl
from pipeline.core.errors import HistoryError
from pipeline.storage.database import History, Row, insertion

try:
    import psycopg
    from psycopg.rows import dict_row, tuple_row
except ImportError as error:
    raise HistoryError(
        f"a history on a PostgreSQL server needs psycopg ({error}):"
        " pip install -r pipeline/requirements-postgres.txt"
    ) from None

APPLICATION = "clientrisk: "  # and which process of which machine, for the server's tables to show
# so that a lost server or network is noticed; the URL's own settings take precedence
TIMEOUTS = {"connect_timeout": "10", "keepalives_idle": "30", "keepalives_interval": "10"}
MIGRATING = 0x7269736B, 0  # the key of the lock under which tables are made
# what SQLite keeps in its header, and in the time of change of the run lock's folder
STATE = """
CREATE TABLE IF NOT EXISTS server_state (version INTEGER NOT NULL, last_active TEXT);
INSERT INTO server_state (version) SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM server_state)
"""
# database whose run lock this process holds -> a check that raises `HistoryError` if it is lost
guards: dict[DatabaseUrl, Callable[[History], None]] = {}

# expected as well: read-only, no permission, idle in a transaction for too long
_EXPECTED = ("25006", "42501", "25P03")


class ServerHistory(History):
    """An open history on a server."""

    place: DatabaseUrl
    _begin = "BEGIN"
    _compact = "VACUUM FULL"

    def __init__(self, url: DatabaseUrl, *, make: bool = True) -> None:
        self.place = url
        self.connection = _connect(url)
        try:
            version = self._existing_version()
            self.made = make or version is not None
            if self.made and version != len(self.migrations):
                self._migrate()
        except psycopg.Error as error:
            self.close()
            raise HistoryError(
                f"{url} is no history database of ours: {_error_text(error)}"
            ) from error
        except BaseException:
            self.close()
            raise

    def check_lock(self) -> None:
        """Raise `HistoryError` where this process held the run lock and has lost it."""
        if check := guards.get(self.place):
            check(self)

    def lock_table(self, name: str) -> None:
        """Let nobody else write into a table until the transaction ends."""
        self.query(f"LOCK TABLE {name} IN SHARE ROW EXCLUSIVE MODE")

    def query(self, sql: str, *values: Any) -> list[Row]:
        """All rows of a query, by the names of their columns."""
        return self._fetch(sql, values, dict_row)

    def tuples(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """All rows of a query as plain tuples."""
        return self._fetch(sql, values, tuple_row)

    def insert(self, table: str, **values: Any) -> int:
        """Add one row; returns its id."""
        if self.connection.info.transaction_status == psycopg.pq.TransactionStatus.IDLE:
            with self.transaction():  # which asks whether the run lock is still held
                return self.insert(table, **values)
        given = {name: value for name, value in values.items() if (name, value) != ("id", None)}
        added = self.tuples(f"{insertion(table, given)} RETURNING *", *given.values())
        number: int = added[0][0]  # it comes first in every table
        if "id" in given:
            self._continue_ids_after(table, number)
        return number

    def many(self, sql: str, values: Iterable[tuple[Any, ...]]) -> None:
        """Run a statement with each of these values."""
        # this cursor lets the server prepare the statement once, which takes a fifth of the time
        with self._translate_errors(), psycopg.Cursor(self.connection) as cursor:
            cursor.executemany(placeholders(sql), map(_storable, values))

    def fill(self, table: str, columns: Sequence[str], rows: Iterable[tuple[Any, ...]]) -> None:
        """Add many rows as one stream."""
        sql = f"COPY {table} ({', '.join(columns)}) FROM STDIN"
        with (
            self._translate_errors(),
            self.connection.cursor() as cursor,
            cursor.copy(sql) as stream,
        ):
            for row in rows:
                stream.write_row(_storable(row))

    def _fetch(self, sql: str, values: tuple[Any, ...], rows: Any) -> list[Any]:
        with self._translate_errors(), self.connection.cursor(row_factory=rows) as cursor:
            cursor.execute(placeholders(sql), _storable(values))
            return cursor.fetchall() if cursor.description else []

    def _roll_back(self) -> None:
        with suppress(psycopg.OperationalError):  # one whose connection is lost was rolled back
            self.connection.execute("ROLLBACK")

    @contextmanager
    def _translate_errors(self) -> Iterator[None]:
        """Raise what a server that is gone or full does as `HistoryError`; not bugs."""
        try:
            yield
        except psycopg.Error as error:
            if not isinstance(error, psycopg.OperationalError) and error.sqlstate not in _EXPECTED:
                raise
            raise HistoryError(f"{self.place}: {_error_text(error)}") from error

    def _continue_ids_after(self, table: str, number: int) -> None:
        """Let the ids that a table gives by itself go on beyond one that was given."""
        self.query(
            "SELECT setval(ids, greatest(?, pg_sequence_last_value(ids))) FROM"
            " (SELECT CAST(pg_get_serial_sequence(?, 'id') AS regclass) AS ids) AS of_table",
            *(number, table),
        )

    def _existing_version(self) -> int | None:
        """How many migrations it has had; None where it has no tables of ours."""
        try:
            return self._version()
        except psycopg.errors.UndefinedTable:
            return None

    def _version(self) -> int:
        return int(self.tuples("SELECT version FROM server_state")[0][0])

    def _migrate(self) -> None:
        with self.transaction():
            self.query("SELECT pg_advisory_xact_lock(?, ?)", *MIGRATING)
            self._execute(STATE)
            for migration in self._missing_migrations():
                self._execute(migration)
            self.query("UPDATE server_state SET version = ?", len(self.migrations))

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


def _connect(url: DatabaseUrl) -> "psycopg.Connection[Any]":
    """A connection on which each statement counts by itself; raises `HistoryError`."""
    timeouts: dict[str, Any] = {k: v for k, v in TIMEOUTS.items() if k not in url.options}
    process = f"process {os.getpid()} on {socket.gethostname()}"
    try:
        connection = psycopg.connect(
            url.with_password,
            autocommit=True,
            cursor_factory=psycopg.ClientCursor,  # in which a value needs no type
            client_encoding="utf8",
            application_name=f"{APPLICATION}{process}"[:63],
            **timeouts,
        )
    except psycopg.Error as error:
        raise HistoryError(
            f"{url} cannot be opened: {_error_text(error)}; check that the server runs, that it has"
            " this database and user, and that the password is known (PGPASSWORD, ~/.pgpass)"
        ) from error
    if (encoding := connection.info.parameter_status("server_encoding")) != "UTF8":
        connection.close()
        raise HistoryError(f"{url} has the encoding {encoding}; make a database with UTF8")
    return connection


def _error_text(error: "psycopg.Error") -> str:
    """What the server or its client says, on one line."""
    return " ".join((error.diag.message_primary or str(error)).split())


def _storable(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """Values as SQLite stores them, without the one character that PostgreSQL's texts cannot hold.

    To that, `True` is 1.
    """
    return tuple(
        v.replace("\0", "\ufffd") if isinstance(v, str) else int(v) if isinstance(v, bool) else v
        for v in values
    )


# --- SQL that is written for SQLite, as PostgreSQL takes it ---

# a text, a name or a comment, in which a question mark is one; else a character of its own meaning
_TOKEN = re.compile(r"'(?:[^']|'')*'|\"[^\"]*\"|--[^\n]*|\?|%")
_TABLE = re.compile(r"CREATE TABLE \w+ \(")
# identity: an id that is given goes in as it is, as in SQLite
_IDENTITY = "BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY"
_TYPES = (
    (r"INTEGER PRIMARY KEY( AUTOINCREMENT)?", _IDENTITY),
    (r"INTEGER", "BIGINT"),
    (r"REAL", "DOUBLE PRECISION"),
    (r"TEXT", 'TEXT COLLATE "C"'),  # ordered by bytes, whatever the server's language
    (r" WITHOUT ROWID", ""),
)


@lru_cache
def placeholders(sql: str) -> str:
    """A statement with psycopg's placeholders, `%s`, in place of `?`."""
    return _TOKEN.sub(_placeholder, sql)


def _placeholder(found: re.Match[str]) -> str:
    return "%s" if found[0] == "?" else found[0].replace("%", "%%")


def statements(migration: str) -> list[str]:
    """The statements of a migration, with PostgreSQL's types.

    A table without a primary key gets the number that SQLite gives each row by itself, `rowid`.
    """
    return [_statement(statement) for statement in migration.split(";\n") if statement.strip()]


def _statement(sql: str) -> str:
    if "PRIMARY KEY" not in sql:
        sql = _TABLE.sub(r"\g<0>rowid INTEGER PRIMARY KEY, ", sql)
    for sqlite, ours in _TYPES:
        sql = re.sub(rf"(?<!\w){sqlite}\b", ours, sql)
    return sql
