"""A profile of the training data, small enough to be kept beside a model."""

from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated

import numpy as np
import pandas as pd
from msgspec import Meta

from pipeline.core.json_reader import from_json
from pipeline.core.schema import Schema

MAX_SAMPLE = 5_000
Count = Annotated[int, Meta(ge=0)]


@dataclass(frozen=True)
class Numbers:
    """A column of numbers: how many rows it had, how many lacked it, and some values, sorted."""

    rows: Count
    missing: Count
    sample: tuple[float, ...]

    def __post_init__(self) -> None:
        """Raise `ValueError` if the sample is not sorted, or does not fit the rows."""
        if any(first > second for first, second in pairwise(self.sample)):
            raise ValueError("sample: expected numbers in rising order")
        if len(self.sample) != min(self.rows - self.missing, MAX_SAMPLE):
            raise ValueError("sample: its length does not fit the rows")


@dataclass(frozen=True)
class Reference:
    """Each column of the training data by its name, and the risk a model predicted there.

    `categories` holds how many rows each category had; "" is the missing one.
    """

    numbers: dict[str, Numbers]
    categories: dict[str, dict[str, Count]]
    risk: Numbers


def reference_of(frame: pd.DataFrame, risk: np.ndarray, schema: Schema, seed: int) -> Reference:
    """The reference of a frame with the schema's feature columns.

    `risk` holds predictions of shape (any,) for rows like these; best for rows that the model has
    not learned from, since of others it may be surer than it will be. No more than 5,000 values of
    a column are kept, drawn at random.
    """
    random = np.random.default_rng(seed)
    return Reference(
        numbers={
            name: _numbers(frame[name].to_numpy("float64"), random) for name in schema.numeric
        },
        categories={
            name: dict(sorted(Counter(frame[name]).items())) for name in schema.categorical
        },
        risk=_numbers(np.asarray(risk, dtype="float64"), random),
    )


def _numbers(values: np.ndarray, random: np.random.Generator) -> Numbers:
    present = values[~np.isnan(values)]
    rows, missing = len(values), len(values) - len(present)
    if len(present) > MAX_SAMPLE:
        present = random.choice(present, MAX_SAMPLE, replace=False, shuffle=False)
    return Numbers(rows, missing, tuple(np.sort(present).tolist()))


def reference_from_json(content: bytes) -> Reference:
    """The reference in a JSON text; raises `ValueError` with what is wrong and where."""
    return from_json(content, Reference)
