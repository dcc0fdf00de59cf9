"""Why a client is at risk: the features that raise it most, compared with the usual.

A feature's contribution is what the log-odds, before calibration, would lose if it alone had its
usual value: f(x) - f(x with the feature at its usual value). Source: Robnik-Šikonja and Kononenko,
Explaining Classifications for Individual Instances, IEEE TKDE 20(5), 2008, with one usual value in
place of the average over all.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.core.formatting import escape_formula, truncate, unescape_formula
from pipeline.core.schema import canonical_number, canonical_text
from pipeline.data.frames import Features, Row
from pipeline.models.manifest import ModelManifest
from pipeline.models.scorer import Scorer

MAX_REASONS = 3  # reasons of a client
MIN_CONTRIBUTION = 0.01  # log-odds: less moves no risk by more than a quarter of a percentage point
SEPARATOR = "; "
UNKNOWN = "unknown"
MAX_LETTERS = 60  # of a category or label
ROWS_AT_ONCE = 25_000  # each with every feature exchanged
_ROUND = 100  # numbers from here on are shown without decimals
_HUGE = 1e9  # and from here on with an exponent


@dataclass(frozen=True)
class Explainer:
    """What it takes to give the reasons of a release's risks."""

    scorer: Scorer
    usual: Row | None  # None in releases of older versions: they give no reasons
    labels: Sequence[str]  # what people call each feature, in the schema's order
    never: Sequence[int] = ()  # the places of features that are no reasons

    def reasons(self, rows: Features) -> list[list[str]]:
        """The reasons of each row, strongest first."""
        return [reasons_of(cell) for cell in self.cells(rows)]

    def cells(self, rows: Features) -> NDArray[np.object_]:
        """The reasons of each row as one text, in which none is a formula: shape (rows,)."""
        if self.usual is None:
            return np.full(len(rows), "", object)
        begins = range(0, len(rows), ROWS_AT_ONCE)
        parts = [self._cells(rows.at(slice(i, i + ROWS_AT_ONCE)), self.usual) for i in begins]
        return np.concatenate([np.empty(0, object), *parts])

    def _cells(self, rows: Features, usual: Row) -> NDArray[np.object_]:
        cells = np.full(len(rows), "", object)
        found = contributions(self.scorer, rows, usual)
        found[list(self.never)] = -np.inf
        top = strongest(found)
        texts = np.full(top.shape, "", object)
        columns = [*rows.numbers.T, *(np.array(column, object) for column in rows.texts)]
        baseline: list[float | str] = [*usual.numbers, *usual.texts]
        for i, (label, column) in enumerate(zip(self.labels, columns, strict=True)):
            places, at = np.nonzero(top == i)
            # each value's reason is worded once
            codes, values = pd.factorize(column[at], use_na_sentinel=False)
            each = [escape_formula(reason(label, v, baseline[i])) for v in values.tolist()]
            texts[places, at] = np.array(each, object)[codes]
        for place, text in enumerate(texts):
            some = top[place] >= 0
            cells[some] += (SEPARATOR if place else "") + text[some]
        return cells


def reasons_of(cell: str) -> list[str]:
    """The reasons in a cell of the ranking."""
    return [unescape_formula(text) for text in cell.split(SEPARATOR) if text]


def explainer_of(
    scorer: Scorer, manifest: ModelManifest, labels: Mapping[str, str], reasons_from: Sequence[str]
) -> Explainer:
    """What gives the reasons of a model's risks; only these columns may be reasons."""
    features = manifest.schema.features
    return Explainer(
        *(scorer, baseline_row(manifest), [labels[column] for column in features]),
        never=[i for i, column in enumerate(features) if column not in reasons_from],
    )


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
    """What each feature adds to each row's log-odds: shape (features, rows), schema's order."""
    frame = rows.frame(scorer.schema)
    values: list[float | str] = [*usual.numbers, *usual.texts]
    pairs = zip(scorer.schema.features, values, strict=True)
    changed = (frame.assign(**{name: value}) for name, value in pairs)
    decision = scorer.decision(pd.concat([frame, *changed], ignore_index=True))
    each = decision.reshape(-1, len(rows))
    found: NDArray[np.float64] = each[0] - each[1:]
    return found


def strongest(found: np.ndarray) -> np.ndarray:
    """The features that raise each row's log-odds most, strongest first.

    From contributions (features, rows) to places of features (at most MAX_REASONS, rows), -1 where
    no more reach `MIN_CONTRIBUTION`; of equal ones the first in the schema.
    """
    top = np.argsort(-found, axis=0, kind="stable")[:MAX_REASONS]
    enough: np.ndarray = np.take_along_axis(found, top, axis=0) >= MIN_CONTRIBUTION
    return np.where(enough, top, -1)


def reason(label: str, value: float | str, usual: float | str) -> str:
    """A value and the usual one: "last month's activity 3, usual 41"."""
    label = shown(label)
    if isinstance(value, str) or isinstance(usual, str):
        text, usual_text = (shown(str(each)) or UNKNOWN for each in (value, usual))
        if text == usual_text:  # cut short, or a category named "unknown"
            return f"{label} other than the usual, {usual_text}"
    else:
        text, usual_text = number_text(value), number_text(usual)
        if text == usual_text:  # they differ in later digits
            text, usual_text = (canonical_number(repr(each)) or UNKNOWN for each in (value, usual))
    return f"{label} {text}, usual {usual_text}"


def number_text(value: float) -> str:
    """A number, NaN where missing, as people read it.

    Whole ones as they are, others to three digits or, from 100 on, to the unit: 1234, 12.5, 0.031;
    1.2e+09 for huge ones. No commas: one separates a value from the usual one.
    """
    if math.isnan(value):
        return UNKNOWN
    whole = abs(value) < _HUGE and (abs(value) >= _ROUND or value % 1 == 0)
    return f"{value + 0.0:.0f}" if whole else f"{value:.3g}"


def shown(text: str) -> str:
    """A label or category on one line, cut short; without semicolons, which separate reasons."""
    return truncate(canonical_text(text).replace(";", ","), MAX_LETTERS)
