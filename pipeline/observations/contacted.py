"""Which outcomes a contact may have changed, and which rows of the control group stand for them.

docs/model-and-decisions.md has the rules. Days are counted from 1970-01-01.
"""

from dataclasses import dataclass
from datetime import date
from zlib import crc32

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.storage.contacts import Assignment, assignments, contacts
from pipeline.storage.database import History
from pipeline.storage.ledger import file_days

_SPAN, _FIRST = 1 << 32, 1 << 31  # more than there are days; as many lie before 1970
Events = tuple[tuple[str, int, int], ...]  # client, day, and how often a row then counts


@dataclass(frozen=True)
class Marks:
    """Who was contacted, and who was left alone to compare.

    Of contacts those in a campaign with a control group are `replaced` by its rows, in `control`,
    the others are not. `files` has the day of each content.
    """

    replaced: Events
    others: Events
    control: Events
    campaign_days: int
    files: dict[int, int]


@dataclass(frozen=True, eq=False)
class Marked:
    """Rows whose outcome a contact may have changed, of both kinds, and how often each counts.

    Each has the shape (rows,).
    """

    replaced: NDArray[np.bool_]
    others: NDArray[np.bool_]
    times: NDArray[np.int64]


def read_marks(history: History, campaign_days: int | None) -> Marks | None:
    """The contacts and control groups on record; None if nobody was ever contacted."""
    if campaign_days is None or history.one("SELECT 1 FROM contacts LIMIT 1") is None:
        return None
    events = [(each.client, _day(each.day), 1) for each in contacts(history)]
    control = [each for each in assignments(history) if each.control]
    begins = {each.campaign: _day(each.campaign) for each in control}
    days = {name: range(begin, begin + campaign_days) for name, begin in begins.items()}
    contacted = {day for _, day, _ in events}
    compared = {day for of in days.values() for day in of}
    return Marks(
        replaced=tuple(event for event in events if event[1] in compared),
        others=tuple(event for event in events if event[1] not in compared),
        control=tuple(
            (each.client, _day(each.day), _times(each))
            for each in control
            if not contacted.isdisjoint(days[each.campaign])  # else there is nothing to stand for
        ),
        campaign_days=campaign_days,
        files=file_days(history),
    )


def _day(text: str) -> int:
    return date.fromisoformat(text).toordinal() - date(1970, 1, 1).toordinal()


def _times(one: Assignment) -> int:
    """One over the share of the control group: a fraction is one time more for as many clients.

    Which they are is drawn by a hash, so that it stays so.
    """
    whole, fraction = divmod(1 / one.share, 1)
    text = f"{one.campaign} weighs {one.client}".encode(errors="surrogatepass")
    drawn = crc32(text) / _SPAN
    return int(whole) + (drawn < fraction)


def mark(
    marks: Marks,
    clients: "pd.Series[str]",
    begins: NDArray[np.int64],
    ends: NDArray[np.int64],
    days: int,
) -> Marked:
    """Mark rows whose outcome formed from `begins` until before `ends`, by their clients.

    A contact may change what comes in so many `days` from its own on. Arrays are of shape (rows,).
    """
    codes, names = pd.factorize(clients)
    index = pd.Index(names)
    least, most = (np.clip(each, -_FIRST, _FIRST - 1) for each in (begins, ends))
    low = codes * _SPAN + np.maximum(least - days, -_FIRST) + _FIRST
    high = codes * _SPAN + most + _FIRST

    def times(events: Events) -> NDArray[np.int64]:
        """What the first event in time of each row says; 0 where there is none."""
        who = index.get_indexer(pd.Index([client for client, _, _ in events], dtype=object))
        keys = who * _SPAN + np.array([day for _, day, _ in events], np.int64) + _FIRST
        order = np.argsort(keys)
        at = np.searchsorted(keys[order], low, side="right")
        met = np.append(keys[order], np.iinfo(np.int64).max)[at] < high
        said = np.append(np.array([each for _, _, each in events], np.int64)[order], 0)
        return np.where(met, said[at], 0)

    replaced = times(marks.replaced) > 0
    counts = np.where(replaced, 1, np.maximum(times(marks.control), 1))
    return Marked(replaced, (times(marks.others) > 0) & ~replaced, counts)
