"""What of an input drift is news: what is unlike each recent batch, and changes the risk.

A company's clients move away from the training data slowly, or with the season, and stay there: to
say so after each batch teaches people to look away. So a feature that has drifted from the training
data is told only if

- each recent batch, taken in place of the training data, shows it as drifted, too: what has come to
  stay is told once, and what comes back from time to time is not told each time; and
- the mean predicted risk of the batch would be another by a tenth or more if the feature were as in
  a recent batch, whichever of them is nearest.

"As in a recent batch": each value is replaced by that of the same rank there, missing ones last,
categories by name, ties in random order. So the feature has the distribution that it had there, and
goes together with the other features about as it does now.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from pipeline.core.schema import Schema
from pipeline.data.reference import Numbers, Reference
from pipeline.models.estimators import Model, risk_of
from pipeline.monitoring.decisions import FeatureDrift, Kind, News, Verdict
from pipeline.monitoring.input_drift import compare_input
from pipeline.monitoring.metrics import PredictedRows

MIN_EFFECT = 0.1  # of the mean risk
LEAST_RISK = 1e-4  # a mean risk below counts as this: nothing is a multiple of 0


def with_news(
    found: Sequence[FeatureDrift],
    rows: PredictedRows,
    recent: Sequence[Reference],
    model: Model,
    schema: Schema,
    seed: int,
) -> tuple[FeatureDrift, ...]:
    """The comparisons of a batch with the training data, with what is new of those that drifted.

    `recent` are the profiles of recent batches, with the risks that the same model predicts.
    """
    compared = [compare_input(one, rows.frame, rows.risk, schema) for one in recent]
    news = []
    for place, one in enumerate(found):
        if one.verdict != Verdict.DRIFT:
            news.append(one)
        elif any(other[place].verdict == Verdict.NO_DRIFT for other in compared):
            news.append(replace(one, news=News.KNOWN))
        else:
            effect = min(_effects(one, rows, recent, model, seed), key=abs)
            told = abs(effect) >= MIN_EFFECT
            news.append(replace(one, news=News.TOLD if told else News.SLIGHT, effect=effect))
    return tuple(news)


def _effects(
    one: FeatureDrift,
    rows: PredictedRows,
    recent: Sequence[Reference],
    model: Model,
    seed: int,
) -> Iterator[float]:
    """The relative change of the mean risk by a feature, against each recent batch."""
    now, name = rows.risk.mean(), one.feature
    for before in recent:
        if one.kind == Kind.RISK:
            risk = np.array(before.risk.sample)
        else:
            of = before.numbers if one.kind == Kind.NUMBER else before.categories
            values = as_before(rows.frame[name].to_numpy(), of[name], seed)
            column = pd.Series(values, rows.frame.index, dtype=rows.frame[name].dtype)
            risk = risk_of(model, rows.frame.assign(**{name: column}))
        yield float(now / max(risk.mean(), LEAST_RISK) - 1) if len(risk) else 0.0


def as_before(values: np.ndarray, before: Numbers | dict[str, int], seed: int) -> np.ndarray:
    """Values of shape (rows,), each replaced by the one of the same rank in a profile."""
    random = np.random.default_rng(seed).permutation(len(values))
    order = random[np.argsort(values[random], kind="stable")]
    ranks = (np.arange(len(values)) + 0.5) / len(values)
    if isinstance(before, Numbers):
        places = ranks * before.rows / max(1, before.rows - before.missing) * len(before.sample)
        padded = np.array([*before.sample, np.nan])
        sorted_values = padded[np.minimum(places, len(before.sample)).astype(int)]
    else:
        names, ends = list(before), np.cumsum(list(before.values()))
        sorted_values = np.array(names, dtype=object)[np.searchsorted(ends, ranks * ends[-1])]
    replaced: np.ndarray = np.empty_like(sorted_values)
    replaced[order] = sorted_values
    return replaced
