"""Databases as input: what is asked when, what the file holds, and what a failure leaves."""

import os
import sqlite3
import sys
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.core.connections import Query
from pipeline.core.schema import Format
from pipeline.data.queries import ask_due

ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT {} FROM n"
FAILED = 'query "clients" failed, and is asked again next time: '
HOUR = 3600


@pytest.fixture
def query(tmp_path: Path) -> Query:
    """A query of a database with one table of two clients."""
    (tmp_path / "in").mkdir()
    with closing(sqlite3.connect(tmp_path / "crm.db")) as crm:
        crm.executescript("CREATE TABLE t (id, spent); INSERT INTO t VALUES ('A', 1), ('B', 2)")
    return Query("clients", "sqlite:///crm.db", "SELECT * FROM t", 24, 600)


def asked(query: Query, root: Path, form: Format | None = None) -> str | None:
    """What the file holds after a tick; nothing else may be left in the folder."""
    ask_due([query], root / "in", root, form or Format())
    file = root / "in/clients.csv"
    assert [*(root / "in").iterdir()] == [file] * file.exists()
    return file.read_bytes().decode(form.encoding if form else "utf-8") if file.exists() else None


# --- when ---


@pytest.mark.parametrize(
    ("hours", "is_due"), [(24.0, True), (23.99, True), (23.9, False), (0.0, False), (-25.0, True)]
)
def test_it_is_due_by_the_time_of_the_file(
    hours: float, is_due: bool, query: Query, tmp_path: Path
) -> None:
    file, then = tmp_path / "in/clients.csv", time.time() - hours * HOUR
    file.write_text("before")
    os.utime(file, (then, then))

    text = asked(query, tmp_path)

    assert text == ("id,spent\nA,1\nB,2\n" if is_due else "before")
    assert (abs(file.stat().st_mtime - time.time()) < 600) == (is_due or not hours)


# --- what the file holds ---


def test_values_are_written_as_client_files_have_them(query: Query, tmp_path: Path) -> None:
    values = "SELECT NULL AS a, 5.0 AS b, 1e16 AS c, 1e-7 AS d, 12 AS e, 0.1 AS f, 'x,\"\ny' AS g"
    text = asked(replace(query, select=values), tmp_path)
    assert text == 'a,b,c,d,e,f,g\n,5,10000000000000000,0.0000001,12,0.1,"x,""\ny"\n'


def test_the_file_is_in_the_form_that_the_config_has_files_in(query: Query, tmp_path: Path) -> None:
    form = Format(encoding="cp1252", delimiter=";", thousands=".")
    text = asked(replace(query, select="SELECT 'Ä;' AS id, 1.5 AS spent"), tmp_path, form)
    assert text == 'id;spent\n"Ä;";1,5\n'


# --- what fails ---


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"select": "SELECT x FROM t"}, "{}/crm.db: no such column: x"),
        ({"select": "SELECT * FROM t WHERE 0"}, "it has no rows; the file stays as it is"),
        ({"select": "SELECT 1; SELECT 2"}, "{}/crm.db: You can only execute one statement at a ti"),
        (
            {"select": "WITH n AS (SELECT 1) INSERT INTO t SELECT 'C', 3"},
            "{}/crm.db: attempt to write a readonly database",
        ),
        # it fails at the second row
        (
            {"select": "SELECT abs(column1) FROM (VALUES (1), (-9223372036854775808))"},
            "{}/crm.db: integer overflow",
        ),
        ({"select": ENDLESS.format("i"), "seconds": 0.4}, "it took longer than its 0.4 seconds"),
        (
            {"select": ENDLESS.format("count(*)"), "seconds": 0.4},
            "it took longer than its 0.4 seconds",
        ),
        ({"url": "sqlite:///none.db"}, "{}/none.db: unable to open database file"),
        ({"url": "postgresql://u:secret"}, "expected postgresql://user@host:port/database, with"),
        ({"url": "$CRM_NONE"}, "its url has $CRM_NONE, which the environment has not"),
        (
            {"url": "postgresql://u:secret${CRM_NONE}@h/d"},
            "its url has ${{CRM_NONE}}, which the environment has not",
        ),
    ],
)
def test_a_failure_is_told_and_leaves_the_file_that_was_there(
    change: dict[str, str],
    why: str,
    query: Query,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    before = (tmp_path / "crm.db").read_bytes()

    assert asked(replace(query, **change), tmp_path) is None

    assert f"{FAILED}{why.format(tmp_path)}" in caplog.messages[0]
    assert "secret" not in caplog.text
    assert (tmp_path / "crm.db").read_bytes() == before
    assert asked(query, tmp_path) == "id,spent\nA,1\nB,2\n"


def test_a_folder_that_is_not_there_is_not_made(query: Query, tmp_path: Path) -> None:
    ask_due([query], tmp_path / "share/in", tmp_path, Format())
    assert not (tmp_path / "share").exists()


def test_a_letter_that_the_encoding_lacks_fails_it(
    query: Query, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    polish = replace(query, select="SELECT 'ł' AS id")
    assert asked(polish, tmp_path, Format(encoding="cp1252")) is None
    assert "'charmap' codec can't encode character '\\u0142'" in caplog.text


# --- where ---


def test_the_environment_fills_a_url(
    query: Query, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CRM_FOLDER", str(tmp_path))
    assert asked(replace(query, url="sqlite:///${CRM_FOLDER}/crm.db"), tmp_path)


def test_sqlalchemy_is_named_where_it_is_missing(
    query: Query,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "sqlalchemy", None)
    assert asked(replace(query, url="mysql://u:secret@h/d"), tmp_path) is None
    assert "sqlalchemy" in caplog.text
    assert "secret" not in caplog.text


def test_sqlalchemy_reads_other_databases(
    query: Query, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip("sqlalchemy", reason="SQLAlchemy is not installed")
    other = replace(query, url=f"sqlite+pysqlite:///{tmp_path}/crm.db")

    for url in ("mysql://u:secret/x", "mysql://u:secret@h@x/d", "none://u:secret@h/d"):
        assert asked(replace(query, url=url), tmp_path) is None
    assert asked(replace(other, select="SELECT x FROM t"), tmp_path) is None
    assert asked(replace(other, select="SELECT * FROM t WHERE id LIKE '%'"), tmp_path)

    assert "secret" not in caplog.text
    assert f"{FAILED}no such column: x" in caplog.messages
