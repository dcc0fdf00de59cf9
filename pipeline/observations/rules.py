"""What a line of a client file means: a sighting of its client, or a report of an outcome.

An observation is a client with its features. A line that says so is a sighting, with one exception:
a known outcome for an observation that first came unknown is a report. docs/data.md has the rules.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pipeline.core.schema import Schema

if TYPE_CHECKING:
    import pandas as pd

Rows = NDArray[np.unsignedinteger]  # numbers of rows of finaldata.csv, from 0
Outcomes = NDArray[np.uint8]  # 0, 1 or `UNKNOWN`
Places = NDArray[np.uint64]  # the number of a file's content, and by `LINE_BITS` below it the line
Days = NDArray[np.uint32]  # as `date.toordinal` counts them, 0: none
Hashes = NDArray[np.uint64]
More = NDArray[np.uint64]  # the day of leaving and, above it, a hash of the columns that travel

UNKNOWN = 2
OUTCOME_TEXTS = (b"0", b"1", b"")
UNSAID = 2**32 - 1  # in place of a day of leaving: nothing is said of it
LINE_BITS = np.uint64(32)
# Of an observation: the places of its latest sighting and of the line by which its client left (0:
# none); the content that brought its outcome (0: none); its outcome; whether it first came unknown.
STATE = np.dtype(
    [("sighted", "<u8"), ("left", "<u8"), ("known", "<u4"), ("outcome", "u1"), ("late", "u1")]
)
# where the schema has more at the end of a row: the day of leaving, and the hash of the others
WIDE_STATE = np.dtype([*STATE.descr, ("day", "<u4"), ("carried", "<u4")])
States = NDArray[np.void]


def state_type(schema: Schema) -> "np.dtype[np.void]":
    """The form of the states."""
    return WIDE_STATE if len(schema.tail) > 1 else STATE


@dataclass(frozen=True)
class Lines:
    """Lines of files in their order: whose observation each has, and what it says of it.

    Each array has the shape (lines,); `more` is empty where the schema has no more than an outcome.
    `reports` are lines of files of outcomes alone, if there are any.
    """

    rows: Rows
    outcomes: Outcomes
    places: Places
    more: More = field(default_factory=lambda: np.zeros(0, np.uint64))
    reports: "NDArray[np.bool_] | None" = None

    def __len__(self) -> int:
        return len(self.rows)

    def at(self, index: "NDArray[np.bool_] | NDArray[np.int64]") -> "Lines":
        """Some of them."""
        more = self.more[index] if len(self.more) else self.more
        reports = None if self.reports is None else self.reports[index]
        return Lines(self.rows[index], self.outcomes[index], self.places[index], more, reports)


def content_of(places: Places) -> Rows:
    """The numbers of the contents that these places are in."""
    return (places >> LINE_BITS).astype("<u4")


def more_of(days: Days, carried: "NDArray[np.uint32]") -> More:
    """Days and hashes as one word each."""
    return days + (carried.astype(np.uint64) << np.uint64(32))


def parts_of(more: More) -> tuple[Days, "NDArray[np.uint32]"]:
    """The days and hashes in these words."""
    return more.astype(np.uint32), (more >> np.uint64(32)).astype(np.uint32)


def states_after_first(lines: Lines) -> States:
    """The states of observations by their first lines, one each, which are no reports."""
    known, leaves = lines.outcomes != UNKNOWN, lines.outcomes == 1
    states = np.zeros(len(lines), WIDE_STATE if len(lines.more) else STATE)
    if len(lines.more):
        states["day"], states["carried"] = parts_of(lines.more)
        known, leaves = known | (states["day"] > 0), leaves | (states["day"] > 0)
    states["sighted"] = lines.places
    states["left"] = np.where(leaves, lines.places, 0)
    states["known"] = np.where(known, content_of(lines.places), 0)
    states["outcome"] = lines.outcomes
    states["late"] = ~known
    return states


@dataclass(frozen=True)
class Changed:
    """Rows that became others: in their outcomes or days of leaving, and in what travels."""

    outcomes: Rows
    carried: Rows


def first_lines(lines: Lines, known: int) -> NDArray[np.bool_]:
    """Which lines are the first of new observations, which are numbered from `known` on, in order.

    Shape (lines,).
    """
    highest = np.maximum.accumulate(np.append(known - 1, lines.rows.astype(np.int64)))
    first: NDArray[np.bool_] = lines.rows > highest[:-1]
    return first


def take_in(lines: Lines, states: States) -> Changed:
    """Change states by lines of known observations that follow all others."""
    lines = lines.at(np.argsort(lines.rows, kind="stable"))
    first = _differs(lines.rows)
    rows, group = lines.rows[first], np.cumsum(first) - 1
    after = states[rows]
    known, leaves = lines.outcomes != UNKNOWN, lines.outcomes == 1
    report = known.copy()
    # of several values assigned to one place, the last one stays: that of the last line
    changed = _renew(after, "outcome", group, np.flatnonzero(known), lines.outcomes)
    days, carried = parts_of(lines.more)
    if len(days):
        said = (days > 0) & (days != UNSAID)
        report, leaves = report | said, leaves | said
        changed |= _renew(after, "day", group, np.flatnonzero(days != UNSAID), days)
    report &= after["late"][group] == 1
    if lines.reports is not None:
        report |= lines.reports
    sighted = np.flatnonzero(~report)
    after["sighted"][group[sighted]] = lines.places[sighted]
    if len(days):
        after["carried"][group[sighted]] = carried[sighted]
    after["known"][group[changed]] = content_of(lines.places[changed])
    # whether the client left: a report says so where it differs from the one before
    said_so = np.flatnonzero(np.where(report, changed, leaves))
    after["left"][group[said_so]] = np.where(leaves[said_so], lines.places[said_so], 0)
    other = {name: after[name] != states[name][rows] for name in states.dtype.names or ()}
    states[rows] = after
    outcomes = other["outcome"] | other.get("day", False)
    return Changed(rows[outcomes], rows[other["carried"]] if "carried" in other else rows[:0])


def _renew(
    states: States,
    name: str,
    group: NDArray[np.int64],
    at: NDArray[np.int64],
    values: "NDArray[np.uint8] | Days",
) -> NDArray[np.bool_]:
    """Let states have the values of the lines at these places; which lines differ from before."""
    found, of = values[at], group[at]
    earlier = np.concatenate([found[:1], found[:-1]])
    begins = _differs(of)
    earlier[begins] = states[name][of[begins]]
    states[name][of] = found
    changed = np.zeros(len(values), np.bool_)
    changed[at] = found != earlier
    return changed


def present_rows(
    clients: "pd.Series[str]", states: States, dates: "NDArray[np.int64] | None" = None
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Of each client the row of its latest sighting, in order; and whether the client has left.

    `clients` has the client of each row, as `states` its state. Where rows have dates, the latest
    is by date, then by order. Rows that were never sighted, of which there may be reports, are no
    present rows.
    """
    import pandas as pd  # ingestion does without

    sighted, left = states["sighted"], states["left"]
    day = np.zeros(len(states), np.int64) if dates is None else dates
    order = np.lexsort([sighted, day])
    order = order[sighted[order] > 0]
    latest = ~clients.iloc[order].duplicated(keep="last").to_numpy()
    rows = np.sort(order[latest])
    said = np.flatnonzero(left)
    at = pd.Index(clients.iloc[rows]).get_indexer(pd.Index(clients.iloc[said]))
    said, at = said[at >= 0], at[at >= 0]
    now = rows[at]  # the present row of the client
    later = (day[said] > day[now]) | ((day[said] == day[now]) & (left[said] >= sighted[now]))
    has_left = np.zeros(len(rows), np.bool_)
    has_left[at[later]] = True
    return rows, has_left


def _differs(values: NDArray[np.generic]) -> NDArray[np.bool_]:
    """Which of some sorted values differ from the one before."""
    differs = np.ones(len(values), np.bool_)
    differs[1:] = values[1:] != values[:-1]
    return differs
