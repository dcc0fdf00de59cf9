"""What a model learns from where rows lie in buckets: sums of all, and samples."""

import logging
import math
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
from sklearn.pipeline import Pipeline

from pipeline.buckets import ORDER, drawn, frame_of_rows, order_of, stored
from pipeline.columnsums import BucketRows, all_sums, column_sums
from pipeline.engine import Engine
from pipeline.estimators import fit_model
from pipeline.features import Row
from pipeline.learning import MOST_CHECKED
from pipeline.medians import medians
from pipeline.recipe import BOOSTING
from pipeline.reference import LARGEST_SAMPLE, Reference, reference_of
from pipeline.schema import Schema
from pipeline.sumsfit import fit_logistic

log = logging.getLogger(__name__)

MOST_BOOSTED = 1_000_000  # rows that boosted trees learn from: they are fitted in one process


class Draw(NamedTuple):
    """Rows of a bucket to be gathered: those drawn below the share of their outcome, 0 or 1."""

    rows: BucketRows
    shares: tuple[float, float]


class BucketData:
    """The labelled rows of some buckets, but for those of some clients."""

    def __init__(self, engine: Engine, parts: Sequence[BucketRows], schema: Schema) -> None:
        self.schema = schema
        self._engine, self._parts = engine, parts
        self._sums = all_sums(engine.map(column_sums, parts), schema)
        self.rows, self.left = self._sums.rows, self._sums.left
        self.sample = self._gathered(MOST_CHECKED)

    @cached_property
    def _medians(self) -> list[float]:
        counts = [moments.count for moments in self._sums.numbers]
        return medians(self._engine, self._parts, counts)

    def fit(self, kind: str, seed: int) -> Pipeline:
        """Fit on all rows; boosted trees on a sample, stratified by outcome, if there are more."""
        if kind != BOOSTING:
            return fit_logistic(self._engine, self._parts, self._sums, self._medians, self.sample)
        if self.learned(kind) < self.rows:
            log.info(
                "boosted trees learn from %s of %s labelled rows, a sample stratified by outcome",
                *(f"{self.learned(kind):,}", f"{self.rows:,}"),
            )
        return fit_model(kind, self._gathered(MOST_BOOSTED), self.schema, seed)

    def learned(self, kind: str) -> int:
        """How many of the rows a model of this kind learns from."""
        return min(self.rows, MOST_BOOSTED) if kind == BOOSTING else self.rows

    def head(self, count: int) -> pd.DataFrame:
        """The first rows of the sample."""
        return self.sample[list(self.schema.features)].head(count)

    def values(self, column: str) -> np.ndarray:
        """The numbers of the sample."""
        return self.sample[column].to_numpy()

    def usual(self, medians: Sequence[float] | None) -> Row:  # noqa: ARG002, they are the same
        """What is usual in all rows."""
        # of equally frequent ones the first by name
        modes = [min(c, key=lambda name: (-c[name], name)) for c in self._sums.categories]
        return Row(list(self._medians), modes)

    def reference(self, risk: np.ndarray, seed: int) -> Reference:
        """What all rows are like: their counts, and values of the sample."""
        found = reference_of(self.sample, risk, self.schema, seed)
        if self.rows <= MOST_CHECKED:
            return found
        numbers = found.numbers | {
            name: replace(found.numbers[name], rows=self.rows, missing=self.rows - moments.count)
            for name, moments in zip(self.schema.numeric, self._sums.numbers, strict=True)
            # where few rows have a number, the counts are those of the sample, as the values are
            if len(found.numbers[name].sample) == min(moments.count, LARGEST_SAMPLE)
        }
        counts = [dict(sorted(counted.items())) for counted in self._sums.categories]
        categories = dict(zip(self.schema.categorical, counts, strict=True))
        return replace(found, numbers=numbers, categories=categories)

    def _gathered(self, most: int) -> pd.DataFrame:
        """All rows, or so many of them with the outcomes in proportion, in the order first seen."""
        columns = self.schema.columns
        wanted = self._wanted(most)
        shares = (_share(wanted[0], self.rows - self.left), _share(wanted[1], self.left))
        tables = self._engine.map(gather, [Draw(rows, shares) for rows in self._parts])
        if not tables:
            return frame_of_rows(pa.table({}), self.schema, ())
        table = pa.concat_tables(tables)
        table = table.take(pa.array(order_of(table)))
        if self.rows > most:
            table = table.take(pa.array(self._stratified(table, wanted)))
        return frame_of_rows(table, self.schema, columns)

    def _wanted(self, most: int) -> tuple[int, int]:
        """How many rows of each outcome are wanted: in proportion, of a rare one at least one."""
        if self.rows <= most:
            return self.rows - self.left, self.left
        left = min(max(round(most * self.left / self.rows), 1), most - 1)
        return most - left, left

    def _stratified(self, table: pa.Table, wanted: tuple[int, int]) -> np.ndarray:
        """The places of so many rows of each outcome, those drawn first, in order."""
        outcomes, draws = table[stored(self.schema.outcome)].to_numpy(), drawn(table)
        kept = []
        for outcome, count in enumerate(wanted):
            places = np.flatnonzero(outcomes == outcome)
            kept.append(places[np.argsort(draws[places], kind="stable")[:count]])
        return np.sort(np.concatenate(kept))


def _share(wanted: int, rows: int) -> float:
    """The share of some rows to draw, so that chance leaves no fewer than are wanted."""
    return min(1.0, (wanted + 10 * math.sqrt(wanted) + 30) / max(1, rows))


def gather(draw: Draw) -> pa.Table:
    """The rows of a bucket that are drawn below the share: all columns, and their order."""
    schema, shares = draw.rows.schema, np.array(draw.shares)
    parts = []
    for table in draw.rows.groups(schema.columns, ORDER):
        below = drawn(table) < shares[table[stored(schema.outcome)].to_numpy()]
        parts.append(table.filter(pa.array(below)))
    return pa.concat_tables(parts).combine_chunks()
