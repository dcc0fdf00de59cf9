"""Why a client is at risk: the features that raise it most, beside what is usual.

A feature's contribution is what the log-odds, before calibration, would lose if it alone had its
usual value: f(x) - f(x with the feature at its usual value). Source: Robnik-Šikonja and Kononenko,
Explaining Classifications for Individual Instances, IEEE TKDE 20(5), 2008, with one usual value in
place of the average over all.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import pandas as pd

from pipeline.data.features import Features, Row
from pipeline.models.fast_linear import Linear
from pipeline.models.manifest import ModelManifest
from pipeline.models.scorer import ByNumbers, Scorer
from pipeline.ranking.wording import category_words, number_words

MAX_REASONS = 3  # reasons of a client
MIN_CONTRIBUTION = 0.01  # log-odds: less moves no risk by more than a quarter of a percentage point
SEPARATOR = "; "


class Reasons(NamedTuple):
    """The reasons of some rows.

    `words` holds each text once; `which`, of shape (MOST, rows), the place in it of each row's
    first, second and third reason, -1 where it has fewer.
    """

    words: list[str]
    which: np.ndarray

    def texts(self) -> list[list[str]]:
        """The reasons of each row, strongest first."""
        return [[self.words[i] for i in row if i >= 0] for row in self.which.T.tolist()]


@dataclass(frozen=True)
class Explainer:
    """What it takes to tell the reasons of a release's risks."""

    scorer: Scorer
    usual: Row | None  # None in releases of older versions: they give no reasons
    labels: Sequence[str]  # what people call each feature, in the schema's order

    def reasons(self, rows: Features) -> Reasons:
        """The reasons of each row."""
        if self.usual is None or not len(rows):
            return Reasons([], np.full((MAX_REASONS, len(rows)), -1))
        top = strongest(contributions(self.scorer, rows, self.usual))
        words: list[str] = []
        which = np.full(top.size, -1)
        for feature, label in enumerate(self.labels):
            told = np.flatnonzero(top == feature)
            found, codes = _words(label, rows, told % len(rows), feature, self.usual)
            which[told] = len(words) + codes
            words += found
        return Reasons(words, which.reshape(top.shape))


def baseline_row(manifest: ModelManifest) -> Row | None:
    """The usual value of each feature in a model's training data; None if that was not kept."""
    if not manifest.usual:
        return None
    count = len(manifest.schema.numeric)
    numbers, texts = manifest.usual[:count], manifest.usual[count:]
    return Row(
        [np.nan if value is None else float(value) for value in numbers],
        ["" if value is None else str(value) for value in texts],
    )


def contributions(scorer: Scorer, rows: Features, usual: Row) -> np.ndarray:
    """What each feature adds to each row's log-odds: shape (features, rows), schema's order.

    Those of a linear model add up, with the log-odds of the usual client, to the row's.
    """
    if isinstance(scorer, ByNumbers) and isinstance(scorer.core, Linear):
        return linear_contributions(scorer.core, rows, usual)
    return exchanged_contributions(scorer, rows, usual)


def linear_contributions(linear: Linear, rows: Features, usual: Row) -> np.ndarray:
    """The same from a linear model's weights, at a tenth of the time of asking it again."""
    found = np.empty((len(usual.numbers) + len(usual.texts), len(rows)))
    numbers = np.where(np.isnan(rows.numbers), linear.medians, rows.numbers)
    usually = np.where(np.isnan(usual.numbers), linear.medians, usual.numbers)
    found[: len(usually)] = ((numbers - usually) / linear.scales * linear.weights).T
    columns = zip(linear.categories, rows.texts, usual.texts, strict=True)
    for place, (weights, values, usual_text) in enumerate(columns, len(usually)):
        base = weights.get(usual_text, 0.0)
        found[place] = [weights.get(value, 0.0) - base for value in values]
    return found


def exchanged_contributions(scorer: Scorer, rows: Features, usual: Row) -> np.ndarray:
    """The same of any model: its answers with one feature at a time at its usual value.

    Only rows in which that changes something are asked for.
    """
    given = scorer.decision(rows)
    found = np.zeros((len(usual.numbers) + len(usual.texts), len(rows)))
    for feature in range(len(found)):
        places = np.flatnonzero(_unusual(rows, feature, usual))
        if len(places):
            changed = _exchanged(rows.at(places), feature, usual)
            found[feature, places] = given[places] - scorer.decision(changed)
    return found


def strongest(found: np.ndarray) -> np.ndarray:
    """The features that raise each row's log-odds most, strongest first.

    From contributions (features, rows) to places of features (MOST, rows), -1 where no more reach
    `MIN_CONTRIBUTION`; of equal ones the first in the schema.
    """
    left, row = found.copy(), np.arange(found.shape[1])
    top = np.full((MAX_REASONS, found.shape[1]), -1)
    for place in top[: len(found)]:
        most = left.max(axis=0)
        for feature in reversed(range(len(found))):  # argmax over so short an axis takes longer
            place[left[feature] == most] = feature
        left[place, row] = -np.inf
        place[most < MIN_CONTRIBUTION] = -1
    return top


def _unusual(rows: Features, feature: int, usual: Row) -> np.ndarray:
    numeric = len(usual.numbers)
    if feature >= numeric:
        text = usual.texts[feature - numeric]
        return np.array([value != text for value in rows.texts[feature - numeric]])
    values, number = rows.numbers[:, feature], usual.numbers[feature]
    unusual: np.ndarray = ~np.isnan(values) if np.isnan(number) else values != number
    return unusual


def _exchanged(rows: Features, feature: int, usual: Row) -> Features:
    """The rows with this feature at its usual value."""
    numeric = len(usual.numbers)
    if feature < numeric:
        numbers = rows.numbers.copy()
        numbers[:, feature] = usual.numbers[feature]
        return replace(rows, numbers=numbers)
    texts = list(rows.texts)
    texts[feature - numeric] = [usual.texts[feature - numeric]] * len(rows)
    return replace(rows, texts=tuple(texts))


def _words(
    label: str, rows: Features, places: np.ndarray, feature: int, usual: Row
) -> tuple[list[str], np.ndarray]:
    """What is told of a feature in these rows: each text once, and the place of each row's."""
    numeric = len(usual.numbers)
    if feature < numeric:
        numbers = rows.numbers[places, feature]
        codes, distinct = pd.factorize(numbers, use_na_sentinel=False)
        return number_words(label, distinct, usual.numbers[feature]), codes
    column = rows.texts[feature - numeric]
    texts = np.array([column[i] for i in places.tolist()], dtype=object)
    codes, distinct = pd.factorize(texts)
    return category_words(label, distinct.tolist(), usual.texts[feature - numeric]), codes
