import numpy as np
import pandas as pd
import pytest

from pipeline.data.outcomes import FullList
from pipeline.observations.lists import believed

CLIENTS = pd.Series(list("abcdefgh"), dtype="str")


def days_believed(*lists: str) -> tuple[list[int], bool]:
    """The places of the lists that are believed; and whether the newest is doubted."""
    rows = [np.array([CLIENTS.tolist().index(client) for client in each]) for each in lists]
    found = believed([FullList(day, each) for day, each in enumerate(rows)], CLIENTS)
    return [each.day for each in found.lists], found.doubt is not None


@pytest.mark.parametrize(
    ("lists", "expected"),
    [
        ((), ([], False)),
        (("ab",), ([0], False)),
        (("abcd", "ab"), ([0, 1], False)),  # half of them
        (("abcd", "a"), ([0], True)),
        (("abcd", "aefgh"), ([0], True)),  # however many are new
        (("abcd", "a", "a"), ([0, 2], False)),  # said twice
        (("abcd", "a", "b"), ([0], True)),  # each says another thing
        (("abcd", "a", "b", "bc"), ([0, 3], False)),
        (("abcd", "a", "abc"), ([0, 2], False)),  # the whole list is back
        (("abcd", "a", "abc", "a"), ([0, 2], True)),
    ],
)
def test_a_list_that_lacks_most_clients_is_believed_if_the_next_says_the_same(
    lists: tuple[str, ...], expected: tuple[list[int], bool]
) -> None:
    assert days_believed(*lists) == expected


def test_why_the_newest_is_not_believed_is_told_in_numbers() -> None:
    found = believed([FullList(0, np.arange(8)), FullList(1, np.arange(3))], CLIENTS)
    assert found.doubt
    assert found.doubt.startswith("the newest list lacks 5 of 8 clients, more than half")
