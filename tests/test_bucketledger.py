import json
import sqlite3
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import Sandbox, client_rows
from engines import needs_engine

from pipeline.bucketledger import (
    Bucket,
    begun,
    bucket_files,
    check_buckets,
    check_columns,
    check_lost,
    counted_buckets,
    key_seed,
    last_ingestion,
    record_ingestion,
)
from pipeline.errors import HistoryError
from pipeline.history import History
from pipeline.ledger import MasterState, TakenFile, master_state, rebuilding
from pipeline.master import check_rows
from pipeline.standing import work_waits

POOL = {"kind": "pool", "workers": 2, "buckets": 3}


@pytest.fixture
def world(sandbox: Sandbox) -> Sandbox:
    sandbox.configure(engine=POOL)
    return sandbox


@pytest.fixture
def history(world: Sandbox) -> Iterator[History]:
    with History(world.config.history_path) as opened:
        yield opened


def bucket(world: Sandbox, number: int, ingestion: int, rows: int = 5) -> Bucket:
    """A file of a bucket, of so many bytes as it says it has rows."""
    path = world.config.buckets_path / f"{number:05d}-{ingestion:06d}-ab.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * rows)
    return Bucket(number, path, rows, rows)


def taken(name: str, ingestion: int = 1) -> TakenFile:
    return TakenFile(name, 9, 1, "ab", None, 5, 5, ingestion=ingestion, position=0)


def test_a_history_has_one_seed_of_keys_for_ever(world: Sandbox, history: History) -> None:
    assert not begun(history)
    seed = key_seed(history)
    assert begun(history)
    assert 0 <= seed < 2**62
    with History(world.config.history_path) as again:
        assert key_seed(again) == seed


def test_an_ingestion_counts_what_it_changed_and_keeps_the_rest(
    world: Sandbox, history: History
) -> None:
    first = [bucket(world, 0, 1), bucket(world, 2, 1, 7)]
    told = {"buckets": 3, "rebuilt": False}
    record_ingestion(history, [taken("a.csv")], first, ingestion=1, **told)
    assert master_state(history) == MasterState(12, 12)
    changed = bucket(world, 2, 2, 9)
    record_ingestion(history, [taken("b.csv", 2)], [changed], ingestion=2, **told)
    assert counted_buckets(world.config, history) == [first[0], changed]
    assert master_state(history) == MasterState(14, 14)
    assert last_ingestion(history) == 2
    check_rows(world.config, history)
    assert world.query("SELECT buckets, key_file, key_bytes FROM master") == [(3, None, 0)]


def test_a_rebuild_puts_all_in_place_of_all(world: Sandbox, history: History) -> None:
    first = [bucket(world, number, 1) for number in range(3)]
    record_ingestion(history, [taken("a.csv")], first, buckets=3, ingestion=1, rebuilt=False)
    history.query("UPDATE master SET rebuilding = 1")
    new = [bucket(world, 6, 2)]
    record_ingestion(history, [taken("a.csv", 2)], new, buckets=7, ingestion=2, rebuilt=True)
    assert counted_buckets(world.config, history) == new
    assert not rebuilding(history)
    assert world.query("SELECT name, ingestion, position FROM files") == [("a.csv", 2, 0)]


def test_all_of_an_ingestion_counts_or_nothing(world: Sandbox, history: History) -> None:
    record_ingestion(
        history, [taken("a.csv")], [bucket(world, 0, 1)], buckets=3, ingestion=1, rebuilt=False
    )
    before = "\n".join(history.connection.iterdump())
    broken = replace(taken("c.csv", 2), sha256=None)
    for rebuilt in (False, True):
        with pytest.raises(sqlite3.IntegrityError):
            record_ingestion(
                history,
                [taken("b.csv", 2), broken],
                [bucket(world, 0, 2), bucket(world, 1, 2)],
                buckets=9,
                ingestion=2,
                rebuilt=rebuilt,
            )
        assert "\n".join(history.connection.iterdump()) == before


def test_without_rows_no_number_of_buckets_is_on_record(world: Sandbox, history: History) -> None:
    refused = TakenFile("a.csv", 9, 1, "ab", "is no table")
    record_ingestion(history, [refused], [], buckets=3, ingestion=1, rebuilt=False)
    assert world.query("SELECT buckets, rows, bytes FROM master") == [(None, 0, 0)]
    for engine in (POOL, {**POOL, "buckets": 9}, None):
        world.configure(engine=engine)
        check_rows(world.config, history)


@pytest.mark.parametrize("wrong", ["gone", "shorter", "longer", "a folder"])
def test_a_bucket_that_is_not_as_on_record_is_told(
    world: Sandbox, history: History, wrong: str
) -> None:
    told = [bucket(world, 0, 1), bucket(world, 1, 1)]
    record_ingestion(history, [taken("a.csv")], told, buckets=3, ingestion=1, rebuilt=False)
    history.query("UPDATE files SET reported_at = 'now'")
    check_buckets(world.config, history)
    path = told[1].path
    path.unlink()
    if wrong == "a folder":
        path.mkdir()
    elif wrong != "gone":
        path.write_bytes(b"x" * (4 if wrong == "shorter" else 6))
    message = f"{path} is gone, or not what is on record; run `python ingestion.py --rebuild`"
    for check in (check_buckets, check_rows, work_waits):
        with pytest.raises(HistoryError) as caught:
            check(world.config, history)
        assert str(caught.value).startswith(message)


def test_the_number_of_buckets_and_the_kind_are_checked(world: Sandbox, history: History) -> None:
    told = [bucket(world, 0, 1)]
    record_ingestion(history, [taken("a.csv")], told, buckets=3, ingestion=1, rebuilt=False)
    check_rows(world.config, history)
    world.configure(engine={**POOL, "buckets": 4})
    for check in (check_rows, work_waits):
        with pytest.raises(HistoryError, match='put "buckets": 3 back into "engine", or run'):
            check(world.config, history)
    world.configure(engine=None)
    for check in (check_rows, work_waits):
        with pytest.raises(HistoryError, match="keeps them in finaldata"):
            check(world.config, history)


def test_files_of_buckets_are_told_by_their_names(world: Sandbox) -> None:
    assert bucket_files(world.config) == []
    folder = world.config.buckets_path
    folder.mkdir(parents=True)
    ours = {
        *("00000-000001.parquet", "00003-000012-0badcafe.parquet", "10000-1000000-0a.parquet"),
        *(".00003-000012-0badcafe.parquet.tmp", ".00003-000012.parquet.77.7f00.tmp"),
    }
    theirs = ("notes.txt", ".nfs00000001", "00003.parquet", "x-00003-000012-0b.parquet", ".tmp")
    for name in (*ours, *theirs):
        (folder / name).write_bytes(b"")
    assert {path.name for path in bucket_files(world.config)} == ours


def test_rows_that_no_history_knows_of_are_told(world: Sandbox, history: History) -> None:
    check_lost(world.config, history)
    world.write("ingesteddata/finaldata.csv", [])
    world.write("ingesteddata/buckets/.00000-000001-ab.parquet.tmp", "x")
    check_lost(world.config, history)  # no rows
    world.write("ingesteddata/finaldata.csv", client_rows(0, 1))
    with pytest.raises(HistoryError, match=r"finaldata.csv has rows that history.db knows nothing"):
        check_lost(world.config, history)
    (world.config.finaldata_path).unlink()
    bucket(world, 0, 1)
    with pytest.raises(HistoryError, match="buckets has rows that"):
        check_lost(world.config, history)
    key_seed(history)
    check_lost(world.config, history)  # what a run left that was killed


@needs_engine
def test_columns_in_other_roles_are_told(world: Sandbox, tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from pipeline.buckets import arrow_schema

    schema = world.config.schema
    path = tmp_path / "x.parquet"
    pq.write_table(pa.Table.from_pylist([], arrow_schema(schema)), path)
    told = [Bucket(0, path, 0, 0)]
    check_columns(told, schema)
    check_columns([], schema._replace(numeric=()))
    for other in (
        schema._replace(numeric=schema.numeric[::-1]),
        schema._replace(numeric=schema.numeric[1:], categorical=schema.numeric[:1]),
        schema._replace(client="who"),
        schema._replace(numeric=(*schema.numeric, "#row")),
    ):
        with pytest.raises(HistoryError, match="or gives one another role; run"):
            check_columns(told, other)


def test_an_engine_whose_packages_are_missing_is_one_clear_error(
    world: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    world.write("sourcedata/a.csv", client_rows(0, 5))
    for args in ((), ("--rebuild",)):
        result = world.run("ingestion", *args)
        assert (result.code, result.out) == (1, "")
        assert result.err.startswith(
            'error: "engine": "pool" needs more packages: pip install -r'
            " pipeline/requirements-dask.txt ("
        )
    world.configure(engine=None)  # the rebuild was not begun
    assert json.loads(world.run("ingestion", "--json").out)["added"] == 5
