"""Rows on which two ways to ask a model are compared."""

from typing import NamedTuple

import numpy as np
import pandas as pd

from pipeline.core.schema import LARGEST_NUMBER
from pipeline.data.features import Features
from pipeline.models.manifest import ModelManifest

PROBES = 200
UNKNOWN = "\0 unknown"


class Landmarks(NamedTuple):
    """What a model tells apart, for each numeric and each categorical column."""

    edges: tuple[list[float], ...]  # the numbers up to which it says one thing, and then another
    words: tuple[list[str], ...]


def probing_rows(landmarks: Landmarks, manifest: ModelManifest) -> Features:
    """Those of the self-check, and ones like them and unlike them.

    In each numeric column some are missing, some near those of the self-check, some huge, and some
    at each edge and just beyond it; in a categorical one each word occurs, and one that is unknown.
    """
    random = np.random.default_rng(0)
    names = manifest.schema.features
    known = pd.DataFrame(manifest.self_check.rows, columns=list(names))
    checked = known[list(manifest.schema.numeric)].to_numpy(dtype="float64")
    at_edges = [_at_edges(edges) for edges in landmarks.edges]
    words = [[*known_words, "", UNKNOWN] for known_words in landmarks.words]
    count = max([0, *map(len, at_edges), *map(len, words)]) + PROBES
    numbers = _numbers(checked, count, random)
    for column, values in enumerate(at_edges):
        there = len(known) + random.permutation(count - len(known))[: len(values)]
        numbers[there, column] = values
    texts = [[some[i] for i in random.permutation(np.arange(count) % len(some))] for some in words]
    return Features(numbers, tuple(texts))


def _at_edges(edges: list[float]) -> np.ndarray:
    near: np.ndarray = np.concatenate([edges, np.nextafter(edges, np.inf)])
    near[np.abs(near) > LARGEST_NUMBER] = np.nan  # it is not taken; an edge may be infinite
    return near


def _numbers(checked: np.ndarray, count: int, random: np.random.Generator) -> np.ndarray:
    """The checked numbers, then missing, similar and huge ones: shape (count, columns)."""
    picked = checked[np.arange(count) % len(checked)]
    near = np.where(np.isnan(picked), 0, picked)
    spread = 1 + np.abs(near).max(axis=0, initial=0)
    numbers: np.ndarray = near + spread * random.standard_normal(near.shape)
    dice = random.random(near.shape)
    numbers[dice < 0.1] = np.nan
    # one row in ten only: beside a huge number the others do not count
    huge = (dice > 0.5) & (np.arange(count) % 10 == 9)[:, None]
    numbers[huge] = random.choice([-LARGEST_NUMBER, LARGEST_NUMBER, 1e9, -1e9], near.shape)[huge]
    numbers[: len(checked)] = checked
    return numbers
