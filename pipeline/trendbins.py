"""Long trends in few points: what the history tells, thinned so that it can be drawn and read."""

from dataclasses import dataclass

from pipeline.database import History
from pipeline.drift import DRIFT
from pipeline.trends import Deployment, Missing

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
    rows = history.tuples(
        "WITH ends AS (SELECT min(id) AS low, max(id) + 1 - min(id) AS wide FROM decisions)"
        " SELECT min(at), max(at), count(*), avg(new_f1), min(new_f1), max(new_f1),"
        " sum(verdict = ?) FROM decisions, ends WHERE new_f1 IS NOT NULL"
        " GROUP BY (id - low) * min(?, wide) / wide ORDER BY min(id)",
        *(DRIFT, most),
    )
    return [ScoreBin(*row) for row in rows]


def deployments_of(history: History, most: int = MOST_POINTS) -> list[Deployment]:
    """The last releases that went live, oldest first."""
    rows = history.tuples(
        "SELECT at, release, action, f1 FROM deployments ORDER BY id DESC LIMIT ?", most
    )
    return [Deployment(*row) for row in reversed(rows)]


def timing_bins(history: History, stage: str, most: int = MOST_POINTS) -> list[TimingBin]:
    """The seconds of every real run of a stage, oldest first, in at most so many bins."""
    rows = history.tuples(
        "WITH ends AS (SELECT min(id) AS low, max(id) + 1 - min(id) AS wide FROM timings"
        " WHERE stage = ?), bins AS (SELECT min(at) AS first, max(at) AS last, count(*) AS runs,"
        " avg(seconds), min(seconds), max(seconds), max(id) AS last_id FROM timings, ends"
        " WHERE stage = ? GROUP BY (id - low) * min(?, wide) / wide)"
        " SELECT bins.*, rows FROM bins JOIN timings ON timings.id = last_id ORDER BY last_id",
        *(stage, stage, most),
    )
    return [TimingBin(*row[:6], rows=row[7]) for row in rows]


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
        row = history.one("SELECT at FROM missing WHERE rowid >= ? LIMIT 1", place)
        if row and row["at"] not in found:
            found[row["at"]] = dict(
                history.tuples(
                    "SELECT column_name, percent FROM missing WHERE at = ? ORDER BY position",
                    row["at"],
                )
            )
    return [Missing(at, percent) for at, percent in found.items()]
