"""`fullprocess.py --status`: one screen in every state, without heavy imports, without a trace."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sandbox import PROJECT, Sandbox, client_rows, schema_keys

from app import create_app
from pipeline.core.schema import DEFAULT_SCHEMA
from pipeline.registry.releases import live_id, live_release
from pipeline.storage.database import History

NOTHING = [
    "live release   none",
    "last run       never",
    "last active    never",
    "new files      0",
    "pending files  0",
    "rejected files 0",
    "last verdict   none",
]


def screen(world: Sandbox, *args: str) -> list[str]:
    """The lines of the status, which must come without a word on standard error."""
    result = world.run("fullprocess", "--status", *args)
    assert (result.code, result.err) == (0, "")
    return result.out.splitlines()


def line(world: Sandbox, label: str) -> str:
    """What the status says beside one label."""
    (result,) = [line for line in screen(world) if line.startswith(f"{label} ")]
    return result[len(label) :].strip()


def one(world: Sandbox, sql: str) -> str:
    (row,) = world.query(sql)
    return str(row[0])


# --- what it says ---


def test_before_anything_it_says_so(sandbox: Sandbox) -> None:
    assert screen(sandbox) == NOTHING


def test_before_the_first_run_it_names_what_waits(source: Sandbox) -> None:
    assert screen(source) == [
        *NOTHING[:3],
        "new files      2: a.csv, b.csv",
        *NOTHING[4:],
    ]


def test_after_a_run_it_tells_release_score_run_and_verdict(settled: Sandbox) -> None:
    release = live_release(settled.config.prod_deployment_path)
    ended = one(settled, "SELECT ended_at FROM runs")
    at, why = settled.query("SELECT at, reason FROM decisions")[0]
    os.utime(settled.config.lock_path.parent, (0, 1_800_000_000))

    assert screen(settled) == [
        f"live release   {release.id}, F1 {release.f1:.4f}, deployed {release.deployed_at}",
        f"last run       fullprocess, done, ended {ended}",
        "last active    2027-01-15T08:00:00Z",
        "new files      0",
        "pending files  0",
        "rejected files 0",
        f"last verdict   {at} nothing deployed: {why}",
    ]


def test_an_empty_tick_moves_only_the_time_of_the_last_activity(settled: Sandbox) -> None:
    os.utime(settled.config.lock_path.parent, (0, 0))
    before = screen(settled)

    assert settled.run("fullprocess").code == 0

    after = screen(settled)
    assert before[2] == "last active    1970-01-01T00:00:00Z"
    assert after[2] > before[2]
    assert (after[:2], after[3:]) == (before[:2], before[3:])


def test_new_files_are_counted_and_the_first_five_named(settled: Sandbox) -> None:
    for name in "cdefg":
        settled.write(f"sourcedata/{name}.csv", client_rows(300, 5))
    assert line(settled, "new files") == "5: c.csv, d.csv, e.csv, f.csv, g.csv"

    settled.write("sourcedata/h.csv", client_rows(300, 5))
    settled.write("sourcedata/a.csv", client_rows(500, 5))

    assert line(settled, "new files") == "7: a.csv, c.csv, d.csv, e.csv, f.csv and 2 more"


def test_rejected_files_are_counted_and_the_latest_ten_reported_with_their_reason(
    settled: Sandbox,
) -> None:
    for number in range(12):
        settled.write(f"sourcedata/bad{number:02d}.csv", "\n")
    assert settled.run("fullprocess").code == 1

    result = screen(settled)

    assert result[5:-1] == [
        "rejected files 12",
        *[
            f"               bad{number:02d}.csv: it is empty; expected a header line and rows"
            for number in range(11, 1, -1)
        ],
    ]


def test_a_rejected_file_counts_no_more_once_it_is_gone_or_to_be_read_anew(
    settled: Sandbox,
) -> None:
    path = settled.write("sourcedata/bad.csv", "\n")
    settled.run("fullprocess")
    assert (line(settled, "rejected files"), line(settled, "new files")) == ("1", "0")
    settled.configure(schema=schema_keys(replace(DEFAULT_SCHEMA, client="who")))
    assert line(settled, "new files") == "1: bad.csv"
    path.unlink()
    assert line(settled, "rejected files") == "0"


def test_a_run_that_was_killed_or_is_at_work_has_no_end(settled: Sandbox) -> None:
    begun = "2026-01-01T00:00:00.000Z"
    with History(settled.config.history_path) as history:
        history.insert("runs", command="fullprocess", started_at=begun)

    assert line(settled, "last run") == f"fullprocess, started {begun} and not ended"


# --- what it says where something is wrong ---


def test_a_damaged_release_is_reported_in_its_line(settled: Sandbox) -> None:
    live = live_id(settled.config.prod_deployment_path)
    (settled.root / "production_deployment/current/manifest.json").write_text("{}")

    result = screen(settled)

    assert result[0].startswith(f"live release   unknown: release {live} is damaged: manifest.json")
    assert len(result) == len(NOTHING)


@pytest.mark.parametrize("ran", [False, True])
def test_an_input_folder_that_is_gone_is_reported_in_its_line(settled: Sandbox, ran: bool) -> None:
    if not ran:
        settled.config.history_path.unlink()
    shutil.rmtree(settled.root / "sourcedata")

    result = screen(settled)

    why = "there is no such folder to take files from"
    assert result[3] == f"new files      unknown: {settled.root}/sourcedata: {why}"
    assert len(result) == len(NOTHING)


def test_a_history_that_is_none_is_one_clear_line(settled: Sandbox) -> None:
    settled.config.history_path.write_text("no database, whatever the name says\n" * 100)

    result = settled.run("fullprocess", "--status")

    path = settled.config.history_path
    assert (result.code, result.out) == (1, "")
    assert result.err == f"error: {path} is no history database of ours: file is not a database\n"


# --- what it leaves, and what it costs ---


def everything(root: Path) -> dict[str, tuple[int, int, int]]:
    """Inode, size and time of change of all files, links and folders, the root included."""
    stats = {path: path.lstat() for path in [root, *root.rglob("*")]}
    return {
        str(p.relative_to(root)): (s.st_ino, s.st_size, s.st_mtime_ns) for p, s in stats.items()
    }


def test_it_writes_nothing(settled: Sandbox) -> None:
    settled.write("sourcedata/a.csv", client_rows(500, 60))
    settled.write("sourcedata/c.csv", client_rows(300, 60))
    before = everything(settled.root)

    screen(settled)

    assert everything(settled.root) == before


SHOWN = """
import json, sys
sys.path.insert(0, sys.argv[1])
before = set(sys.modules)
import fullprocess
code = fullprocess.main(["--config", sys.argv[2], "--status"])
ours = [module for module in sys.modules if module.partition(".")[0] in ("fullprocess", "pipeline")]
theirs = {module.partition(".")[0] for module in set(sys.modules) - before - set(ours)}
heavy = {"numpy", "pandas", "scipy", "sklearn", "matplotlib", "flask"}
print(code, json.dumps(sorted(theirs & heavy)))
print(json.dumps(sorted(ours)))
"""


def test_it_imports_no_heavy_library_and_little_of_ours(settled: Sandbox) -> None:
    settled.write("sourcedata/c.csv", client_rows(300, 60))
    child = [sys.executable, "-c", SHOWN, str(PROJECT), str(settled.root / "config.json")]

    *result, imported, ours = subprocess.run(
        child, capture_output=True, text=True, check=True
    ).stdout.splitlines()

    assert len(result) == len(NOTHING)
    assert imported == "0 []"
    assert "pipeline.reporting.status" in json.loads(ours)
    assert not {"pipeline.models.persistence", "pipeline.data.frames"} & set(json.loads(ours))


# --- the same, through the API ---


def health_of(world: Sandbox) -> dict[str, Any]:
    response = create_app(world.config).test_client().get("/health")
    assert response.status_code == 200
    answer: dict[str, Any] = response.get_json()
    return answer


def test_before_anything_health_tells_of_no_run(sandbox: Sandbox) -> None:
    assert health_of(sandbox) == {
        "status": "ok",
        "release": None,
        "last_run": None,
        "last_active": None,
    }
    assert not sandbox.config.history_path.exists()


def test_health_tells_of_a_run_that_failed_and_not_why(settled: Sandbox) -> None:
    (settled.root / "sourcedata").rename(settled.root / "elsewhere")
    assert settled.run("fullprocess").code == 1

    health = health_of(settled)

    started, ended = settled.query("SELECT started_at, ended_at FROM runs ORDER BY id DESC")[0]
    assert health["last_run"] == {
        "command": "fullprocess",
        "started_at": started,
        "ended_at": ended,
        "outcome": "failed",
    }
