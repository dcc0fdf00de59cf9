"""What each row teaches: whether its client left within the horizon after the row's date.

docs/data.md has the rules. Days are counted from 1970-01-01.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.core.schema import Schema

Days = NDArray[np.int64]
Index = NDArray[np.int64]

NO_DAY = int(np.iinfo(np.int64).min)  # what numpy makes of a date that is none
_FAR = int(np.iinfo(np.int64).max)
_SPAN, _FIRST = 1 << 32, 1 << 31  # more than there are days; as many lie before 1970


@dataclass(frozen=True)
class FullList:
    """One whole list of clients: its day, and the rows that were on it.

    As many of its lines are `unread`, in which any client may be. `of` are the numbers of the
    contents it is made of, or, where rows have dates, the days.
    """

    day: int
    rows: Index
    unread: int = 0
    of: tuple[int, ...] = ()


def days_of(texts: "pd.Series[str]") -> Days:
    """The days of texts in ISO's form: shape (rows,), `NO_DAY` where they are empty."""
    return texts.to_numpy(dtype="datetime64[D]").astype(np.int64)


def newest_day(frame: pd.DataFrame, schema: Schema, lists: Sequence[FullList] = ()) -> int:
    """The newest day of a table and its lists; `NO_DAY` where nothing has one."""
    dates = days_of(frame[schema.date]) if schema.date else np.zeros(0, np.int64)
    return max([int(dates.max(initial=NO_DAY)), *(each.day for each in lists)])


def learned_outcomes(
    frame: pd.DataFrame,
    schema: Schema,
    *,
    newest: int = NO_DAY,
    order: "NDArray[np.uint64] | None" = None,
    lists: Sequence[FullList] = (),
) -> tuple[NDArray[np.float64], Days]:
    """The outcome that each row teaches, 0 or 1, NaN where it teaches none, and since which day.

    Both are of shape (rows,); there are days where a horizon begins on them, else `NO_DAY`.
    `newest` is the newest day that is known of, if it is beyond the frame; `order` orders rows of
    one date; `lists` are the full lists that are believed, oldest first.
    """
    outcome: NDArray[np.float64] = frame[schema.outcome].to_numpy("float64", copy=True)
    since = np.full(len(frame), NO_DAY)
    left_on = days_of(frame[schema.left_on]) if schema.left_on else since
    gone = (outcome == 1) | (left_on != NO_DAY)
    clients = pd.factorize(frame[schema.client])[0]
    if schema.horizon_days and (schema.date or lists):
        rows = np.arange(len(frame))
        if schema.date:
            days = days_of(frame[schema.date])
        else:  # a row has the days of the lists that it is on
            days = np.repeat([each.day for each in lists], [len(each.rows) for each in lists])
            rows = np.concatenate([each.rows for each in lists])
        by = np.lexsort((rows if order is None else order[rows], days, clients[rows]))
        rows, days = rows[by], days[by]
        left = gone[rows]
        if not schema.date:  # what was sent of the outcome alone is true of its last day only
            left &= ~pd.Series(rows).duplicated(keep="last").to_numpy() | (left_on[rows] != NO_DAY)
        newest = max(newest, newest_day(frame, schema, lists))
        found = _within_horizon(rows, days, left, left_on[rows], clients, schema, lists, newest)
        learned, since, known = np.full(len(frame), np.nan), since.copy(), ~np.isnan(found)
        learned[rows[known]] = found[known]  # of several the last one stays: that of the last day
        since[rows[known]] = days[known]
        return learned, since
    if schema.left_on:
        outcome[np.isnan(outcome)] = 0
    if schema.absent_left:
        for now, then in pairs_of(lists):
            outcome[now.rows] = ~np.isin(clients[now.rows], clients[then.rows])
    outcome[gone] = 1
    return outcome, since


def pairs_of(lists: Sequence[FullList]) -> Iterator[tuple[FullList, FullList]]:
    """Each list with the next one; of those of one day the last, for it may have come in parts."""
    last = {each.day: each for each in lists}
    for now, then in pairwise(lists):
        yield now, last[then.day]


def _within_horizon(
    rows: Index,
    days: Days,
    gone: NDArray[np.bool_],
    left_on: Days,
    clients: Index,
    schema: Schema,
    lists: Sequence[FullList],
    newest: int,
) -> NDArray[np.float64]:
    """What rows teach, which are in order of client, then day.

    `gone` says of each whether its client had left, `clients` has that of each row of the table.
    """
    of = clients[rows]
    # consecutive rows of a client that had left are one leaving: on the day known last, else on
    # that of the first of them
    begins = gone.copy()
    begins[1:] &= ~gone[:-1] | (of[1:] != of[:-1])
    leaving, number = days[begins], np.cumsum(begins) - 1
    filled = gone & (left_on != NO_DAY)
    leaving[number[filled]] = left_on[filled]
    left_out = np.zeros(len(of), np.bool_)  # what is of the day of leaving, or later
    left_out[gone] = leaving[number[gone]] <= days[gone]
    later = np.full(len(of), _FAR)
    later[begins] = leaving
    left_out |= pd.Series(later[::-1]).groupby(of[::-1]).cummin().to_numpy()[::-1] <= days

    leavers, leaving_days = [of[begins]], [leaving]
    seen = np.full(clients.max(initial=-1) + 1, NO_DAY)  # until when each client surely was there
    np.maximum.at(seen, of[~gone], days[~gone])
    if schema.left_on:  # empty in the newest row: not even now
        last = np.append(of[1:] != of[:-1], np.ones(min(1, len(of)), np.bool_)) & ~gone
        seen[of[last]] = newest
    for each in lists:
        seen[clients[each.rows]] = np.maximum(seen[clients[each.rows]], each.day)
    if schema.absent_left:
        for now, then in pairs_of(lists):
            absent = np.setdiff1d(clients[now.rows], clients[then.rows])
            leavers.append(absent)
            leaving_days.append(np.full(len(absent), then.day))
    who, when = np.concatenate(leavers), np.concatenate(leaving_days)
    np.maximum.at(seen, who, when - 1)

    ends = days + schema.horizon_days
    keys = np.sort(who * _SPAN + when + _FIRST)
    at = np.searchsorted(keys, of * _SPAN + days + _FIRST, side="right")
    left = np.append(keys, _FAR)[at] <= of * _SPAN + ends + _FIRST
    stayed = (ends <= newest) & (seen[of] >= ends)
    found = np.where(left, 1.0, np.where(stayed, 0.0, np.nan))
    found[left_out] = np.nan
    return found


def matured(outcomes: NDArray[np.float64], schema: Schema) -> int:
    """How many rows, oldest first, are no newer than the newest whose client stayed.

    Within the horizon only leavers are known yet: newer rows would make them too many. Without a
    horizon all rows are. `outcomes` has 0 or 1 for each row.
    """
    if not schema.horizon_days:
        return len(outcomes)
    return int(np.flatnonzero(outcomes == 0).max(initial=-1)) + 1
