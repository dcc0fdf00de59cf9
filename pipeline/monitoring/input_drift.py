"""Drift of what goes in: a batch beside the training data, by column, and the predicted risk.

No outcome is needed, so a change shows before anybody has left. It need not make a model worse.

A column has drifted where the change is both evident and large enough to matter:

- its PSI is above its limit, which is what chance gives with so many rows, and no less than 0.1; or
- its PSI is above 0.1 and the Kolmogorov-Smirnov test (numbers, risk) or the chi-squared test
  (categories) finds the distributions different: of few numbers it sees a shift that ten bins hide;
- or the share of missing values, or of categories that the training data do not have, differs by 5
  points or more, and Fisher's exact test finds it different.

With very many rows the tests find differences that do not matter, and PSI decides. All levels
together are 5 % for the whole batch: the PSI limits take half of it, shared equally by the columns
(Bonferroni), the p-values the other half, corrected for how many there are (Benjamini and Hochberg,
Journal of the Royal Statistical Society B, 1995). Rows are taken as independent; a client with many
rows makes chance larger than that.
"""

from collections import Counter
from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np
import pandas as pd
from scipy import stats

from pipeline.core.schema import Schema
from pipeline.data.features import features_of
from pipeline.data.reference import Numbers, Reference
from pipeline.monitoring.score_drift import DRIFT, NO_DRIFT, NO_EVIDENCE

NUMBER, CATEGORY, RISK = "number", "category", "risk"
SHARE = {"minimum": 0, "maximum": 1}  # for the description of the API
LEVEL = 0.05
N_CRITERIA = 2  # to be evident: by PSI's limit and by a p-value
MIN_SHARE_CHANGE = 0.05
NAMES = {"ks": "Kolmogorov-Smirnov", "chi2": "chi-squared"}
P_VALUES = ("p_value", "missing_p_value", "unseen_p_value")
ROWS = 20  # with a value, on both sides: four bins of five; fewer bins show little but the middle
MIN_PSI = 0.1  # what is smaller is taken for no change worth telling, however sure it is
MAX_BINS = 10
VALUES_PER_BIN = 5  # of fewer, chi-squared does not describe PSI (Cochran, Biometrics, 1954)
SMOOTHING = 0.5  # added to every count, so that an empty bin has a logarithm (Anscombe, 1956)


@dataclass(frozen=True)
class FeatureDrift:
    """How a column, or the predicted risk, of a batch compares with the training data.

    `kind` is number, category or risk; `rows` those of the batch. Shares are parts of 1: `missing`
    in the batch and before, `unseen` of rows with a category that the training data do not have.
    P-values are corrected for all those of the batch; 0.05 and less is evident. None: not to be
    told of this kind, or of so few rows.
    """

    feature: str
    kind: Annotated[str, {"enum": [NUMBER, CATEGORY, RISK]}]
    rows: int
    test: str
    missing: Annotated[float, SHARE]
    missing_before: Annotated[float, SHARE]
    psi: float | None = None
    psi_limit: float | None = None
    statistic: float | None = None
    p_value: float | None = None
    missing_p_value: float | None = None
    unseen: float | None = None
    unseen_p_value: float | None = None
    verdict: str = NO_EVIDENCE
    reason: str = ""

    @property
    def name(self) -> str:
        """What a person calls it: a feature may be called risk, too."""
        return "predicted risk" if self.kind == RISK else self.feature


def compare_input(
    reference: Reference, frame: pd.DataFrame, risk: np.ndarray, schema: Schema
) -> tuple[FeatureDrift, ...]:
    """Compare a frame with the schema's feature columns, and the risk of its rows, shape (rows,).

    Returns one comparison for each feature, in the schema's order, and one for the risk. Raises
    `ValueError` where the reference lacks a column.
    """
    lacking = [*(set(schema.numeric) - set(reference.numbers))]
    lacking += [*(set(schema.categorical) - set(reference.categories))]
    if lacking:
        raise ValueError(f"the reference has no column {', '.join(sorted(lacking))}")
    features = features_of(frame, schema)
    level = LEVEL / N_CRITERIA / (len(schema.features) + 1)
    found = [
        compare_numbers(name, NUMBER, reference.numbers[name], features.numbers[:, i], level)
        for i, name in enumerate(schema.numeric)
    ]
    found += [
        compare_categories(name, reference.categories[name], texts, level)
        for name, texts in zip(schema.categorical, features.texts, strict=True)
    ]
    found.append(compare_numbers("risk", RISK, reference.risk, np.asarray(risk, float), level))
    return tuple(map(_judged, _corrected(found)))


def _corrected(found: list[FeatureDrift]) -> list[FeatureDrift]:
    """The same with p-values corrected for how many there are, and for the other way."""
    places = [(i, key) for i, one in enumerate(found) for key in P_VALUES]
    places = [(i, key) for i, key in places if getattr(found[i], key) is not None]
    if not places:
        return found
    values = stats.false_discovery_control([getattr(found[i], key) for i, key in places])
    for (i, key), value in zip(places, np.minimum(1, N_CRITERIA * values).tolist(), strict=True):
        found[i] = replace(found[i], **{key: value})
    return found


def _judged(found: FeatureDrift) -> FeatureDrift:
    """The same with the verdict, and the reason in words."""
    if ways := _findings(found):
        return replace(found, verdict=DRIFT, reason="; ".join(ways))
    if found.psi is None or found.psi_limit is None:
        return found
    reason = f"PSI {found.psi:.3f}, not above its limit {found.psi_limit:.3f}"
    return replace(found, verdict=NO_DRIFT, reason=reason)


def _findings(found: FeatureDrift) -> list[str]:
    """In which ways it has drifted."""
    ways = []
    if found.psi is not None and found.psi_limit is not None:
        if found.psi > found.psi_limit:
            ways.append(f"PSI {found.psi:.3f} above its limit {found.psi_limit:.3f}")
        elif found.psi > MIN_PSI and _evident(found.p_value):
            name, p_value = NAMES[found.test], found.p_value
            ways.append(f"PSI {found.psi:.3f} above {MIN_PSI:g}, {name} test p {p_value:.2g}")
    change = abs(found.missing - found.missing_before)
    if change >= MIN_SHARE_CHANGE and _evident(found.missing_p_value):
        ways.append(f"missing {_percent(found.missing)}, before {_percent(found.missing_before)}")
    if (found.unseen or 0) >= MIN_SHARE_CHANGE and _evident(found.unseen_p_value):
        ways.append(f"{_percent(found.unseen)} in categories that the training data lack")
    return ways


def _evident(p_value: float | None) -> bool:
    return p_value is not None and p_value <= LEVEL


def _percent(share: float | None) -> str:
    return f"{100 * (share or 0):.1f} %"


def compare_numbers(
    name: str, kind: str, before: Numbers, values: np.ndarray, level: float
) -> FeatureDrift:
    """Measure values of shape (rows,), NaN where missing; `level` is that of the PSI limit.

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
    if fewest < ROWS:
        return replace(found, reason=_too_few(len(present), len(before.sample)))
    sample = np.array(before.sample)
    edges = quantile_edges(sample, min(MAX_BINS, fewest // VALUES_PER_BIN))
    found = _with_psi(found, binned(sample, edges), binned(present, edges), level)
    # the exact method takes long for many rows and gives up on some
    test = stats.ks_2samp(sample, present, method="asymp")
    return replace(found, statistic=float(test.statistic), p_value=float(test.pvalue))


def compare_categories(
    name: str, before: dict[str, int], texts: list[str], level: float
) -> FeatureDrift:
    """Measure the category of each row, "" where missing; `level` is that of the PSI limit.

    Source: Pearson's chi-squared test of homogeneity.
    """
    now = Counter(texts)
    rows, rows_before = len(texts), sum(before.values())
    known = {category: count for category, count in before.items() if category and count}
    present, present_before = rows - now[""], sum(known.values())
    unseen = present - sum(now[category] for category in known)
    # a category seen once stands for one not seen at all (Good, Biometrika, 1953)
    seen_once = sum(count == 1 for count in known.values())
    found = FeatureDrift(
        feature=name,
        kind=CATEGORY,
        rows=rows,
        test="chi2",
        missing=_share(now[""], rows),
        missing_before=_share(before.get("", 0), rows_before),
        missing_p_value=_shares_p_value(now[""], rows, before.get("", 0), rows_before),
        unseen=_share(unseen, rows),
    )
    if min(present, present_before) < ROWS:
        return replace(found, reason=_too_few(present, present_before))
    found = replace(
        found, unseen_p_value=_shares_p_value(unseen, present, seen_once, present_before)
    )
    counts = _pooled(known, now, present)
    found = _with_psi(found, counts[0], counts[1], level)
    test = stats.chi2_contingency(counts, correction=False)
    return replace(found, statistic=float(test.statistic), p_value=float(test.pvalue))


def _pooled(known: dict[str, int], now: Counter[str], present: int) -> np.ndarray:
    """The counts before and now of each category, rare and unseen ones as one: shape (2, bins).

    A bin is expected to hold five rows on both sides, by the counts of both: those that only chance
    made frequent in one would be missed in the other. The rare ones join the rarest that does
    where even together they are too few.
    """
    names = sorted(known, key=lambda name: (-known[name] - now[name], name))
    before = np.array([known[name] for name in names])
    here = np.array([now[name] for name in names])
    expected = (before + here) * (min(before.sum(), present) / (before.sum() + present))
    frequent = int((expected >= VALUES_PER_BIN).sum())
    if frequent and expected[frequent:].sum() < VALUES_PER_BIN:
        frequent -= 1
    rest = before[frequent:].sum(), present - here[:frequent].sum()
    return np.column_stack([[before[:frequent], here[:frequent]], rest])


def _with_psi(
    found: FeatureDrift, before: np.ndarray, now: np.ndarray, level: float
) -> FeatureDrift:
    filled = (before + now) > 0
    before, now = before[filled], now[filled]
    limit = psi_limit(int(before.sum()), int(now.sum()), len(now), level)
    return replace(found, psi=psi(before, now), psi_limit=limit)


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def _too_few(now: int, before: int) -> str:
    where, count = ("in the batch", now) if now < ROWS else ("in the training data", before)
    return f"rows with a value {where}: {count}, at least {ROWS} are needed"


def _shares_p_value(now: int, rows: int, before: int, rows_before: int) -> float | None:
    """How likely two shares differ so by chance; None where neither says anything."""
    if min(rows, rows_before) < ROWS or not now + before:
        return None
    table = [[now, rows - now], [before, rows_before - before]]
    return float(stats.fisher_exact(table).pvalue)


def quantile_edges(sample: np.ndarray, bins: int) -> np.ndarray:
    """The upper edges of bins at the quantiles of a sorted sample, but of the last: rising.

    There are fewer where values tie, and a value that several quantiles fall on has a bin of its
    own: whatever is lower or higher is told apart from it, be the sample constant.
    """
    quantiles = sample[np.maximum(np.arange(1, bins) * len(sample) // bins - 1, 0)]
    edges, times = np.unique(quantiles, return_counts=True)
    return np.union1d(edges, np.nextafter(edges[times > 1], -np.inf))


def binned(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """How many values lie in each bin, edges included below: shape (edges + 1,)."""
    return np.bincount(np.searchsorted(edges, values), minlength=len(edges) + 1)


def psi(before: np.ndarray, now: np.ndarray) -> float:
    """The PSI of two samples by their counts in the same bins, none of them empty in both."""
    first, second = (
        (counts + SMOOTHING) / (counts.sum() + SMOOTHING * len(counts)) for counts in (before, now)
    )
    return float(((second - first) * np.log(second / first)).sum())


def psi_limit(before: int, now: int, bins: int, level: float) -> float:
    """The PSI that samples of so many values exceed without any change with probability `level`.

    It is no less than what matters.
    """
    by_chance = stats.chi2.isf(level, bins - 1) if bins > 1 else 0.0
    return max(MIN_PSI, float(by_chance) * (1 / before + 1 / now))
