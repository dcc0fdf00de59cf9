"""Input drift: a batch compared with the training data, by column, and the predicted risk.

No outcome is needed, so a change shows before anybody has left. It need not make a model worse.

A column has drifted if the change is both evident and large enough to matter:

- its PSI is above its limit, which is what chance gives with so many rows, and no less than 0.1; or
- its PSI is above 0.1 and the Kolmogorov-Smirnov test (numbers, risk) or the chi-squared test
  (categories) finds the distributions different: of few numbers it sees a shift that ten bins hide;
- or the share of missing values, or of categories that the training data do not have, differs by 5
  points or more, and Fisher's exact test finds it different.

With very many rows the tests find differences that do not matter, and PSI decides. All levels
together are 5 % for the whole batch: the PSI limits take half of it, shared equally by the columns
(Bonferroni), the p-values the other half, corrected for their number (Benjamini and Hochberg,
Journal of the Royal Statistical Society B, 1995). Rows are taken as independent; clients with many
rows make chance larger than that.

PSI is the population stability index of two samples. Between samples of n and m values of the same
distribution in k bins, it is distributed about as (1/n + 1/m) times a chi-squared variable of k - 1
degrees of freedom; the usual fixed limit of 0.1 ignores n. Source: Yurdakul, Statistical Properties
of Population Stability Index, 2018.

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

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from scipy import stats

from pipeline.core.schema import Schema
from pipeline.data.frames import features_of
from pipeline.data.reference import Numbers, Reference
from pipeline.models.estimators import Model, risk_of
from pipeline.monitoring.decisions import Cause, FeatureDrift, Kind, News, Verdict
from pipeline.monitoring.metrics import PredictedRows
from pipeline.monitoring.sentences import feature_reason, too_few

LEVEL = 0.05
N_CRITERIA = 2  # by which a change is evident: the PSI limit and a p-value
MIN_SHARE_CHANGE = 0.05
P_VALUES = ("p_value", "missing_p_value", "unseen_p_value")
MIN_ROWS = 20  # with a value, in both samples: four bins of five; fewer bins show only the middle
MIN_PSI = 0.1  # a smaller change does not matter, however evident
MAX_BINS = 10
VALUES_PER_BIN = 5  # of fewer, chi-squared does not describe PSI (Cochran, Biometrics, 1954)
SMOOTHING = 0.5  # added to every count, so that an empty bin has a logarithm (Anscombe, 1956)


def compare_input(
    reference: Reference, frame: pd.DataFrame, risk: np.ndarray, schema: Schema
) -> tuple[FeatureDrift, ...]:
    """Compare the feature columns of a frame, and the risk of its rows, of shape (rows,).

    Returns one comparison for each feature, in the schema's order, and one for the risk. Raises
    `ValueError` if the reference lacks a column.
    """
    lacking = [*(set(schema.numeric) - set(reference.numbers))]
    lacking += [*(set(schema.categorical) - set(reference.categories))]
    if lacking:
        raise ValueError(f"the reference has no column {', '.join(sorted(lacking))}")
    features = features_of(frame, schema)
    level = LEVEL / N_CRITERIA / (len(schema.features) + 1)
    found = [
        _compare_numbers(name, Kind.NUMBER, reference.numbers[name], features.numbers[:, i], level)
        for i, name in enumerate(schema.numeric)
    ]
    found += [
        _compare_categories(name, reference.categories[name], texts, level)
        for name, texts in zip(schema.categorical, features.texts, strict=True)
    ]
    found.append(_compare_numbers("risk", Kind.RISK, reference.risk, risk, level))
    return tuple(map(_judged, _corrected(found)))


def _corrected(found: list[FeatureDrift]) -> list[FeatureDrift]:
    """The same with p-values corrected for their number, and for the other criterion."""
    places = [(i, key) for i, one in enumerate(found) for key in P_VALUES]
    places = [(i, key) for i, key in places if getattr(found[i], key) is not None]
    if not places:
        return found
    values = stats.false_discovery_control([getattr(found[i], key) for i, key in places])
    for (i, key), value in zip(places, np.minimum(1, N_CRITERIA * values).tolist(), strict=True):
        found[i] = replace(found[i], **{key: value})
    return found


def _judged(found: FeatureDrift) -> FeatureDrift:
    """The same with verdict, causes and reason."""
    causes = tuple(_causes(found))
    if not causes and found.psi is None:
        return found
    found = replace(found, causes=causes, verdict=Verdict.DRIFT if causes else Verdict.NO_DRIFT)
    return replace(found, reason=feature_reason(found))


def _causes(found: FeatureDrift) -> Iterator[Cause]:
    if found.psi is not None and found.psi_limit is not None:
        if found.psi > found.psi_limit:
            yield Cause.PSI
        elif found.psi > MIN_PSI and _evident(found.p_value):
            yield Cause.DISTRIBUTION
    change = abs(found.missing - found.missing_before)
    if change >= MIN_SHARE_CHANGE and _evident(found.missing_p_value):
        yield Cause.MISSING
    if (found.unseen or 0) >= MIN_SHARE_CHANGE and _evident(found.unseen_p_value):
        yield Cause.UNSEEN


def _evident(p_value: float | None) -> bool:
    return p_value is not None and p_value <= LEVEL


def _compare_numbers(
    name: str, kind: Kind, before: Numbers, values: np.ndarray, level: float
) -> FeatureDrift:
    """Compare numbers of shape (rows,), NaN where missing; `level` is that of the PSI limit.

    Source: the Kolmogorov-Smirnov test of two samples, by its limiting distribution (Hodges, Arkiv
    för Matematik, 1958).
    """
    present = values[~np.isnan(values)]
    missing = len(values) - len(present)
    found = FeatureDrift(
        feature=name,
        kind=kind,
        rows=len(values),
        test="ks",
        missing=_share(missing, len(values)),
        missing_before=_share(before.missing, before.rows),
        missing_p_value=_shares_p_value(missing, len(values), before.missing, before.rows),
    )
    fewest = min(len(present), len(before.sample))
    if fewest < MIN_ROWS:
        return replace(found, reason=_lack_of_rows(len(present), len(before.sample)))
    sample = np.array(before.sample)
    edges = quantile_edges(sample, min(MAX_BINS, fewest // VALUES_PER_BIN))
    found = _with_psi(found, binned(sample, edges), binned(present, edges), level)
    # the exact method takes long for many rows and gives up on some
    test = stats.ks_2samp(sample, present, method="asymp")
    return replace(found, statistic=float(test.statistic), p_value=float(test.pvalue))


def _compare_categories(
    name: str, before: dict[str, int], texts: list[str], level: float
) -> FeatureDrift:
    """Compare the category of each row, "" where missing; `level` is that of the PSI limit.

    Source: Pearson's chi-squared test of homogeneity.
    """
    now = Counter(texts)
    rows, rows_before = len(texts), sum(before.values())
    known = {category: count for category, count in before.items() if category and count}
    present, present_before = rows - now[""], sum(known.values())
    unseen = present - sum(now[category] for category in known)
    # as many were not seen as were seen once (Good, Biometrika, 1953)
    seen_once = sum(count == 1 for count in known.values())
    found = FeatureDrift(
        feature=name,
        kind=Kind.CATEGORY,
        rows=rows,
        test="chi2",
        missing=_share(now[""], rows),
        missing_before=_share(before.get("", 0), rows_before),
        missing_p_value=_shares_p_value(now[""], rows, before.get("", 0), rows_before),
        unseen=_share(unseen, rows),
    )
    if min(present, present_before) < MIN_ROWS:
        return replace(found, reason=_lack_of_rows(present, present_before))
    found = replace(
        found, unseen_p_value=_shares_p_value(unseen, present, seen_once, present_before)
    )
    counts = _pooled(known, now, present)
    found = _with_psi(found, counts[0], counts[1], level)
    test = stats.chi2_contingency(counts, correction=False)
    return replace(found, statistic=float(test.statistic), p_value=float(test.pvalue))


def _pooled(known: dict[str, int], now: Counter[str], present: int) -> np.ndarray:
    """The counts before and now of each category, rare and unseen ones in one: shape (2, bins).

    Each bin is expected to hold five rows in both samples, by the counts of both together: of those
    that were frequent in one by chance, rows would seem to lack in the other. Rare ones that are
    too few even together join the rarest of the others.
    """
    names = sorted(known, key=lambda name: (-known[name] - now[name], name))
    before = np.array([known[name] for name in names])
    after = np.array([now[name] for name in names])
    expected = (before + after) * (min(before.sum(), present) / (before.sum() + present))
    frequent = int((expected >= VALUES_PER_BIN).sum())
    if frequent and expected[frequent:].sum() < VALUES_PER_BIN:
        frequent -= 1
    rest = before[frequent:].sum(), present - after[:frequent].sum()
    return np.column_stack([[before[:frequent], after[:frequent]], rest])


def _with_psi(
    found: FeatureDrift, before: np.ndarray, now: np.ndarray, level: float
) -> FeatureDrift:
    filled = (before + now) > 0
    before, now = before[filled], now[filled]
    limit = psi_limit(int(before.sum()), int(now.sum()), len(now), level)
    return replace(found, psi=psi(before, now), psi_limit=limit)


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def _lack_of_rows(now: int, before: int) -> str:
    where, count = ("in the batch", now) if now < MIN_ROWS else ("in the training data", before)
    return too_few(f"rows with a value {where}", count, MIN_ROWS)


def _shares_p_value(now: int, rows: int, before: int, rows_before: int) -> float | None:
    """The p-value of a difference of two shares; None if they give no evidence."""
    if min(rows, rows_before) < MIN_ROWS or not now + before:
        return None
    table = [[now, rows - now], [before, rows_before - before]]
    return float(stats.fisher_exact(table).pvalue)


def quantile_edges(sample: np.ndarray, bins: int) -> np.ndarray:
    """The upper edges of bins at the quantiles of a sorted sample, except of the last: rising.

    There are fewer if values tie. A value on which several quantiles fall has a bin of its own, so
    that lower and higher values are distinguished from it even if the sample is constant.
    """
    quantiles = sample[np.maximum(np.arange(1, bins) * len(sample) // bins - 1, 0)]
    edges, times = np.unique(quantiles, return_counts=True)
    return np.union1d(edges, np.nextafter(edges[times > 1], -np.inf))


def binned(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """The number of values in each bin, upper edges included: shape (edges + 1,)."""
    return np.bincount(np.searchsorted(edges, values), minlength=len(edges) + 1)


def psi(before: np.ndarray, now: np.ndarray) -> float:
    """The PSI of two samples from their counts in the same bins, none of them empty in both."""
    first, second = (
        (counts + SMOOTHING) / (counts.sum() + SMOOTHING * len(counts)) for counts in (before, now)
    )
    return float(((second - first) * np.log(second / first)).sum())


def psi_limit(before: int, now: int, bins: int, level: float) -> float:
    """The PSI that samples of this size exceed with probability `level` without any change.

    It is at least `MIN_PSI`.
    """
    by_chance = stats.chi2.isf(level, bins - 1) if bins > 1 else 0.0
    return max(MIN_PSI, float(by_chance) * (1 / before + 1 / now))


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
