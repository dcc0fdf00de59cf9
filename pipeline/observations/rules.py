"""What a line of a client file means: a sighting of its client, or a report of an outcome.

An observation is a client with its features. A line that says so is a sighting, with one exception:
a known outcome for an observation that first came unknown is a report. docs/data.md has the rules.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd

Rows = NDArray[np.uint32]  # numbers of rows of finaldata.csv, from 0
Outcomes = NDArray[np.uint8]  # 0, 1 or `UNKNOWN`
Places = NDArray[np.uint64]  # the number of a file's content, and by `LINE_BITS` below it the line

UNKNOWN = 2
LINE_BITS = np.uint64(32)
# Of an observation: the places of its latest sighting and of the line by which its client left (0:
# none); the content that brought its outcome (0: none); its outcome; whether it first came unknown.
STATE = np.dtype(
    [("sighted", "<u8"), ("left", "<u8"), ("known", "<u4"), ("outcome", "u1"), ("late", "u1")]
)
States = NDArray[np.void]


@dataclass(frozen=True)
class Lines:
    """Lines of files in their order: whose observation each has, and what it says of it.

    Each array has the shape (lines,).
    """

    rows: Rows
    outcomes: Outcomes
    places: Places

    def __len__(self) -> int:
        return len(self.rows)

    def at(self, index: "NDArray[np.bool_] | NDArray[np.int64]") -> "Lines":
        """Some of them."""
        return Lines(self.rows[index], self.outcomes[index], self.places[index])


def content_of(places: Places) -> Rows:
    """The numbers of the contents that these places are in."""
    return (places >> LINE_BITS).astype("<u4")


def states_after_first(lines: Lines) -> States:
    """The states of observations by their first lines, one each."""
    known, states = lines.outcomes != UNKNOWN, np.zeros(len(lines), STATE)
    states["sighted"] = lines.places
    states["left"] = np.where(lines.outcomes == 1, lines.places, 0)
    states["known"] = np.where(known, content_of(lines.places), 0)
    states["outcome"] = lines.outcomes
    states["late"] = ~known
    return states


def states_after(lines: Lines, before: Callable[[Rows], States]) -> tuple[Rows, States]:
    """The observations that further lines are about, each once, and their states afterwards."""
    order = np.argsort(lines.rows, kind="stable")
    lines = lines.at(order)
    first = _differs(lines.rows)
    rows, group = lines.rows[first], np.cumsum(first) - 1
    states = before(rows)
    known = lines.outcomes != UNKNOWN
    report = known & (states["late"][group] == 1)
    # which of the known outcomes differ from the one known before
    at = np.flatnonzero(known)
    outcomes, of = lines.outcomes[at], group[at]
    earlier = np.concatenate([outcomes[:1], outcomes[:-1]])
    begins = _differs(of)
    earlier[begins] = states["outcome"][of[begins]]
    changed = outcomes != earlier
    # of several values assigned to one place, the last one stays: that of the last line
    sighted = np.flatnonzero(~report)
    states["sighted"][group[sighted]] = lines.places[sighted]
    states["outcome"][of] = outcomes
    states["known"][of[changed]] = content_of(lines.places[at[changed]])
    says = ~report & (lines.outcomes == 1)  # whether the client left
    says[at] |= report[at] & changed
    said = np.flatnonzero(says)
    places = np.where(lines.outcomes[said] == 1, lines.places[said], 0)
    states["left"][group[said]] = places
    return rows, states


def present_rows(
    clients: "pd.Series[str]", states: States
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Of each client the row of its latest sighting, in order; and whether the client has left.

    `clients` has the client of each row, as `states` its state.
    """
    import pandas as pd  # ingestion does without

    sighted, left = states["sighted"], states["left"]
    order = np.argsort(sighted, kind="stable")
    latest = ~clients.iloc[order].duplicated(keep="last").to_numpy()
    rows = np.sort(order[latest])
    said = np.flatnonzero(left)
    present = pd.Index(clients.iloc[rows])
    at = present.get_indexer(pd.Index(clients.iloc[said]))
    has_left = np.zeros(len(rows), np.bool_)
    has_left[at[left[said] >= sighted[rows[at]]]] = True
    return rows, has_left


def _differs(values: NDArray[np.generic]) -> NDArray[np.bool_]:
    """Which of some sorted values differ from the one before."""
    differs = np.ones(len(values), np.bool_)
    differs[1:] = values[1:] != values[:-1]
    return differs
