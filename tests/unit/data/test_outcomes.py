"""What rows teach: each rule of docs/data.md by small tables."""

import numpy as np
import pandas as pd
import pytest

from pipeline.core.schema import Schema
from pipeline.data.outcomes import FullList, learned_outcomes, matured

FLAG = Schema("client", "left", ("n",), date="day", horizon_days=30)
ENDS = Schema(
    "client", "left", ("n",), date="day", horizon_days=30, left_on="until", has_outcome=False
)
Row = tuple[str, str, str]  # client, date, and the outcome or the day of leaving


def taught(rows: list[Row], schema: Schema, newest: str = "1970-01-01") -> list[float | None]:
    frame = pd.DataFrame(rows, columns=["client", "day", "said"]).astype({"said": "str"})
    if schema.left_on:
        frame = frame.assign(until=frame["said"], left=np.nan)
    else:
        frame = frame.assign(left=pd.to_numeric(frame["said"]))
    day = int(np.datetime64(newest, "D").astype(int))
    found = learned_outcomes(frame, schema, newest=day)[0]
    return [None if np.isnan(value) else value for value in found]


# the client that all rows but the first two are of is there on 1 October and leaves later
@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([("a", "2026-10-01", ""), ("a", "2026-10-30", "")], [None, None]),  # not long enough
        ([("a", "2026-10-01", ""), ("a", "2026-10-31", "")], [0, None]),
        ([("a", "2026-10-01", ""), ("b", "2026-10-31", "")], [None, None]),  # not seen since
        ([("a", "2026-10-01", ""), ("a", "2026-10-05", "1")], [1, None]),
        ([("a", "2026-10-01", ""), ("a", "2026-10-31", "1")], [1, None]),
        ([("a", "2026-10-01", ""), ("a", "2026-11-01", "1")], [0, None]),  # later than asked
        ([("a", "2026-11-01", "1"), ("a", "2026-10-01", "")], [None, 0]),  # any order of rows
        # the first row that says so is of the day of leaving, what follows is not learned
        (
            [("a", "2026-10-01", "0"), ("a", "2026-10-05", "1"), ("a", "2026-10-09", "1")],
            [1, None, None],
        ),
        # who is back may leave again
        (
            [("a", "2026-10-01", ""), ("a", "2026-10-05", "1"), ("a", "2026-10-09", "0"),
             ("a", "2026-12-01", ""), ("a", "2026-12-05", "1")],
            [1, None, 0, 1, None],
        ),
    ],
)  # fmt: skip
def test_outcomes_within_the_horizon(rows: list[Row], expected: list[float | None]) -> None:
    assert taught(rows, FLAG) == expected


@pytest.mark.parametrize(
    ("rows", "newest", "expected"),
    [
        # an old row may say when its client left later
        ([("a", "2026-10-01", "2026-10-20")], "2026-10-01", [1]),
        ([("a", "2026-10-01", "2026-11-20")], "2026-12-01", [0]),
        ([("a", "2026-10-01", "2026-11-20")], "2026-10-15", [None]),
        # the day that was known last counts, and what lies between it and the row is not learned
        (
            [("a", "2026-09-01", ""), ("a", "2026-10-10", ""), ("a", "2026-10-20", "2026-09-20")],
            "2026-10-20",
            [1, None, None],
        ),
        (
            [("a", "2026-09-01", ""), ("a", "2026-09-20", "2026-09-15"),
             ("a", "2026-09-25", "2026-10-15")],
            "2026-10-20",
            [0, 1, 1],
        ),
        # who has no such day in the newest row has not left by the newest day
        ([("a", "2026-10-01", "")], "2026-10-30", [None]),
        ([("a", "2026-10-01", "")], "2026-10-31", [0]),
    ],
)  # fmt: skip
def test_outcomes_by_days_of_leaving(
    rows: list[Row], newest: str, expected: list[float | None]
) -> None:
    assert taught(rows, ENDS, newest) == expected


def test_without_a_horizon_a_day_of_leaving_is_the_outcome() -> None:
    schema = Schema("client", "left", ("n",), left_on="until", has_outcome=False)
    frame = pd.DataFrame({"client": ["a", "b"], "left": np.nan, "until": ["2026-01-01", ""]})
    assert learned_outcomes(frame, schema)[0].tolist() == [1, 0]


LISTS = [FullList(day, np.array(rows)) for day, rows in ((0, [0, 1, 2]), (1, [0, 1]), (40, [0, 3]))]


@pytest.mark.parametrize(
    ("absent_left", "horizon", "sent", "expected"),
    [
        (False, 0, [np.nan, 0, 1, np.nan], [None, 0, 1, None]),
        (True, 0, [np.nan, np.nan, np.nan, np.nan], [0, 1, 1, None]),
        (True, 0, [0, 0, 0, 0], [0, 1, 1, 0]),
        (True, 0, [np.nan, np.nan, 1, np.nan], [0, 1, 1, None]),
        (True, 30, [np.nan] * 4, [0, 0, 1, None]),  # b left 39 days after the list before
        (True, 39, [np.nan] * 4, [0, 1, 1, None]),
        (False, 30, [np.nan] * 4, [0, None, None, None]),
        # what is sent of a row that is on several lists is true of the last of them
        (True, 30, [np.nan, 1, np.nan, np.nan], [0, 1, 1, None]),
    ],
)
def test_full_lists_tell_who_left(
    absent_left: bool, horizon: int, sent: list[float], expected: list[float | None]
) -> None:
    schema = Schema(
        *("client", "left", ("n",)),
        **{"horizon_days": horizon, "snapshots": True, "absent_left": absent_left},
    )
    frame = pd.DataFrame({"client": ["a", "b", "c", "d"], "left": sent})
    found = learned_outcomes(frame, schema, lists=LISTS)[0]
    assert [None if np.isnan(value) else value for value in found] == expected


def test_an_empty_table_teaches_nothing() -> None:
    for schema in (FLAG, ENDS):
        assert taught([], schema) == []


@pytest.mark.parametrize(
    ("outcomes", "horizon", "count"),
    [([0, 1, 0, 1, 1], 28, 3), ([1, 1], 28, 0), ([], 28, 0), ([0, 1, 0, 1, 1], 0, 5)],
)
def test_rows_newer_than_the_newest_who_stayed_are_not_matured(
    outcomes: list[int], horizon: int, count: int
) -> None:
    schema = Schema("client", "left", ("a",), (), date="day", horizon_days=horizon)
    assert matured(np.array(outcomes, "float64"), schema) == count
