"""Aligned tables for a terminal, in the cells that letters take."""

import pytest

from pipeline.monitoring.packages import Package
from pipeline.reporting.document import MAX_CELLS, Grid, grid_lines, width
from pipeline.reporting.tables import missing_grid, packages_grid
from pipeline.storage.trends import Missing


def test_a_table_is_aligned_numbers_to_the_right() -> None:
    rows = (("now", "1,000", "done"), ("later", "5", "x"))
    assert grid_lines(Grid("Runs", ("when", "rows", "result"), rows)) == [
        "Runs",
        "  when    rows  result",
        "  now    1,000  done",
        "  later      5  x",
    ]


def test_a_table_without_rows_has_no_header() -> None:
    assert grid_lines(Grid("Runs", ("when", "rows"), ())) == ["Runs", "  None yet."]


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
    rows = (("now", "1.00", "x"), ("今", "25.00", "y"))
    assert grid_lines(Grid("", ("when", "数値", "why"), rows))[1:] == [
        "  when   数値  why",
        "  now    1.00  x",
        "  今    25.00  y",
    ]


@pytest.mark.parametrize("name", ["x" * 61, "数" * 31, "e\u0301" * 61])
def test_a_long_cell_is_cut_by_the_cells_it_takes(name: str) -> None:
    cut = grid_lines(Grid("", ("file", "rows"), ((name, "1"),)))[-1].split()[0]
    assert cut.endswith("…")
    assert MAX_CELLS - 1 <= width(cut) <= MAX_CELLS


def test_what_a_terminal_would_obey_is_left_out() -> None:
    name = "a\x1b]0;b\x07\r\nc\x9b2J"
    assert grid_lines(Grid("", ("file", "rows"), ((name, "x"),)))[-1] == "  a ]0;b   c 2J  x"


@pytest.mark.parametrize(
    ("cells", "right"),
    [
        (["1,000", "5", "-", ""], True),
        (["+3", "-0.5", "1e+61", "1.2 %"], True),
        (["0.7 (0.6 to 0.8)", "0.5 to 0.9", "0.7 above", "undefined"], True),
        (["1 of 2"], False),
        (["2026-11-22 09:00"], False),
        (["5", "none"], False),
    ],
)
def test_columns_of_numbers_stand_to_the_right(cells: list[str], right: bool) -> None:
    grid = Grid("", ("a", "b"), tuple(("x", cell) for cell in cells))
    assert grid.numbers == ({1} if right else set())


def test_missing_data_are_shown_at_both_ends_and_at_most() -> None:
    percents = (
        {"a": 0.0, "b": 3.0, "gone": 1.0},
        {"a": 0.0, "b": 7.5},
        {"a": 0.0, "b": 1.5, "c": 2.0},
    )
    found = [Missing(f"2026-11-{22 + i}T09:00:00Z", p) for i, p in enumerate(percents)]
    grid = missing_grid(found)
    assert grid.caption == "Missing data, percent, 2026-11-22 09:00 to 2026-11-24 09:00"
    assert grid.rows == (
        ("a", "0.00", "0.00", "0.00"),
        ("b", "3.00", "1.50", "7.50"),
        ("c", "-", "2.00", "2.00"),
    )
    assert missing_grid([]).rows == ()


@pytest.mark.parametrize(
    ("latest", "caption"),
    [
        ("unknown", "The packages; `diagnostics.py` asks which have a newer version"),
        ("2.0", "The packages, 1 of 2 with a newer version"),
    ],
)
def test_what_nobody_has_asked_is_not_said_to_be_new(latest: str, caption: str) -> None:
    found = packages_grid([Package("a", "1.0", latest), Package("b", "1.0", "unknown")])
    assert found.caption == caption
