"""Sums of columns: whatever the parts, they add up to what numpy and pandas say of the whole."""

# ruff: noqa: I001, the first import decides whether there are others
import needsengine  # noqa: F401

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from modelling import MIXED
from storeworlds import kept_rows, messy_table, opened

from pipeline.bucketstore import BucketStore
from pipeline.columnsums import ColumnSums, Moments, _moments, all_sums, column_sums
from pipeline.engine import InProcess
from pipeline.schema import LARGEST_NUMBER, Schema

NUMBERS = st.floats(-LARGEST_NUMBER, LARGEST_NUMBER) | st.just(np.nan) | st.floats(-9, 9)


def added(parts: Sequence[Sequence[float]]) -> Moments:
    found = Moments()
    for part in parts:
        found = found.plus(_moments(np.array(part, "float64")))
    return found


@given(st.lists(st.lists(NUMBERS, max_size=9), max_size=6))
def test_moments_of_parts_add_up_to_those_of_the_whole(parts: list[list[float]]) -> None:
    found = added(parts)
    values = np.array([v for part in parts for v in part if not np.isnan(v)])
    assert found.count == len(values)
    if len(values):
        largest = np.abs(values).max()
        assert found.mean == pytest.approx(values.mean(), rel=1e-14, abs=1e-14 * largest)
        squares = ((values - values.mean()) ** 2).sum()
        assert found.squares == pytest.approx(squares, rel=1e-12, abs=1e-26 * largest**2)


@pytest.mark.parametrize("size", [1, 7, 1000])
@pytest.mark.parametrize("offset", [0.0, 1e9, -3e12])
def test_the_spread_of_numbers_that_hardly_differ_is_exact(offset: float, size: int) -> None:
    values = offset + np.random.default_rng(1).normal(size=3000) * max(1e-6 * abs(offset) ** 0.5, 1)
    found = added([values[i : i + size].tolist() for i in range(0, 3000, size)])
    exact = ((values - offset) - (values - offset).mean()) @ (values - offset)
    assert found.squares == pytest.approx(exact, rel=1e-11)


def test_numbers_that_are_all_the_same_have_no_spread_and_their_own_mean() -> None:
    found = added([[], [0.1] * 3, [np.nan], [0.1] * 7, []])
    assert (found.count, found.mean) == (10, 0.1)
    assert found.squares < 1e-30


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return messy_table(700).drop_duplicates()


@pytest.fixture(scope="module", params=[1, 6])
def store(
    table: pd.DataFrame, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> BucketStore:
    """The table in one bucket and in six, of files that came in one after the other."""
    root = tmp_path_factory.mktemp("sums") / "world"
    config = kept_rows(root, [table[:300], table[300:]], MIXED, request.param)
    with opened(config) as made:
        assert isinstance(made, BucketStore)
        return BucketStore(config, InProcess(), made.buckets)


@pytest.mark.parametrize("labelled", [False, True])
@pytest.mark.parametrize("without", [(), ("c7", "c14", "nobody")])
def test_every_row_asked_for_is_counted_once(
    store: BucketStore, table: pd.DataFrame, labelled: bool, without: tuple[str, ...]
) -> None:
    rows = table[~table["client"].isin(without)]
    rows = rows[rows["left"].notna()] if labelled else rows
    parts = store.rows(labelled=labelled, without=without)
    assert_sums(all_sums(map(column_sums, parts), MIXED), rows, MIXED)


def assert_sums(found: ColumnSums, rows: pd.DataFrame, schema: Schema) -> None:
    left = rows[schema.outcome]
    assert (found.rows, found.known, found.left) == (len(rows), left.notna().sum(), left.sum())
    for column, moments in zip(schema.numeric, found.numbers, strict=True):
        values = rows[column].dropna()
        assert moments.count == len(values)
        assert moments.mean == pytest.approx(values.mean(), rel=1e-14)
        assert moments.squares == pytest.approx(values.var(ddof=0) * len(values), rel=1e-13)
    for column, counts in zip(schema.categorical, found.categories, strict=True):
        assert counts == Counter(rows[column])


def test_a_part_may_be_empty_or_lack_a_column(tmp_path: Path) -> None:
    """Every client has a bucket of its own, and one each has no number, no outcome, no category."""
    table = pd.DataFrame(
        {
            "client": list("abcdefgh"),
            "age": [1.0, np.nan, 3, 4, 5, 6, 7, 9],
            "balance": np.nan,
            "place": pd.Series(["x", "x", "", "y", "x", "y", "x", "x"], dtype="str"),
            "kind": "",
            "left": [1, 0, 1, np.nan, 0, 0, 0, 1],
        }
    )
    with opened(kept_rows(tmp_path / "a", [table], MIXED, 97)) as store:
        assert isinstance(store, BucketStore)
        assert len(store.buckets) > 5
        found = all_sums(map(column_sums, store.rows(labelled=True)), MIXED)
        none = all_sums(map(column_sums, store.rows(without=table["client"])), MIXED)
    assert (found.rows, found.left) == (7, 3)
    assert found.numbers[0].count == 6
    assert found.numbers[0].mean == pytest.approx(31 / 6, rel=1e-15)
    assert found.numbers[1] == Moments()
    assert found.categories == ({"x": 5, "": 1, "y": 1}, {"": 7})
    assert none == all_sums([], MIXED)
