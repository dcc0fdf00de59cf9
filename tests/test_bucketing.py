"""Ingestion into buckets beside ingestion into `finaldata.csv`: the same rows, counts and words."""

import json
import os
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import needsengine  # noqa: F401
import pyarrow.parquet as pq
import pytest
from bucketworlds import (
    bucket_names,
    files_on_record,
    frame,
    ingest_here,
    names_on_record,
    pool,
    rows_on_record,
    same_frames,
    table_on_record,
    unjudged,
)
from conftest import HEADER, Sandbox, client_rows
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import ingestion
from pipeline import bucketing, intake, ledger
from pipeline.bucketledger import counted_buckets
from pipeline.bucketmerge import merge
from pipeline.buckets import ORDER, frame_of_rows
from pipeline.engine import InProcess
from pipeline.errors import EngineError, HistoryError
from pipeline.frames import frame_of
from pipeline.history import History
from pipeline.pieces import cut


@pytest.fixture
def pooled(source: Sandbox) -> Sandbox:
    """A project whose client files are in three buckets."""
    source.configure(engine=pool())
    ingest_here(source)
    return source


def finaldata(world: Sandbox) -> list[str]:
    if not world.config.finaldata_path.exists():
        return []
    header, *rows = world.config.finaldata_path.read_text(encoding="utf-8").splitlines()
    assert header == world.config.schema.header
    return rows


def aged(path: Path, seconds: float = 3600) -> Path:
    os.utime(path, (0, time.time() - seconds))
    return path


def run(world: Sandbox, *args: str) -> str:
    result = world.run("ingestion", *args)
    assert result.code == 0, result.err
    return result.out


# whatever is ingested, however it is divided

WORDS = ("", "a", "#", "nan", "x,y", 'q"', "株", "\ufeffb", "A", " a")
NUMBERS = ("0", "1", "01", "1.0", "", "na", "0.1", "9007199254740993", "1e99", "-7.25", "oops")


@st.composite
def tables(draw: st.DrawFn) -> str:
    """A client table of few different values, a few of whose rows are bad."""
    rows = draw(
        st.lists(
            st.tuples(
                st.sampled_from(["a", "b", "株", "\ufeffc", "d,e", 'f"', "g", "h", "i"]),
                st.sampled_from(NUMBERS[:-1]),
                st.sampled_from(WORDS),
                st.sampled_from(["0", "1", "", "yes"]),
            ),
            min_size=1,
            max_size=25,
        )
    )
    lines = [",".join('"' + value.replace('"', '""') + '"' for value in row) for row in rows]
    if draw(st.booleans()):
        lines[draw(st.integers(0, len(lines) - 1))] = '"bad","oops","","0"'
    return frame(lines, "who,n,kind,left")


BATCHES = st.lists(st.lists(tables(), max_size=3), min_size=1, max_size=3)


def same_as_one_file(examples: int) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """A test with so many examples: batches of files, and how they are divided."""
    unchecked = [HealthCheck.function_scoped_fixture]  # the folders are made anew for each

    def decorated(test: Callable[..., None]) -> Callable[..., None]:
        given_test = given(
            batches=BATCHES,
            buckets=st.sampled_from([1, 2, 5, 40]),
            task_bytes=st.sampled_from([1, 300, 8 << 20]),
            data=st.data(),
        )(test)
        told = settings(max_examples=examples, deadline=None, suppress_health_check=unchecked)
        return told(given_test)

    return decorated


@same_as_one_file(3)
def test_buckets_hold_the_rows_of_one_file_in_the_same_order(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, **drawn: Any
) -> None:
    compare(sandbox, monkeypatch, **drawn)


@pytest.mark.slow
@same_as_one_file(60)
def test_so_they_do_for_many_more_tables(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, **drawn: Any
) -> None:
    compare(sandbox, monkeypatch, **drawn)


def compare(
    sandbox: Sandbox,
    monkeypatch: pytest.MonkeyPatch,
    *,
    batches: list[list[str]],
    buckets: int,
    task_bytes: int,
    data: st.DataObject,
) -> None:
    """Take the same files in both ways, batch by batch."""
    monkeypatch.setattr(bucketing, "TASK_BYTES", task_bytes)
    schema = {"client": "who", "outcome": "left", "numeric": ["n"], "categorical": ["kind"]}
    there: list[Sandbox] = []
    for kind in ({"kind": "files"}, pool(buckets)):
        root = sandbox.root / f"world{len(there)}"
        shutil.rmtree(root, ignore_errors=True)
        root.mkdir()
        shutil.copy(sandbox.root / "config.json", root)
        (root / "sourcedata").mkdir()
        there.append(Sandbox(root, sandbox.capsys))
        there[-1].configure(engine=kind, schema=schema)
    one, many = there
    for number, batch in enumerate(batches):
        for table in batch:
            # some files take the place of those of an earlier batch
            name = f"sourcedata/{data.draw(st.sampled_from('abcdef'))}{number % 2}.csv"
            for world in there:
                world.write(name, table)
        ingestion.ingest(one.config)
        ingest_here(many)
        _same(one, many)
    with History(one.config.history_path) as history:
        assert len(finaldata(one)) == ledger.master_size(history)[0]


def _same(one: Sandbox, many: Sandbox) -> None:
    with History(many.config.history_path) as history:
        ingestion._write_records(many.config, history)
        rows = ledger.master_size(history)[0]
    for path in ("ingesteddata/ingestedfiles.txt", "ingesteddata/rejectedrows.csv"):
        found, expected = many.root / path, one.root / path
        assert found.exists() == expected.exists()
        assert not found.exists() or found.read_text() == expected.read_text()
    assert files_on_record(many) == files_on_record(one)
    expected_rows = finaldata(one)
    assert rows == len(expected_rows)
    if rows:
        table, schema = table_on_record(many.config), many.config.schema
        assert rows_on_record(many) == expected_rows
        places = list(zip(*(table[name].to_pylist() for name in ORDER), strict=True))
        assert places == sorted(set(places))
        same_frames(
            frame_of_rows(table, schema, schema.columns),
            frame_of(one.config.finaldata_path, schema, schema.columns),
        )
    else:
        assert names_on_record(many) == []


def test_names_in_many_scripts_come_back_from_their_buckets(sandbox: Sandbox) -> None:
    names = ["Müller & Söhne", "株式会社", "שלום", "Ελλάς", "🙂🙃", "e\u0301", "é", "x\u2028y"]
    rows = [f"{name},1,2,3,0" for name in names]
    sandbox.write("sourcedata/a.csv", rows)
    sandbox.configure(engine=pool(4))
    ingest_here(sandbox)
    assert rows_on_record(sandbox) == rows


def test_columns_may_have_any_name(sandbox: Sandbox) -> None:
    numeric = ["#row", "##row", "file", "a.b", "a", "#high", "#exact", "row,number"]
    roles = {"client": "#file", "outcome": 'say "left"', "categorical": ["#ingestion", "'"]}
    sandbox.configure(schema={**roles, "numeric": numeric}, engine=pool(2))
    header = sandbox.config.schema.header
    for name, start in (("a", 0), ("b", 5)):
        rows = [
            ",".join([f"c{i}", *(str(i * 10 + n) for n in range(8)), "kind", "", "1"])
            for i in range(start, start + 7)
        ]
        sandbox.write(f"sourcedata/{name}.csv", rows, header=header)
        ingest_here(sandbox)
    found = rows_on_record(sandbox)
    assert len(found) == 12
    assert found[11] == "c11,110,111,112,113,114,115,116,117,kind,,1"


def test_a_single_feature_will_do(sandbox: Sandbox) -> None:
    roles = {"client": "who", "outcome": "left", "numeric": []}
    sandbox.configure(schema={**roles, "categorical": ["kind"]}, engine=pool(2))
    sandbox.write("sourcedata/a.csv", ["a,,", "b,x,1", "a,,"], header="who,kind,left")
    ingest_here(sandbox)
    assert rows_on_record(sandbox) == ["a,,", "b,x,1"]


def test_rows_of_one_client_lie_in_one_bucket_in_the_order_first_seen(sandbox: Sandbox) -> None:
    sandbox.configure(engine=pool(5))
    for number in range(3):
        for name in ("b", "a"):
            rows = [f"c{i},{number},{ord(name)},{i},0" for i in range(30)]
            sandbox.write(f"sourcedata/{name}{number}.csv", [*rows, *client_rows(0, 9)])
        ingest_here(sandbox)
    with History(sandbox.config.history_path) as history:
        buckets = counted_buckets(sandbox.config, history)
    homes: dict[str, set[int]] = {}
    for bucket in buckets:
        table = pq.read_table(bucket.path)
        assert len(table) == bucket.rows
        places = list(zip(*(table[name].to_pylist() for name in ORDER), strict=True))
        assert places == sorted(places)
        for client in table["corporation"].to_pylist():
            homes.setdefault(client, set()).add(bucket.number)
    assert {len(home) for home in homes.values()} == {1}
    latest = [r for r in rows_on_record(sandbox) if r.startswith("c7,")][-1]
    assert latest == f"c7,2,{ord('b')},7,0"


# the stage, with real workers


def messy(world: Sandbox) -> None:
    """Files of all sorts."""
    world.write("sourcedata/a.csv", [*client_rows(0, 60), "bad,x,1,2,0", *client_rows(0, 5)])
    world.write("sourcedata/b.csv", client_rows(40, 60))
    world.write("sourcedata/c.csv", "no table\n")
    world.write("sourcedata/d.csv", [*client_rows(200, 5), *["=bad,,,,9"] * 5])
    world.write("sourcedata/e.csv", [f"{row},x" for row in client_rows(300, 3)], f"{HEADER},note")
    world.write("sourcedata/f.csv", f"{HEADER}\nwaits,1,2,3,0")
    (world.root / "sourcedata/g.csv").symlink_to("a.csv")


def told(world: Sandbox, engine: dict[str, Any] | None, *args: str) -> tuple[Any, ...]:
    """All that an ingestion says and leaves for people, without times and the place of rows."""
    world.configure(engine=engine)
    result = world.run("ingestion", *args)
    lines = [line[21:] for line in result.err.splitlines()]
    out = result.out.replace("ingesteddata/buckets", "ingesteddata/finaldata.csv")
    folder = world.config.output_folder_path
    left = [(folder / n).read_text() for n in ("ingestedfiles.txt", "rejectedrows.csv")]
    timings = world.query("SELECT stage, rows FROM timings")
    return result.code, out, sorted(lines), left, files_on_record(world), timings


@pytest.mark.parametrize("args", [(), ("--json",)])
def test_a_pool_says_and_leaves_what_one_process_does(
    sandbox: Sandbox, args: tuple[str, ...]
) -> None:
    messy(sandbox)
    expected = told(sandbox, None, *args)
    rows = finaldata(sandbox)
    shutil.rmtree(sandbox.config.output_folder_path)
    sandbox.config.history_path.unlink()
    assert told(sandbox, pool(), *args) == expected
    assert rows_on_record(sandbox) == rows
    assert sorted(path.name for path in sandbox.config.output_folder_path.iterdir()) == [
        *("buckets", "ingestedfiles.txt", "rejectedrows.csv")
    ]
    assert json.loads(expected[1])["added"] == len(rows) if args else expected[0] == 0


def test_nothing_new_leaves_every_file_as_it_was(pooled: Sandbox) -> None:
    run(pooled)
    files, stamps = pooled.files(), pooled.stamps()
    assert run(pooled) == "nothing new in sourcedata\n"
    changed = {n for n, stamp in pooled.stamps().items() if stamp != stamps.get(n)}
    assert changed == {"history.db"}  # that the stage was run by hand is on record
    assert pooled.files().keys() == files.keys()


def test_only_known_rows_leave_every_bucket_as_it_was(pooled: Sandbox) -> None:
    before = {name: (pooled.config.buckets_path / name).stat() for name in bucket_names(pooled)}
    pooled.write("sourcedata/c.csv", client_rows(10, 5, noise=10))
    (file,) = ingest_here(pooled)
    assert (file.added, file.duplicates) == (0, 5)
    after = {name: (pooled.config.buckets_path / name).stat() for name in bucket_names(pooled)}
    assert {n: (s.st_ino, s.st_mtime_ns) for n, s in after.items()} == {
        n: (s.st_ino, s.st_mtime_ns) for n, s in before.items()
    }


def test_a_file_that_waits_is_taken_in_later(pooled: Sandbox) -> None:
    late = pooled.write("sourcedata/c.csv", f"{HEADER}\nlate,1,2,3,0")
    assert ingest_here(pooled) == []
    aged(late)
    assert [file.name for file in ingest_here(pooled)] == ["c.csv"]
    assert rows_on_record(pooled)[-1] == "late,1,2,3,0"


def test_rows_of_a_refused_file_are_not_data_and_those_of_the_mended_one_are(
    pooled: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "BATCH_BYTES", 300)
    before = rows_on_record(pooled)
    rows = client_rows(500, 40)
    pooled.write("sourcedata/c.csv", [*rows, *["bad,x,1,2,0"] * 20])
    pooled.write("sourcedata/d.csv", client_rows(520, 30))
    refused, taken = ingest_here(pooled)
    assert refused.reason
    assert (taken.added, taken.position) == (30, 1)
    assert rows_on_record(pooled) == [*before, *client_rows(520, 30)]
    pooled.write("sourcedata/c.csv", rows)
    (mended,) = ingest_here(pooled)
    assert (mended.reason, mended.added, mended.duplicates) == (None, 20, 20)
    assert rows_on_record(pooled) == [*before, *client_rows(520, 30), *client_rows(500, 20)]


# between two runs


class Stops(InProcess):
    """An engine that breaks off after so many parts of a kind."""

    def __init__(self, function: Callable[..., Any], parts: int) -> None:
        self._function, self._left = function, parts

    def map(
        self, function: Callable[[Any], Any], parts: Sequence[Any], done: Callable[[Any], Any] = id
    ) -> list[Any]:
        if function is not self._function:
            return super().map(function, parts, done)
        super().map(function, parts[: self._left], done)
        raise EngineError("stopped")


def stopped(world: Sandbox, function: Callable[..., Any], parts: int, **options: Any) -> None:
    with pytest.raises(EngineError, match="stopped"):
        ingest_here(world, engine=Stops(function, parts), **options)


@pytest.fixture
def halfway(source: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    """A project whose first ingestion, a task a file, broke off before anything was merged."""
    monkeypatch.setattr(bucketing, "TASK_BYTES", 1)
    source.configure(engine=pool())
    stopped(source, merge, 0)
    return source


def test_the_next_run_goes_on_from_finished_pieces(halfway: Sandbox) -> None:
    folder = halfway.config.output_folder_path / ".pieces"
    before = {path.name: path.stat().st_ino for path in folder.iterdir()}
    assert len(before) == 2
    stopped(halfway, merge, 2)
    assert {path.name: path.stat().st_ino for path in folder.iterdir()} == before
    assert len(ingest_here(halfway)) == 2
    assert rows_on_record(halfway) == client_rows(0, 120, noise=10)
    assert not folder.exists()


def test_a_file_that_changed_meanwhile_is_cut_anew(halfway: Sandbox) -> None:
    halfway.write("sourcedata/a.csv", client_rows(700, 10))
    halfway.write("sourcedata/0.csv", client_rows(800, 10))
    (halfway.root / "sourcedata/b.csv").unlink()
    ingest_here(halfway)
    assert rows_on_record(halfway) == [*client_rows(800, 10), *client_rows(700, 10)]


def test_pieces_of_runs_that_never_ended_do_not_pile_up(halfway: Sandbox) -> None:
    folder = halfway.config.output_folder_path / ".pieces"
    (folder / ".abc.1.tmp").mkdir()
    for count in range(3):
        halfway.write("sourcedata/a.csv", client_rows(700, 10 + count))
        stopped(halfway, merge, 1)
        assert len(list(folder.iterdir())) == 2
        assert len(bucket_names(halfway)) == 1


def test_a_file_that_had_to_wait_is_looked_at_again(
    source: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    source.configure(engine=pool())
    source.write("sourcedata/c.csv", f"{HEADER}\nlate,1,2,3,0")
    stopped(source, merge, 0)
    monkeypatch.setattr(intake, "COPYING_SECONDS", 0)  # the minute is over
    assert [file.name for file in ingest_here(source)] == ["a.csv", "b.csv", "c.csv"]


def test_what_is_half_deleted_is_not_taken_for_finished(
    pooled: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The end of an ingestion, killed while it deletes pieces, and a rebuild of the same files."""
    stopped(pooled, merge, 0, rebuilt=True)
    removed = shutil.rmtree

    def killed(path: Path, **_: Any) -> None:
        if path.exists():
            next(path.rglob("*.parquet")).unlink()
            raise KeyboardInterrupt

    monkeypatch.setattr(shutil, "rmtree", killed)
    with pytest.raises(KeyboardInterrupt):
        ingest_here(pooled, rebuilt=True)
    monkeypatch.setattr(shutil, "rmtree", removed)
    ingest_here(pooled, rebuilt=True)
    assert rows_on_record(pooled) == client_rows(0, 120, noise=10)
    assert not list(pooled.config.output_folder_path.glob(".pieces*"))


def test_what_a_reader_began_to_read_is_there_until_the_next_ingestion(pooled: Sandbox) -> None:
    with History(pooled.config.history_path) as history:
        old = counted_buckets(pooled.config, history)
    pooled.write("sourcedata/c.csv", client_rows(500, 60))
    ingest_here(pooled)
    assert sum(len(pq.read_table(bucket.path)) for bucket in old) == 120
    pooled.write("sourcedata/d.csv", client_rows(600, 60))
    ingest_here(pooled)
    assert not any(bucket.path.exists() for bucket in old)


def test_a_straggler_of_a_killed_run_overwrites_nothing(pooled: Sandbox) -> None:
    """A worker elsewhere may still be at work on a part when the next run has ended."""
    late: list[Any] = []

    class Slow(InProcess):
        def map(self, function: Any, parts: Any, done: Any = id) -> Any:
            if function is not merge:
                return super().map(function, parts, done)
            late.extend(parts)
            raise EngineError("stopped")

    pooled.write("sourcedata/c.csv", client_rows(500, 30))
    with pytest.raises(EngineError):
        ingest_here(pooled, engine=Slow())
    pieces = pooled.config.output_folder_path / ".pieces"
    shutil.copytree(pieces, pooled.root / "kept")
    pooled.write("sourcedata/d.csv", client_rows(600, 30))
    ingest_here(pooled)
    rows, names = rows_on_record(pooled), set(bucket_names(pooled))
    (pooled.root / "kept").rename(pieces)
    for task in late:
        merge(task)
    assert names < set(bucket_names(pooled))
    assert rows_on_record(pooled) == rows
    assert pooled.run("ingestion").code == 0


# kinds and numbers of buckets


def test_another_number_of_buckets_is_refused_with_advice(pooled: Sandbox) -> None:
    pooled.configure(engine=pool(4))
    pooled.write("sourcedata/c.csv", client_rows(500, 5))
    result = pooled.run("ingestion")
    assert (result.code, result.out) == (1, "")
    assert result.err.endswith(
        'in 3 buckets, and config.json says 4: put "buckets": 3 back into "engine", or run'
        " `python ingestion.py --rebuild` to make it again from the input folder\n"
    )
    assert run(pooled, "--rebuild").endswith("ingesteddata/buckets: 125 rows\n")
    assert len(names_on_record(pooled)) == 4
    assert sorted(rows_on_record(pooled)) == sorted(
        [*client_rows(0, 120, noise=10), *client_rows(500, 5)]
    )


def test_a_rebuild_keeps_ids_and_what_was_judged(pooled: Sandbox) -> None:
    with History(pooled.config.history_path) as history:
        ledger.mark_judged(history, ledger.unjudged(history)[:1])
    pooled.write("sourcedata/0.csv", client_rows(500, 5))
    ingest_here(pooled)
    before = files_on_record(pooled)
    assert unjudged(pooled) == ["b.csv", "0.csv"]
    for engine in (pool(5), None, pool(2)):
        pooled.configure(engine=engine)
        run(pooled, "--rebuild")
        assert files_on_record(pooled) == before
        rows = rows_on_record(pooled) if engine else finaldata(pooled)
        assert rows == [*client_rows(0, 120, noise=10), *client_rows(500, 5)]
        with History(pooled.config.history_path) as history:
            places = [file.place for file in ledger.unjudged(history)]
        assert [place is None for place in places] == [engine is None] * 2
        if engine:
            table = table_on_record(pooled.config).to_pylist()
            for place, count in zip(places, (60, 5), strict=True):
                assert [(r["#ingestion"], r["#file"]) for r in table].count(place) == count


def test_going_to_buckets_and_back_leaves_nothing_of_the_other(source: Sandbox) -> None:
    folder = source.config.output_folder_path
    run(source)
    source.configure(engine=pool())
    result = source.run("ingestion")
    assert result.code == 1
    assert '"pool", keeps them in buckets; run `python ingestion.py --rebuild`' in result.err
    (folder / ".finaldata.csv.tmp").write_bytes(b"left by a rebuild that was killed")
    run(source, "--rebuild")
    assert {path.name for path in folder.iterdir()} == {"buckets", "ingestedfiles.txt"}
    stopped(source, merge, 1, rebuilt=True)
    source.configure(engine=None)
    assert "keeps them in finaldata.csv; run" in source.run("ingestion").err
    run(source, "--rebuild")
    assert {path.name for path in folder.iterdir()} == {
        *(".finaldata.csv.keys", "finaldata.csv", "ingestedfiles.txt")
    }
    assert finaldata(source) == client_rows(0, 120, noise=10)


@pytest.mark.parametrize("then", [None, pool(2)])
def test_a_rebuild_that_broke_off_is_begun_again_in_whatever_way_config_says(
    pooled: Sandbox, then: dict[str, Any] | None
) -> None:
    with History(pooled.config.history_path) as history:
        ledger.begin_rebuild(history)
    pooled.configure(engine=pool(5))
    stopped(pooled, merge, 3, rebuilt=True)
    pooled.configure(engine=then)
    run(pooled)
    rows = rows_on_record(pooled) if then else finaldata(pooled)
    assert rows == client_rows(0, 120, noise=10)
    assert run(pooled) == "nothing new in sourcedata\n"


def test_without_rows_the_kind_may_change_freely(sandbox: Sandbox) -> None:
    sandbox.write("sourcedata/a.csv", "no table\n")
    sandbox.configure(engine=pool())
    ingest_here(sandbox)
    sandbox.configure(engine=pool(7))
    assert run(sandbox) == "nothing new in sourcedata\n"
    sandbox.configure(engine=None)
    sandbox.write("sourcedata/b.csv", client_rows(0, 5))
    run(sandbox)
    assert run(sandbox) == "nothing new in sourcedata\n"
    assert finaldata(sandbox) == client_rows(0, 5)


# what was lost


def test_rows_of_a_history_that_was_lost_stay(pooled: Sandbox) -> None:
    pooled.config.history_path.unlink()
    names = bucket_names(pooled)
    for engine in (pool(), None):
        pooled.configure(engine=engine)
        result = pooled.run("ingestion")
        assert result.code == 1
        assert result.err.endswith(
            "ingesteddata/buckets has rows that history.db knows nothing of: if that was moved or"
            f" lost, move {pooled.config.output_folder_path} away too; what the input folder has is"
            " taken in again\n"
        )
        assert bucket_names(pooled) == names
    pooled.configure(engine=pool())
    run(pooled, "--rebuild")
    assert rows_on_record(pooled) == client_rows(0, 120, noise=10)


def test_a_finaldata_of_a_history_that_was_lost_stays(source: Sandbox) -> None:
    run(source)
    rows = finaldata(source)
    source.config.history_path.unlink()
    (source.root / "sourcedata/a.csv").unlink()
    source.configure(engine=pool())
    result = source.run("ingestion")
    assert result.code == 1
    assert "finaldata.csv has rows that history.db knows nothing of" in result.err
    assert finaldata(source) == rows


def test_a_folder_of_buckets_that_is_gone_is_told(pooled: Sandbox) -> None:
    shutil.rmtree(pooled.config.buckets_path)
    result = pooled.run("ingestion")
    assert result.code == 1
    assert "is gone, or not what is on record; run `python ingestion.py --rebuild`" in result.err
    run(pooled, "--rebuild")
    assert rows_on_record(pooled) == client_rows(0, 120, noise=10)


def test_another_schema_under_buckets_is_refused(pooled: Sandbox) -> None:
    numeric = ["lastmonth_activity", "lastyear_activity"]
    roles = {"client": "corporation", "outcome": "exited"}
    pooled.configure(schema={**roles, "numeric": numeric})
    pooled.write("sourcedata/c.csv", client_rows(500, 5))
    rows = names_on_record(pooled)
    with pytest.raises(HistoryError) as caught:
        ingest_here(pooled)
    assert str(caught.value).endswith(
        "has the columns corporation, lastmonth_activity, lastyear_activity, number_of_employees,"
        " exited; config.json says corporation, lastmonth_activity, lastyear_activity, exited, or"
        " gives one another role; run `python ingestion.py --rebuild` to make it again from the"
        " input folder"
    )
    assert (names_on_record(pooled), bucket_names(pooled)) == (rows, sorted(rows))
    pooled.configure(schema={**roles, "numeric": numeric, "categorical": ["number_of_employees"]})
    with pytest.raises(HistoryError, match="or gives one another role"):
        ingest_here(pooled)


def test_what_others_put_beside_the_buckets_stays(pooled: Sandbox) -> None:
    folder = pooled.config.buckets_path
    (folder / "notes.txt").write_text("ours")
    (folder / ".nfs0001").write_text("")
    (folder / "old").mkdir()
    stray = folder / "00001-000009-abcdef.parquet"
    stray.write_bytes(b"no table")
    (folder / f".{stray.name}.tmp").write_bytes(b"")
    pooled.write("sourcedata/c.csv", client_rows(500, 5))
    ingest_here(pooled)
    left = set(bucket_names(pooled)) - {name for name in bucket_names(pooled) if name[:1] == "0"}
    assert left == {"notes.txt", ".nfs0001", "old"}
    assert not stray.exists()


def test_a_bucket_that_is_too_large_is_one_clear_error_and_goes_on_with_more(
    pooled: Sandbox,
) -> None:
    class Small(InProcess):
        memory = 1 << 20

    pooled.write("sourcedata/c.csv", client_rows(500, 5))
    before = rows_on_record(pooled)
    with pytest.raises(EngineError, match='more "buckets" into config'):
        ingest_here(pooled, engine=Small())
    assert rows_on_record(pooled) == before
    assert len(ingest_here(pooled)) == 1


def test_files_are_dealt_out_to_tasks_in_order(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bucketing, "TASK_BYTES", 1_000)
    sizes: list[list[int]] = []

    class Counts(InProcess):
        def map(self, function: Any, parts: Any, done: Any = id) -> Any:
            if function is cut:
                sizes.extend([len(task.files)] for task in parts)
            return super().map(function, parts, done)

    for name, count in (("a", 5), ("b", 5), ("c", 200), ("d", 5), ("e", 25), ("f", 25)):
        sandbox.write(f"sourcedata/{name}.csv", client_rows(ord(name) * 300, count))
    sandbox.configure(engine=pool())
    taken = ingest_here(sandbox, engine=Counts())
    assert sizes == [[2], [1], [2], [1]]
    assert [file.position for file in taken] == [0, 1, 2, 3, 4, 5]
    assert [file.added for file in taken] == [5, 5, 200, 5, 25, 25]
