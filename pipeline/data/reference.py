"""A profile of the training data, small enough to be kept beside a model."""

import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from pipeline.core.schema import Schema
from pipeline.data.features import features_of

MAX_SAMPLE = 5_000


@dataclass(frozen=True)
class Numbers:
    """A column of numbers: how many rows it had, how many lacked it, and some values, sorted."""

    rows: int
    missing: int
    sample: tuple[float, ...]


@dataclass(frozen=True)
class Reference:
    """Each column of the training data by its name, and the risk a model predicted there.

    `categories` holds how many rows each category had; "" is the missing one.
    """

    numbers: dict[str, Numbers]
    categories: dict[str, dict[str, int]]
    risk: Numbers


def reference_of(frame: pd.DataFrame, risk: np.ndarray, schema: Schema, seed: int) -> Reference:
    """The reference of a frame with the schema's feature columns.

    `risk` holds predictions of shape (any,) for rows like these, best for rows that the model has
    not learned from: of others it is surer. At most 5,000 values of a column are kept, drawn at
    random.
    """
    features, random = features_of(frame, schema), np.random.default_rng(seed)
    return Reference(
        numbers={
            name: _numbers(features.numbers[:, i], random) for i, name in enumerate(schema.numeric)
        },
        categories={
            name: dict(sorted(Counter(texts).items()))
            for name, texts in zip(schema.categorical, features.texts, strict=True)
        },
        risk=_numbers(np.asarray(risk, dtype="float64"), random),
    )


def _numbers(values: np.ndarray, random: np.random.Generator) -> Numbers:
    present = values[~np.isnan(values)]
    rows, missing = len(values), len(values) - len(present)
    if len(present) > MAX_SAMPLE:
        present = random.choice(present, MAX_SAMPLE, replace=False, shuffle=False)
    return Numbers(rows, missing, tuple(np.sort(present).tolist()))


def reference_object(reference: Reference) -> dict[str, Any]:
    """The reference as a JSON object."""
    return {
        "numbers": {name: dict(vars(column)) for name, column in reference.numbers.items()},
        "categories": reference.categories,
        "risk": dict(vars(reference.risk)),
    }


def reference_from(value: object) -> Reference:
    """The reference of such an object; raises `ValueError` with what is wrong and where."""
    parts = _mapping(value, "the reference")
    if set(parts) != {"numbers", "categories", "risk"}:
        raise ValueError("the reference: expected numbers, categories and risk")
    numbers = _mapping(parts["numbers"], "numbers")
    categories = _mapping(parts["categories"], "categories")
    return Reference(
        numbers={name: _numbers_from(v, f"numbers.{name}") for name, v in numbers.items()},
        categories={name: _counts_from(v, f"categories.{name}") for name, v in categories.items()},
        risk=_numbers_from(parts["risk"], "risk"),
    )


def _mapping(value: object, where: str) -> Mapping[str, Any]:
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise ValueError(f"{where}: expected an object")
    return value


def _count(value: object, where: str) -> int:
    if type(value) is not int or value < 0:  # a bool is an int, too
        raise ValueError(f"{where}: expected a whole number, 0 or more")
    return value


def _numbers_from(value: object, where: str) -> Numbers:
    parts = _mapping(value, where)
    if set(parts) != {"rows", "missing", "sample"}:
        raise ValueError(f"{where}: expected rows, missing and sample")
    rows, missing = (_count(parts[name], f"{where}.{name}") for name in ("rows", "missing"))
    sample = parts["sample"]
    if not isinstance(sample, list | tuple) or not all(
        type(number) in (int, float) and abs(number) <= sys.float_info.max for number in sample
    ):
        raise ValueError(f"{where}.sample: expected a list of numbers")
    if any(first > second for first, second in pairwise(sample)):
        raise ValueError(f"{where}.sample: expected numbers in rising order")
    if len(sample) != min(rows - missing, MAX_SAMPLE):
        raise ValueError(f"{where}.sample: its length does not match the rows")
    return Numbers(rows, missing, tuple(map(float, sample)))


def _counts_from(value: object, where: str) -> dict[str, int]:
    return {name: _count(n, f"{where}.{name}") for name, n in _mapping(value, where).items()}
