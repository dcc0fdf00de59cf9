"""The risk of clients over time: what is recorded of it, what is read, what is forgotten."""

from pathlib import Path

import pytest

from pipeline.storage.database import History
from pipeline.storage.records import prune
from pipeline.storage.risk_history import (
    LastChanges,
    RiskPoint,
    last_changes,
    record_risks,
    risk_over_time,
)

BEFORE = "2026-01-01"
OLDER, OLD, NEW, NEWER = (f"{year}-01-01T00:00:00.000Z" for year in (2001, 2002, 2998, 2999))


def record(history: History, at: str, release: str = "r1", **risks: float) -> None:
    assert record_risks(history, release, risks)
    history.query("UPDATE rankings SET at = ? WHERE id = (SELECT max(id) FROM rankings)", at)


def points(history: History, client: str) -> list[tuple[str, float | None]]:
    return [(at, risk) for at, _, risk in risk_over_time(history, client)]


def rankings(history: History) -> list[tuple[object, ...]]:
    return history.tuples("SELECT at, release, clients FROM rankings ORDER BY id")


@pytest.fixture
def many(history: History) -> History:
    """A history of 9,000 clients, with one old point each."""
    record(history, OLD, **many_risks())
    return history


def many_risks(**others: float) -> dict[str, float]:
    return {f"c{i}": 0.5 for i in range(9_000)} | others


@pytest.fixture
def steps(many: History) -> list[int]:
    """A number for each step that SQLite's engine takes."""
    if not isinstance(many.place, Path):
        pytest.skip("only the engine of SQLite tells its steps")
    taken: list[int] = []
    many.connection.set_progress_handler(lambda: taken.append(1), 1)
    return taken


# --- recording and reading ---


def test_the_points_of_a_client_are_read_oldest_first(history: History) -> None:
    record(history, OLDER, a=0.5, b=0.1)
    record(history, OLD, "r2", a=0.75, b=0.1)
    record(history, NEW, "r3", b=0.2)
    record(history, NEWER, "r3", a=0.75, b=0.2)

    assert risk_over_time(history, "a") == (
        RiskPoint(OLDER, "r1", 0.5),
        RiskPoint(OLD, "r2", 0.75),
        RiskPoint(NEW, "r3", None),
        RiskPoint(NEWER, "r3", 0.75),
    )
    assert points(history, "b") == [(OLDER, 0.1), (NEW, 0.2)]
    assert rankings(history) == [(OLDER, "r1", 2), (OLD, "r2", 2), (NEW, "r3", 1), (NEWER, "r3", 2)]


@pytest.mark.parametrize("name", ["Smith, Jones", 'The "Best"', "=1+1", "'=1", "株式", "a b  c"])
def test_a_client_is_found_by_its_name(history: History, name: str) -> None:
    record_risks(history, "r1", {name: 0.5, name + "x": 0.7})

    assert [point.risk for point in risk_over_time(history, name)] == [0.5]
    assert not record_risks(history, "r1", {name: 0.5, name + "x": 0.7})


def test_where_nothing_changed_nothing_is_written(history: History) -> None:
    assert not record_risks(history, "r1", {})
    record(history, OLDER, a=0.5)
    record(history, OLD, b=0.0)

    assert not record_risks(history, "r2", {"b": 0.0})
    assert (points(history, "a"), points(history, "b"), points(history, "c")) == (
        [(OLDER, 0.5), (OLD, None)],
        [(OLD, 0.0)],
        [],
    )
    record(history, NEW)  # everybody left
    assert points(history, "b") == [(OLD, 0.0), (NEW, None)]
    assert rankings(history)[1:] == [(OLD, "r1", 1), (NEW, "r1", 0)]


def test_the_last_changes_are_those_of_the_last_ranking_on_record(history: History) -> None:
    assert last_changes(history) is None
    record(history, OLDER, a=0.5, b=0.1, c=0.1)
    assert last_changes(history) == LastChanges(None, "r1", [])

    record(history, OLD, "r2", a=0.6, b=0.1, c=0.1)
    record(history, NEW, "r3", a=0.6, b=0.2, d=0.3)

    found = last_changes(history)
    assert found is not None
    assert found[:2] == ("r2", "r3")
    assert sorted(found.risks) == [("b", 0.1, 0.2), ("c", 0.1, None), ("d", None, 0.3)]


def test_the_points_of_a_client_are_found_without_reading_those_of_others(
    many: History, steps: list[int]
) -> None:
    assert points(many, "c5000") == [(OLD, 0.5)]
    assert len(steps) < 100


# --- what is forgotten ---


def test_of_what_is_old_the_last_point_of_each_client_is_kept(history: History) -> None:
    record(history, OLDER, a=0.1, b=0.1, c=0.1)
    record(history, OLD, a=0.2, b=0.1)
    record(history, NEW, a=0.3, b=0.1)

    prune(history, BEFORE)

    assert points(history, "a") == [(OLD, 0.2), (NEW, 0.3)]  # it had the one until the other
    assert points(history, "b") == [(OLDER, 0.1)]
    assert points(history, "c") == [(OLD, None)]
    assert [at for at, *_ in rankings(history)] == [OLDER, OLD, NEW]
    record(history, OLD, b=0.2)
    record(history, NEWER, b=0.3)
    prune(history, BEFORE)
    assert points(history, "b") == [(OLD, 0.2), (NEWER, 0.3)]
    assert [at for at, *_ in rankings(history)] == [OLD, OLD, NEWER]  # none without points


def test_what_becomes_old_later_is_forgotten_then(history: History) -> None:
    record(history, OLDER, a=0.1, b=0.1)
    record(history, NEW, a=0.2, b=0.1)
    record(history, NEWER, a=0.3, b=0.1)
    prune(history, BEFORE)
    assert points(history, "a") == [(OLDER, 0.1), (NEW, 0.2), (NEWER, 0.3)]

    history.query("UPDATE rankings SET at = ? WHERE at = ?", OLD, NEW)
    prune(history, BEFORE)

    assert points(history, "a") == [(OLD, 0.2), (NEWER, 0.3)]
    assert points(history, "b") == [(OLDER, 0.1)]
    assert [at for at, *_ in rankings(history)] == [OLDER, OLD, NEWER]


def test_however_old_the_last_ranking_is_what_it_changed_is_kept(history: History) -> None:
    record(history, OLDER, a=0.1)
    record(history, OLD, a=0.2)
    before = last_changes(history)

    prune(history, BEFORE)

    assert last_changes(history) == before


def test_what_has_been_old_for_long_is_not_looked_at_again(many: History, steps: list[int]) -> None:
    record(many, OLD, **many_risks(c1=0.6))
    record(many, NEW, **many_risks(c1=0.7))
    prune(many, BEFORE)
    steps.clear()

    prune(many, BEFORE)

    assert len(steps) < 1_000
    assert points(many, "c1") == [(OLD, 0.6), (NEW, 0.7)]
