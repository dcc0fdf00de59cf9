"""Both stores side by side: whatever is asked of them, one file and buckets answer the same."""

# ruff: noqa: I001, the first import decides whether there are others
import needsengine  # noqa: F401

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import Sandbox
from modelling import MIXED
from storeworlds import kept_rows, messy_table, opened

from pipeline import bucketstore
from pipeline.config import Config
from pipeline.errors import EngineError, HistoryError
from pipeline.history import History
from pipeline.ledger import PendingFile, unjudged
from pipeline.schema import Schema
from pipeline.store import open_store

NAMES = {"client": "#c", "age": "#row", "place": "##x", "left": "#left"}
HASHED = Schema("#c", "#left", ("#row", "balance"), ("##x", "kind"))


def tables() -> dict[str, tuple[pd.DataFrame, Schema]]:
    frame = messy_table()
    alone = frame.assign(age=np.nan, balance=np.where(frame["client"] == "c7", 4.5, np.nan))
    return {
        "mixed": (frame, MIXED),
        "no numbers": (frame, Schema("client", "left", (), ("place", "kind"))),
        "no categories": (frame, Schema("client", "left", ("age", "balance"))),
        "names like ours": (frame.rename(columns=NAMES), HASHED),
        "one number, one column without any": (alone, MIXED),
        "no outcome known": (frame.assign(left=np.nan), MIXED),
    }


TABLES = tables()


@pytest.fixture(scope="module", params=TABLES)
def both(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[Config]:
    """The same three files taken in one by one: into one file, and into five buckets."""
    frame, schema = TABLES[request.param]
    files = [frame[:200], frame[150:600], frame[600:]]  # 50 rows twice
    root = tmp_path_factory.mktemp("both")
    return [kept_rows(root / str(n), files, schema, n) for n in (0, 5)]


def test_statistics_of_numbers_are_the_same(both: list[Config]) -> None:
    expected, found = (summary_of(config) for config in both)
    assert list(found.columns) == ["mean", "median", "std"]
    assert found["median"].equals(expected["median"])
    # an index of no names has another type
    pd.testing.assert_frame_equal(found, expected, rtol=1e-13, atol=0, check_index_type=False)


def summary_of(config: Config) -> pd.DataFrame:
    with opened(config) as store:
        return store.summary()


def test_shares_of_missing_values_are_the_same_to_the_last_digit(both: list[Config]) -> None:
    expected, found = (missing_in(config) for config in both)
    assert found == expected
    assert list(found) == list(expected)


def missing_in(config: Config) -> dict[str, float]:
    with opened(config) as store:
        return store.missing()


@pytest.mark.parametrize("places", [(), (0,), (1,), (2, 0), (0, 1, 2)])
def test_the_rows_of_files_are_the_same_in_the_same_order(
    both: list[Config], places: Sequence[int]
) -> None:
    expected, found = (new_rows(config, sorted(places)) for config in both)
    assert len(found) == sum(pending(both[1])[place].added for place in places)
    pd.testing.assert_frame_equal(found, expected)


def new_rows(config: Config, places: Sequence[int]) -> pd.DataFrame:
    with opened(config) as store:
        return store.new_rows([pending(config)[place] for place in places])


def pending(config: Config) -> list[PendingFile]:
    with History(config.history_path) as history:
        return unjudged(history)


@pytest.mark.parametrize("clients", [(), ("c7", "c8", "c599"), ("nobody",), ("c7", "")])
def test_the_rows_to_learn_from_are_the_same(both: list[Config], clients: Sequence[str]) -> None:
    with opened(both[0]) as one, opened(both[1]) as other:
        expected, found = one.training_data(clients), other.training_data(clients)
        assert (found.rows, found.left) == (expected.rows, expected.left)
        name = found.schema.client
        sample = expected.sample.reset_index(drop=True)
        assert not set(clients) & set(found.sample[name])
        pd.testing.assert_frame_equal(found.sample, sample)
        pd.testing.assert_frame_equal(found.head(5), sample[list(found.schema.features)].head(5))


def test_without_all_clients_nothing_is_left(both: list[Config]) -> None:
    for config in both:
        with opened(config) as store:
            data = store.training_data([f"c{i}" for i in range(600)])
            assert (data.rows, data.left) == (0, 0)


def test_before_the_first_ingestion_there_are_no_rows(sandbox: Sandbox) -> None:
    for engine in (None, {"kind": "pool", "workers": 2, "buckets": 3}):
        sandbox.configure(engine=engine)
        with pytest.raises(HistoryError) as caught, opened(sandbox.config):
            pass
        told = f"{sandbox.config.master_path} has no rows yet: run `python ingestion.py`"
        assert str(caught.value) == told


def test_here_no_engine_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.cluster.CONNECT_SECONDS", 1)
    config = kept_rows(tmp_path / "a", [messy_table()], MIXED, 3)
    engine = config.engine._replace(kind="dask", address="tcp://127.0.0.1:9")
    config = config._replace(engine=engine)
    assert len(summary_of(config)) == 2
    with (
        History(config.history_path) as history,
        pytest.raises(EngineError, match="no scheduler answers"),
        open_store(config, history),
    ):
        pass


def test_of_too_many_new_rows_the_same_ones_are_drawn_whatever_the_buckets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    frame = messy_table(3000)
    found = []
    for buckets in (1, 4):
        config = kept_rows(tmp_path / str(buckets), [frame[:1000], frame[1000:]], MIXED, buckets)
        whole = new_rows(config, [0, 1])
        with monkeypatch.context() as lower:
            lower.setattr(bucketstore, "MOST_JUDGED", 600)
            found.append(new_rows(config, [0, 1]))
    warned = [line.getMessage() for line in caplog.records if line.levelname == "WARNING"]
    assert warned == ["of 3,000 new rows, about 600 are judged, drawn evenly"] * 2
    pd.testing.assert_frame_equal(*found)
    assert 500 < len(found[0]) < 700
    rows = [tuple(row) for row in whole.fillna(-1).itertuples(index=False)]
    drawn = [tuple(row) for row in found[0].fillna(-1).itertuples(index=False)]
    kept = set(drawn)
    assert [row for row in rows if row in kept] == drawn
    from_first = len(set(rows[:1000]) & kept)
    assert 150 < from_first < 250


def test_each_bucket_is_told_of_its_own_clients_only(tmp_path: Path) -> None:
    config = kept_rows(tmp_path / "a", [messy_table()], MIXED, 4)
    clients = [f"c{i}" for i in range(100)]
    with opened(config) as store:
        assert isinstance(store, bucketstore.BucketStore)
        told = [rows.without for rows in store.rows(without=clients)]
    assert sorted(client for some in told for client in some) == sorted(clients)
    assert all(10 < len(some) < 45 for some in told)
