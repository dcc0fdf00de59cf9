"""Long trends in few points: what the history tells, thinned so that it can be drawn and read."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from pipeline.monitoring.decisions import Verdict
from pipeline.storage.database import History
from pipeline.storage.trends import Missing

MOST_POINTS = 100


@dataclass(frozen=True)
class ScoreBin:
    """The scores of the live model on one batch, or on several that follow each other."""

    first: str  # when the first was judged
    last: str
    batches: int
    f1: float  # the mean
    low: float
    high: float
    drifted: int  # batches


@dataclass(frozen=True)
class TimingBin:
    """How long a stage took in one run, or in several that follow each other."""

    first: str
    last: str
    runs: int
    seconds: float  # the mean
    low: float
    high: float
    rows: int  # of the last


def score_bins(history: History, most: int = MOST_POINTS) -> list[ScoreBin]:
    """The F1 on every batch that has one, oldest first, in at most so many bins."""
    ends = history.tuples("SELECT min(id), max(id) FROM decisions")[0]
    question = (
        "SELECT min(at), max(at), count(*), avg(new_f1), min(new_f1), max(new_f1),"
        " sum(CASE WHEN verdict = ? THEN 1 ELSE 0 END) FROM decisions"
        " WHERE id BETWEEN ? AND ? AND new_f1 IS NOT NULL"
    )
    rows = (history.tuples(question, Verdict.DRIFT, *ids)[0] for ids in _ranges(ends, most))
    return [ScoreBin(*row) for row in rows if row[2]]


def timing_bins(history: History, stage: str, most: int = MOST_POINTS) -> list[TimingBin]:
    """The seconds of every real run of a stage, oldest first, in at most so many bins."""
    ends = history.tuples("SELECT min(id), max(id) FROM timings WHERE stage = ?", stage)[0]
    question = (
        "SELECT min(at), max(at), count(*), avg(seconds), min(seconds), max(seconds),"
        " (SELECT rows FROM timings WHERE stage = ? AND id <= ? ORDER BY id DESC LIMIT 1)"
        " FROM timings WHERE stage = ? AND id BETWEEN ? AND ?"
    )
    rows = (
        history.tuples(question, stage, last, stage, first, last)[0]
        for first, last in _ranges(ends, most)
    )
    return [TimingBin(*row) for row in rows if row[2]]


def _ranges(ends: Sequence[int | None], most: int) -> list[tuple[int, int]]:
    """All ids from one end to the other in so many ranges, or fewer: first and last of each.

    A question for each range takes half the time of one with GROUP BY, which sorts.
    """
    low, high = ends
    if low is None or high is None:
        return []
    count = min(most, high + 1 - low)
    edges = [low - (-(high + 1 - low) * i // count) for i in range(count + 1)]
    return [(first, after - 1) for first, after in pairwise(edges)]


def missing_samples(history: History, most: int = MOST_POINTS) -> list[Missing]:
    """The percent missing by column at so many moments, evenly spread over the records.

    The last one is among them. They are of all rows there are, which changes slowly: there is
    nothing to gain from a mean.
    """
    ends = history.one("SELECT min(rowid) AS low, max(rowid) AS high FROM missing")
    if ends is None or ends["high"] is None:
        return []
    low, high = ends["low"], ends["high"]
    places = {low + (high - low) * i // max(1, most - 1) for i in range(most)}
    found: dict[str, dict[str, float]] = {}
    for place in sorted(places):
        row = history.one("SELECT at FROM missing WHERE rowid >= ? ORDER BY rowid LIMIT 1", place)
        if row and row["at"] not in found:
            found[row["at"]] = dict(
                history.tuples(
                    "SELECT column_name, percent FROM missing WHERE at = ? ORDER BY position",
                    row["at"],
                )
            )
    return [Missing(at, percent) for at, percent in found.items()]
