"""A PostgreSQL server as input: values, limits, secrets, and that nothing is written there."""

import os
import signal
import socket
from dataclasses import replace
from pathlib import Path
from threading import Thread
from urllib.parse import quote

import postgres
import pytest
from postgres import CAREFUL, PASSWORD, Server
from servers import wait_until

from pipeline.core.connections import Query
from pipeline.core.schema import Format
from pipeline.data.queries import ask_due

if (lacking := postgres.missing()) and not postgres.REQUIRED:
    pytest.skip(lacking, allow_module_level=True)

WRITES = "cannot execute {} in a read-only transaction"


@pytest.fixture
def query(postgresql: Server, database: str) -> Query:
    """A query of a table of one client, which one user may read with a password."""
    postgresql.execute(
        "bared",
        f"CREATE TABLE t AS SELECT 'Ä' AS id; CREATE SEQUENCE s; DROP ROLE IF EXISTS {CAREFUL};"
        f" CREATE ROLE {CAREFUL} LOGIN PASSWORD '{PASSWORD}';"
        f" GRANT USAGE ON SCHEMA public TO {CAREFUL}; GRANT SELECT ON t TO {CAREFUL}",
    )
    return Query("clients", database, "SELECT id FROM t", 24, 60)


def asked(query: Query, root: Path, form: Format | None = None) -> str | None:
    """What the file holds after a tick; nothing else may be left in the folder."""
    ask_due([query], root, root, form or Format())
    file = root / "clients.csv"
    assert [*root.iterdir()] == [file] * file.exists()
    return file.read_text() if file.exists() else None


def test_values_are_written_as_client_files_have_them(query: Query, tmp_path: Path) -> None:
    values = (
        "SELECT true AS a, false AS b, 1e20::numeric AS c, 5.00 AS d, 0.10 AS e, 1e-7::float8 AS f,"
        " date '2026-11-30' AS g, timestamp '2026-11-30 01:02:03' AS h, NULL::int AS i,"
        " 'NaN'::numeric AS j, '100%' AS k"
    )
    expected = (
        "1,0,100000000000000000000,5,0.1,0.0000001,2026-11-30,2026-11-30T01:02:03,,NaN,100%\n"
    )
    assert asked(replace(query, select=values), tmp_path) == "a,b,c,d,e,f,g,h,i,j,k\n" + expected

    (tmp_path / "clients.csv").unlink()
    day = replace(query, select="SELECT date '2026-11-30' AS day")
    assert asked(day, tmp_path, Format(date="%d.%m.%Y")) == "day\n30.11.2026\n"


def test_more_rows_than_are_sent_at_a_time_come_in_order(query: Query, tmp_path: Path) -> None:
    many = replace(query, select="SELECT * FROM generate_series(1, 4001) AS n")
    assert asked(many, tmp_path) == "\n".join(["n", *map(str, range(1, 4002))]) + "\n"


@pytest.mark.parametrize(
    ("select", "why"),
    [
        ("WITH gone AS (DELETE FROM t RETURNING id) SELECT * FROM gone", "must not contain data-m"),
        ("SELECT nextval('s')", WRITES.format("nextval()")),
        ("SELECT 1; DROP TABLE t", "cannot insert multiple commands into a prepared statement"),
        ("SELECT nothing FROM t", 'column "nothing" does not exist'),
        ("SELECT 1 / (3 - n) FROM generate_series(1, 3) AS n", "division by zero"),
        ("SELECT * FROM generate_series(1, 4001) AS n WHERE 1 / (4001 - n) > 0", "division by z"),
    ],
)
def test_a_statement_that_writes_or_fails_is_refused(
    select: str,
    why: str,
    query: Query,
    tmp_path: Path,
    postgresql: Server,
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert asked(replace(query, select=select), tmp_path) is None

    assert f"again next time: {query.url}: " in caplog.messages[0]
    assert why in caplog.messages[0]
    assert postgresql.execute("bared", "SELECT id, last_value, is_called FROM t, s") == [
        ("Ä", 1, False)
    ]


# --- limits ---


@pytest.mark.parametrize(
    "select", ["SELECT pg_sleep(600)", "SELECT * FROM generate_series(1, 1e12::bigint)"]
)
def test_a_query_ends_at_its_limit_here_and_on_the_server(
    select: str,
    query: Query,
    tmp_path: Path,
    postgresql: Server,
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert asked(replace(query, select=select, seconds=1), tmp_path) is None

    assert caplog.messages[0].endswith(": it took longer than its 1 seconds")
    asking = "SELECT 1 FROM pg_stat_activity WHERE query LIKE 'FETCH%'"
    wait_until(lambda: not postgresql.execute("bared", asking))


def test_a_server_that_never_answers_ends_at_the_limit(
    query: Query, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen()
        url = f"postgresql://u:secret@127.0.0.1:{mute.getsockname()[1]}/d"
        assert asked(replace(query, url=url, seconds=1), tmp_path) is None
        assert asked(replace(query, url=f"{url}?connect_timeout=2"), tmp_path) is None

    assert caplog.messages[0].endswith(": it took longer than its 1 seconds")
    assert "timeout" in caplog.messages[1]
    assert "secret" not in caplog.text


def test_a_server_that_stands_still_ends_at_the_limit(
    query: Query, tmp_path: Path, postgresql: Server, caplog: pytest.LogCaptureFixture
) -> None:
    stopped: list[int] = []

    def stop() -> None:
        asking = "SELECT pid FROM pg_stat_activity WHERE query LIKE 'FETCH%'"
        wait_until(lambda: postgresql.execute("bared", asking))
        stopped.append(postgresql.execute("bared", asking)[0][0])
        os.kill(stopped[0], signal.SIGSTOP)

    stopping = Thread(target=stop)
    stopping.start()
    assert asked(replace(query, select="SELECT pg_sleep(600)", seconds=4), tmp_path) is None
    stopping.join()
    os.kill(stopped[0], signal.SIGCONT)

    assert caplog.messages[0].endswith(": it took longer than its 4 seconds")


# --- secrets ---


def test_a_password_comes_from_the_environment_and_is_never_shown(
    query: Query,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    place = query.url.partition("@")[2]
    careful = replace(query, url=f"postgresql://{CAREFUL}:${{CRM_PASSWORD}}@{place}")
    monkeypatch.setenv("CRM_PASSWORD", "wr@ng")
    assert asked(careful, tmp_path) is None
    failed = caplog.text
    monkeypatch.setenv("CRM_PASSWORD", PASSWORD)
    assert asked(careful, tmp_path) == "id\nÄ\n"

    assert f"postgresql://{CAREFUL}@{place}: " in failed
    assert "password authentication failed" in failed
    for secret in ("wr@ng", quote("wr@ng"), PASSWORD, quote(PASSWORD, safe="")):
        assert secret not in caplog.text + repr(careful)
