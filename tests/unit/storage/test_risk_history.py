"""The risk of clients over time: what is recorded of it, what is read, what is forgotten."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.storage import risk_history
from pipeline.storage.database import History
from pipeline.storage.history import open_history
from pipeline.storage.retention import prune
from pipeline.storage.risk_history import (
    ClientRisk,
    RiskPoint,
    ranked_clients,
    record_risks,
    risk_over_time,
)

OLDER, OLD, NEW, NEWER = (f"{year}-01-01T00:00:00.000Z" for year in (2001, 2002, 2998, 2999))


def record(history: History, at: str, release: str = "r1", **risks: float | None) -> None:
    record_risks(history, release, 3, [ClientRisk(*told) for told in risks.items()])
    history.query("UPDATE rankings SET at = ? WHERE id = (SELECT max(id) FROM rankings)", at)


def points(history: History, client: str) -> list[tuple[str, float | None]]:
    return [(at, risk) for at, _, risk in risk_over_time(history, client)]


def rankings(history: History) -> list[tuple[object, ...]]:
    return history.tuples("SELECT at, release, clients FROM rankings ORDER BY id")


@pytest.fixture
def many(history: History) -> History:
    """A history of 9,000 clients, with one old point each."""
    record(history, OLD, **{f"c{i}": 0.5 for i in range(9_000)})
    return history


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
    record(history, OLD, "r2", a=0.75)
    record(history, NEW, "r3", a=None, b=0.2)
    record(history, NEWER, "r3", a=0.75)

    assert risk_over_time(history, "a") == (
        RiskPoint(OLDER, "r1", 0.5),
        RiskPoint(OLD, "r2", 0.75),
        RiskPoint(NEW, "r3", None),
        RiskPoint(NEWER, "r3", 0.75),
    )
    assert points(history, "b") == [(OLDER, 0.1), (NEW, 0.2)]
    assert rankings(history) == [(OLDER, "r1", 3), (OLD, "r2", 3), (NEW, "r3", 3), (NEWER, "r3", 3)]


def test_of_however_many_all_are_recorded_in_one_ranking(
    history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(risk_history, "CHUNK", 3)
    for risk in (0.5, 0.7):
        record_risks(history, "r1", 10, (ClientRisk(f"c{i}", risk) for i in range(10)))

    assert [len(points(history, f"c{i}")) for i in range(10)] == [2] * 10
    assert ranked_clients(history) == [f"c{i}" for i in range(10)]
    assert len(rankings(history)) == 2


def test_whoever_reads_waits_for_a_part_at_most(
    history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(risk_history, "TOGETHER", 1)
    count, looks = 6 * risk_history.CHUNK, []

    def risks() -> Iterator[ClientRisk]:
        for i in range(count):
            if i % risk_history.CHUNK == 0:
                with open_history(history.place) as reader:
                    if isinstance(history.place, Path):
                        reader.connection.execute("PRAGMA busy_timeout = 0")
                    looks.append(reader.tuples("SELECT count(*) FROM client_risk")[0][0])
            yield ClientRisk(f"a client whose name is a long one, number {i:09}", 0.5)

    record_risks(history, "r1", count, risks())

    # the next part is ready before one is recorded
    assert looks == [max(0, i - 1) * risk_history.CHUNK for i in range(6)]
    assert history.tuples("SELECT count(*) FROM client_risk") == [(count,)]
    assert len(rankings(history)) == 1


def test_a_killed_run_leaves_what_it_recorded_and_the_next_adds_the_rest(
    history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(risk_history, "CHUNK", 1)
    monkeypatch.setattr(risk_history, "TOGETHER", 1)
    told = [ClientRisk(name, 0.5) for name in "abc"]

    def killed() -> Iterator[ClientRisk]:
        yield from told[:2]
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        record_risks(history, "r1", 3, killed())
    record_risks(history, "r1", 3, told)

    assert [len(points(history, name)) for name in "abc"] == [1, 1, 1]
    assert ranked_clients(history) == ["a", "b", "c"]


def test_a_failure_on_the_way_records_nothing(
    history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(risk_history, "CHUNK", 1)

    def risks() -> Iterator[ClientRisk]:
        yield ClientRisk("a", 0.5)
        yield ClientRisk("c", 0.5)
        raise OSError("gone")

    for _ in range(2):
        with pytest.raises(OSError, match="gone"):
            record_risks(history, "r1", 10, risks())

    record_risks(history, "r1", 1, [ClientRisk("b", 0.5)])
    assert (ranked_clients(history), len(rankings(history))) == (["b"], 1)


@pytest.mark.parametrize("name", ["Smith, Jones", 'The "Best"', "=1+1", "'=1", "株式", "a b  c"])
def test_a_client_is_found_by_its_name(history: History, name: str) -> None:
    record_risks(history, "r1", 2, [ClientRisk(name, 0.5), ClientRisk(name + "x", 0.7)])

    assert [point.risk for point in risk_over_time(history, name)] == [0.5]
    assert ranked_clients(history) == [name, name + "x"]


def test_a_client_that_was_never_ranked_has_no_points(history: History) -> None:
    record(history, OLD, a=0.5)

    assert risk_over_time(history, "b") == ()


def test_where_nothing_changed_nothing_is_written(history: History) -> None:
    record_risks(history, "r1", 3, [])

    assert rankings(history) == []


def test_risks_that_are_on_record_already_are_not_recorded_again(history: History) -> None:
    record(history, OLDER, a=0.5, b=0.5, c=None)
    record_risks(history, "r1", 3, [ClientRisk("a", 0.5), ClientRisk("b", 0.5)])
    assert rankings(history) == [(OLDER, "r1", 3)]

    record(history, NEW, a=0.5, b=None)
    record_risks(history, "r1", 3, [ClientRisk("b", None)])

    assert points(history, "a") == [(OLDER, 0.5)]
    assert points(history, "b") == [(OLDER, 0.5), (NEW, None)]
    assert ranked_clients(history) == ["a", "b"]  # c was gone before it was ever ranked
    assert len(rankings(history)) == 2


def test_the_points_of_a_client_are_found_without_reading_those_of_others(
    many: History, steps: list[int]
) -> None:
    assert points(many, "c5000") == [(OLD, 0.5)]
    assert len(steps) < 100


# --- what is forgotten ---


def test_of_what_is_old_the_last_point_of_each_client_is_kept(history: History) -> None:
    record(history, OLDER, a=0.1, b=0.1, c=0.1)
    record(history, OLD, a=0.2, c=None)
    record(history, NEW, a=0.3)

    prune(history, 365)

    assert points(history, "a") == [(OLD, 0.2), (NEW, 0.3)]  # it had the one until the other
    assert points(history, "b") == [(OLDER, 0.1)]
    assert points(history, "c") == [(OLD, None)]


def test_a_ranking_that_no_point_is_of_is_forgotten(history: History) -> None:
    record(history, OLDER, a=0.1, b=0.1)
    record(history, OLD, a=0.2)
    record(history, OLD, "r2", a=0.3, b=0.3)
    record(history, NEW, a=0.4)

    prune(history, 365)

    assert rankings(history) == [(OLD, "r2", 3), (NEW, "r1", 3)]


def test_what_becomes_old_later_is_forgotten_then(history: History) -> None:
    record(history, OLDER, a=0.1, b=0.1)
    record(history, NEW, a=0.2)
    prune(history, 365)
    assert points(history, "a") == [(OLDER, 0.1), (NEW, 0.2)]

    history.query("UPDATE rankings SET at = ? WHERE at = ?", OLD, NEW)
    prune(history, 365)

    assert points(history, "a") == [(OLD, 0.2)]
    assert points(history, "b") == [(OLDER, 0.1)]
    assert [at for at, *_ in rankings(history)] == [OLDER, OLD]


def test_what_is_young_is_kept(history: History) -> None:
    for at in (NEW, NEWER):
        record(history, at, a=0.1 if at == NEW else 0.2)

    prune(history, 365)

    assert points(history, "a") == [(NEW, 0.1), (NEWER, 0.2)]


def test_what_has_been_old_for_long_is_not_looked_at_again(many: History, steps: list[int]) -> None:
    record(many, OLD, c1=0.6)
    prune(many, 365)
    steps.clear()

    prune(many, 365)

    assert len(steps) < 1_000
    assert points(many, "c1") == [(OLD, 0.6)]
