"""Where a client's line is in a ranking that Spark has put in order."""

import os
from pathlib import Path

import pytest

from pipeline.action.current_ranking import CurrentRanking
from pipeline.core.formatting import escape_formula
from pipeline.core.schema import csv_line
from pipeline.ranking.ranking_file import COLUMNS, STATUS_COLUMNS, read_ranking
from pipeline.ranking.risk_files import join_lines, line_of, risk_folder

CLIENTS = ("plain", 'Haus "Nord"; Ost', "A, B", "=1+1", "plain2", "Böhm", '"', "0.5")


@pytest.fixture
def ranking(tmp_path: Path) -> Path:
    parts, target = tmp_path / "parts", tmp_path / "clientrisk.csv"
    parts.mkdir()
    risk_folder(target).mkdir()
    for number, clients in enumerate((CLIENTS[:3], (), CLIENTS[3:])):
        cells = [
            (escape_formula(name), "0.5", "high", "r1", "yes", "a, b", "proposed", "")
            for name in clients
        ]
        lines = "".join(f"{csv_line(row)}\n" for row in cells)
        (parts / f"part-0000{number}").write_text(lines)
    join_lines(csv_line((*COLUMNS, *STATUS_COLUMNS)), parts, target, lambda _: None)
    return target


def test_each_clients_line_is_found_without_the_others(ranking: Path) -> None:
    current = CurrentRanking(ranking, ranking.parent / "history.db", on_spark=True)
    assert read_ranking(ranking)["client"].tolist() == [*CLIENTS]
    for rank, name in enumerate(CLIENTS, 1):
        row, total = current.client(name)
        assert (row["client"].tolist(), row["rank"].tolist(), total) == ([name], [rank], 8)
    for name in ("plai", "nobody", "", "'=1+1"):
        assert current.client(name)[0].empty


def test_of_a_file_that_has_changed_nothing_is_noted_and_all_is_read(ranking: Path) -> None:
    current = CurrentRanking(ranking, ranking.parent / "history.db", on_spark=True)
    text = ranking.read_text().replace("plain2", "other2")
    ranking.write_text(text)
    os.utime(ranking, (1e9, 1e9))
    assert line_of(ranking, "other2") is None
    assert current.client("other2")[0]["rank"].tolist() == [5]
