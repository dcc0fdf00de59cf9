"""What became of clients since a day, by the rows of real files on record."""

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pandas as pd
import pytest

from pipeline.action.followup import Evidence, follow_up, traits
from pipeline.core.schema import Schema
from pipeline.observations.master import Master
from pipeline.observations.master_files import finish
from pipeline.observations.master_writer import MasterWriter
from pipeline.storage.contacts import Assignment, Contact

PLAIN = Schema("client", "left", ("age",))
DATED = replace(PLAIN, date="as_of", horizon_days=30)
EXACT = replace(DATED, left_on="left_on")
LISTS = replace(DATED, snapshots=True, absent_left=True)
FIRST = date(1970, 1, 1)
DAY = date(2026, 3, 1)  # of the assignments: day 0
LEFT, STAYED = 1.0, 0.0


def day(number: int) -> str:
    return (DAY + timedelta(number)).isoformat()


def read(
    folder: Path, schema: Schema, files: dict[int, list[str]]
) -> tuple[Master, dict[int, int]]:
    """The rows of files, by the day of each, and the days of the contents.

    In a row `{n}` is the day with that number.
    """
    path, days = folder / "finaldata.csv", {}
    with MasterWriter(path, schema) as writer:
        for number, (at, rows) in enumerate(sorted(files.items()), 1):
            writer.append([_dated(row).encode() for row in rows])
            writer.accept(number, f"{number}.csv", "", [])
            days[number] = (DAY - FIRST).days + at
        state = writer.save()
    finish(path, state)
    return Master(path, schema, state), days


def _dated(row: str) -> str:
    return re.sub(r"\{(-?[0-9]+)\}", lambda found: day(int(found[1])), row)


def assigned(client: str, at: int = 0, *, control: bool = False) -> Assignment:
    return Assignment(client, day(at), day(at), control, 0.1, "high", 0.7)


def became(
    folder: Path,
    schema: Schema,
    files: dict[int, list[str]],
    *clients: str | tuple[str, int],
    contacts: Sequence[tuple[str, int]] = (),
) -> pd.DataFrame:
    """What became of clients, assigned on day 0 or the day given; by client."""
    rows, days = read(folder, schema, files)
    found = [assigned(*((c,) if isinstance(c, str) else c)) for c in clients]
    made = [Contact(client, day(at), "page") for client, at in contacts]
    evidence = Evidence.of(rows, days)
    return follow_up(found, made, evidence, schema.horizon_days).set_index("client")


def outcomes(found: pd.DataFrame) -> dict[str, float | None]:
    """The outcome of each client, None where it is not known; those that are ripe."""
    ripe = found[found["ripe"]]
    return {c: None if pd.isna(v) else v for c, v in ripe["left"].items()}


def test_without_dates_it_goes_by_the_days_of_files(tmp_path: Path) -> None:
    files = {
        -9: ["stays,1,", "leaves,2,", "told,3,", "silent,4,", "back,5,", "was back,6,"],
        -6: ["again,7,0"],
        -5: ["was back,6,1", "again,7,1"],
        -2: ["was back,6,", "again,7,"],
        8: ["leaves,2,1", "told,3,0", "back,5,1", "again,7,1"],
        9: ["stays,1,", "back,50,"],
    }
    names = ("stays", "leaves", "told", "silent", "back", "was back", "again")
    assert outcomes(became(tmp_path, PLAIN, files, *names)) == {
        "stays": STAYED,
        "leaves": LEFT,
        "told": STAYED,  # an outcome, late
        "silent": None,
        "back": STAYED,  # left and is a client again
        "was back": None,  # had left and was back before
        "again": LEFT,  # as before, and left again
    }


def test_within_a_horizon_it_goes_by_dates_and_late_outcomes(tmp_path: Path) -> None:
    files = {
        -9: ["stays,{-9},1,", "late,{-9},1,", "later,{-9},1,", "old,{-50},1,", "old,{-9},1,"],
        -8: [*("told,{-9},1,", "silent,{-9},1,", "returns,{-9},1,", "after,{-9},1,")],
        9: ["late,{-9},1,1", "old,{-50},1,1", "returns,{9},1,1"],
        20: ["returns,{20},1,"],
        40: [
            *("stays,{40},1,", "later,{40},1,1", "told,{-9},1,0", "old,{40},1,", "after,{31},1,1")
        ],
    }
    names = ("stays", "late", "later", "old", "told", "silent", "returns", "after")
    assert outcomes(became(tmp_path, DATED, files, *names)) == {
        "stays": STAYED,
        "late": LEFT,  # said of the row by which it was chosen
        "later": STAYED,  # left, but after the horizon
        "old": STAYED,  # what is said of a row before the last one says nothing of now
        "told": STAYED,
        "silent": None,
        "returns": LEFT,
        "after": STAYED,  # on the day after the horizon
    }


def test_a_day_of_leaving_is_exact(tmp_path: Path) -> None:
    files = {
        -9: [f"{name},{{-9}},1,," for name in ("in", "on", "before", "over", "stays")],
        40: [
            *("in,{-9},1,1,{30}", "on,{-9},1,1,{0}", "before,{-9},1,1,{-1}", "over,{-9},1,1,{31}"),
            "stays,{40},1,,",
        ],
    }
    found = became(tmp_path, EXACT, files, "in", "on", "before", "over", "stays")
    # who had left by the day of the assignment is in neither group
    assert outcomes(found) == {"in": LEFT, "on": None, "before": None, "over": STAYED, "stays": 0}


def test_who_is_no_longer_on_full_lists_has_left(tmp_path: Path) -> None:
    def rows(*names: str) -> list[str]:
        return [f"{name},{{day}},1," for name in names]

    lists = {-7: "abcdef", 14: "abcde", 28: "abcd", 35: "abc", 60: "ab"}
    files = {
        at: [row.replace("{day}", f"{{{at}}}") for row in rows(*names)]
        for at, names in lists.items()
    }
    found = became(tmp_path, LISTS, files, *"abcdef")
    assert outcomes(found) == {"a": 0, "b": 0, "c": 0, "d": 0, "e": LEFT, "f": LEFT}
    without = replace(LISTS, horizon_days=0)
    (tmp_path / "until now").mkdir()
    found = became(tmp_path / "until now", without, files, *"abcdef")
    assert outcomes(found) == {"a": 0, "b": 0, **dict.fromkeys("cdef", LEFT)}


def test_whose_horizon_has_not_passed_is_not_ripe_even_if_it_has_left(tmp_path: Path) -> None:
    files = {
        -9: ["a,{-9},1,", "b,{-9},1,", "c,{-9},1,"],
        20: ["a,{20},1,1", "b,{20},1,"],
        50: ["b,{50},1,", "c,{50},1,1"],
    }
    found = became(tmp_path, DATED, files, ("a", 0), ("b", 20), ("c", 21))
    assert found["ripe"].tolist() == [True, True, False]


def test_as_long_as_only_leavers_are_heard_of_nobody_counts(tmp_path: Path) -> None:
    files = {
        -9: [f"{name},{{-9}},1," for name in "abcd"],
        5: ["a,{5},1,1", "e,{40},1,"],
        6: ["b,{31},1,", "c,{6},1,1"],
    }
    found = became(tmp_path, DATED, files, ("a", 0), ("b", 1), ("c", 2), ("d", 0))
    assert outcomes(found) == {"a": LEFT, "b": STAYED, "d": None}  # of c's day nobody stayed yet


@pytest.mark.parametrize(
    ("at", "counts"), [(-1, False), (0, True), (10, True), (11, False), (40, False)]
)
def test_contacts_count_until_the_client_has_left(tmp_path: Path, at: int, counts: bool) -> None:
    files = {-9: ["a,{-9},1,", "b,{-9},1,"], 40: ["a,{10},1,1", "b,{40},1,"]}
    contacts = [("a", at), ("b", -5)]
    found = became(tmp_path, DATED, files, "a", "b", contacts=contacts)
    assert found["contacted"].tolist() == [counts, False]


def test_a_contact_before_a_leaving_was_reported_counts(tmp_path: Path) -> None:
    files = {-9: ["a,1,", "b,1,"], 40: ["a,1,1", "b,1,"]}
    found = became(tmp_path, PLAIN, files, "a", "b", contacts=[("a", 40), ("b", 99)])
    assert found["contacted"].tolist() == [True, True]


def test_a_client_left_when_that_was_first_said(tmp_path: Path) -> None:
    again = {at: ["a,1,1", "b,2,1"] for at in (5, 20)}  # as of a list of all who ever left
    files = {-9: ["a,1,0", "b,2,0", "c,3,"], **again, 30: ["c,3,"]}
    found = became(tmp_path, PLAIN, files, "a", "b", "c", contacts=[("a", 5), ("b", 6)])
    assert found["contacted"].tolist() == [True, False, False]
    assert outcomes(found) == {"a": LEFT, "b": LEFT, "c": STAYED}


def test_a_part_is_what_a_client_belonged_to_on_the_day(tmp_path: Path) -> None:
    schema = replace(PLAIN, date="as_of", categorical=("region",), carry=("manager",))
    files = {
        -9: ["a,{-9},1,north,,Ada", "b,{-9},1,south,,Bo", "c,{3},1,west,,"],
        9: ["a,{9},1,south,,Cy"],
    }
    rows, days = read(tmp_path, schema, files)
    found = [assigned(name) for name in ("a", "b", "c", "nobody")]
    found_rows = follow_up(found, [], Evidence.of(rows, days))
    said = traits(rows, days, found_rows)
    assert said["region"].fillna("-").tolist() == ["north", "south", "west", "-"]
    assert said["manager"].fillna("-").tolist() == ["Ada", "Bo", "", "-"]
