"""The history in a PostgreSQL database, asked and written to as the one of SQLite is; its locks.

The run lock is an advisory lock of a session, and every history that the process opens meanwhile
is written to by that session. So when its connection ends, for a process that was killed or a
network that is gone, the server releases the lock and rolls back what had been begun, at once: a
run that has lost the lock writes no more.
"""

import os
import re
import socket
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache
from typing import Any
from zlib import crc32

from pipeline.core.database_url import DatabaseUrl
from pipeline.core.errors import HistoryError, LockHeldError
from pipeline.core.files import utc_now
from pipeline.storage.database import History, Row, as_stored, insertion

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
KEYS = 0x7269736B  # of all keys of ours among a database's advisory locks
MIGRATING = KEYS, 0  # the key of the lock under which tables are made
# what SQLite keeps in its header, and in the time of change of the run lock's folder
STATE = (
    "CREATE TABLE IF NOT EXISTS server_state (version BIGINT NOT NULL, last_active TEXT)",
    "INSERT INTO server_state (version) SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM server_state)",
)
# a lost machine is noticed in two minutes, and the session is not ended for being idle
_SETTINGS = """
    SELECT set_config(name, value, false) FROM pg_settings JOIN (VALUES
        ('tcp_keepalives_idle', '60'), ('tcp_keepalives_interval', '10'),
        ('tcp_keepalives_count', '6'), ('idle_session_timeout', '0')
    ) AS wanted (setting, value) ON name = wanted.setting
"""
_HOLDER = """
    SELECT application_name,
    to_char(backend_start AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')
    FROM pg_locks LEFT JOIN pg_stat_activity USING (pid) WHERE locktype = 'advisory' AND granted
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND classid = ? AND objid = ?
"""
# to the second, as the modification time of a folder is shown
_ACTIVE = "UPDATE server_state SET last_active = ?"
# expected as well: read-only, no permission, idle in a transaction for too long
_EXPECTED = ("25006", "42501", "25P03")

_holding: "dict[DatabaseUrl, ServerHistory]" = {}  # whose session holds the run lock


class ServerHistory(History):
    """An open history on a server."""

    place: DatabaseUrl
    _begin = "BEGIN"
    _compact = "VACUUM FULL"

    def __init__(self, url: DatabaseUrl, *, make: bool = True) -> None:
        self.place = url
        holder = _holding.get(url)
        self.borrowed = self.locked = holder is not None
        self.connection = holder.connection if holder else _connect(url)
        try:
            self.made = self._version() >= 0
            if make or self.made:
                self._migrate()
        except BaseException as error:
            self.close()
            if not isinstance(error, psycopg.Error):
                raise
            why = _error_text(error)
            raise HistoryError(f"{url} is no history database of ours: {why}") from error

    def close(self) -> None:
        """Close the connection, unless the run lock needs it."""
        if not self.borrowed:
            self.connection.close()

    def check_lock(self) -> None:
        """Raise `HistoryError` where this process held the run lock and has lost it."""
        self.query("SELECT 1")

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
        """Add one row; returns its id, the first column of every table that has one."""
        added = f"{insertion(table, values)} RETURNING *"
        return int(self.column(added, *values.values())[0])

    def many(self, sql: str, values: Iterable[tuple[Any, ...]]) -> None:
        """Run a statement with each of these values."""
        # this cursor lets the server prepare the statement once, which takes a fifth of the time
        with self._translate_errors(), psycopg.Cursor(self.connection) as cursor:
            cursor.executemany(placeholders(sql), map(_storable, values))

    def fill(self, table: str, columns: Sequence[str], rows: Iterable[tuple[Any, ...]]) -> None:
        """Add many rows as one stream."""
        sql = f"COPY {table} ({', '.join(columns)}) FROM STDIN"
        with self._translate_errors(), self.connection.cursor().copy(sql) as stream:
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
            why = _error_text(error)
            if self.locked and self.connection.closed:
                why = (
                    f"the run lock was lost with its connection ({why}), and another run may be at"
                    " work: this one ends; check the server, and run again"
                )
            raise HistoryError(f"{self.place}: {why}") from error

    def _version(self) -> int:
        """How many migrations it has had; -1 where it has no tables of ours."""
        if not self.column("SELECT to_regclass('server_state') IS NOT NULL")[0]:
            return -1
        return int(self.column("SELECT version FROM server_state")[0])

    def _lock_migration(self) -> None:
        self.query("SELECT pg_advisory_xact_lock(?, ?)", *MIGRATING)
        for statement in STATE:
            self.query(statement)

    def _set_version(self, version: int) -> None:
        self.query("UPDATE server_state SET version = ?", version)

    def _statements(self, migration: str) -> list[str]:
        return statements(migration)


def existing_history(url: DatabaseUrl) -> ServerHistory | None:
    """The history for those who read it; None where its tables have not been made."""
    history = ServerHistory(url, make=False)
    if history.made:
        return history
    history.close()
    return None


@contextmanager
def server_lock(url: DatabaseUrl) -> Iterator[None]:
    """Hold the run lock of a database; raises `HistoryError` at the end if it was lost since."""
    if url in _holding:
        raise LockHeldError(f"another run is at work (in this process); {url}")
    with ServerHistory(url) as session, session_lock(session, "run"):
        session.query(_SETTINGS)
        session.locked = True
        _holding[url] = session
        try:
            session.query(_ACTIVE, f"{utc_now()[:19]}Z")
            yield
            session.query(_ACTIVE, f"{utc_now()[:19]}Z")
        finally:
            del _holding[url]


@contextmanager
def session_lock(session: History, what: str) -> Iterator[None]:
    """Hold a lock of the tables' schema by a session, or raise `LockHeldError` at once."""
    (schema,) = session.column("SELECT current_schema()")
    lock = KEYS, crc32(f"{what} {schema}".encode()) & 0x7FFFFFFF
    while not session.column("SELECT pg_try_advisory_lock(?, ?)", *lock)[0]:
        for name, since in session.tuples(_HOLDER, *lock):  # none: it was released meanwhile
            process = (name or "a process of another user").removeprefix(APPLICATION)
            raise LockHeldError(
                f"another run is at work ({process}, since {since}); {session.place}"
            )
    try:
        yield
    finally:
        with suppress(HistoryError):  # with its connection, the lock is gone
            session.query("SELECT pg_advisory_unlock(?, ?)", *lock)


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
    """Values as SQLite stores them: `True` is 1; a character that PostgreSQL cannot hold is not."""
    return tuple(
        v.replace("\0", "\ufffd") if isinstance(v, str) else int(v) if isinstance(v, bool) else v
        for v in map(as_stored, values)
    )


# SQL is written for SQLite; below, as PostgreSQL takes it
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
    """The statements of a migration, with PostgreSQL's types, and `rowid` where a key lacks."""
    found = []
    for sql in filter(str.strip, migration.split(";\n")):
        if "PRIMARY KEY" not in sql:
            sql = _TABLE.sub(r"\g<0>rowid INTEGER PRIMARY KEY, ", sql)
        for sqlite, ours in _TYPES:
            sql = re.sub(rf"(?<!\w){sqlite}\b", ours, sql)
        found.append(sql)
    return found
