"""Connections to a PostgreSQL server: how they are made, and which of their errors are no bugs."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pipeline.core.database_url import DatabaseUrl
from pipeline.core.errors import HistoryError

try:
    import psycopg as psycopg  # who asks for it here is told what to install
    from psycopg.rows import tuple_row as tuple_row
except ImportError as error:
    raise HistoryError(
        f"a history on a PostgreSQL server needs psycopg ({error}):"
        " pip install -r pipeline/requirements-postgres.txt"
    ) from None

APPLICATION = "clientrisk: "  # and which process of which machine, for the server's tables to show
# a server or a network that is gone is noticed; what the URL says of these goes before
WAITS = {"connect_timeout": "10", "keepalives_idle": "30", "keepalives_interval": "10"}
# no bugs either: read-only, no permission, idle in a transaction for longer than the server allows
_NO_BUGS = ("25006", "42501", "25P03")


def connected(url: DatabaseUrl) -> "psycopg.Connection[Any]":
    """A connection on which each statement counts by itself; raises `HistoryError`."""
    waits: dict[str, Any] = {k: v for k, v in WAITS.items() if k not in url.options}
    process = f"process {os.getpid()} on {socket.gethostname()}"
    try:
        connection = psycopg.connect(
            url.with_password,
            autocommit=True,
            cursor_factory=psycopg.ClientCursor,  # in which a value needs no type
            client_encoding="utf8",
            application_name=f"{APPLICATION}{process}"[:63],
            **waits,
        )
    except psycopg.Error as error:
        raise HistoryError(
            f"{url} cannot be opened: {error_text(error)}; see that the server runs, that it has"
            " this database and user, and that the password is known (PGPASSWORD, ~/.pgpass)"
        ) from error
    if (encoding := connection.info.parameter_status("server_encoding")) != "UTF8":
        connection.close()
        raise HistoryError(f"{url} has the encoding {encoding}; make a database with UTF8")
    return connection


@contextmanager
def wrap_db_errors(url: DatabaseUrl) -> Iterator[None]:
    """Turn what a server that is gone or full does into a `HistoryError`; no bugs."""
    try:
        yield
    except psycopg.Error as error:
        if not isinstance(error, psycopg.OperationalError) and error.sqlstate not in _NO_BUGS:
            raise
        raise HistoryError(f"{url}: {error_text(error)}") from error


def error_text(error: "psycopg.Error") -> str:
    """What the server or its client says, on one line."""
    return " ".join((error.diag.message_primary or str(error)).split())
