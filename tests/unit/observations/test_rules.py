"""Each rule of docs/data.md by a small table of lines, and all of them against a plain loop."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.observations.rules import (
    LINE_BITS,
    STATE,
    UNKNOWN,
    Lines,
    States,
    present_rows,
    states_after_first,
    take_in,
)

OUTCOMES = {"0": 0, "1": 1, "": UNKNOWN}
Said = tuple[int, str]  # an observation's row, and the outcome of a line


def place(number: int) -> int:
    """The place of the first line of a content."""
    return number << int(LINE_BITS)


def lines_of(said: list[Said], start: int = 1) -> Lines:
    """A line a content, numbered from `start`."""
    rows = np.array([row for row, _ in said], np.uint32)
    outcomes = np.array([OUTCOMES[outcome] for _, outcome in said], np.uint8)
    places = np.array([place(start + i) for i in range(len(said))], np.uint64)
    return Lines(rows, outcomes, places)


def states_of(*batches: list[Said]) -> States:
    """The states after some batches, in which the first lines of observations come in order."""
    states, number = np.zeros(0, STATE), 1
    for said in batches:
        lines = lines_of(said, number)
        number += len(said)
        first = np.zeros(len(said), np.bool_)
        for row in range(len(states), 1 + max([len(states) - 1, *lines.rows.tolist()])):
            first[lines.rows.tolist().index(row)] = True
        states = np.concatenate([states, states_after_first(lines.at(first))])
        take_in(lines.at(~first), states)
    return states


def plain(said: list[Said]) -> list[tuple[int, ...]]:
    """The same by a loop: sighted, left, known, outcome and late of each observation."""
    found: dict[int, list[int]] = {}
    for number, (row, text) in enumerate(said, 1):
        outcome = OUTCOMES[text]
        state = found.get(row)
        if state is None:
            known = outcome != UNKNOWN
            left = place(number) if outcome == 1 else 0
            found[row] = [place(number), left, number if known else 0, outcome, not known]
            continue
        report = outcome != UNKNOWN and state[4]
        if not report:
            state[0] = place(number)
        if outcome == 1 and not (report and state[3] == 1):
            state[1] = place(number)
        if outcome == 0 and report and state[3] == 1:
            state[1] = 0
        if outcome not in (UNKNOWN, state[3]):
            state[2], state[3] = number, outcome
    return [tuple(found[row]) for row in sorted(found)]


@st.composite
def histories(draw: st.DrawFn) -> list[list[Said]]:
    """Batches of lines; observations are numbered as they first come."""
    seen: list[int] = []
    batches = []
    for size in draw(st.lists(st.integers(0, 8), max_size=5)):
        batch = []
        for _ in range(size):
            row = draw(st.integers(0, min(len(seen), 3)))
            seen += [row] if row == len(seen) else []
            batch.append((row, draw(st.sampled_from([*OUTCOMES]))))
        batches.append(batch)
    return batches


@given(histories())
def test_lines_together_say_what_they_say_one_by_one(batches: list[list[Said]]) -> None:
    assert states_of(*batches).tolist() == plain([line for batch in batches for line in batch])


def present(clients: str, said: list[Said]) -> dict[int, bool]:
    """The present row of each client, and whether it has left."""
    rows, left = present_rows(pd.Series([*clients]), states_of(said))
    assert rows.tolist() == sorted(rows.tolist())
    return dict(zip(rows.tolist(), left.tolist(), strict=True))


@pytest.mark.parametrize(
    ("clients", "said", "expected"),
    [
        # the row of the latest sighting, though it is not the last one
        ("aab", [(0, "0"), (1, "0"), (2, "0"), (0, "0")], {0: False, 2: False}),
        # an outcome that comes late does not make an old row the present one
        ("aa", [(0, ""), (1, ""), (0, "0")], {1: False}),
        # but says that the client has left
        ("aa", [(0, ""), (1, ""), (0, "1")], {1: True}),
        # until it is sighted again
        ("aa", [(0, ""), (1, ""), (0, "1"), (1, "")], {1: False}),
        ("aab", [(0, "1"), (1, "0"), (2, "1")], {1: False, 2: True}),
        # of several of its rows any may say it
        ("aaa", [(0, ""), (1, ""), (2, ""), (1, "1"), (0, "0")], {2: True}),
        ("", [], {}),
    ],
)
def test_the_present_row_of_each_client(
    clients: str, said: list[Said], expected: dict[int, bool]
) -> None:
    assert present(clients, said) == expected
