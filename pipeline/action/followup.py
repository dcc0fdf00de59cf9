"""What became of the clients of a campaign: who left, who stayed, who was contacted before.

The outcome of a client since a day goes by what rows say: days of leaving, dates of rows, and the
days of the files that said so; docs/model-and-decisions.md has the rules. Days are counted from
1970-01-01.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.data.outcomes import NO_DAY, Days, days_of, pairs_of
from pipeline.observations.master import Master
from pipeline.observations.rules import Rows, content_of, present_rows
from pipeline.storage.contacts import Assignment, Contact

_NEVER = 1 << 40  # beyond all days, and exact as a float


@dataclass(frozen=True, eq=False)
class Evidence:
    """What is known of clients leaving and staying.

    Each row of `leavings` says that a `client` left no earlier than on the day `since`, and that
    this was known on the day `told`. `seen` has for each client the last day on which it surely was
    there, `gone` those who have left as of now; `newest` is the newest day of all rows.
    """

    leavings: pd.DataFrame
    seen: "pd.Series[int]"
    gone: frozenset[str]
    newest: int

    @classmethod
    def of(cls, rows: Master, files: dict[int, int]) -> Self:
        """What rows say; `files` has the day of each content, by its number."""
        schema, states, clients = rows.schema, rows.states, rows.frame[rows.schema.client]
        told, first = _days(content_of(states["left"]), files), _days(states["known"], files)
        dates = days_of(rows.frame[schema.date]) if schema.date else None
        at = _days(content_of(states["sighted"]), files) if dates is None else dates

        # A day of leaving is exact, and so is the date of a row that came with its outcome. Of one
        # whose outcome came late, it is between the date and the day of the file that said so, or
        # the client's next row. What was said again counts twice: in between it may have been back.
        exact, since = np.zeros(len(at), np.bool_), at
        latest = np.full(len(at), _NEVER)
        if dates is not None:
            exact, latest = states["left"] == states["sighted"], _next_days(clients, dates)
        if schema.left_on:
            left_on = days_of(rows.frame[schema.left_on])
            exact = exact | (left_on != NO_DAY)
            since = np.where(left_on != NO_DAY, left_on, at)
        leavings = []
        for known in (np.minimum(first, told), told):
            known = np.where(exact, since, np.minimum(known, latest))
            start = known if dates is None else np.minimum(since, known)
            leavings.append(_table(clients, start, known, states["left"] > 0))
        if schema.absent_left:
            for now, then in pairs_of(rows.lists.lists):
                lacking = ~clients.iloc[now.rows].isin(clients.iloc[then.rows]).to_numpy()
                day = np.full(len(lacking), then.day)
                leavings.append(_table(clients.iloc[now.rows], day, day, lacking))
        found = pd.concat(leavings, ignore_index=True)

        newest = max(rows.newest_day, *(() if schema.horizon_days else files.values()), NO_DAY)
        here, left = present_rows(clients, states, dates)
        gone = clients.iloc[here[left]]
        if schema.absent_left and rows.lists.lists:
            listed = clients.iloc[rows.lists.lists[-1].rows]
            gone = pd.concat([gone, clients[~clients.isin(listed)]])
        late = (states["late"] == 1) & (states["outcome"] == 0)
        there = states["sighted"] > states["left"]
        seen = [
            pd.Series(at[there], clients[there]),
            pd.Series(first[late], clients[late]),  # a report that a client has stayed
            pd.Series(found["since"].to_numpy() - 1, found["client"]),
            *(pd.Series(each.day, clients.iloc[each.rows]) for each in rows.lists.lists),
        ]
        if schema.left_on:  # empty in the newest row: not even now
            seen.append(pd.Series(newest, clients.iloc[here[~left]]))
        last = pd.concat(seen).groupby(level=0).max()
        return cls(found, last, frozenset(gone), newest)


def _days(contents: Rows, files: dict[int, int]) -> Days:
    """The days of these contents; `NO_DAY` of none."""
    numbers, which = np.unique(contents, return_inverse=True)
    return np.array([files.get(number, NO_DAY) for number in numbers.tolist()], np.int64)[which]


def _next_days(clients: "pd.Series[str]", days: Days) -> Days:
    """The day of each client's next row of a later day; `_NEVER` where there is none."""
    table = pd.DataFrame({"client": clients.to_numpy(), "day": days})
    each = table.drop_duplicates().sort_values("day")
    each["next"] = each.groupby("client")["day"].shift(-1, fill_value=_NEVER)
    following: Days = table.merge(each, how="left")["next"].to_numpy(np.int64)
    return following


def _table(
    clients: "pd.Series[str]", since: Days, told: Days, which: NDArray[np.bool_]
) -> pd.DataFrame:
    which = which & (since != NO_DAY)
    columns = {"client": clients.to_numpy()[which], "since": since[which], "told": told[which]}
    return pd.DataFrame(columns)


def follow_up(
    assigned: Sequence[Assignment],
    contacted: Sequence[Contact],
    evidence: Evidence,
    horizon_days: int = 0,
) -> pd.DataFrame:
    """The assignments, with what became of each.

    `left` is 1 or 0, NaN where no row tells; `ripe` is whether it can be known of all clients of
    that day by now: with a horizon, whether it has passed, and whether any client of that day or
    later is known to have stayed. `contacted` is whether the client was since then, before it left
    and within the horizon.
    """
    found = pd.DataFrame([vars(one) for one in assigned])
    start = days_of(found["day"])
    end = start + horizon_days if horizon_days else np.full(len(start), _NEVER)
    clients = found["client"]
    spans = pd.DataFrame({"client": clients, "start": start, "end": end, "row": found.index})

    events = spans.merge(evidence.leavings, on="client")
    events = events[(events["told"] > events["start"]) & (events["since"] <= events["end"])]
    if not horizon_days:
        events = events[events["client"].isin(evidence.gone)]
    known = events.groupby("row")["told"].min().reindex(found.index)
    left = known.notna().to_numpy()
    seen = clients.map(evidence.seen).fillna(NO_DAY).to_numpy(np.int64)
    if horizon_days:
        stayed = ~left & (seen >= end)
    else:
        stayed = ~left & (seen > start) & ~clients.isin(evidence.gone).to_numpy()
    passed = end <= evidence.newest if horizon_days else start < evidence.newest

    spans["end"] = np.minimum(known.fillna(_NEVER).to_numpy(np.int64), end)
    named = pd.DataFrame(
        {
            "client": [one.client for one in contacted],
            "on": days_of(pd.Series([one.day for one in contacted], dtype="str")),
        }
    )
    contacts = spans.merge(named, on="client")
    within = (contacts["on"] >= contacts["start"]) & (contacts["on"] <= contacts["end"])
    return found.assign(
        start=start,
        left=np.where(left, 1.0, np.where(stayed, 0.0, np.nan)),
        ripe=passed & (start <= start[stayed].max(initial=NO_DAY)),
        contacted=found.index.isin(contacts.loc[within, "row"]),
    )


def traits(rows: Master, files: dict[int, int], found: pd.DataFrame) -> pd.DataFrame:
    """What the carried and category columns said of each client on the day of its assignment.

    By the row of that day or the last before; where there is none, by its first.
    """
    schema, frame = rows.schema, rows.frame
    columns = [*schema.carry, *schema.categorical]
    if schema.date:
        at = days_of(frame[schema.date])
    else:
        at = _days(content_of(rows.states["sighted"]), files)
    clients = frame[schema.client].to_numpy(object)
    known = pd.DataFrame({"client": clients, "at": at, "place": np.arange(len(frame))})
    asked = found[["client", "start"]].reset_index().astype({"client": known["client"].dtype})
    before = pd.merge_asof(
        asked.sort_values("start", kind="stable"),
        known.sort_values("at", kind="stable"),
        by="client",
        left_on="start",
        right_on="at",
    ).set_index("index")["place"]
    first = found["client"].map(known.groupby("client")["place"].min())
    place = before.reindex(found.index).fillna(first).dropna().astype("int64")
    return frame[columns].iloc[place].set_axis(place.index).reindex(found.index)
