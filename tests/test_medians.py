"""Medians of numbers in parts: those of numpy, however few numbers a part may show."""

# ruff: noqa: I001, the first import decides whether there are others
import needsengine  # noqa: F401

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from modelling import MIXED
from storeworlds import kept_rows, messy_table, opened

from pipeline import medians as module
from pipeline.bucketstore import BucketStore
from pipeline.engine import InProcess
from pipeline.medians import Bracket, Within, _within, medians, select
from pipeline.schema import LARGEST_NUMBER

Look = Callable[[Sequence[Bracket]], list[list[Within]]]

NUMBERS = st.one_of(
    st.integers(-3, 3).map(float),  # ties
    st.floats(-LARGEST_NUMBER, LARGEST_NUMBER),
    st.sampled_from([0.0, 5e-324, -5e-324, 1e-300, LARGEST_NUMBER, -LARGEST_NUMBER]),
)


@pytest.fixture(params=[1, 2, 3, 2000], scope="module")
def most_shown(request: pytest.FixtureRequest) -> Iterator[int]:
    """How many numbers a part shows at most, or one more."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "MOST_SHOWN", request.param)
        yield request.param


def look_at(parts: Sequence[np.ndarray], looks: list[int]) -> Look:
    """A look at parts in memory, each the numbers of a single column; notes how much was shown."""

    def look(brackets: Sequence[Bracket]) -> list[list[Within]]:
        found = [[_within(part, bracket) for bracket in brackets] for part in parts]
        looks.append(max((len(one.shown) for part in found for one in part), default=0))
        return found

    return look


@pytest.mark.usefixtures("most_shown")
@given(parts=st.lists(st.lists(NUMBERS, max_size=30), min_size=1, max_size=5))
def test_every_rank_is_found(parts: list[list[float]]) -> None:
    arrays = [np.array(part, "float64") for part in parts]
    values = np.sort(np.concatenate(arrays))
    wanted = [Bracket(0, rank) for rank in range(len(values))]
    assert select(look_at(arrays, []), wanted) == values.tolist()


@pytest.mark.parametrize("order", ["by lot", "rising", "a part each"])
def test_few_looks_at_few_numbers_are_enough(order: str) -> None:
    values = np.random.default_rng(1).standard_cauchy(200_000)
    if order != "by lot":
        values.sort()
    parts = np.split(values, 8) if order == "a part each" else [values[i::8] for i in range(8)]
    looks: list[int] = []
    middle = [Bracket(0, 99_999), Bracket(0, 100_000)]
    assert select(look_at(parts, looks), middle) == np.sort(values)[99_999:100_001].tolist()
    assert len(looks) <= 3
    assert max(looks) <= module.MOST_SHOWN + 1


def test_a_number_that_most_have_is_found_at_once() -> None:
    parts = [np.repeat([1.0, 2.0, 3.0], [1000, 98_000, 1000])] * 3
    looks: list[int] = []
    assert select(look_at(parts, looks), [Bracket(0, 150_000)]) == [2.0]
    assert len(looks) <= 2


@pytest.mark.usefixtures("most_shown")
@pytest.mark.parametrize("buckets", [1, 5])
def test_medians_are_those_of_numpy_to_the_last_digit(tmp_path: Path, buckets: int) -> None:
    frame = messy_table(400).drop_duplicates()
    frame["balance"] = frame["balance"].round(-2)
    frame = frame.drop(index=frame.index[frame["client"] == "c7"])
    config = kept_rows(tmp_path / "a", [frame], MIXED, buckets)
    for rows in (frame, frame[frame["left"].notna()]):
        expected = [float(np.nanmedian(rows[column])) for column in MIXED.numeric]
        with opened(config) as store:
            assert isinstance(store, BucketStore)
            parts = store.rows(labelled=rows is not frame)
            counts = [int(rows[column].count()) for column in MIXED.numeric]
            assert medians(InProcess(), parts, counts) == expected


def test_of_no_numbers_there_is_no_median(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {"client": ["a", "b"], "age": [2.0, 3.0], "balance": np.nan, "place": "", "kind": ""}
    ).assign(left=[0, 1])
    with opened(kept_rows(tmp_path / "a", [frame], MIXED, 3)) as store:
        assert store.summary()["median"].to_list() == pytest.approx([2.5, np.nan], nan_ok=True)
