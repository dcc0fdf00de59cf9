"""A history on a server is backed up as of one moment, and put back into a server or a file."""

import shutil
from pathlib import Path
from threading import Event, Thread

import postgres
import pytest
from postgres import Server, opened
from sandbox import Sandbox, client_rows

from pipeline.storage.contacts import Contact, add_contacts
from pipeline.storage.history import copy_into_file

if (lacking := postgres.missing()) and not postgres.REQUIRED:
    pytest.skip(lacking, allow_module_level=True)

KEYLESS = ("rejected_rows", "score_drift", "input_drift", "missing", "packages")
KEYED = (
    *("files", "master", "runs", "scores", "decisions", "expected_scores", "deployments"),
    *("timings", "rankings", "ranked_clients", "client_risk", "contacts", "backups", "told"),
)


@pytest.mark.parametrize("kind", ["server", "file"])
def test_it_goes_on_where_it_was_on_another_server_or_in_a_file(
    live: Sandbox, postgresql: Server, tmp_path_factory: pytest.TempPathFactory, kind: str
) -> None:
    live.write("sourcedata/c.csv", [*client_rows(200, 60), "Bad Ltd,x,1,1,0"])
    assert live.run("fullprocess").code == 0
    with opened(live.config.history_path) as before:
        add_contacts(before, [Contact("client00200", "2026-11-22", "api", note="50% of\n'it'")])
    target = tmp_path_factory.mktemp("backups") / "b.zip"
    other = Sandbox(tmp_path_factory.mktemp("place"), live.capsys)
    for name in ("sourcedata", "testdata", "config.json"):
        copy = shutil.copytree if (live.root / name).is_dir() else shutil.copyfile
        copy(live.root / name, other.root / name)
    if kind == "server":
        postgresql.execute("postgres", "DROP DATABASE IF EXISTS restored")
        postgresql.execute("postgres", f"CREATE DATABASE restored {postgres.ENGLISH}")
    other.configure(history_path=postgresql.url("restored") if kind == "server" else None)

    assert live.run("fullprocess", "--backup", str(target)).code == 0
    assert other.run("fullprocess", "--restore", str(target)).code == 0

    for table in (*KEYED, *KEYLESS):
        order = "rowid" if table in KEYLESS else "1, 2"
        found, expected = (rows_of(each, f"{table} ORDER BY {order}") for each in (other, live))
        assert found == expected, table
    assert other.run("fullprocess").out == "nothing new in sourcedata\n"
    for world in (live, other):
        world.write("sourcedata/d.csv", client_rows(800, 60))
        assert world.run("fullprocess").code == 0
    for name in ("ingesteddata/finaldata.csv", "models/clientrisk.csv"):
        assert (other.root / name).read_bytes() == (live.root / name).read_bytes()
    refused = other.run("fullprocess", "--restore", str(target))
    assert (refused.code, "there already: " in refused.err) == (1, True)


def rows_of(world: Sandbox, table: str) -> list[dict[str, object]]:
    """All rows but for the number that a server gives those without one."""
    with opened(world.config.history_path) as history:
        rows = history.query(f"SELECT * FROM {table}")
    return [{name: row[name] for name in row if name != "rowid"} for row in rows]


def test_all_tables_are_of_one_moment(database: str, tmp_path: Path) -> None:
    done = Event()

    def write() -> None:
        with opened(database) as history:
            while not done.is_set():
                with history.transaction():
                    add_contacts(history, [Contact("Acme", "2026-11-22", "api")])
                    history.insert(
                        "kept_out", hash=str(len(history.query("SELECT 1 FROM kept_out")))
                    )

    with opened(database) as history:
        writer = Thread(target=write)
        writer.start()
        try:
            for n in range(10):
                copy_into_file(history, tmp_path / f"{n}.db")
        finally:
            done.set()
            writer.join()
    for n in range(10):
        with opened(tmp_path / f"{n}.db") as copy:
            counts = [len(copy.tuples(f"SELECT 1 FROM {t}")) for t in ("contacts", "kept_out")]
            assert counts[0] == counts[1]
    assert counts[0] > 0
