"""Contacts on record, in a file and on a server."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from pipeline.storage.contacts import (
    Assignment,
    Contact,
    assignments,
    contacts,
    record_assignments,
    record_contact,
)
from pipeline.storage.database import History
from pipeline.storage.history import open_history


def test_the_same_contact_twice_at_once_is_one(history: History) -> None:
    contact = Contact("A", "2026-11-24", "page")

    def again() -> Contact:
        with open_history(history.place) as other, other.transaction():
            return record_contact(other, contact)

    with ThreadPoolExecutor(1) as pool:
        with history.transaction():
            made = record_contact(history, contact)
            second = pool.submit(again)
            with pytest.raises(TimeoutError):
                second.result(0.5)
        assert second.result(30) == made
    assert contacts(history) == [made]


def test_the_first_assignment_of_a_campaign_stays(history: History) -> None:
    day = "2026-11-24"
    first = [Assignment(c, day, day, c == "A", 0.1, "high", 0.9) for c in ("A", "B")]
    again = [Assignment("A", day, "2026-11-25", False, 0.2, "low", 0.1)]

    for found in (first, again):
        with history.transaction():
            record_assignments(history, found)

    assert assignments(history) == first
