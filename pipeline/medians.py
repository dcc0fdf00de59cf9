"""Exact medians of columns whose numbers lie in buckets.

Every look tells how many numbers lie below, at and above a bracket, and some of those within it,
evenly spaced in order. From these the bracket becomes narrower, by a factor of some hundred a look,
until all numbers within it are known. Source of the method: selection by sampled bounds, Munro and
Paterson, Selection and Sorting with Limited Storage, Theoretical Computer Science 12(3), 1980.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from pipeline.buckets import stored
from pipeline.columnsums import BucketRows
from pipeline.engine import Engine

MOST_SHOWN = 2_000  # numbers within a bracket that one bucket tells of


class Bracket(NamedTuple):
    """Between which numbers one of a given rank lies, both included; rank 0 is the smallest."""

    column: int  # its place among the number columns
    rank: int
    low: float = -np.inf
    high: float = np.inf

    @property
    def found(self) -> bool:
        """Whether there is one number only that it can be."""
        return self.low == self.high


class Within(NamedTuple):
    """What a bucket has of a bracket.

    `below` counts the numbers below it, `low` and `high` those at its ends, `inside` those between;
    `shown` are some of these, in order, the first and the last of them included, and `step` is how
    many ranks lie between two of them at most: 1 where all are shown.
    """

    below: int
    low: int
    high: int
    inside: int
    shown: np.ndarray
    step: int


class Look(NamedTuple):
    """A look at a bucket for some brackets."""

    rows: BucketRows
    brackets: tuple[Bracket, ...]


def medians(engine: Engine, parts: Sequence[BucketRows], counts: Sequence[int]) -> list[float]:
    """The median of each number column, of which so many numbers are there; NaN of none.

    Of an even count, the mean of the two in the middle, as numpy has it.
    """
    wanted = [
        Bracket(column, rank)
        for column, count in enumerate(counts)
        for rank in ((count - 1) // 2, count // 2)
        if count
    ]
    found = select(lambda brackets: _looks(engine, parts, brackets), wanted)
    pairs = iter(found)
    return [(next(pairs) + next(pairs)) / 2 if count else np.nan for count in counts]


def _looks(
    engine: Engine, parts: Sequence[BucketRows], brackets: Sequence[Bracket]
) -> list[list[Within]]:
    return engine.map(within, [Look(rows, tuple(brackets)) for rows in parts])


def select(
    look: Callable[[Sequence[Bracket]], Sequence[Sequence[Within]]], wanted: Sequence[Bracket]
) -> list[float]:
    """The numbers of the wanted ranks; `look` tells for each bucket what it has of each bracket."""
    brackets = list(wanted)
    while open_ones := [i for i, bracket in enumerate(brackets) if not bracket.found]:
        looks = look([brackets[i] for i in open_ones])
        for place, i in enumerate(open_ones):
            brackets[i] = narrowed(brackets[i], [bucket[place] for bucket in looks])
    return [bracket.low for bracket in brackets]


def within(look: Look) -> list[Within]:
    """What a bucket has of each bracket; one column at a time is in memory."""
    asked = [bracket._replace(rank=0) for bracket in look.brackets]  # all ranks are told the same
    found: dict[Bracket, Within] = {}
    for column in sorted({bracket.column for bracket in asked}):
        values = _present(look.rows, look.rows.schema.numeric[column])
        found |= {b: _within(values, b) for b in set(asked) if b.column == column}
    return [found[bracket] for bracket in asked]


def _present(rows: BucketRows, column: str) -> np.ndarray:
    """The numbers of a column that are not missing: shape (any,)."""
    parts = [table[stored(column)].to_numpy() for table in rows.groups((column,))]
    values = np.concatenate([np.empty(0), *parts])
    present: np.ndarray = values[~np.isnan(values)]
    return present


def _within(values: np.ndarray, bracket: Bracket) -> Within:
    inside = np.sort(values[(values > bracket.low) & (values < bracket.high)])
    step = max(1, -(-len(inside) // MOST_SHOWN))
    places = np.minimum(np.arange(0, len(inside) + step, step), len(inside) - 1)
    return Within(
        below=int((values < bracket.low).sum()),
        low=int((values == bracket.low).sum()),
        high=int((values == bracket.high).sum()),
        inside=len(inside),
        shown=inside[np.unique(places)] if len(inside) else inside,
        step=step,
    )


def narrowed(bracket: Bracket, buckets: Sequence[Within]) -> Bracket:
    """A bracket after a look at every bucket."""
    below = sum(bucket.below for bucket in buckets)
    at_low = below + sum(bucket.low for bucket in buckets)
    inside = at_low + sum(bucket.inside for bucket in buckets)
    if bracket.rank < at_low:
        return bracket._replace(high=bracket.low)
    if bracket.rank >= inside:
        return bracket._replace(low=bracket.high)
    return _between(bracket, bracket.rank - at_low, [b for b in buckets if b.inside])


def _between(bracket: Bracket, rank: int, buckets: Sequence[Within]) -> Bracket:
    """The narrowest bracket for a rank among the numbers inside, by those that are shown."""
    shown = np.unique(np.concatenate([bucket.shown for bucket in buckets]))
    smaller, up_to = np.zeros(len(shown), "int64"), np.zeros(len(shown), "int64")
    for bucket in buckets:
        ranks = np.minimum(np.arange(len(bucket.shown)) * bucket.step, bucket.inside - 1)
        # no more are smaller than the rank of the first shown one that is not
        smaller += np.append(ranks, bucket.inside)[np.searchsorted(bucket.shown, shown, "left")]
        # no fewer are at most as large than up to the last shown one that is
        up_to += np.insert(ranks + 1, 0, 0)[np.searchsorted(bucket.shown, shown, "right")]
    return bracket._replace(
        low=float(shown[np.flatnonzero(smaller <= rank)[-1]]),
        high=float(shown[np.flatnonzero(up_to > rank)[0]]),
    )
