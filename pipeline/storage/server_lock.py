"""The run lock that a PostgreSQL database holds, for runs on several machines.

It is an advisory lock of a session of its own: when the process that holds it is killed, its
connection ends and the server releases it. Whether the session still has it is asked before every
transaction of the history and before a release goes live: a run that has lost it writes no more.
A second lock, the gate, is shared by every transaction while it lasts, and whoever takes the run
lock passes through it alone: so nothing that a former holder had begun is committed afterwards.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from zlib import crc32

from pipeline.core.database_url import DatabaseUrl
from pipeline.core.errors import HistoryError, LockHeldError
from pipeline.core.files import utc_now
from pipeline.storage.database import History
from pipeline.storage.postgres import APPLICATION, ServerHistory, guards

CONSTANT = 0x7269736B  # of all keys of ours among a database's advisory locks

Key = tuple[int, int]

# a lost machine is noticed in two minutes, and the session is not ended for being idle
_SETTINGS = """
    SELECT set_config(name, value, false) FROM pg_settings JOIN (VALUES
        ('tcp_keepalives_idle', '60'), ('tcp_keepalives_interval', '10'),
        ('tcp_keepalives_count', '6'), ('idle_session_timeout', '0')
    ) AS wanted (setting, value) ON name = wanted.setting
"""
_HELD = """
    FROM pg_locks LEFT JOIN pg_stat_activity USING (pid) WHERE locktype = 'advisory' AND granted
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND classid = ? AND objid = ?
"""
_HOLDER = f"""
    SELECT application_name,
    to_char(backend_start AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') {_HELD}
"""


@contextmanager
def server_lock(url: DatabaseUrl) -> Iterator[None]:
    """Hold the run lock of a database, or raise `LockHeldError` at once.

    Raises `HistoryError` at the end if it was lost meanwhile.
    """
    with ServerHistory(url) as session:
        session.query(_SETTINGS)
        lock, gate = _keys(session, "run", "gate")
        _acquire(session, lock)
        session.query("SELECT pg_advisory_xact_lock(?, ?)", *gate)
        session.tuples(*_active_now())
        guards[url] = lambda history: _check(history, session, lock, gate)
        try:
            yield
        except BaseException:
            with suppress(HistoryError):  # the run fails by what came first
                _release(session, lock)
            raise
        finally:
            del guards[url]
        _release(session, lock)


@contextmanager
def session_lock(session: History, what: str) -> Iterator[None]:
    """Hold another lock of a database by a session of its own, or raise `LockHeldError` at once."""
    (lock,) = _keys(session, what)
    if session.tuples("SELECT pg_try_advisory_lock(?, ?)", *lock) != [(True,)]:
        raise LockHeldError(f"another process holds the lock of {what}; {session.place}")
    try:
        yield
    finally:
        session.query("SELECT pg_advisory_unlock(?, ?)", *lock)


def _keys(session: History, *what: str) -> Iterator[Key]:
    """The keys of locks: of the schema that the tables are in."""
    ((schema,),) = session.tuples("SELECT current_schema()")
    return ((CONSTANT, crc32(f"{each} {schema}".encode()) & 0x7FFFFFFF) for each in what)


def _acquire(session: History, lock: Key) -> None:
    while session.tuples("SELECT pg_try_advisory_lock(?, ?)", *lock) != [(True,)]:
        for name, since in session.tuples(_HOLDER, *lock):  # none: it was released meanwhile
            process = (name or "a process of another user").removeprefix(APPLICATION)
            raise LockHeldError(
                f"another run is at work ({process}, since {since}); {session.place}"
            )


def _check(history: History, session: History, lock: Key, gate: Key) -> None:
    history.query("SELECT pg_advisory_xact_lock_shared(?, ?)", *gate)
    _confirm(session, f"SELECT true {_HELD} AND pid = pg_backend_pid()", *lock)


def _release(session: History, lock: Key) -> None:
    _confirm(session, *_active_now())
    _confirm(session, "SELECT pg_advisory_unlock(?, ?)", *lock)


def _active_now() -> tuple[str, str]:
    # to the second, as the modification time of a folder is shown
    return "UPDATE server_state SET last_active = ? RETURNING true", f"{utc_now()[:19]}Z"


def _confirm(session: History, sql: str, *values: object) -> None:
    """Raise `HistoryError` unless the answer is true: then the lock and its session are there."""
    try:
        if session.tuples(sql, *values) == [(True,)]:
            return
    except HistoryError as error:
        raise _lost(session) from error
    raise _lost(session)


def _lost(session: History) -> HistoryError:
    return HistoryError(
        f"{session.place}: the run lock was lost with its connection, and another run may be at"
        " work: this one ends; check the server, and run again"
    )
