from pathlib import Path

import pytest
from conftest import HEADER, Sandbox, client_rows
from pandas.testing import assert_frame_equal

from pipeline import ledger
from pipeline.errors import HistoryError
from pipeline.history import History
from pipeline.master import Master, read_master, read_spans
from pipeline.schema import DEFAULT_SCHEMA, Schema

REBUILD = "run `python ingestion.py --rebuild` to make it again from the input folder"
A, B, C = "a,1,2,3,0", "b,1,2,3,1", "c,,,,"


def opened(path: Path, size: int = 0) -> Master:
    return Master(path, DEFAULT_SCHEMA, size)


def text(*rows: str) -> str:
    return "".join(f"{line}\n" for line in (HEADER, *rows))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "out/finaldata.csv"


def test_a_new_master_has_the_header_only(path: Path) -> None:
    with opened(path) as master:
        assert (master.rows, master.size) == (0, len(HEADER) + 1)
    assert path.read_text() == text()


def test_rows_are_written_in_the_order_they_come(path: Path) -> None:
    with opened(path) as master:
        for row in (B, A, C):
            master.append(row)
        assert (master.rows, master.size) == (3, len(text(A, B, C)))
    assert path.read_text() == text(B, A, C)


def test_the_same_row_is_written_once(path: Path) -> None:
    with opened(path) as master:
        assert master.append(A) is not None
        assert master.append(A) is None
        assert master.rows == 1
    assert path.read_text() == text(A)


def test_a_row_of_an_earlier_run_is_known(path: Path) -> None:
    path.parent.mkdir()
    path.write_text(text(A, B))
    with opened(path, len(text(A, B))) as master:
        assert [master.append(row) is None for row in (B, C, A)] == [True, False, True]
        assert master.rows == 3
    assert path.read_text() == text(A, B, C)


def test_a_torn_tail_is_cut_off(path: Path) -> None:
    path.parent.mkdir()
    path.write_text(text(A, B) + "c,1,2")
    with opened(path, len(text(A))) as master:
        assert (master.rows, master.size) == (1, len(text(A)))
        assert master.append(B) is not None
    assert path.read_text() == text(A, B)


def test_without_anything_on_record_it_begins_anew(path: Path) -> None:
    path.parent.mkdir()
    path.write_text("whatever a killed run left\n" * 10)
    with opened(path) as master:
        master.append(A)
    assert path.read_text() == text(A)


def test_what_is_taken_back_can_come_again(path: Path) -> None:
    with opened(path) as master:
        master.append(A)
        size = master.size
        keys = [key for row in (B, A, C) if (key := master.append(row))]
        master.take_back(size, keys)
        assert (master.rows, master.size) == (1, size)
        assert [master.append(row) is None for row in (A, C)] == [True, False]
    assert path.read_text() == text(A, C)


def test_a_master_that_is_gone_is_told(path: Path) -> None:
    with pytest.raises(HistoryError) as caught:
        opened(path, 1234)
    assert str(caught.value) == f"{path} is gone, though 1,234 bytes of it are on record; {REBUILD}"


def test_a_master_that_is_too_short_is_told_and_left_alone(path: Path) -> None:
    path.parent.mkdir()
    path.write_text(text(A))
    with pytest.raises(HistoryError) as caught:
        opened(path, 1234)
    assert str(caught.value) == (
        f"{path} has {len(text(A))} bytes where 1,234 are on record; {REBUILD}"
    )
    assert path.read_text() == text(A)


def test_a_master_with_other_columns_is_told_and_left_alone(path: Path) -> None:
    path.parent.mkdir()
    path.write_text(text(A))
    with pytest.raises(HistoryError) as caught:
        Master(path, Schema("id", "left", ("age",)), 20)
    assert str(caught.value) == (
        f"{path} has the columns {HEADER}; config.json says id,age,left; {REBUILD}"
    )
    assert path.read_text() == text(A)


def test_a_long_name_of_any_characters_is_one_row(path: Path) -> None:
    rows = [f"line{c}break {'x' * 5000},1,2,3,0" for c in "\u2028\u2029\x85\x0b\x0c\x1c\t"]
    with opened(path) as master:
        for row in rows:
            master.append(row)
        size = master.size
    with opened(path, size) as master:
        assert master.rows == len(rows)
        assert [master.append(row) for row in rows] == [None] * len(rows)


def test_all_rows_on_record_are_read_in_order(source: Sandbox) -> None:
    source.run("ingestion")
    with History(source.config.history_path) as history:
        frame = read_master(source.config, history)
    assert list(frame.columns) == HEADER.split(",")
    assert frame["corporation"].tolist() == [f"client{i:05d}" for i in range(120)]


def test_only_the_columns_asked_for_are_read(source: Sandbox) -> None:
    source.run("ingestion")
    with History(source.config.history_path) as history:
        frame = read_master(source.config, history)
        part = read_master(source.config, history, ("exited", "lastyear_activity"))
    assert_frame_equal(part, frame[["exited", "lastyear_activity"]])


def test_a_tail_that_is_not_on_record_is_not_read(source: Sandbox) -> None:
    source.run("ingestion")
    with source.config.finaldata_path.open("a") as file:
        file.write("torn,1,2,3,0\ntor")
    with History(source.config.history_path) as history:
        frame = read_master(source.config, history)
    assert len(frame) == 120
    assert frame["corporation"].tolist()[-1] == "client00119"


def test_before_the_first_ingestion_there_is_nothing_to_read(sandbox: Sandbox) -> None:
    config = sandbox.config
    with (
        History(config.history_path) as history,
        pytest.raises(HistoryError) as caught,
    ):
        read_master(config, history)
    assert (
        str(caught.value) == f"{config.finaldata_path} has no rows yet: run `python ingestion.py`"
    )


def test_a_reader_tells_that_the_master_is_gone(source: Sandbox) -> None:
    source.run("ingestion")
    source.config.finaldata_path.unlink()
    with (
        History(source.config.history_path) as history,
        pytest.raises(HistoryError, match=r"finaldata\.csv is gone, though 2,949 bytes of it"),
    ):
        read_master(source.config, history)


def test_a_master_that_is_being_rebuilt_is_not_read(source: Sandbox) -> None:
    source.run("ingestion")
    with History(source.config.history_path) as history:
        ledger.begin_rebuild(history)
        # as a rebuild leaves it that was killed before the ledger knew of the new file
        rows = client_rows(500, 10) + client_rows(0, 120)
        source.config.finaldata_path.write_text(text(*rows))
        with pytest.raises(HistoryError):
            read_master(source.config, history)


def test_the_rows_between_some_bytes_are_read_in_order(sandbox: Sandbox) -> None:
    rows = ["a\u2028b,1,2,3,0", '"c, ""d""",1,2,3,1', "e,,,,", "f,1,2,3,1"]
    path = sandbox.write("ingesteddata/finaldata.csv", rows)
    places = [path.read_bytes().index(row.encode()) for row in rows]
    frame = read_spans(sandbox.config, [(places[3], path.stat().st_size), (places[0], places[2])])
    assert frame["corporation"].tolist() == ["f", "a\u2028b", 'c, "d"']
    assert frame["exited"].tolist() == [1, 0, 1]


def test_no_bytes_are_no_rows(sandbox: Sandbox) -> None:
    sandbox.write("ingesteddata/finaldata.csv", [A])
    assert read_spans(sandbox.config, []).empty
    assert read_spans(sandbox.config, [(50, 50)]).empty
