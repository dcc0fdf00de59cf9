"""What `finaldata.csv` must hold, and reading it."""

import math
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from sandbox import HEADER

from pipeline.core.errors import HistoryError
from pipeline.core.schema import DEFAULT_SCHEMA, Schema, csv_line
from pipeline.data.frames import frame_of
from pipeline.data.input_files import PendingFile
from pipeline.models.cross_validation import MAX_CHECKED
from pipeline.observations.master import Master, RowsOfClient, open_master, rows_of_client
from pipeline.observations.master_files import finish, log_path
from pipeline.observations.master_writer import MasterWriter
from pipeline.storage import ledger
from pipeline.storage.database import History

NUMBERS = ("1", "2", "3", "")
REBUILD = "run `python ingestion.py --rebuild` to rebuild it from the input folder"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "finaldata.csv"


def written(
    path: Path, *files: list[str], tail: str = "", schema: Schema = DEFAULT_SCHEMA
) -> Master:
    """The rows of these files on record, numbered from 1, and something behind them."""
    path.unlink(missing_ok=True)
    with MasterWriter(path, schema) as writer:
        for number, rows in enumerate(files, 1):
            writer.append([row.encode() for row in rows])
            writer.accept(number, f"{number}.csv", "", [])
        state = writer.save()
    finish(path, state)
    if tail:
        path.write_text(path.read_text() + tail)
    return Master(path, schema, state)


def recorded(history: History, found: Master) -> None:
    ledger.record_files(history, [], found.on_record)


def pending(number: int, start: int = 0, end: int = 0) -> PendingFile:
    return PendingFile(number, f"{number}.csv", "", (start, end))


# --- opening it ---


def test_what_is_on_record_is_opened(history: History, path: Path) -> None:
    rows = written(path, ["a,1,2,3,0", "b,1,2,3,1"])
    recorded(history, rows)
    assert open_master(path, DEFAULT_SCHEMA, history) == rows


def test_before_the_first_ingestion_there_is_nothing_to_read(history: History, path: Path) -> None:
    with pytest.raises(HistoryError) as caught:
        open_master(path, DEFAULT_SCHEMA, history)
    assert str(caught.value) == f"{path} has no rows yet: run `python ingestion.py`"


@pytest.mark.parametrize("which", ["finaldata.csv", "sightings"])
@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (Path.unlink, "is gone, though {size} bytes of it are on record"),
        (lambda file: os.truncate(file, 8), "has 8 bytes where {size} are on record"),
        (
            lambda file: file.write_bytes(file.read_bytes() + b"b,1,2,3,0\n"),
            "has {longer} bytes where {size} are on record",
        ),
        (
            lambda file: file.write_bytes(file.read_bytes()[::-1]),
            "has other content than is on record",
        ),
    ],
    ids=["gone", "cut off", "longer", "changed"],
)
def test_what_another_program_changed_is_not_read(
    history: History, path: Path, which: str, change: Callable[[Path], object], fault: str
) -> None:
    found = written(path, ["a,1,2,3,0"])
    recorded(history, found)
    file = path
    if which == "sightings":
        assert found.on_record.log
        file = log_path(path, found.on_record.log.id)
    size = file.stat().st_size
    change(file)
    with pytest.raises(HistoryError) as caught:
        open_master(path, DEFAULT_SCHEMA, history)
    assert str(caught.value) == (
        f"{file} {fault.format(size=size, longer=size + 10)}: another program has changed it, or"
        " the history is not the one that belongs to it; put back what was there, or "
        "run `python ingestion.py --rebuild` to rebuild it from the input folder"
    )


def test_what_a_run_is_writing_beyond_the_record_is_no_fault(history: History, path: Path) -> None:
    rows = written(path, ["a,1,2,3,0"])
    recorded(history, rows)
    with MasterWriter(path, DEFAULT_SCHEMA, rows.on_record) as writer:
        writer.append([b"b,1,2,3,0"])
        writer.accept(2, "2.csv", "", [])
        writer.save()
        assert open_master(path, DEFAULT_SCHEMA, history).frame["corporation"].tolist() == ["a"]


def test_a_master_with_other_columns_is_not_read(history: History, path: Path) -> None:
    recorded(history, written(path, ["a,1,2,3,0"]))
    with pytest.raises(HistoryError) as caught:
        open_master(path, Schema("id", "left", ("age",)), history)
    assert str(caught.value) == (
        f"{path} has the columns {HEADER.replace(',', ', ')}; config.json says id, age, left;"
        f" {REBUILD}"
    )


# --- reading it ---


def test_rows_on_record_are_read_in_order_without_a_tail(path: Path) -> None:
    rows = ["b,1,2,3,0", "a,,2.5,3,", "b,4,2,3,1"]
    frame = written(path, rows, tail="torn,1,2,3,0\ntor").frame
    assert list(frame.columns) == HEADER.split(",")
    assert frame["corporation"].tolist() == ["b", "a", "b"]
    assert written(path, rows).frame.equals(frame)
    assert frame_of(path, DEFAULT_SCHEMA, DEFAULT_SCHEMA.columns).equals(frame)


def test_the_rows_that_files_brought_are_read_in_order(path: Path) -> None:
    rows = ["a\u2028b,1,2,3,", '"c, ""d""",1,2,3,1', "e,,,,", "f,1,2,3,1"]
    found = written(path, rows[:1], rows[1:3], rows[3:])
    frame = found.brought_by([pending(3, 3, 4), pending(1, 0, 1)])
    assert frame["corporation"].tolist() == ["a\u2028b", "f"]
    assert found.brought_by([pending(2, 1, 3)])["exited"].isna().tolist() == [False, True]
    assert found.brought_by([]).empty
    assert found.brought_by([pending(4, 4, 4)]).empty


def test_the_rows_whose_outcomes_a_file_brought_are_its_rows_too(path: Path) -> None:
    found = written(path, ["a,1,2,3,", "b,1,2,3,", "c,1,2,3,0"], ["b,1,2,3,1", "c,1,2,3,0"])
    frame = found.brought_by([pending(2, 3, 3)])
    assert (frame["corporation"].tolist(), frame["exited"].tolist()) == (["b"], [1])


def test_of_many_rows_that_files_brought_a_sample_is_evenly_spaced(path: Path) -> None:
    found = written(path, ["a,1,2,3,"], [f"b{i},1,2,3,0" for i in range(6)], ["a,1,2,3,1"])
    files = [pending(2, 1, 7), pending(3, 7, 7)]
    clients = ["a", *(f"b{i}" for i in range(6))]
    assert found.sample_of(files, 7)["corporation"].tolist() == clients
    assert found.sample_of(files, 6)["corporation"].tolist() == clients[::2]


# --- what is asked of the rows ---


def test_of_each_client_that_has_not_left_the_row_sighted_last_is_the_current_one(
    path: Path,
) -> None:
    night = ["a,1,2,3,", "b,1,2,3,0", "c,1,2,3,1", "d,1,2,3,"]
    frame = written(path, night, ["a,9,2,3,", "d,1,2,3,1"], ["a,1,2,3,"]).current()
    assert frame[["corporation", "lastmonth_activity"]].to_numpy().tolist() == [["a", 1], ["b", 1]]


def test_missing_numbers_are_left_out_of_the_summary(path: Path) -> None:
    table = written(path, ["a,1,5,,0", "b,3,5,,", "c,,5,,1"]).summary()
    assert table.loc["lastmonth_activity"].tolist() == [2, 2, pytest.approx(math.sqrt(2))]
    assert table.loc["lastyear_activity"].tolist() == [5, 5, 0]
    assert table.loc["number_of_employees"].isna().all()


def test_the_percent_missing_is_of_every_column(tmp_path: Path) -> None:
    path, schema = tmp_path / "finaldata.csv", Schema("id", "left", ("age",), ("land",))
    rows = ["a,1,x,0", "b,,,1", "c,,y,", "d,4,z,"]
    assert written(path, rows, schema=schema).missing() == {
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
    return list(rows_of_client(written(path, rows), client).rows)


def test_the_rows_of_a_client_come_as_they_were_sighted_the_latest_last(path: Path) -> None:
    rows = ["a,1,2.5,3,0", "b,7,7,7,1", "a,,2.5,3,", "a,1,1e+20,3,1"]
    found, again = rows_of_client(written(path, rows), "a"), ("a", "1", "2.5", "3", "0")
    others = (("a", "", "2.5", "3", ""), ("a", "1", "1e+20", "3", "1"))
    assert found == RowsOfClient(tuple(HEADER.split(",")), (again, *others), total=3, left=True)
    back = rows_of_client(written(path, rows, ["a,1,2.5,3,0"]), "a")
    assert back == replace(found, rows=(*others, again), left=False)


def test_of_many_rows_the_last_are_returned_and_how_many_there_are(path: Path) -> None:
    found = written(path, [f"{'ab'[i % 2]},{i},2,3,0" for i in range(500)])
    result = rows_of_client(found, "b")
    assert [row[1] for row in result.rows] == [str(i) for i in range(301, 500, 2)]
    assert result.total == 250
    assert [row[1] for row in rows_of_client(found, "a", limit=2).rows] == ["496", "498"]


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
    assert [rows_of_client(found, name).total for name in "abcd"] == [1, 1, 1, 0]


@pytest.mark.parametrize("name", ["a\nb", "nobody\n", "", " a", "a ", "\udce9", "1"])
def test_a_name_that_no_client_can_have_is_not_found(path: Path, name: str) -> None:
    assert rows_of(path, ["a,1,2,3,0", "b,1,2,3,0"], name) == []


@pytest.mark.parametrize("block", [1, 7, 12, 13, 14, 64])
def test_wherever_the_file_is_cut_into_blocks_every_row_is_found_once(
    path: Path, monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    monkeypatch.setattr("pipeline.observations.row_lines.SEARCH_BLOCK", block)
    rows = [f"{'abc'[i % 3]},{i},2,3,0" for i in range(60)]
    found = rows_of_client(written(path, rows, tail="a,60,2,3,0\n"), "a")
    assert [row[1] for row in found.rows] == [str(i) for i in range(0, 60, 3)]
