import numpy as np
import pandas as pd
import pytest

from pipeline.data.outcomes import FullList
from pipeline.observations.lists import REJECTED, believed, lists_by_file
from pipeline.storage.ledger import ListedFile

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


def test_a_file_that_is_rejected_or_held_back_leaves_what_it_held_before_on_that_day() -> None:
    rows = {1: np.array([0, 1, 2]), 3: np.array([0, 1]), 4: np.array([4])}
    files = [
        ListedFile(1, "a.csv", 5, 16, 1),
        ListedFile(2, "a.csv", 5, None, 0),
        ListedFile(3, "a.csv", 6, 16, 0),
        ListedFile(4, "b.csv", 6, 16, 2),
    ]
    found = [
        (each.day, each.rows.tolist(), each.unread, each.of)
        for each in lists_by_file(files, lambda file: rows[file.id])
    ]
    assert found == [(5, [0, 1, 2], REJECTED, (1,)), (6, [0, 1, 4], 2, (3, 4))]
