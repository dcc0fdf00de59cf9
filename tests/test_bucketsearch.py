"""The rows of one client in buckets, also while ingestions replace them."""

import needsengine  # noqa: F401
import pyarrow.parquet as pq
import pytest
import rankworlds
from conftest import Sandbox

from pipeline import bucketmerge
from pipeline.bucketledger import counted_buckets
from pipeline.bucketsearch import client_lines
from pipeline.bucketstore import TRIES, BucketStore, ask_here
from pipeline.errors import HistoryError
from pipeline.history import History
from pipeline.rowsearch import ClientRows
from pipeline.rowsearch import client_rows as rows_of_client
from pipeline.schema import csv_line

NAMES = [
    *("a", "ab", "a b", "b", '"', '""', '"a"', "a,1", ",", 'The "Best", Ltd', "株式会社", "é"),
    *("=1+1", "'a", "a\u2028b", "corporation"),
]
NOBODY = ["nobody", "", " a", "a ", "a\nb", "\udce9", "x" * 1000]


def found(world: Sandbox, client: str, most: int = 100) -> ClientRows:
    with History(world.config.history_path) as history:
        return rows_of_client(world.config, history, client, most)


@pytest.fixture
def twins(
    sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> tuple[Sandbox, Sandbox]:
    """The same rows in a file and in buckets, of which a group has a few."""
    monkeypatch.setattr(bucketmerge, "GROUP_ROWS", 4)
    rows = [csv_line((NAMES[i % 16], str(i), "9007199254740993", "", "")) for i in range(80)]
    sandbox.write("sourcedata/a.csv", [*rows, *(f"many,{i},1.50,2,0" for i in range(250))])
    assert sandbox.run("ingestion").code == 0
    return sandbox, rankworlds.in_buckets(sandbox, tmp_path_factory.mktemp("twin") / "world", 3)


def test_what_is_found_is_what_is_found_in_the_file(twins: tuple[Sandbox, Sandbox]) -> None:
    file, buckets = twins
    for name in (*NAMES, *NOBODY, "many"):
        assert found(buckets, name) == found(file, name), name
    assert [row[1] for row in found(buckets, "many").rows] == [str(i) for i in range(150, 250)]
    assert found(buckets, "many", most=2).rows[0] == ("many", "248", "1.5", "2", "0")
    assert found(buckets, "a").rows[0][2] == "9007199254740993"


@pytest.mark.parametrize("how", ["more", "role", "client"])
def test_a_config_with_other_columns_is_told(how: str, twins: tuple[Sandbox, Sandbox]) -> None:
    _, world = twins
    schema = world.config.schema._asdict()
    last, *others = schema["numeric"]
    changed = {
        "more": {"numeric": [last, *others, "more"]},
        "role": {"numeric": others, "categorical": [last]},
        "client": {"client": "name"},
    }
    world.configure(schema=schema | changed[how])

    with pytest.raises(HistoryError, match=r"has the columns .*; config\.json says "):
        found(world, "many")


def test_only_the_bucket_of_the_client_is_read(twins: tuple[Sandbox, Sandbox]) -> None:
    _, world = twins
    with History(world.config.history_path) as history:
        for bucket in counted_buckets(world.config, history):
            names = pq.read_table(bucket.path, columns=["corporation"])[0].to_pylist()
            if "many" not in names:
                bucket.path.write_bytes(bytes(bucket.bytes))  # no reader could read it

    assert found(world, "many").total == 250


def replaced(world: Sandbox, number: int) -> None:
    """Two ingestions: the files of a bucket stay until the one after it was replaced."""
    for activity in (7, 8):
        rows = [f"many,{number},{activity},7,1"]
        world.write(f"sourcedata/{number}-{activity}.csv", rows)
        rankworlds.take_in(world)


def test_a_bucket_that_is_replaced_meanwhile_is_looked_for_again(
    twins: tuple[Sandbox, Sandbox],
) -> None:
    _, world = twins
    asked = []

    def question(store: BucketStore) -> tuple[int, list[str]]:
        asked.append(store)
        if len(asked) <= 2:
            replaced(world, len(asked))
        return client_lines(store, "many", 1)

    with History(world.config.history_path) as history:
        assert ask_here(world.config, history, question) == (254, ["many,2,8,7,1"])
    assert len(asked) == 3


def test_it_is_not_looked_for_without_end(twins: tuple[Sandbox, Sandbox]) -> None:
    _, world = twins
    asked = []

    def question(store: BucketStore) -> tuple[int, list[str]]:
        asked.append(store)
        replaced(world, len(asked))
        return client_lines(store, "many", 1)

    with History(world.config.history_path) as history, pytest.raises(FileNotFoundError):
        ask_here(world.config, history, question)
    assert len(asked) == TRIES


def test_a_bucket_that_is_gone_without_an_ingestion_is_told_at_once(
    twins: tuple[Sandbox, Sandbox],
) -> None:
    _, world = twins
    for path in (world.root / "ingesteddata/buckets").iterdir():
        path.unlink()

    with pytest.raises(HistoryError, match="is gone, or not what is on record"):
        found(world, "many")


def test_before_the_first_ingestion_that_is_told(sandbox: Sandbox) -> None:
    sandbox.configure(engine={"kind": "pool", "workers": 2})

    with pytest.raises(HistoryError, match="has no rows yet"):
        found(sandbox, "a")
