"""Aligned tables for a terminal: of trends, in cells that letters take."""

import pytest

from pipeline.reporting.text_tables import MAX_CELLS, MAX_WIDTH, aligned, trend_lines, width
from pipeline.storage.trends import Missing, Refused, Trends


def test_a_table_is_aligned() -> None:
    assert aligned(("when", "rows", "what"), [("now", "1,000", "done"), ("later", "5", "x")]) == [
        "when    rows  what",
        "now    1,000  done",
        "later      5  x",
    ]


def test_a_table_without_rows_has_no_header() -> None:
    assert aligned(("when", "rows"), []) == []


@pytest.mark.parametrize(
    ("text", "cells"),
    [
        ("", 0),
        ("größe", 5),
        ("数値", 4),
        ("ｱ", 1),
        ("\uff21", 2),
        ("e\u0301", 1),
        ("कि", 2),
        ("a\u200d", 1),
    ],
)
def test_a_text_is_as_wide_as_a_terminal_shows_it(text: str, cells: int) -> None:
    assert width(text) == cells


def test_wide_letters_are_aligned_by_the_cells_they_take() -> None:
    assert aligned(("when", "数値", "what"), [("now", "1.00", "x"), ("今", "25.00", "y")]) == [
        "when   数値  what",
        "now    1.00  x",
        "今    25.00  y",
    ]


@pytest.mark.parametrize("name", ["x" * 61, "数" * 31, "e\u0301" * 61])
def test_a_long_name_is_cut_by_the_cells_it_takes(name: str) -> None:
    refused = Refused("2026-11-22T09:00:00Z", name, 0, 0, "no table")
    line = trend_lines(Trends((), (), (), (), (refused,)))[-1]
    cut = line.split()[2]
    assert cut.endswith("…")
    assert MAX_CELLS - 1 <= width(cut) <= MAX_CELLS


def missing(*percents: dict[str, float]) -> list[str]:
    found = tuple(Missing(f"2026-11-{22 + i}T09:00:00Z", p) for i, p in enumerate(percents))
    lines = trend_lines(Trends((), (), found, (), ()))
    first = lines.index("missing data, percent") + 1
    return lines[first : lines.index("timings") - 1]


def test_only_columns_that_ever_lacked_values_are_told() -> None:
    assert missing({"a": 0.0, "b": 0.0, "c": 0.0}, {"a": 0.0, "b": 1.5, "d": 2.0}) == [
        "  when                 b     d",
        "  2026-11-22 09:00  0.00     -",
        "  2026-11-23 09:00  1.50  2.00",
        "  2 columns never lacked a value",
    ]
    assert missing({"a": 0.0}) == ["  1 column never lacked a value"]
    assert missing() == ["  none yet"]


def test_many_columns_are_told_in_lines_that_fit() -> None:
    names = [f"{'数値' * 3} {i}" for i in range(60)] + ["long" * 20]
    lines = missing(dict.fromkeys(names, 100.0))
    assert all(width(line) <= MAX_WIDTH for line in lines)
    told = " ".join(line for line in lines if line.startswith("  when"))
    assert [name for name in names[:60] if f"{name}  " not in f"{told}  "] == []
    assert sum(line.count("100.00") for line in lines) == 61
