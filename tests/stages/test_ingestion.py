import csv
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time

import pytest
from sandbox import HEADER, PROJECT, Sandbox, client_rows

from pipeline.core.config import Config
from pipeline.core.schema import DEFAULT_SCHEMA
from pipeline.storage import ledger
from pipeline.storage.database import History

SCHEMA = {"client": "corporation", "outcome": "exited", "numeric": DEFAULT_SCHEMA.numeric}

# runs the stage, and is killed when it opens, or renames to, the path in question once more
KILLED = """
import os, signal, sys

event, ending, before = sys.argv[1], sys.argv[2], int(sys.argv[3])

def hook(name, args):
    global before
    path = str(args[name == "os.rename"]) if name in ("open", "os.rename") else ""
    if name == event and path.endswith(ending):
        if not before:
            os.kill(os.getpid(), signal.SIGKILL)
        before -= 1

from ingestion import main
sys.addaudithook(hook)
main(sys.argv[4:])
"""


def finaldata(world: Sandbox) -> list[str]:
    header, *rows = world.config.finaldata_path.read_text(encoding="utf-8").splitlines()
    assert header == HEADER
    return rows


def ingested(world: Sandbox) -> list[str]:
    names: list[str] = json.loads(world.config.ingestedfiles_path.read_text(encoding="utf-8"))
    return names


def set_aside(world: Sandbox) -> list[list[str]]:
    with world.config.rejectedrows_path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def written(config: Config) -> list[str]:
    """The files of an output folder: there is one file of sightings, and nothing is left over."""
    with History(config.history_path) as history:
        log = ledger.master_state(history).log
    assert log
    return [
        f".finaldata.csv.{log.id}.sightings",
        *(".finaldata.csv.states", "finaldata.csv", "ingestedfiles.txt"),
    ]


def unjudged(world: Sandbox) -> list[str]:
    with History(world.config.history_path) as history:
        return [file.name for file in ledger.unjudged(history)]


def unjudged_rows(world: Sandbox) -> list[str]:
    with History(world.config.history_path) as history:
        (file,) = ledger.unjudged(history)
    return finaldata(world)[slice(*file.span)]


def judge_all(world: Sandbox) -> None:
    with History(world.config.history_path) as history:
        ledger.mark(history, ledger.unjudged(history), "judged")
        ledger.mark(history, ledger.unreported(history), "reported")


def ingest(world: Sandbox, *args: str) -> str:
    result = world.run("ingestion", *args)
    assert result.code == 0, result.err
    return result.out


def killed(world: Sandbox, event: str, ending: str, *args: str, after: int = 0) -> bool:
    """Run the stage until it is killed at an event that comes after so many of its kind."""
    result = ("--config", str(world.root / "config.json"), *args)
    done = subprocess.run(
        [sys.executable, "-c", KILLED, event, ending, str(after), *result],
        cwd=PROJECT,
        capture_output=True,
    )
    return done.returncode == -signal.SIGKILL


# what goes in


def test_all_new_files_are_taken_in(source: Sandbox) -> None:
    assert ingest(source) == (
        "a.csv: 60 new of 60 rows\nb.csv: 60 new of 60 rows\ningesteddata/finaldata.csv: 120 rows\n"
    )
    assert finaldata(source) == client_rows(0, 120, noise=10)


def test_identical_rows_are_dropped_within_a_file_and_across_files(sandbox: Sandbox) -> None:
    sandbox.write("sourcedata/a.csv", ["a,1,2,3,0", "b,1,2,3,1", "a,1,2,3,0"])
    sandbox.write("sourcedata/b.csv", ["b,1,2,3,1", "c,1,2,3,0"])
    ingest(sandbox)
    sandbox.write("sourcedata/c.csv", ["c,1,2,3,0", "d,,,,", "a,1,2,3,0"])
    assert ingest(sandbox) == "c.csv: 1 new of 3 rows\ningesteddata/finaldata.csv: 4 rows\n"
    assert finaldata(sandbox) == ["a,1,2,3,0", "b,1,2,3,1", "c,1,2,3,0", "d,,,,"]


def test_the_record_names_each_file_once_in_order_of_ingestion(source: Sandbox) -> None:
    ingest(source)
    source.write("sourcedata/0.csv", client_rows(200, 5))
    source.write("sourcedata/b.csv", client_rows(300, 5))
    source.write("sourcedata/bad.csv", "no table\n")
    ingest(source)
    assert source.config.ingestedfiles_path.read_text() == (
        '[\n "a.csv",\n "b.csv",\n "0.csv"\n]\n'
    )


def test_a_file_rejected_after_it_was_ingested_keeps_its_rows_in_the_master(
    sandbox: Sandbox,
) -> None:
    sandbox.write("sourcedata/a.csv", ["a,1,2,3,0"])
    ingest(sandbox)
    sandbox.write("sourcedata/a.csv", "no table any more\n")
    assert sandbox.run("ingestion").code == 1
    assert finaldata(sandbox) == ["a,1,2,3,0"]
    assert ingested(sandbox) == ["a.csv"]


# another schema


def test_as_long_as_nothing_was_taken_in_the_schema_may_get_other_columns(
    sandbox: Sandbox,
) -> None:
    header = "customer,lastmonth_activity,lastyear_activity,number_of_employees,exited"
    sandbox.write("sourcedata/a.csv", ["a,1,2,3,0"], header)
    assert sandbox.run("ingestion").code == 1
    sandbox.configure(schema=SCHEMA | {"client": "customer"})
    assert ingest(sandbox).startswith("a.csv: 1 new of 1 rows\n")
    assert sandbox.config.finaldata_path.read_text() == f"{header}\na,1,2,3,0\n"


# from the future


def test_in_a_rebuild_only_files_from_the_future_that_were_not_taken_in_wait(
    source: Sandbox,
) -> None:
    os.utime(source.root / "sourcedata/a.csv", (0, time.time() + 3600))
    assert ingest(source).startswith("b.csv: 60 new of 60 rows\n")
    assert ingest(source).startswith("a.csv: 60 new of 60 rows\n")
    ingest(source)
    before = sorted(finaldata(source))
    source.write("sourcedata/c.csv", ["c,1,2,3,0"])
    os.utime(source.root / "sourcedata/c.csv", (0, time.time() + 3600))
    assert "\nc.csv: " not in ingest(source, "--rebuild")
    assert sorted(finaldata(source)) == before
    assert ingest(source).startswith("c.csv: 1 new of 1 rows\n")


def test_a_file_from_the_future_that_may_not_be_read_is_rejected_at_once(
    source: Sandbox,
) -> None:
    (source.root / "sourcedata/c.csv").symlink_to("a.csv")
    os.utime(source.root / "sourcedata/c.csv", (0, time.time() + 3600), follow_symlinks=False)
    assert "c.csv: rejected: it is a link" in ingest(source)


# rows that are set aside


def test_a_bad_row_is_set_aside_with_file_line_and_reason(sandbox: Sandbox) -> None:
    good = client_rows(0, 10)
    sandbox.write("sourcedata/a.csv", [*good[:4], "x,abc,2,3,0", *good[4:]])
    assert ingest(sandbox) == (
        "a.csv: 10 new of 11 rows, 1 set aside\n"
        "ingesteddata/rejectedrows.csv: the rows set aside, and why\n"
        "ingesteddata/finaldata.csv: 10 rows\n"
    )
    assert finaldata(sandbox) == good
    assert set_aside(sandbox) == [
        ["file", "line", "reason", "row"],
        ["a.csv", "6", "lastmonth_activity 'abc' is not a number", "x,abc,2,3,0"],
    ]


def test_a_file_that_is_mended_has_no_rows_set_aside_any_more(sandbox: Sandbox) -> None:
    sandbox.write("sourcedata/a.csv", [*client_rows(0, 10), "x,y,2,3,0"])
    ingest(sandbox)
    sandbox.write("sourcedata/a.csv", [*client_rows(0, 10), "x,1,2,3,0"])
    ingest(sandbox)
    assert set_aside(sandbox) == [["file", "line", "reason", "row"]]
    assert finaldata(sandbox) == [*client_rows(0, 10), "x,1,2,3,0"]


# what is new


def test_an_unchanged_folder_is_nothing_new_and_leaves_all_files(source: Sandbox) -> None:
    ingest(source)
    before = source.files()
    assert ingest(source) == "nothing new in sourcedata\n"
    after = source.files()
    before.pop("history.db")  # each run is recorded there
    after.pop("history.db")
    assert after == before


def test_a_changed_file_is_taken_in_again_for_its_new_rows(source: Sandbox) -> None:
    ingest(source)
    judge_all(source)
    source.write("sourcedata/a.csv", client_rows(55, 10, noise=10) + client_rows(200, 5))
    assert ingest(source) == (
        "a.csv: 5 new of 15 rows, 55 of those before missing\n"
        "ingesteddata/finaldata.csv: 125 rows\n"
    )
    assert finaldata(source)[120:] == client_rows(200, 5)
    assert unjudged(source) == ["a.csv"]


def test_another_schema_is_reported(source: Sandbox) -> None:
    ingest(source)
    schema = {"client": "corporation", "outcome": "exited", "numeric": ["number_of_employees"]}
    source.configure(schema=schema)
    source.write("sourcedata/c.csv", client_rows(500, 5))
    result = source.run("ingestion")
    assert result.code == 1
    assert "config.json says corporation, number_of_employees, exited; run" in result.err
    ingest(source, "--rebuild")
    assert source.config.finaldata_path.read_text().startswith(
        "corporation,number_of_employees,exited\nclient00000,5,0\nclient00001,42,1\n"
    )


def test_rows_of_a_lost_history_are_not_overwritten(source: Sandbox) -> None:
    ingest(source)
    before = source.config.finaldata_path.read_bytes()
    source.config.history_path.unlink()
    result = source.run("ingestion")
    assert result.code == 1
    assert "finaldata.csv has rows that the history knows nothing of: if that was" in result.err
    assert source.config.finaldata_path.read_bytes() == before


@pytest.mark.parametrize("stage", ["ingestion", "fullprocess"])
def test_a_lost_finaldata_is_reported_though_nothing_is_new(source: Sandbox, stage: str) -> None:
    ingest(source)
    source.config.finaldata_path.unlink()
    result = source.run(stage)
    assert result.code == 1
    assert "finaldata.csv is gone, though 2,949 bytes of it are on record: another" in result.err


def test_a_history_that_cannot_be_written_fails_the_run(source: Sandbox) -> None:
    with History(source.config.history_path) as history:
        history.query(
            "CREATE TRIGGER full BEFORE INSERT ON files BEGIN SELECT RAISE(ABORT, 'full'); END"
        )
    with pytest.raises(sqlite3.IntegrityError, match="full"):
        source.run("ingestion")
    assert source.query("SELECT outcome, detail FROM runs") == [("failed", "IntegrityError: full")]
    with History(source.config.history_path) as history:
        history.query("DROP TRIGGER full")
    ingest(source)
    assert finaldata(source) == client_rows(0, 120, noise=10)


# --rebuild


def test_a_rebuild_makes_the_same_again(source: Sandbox) -> None:
    ingest(source)
    source.write("sourcedata/0.csv", client_rows(100, 50, noise=10))
    ingest(source)
    before = {p.name: p.read_bytes() for p in source.config.output_folder_path.glob("[!.]*")}
    source.config.finaldata_path.write_text("spoilt")
    assert ingest(source, "--rebuild") == (
        "a.csv: 60 new of 60 rows\n"
        "b.csv: 60 new of 60 rows\n"
        "0.csv: 30 new of 50 rows\n"
        "ingesteddata/finaldata.csv: 150 rows\n"
    )
    after = {p.name: p.read_bytes() for p in source.config.output_folder_path.glob("[!.]*")}
    assert after == before
    assert (source.config.output_folder_path / ".finaldata.csv.states").exists()
    assert ingest(source) == "nothing new in sourcedata\n"


def test_a_rebuild_takes_in_what_is_new_last(source: Sandbox) -> None:
    ingest(source)
    source.write("sourcedata/0.csv", client_rows(200, 5))
    ingest(source, "--rebuild")
    assert ingested(source) == ["a.csv", "b.csv", "0.csv"]
    assert finaldata(source) == client_rows(0, 120, noise=10) + client_rows(200, 5)


def test_a_rebuild_leaves_out_the_rows_of_a_file_that_left_if_that_is_agreed_to(
    source: Sandbox,
) -> None:
    ingest(source)
    before = source.files()
    (source.root / "sourcedata/a.csv").unlink()
    result = source.run("ingestion", "--rebuild")
    assert result.code == 1
    assert result.err.splitlines()[-1] == (
        "error: --rebuild would take away 60 rows of finaldata.csv, of client00000, client00001,"
        " client00002, client00003, client00004 and others; nothing is done without --yes"
    )
    after = source.files()
    assert {name for name in before if after.get(name) != before[name]} == {
        *("sourcedata/a.csv", "history.db")
    }
    assert set(after) < set(before)
    result = source.run("ingestion", "--rebuild", "--yes")
    assert "a.csv is no longer in the input folder: its rows are left out\n" in result.err
    assert finaldata(source) == client_rows(60, 60, noise=10)
    assert ingested(source) == ["b.csv"]


def test_a_rebuild_forgets_a_file_that_is_rejected_now(source: Sandbox) -> None:
    ingest(source)
    source.write("sourcedata/a.csv", "no table any more\n")
    ingest(source, "--rebuild", "--yes")
    assert finaldata(source) == client_rows(60, 60, noise=10)
    assert ingested(source) == ["b.csv"]
    assert unjudged(source) == ["b.csv"]


def test_pending_rows_are_found_after_a_rebuild_has_moved_them(source: Sandbox) -> None:
    ingest(source)
    judge_all(source)
    source.write("sourcedata/c.csv", client_rows(200, 5))
    ingest(source)
    (source.root / "sourcedata/a.csv").unlink()
    ingest(source, "--rebuild", "--yes")
    assert unjudged_rows(source) == client_rows(200, 5)


@pytest.mark.parametrize(
    ("event", "ending", "after", "done"),
    [
        ("open", "ingesteddata", 0, False),  # it is written
        ("os.rename", "/.finaldata.csv.states", 0, False),
        ("os.rename", "/finaldata.csv", 0, True),  # it is on record
        ("open", "ingesteddata", 2, True),  # it is in its place
        ("os.rename", "ingestedfiles.txt", 0, True),
    ],
)
def test_a_killed_rebuild_is_done_or_not_done(
    source: Sandbox, event: str, ending: str, after: int, done: bool
) -> None:
    ingest(source)
    judge_all(source)
    (source.root / "sourcedata/a.csv").unlink()
    source.write("sourcedata/c.csv", client_rows(200, 5))
    assert killed(source, event, ending, "--rebuild", "--yes", after=after)
    ingest(source)
    left = client_rows(60, 60, noise=10) if done else client_rows(0, 120, noise=10)
    assert finaldata(source) == left + client_rows(200, 5)
    assert ingested(source) == ["b.csv", "c.csv"] if done else ["a.csv", "b.csv", "c.csv"]
    assert unjudged_rows(source) == client_rows(200, 5)
    assert ingest(source) == "nothing new in sourcedata\n"
    assert sorted(path.name for path in source.config.output_folder_path.iterdir()) == (
        written(source.config)
    )


# more than memory holds

LIMITED = """
import resource, sys
limit = int(sys.argv[1])
resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
from ingestion import main
sys.exit(main(sys.argv[2:]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", ["n" * 300, "a, " + "n" * 2000], ids=["plain", "quoted"])
def test_a_file_larger_than_memory_goes_in(sandbox: Sandbox, name: str) -> None:
    row = f'"{name} %d",1,2,3,0\n' if "," in name else f"{name} %d,1,2,3,0\n"
    path, memory, count = sandbox.root / "sourcedata/a.csv", 256 << 20, 0
    with path.open("w") as file:
        file.write(f"{HEADER}\n")
        while file.tell() < 1.5 * memory:
            file.writelines(row % i for i in range(count, count + 10_000))
            count += 10_000
    command = [sys.executable, "-c", LIMITED, str(memory)]
    command += ["--config", str(sandbox.root / "config.json")]
    environment = {
        **os.environ,
        "OPENBLAS_NUM_THREADS": "1",
    }  # its threads take memory of their own
    for args in ([], ["--rebuild"]):
        done = subprocess.run(
            [*command, *args], cwd=PROJECT, env=environment, capture_output=True, text=True
        )
        assert done.stdout.startswith(f"a.csv: {count:,} new of {count:,} rows\n"), done.stderr
    assert sandbox.config.finaldata_path.stat().st_size == path.stat().st_size
