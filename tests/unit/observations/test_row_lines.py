import numpy as np
import pytest

from pipeline.core.schema import Schema
from pipeline.observations.row_lines import client_cell, renewer, reports, split
from pipeline.observations.rules import UNSAID, WIDE_STATE, parts_of

PLAIN = Schema("id", "left", ("n",))
WIDE = Schema("id", "left", ("n",), date="day", left_on="until", carry=("who", "mail"))
LINES = [
    b"a,2026-01-01,1,,,,",
    b"a,2026-01-01,1,1,2026-02-01,Ada,a@b.c",
    b'"a, b",2026-01-01,1,0,,"Lind, ""A.""",',
]


def test_an_observation_is_a_line_without_its_outcome() -> None:
    found = split([b"a,1,0", b"a,1,1", b"a,1,", b"a,,"], PLAIN)
    assert found.observations == [b"a,1"] * 3 + [b"a,"]
    assert found.outcomes.tolist() == [0, 1, 2, 2]
    assert (found.more.tolist(), found.carried) == ([], [])


def test_it_is_without_the_day_of_leaving_and_what_travels_too() -> None:
    found = split(LINES, WIDE)
    days, hashes = parts_of(found.more)
    assert found.observations == [b"a,2026-01-01,1"] * 2 + [b'"a, b",2026-01-01,1']
    assert found.outcomes.tolist() == [2, 1, 0]
    assert days.tolist() == [0, 739648, 0]
    assert len({*hashes.tolist()}) == 3
    assert found.carried == [b",", b"Ada,a@b.c", b'"Lind, ""A.""",']


@pytest.mark.parametrize("line", LINES)
def test_the_parts_of_a_line_make_it_again(line: bytes) -> None:
    found = split([line], WIDE)
    states = np.zeros(1, WIDE_STATE)
    states["outcome"], states["day"] = found.outcomes, parts_of(found.more)[0]
    renewed = renewer(WIDE, np.zeros(1, np.uint32), states, {0: found.carried[0]})
    assert renewed(0, b",".join([found.observations[0], b",,x,y"])) == line


def test_reports_say_what_became_of_clients() -> None:
    lines = [b"a,,1,", b"b,2026-01-01,,2026-02-01", b'"c, d",,0,', b"e,,,"]
    found = reports(lines, WIDE)
    assert found.clients == [b"a", b"b", b'"c, d"', b"e"]
    assert found.dates == [b"", b"2026-01-01", b"", b""]
    assert found.outcomes.tolist() == [1, 2, 0, 2]
    assert found.days.tolist() == [UNSAID, 739648, 0, UNSAID]


def test_of_days_of_leaving_alone_an_empty_one_says_that_the_client_has_not_left() -> None:
    schema = Schema("id", "left", ("n",), left_on="until", has_outcome=False)
    found = reports([b"a,,", b"b,,2026-02-01"], schema)
    assert (found.outcomes.tolist(), found.days.tolist()) == ([0, 2], [0, 739648])


@pytest.mark.parametrize("cell", [b"a", b'"a, b"', b'"the ""best"""'])
def test_the_first_cell_is_taken_as_it_is_written(cell: bytes) -> None:
    assert client_cell(cell + b",1,2") == cell
