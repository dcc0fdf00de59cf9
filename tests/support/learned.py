"""The outcomes to learn from, as they follow from dates, days of leaving and full lists: said
plainly, to compare with. Days are ISO texts, which sort as days do.
"""

from datetime import date, timedelta
from itertools import pairwise
from typing import NamedTuple

from truth import FullList, Observation, Truth

LEFT_OUT = "left out"  # of training: the client had left by then
Answer = int | str | None  # 0, 1, LEFT_OUT, or None where it is not known


class Row(NamedTuple):
    """An observation on a day: its own date, or that of a list that it is on."""

    day: str
    sighted: int
    key: str
    gone: bool
    left_on: str


class Leaving(NamedTuple):
    """A run of rows that say that the client has left."""

    first: int  # index of its first row
    day: str


def learned(truth: Truth) -> dict[str, Answer]:
    """Client, date and features -> the outcome to learn."""
    schema = truth.schema
    if schema.horizon_days:
        return _within_horizon(truth)
    said = {key: _sent(truth, known) for key, known in truth.observations().items()}
    listed = _by_next_list(truth) if schema.absent_left else {}
    return {key: 1 if answer == 1 else listed.get(key, answer) for key, answer in said.items()}


def _sent(truth: Truth, known: Observation) -> Answer:
    """What was said of an observation itself."""
    if known.gone:
        return 1
    return 0 if known.outcome == "0" or truth.schema.left_on else None


def _by_next_list(truth: Truth) -> dict[str, Answer]:
    """What the last list that an observation is on, and the next one, say of it."""
    lists = truth.believed()
    result: dict[str, Answer] = {}
    for earlier, later in _pairs(lists):
        for key in earlier.keys:
            result[key] = 0 if key.split(",")[0] in later.clients else 1
    return result


def _pairs(lists: list[FullList]) -> list[tuple[FullList, FullList]]:
    """Each list with the next one; of those of one day the last, which may have come in parts."""
    last = {full.day: full for full in lists}
    return [(earlier, last[later.day]) for earlier, later in pairwise(lists)]


def _within_horizon(truth: Truth) -> dict[str, Answer]:
    """Whether the client left within so many days after the observation."""
    known = truth.observations()
    lists = truth.believed()
    if truth.schema.date:
        days = {(observation.date, key) for key, observation in known.items()}
    else:
        days = {(full.day, key) for full in lists for key in full.keys}
    rows: dict[str, list[Row]] = {}
    last = {key: day for day, key in sorted(days)}
    for day, key in days:
        of = known[key]
        gone = of.gone and (bool(of.left_on) or day == last[key])
        rows.setdefault(of.client, []).append(Row(day, of.sighted, key, gone, of.left_on))
    all_days = {day for day, _ in days} | {full.day for full in lists}
    result: dict[str, Answer] = dict.fromkeys(known)
    for client in rows:
        for row, answer in _of_client(truth, lists, client, sorted(rows[client]), max(all_days)):
            if answer in (0, 1) or result[row.key] is None:
                result[row.key] = answer
    return result


def _of_client(
    truth: Truth, lists: list[FullList], client: str, rows: list[Row], newest: str
) -> list[tuple[Row, Answer]]:
    """Each row of a client, in order, with its answer."""
    runs = _runs(rows)
    leavings = [run.day for run in runs]
    listed = [full.day for full in lists if client in full.clients]
    if truth.schema.absent_left:
        pairs = _pairs(lists)
        leavings += [b.day for a, b in pairs if client in a.clients and client not in b.clients]

    def answer(index: int, row: Row) -> Answer:
        if row.gone and [run for run in runs if run.first <= index][-1].day <= row.day:
            return LEFT_OUT
        if any(index < run.first and run.day <= row.day for run in runs):
            return LEFT_OUT
        end = _after(row.day, truth.schema.horizon_days)
        if any(row.day < day <= end for day in leavings):
            return 1
        seen = (
            any(not other.gone and other.day >= end for other in rows)
            or any(day >= end for day in listed)
            or any(day > end for day in leavings)
            or (truth.schema.left_on and not rows[-1].gone)
        )
        return 0 if end <= newest and seen else None

    return [(row, answer(index, row)) for index, row in enumerate(rows)]


def _runs(rows: list[Row]) -> list[Leaving]:
    """The runs of rows that say that the client has left, each with the day of leaving."""
    runs: list[Leaving] = []
    for index, row in enumerate(rows):
        if not row.gone:
            continue
        if index == 0 or not rows[index - 1].gone:
            runs.append(Leaving(index, row.day))
        if row.left_on:
            runs[-1] = runs[-1]._replace(day=row.left_on)
    return runs


def _after(day: str, days: int) -> str:
    return (date.fromisoformat(day) + timedelta(days)).isoformat()
