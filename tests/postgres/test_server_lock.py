"""The run lock on a PostgreSQL server: who holds it, who is refused, and what if it is lost."""

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import postgres
import pytest
from postgres import Server, opened
from runs import held_at_start, run_at_work, start
from sandbox import PROJECT, Sandbox, client_rows
from servers import wait_until

from pipeline.core.errors import HistoryError, LockHeldError
from pipeline.observations.master_writer import MasterWriter
from pipeline.registry.releases import live_id
from pipeline.stages import deployment
from pipeline.storage import ledger
from pipeline.storage.database import History
from pipeline.storage.history import run_lock
from pipeline.storage.ledger import MasterState
from pipeline.storage.records import last_timings, record_timing

if (lacking := postgres.missing()) and not postgres.REQUIRED:
    pytest.skip(lacking, allow_module_level=True)

HELD = rf"error: another run is at work \(process {{}} on {re.escape(socket.gethostname()[:20])}"
HELD += r"[^,]*, since \d{{4}}-\d\d-\d\dT[\d:.]+Z\); {}\n"


def held(child: int, world: Sandbox) -> re.Pattern[str]:
    """What a second run says."""
    return re.compile(HELD.format(child, re.escape(str(world.config.history_path))))


# --- who holds it ---


def test_a_second_run_leaves_with_75_and_names_the_first(live: Sandbox) -> None:
    with run_at_work(live) as child:
        before = live.files()
        stages = ("ingestion", "training", "deployment", "reporting", "diagnostics", "fullprocess")
        results = [live.run(stage) for stage in stages]
        read = [live.run("fullprocess", "--status"), live.run("deployment", "--list")]
        after = live.files()

    assert {result.code for result in results} == {75}
    assert {result.out for result in results} == {""}
    line = held(child.pid, live)
    assert [result.err for result in results if not line.fullmatch(result.err)] == []
    assert [result.code for result in read] == [0, 0]
    assert after == before


def test_a_killed_run_leaves_the_lock_free(live: Sandbox, postgresql: Server) -> None:
    postgresql.execute("bared", "UPDATE server_state SET last_active = NULL")
    with held_at_start(live) as (reached, _):
        child = start(live)
        assert reached.wait(600)
        os.kill(child.pid, signal.SIGSTOP)  # one that is stopped holds it
        live.configure(heartbeat_url=None, practice=None)
        assert live.run("fullprocess").code == 75
        child.kill()
        child.communicate(timeout=600)
    wait_until(lambda: postgresql.connected() == 0)
    assert live.query("SELECT 1 FROM server_state WHERE last_active > '2026'")  # it was there

    result = live.run("fullprocess")

    assert (result.code, result.out, result.err) == (0, "nothing new in sourcedata\n", "")


def test_schemas_of_one_database_have_each_a_lock_of_their_own(
    live: Sandbox, postgresql: Server
) -> None:
    postgresql.execute("bared", "CREATE SCHEMA trial")
    elsewhere = f"{postgresql.url('bared')}?options=-csearch_path%3Dtrial"
    live.write("practicedata/p.csv", client_rows(0, 60))
    live.configure(practice={"history_path": elsewhere})
    try:
        with run_lock(live.config.lock_path), run_lock(live.practice.lock_path):
            for config in (live.config, live.practice):
                with pytest.raises(LockHeldError), run_lock(config.lock_path):
                    pass
    finally:
        postgresql.execute("bared", "DROP SCHEMA trial CASCADE")


# --- what if it is lost ---


def ended(server: Server) -> None:
    """End the session that holds the run lock, as an administrator or a firewall does."""
    server.execute(
        "bared",
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_locks WHERE locktype = 'advisory'"
        " AND mode = 'ExclusiveLock'",
    )


def test_a_run_that_has_lost_the_lock_writes_no_more(live: Sandbox, postgresql: Server) -> None:
    lost = f"{live.config.history_path}: the run lock was lost with its connection"

    def write() -> None:
        with opened(live.config.history_path) as history:
            with history.transaction():
                record_timing(history, "training", 1.0, 1)
            ended(postgresql)
            with pytest.raises(HistoryError, match="the run lock was lost"):
                history.check_lock()
            record_timing(history, "training", 99.0, 1)

    with pytest.raises(HistoryError) as caught, run_lock(live.config.lock_path):
        write()
    assert str(caught.value).startswith(lost)
    with opened(live.config.history_path) as history:
        assert last_timings(history)["training"] == 1.0


def test_a_run_that_has_lost_the_lock_puts_no_release_live(
    live: Sandbox, postgresql: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = live_id(live.config.prod_deployment_path)
    card = deployment.last_checks

    def slow(*args: Any) -> Any:
        ended(postgresql)
        return card(*args)

    monkeypatch.setattr(deployment, "last_checks", slow)
    result = live.run("deployment")

    assert (result.code, result.out) == (1, "")
    assert "the run lock was lost with its connection" in result.err.splitlines()[-1]
    assert live_id(live.config.prod_deployment_path) == before
    monkeypatch.undo()
    assert live.run("deployment").code == 0


def test_what_a_former_holder_was_writing_does_not_count(live: Sandbox, postgresql: Server) -> None:
    with former_holder(live) as history, history.transaction():
        record_timing(history, "training", 5.0, 1)
        ended(postgresql)
    with run_lock(live.config.lock_path), opened(live.config.history_path) as history:
        assert last_timings(history)["training"] != 5.0


def ingested_elsewhere(world: Sandbox) -> "subprocess.CompletedProcess[str]":
    """`ingestion.py` as another machine runs it."""
    command = [sys.executable, "ingestion.py", "--config", str(world.root / "config.json")]
    return subprocess.run(command, cwd=PROJECT, text=True, capture_output=True, timeout=600)


@contextmanager
def former_holder(world: Sandbox) -> Iterator[History]:
    """A run that loses the lock on its way, and is told so."""
    with (
        pytest.raises(HistoryError, match="the run lock was lost"),
        run_lock(world.config.lock_path),
        opened(world.config.history_path) as history,
    ):
        yield history


@pytest.fixture
def waiting(live: Sandbox) -> Sandbox:
    """A row waits to be taken in."""
    live.write("sourcedata/next.csv", ["Next Ltd,1,2,3,0"])
    return live


def writer(world: Sandbox, history: History, state: MasterState) -> MasterWriter:
    config = world.config
    return MasterWriter(config.finaldata_path, config.schema, state, check=history.check_lock)


def test_the_next_run_leaves_the_rows_alone_that_a_former_holder_still_writes(
    waiting: Sandbox, postgresql: Server
) -> None:
    rows = waiting.config.finaldata_path
    with former_holder(waiting) as history, writer(waiting, history, ledger.master_state(history)):
        ended(postgresql)
        before = rows.read_bytes()
        refused = ingested_elsewhere(waiting)
        line = f"error: another run is still writing {rows}\n"
        assert (refused.returncode, refused.stderr) == (75, line)
        assert rows.read_bytes() == before

    assert ingested_elsewhere(waiting).returncode == 0
    assert rows.read_text().endswith("\nNext Ltd,1,2,3,0\n")


def test_a_former_holder_does_not_cut_off_what_the_next_run_has_written(
    waiting: Sandbox, postgresql: Server
) -> None:
    with former_holder(waiting) as history:
        state = ledger.master_state(history)
        ended(postgresql)
        assert ingested_elsewhere(waiting).returncode == 0
        with pytest.raises(HistoryError, match="the run lock was lost"):
            writer(waiting, history, state)

    assert waiting.config.finaldata_path.read_text().endswith("\nNext Ltd,1,2,3,0\n")
    assert waiting.run("ingestion").out.startswith("nothing new")
