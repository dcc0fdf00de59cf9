"""Values in words: what people read of a number or a category beside the usual one."""

import math

import numpy as np
import pytest

from pipeline.ranking.wording import LONGEST, category_words, number_texts, number_words, shown


@pytest.mark.parametrize(
    ("value", "text"),
    [
        *[(0.0, "0"), (-0.0, "0"), (3.0, "3"), (1234.0, "1234"), (-41.0, "-41")],
        *[(12.5, "12.5"), (0.03125, "0.0312"), (3.14159, "3.14"), (99.96, "100")],
        *[(113931.57, "113932"), (-1234.5, "-1234"), (999999999.0, "999999999")],
        *[(1.2345e9, "1.23e+09"), (1e100, "1e+100"), (0.0000123, "1.23e-05")],
        (math.nan, "unknown"),
    ],
)
def test_a_number_is_told_short_and_without_commas(value: float, text: str) -> None:
    assert number_texts(np.array([value])) == [text]


def test_many_numbers_are_told_one_by_one_in_order() -> None:
    assert number_texts(np.array([1.5, math.nan, 200.7])) == ["1.5", "unknown", "201"]
    assert number_texts(np.array([])) == []


def test_a_number_stands_beside_the_usual_one() -> None:
    words = number_words("last month's activity", np.array([3.0, math.nan]), 41.0)

    assert words == [
        "last month's activity 3, usual 41",
        "last month's activity unknown, usual 41",
    ]


def test_a_number_that_looks_like_the_usual_one_is_told_in_full() -> None:
    words = number_words("balance", np.array([1000.25, 1000.0]), 1000.125)

    assert words == ["balance 1000.25, usual 1000.125", "balance 1000, usual 1000.125"]


def test_a_usual_number_that_is_unknown_is_said_to_be_so() -> None:
    assert number_words("age", np.array([3.0]), math.nan) == ["age 3, usual unknown"]


def test_a_percent_sign_in_a_label_is_no_format() -> None:
    assert number_words("%s at 5%", np.array([3.0]), 4.0) == ["%s at 5% 3, usual 4"]


def test_a_category_stands_beside_the_usual_one() -> None:
    words = category_words("Geography", ["Germany", ""], "France")

    assert words == ["Geography Germany, usual France", "Geography unknown, usual France"]


@pytest.mark.parametrize(
    ("value", "usual"), [("", "unknown"), ("x" * 100 + "y", "x" * 100), ("a;b", "a,b")]
)
def test_a_category_that_looks_like_the_usual_one_is_told_as_another(
    value: str, usual: str
) -> None:
    assert category_words("kind", [value], usual) == [
        f"kind other than the usual, {shown(usual) or 'unknown'}"
    ]


def test_what_is_shown_is_one_short_line_without_semicolons() -> None:
    assert shown("a\r\nb; c") == "a b, c"
    assert shown("x" * LONGEST) == "x" * LONGEST
    assert shown("x" * (LONGEST + 1)) == "x" * (LONGEST - 1) + "…"
