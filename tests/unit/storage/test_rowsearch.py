"""The rows of one client, looked for in the bytes of `finaldata.csv`."""

from pathlib import Path

import pytest
from sandbox import HEADER, Sandbox, client_rows

from pipeline.core.errors import HistoryError
from pipeline.core.schema import csv_line
from pipeline.storage import rowsearch
from pipeline.storage.database import History
from pipeline.storage.ledger import MasterState, begin_rebuild, record_files
from pipeline.storage.rowsearch import ClientRows

NUMBERS = ("1", "2", "3", "")


def found(world: Sandbox, client: str, most: int = 100) -> ClientRows:
    with History(world.config.history_path) as history:
        return rowsearch.client_rows(world.config, history, client, most)


def master(world: Sandbox, rows: list[str], tail: str = "") -> Path:
    """`finaldata.csv` with these rows on record, and something behind them."""
    path = world.write("ingesteddata/finaldata.csv", rows)
    with History(world.config.history_path) as history:
        record_files(history, [], MasterState(len(rows), path.stat().st_size))
    with path.open("a") as file:
        file.write(tail)
    return path


def rows_of(world: Sandbox, client: str) -> list[tuple[str, ...]]:
    return list(found(world, client).rows)


def test_the_rows_of_a_client_come_oldest_first_as_they_stand(sandbox: Sandbox) -> None:
    master(sandbox, ["a,1,2.5,3,0", "b,7,7,7,1", "a,,2.5,3,", "a,1,1e+20,3,1"])

    assert found(sandbox, "a") == ClientRows(
        columns=tuple(HEADER.split(",")),
        rows=(
            ("a", "1", "2.5", "3", "0"),
            ("a", "", "2.5", "3", ""),
            ("a", "1", "1e+20", "3", "1"),
        ),
        total=3,
    )


def test_of_many_the_last_are_told_and_how_many_there_are(sandbox: Sandbox) -> None:
    master(sandbox, [f"{'ab'[i % 2]},{i},2,3,0" for i in range(500)])

    result = found(sandbox, "b")

    assert [row[1] for row in result.rows] == [str(i) for i in range(301, 500, 2)]
    assert result.total == 250
    assert [row[1] for row in found(sandbox, "a", most=2).rows] == ["496", "498"]


@pytest.mark.parametrize(
    "name",
    [
        *("a", "ab", "a b", "b", '"', '""', '"a"', "a,1", ",", 'The "Best", Ltd', "株式会社", "é"),
        *("=1+1", "'a", "a\u2028b", "corporation"),
    ],
)
def test_names_of_all_kinds_are_told_from_those_that_look_like_them(
    sandbox: Sandbox, name: str
) -> None:
    other = ["a", "ab", "abc", "a b", "ba", "aa", 'a"', "A", "株式", "x a"]
    rows = [csv_line((each, *NUMBERS)) for each in (*other, name, *other[::-1]) if each != name]

    master(sandbox, rows)
    assert found(sandbox, name) == ClientRows(tuple(HEADER.split(",")), (), 0)

    master(sandbox, [*rows, csv_line((name, *NUMBERS)), *rows])
    assert rows_of(sandbox, name) == [(name, *NUMBERS)]


def test_the_first_and_the_last_row_are_found(sandbox: Sandbox) -> None:
    master(sandbox, ["first,1,2,3,0", "b,1,2,3,0", "last,1,2,3,1"])

    assert rows_of(sandbox, "first") == [("first", "1", "2", "3", "0")]
    assert rows_of(sandbox, "last") == [("last", "1", "2", "3", "1")]


def test_what_is_not_on_record_is_not_found(sandbox: Sandbox) -> None:
    master(sandbox, ["a,1,2,3,0"], tail="a,4,5,6,1\nb,1,2,3,0\na,1")

    assert rows_of(sandbox, "a") == [("a", "1", "2", "3", "0")]
    assert rows_of(sandbox, "b") == []


@pytest.mark.parametrize("name", ["a\nb", "nobody\n", "", " a", "a ", "\udce9", "1"])
def test_a_name_that_no_client_can_have_is_not_found(sandbox: Sandbox, name: str) -> None:
    master(sandbox, ["a,1,2,3,0", "b,1,2,3,0"])

    assert found(sandbox, name).total == 0


@pytest.mark.parametrize("block", [1, 7, 12, 13, 14, 64])
def test_wherever_the_file_is_cut_into_blocks_every_row_is_found_once(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    monkeypatch.setattr(rowsearch, "_BLOCK", block)
    master(sandbox, [f"{'abc'[i % 3]},{i},2,3,0" for i in range(60)], tail="a,60,2,3,0\n")

    assert [row[1] for row in found(sandbox, "a").rows] == [str(i) for i in range(0, 60, 3)]


def test_the_rows_that_ingestion_wrote_are_found(source: Sandbox) -> None:
    assert source.run("ingestion").code == 0

    (row,) = client_rows(77, 1)
    assert rows_of(source, "client00077") == [tuple(row.split(","))]


@pytest.mark.parametrize("content", [b"", None])
def test_where_the_table_is_not_as_on_record_that_is_told(
    sandbox: Sandbox, content: bytes | None
) -> None:
    path = master(sandbox, ["a,1,2,3,0"])
    path.unlink()
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(HistoryError, match=r"finaldata\.csv (is gone|has 0 bytes)"):
        found(sandbox, "a")


def test_before_the_first_ingestion_that_is_told(sandbox: Sandbox) -> None:
    with pytest.raises(HistoryError, match="has no rows yet"):
        found(sandbox, "a")


def test_a_table_that_is_being_made_again_is_not_searched(sandbox: Sandbox) -> None:
    master(sandbox, ["a,1,2,3,0"])
    with History(sandbox.config.history_path) as history:
        begin_rebuild(history)

    with pytest.raises(HistoryError, match="is being made again"):
        found(sandbox, "a")
