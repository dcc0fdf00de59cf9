import pytest
from conftest import HEADER, Sandbox, client_rows
from pandas.testing import assert_frame_equal

from pipeline import ledger
from pipeline.errors import HistoryError
from pipeline.history import History
from pipeline.master import read_master, read_spans

A = "a,1,2,3,0"


def text(*rows: str) -> str:
    return "".join(f"{line}\n" for line in (HEADER, *rows))


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


def test_rows_that_an_earlier_version_kept_in_buckets_are_made_again_by_a_rebuild(
    source: Sandbox,
) -> None:
    source.run("ingestion")
    with History(source.config.history_path) as history:
        history.query("UPDATE master SET buckets = 16")

    failed = source.run("fullprocess")

    assert failed.code == 1
    assert failed.err == (
        f"error: {source.config.history_path} is of an earlier version that kept the rows in"
        f" {source.root / 'ingesteddata/buckets'}; run `python ingestion.py --rebuild` to make it"
        " again from the input folder, then delete that folder\n"
    )
    assert source.run("ingestion", "--rebuild").code == 0
    assert source.run("fullprocess").code == 0
