"""Full lists of clients: which files make one, and which is believed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.core.schema import Schema
from pipeline.data.outcomes import FullList, days_of
from pipeline.observations.row_keys import Words
from pipeline.observations.sightings import BAD, SightingsLog, keys_of
from pipeline.storage.ledger import ListedFile

REJECTED = 1 << 40  # lines that a rejected file may have: more than there are clients
MAX_LACKING = 0.5  # of the clients of the list believed last


def lists_by_date(frame: pd.DataFrame, schema: Schema) -> list[FullList]:
    """The rows of each date as one list."""
    days = days_of(frame[schema.date])
    order = np.argsort(days, kind="stable")
    found, begins = np.unique(days[order], return_index=True)
    parts = np.split(order, begins[1:]) if len(order) else []
    days = found.tolist()
    return [FullList(day, rows, of=(day,)) for day, rows in zip(days, parts, strict=True)]


def lists_by_file(
    contents: Sequence[ListedFile], rows_of: Callable[[ListedFile], NDArray[np.int64] | None]
) -> list[FullList]:
    """The files of each day as one list; a file that is written again begins the next one.

    What it held before on that day is then no longer on it, unless what it holds now is rejected or
    held back, so that any client may be on it. `rows_of` gives the rows that a content
    has, None if it has outcomes alone.
    """
    found = []
    by_day = sorted(contents, key=lambda content: (content.day, content.id))
    for day, files in groupby(by_day, key=lambda content: content.day):
        listed: dict[str, FullList] = {}
        for file in files:
            if file.log_at is None:
                # what it held before on that day may still be true
                before = listed.get(file.name, FullList(day, np.zeros(0, np.int64)))
                listed[file.name] = replace(before, unread=REJECTED)
                continue
            if (rows := rows_of(file)) is None:
                continue
            if file.name in listed:
                found.append(_joined(listed))
            listed[file.name] = FullList(day, rows, file.set_aside, (file.id,))
        if any(len(each.rows) for each in listed.values()):
            found.append(_joined(listed))
    return found


def rows_by_key(
    sightings: SightingsLog, words: Words
) -> Callable[[ListedFile], NDArray[np.int64] | None]:
    """What gives the rows of `finaldata.csv` that a content has, by the keys in its lines."""
    low = keys_of(words)
    order = np.argsort(low)

    def rows_of(file: ListedFile) -> NDArray[np.int64] | None:
        assert file.log_at is not None
        content = sightings.content(file.log_at)
        if content.reports:
            return None
        codes = keys_of(content.codes[content.codes != BAD])
        return order[np.searchsorted(low, codes, sorter=order)]

    return rows_of


def renumbered(lists: Sequence[FullList], rows: NDArray[np.int64]) -> list[FullList]:
    """Lists by the places that these rows, in order, have among themselves; others are on none."""
    return [replace(each, rows=np.flatnonzero(np.isin(rows, each.rows))) for each in lists]


def in_part(
    lists: Sequence[FullList], counts: NDArray[np.bool_], unread: "pd.Series[str]"
) -> list[FullList]:
    """Lists without the rows that do not count; on the dates `unread` any client may be on one."""
    days = set(days_of(unread).tolist())
    found = []
    for each in lists:
        rows = each.rows[counts[each.rows]]
        if len(rows):
            more = REJECTED if each.day in days else each.unread
            found.append(replace(each, rows=rows, unread=more))
    return found


def _joined(parts: dict[str, FullList]) -> FullList:
    lists = list(parts.values())
    rows = np.concatenate([each.rows for each in lists])
    of = tuple(number for each in lists for number in each.of)
    return FullList(lists[0].day, rows, sum(each.unread for each in lists), of)


@dataclass(frozen=True)
class Believed:
    """The lists that count, oldest first; and why the newest is none of them, if it is not."""

    lists: tuple[FullList, ...] = ()
    doubt: str | None = None


def believed(lists: Sequence[FullList], clients: "pd.Series[str]") -> Believed:
    """Leave out lists that lack most clients, unless the next one says the same.

    Clients that a list lacks stay on it where they may all be in what was not read of it.
    `clients` has the client of each row.
    """
    codes, names = pd.factorize(clients)
    kept: list[FullList] = []
    last = np.zeros(len(names), np.bool_)  # whether each client is on the list believed last
    doubted: NDArray[np.bool_] | None = None
    doubt = ""
    for each in lists:
        listed = np.zeros(len(names), np.bool_)
        listed[codes[each.rows]] = True
        lacking = last & ~listed
        if kept and each.unread and lacking.sum() <= each.unread:
            before = kept[-1].rows
            rows = np.append(each.rows, before[lacking[codes[before]]])
            each = replace(each, rows=rows, of=(*each.of, *kept[-1].of))
            listed |= lacking
        if _is_part(last, listed) or (doubted is not None and _is_part(doubted, listed)):
            kept.append(each)
            last, doubted = listed, None
        else:
            doubted = listed
            doubt = (
                f"the newest list lacks {(last & ~listed).sum():,} of {last.sum():,} clients, more"
                " than half: it is not believed unless the next one says the same; until then"
                " clients are ranked by the list before it"
            )
    return Believed(tuple(kept), None if doubted is None else doubt)


def _is_part(before: "NDArray[np.bool_]", after: "NDArray[np.bool_]") -> bool:
    """Whether a list lacks no more clients of the one before than it may."""
    return bool((before & ~after).sum() <= MAX_LACKING * before.sum())
