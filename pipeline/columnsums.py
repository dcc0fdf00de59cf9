"""What one look at the rows of a bucket tells of their columns, and how looks add up."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.buckets import row_groups, stored
from pipeline.schema import Schema


class BucketRows(NamedTuple):
    """Rows of a bucket: all, or those with a known outcome, but for those of some clients."""

    path: Path
    schema: Schema
    labelled: bool = False
    without: frozenset[str] = frozenset()

    def groups(self, columns: Sequence[str], ours: Sequence[str] = ()) -> Iterator[pa.Table]:
        """The rows a group at a time, in order: these columns, ours, and what tells them apart."""
        schema = self.schema
        asked = [*columns]
        asked += [schema.outcome] if self.labelled and schema.outcome not in columns else []
        asked += [schema.client] if self.without and schema.client not in columns else []
        for table in row_groups(self.path, asked, ours):
            kept = table
            if self.labelled:
                kept = kept.filter(pc.is_valid(kept[stored(schema.outcome)]))
            if self.without:
                clients = kept[stored(schema.client)]
                others = pa.array(sorted(self.without), clients.type)
                kept = kept.filter(pc.invert(pc.is_in(clients, others)))
            yield kept


@dataclass(frozen=True)
class Moments:
    """How many numbers there are, their mean, and the sum of their squared distances from it.

    `rest` is what the mean is off: numbers that differ in their last digits only need it.
    """

    count: int = 0
    mean: float = 0.0
    squares: float = 0.0
    rest: float = 0.0

    def plus(self, other: "Moments") -> "Moments":
        """Those of both together.

        Source: Chan, Golub and LeVeque, Algorithms for Computing the Sample Variance, American
        Statistician 37(3), 1983.
        """
        if not self.count or not other.count:
            return self if self.count else other
        count = self.count + other.count
        apart = other.mean - self.mean + (other.rest - self.rest)
        way = apart * other.count / count + self.rest
        mean = self.mean + way
        return Moments(
            count,
            mean,
            self.squares + other.squares + apart**2 * self.count * other.count / count,
            way - (mean - self.mean),
        )


@dataclass(frozen=True)
class ColumnSums:
    """Rows, those of a known outcome, those who left; each number column, each category's rows."""

    rows: int
    known: int
    left: int
    numbers: tuple[Moments, ...]
    categories: tuple[dict[str, int], ...]

    def plus(self, other: "ColumnSums") -> "ColumnSums":
        """Those of both together."""
        return ColumnSums(
            self.rows + other.rows,
            self.known + other.known,
            self.left + other.left,
            tuple(a.plus(b) for a, b in zip(self.numbers, other.numbers, strict=True)),
            tuple(
                dict(Counter(a) + Counter(b))
                for a, b in zip(self.categories, other.categories, strict=True)
            ),
        )


def no_sums(schema: Schema) -> ColumnSums:
    """Those of no row."""
    return ColumnSums(
        0, 0, 0, tuple(Moments() for _ in schema.numeric), tuple({} for _ in schema.categorical)
    )


def column_sums(rows: BucketRows) -> ColumnSums:
    """Those of some rows of a bucket."""
    schema = rows.schema
    groups = rows.groups((*schema.features, schema.outcome))
    return all_sums((_sums_of(table, schema) for table in groups), schema)


def all_sums(parts: Iterable[ColumnSums], schema: Schema) -> ColumnSums:
    """Those of all parts, added in their order: the same parts give the same digits."""
    return reduce(ColumnSums.plus, parts, no_sums(schema))


def _sums_of(table: pa.Table, schema: Schema) -> ColumnSums:
    outcomes = table[stored(schema.outcome)]
    return ColumnSums(
        rows=len(table),
        known=len(table) - outcomes.null_count,
        left=int(pc.sum(outcomes).as_py() or 0),
        numbers=tuple(map(_moments, numbers_of(table, schema).T)),
        categories=tuple(_counts(table[stored(column)]) for column in schema.categorical),
    )


def numbers_of(table: pa.Table, schema: Schema) -> np.ndarray:
    """The number columns: shape (rows, columns), NaN where missing."""
    numbers = np.empty((len(table), len(schema.numeric)))
    for place, column in enumerate(schema.numeric):
        numbers[:, place] = table[stored(column)].to_numpy()
    return numbers


def _moments(values: np.ndarray) -> Moments:
    present = values[~np.isnan(values)]
    if not len(present):
        return Moments()
    about = float(present.mean())
    apart = present - about
    rest = float(apart.mean())
    mean = about + rest
    squares = float(((apart - rest) ** 2).sum())
    return Moments(len(present), mean, squares, rest - (mean - about))


def _counts(texts: pa.ChunkedArray) -> dict[str, int]:
    found = pc.value_counts(texts)
    return dict(
        zip(found.field("values").to_pylist(), found.field("counts").to_pylist(), strict=True)
    )
