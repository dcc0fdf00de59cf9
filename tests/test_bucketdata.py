"""What a model learns from in buckets: samples, what is usual, the reference."""

# ruff: noqa: I001, the first import decides whether there are others
import needsengine  # noqa: F401

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from modelling import MIXED
from storeworlds import kept_rows, messy_table, opened

from pipeline import bucketdata
from pipeline.bucketdata import BucketData
from pipeline.config import Config
from pipeline.estimators import fit_model
from pipeline.features import usual_row
from pipeline.models import pickled
from pipeline.reference import LARGEST_SAMPLE, reference_from, reference_object, reference_of


@contextmanager
def data_of(config: Config) -> Iterator[BucketData]:
    with opened(config) as store:
        data = store.training_data()
        assert isinstance(data, BucketData)
        yield data


def learned_rows(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows that a model learns from, as they are on record."""
    return frame[frame["left"].notna()].drop_duplicates().reset_index(drop=True)


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What was said of learning."""
    return [r.getMessage() for r in caplog.records if r.name == "pipeline.bucketdata"]


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of more than 300 rows a sample is checked, of more than 400 boosted trees learn from one."""
    monkeypatch.setattr(bucketdata, "MOST_CHECKED", 300)
    monkeypatch.setattr(bucketdata, "MOST_BOOSTED", 400)


def test_up_to_the_limit_the_sample_is_all_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = messy_table(500)
    rows = learned_rows(frame)
    config = kept_rows(tmp_path / "a", [frame], MIXED, 3)
    monkeypatch.setattr(bucketdata, "MOST_CHECKED", len(rows))
    with data_of(config) as data:
        pd.testing.assert_frame_equal(data.sample, rows)
    monkeypatch.setattr(bucketdata, "MOST_CHECKED", len(rows) - 1)
    with data_of(config) as data:
        assert len(data.sample) == len(rows) - 1


@pytest.mark.usefixtures("few")
def test_a_sample_is_of_the_rows_in_their_order_with_outcomes_in_proportion(tmp_path: Path) -> None:
    frame = messy_table(2000)
    rows = learned_rows(frame)
    rows["left"] = (np.arange(len(rows)) % 10 == 0).astype("float64")
    with data_of(kept_rows(tmp_path / "a", [rows[:700], rows[700:]], MIXED, 4)) as data:
        sample = data.sample
    assert len(sample) == 300
    assert sample["left"].sum() == 30
    keys = [tuple(row) for row in rows.fillna(-1).itertuples(index=False)]
    places = [keys.index(tuple(row)) for row in sample.fillna(-1).itertuples(index=False)]
    assert places == sorted(set(places))
    assert 70 < sum(place < 700 for place in places) < 150  # of both files, evenly
    # and of each outcome evenly
    assert np.mean([place for place in places if place % 10 == 0]) == pytest.approx(900, abs=300)


@pytest.mark.usefixtures("few")
def test_the_same_rows_are_drawn_whatever_the_buckets(tmp_path: Path) -> None:
    samples, boosters = [], []
    for buckets in (1, 5):
        config = kept_rows(tmp_path / str(buckets), [messy_table(700)], MIXED, buckets)
        with data_of(config) as data:
            samples.append(data.sample)
            boosters.append(pickled(data.fit("boosting", 4)))
    pd.testing.assert_frame_equal(*samples)
    assert boosters[0] == boosters[1]


@pytest.mark.parametrize(("leavers", "drawn"), [(1, 1), (2, 1), (39, 4), (2999, 299), (2960, 296)])
def test_a_rare_outcome_is_never_missed(
    leavers: int, drawn: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever it is: a draw of all rows alike would miss it nine times in ten."""
    monkeypatch.setattr(bucketdata, "MOST_CHECKED", 300)
    rows = pd.DataFrame(
        {"client": [f"c{i}" for i in range(3000)], "age": 1.0, "balance": 2.0, "place": "x"}
    ).assign(kind="a")
    for seed in range(3):
        places = np.random.default_rng(seed).permutation(3000) < leavers
        config = kept_rows(tmp_path / str(seed), [rows.assign(left=1 * places)], MIXED, 2)
        with data_of(config) as data:
            assert (len(data.sample), data.sample["left"].sum()) == (300, drawn)


def test_shares_draw_enough_and_hardly_more() -> None:
    assert bucketdata._share(0, 0) == 1
    assert bucketdata._share(50, 60) == 1
    for wanted, rows in ((1, 10**6), (100, 10**6), (10**4, 10**8), (10**6, 10**9)):
        expected = bucketdata._share(wanted, rows) * rows
        assert expected - 6 * expected**0.5 > wanted - 20  # chance leaves enough of them
        assert expected < 1.01 * wanted + 10 * wanted**0.5 + 31


@pytest.mark.usefixtures("few")
def test_boosted_trees_learn_from_a_sample_and_say_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "pipeline.bucketdata")
    frame = messy_table(700)
    rows = len(learned_rows(frame))
    with data_of(kept_rows(tmp_path / "a", [frame], MIXED, 3)) as data:
        assert (data.learned("logistic"), data.learned("boosting")) == (rows, 400)
        found = data.fit("boosting", 4)
        learned = data._gathered(400)
        assert said(caplog) == [
            f"boosted trees learn from 400 of {rows} labelled rows, a sample stratified by outcome"
        ]
        data.fit("logistic", 0)
    assert len(said(caplog)) == 1
    assert len(learned) == 400
    assert pickled(found) == pickled(fit_model("boosting", learned, MIXED, 4))


def test_trees_of_few_rows_are_those_of_one_process(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "pipeline.bucketdata")
    frame = messy_table(300)
    with data_of(kept_rows(tmp_path / "a", [frame], MIXED, 3)) as data:
        found = data.fit("boosting", 4)
    assert pickled(found) == pickled(fit_model("boosting", learned_rows(frame), MIXED, 4))
    assert said(caplog) == []


@pytest.mark.usefixtures("few")
def test_what_is_usual_is_that_of_all_rows(tmp_path: Path) -> None:
    frame = messy_table(700)
    frame["kind"] = ["z", "a", "b"] * 233 + ["z"]  # as many of each, or about
    rows = learned_rows(frame)
    with data_of(kept_rows(tmp_path / "a", [frame], MIXED, 3)) as data:
        assert data.usual(None) == data.usual([0.0, 0.0]) == usual_row(rows, MIXED)


def test_of_equally_frequent_categories_the_first_by_name_is_usual(tmp_path: Path) -> None:
    rows = pd.DataFrame({"client": list("abcd"), "age": 1.0, "balance": 2.0, "left": [0, 1, 0, 1]})
    rows = rows.assign(place=["y", "x", "y", "x"], kind=["b", "", "", "b"])
    with data_of(kept_rows(tmp_path / "a", [rows], MIXED, 3)) as data:
        assert data.usual(None).texts == ["x", ""]


@pytest.mark.usefixtures("few")
def test_the_reference_of_a_sample_counts_all_rows(tmp_path: Path) -> None:
    frame = messy_table(700)
    rows = learned_rows(frame)
    risk = np.linspace(0, 1, 300)
    with data_of(kept_rows(tmp_path / "a", [frame], MIXED, 3)) as data:
        found, sample = data.reference(risk, 2), data.sample
    whole, drawn = (reference_of(f, risk, MIXED, 2) for f in (rows, sample))
    assert found.categories == whole.categories
    assert found.risk == drawn.risk
    assert found.numbers == drawn.numbers  # fewer values than are kept of many rows
    assert reference_from(json.loads(json.dumps(reference_object(found)))) == found


def test_the_reference_of_many_rows_can_be_read_though_a_column_is_hardly_known(
    tmp_path: Path,
) -> None:
    count = 12_000
    rows = pd.DataFrame({"client": [f"c{i}" for i in range(count)]})
    rows["age"] = np.where(np.arange(count) % 3 == 0, np.arange(count), np.nan)
    rows["balance"] = np.arange(count) * 1.0
    rows = rows.assign(place="x", kind="a", left=np.arange(count) % 3 == 0)
    rows["left"] = rows["left"].astype(int)
    with data_of(kept_rows(tmp_path / "a", [rows], MIXED, 3)) as data:
        found = data.reference(np.linspace(0, 1, 10_000), 0)
    age, balance = found.numbers["age"], found.numbers["balance"]
    assert len(age.sample) == age.rows - age.missing < LARGEST_SAMPLE  # all as in the sample
    assert age.rows == 10_000
    assert (len(balance.sample), balance.rows, balance.missing) == (LARGEST_SAMPLE, count, 0)
    assert reference_from(json.loads(json.dumps(reference_object(found)))) == found
