"""Rows on which two ways to ask a model are compared."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from pipeline.features import Features
from pipeline.releases import ModelManifest
from pipeline.schema import LARGEST_NUMBER

PROBES = 200


def probing_rows(words: Sequence[Sequence[str]], manifest: ModelManifest) -> Features:
    """Those of the self-check, and ones like them and unlike them.

    In each column some are missing, some near those of the self-check, some huge; each of the
    `words` of a categorical column occurs, and one that is not known.
    """
    schema, random = manifest.schema, np.random.default_rng(0)
    known = pd.DataFrame(manifest.self_check.rows, columns=list(schema.features))
    count = max([PROBES, *(2 + len(known_words) for known_words in words)])
    picked = known[list(schema.numeric)].to_numpy(dtype="float64")[np.arange(count) % len(known)]
    near = np.where(np.isnan(picked), 0, picked)
    spread = 1 + np.abs(near).max(axis=0, initial=0)
    numbers = near + spread * random.standard_normal(near.shape)
    dice = random.random(near.shape)
    numbers[dice < 0.1] = np.nan
    # one row in ten only: beside a huge number the others do not count
    huge = (dice > 0.5) & (np.arange(count) % 10 == 9)[:, None]
    numbers[huge] = random.choice([-LARGEST_NUMBER, LARGEST_NUMBER, 1e9, -1e9], near.shape)[huge]
    numbers[: len(known)] = picked[: len(known)]
    texts = []
    for known_words in words:
        all_words = [*known_words, "", "\0 unknown"]
        texts.append([all_words[i] for i in random.permutation(np.arange(count) % len(all_words))])
    return Features(numbers, tuple(texts))
