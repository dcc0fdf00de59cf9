import random
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime, timedelta
from itertools import groupby, pairwise
from statistics import fmean
from typing import Any

import pytest
from sandbox import Sandbox

from pipeline.storage.database import History
from pipeline.storage.trends import (
    MAX_POINTS,
    ScoreBin,
    TimingBin,
    Trends,
    last_deployments,
    missing_samples,
    score_bins,
    timing_bins,
    trends,
)


def trends_of(world: Sandbox, most: int = 100) -> Trends:
    with History(world.config.history_path) as history:
        return trends(history, most)


def test_checks_are_reported_oldest_first(lived: Sandbox) -> None:
    recorded = lived.query(
        "SELECT at, rows, labelled, release, deployed_f1, new_f1, verdict, action, new_release"
        " FROM decisions ORDER BY id"
    )
    found = trends_of(lived).checks
    assert [
        (c.at, c.rows, c.labelled, c.release, c.deployed_f1, c.new_f1, c.verdict, c.action)
        for c in found
    ] == [row[:-1] for row in recorded]
    assert [c.new_release for c in found] == [row[-1] for row in recorded]
    assert [c.verdict for c in found] == ["nothing deployed", "no drift", "drift"]
    drifted = lived.query("SELECT count(*) FROM input_drift WHERE verdict = 'drift'")
    assert [(found[-1].drifted,)] == drifted != [(0,)]


def test_deployments_and_timings_are_reported(lived: Sandbox) -> None:
    found = trends_of(lived)
    assert [asdict(d) for d in found.deployments] == [
        dict(zip(("at", "release", "action", "f1"), row, strict=True))
        for row in lived.query("SELECT at, release, action, f1 FROM deployments ORDER BY id")
    ]
    assert [(t.stage, t.rows) for t in found.timings] == lived.query(
        "SELECT stage, rows FROM timings ORDER BY id"
    )


def test_missing_percentages_are_reported_by_column(lived: Sandbox) -> None:
    found = trends_of(lived).missing
    assert len(found) == 3
    assert list(found[-1].percent) == list(lived.config.schema.columns)
    assert [one.at for one in trends_of(lived, 2).missing] == [one.at for one in found[1:]]


def test_files_with_something_wrong_are_reported(lived: Sandbox) -> None:
    assert [(r.name, r.rows, r.set_aside, r.reason is None) for r in trends_of(lived).refused] == [
        ("d.csv", 401, 1, True),
        ("e.csv", 0, 0, False),
    ]


def test_only_the_last_are_reported(lived: Sandbox) -> None:
    found = trends_of(lived, 1)
    assert [len(kind) for kind in vars(found).values()] == [1] * 6
    assert found.checks[0].verdict == "drift"
    assert found.refused[0].name == "e.csv"


def test_nothing_recorded_is_nothing_reported(sandbox: Sandbox) -> None:
    assert trends_of(sandbox) == Trends((), (), (), (), (), ())


Row = tuple[Any, ...]
SIZES = [1, 99, 100, 101, 1_000]


def at(number: int) -> str:
    return f"{datetime(2026, 1, 1) + timedelta(minutes=10 * number):%Y-%m-%dT%H:%M:%SZ}"


def decide(history: History, count: int) -> None:
    """Decisions of which every third has no F1 and some drifted."""
    lot = random.Random(count)
    with history.transaction():
        history.many(
            "INSERT INTO decisions (id, at, files, rows, labelled, new_f1, verdict, action, reason)"
            " VALUES (?, ?, '[]', 1, 1, ?, ?, 'kept', '')",
            (
                (i, at(i), None if i % 3 == 2 else lot.random(), lot.choice(("drift", "no drift")))
                for i in range(1, count + 1)
            ),
        )


def time_stages(history: History, count: int) -> None:
    lot = random.Random(count)
    with history.transaction():
        history.many(
            "INSERT INTO timings (id, at, stage, seconds, rows) VALUES (?, ?, ?, ?, ?)",
            (
                (i, at(i), ("training", "ingestion")[i % 2], lot.random(), lot.randrange(9_999))
                for i in range(1, count + 1)
            ),
        )


def prune(history: History, table: str) -> None:
    """Leave gaps in the ids, at the start and in between; the last one stays."""
    history.query(
        f"DELETE FROM {table} WHERE (id < (SELECT max(id) / 3 FROM {table}) OR id % 7 = 3)"
        f" AND id < (SELECT max(id) FROM {table})"
    )


def recomputed(rows: list[Row], kind: Any, last: Callable[[list[Row]], int]) -> list[Any]:
    """Rows of an id, a time, a number and something, in parts of the span of their ids."""
    low, span = (rows[0][0], rows[-1][0] + 1 - rows[0][0]) if rows else (0, 1)
    found = []
    for _, group in groupby(rows, lambda row: (row[0] - low) * MAX_POINTS // span):
        if part := [row for row in group if row[2] is not None]:
            values = [row[2] for row in part]
            mean = pytest.approx(fmean(values), abs=1e-12)
            ends = part[0][1], part[-1][1]
            found.append(kind(*ends, len(part), mean, min(values), max(values), last(part)))
    return found


@pytest.mark.parametrize("pruned", [False, True])
@pytest.mark.parametrize("count", SIZES)
def test_scores_and_timings_are_binned_as_by_brute_force(
    history: History, count: int, pruned: bool
) -> None:
    decide(history, count)
    time_stages(history, count)
    for table in ("decisions", "timings") if pruned else ():
        prune(history, table)

    rows = history.tuples("SELECT id, at, new_f1, verdict FROM decisions ORDER BY id")
    found = score_bins(history)
    assert found == recomputed(rows, ScoreBin, lambda part: sum(r[3] == "drift" for r in part))
    assert len(found) <= MAX_POINTS
    for stage in ("ingestion", "training"):
        sql = "SELECT id, at, seconds, rows FROM timings WHERE stage = ? ORDER BY id"
        expected = recomputed(history.tuples(sql, stage), TimingBin, lambda part: part[-1][3])
        assert timing_bins(history, stage) == expected
        assert len(expected) <= MAX_POINTS


def record_missing(history: History, count: int) -> None:
    with history.transaction():
        history.many(
            "INSERT INTO missing (at, position, column_name, percent) VALUES (?, ?, ?, ?)",
            ((at(i), j, f"column{j}", i + j / 10) for i in range(count) for j in range(5)),
        )


@pytest.mark.parametrize("pruned", [False, True])
@pytest.mark.parametrize("count", SIZES)
def test_missing_percentages_are_whole_records_evenly_spread(
    history: History, count: int, pruned: bool
) -> None:
    record_missing(history, count)
    if pruned:
        history.query("DELETE FROM missing WHERE at < ?", at(count // 3))

    found = missing_samples(history)

    start = count // 3 if pruned else 0
    places = [int(one.percent["column0"]) for one in found]
    assert len(found) == min(MAX_POINTS, count - start)
    assert places[-1] == count - 1
    gaps = {after - before for before, after in pairwise(places)}
    assert not gaps or max(gaps) - min(gaps) <= 1
    assert all(one.at == at(i) for one, i in zip(found, places, strict=True))
    assert all(
        one.percent == {f"column{j}": i + j / 10 for j in range(5)}
        for one, i in zip(found, places, strict=True)
    )


def test_an_empty_history_has_no_points(history: History) -> None:
    assert score_bins(history) == []
    assert timing_bins(history, "training") == []
    assert missing_samples(history) == ()
    assert last_deployments(history, MAX_POINTS) == ()


def test_fewer_points_can_be_asked_for(history: History) -> None:
    decide(history, 100)
    time_stages(history, 100)
    record_missing(history, 100)

    assert [part.batches for part in score_bins(history, 4)] == [17, 16, 17, 17]
    assert [part.runs for part in timing_bins(history, "training", 1)] == [50]
    assert [one.at for one in missing_samples(history, 3)] == [at(33), at(66), at(99)]
