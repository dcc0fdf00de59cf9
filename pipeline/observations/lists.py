"""Full lists of clients: which files make one, and which is believed."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.core.schema import Schema
from pipeline.data.outcomes import FullList, days_of
from pipeline.observations.row_keys import RowKeys
from pipeline.observations.sightings import BAD, SightingsLog, keys_of
from pipeline.storage.ledger import ListedFile

MAX_LACKING = 0.5  # of the clients of the list believed last


def lists_by_date(frame: pd.DataFrame, schema: Schema) -> list[FullList]:
    """The rows of each date as one list."""
    days = days_of(frame[schema.date])
    order = np.argsort(days, kind="stable")
    found, begins = np.unique(days[order], return_index=True)
    parts = np.split(order, begins[1:]) if len(order) else []
    return [FullList(int(day), rows) for day, rows in zip(found, parts, strict=True)]


def lists_by_file(
    contents: Sequence[ListedFile], sightings: SightingsLog, keys: RowKeys
) -> list[FullList]:
    """The files of each day as one list; a file that is written again begins the next one.

    What it held before on that day is then no longer on it.
    """
    low = keys_of(keys.low_words())
    order, found = np.argsort(low), []
    by_day = sorted(contents, key=lambda content: (content.day, content.id))
    for day, files in groupby(by_day, key=lambda content: content.day):
        listed: dict[str, NDArray[np.int64]] = {}
        for file in files:
            content = sightings.content(file.log_at)
            if content.reports:
                continue
            if file.name in listed:
                found.append(_joined(day, listed))
            codes = keys_of(content.codes[content.codes != BAD])
            listed[file.name] = order[np.searchsorted(low, codes, sorter=order)]
        if listed:
            found.append(_joined(day, listed))
    return found


def _joined(day: int, listed: dict[str, NDArray[np.int64]]) -> FullList:
    return FullList(day, np.concatenate(list(listed.values())))


@dataclass(frozen=True)
class Believed:
    """The lists that count, oldest first; and why the newest is none of them, if it is not."""

    lists: tuple[FullList, ...] = ()
    doubt: str | None = None


def believed(lists: Sequence[FullList], clients: "pd.Series[str]") -> Believed:
    """Leave out lists that lack most clients, unless the next one says the same.

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
