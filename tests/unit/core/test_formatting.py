"""Times, numbers and names in words, at their edges."""

from datetime import UTC, datetime

import pytest

from pipeline.core.formatting import (
    escape_formula,
    format_age,
    format_day,
    format_minute,
    format_percent,
    format_release_number,
    format_score,
    format_seconds,
    pluralize,
    unescape_formula,
)

NOW = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("at", "result"),
    [
        ("2026-11-22T09:00:01Z", "just now"),  # a clock that was put back
        ("2026-11-22T08:59:00.500Z", "just now"),
        ("2026-11-22T08:59:00Z", "1 minute ago"),
        ("2026-11-22T08:58:00.500Z", "1 minute ago"),
        ("2026-11-22T08:00:01Z", "59 minutes ago"),
        ("2026-11-22T08:00:00Z", "1 hour ago"),
        ("2026-11-21T09:00:01Z", "23 hours ago"),
        ("2026-11-21T09:00:00Z", "1 day ago"),
        ("2022-11-22T09:00:00Z", "1,461 days ago"),
    ],
)
def test_ago_is_reported_to_the_unit_that_matters(at: str, result: str) -> None:
    assert format_age(at, NOW) == result


@pytest.mark.parametrize(
    ("count", "result"), [(0, "0 files"), (1, "1 file"), (2, "2 files"), (2000, "2,000 files")]
)
def test_one_is_distinguished_from_several(count: int, result: str) -> None:
    assert pluralize(count, "file") == result
    assert pluralize(2, "batch", "batches") == "2 batches"


def test_times_are_reported_to_the_minute_and_to_the_day() -> None:
    assert format_minute("2026-11-02T09:59:59.999Z") == "2026-11-02 09:59"
    assert format_day("2026-11-02T23:59:59.999Z") == "2 November 2026"
    assert format_day("2026-02-01T01:30:00+02:00") == "31 January 2026"


@pytest.mark.parametrize(
    ("share", "result"),
    [
        (None, "-"),
        (0.0, "0.0 %"),
        (0.00049, "0.0 %"),
        (0.999, "99.9 %"),
        (0.9996, "100.0 %"),
        (1.0, "100.0 %"),
    ],
)
def test_a_share_is_reported_in_percent(share: float | None, result: str) -> None:
    assert format_percent(share) == result


def test_percent_and_scores_may_have_other_decimals() -> None:
    assert (format_percent(0.5, 0), format_score(0.76739, 4)) == ("50 %", "0.7674")


def test_a_score_that_is_none_is_undefined() -> None:
    assert [format_score(value) for value in (None, 0.0, 1.0)] == ["undefined", "0.000", "1.000"]


@pytest.mark.parametrize(
    ("value", "result"),
    [
        (0.0, "0 s"),
        (0.081234, "0.0812 s"),
        (1.5, "1.5 s"),
        (61.26, "61.3 s"),
        (99.96, "100 s"),
        (4321.0, "4,321 s"),
    ],
)
def test_seconds_are_reported_to_three_digits_or_whole(value: float, result: str) -> None:
    assert format_seconds(value) == result


@pytest.mark.parametrize(
    ("release", "result"),
    [
        (None, "-"),
        ("", "-"),
        ("000001-20261122T090000Z", "1"),
        ("000120-20261122T090000Z", "120"),
        ("1000000-20261122T090000Z", "1000000"),
    ],
)
def test_a_release_is_called_by_its_number(release: str | None, result: str) -> None:
    assert format_release_number(release) == result


FULL_WIDTH = "\uff1d\uff0b\uff0d\uff20"  # = + - @
SMALL = "\ufe66\ufe62\ufe63\ufe6b"


@pytest.mark.parametrize(
    "text",
    [
        *["=1+1", "+49 30", "-5", "@SUM(A1)", "\tx", "\rx", "'=1", "''=1"],
        *[f"{sign}1" for sign in FULL_WIDTH + SMALL],
        *[f"'\"{sign}1" for sign in FULL_WIDTH],
    ],
)
def test_what_a_spreadsheet_would_run_gets_an_apostrophe(text: str) -> None:
    assert escape_formula(text) == f"'{text}"


@pytest.mark.parametrize("sign", ["=", *FULL_WIDTH])
def test_so_does_what_begins_a_cell_within_a_text(sign: str) -> None:
    cell = f"a;'{sign}1\t'{sign}2\n'{sign}3"
    assert escape_formula(cell.replace("'", "")) == cell
    assert unescape_formula(cell) == cell.replace("'", "")


@pytest.mark.parametrize("text", ["", "acme", "a=b", "12", "'quoted'", "O'Neill", " =1", "\uff1b"])
def test_other_texts_stay(text: str) -> None:
    assert escape_formula(text) == text


@pytest.mark.parametrize(
    "text", ["=1", "'=1", "''=1", "-", "acme", "'quoted'", "", "'", "''", *FULL_WIDTH, "'\uff1d"]
)
def test_the_text_can_be_distinguished_from_its_cell(text: str) -> None:
    assert unescape_formula(escape_formula(text)) == text
