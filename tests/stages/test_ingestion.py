import csv
import json
import math
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time

import pandas as pd
import pytest
from pandas.testing import assert_frame_equal
from sandbox import HEADER, PROJECT, SHARED, Sandbox, client_rows, needs_shared

from pipeline.core.config import Config
from pipeline.core.schema import DEFAULT_SCHEMA
from pipeline.observations.master import open_master
from pipeline.storage import ledger
from pipeline.storage.database import History

SCHEMA = {"client": "corporation", "outcome": "exited", "numeric": DEFAULT_SCHEMA.numeric}
PLAIN = f"{HEADER}\na,1,2,3,0\n"

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


def test_rows_are_identical_by_value_not_by_spelling(sandbox: Sandbox) -> None:
    rows = ["a,1,2,3,0", " a , 1.0,2e0,03,no", '"a",1,+2,3.,FALSE', "a,1,NA,3,0", "a,1,,3,False"]
    sandbox.write("sourcedata/a.csv", rows)
    ingest(sandbox)
    assert finaldata(sandbox) == ["a,1,2,3,0", "a,1,,3,0"]


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


def test_a_rejected_file_is_read_again_once_with_another_schema(source: Sandbox) -> None:
    source.write("sourcedata/c.csv", ["c,1,2,few,0"])
    source.write("sourcedata/d.csv", "\n")
    assert source.run("ingestion").code == 0
    numeric = DEFAULT_SCHEMA.numeric
    source.configure(schema=SCHEMA | {"numeric": numeric[:2], "categorical": numeric[2:]})
    again, more = source.run("ingestion"), source.run("ingestion")
    assert again.out.splitlines() == [
        "c.csv: 1 new of 1 rows",
        "d.csv: rejected: it is empty; expected a header line and rows",
        "ingesteddata/finaldata.csv: 121 rows",
    ]
    assert (again.code, more.code, more.out) == (0, 0, "nothing new in sourcedata\n")


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


def test_a_file_that_left_takes_no_rows_with_it(source: Sandbox) -> None:
    ingest(source)
    (source.root / "sourcedata/a.csv").unlink()
    assert ingest(source) == "nothing new in sourcedata\n"
    assert len(finaldata(source)) == 120


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


def test_a_run_killed_before_it_is_on_record_loses_and_doubles_nothing(source: Sandbox) -> None:
    ingest(source)
    source.write("sourcedata/c.csv", client_rows(120, 60, noise=10))
    # rows are written, the folder is being synced
    assert killed(source, "open", "ingesteddata", after=1)
    assert source.config.finaldata_path.read_text().count("\n") == 181
    assert ingested(source) == ["a.csv", "b.csv"]
    ingest(source)
    assert finaldata(source) == client_rows(0, 180, noise=10)
    assert ingested(source) == ["a.csv", "b.csv", "c.csv"]


def test_a_first_run_killed_before_it_is_on_record_begins_anew(source: Sandbox) -> None:
    assert killed(source, "open", "ingesteddata", after=1)  # nothing is recorded
    assert len(finaldata(source)) == 120
    assert source.query("SELECT * FROM files") == []
    ingest(source)
    assert finaldata(source) == client_rows(0, 120, noise=10)


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


def test_a_run_killed_before_its_records_are_written_leaves_them_to_the_next(
    source: Sandbox,
) -> None:
    assert killed(source, "os.rename", "ingestedfiles.txt")
    assert not source.config.ingestedfiles_path.exists()
    assert ingest(source) == "nothing new in sourcedata\n"
    assert ingested(source) == ["a.csv", "b.csv"]
    assert finaldata(source) == client_rows(0, 120, noise=10)


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


def test_a_rebuild_keeps_a_row_that_another_file_holds_too(sandbox: Sandbox) -> None:
    sandbox.write("sourcedata/a.csv", client_rows(0, 10))
    sandbox.write("sourcedata/b.csv", client_rows(5, 10))
    ingest(sandbox)
    (sandbox.root / "sourcedata/a.csv").unlink()
    ingest(sandbox, "--rebuild", "--yes")
    assert finaldata(sandbox) == client_rows(5, 10)


def test_a_rebuild_of_an_empty_folder_leaves_an_empty_record(source: Sandbox) -> None:
    ingest(source)
    for name in ("a.csv", "b.csv"):
        (source.root / "sourcedata" / name).unlink()
    ingest(source, "--rebuild", "--yes")
    assert finaldata(source) == []
    assert ingested(source) == []


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


# against pandas


NAMES = ["acme", "a, b", 'the "best"', "<N&A>", "Größe", "007"]
NUMBERS = [math.nan, 0.0, 1.0, 0.1 + 0.2, 12.5, 1e-9, 123456789.0]
OUTCOMES = {
    "0": ["0", "no", "No", "FALSE", "0.0"],
    "1": ["1", "yes", "True", " 1 "],
    "": ["", "NA"],
}


def spelled(rng: random.Random, value: float) -> str:
    """A number in one of the ways in which people and programs write it, mostly the shortest."""
    if rng.random() < 0.8:
        return "" if math.isnan(value) else f"{value:.0f}" if value.is_integer() else repr(value)
    if math.isnan(value):
        return rng.choice(["", "NA", "nan", " ", "null"])
    ways = [repr(value), f" {value!r}", f"{value:.17e}", f'"{value!r}"']
    return rng.choice([*ways, f"0{value:.0f}", f"+{value:.1f}"] if value.is_integer() else ways)


def random_table(rng: random.Random) -> tuple[pd.DataFrame, str]:
    """A table of values, and a CSV text that says the same."""
    columns = HEADER.split(",")
    order = rng.choice([[*columns], rng.sample([*columns, "note"], 6)])
    rows, lines = [], [",".join(f" {name} " for name in order)]
    for _ in range(rng.randrange(1, 400)):
        client, outcome = rng.choice(NAMES), rng.choice(list(OUTCOMES))
        numbers = rng.choices(NUMBERS, k=3)
        rows.append((client, *numbers, float(outcome or "nan")))
        quoted = rng.random() < 0.2 or not {",", '"'}.isdisjoint(client)
        name = '"' + client.replace('"', '""') + '"' if quoted else client
        texts = [name, *(spelled(rng, n) for n in numbers)]
        cells = dict(zip(columns, [*texts, rng.choice(OUTCOMES[outcome])], strict=True))
        lines.append(",".join({**cells, "note": str(rng.random())}[name] for name in order))
    return pd.DataFrame(rows, columns=columns).astype({"corporation": "str"}), "\n".join(
        lines
    ) + "\n"


@pytest.mark.parametrize("seed", range(3))
def test_random_tables_come_out_as_pandas_would_merge_them(sandbox: Sandbox, seed: int) -> None:
    rng = random.Random(seed)
    tables = []
    for i in range(4):
        table, text = random_table(rng)
        tables.append(table)
        sandbox.write(f"sourcedata/{i}.csv", text)
        if rng.random() < 0.5:
            ingest(sandbox)
    ingest(sandbox)
    together = pd.concat(tables, ignore_index=True)
    features = HEADER.split(",")[:-1]
    known = together.dropna(subset="exited").drop_duplicates(features, keep="last")
    expected = together[features].drop_duplicates().merge(known, "left", features)
    assert len(expected) < len(together)
    with History(sandbox.config.history_path) as history:
        frame = open_master(sandbox.config.finaldata_path, sandbox.config.schema, history).frame
    assert_frame_equal(frame, expected, check_exact=True)
    plain = pd.read_csv(sandbox.config.finaldata_path)
    assert_frame_equal(plain[HEADER.split(",")[1:]], expected.drop(columns="corporation"))


# real tables


@needs_shared
def test_the_original_practice_tables_hold_26_unique_rows(sandbox: Sandbox) -> None:
    sandbox.configure(input_folder_path=str(SHARED / "original/practicedata"))
    assert ingest(sandbox) == (
        "dataset1.csv: 17 new of 17 rows\n"
        "dataset2.csv: 9 new of 19 rows\n"
        "ingesteddata/finaldata.csv: 26 rows\n"
    )
    tables = [pd.read_csv(path) for path in sorted((SHARED / "original/practicedata").iterdir())]
    expected = pd.concat(tables).drop_duplicates(ignore_index=True)
    assert_frame_equal(pd.read_csv(sandbox.config.finaldata_path), expected)


@needs_shared
def test_the_junk_last_line_of_the_bank_table_is_set_aside(sandbox: Sandbox) -> None:
    table = pd.read_csv(SHARED / "public/bank_10000.csv", nrows=10_000)
    schema = {
        "client": "CustomerId",
        "outcome": "Exited",
        "numeric": [c for c in table.columns[1:-1] if c not in ("Geography", "Gender")],
        "categorical": ["Geography", "Gender"],
    }
    sandbox.configure(schema=schema)
    path = sandbox.root / "sourcedata/bank.csv"
    path.write_bytes((SHARED / "public/bank_10000.csv").read_bytes())
    assert ingest(sandbox) == (
        "bank.csv: 10,000 new of 10,001 rows, 1 set aside\n"
        "ingesteddata/rejectedrows.csv: the rows set aside, and why\n"
        "ingesteddata/finaldata.csv: 10,000 rows\n"
    )
    assert set_aside(sandbox)[1:] == [
        [
            "bank.csv",
            "10002",
            "Exited '50000' is not an outcome (0, 1 or empty)",
            "12348743,600,France,Male,40,3,3,60000,2,1,1,50000",
        ]
    ]
    final = pd.read_csv(sandbox.config.finaldata_path)
    assert_frame_equal(final[list(table.columns)], table)
