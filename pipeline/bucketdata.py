"""What a model learns from where rows lie in buckets: sums of all, and samples."""

import logging
from collections import Counter
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
from pipeline.reference import Reference, reference_of
from pipeline.schema import Schema
from pipeline.sumsfit import fit_logistic

log = logging.getLogger(__name__)

MOST_BOOSTED = 1_000_000  # rows that boosted trees learn from: they are fitted in one process
SPARE = 1.2  # times as many rows are drawn as are wanted, of which the first are taken


class Draw(NamedTuple):
    """Rows of a bucket to be gathered: those drawn below a share of all."""

    rows: BucketRows
    share: float


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
        numbers = {
            name: replace(found.numbers[name], rows=self.rows, missing=self.rows - moments.count)
            for name, moments in zip(self.schema.numeric, self._sums.numbers, strict=True)
        }
        counts = [dict(sorted(counted.items())) for counted in self._sums.categories]
        categories = dict(zip(self.schema.categorical, counts, strict=True))
        return replace(found, numbers=numbers, categories=categories)

    def _gathered(self, most: int) -> pd.DataFrame:
        """All rows, or so many of them with the outcomes in proportion, in the order first seen."""
        columns = self.schema.columns
        share = 1.0 if self.rows <= most else min(1.0, SPARE * most / self.rows + 1e-9)
        tables = self._engine.map(gather, [Draw(rows, share) for rows in self._parts])
        if not tables:
            return frame_of_rows(pa.table({}), self.schema, ())
        table = pa.concat_tables(tables)
        table = table.take(pa.array(order_of(table)))
        if self.rows > most:
            table = table.take(pa.array(self._stratified(table, most)))
        return frame_of_rows(table, self.schema, columns)

    def _stratified(self, table: pa.Table, most: int) -> np.ndarray:
        """The places of so many rows, drawn first of each outcome in proportion, in order."""
        outcomes, draws = table[stored(self.schema.outcome)].to_numpy(), drawn(table)
        left = round(most * self.left / self.rows)
        # however rare an outcome is, some rows of it
        wanted = Counter({1: max(1, left), 0: max(1, most - left)})
        kept = []
        for outcome, count in wanted.items():
            places = np.flatnonzero(outcomes == outcome)
            kept.append(places[np.argsort(draws[places], kind="stable")[:count]])
        return np.sort(np.concatenate(kept))


def gather(draw: Draw) -> pa.Table:
    """The rows of a bucket that are drawn below the share: all columns, and their order."""
    columns = draw.rows.schema.columns
    parts = []
    for table in draw.rows.groups(columns, ORDER):
        chosen = table if draw.share >= 1 else table.filter(pa.array(drawn(table) < draw.share))
        parts.append(chosen)
    return pa.concat_tables(parts).combine_chunks()
