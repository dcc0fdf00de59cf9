"""`ingestion.py --withdraw`, lost sightings, what an earlier version left."""

import json

import pytest
from sandbox import HEADER, Sandbox, client_rows

from pipeline.core.files import sha256_of
from pipeline.data.input_files import PendingFile
from pipeline.observations.master import Master, open_master
from pipeline.observations.master_files import log_path
from pipeline.storage import ledger
from pipeline.storage.database import History
from pipeline.storage.migrations import MIGRATIONS


def ingest(world: Sandbox, *args: str) -> str:
    result = world.run("ingestion", *args)
    assert result.code == 0, result.err
    return result.out


def finaldata(world: Sandbox) -> list[str]:
    return world.config.finaldata_path.read_text().splitlines()[1:]


def master(world: Sandbox) -> Master:
    with History(world.config.history_path) as history:
        return open_master(world.config.finaldata_path, world.config.schema, history)


def current(world: Sandbox) -> dict[str, float]:
    """The clients that have not left, and the first feature of each."""
    frame = master(world).current()
    return dict(zip(frame["corporation"], frame["lastmonth_activity"], strict=True))


def pending(world: Sandbox) -> list[PendingFile]:
    with History(world.config.history_path) as history:
        return ledger.unjudged(history)


def judge_all(world: Sandbox) -> None:
    with History(world.config.history_path) as history:
        ledger.mark(history, ledger.unjudged(history), "judged")
        ledger.mark(history, ledger.unreported(history), "reported")


# --- withdrawing ---


@pytest.fixture
def corrected(sandbox: Sandbox) -> Sandbox:
    """One file that was corrected under its name, and one that shares a row with it."""
    sandbox.write("sourcedata/a.csv", ["a,1,2,3,0", "b,1,2,3,0", "c,1,2,3,0"])
    sandbox.write("sourcedata/b.csv", ["b,1,2,3,0", "d,1,2,3,0"])
    ingest(sandbox)
    sandbox.write("sourcedata/a.csv", ["a,9,2,3,0", "c,1,2,3,0"])
    ingest(sandbox)
    return sandbox


def test_only_what_a_file_holds_now_counts_once_its_former_lines_are_withdrawn(
    corrected: Sandbox,
) -> None:
    assert ingest(corrected, "--withdraw", "a.csv", "--yes") == (
        "a.csv: only what it holds now counts; 1 row taken back\n"
        "ingesteddata/finaldata.csv: 4 rows\n"
    )
    # what the other file brought stays, and so does the place of a line that is still there
    assert finaldata(corrected) == ["c,1,2,3,0", "b,1,2,3,0", "d,1,2,3,0", "a,9,2,3,0"]
    assert current(corrected) == {"a": 9, "b": 1, "c": 1, "d": 1}
    assert ingest(corrected) == "nothing new in sourcedata\n"
    assert ingest(corrected, "--withdraw", "a.csv").startswith(
        "a.csv: only what it holds now counts; 0 rows taken back\n"
    )


def test_what_only_a_file_that_is_gone_brought_is_withdrawn(corrected: Sandbox) -> None:
    (corrected.root / "sourcedata/a.csv").unlink()
    assert ingest(corrected, "--withdraw", "a.csv", "--yes") == (
        "a.csv: it is gone, and counts no more; 3 rows taken back\n"
        "ingesteddata/finaldata.csv: 2 rows\n"
    )
    assert finaldata(corrected) == ["b,1,2,3,0", "d,1,2,3,0"]
    assert json.loads(corrected.config.ingestedfiles_path.read_text()) == ["b.csv"]
    assert [file.name for file in pending(corrected)] == ["b.csv"]


def test_rows_that_would_go_are_said_and_stay_without_an_agreement(corrected: Sandbox) -> None:
    before = corrected.files()
    result = corrected.run("ingestion", "--withdraw", "a.csv")
    assert (result.code, result.err.splitlines()[-1]) == (
        1,
        "error: --withdraw would take away 1 row of finaldata.csv, of a; nothing is done without"
        " --yes",
    )
    after = corrected.files()
    assert {
        name for name in before.keys() | after.keys() if before.get(name) != after.get(name)
    } == {"history.db"}


def test_an_outcome_is_withdrawn_with_the_lines_that_brought_it(sandbox: Sandbox) -> None:
    sandbox.write("sourcedata/a.csv", ["a,1,2,3,", "b,1,2,3,"])
    ingest(sandbox)
    sandbox.write("sourcedata/late.csv", ["a,1,2,3,1"])
    ingest(sandbox)
    assert (finaldata(sandbox), current(sandbox)) == (["a,1,2,3,1", "b,1,2,3,"], {"b": 1})
    (sandbox.root / "sourcedata/late.csv").unlink()
    ingest(sandbox, "--withdraw", "late.csv")  # no row goes
    assert (finaldata(sandbox), current(sandbox)) == (["a,1,2,3,", "b,1,2,3,"], {"a": 1, "b": 1})


def test_a_file_that_is_not_on_record_cannot_be_withdrawn(corrected: Sandbox) -> None:
    result = corrected.run("ingestion", "--withdraw", "x.csv")
    assert (result.code, result.err) == (
        1,
        "error: x.csv is not among the files that were taken in; they are named in"
        " ingesteddata/ingestedfiles.txt\n",
    )


def test_rows_that_wait_for_a_check_are_found_after_a_withdrawal(corrected: Sandbox) -> None:
    ingest(corrected, "--withdraw", "a.csv", "--yes")
    found = master(corrected)
    brought = {(file.id, *found.brought_by([file])["corporation"]) for file in pending(corrected)}
    assert brought == {(1, "c"), (2, "b", "d"), (3, "a")}


def test_what_was_judged_stays_judged_though_the_sightings_are_lost(source: Sandbox) -> None:
    ingest(source)
    judge_all(source)
    source.write("sourcedata/c.csv", client_rows(200, 5))
    ingest(source)
    log = master(source).on_record.log
    assert log
    log_path(source.config.finaldata_path, log.id).unlink()
    assert source.run("ingestion").code == 1
    ingest(source, "--rebuild")
    assert [(file.id, file.name, file.span) for file in pending(source)] == [
        (3, "c.csv", (120, 125))
    ]


# --- what an earlier version left ---

OLD_FILES = (
    "INSERT INTO files (name, size, mtime_ns, sha256, status, rows, added, duplicates, rejected,"
    " start_byte, end_byte, recorded_at, judged_at, reported_at, current)"
    " VALUES (?, ?, ?, ?, 'ingested', 1, 1, 0, 0, ?, ?, ?, ?, ?, ?)"
)


BEFORE = next(i for i, step in enumerate(MIGRATIONS) if "start_row" in step)


@pytest.fixture
def earlier(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    """A world of the version before: one line a spelling of an outcome, spans in bytes.

    `a.csv` was judged, and has changed since; its new content and `b.csv` wait for a check.
    """
    contents = {
        "a.csv": ["a,1,2,3,", "b,1,2,3,0"],
        "b.csv": ["c,1,2,3,0", "a,1,2,3,1"],
        "a.csv now": ["b,1,2,3,1", "d,1,2,3,"],
    }
    lines, spans = [HEADER], {}
    for name, rows in contents.items():
        start = len("\n".join(lines)) + 1
        lines += rows
        spans[name] = (start, len("\n".join(lines)) + 1)
    path = sandbox.config.finaldata_path
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([*lines, "torn,1"]))  # what a killed run left
    sandbox.write("sourcedata/a.csv", contents["a.csv"] + contents["a.csv now"])
    sandbox.write("sourcedata/b.csv", contents["b.csv"])
    monkeypatch.setattr(History, "migrations", MIGRATIONS[:BEFORE])
    with History(sandbox.config.history_path) as history:
        for name, judged in (("a.csv", "then"), ("b.csv", None), ("a.csv now", None)):
            file = sandbox.root / "sourcedata" / name.split()[0]
            found = file.stat()
            size, digest = found.st_size, sha256_of(file)
            if judged:
                size, digest = 1, "other"
            values = (name.split()[0], size, found.st_mtime_ns, digest, *spans[name])
            history.query(OLD_FILES, *values, "then", judged, judged, int(not judged))
        history.query("UPDATE master SET bytes = ?, rows = 6", spans["a.csv now"][1])
    monkeypatch.undo()
    return sandbox


MERGED = ["a,1,2,3,1", "b,1,2,3,1", "c,1,2,3,0", "d,1,2,3,"]


def test_what_an_earlier_version_left_is_made_anew_by_a_rebuild(earlier: Sandbox) -> None:
    for stage in ("ingestion", "training"):
        result = earlier.run(stage)
        assert (result.code, "are of an earlier version; run" in result.err) == (1, True)
    assert earlier.run("ingestion", "--rebuild").code == 1  # some of the six may be lost
    ingest(earlier, "--rebuild", "--yes")
    assert sorted(finaldata(earlier)) == MERGED
    assert [(file.id, file.name) for file in pending(earlier)] == [(2, "b.csv"), (3, "a.csv")]
