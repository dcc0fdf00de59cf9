"""What `finaldata.csv` must hold, and reading it."""

import math
from pathlib import Path

import pytest
from sandbox import HEADER

from pipeline.core.errors import HistoryError
from pipeline.core.schema import DEFAULT_SCHEMA, Schema, csv_line
from pipeline.data.frames import frame_of
from pipeline.models.cross_validation import MAX_CHECKED
from pipeline.observations.master import ClientRows, Master, check_rows, open_master
from pipeline.storage import ledger, master
from pipeline.storage.database import History
from pipeline.storage.ledger import MasterState

NUMBERS = ("1", "2", "3", "")
REBUILD = "run `python ingestion.py --rebuild` to rebuild it from the input folder"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "finaldata.csv"


def written(path: Path, rows: list[str], tail: str = "") -> Master:
    """A file with these rows on record, and something behind them."""
    text = "".join(f"{line}\n" for line in (HEADER, *rows))
    path.write_text(text + tail)
    return Master(path, DEFAULT_SCHEMA, len(rows), len(text.encode()))


def recorded(history: History, found: Master) -> None:
    ledger.record_files(history, [], MasterState(found.rows, found.size))


# --- opening it ---


def test_what_is_on_record_is_opened(history: History, path: Path) -> None:
    rows = written(path, ["a,1,2,3,0", "b,1,2,3,1"], tail="torn,1")
    recorded(history, rows)
    assert open_master(path, DEFAULT_SCHEMA, history) == rows


def test_before_the_first_ingestion_there_is_nothing_to_read(history: History, path: Path) -> None:
    with pytest.raises(HistoryError) as caught:
        open_master(path, DEFAULT_SCHEMA, history)
    assert str(caught.value) == f"{path} has no rows yet: run `python ingestion.py`"


def test_a_master_that_is_being_rebuilt_is_not_read(history: History, path: Path) -> None:
    recorded(history, written(path, ["a,1,2,3,0"]))
    ledger.begin_rebuild(history)
    with pytest.raises(HistoryError) as caught:
        open_master(path, DEFAULT_SCHEMA, history)
    assert str(caught.value) == f"{path} is being rebuilt; run `python ingestion.py` to finish"


def test_a_master_that_is_gone_or_too_short_is_not_read(history: History, path: Path) -> None:
    recorded(history, written(path, ["a,1,2,3,0"]))
    path.write_bytes(b"")
    with pytest.raises(HistoryError) as caught:
        open_master(path, DEFAULT_SCHEMA, history)
    assert str(caught.value) == f"{path} has 0 bytes where 86 are on record; {REBUILD}"
    path.unlink()
    with pytest.raises(HistoryError) as caught:
        open_master(path, DEFAULT_SCHEMA, history)
    assert str(caught.value) == f"{path} is gone, though 86 bytes of it are on record; {REBUILD}"


def test_a_master_with_other_columns_is_not_read(history: History, path: Path) -> None:
    recorded(history, written(path, ["a,1,2,3,0"]))
    with pytest.raises(HistoryError) as caught:
        open_master(path, Schema("id", "left", ("age",)), history)
    assert str(caught.value) == (
        f"{path} has the columns {HEADER}; config.json says id,age,left; {REBUILD}"
    )


def test_rows_that_an_earlier_version_kept_in_buckets_are_made_again_by_a_rebuild(
    history: History, path: Path
) -> None:
    rows = written(path, ["a,1,2,3,0"])
    recorded(history, rows)
    history.query("UPDATE master SET buckets = 16")
    with pytest.raises(HistoryError) as caught:
        check_rows(path, history)
    assert str(caught.value) == (
        f"{history.place} is of an earlier version that kept the rows in"
        f" {path.parent / 'buckets'}; {REBUILD}, then delete that folder"
    )
    ledger.replace_files(history, [], MasterState(rows.rows, rows.size))
    check_rows(path, history)


# --- reading it ---


def test_rows_on_record_are_read_in_order_without_a_tail(path: Path) -> None:
    rows = ["b,1,2,3,0", "a,,2.5,3,", "b,1,2,3,1"]
    frame = written(path, rows, tail="torn,1,2,3,0\ntor").frame
    assert list(frame.columns) == HEADER.split(",")
    assert frame["corporation"].tolist() == ["b", "a", "b"]
    assert written(path, rows).frame.equals(frame)
    assert frame_of(path, DEFAULT_SCHEMA, DEFAULT_SCHEMA.columns).equals(frame)


def test_the_rows_between_some_bytes_are_read_in_order(path: Path) -> None:
    rows = ["a\u2028b,1,2,3,0", '"c, ""d""",1,2,3,1', "e,,,,", "f,1,2,3,1"]
    found = written(path, rows)
    places = [path.read_bytes().index(row.encode()) for row in rows]
    frame = found.read_spans([(places[3], found.size), (places[0], places[2])])
    assert frame["corporation"].tolist() == ["f", "a\u2028b", 'c, "d"']
    assert frame["exited"].tolist() == [1, 0, 1]
    assert found.read_spans([]).empty
    assert found.read_spans([(50, 50)]).empty


# --- what is asked of the rows ---


def test_missing_numbers_are_left_out_of_the_summary(path: Path) -> None:
    table = written(path, ["a,1,5,,0", "b,3,5,,", "c,,5,,1"]).summary()
    assert table.loc["lastmonth_activity"].tolist() == [2, 2, pytest.approx(math.sqrt(2))]
    assert table.loc["lastyear_activity"].tolist() == [5, 5, 0]
    assert table.loc["number_of_employees"].isna().all()


def test_the_percent_missing_is_of_every_column(tmp_path: Path) -> None:
    path, schema = tmp_path / "finaldata.csv", Schema("id", "left", ("age",), ("land",))
    path.write_text("id,age,land,left\na,1,x,0\nb,,,1\nc,,y,\nd,4,z,\n")
    assert Master(path, schema, 4, path.stat().st_size).missing() == {
        "id": 0,
        "age": 50,
        "land": 25,
        "left": 50,
    }


def test_training_data_are_the_labelled_rows_but_for_some_clients(path: Path) -> None:
    found = written(path, ["a,1,2,3,0", "b,1,2,3,", "c,1,2,3,1", "a,4,2,3,1"])
    assert found.training_data().frame["corporation"].tolist() == ["a", "c", "a"]
    assert found.training_data(without=["a"]).frame["corporation"].tolist() == ["c"]


def test_of_many_rows_a_sample_is_cross_validated(path: Path) -> None:
    data = written(
        path, [f"c{i},{i},2,3,{i % 2}" for i in range(2 * MAX_CHECKED + 1)]
    ).training_data()
    assert data.rows == 2 * MAX_CHECKED + 1
    assert MAX_CHECKED / 2 < len(data.sample) <= MAX_CHECKED


# --- the rows of one client ---


def rows_of(path: Path, rows: list[str], client: str) -> list[tuple[str, ...]]:
    return list(written(path, rows).client_rows(client).rows)


def test_the_rows_of_a_client_come_oldest_first_as_they_were_written(path: Path) -> None:
    rows = ["a,1,2.5,3,0", "b,7,7,7,1", "a,,2.5,3,", "a,1,1e+20,3,1"]
    assert written(path, rows).client_rows("a") == ClientRows(
        columns=tuple(HEADER.split(",")),
        rows=(
            ("a", "1", "2.5", "3", "0"),
            ("a", "", "2.5", "3", ""),
            ("a", "1", "1e+20", "3", "1"),
        ),
        total=3,
    )


def test_of_many_rows_the_last_are_returned_and_how_many_there_are(path: Path) -> None:
    found = written(path, [f"{'ab'[i % 2]},{i},2,3,0" for i in range(500)])
    result = found.client_rows("b")
    assert [row[1] for row in result.rows] == [str(i) for i in range(301, 500, 2)]
    assert result.total == 250
    assert [row[1] for row in found.client_rows("a", limit=2).rows] == ["496", "498"]


@pytest.mark.parametrize(
    "name",
    [
        *("a", "ab", "a b", "b", '"', '""', '"a"', "a,1", ",", 'The "Best", Ltd', "株式会社", "é"),
        *("=1+1", "'a", "a\u2028b", "corporation"),
    ],
)
def test_a_name_is_not_taken_for_one_that_looks_like_it(path: Path, name: str) -> None:
    other = ["a", "ab", "abc", "a b", "ba", "aa", 'a"', "A", "株式", "x a"]
    rows = [csv_line((each, *NUMBERS)) for each in (*other, name, *other[::-1]) if each != name]
    assert rows_of(path, rows, name) == []
    assert rows_of(path, [*rows, csv_line((name, *NUMBERS)), *rows], name) == [(name, *NUMBERS)]


def test_the_first_and_the_last_row_are_found_and_no_tail(path: Path) -> None:
    found = written(path, ["a,1,2,3,0", "b,1,2,3,0", "c,1,2,3,1"], tail="a,4,5,6,1\nd,1,2,3,0\na,1")
    assert [found.client_rows(name).total for name in "abcd"] == [1, 1, 1, 0]


@pytest.mark.parametrize("name", ["a\nb", "nobody\n", "", " a", "a ", "\udce9", "1"])
def test_a_name_that_no_client_can_have_is_not_found(path: Path, name: str) -> None:
    assert rows_of(path, ["a,1,2,3,0", "b,1,2,3,0"], name) == []


@pytest.mark.parametrize("block", [1, 7, 12, 13, 14, 64])
def test_wherever_the_file_is_cut_into_blocks_every_row_is_found_once(
    path: Path, monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    monkeypatch.setattr(master, "SEARCH_BLOCK", block)
    rows = [f"{'abc'[i % 3]},{i},2,3,0" for i in range(60)]
    found = written(path, rows, tail="a,60,2,3,0\n").client_rows("a")
    assert [row[1] for row in found.rows] == [str(i) for i in range(0, 60, 3)]
