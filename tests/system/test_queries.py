"""Databases as input of the whole chain: asked, written and taken in by one tick."""

import os
import sqlite3
import time
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from runs import run_at_work, start
from sandbox import HEADER, NOISE, Sandbox, client_rows
from servers import wait_until

SLOW = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n"
FAILED = 'WARNING pipeline.data.queries: query "{}" failed, and is asked again next time: '


def fill(world: Sandbox, rows: Iterable[str]) -> None:
    """Have a database with these rows of clients."""
    with closing(sqlite3.connect(world.root / "crm.db")) as crm, crm:
        crm.execute(f"CREATE TABLE IF NOT EXISTS clients ({HEADER})")
        values = [row.split(",") for row in rows]
        crm.executemany("INSERT INTO clients VALUES (?, ?, ?, ?, ?)", values)


def query(name: str = "crm", **others: Any) -> dict[str, Any]:
    select = "SELECT * FROM clients ORDER BY rowid"
    return {"name": name, "url": "sqlite:///crm.db", "select": select, "every_hours": 24} | others


def let_pass(world: Sandbox, hours: float, name: str = "crm") -> Path:
    """Have the answer be as old as that."""
    file = world.root / f"sourcedata/{name}.csv"
    os.utime(file, (then := time.time() - hours * 3600, then))
    return file


@pytest.fixture
def asking(sandbox: Sandbox) -> Sandbox:
    """A project whose clients are in a database, which was asked once."""
    fill(sandbox, client_rows(0, 60, noise=NOISE))
    sandbox.configure(queries=[query()])
    result = sandbox.run("fullprocess")
    assert result.code == 0, result.err
    assert result.out.startswith("crm.csv: 60 new of 60 rows\n")
    return sandbox


def test_an_answer_is_the_same_as_a_file_with_these_rows(asking: Sandbox) -> None:
    expected = "\n".join([HEADER, *client_rows(0, 60, noise=NOISE)]) + "\n"
    assert (asking.root / "sourcedata/crm.csv").read_text() == expected
    assert asking.config.finaldata_path.read_text() == expected


def test_it_is_asked_again_when_it_is_due(asking: Sandbox) -> None:
    fill(asking, client_rows(60, 10))
    let_pass(asking, 23)
    assert asking.run("fullprocess").out == "nothing new in sourcedata\n"
    let_pass(asking, 24)
    assert asking.run("fullprocess").out.startswith("crm.csv: 10 new of 70 rows\n")


def test_the_same_answer_is_nothing_new_and_counts_as_asked(asking: Sandbox) -> None:
    file = let_pass(asking, 24)

    result = asking.run("fullprocess")

    assert result.out == "nothing new in sourcedata\n"
    assert result.err.endswith('INFO pipeline.data.queries: query "crm": 60 rows\n')
    assert abs(file.stat().st_mtime - time.time()) < 600


def test_a_failure_fails_nothing_else_and_is_asked_again_at_the_next_tick(asking: Sandbox) -> None:
    select = "SELECT * FROM more ORDER BY rowid"
    asking.configure(queries=[query("more", select=select), query("again")])
    asking.write("sourcedata/file.csv", client_rows(60, 60))

    first = asking.run("fullprocess", "--json")
    with closing(sqlite3.connect(asking.root / "crm.db")) as crm:
        crm.execute("ALTER TABLE clients RENAME TO more")
    second = asking.run("fullprocess")

    assert (first.code, second.code) == (0, 0)
    assert FAILED.format("more") + f"{asking.root}/crm.db: no such table: more\n" in first.err
    assert '"again.csv"' in first.out
    assert '"file.csv"' in first.out
    assert second.out.startswith("more.csv: 0 new of 60 rows\n")


def test_it_is_asked_while_another_run_is_at_work(asking: Sandbox) -> None:
    with run_at_work(asking):
        file = let_pass(asking, 24)
        assert asking.run("fullprocess").code == 75
    assert abs(file.stat().st_mtime - time.time()) < 600


def test_of_two_runs_one_asks_and_what_a_killed_one_wrote_is_never_seen(asking: Sandbox) -> None:
    file = let_pass(asking, 24)
    before = file.read_bytes()
    asking.configure(queries=[query(select=SLOW)])
    part = file.with_name(".crm.csv.tmp")

    with start(asking) as child:
        wait_until(lambda: part.exists() and part.stat().st_size > 100_000)
        second = asking.run("fullprocess")
        child.kill()
    asking.configure(queries=[query(), query("next")])
    assert file.read_bytes() == before
    third = asking.run("fullprocess")

    assert FAILED.format("crm") + f"another run is at work (process {child.pid}, " in second.err
    assert (second.code, second.out) == (0, "nothing new in sourcedata\n")
    assert third.out.startswith("next.csv: 0 new of 60 rows\n")
    assert sorted(path.name for path in file.parent.iterdir()) == ["crm.csv", "next.csv"]


def test_practice_asks_nothing_and_no_log_shows_a_url(asking: Sandbox) -> None:
    let_pass(asking, 24)
    asking.configure(queries=[query(url="postgresql://u:secret@127.0.0.1:1/d")])
    assert asking.practice.queries == ()

    result = asking.run("fullprocess", "-v")

    assert FAILED.format("crm") in result.err
    assert "secret" not in result.err
