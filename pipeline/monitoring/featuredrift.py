"""One column of a batch beside the same column of the training data: the numbers, no verdict."""

from collections import Counter
from dataclasses import dataclass, replace

import numpy as np
from scipy import stats

from pipeline.data.reference import Numbers
from pipeline.monitoring.psi import (
    MAX_BINS,
    VALUES_PER_BIN,
    binned,
    psi,
    psi_limit,
    quantile_edges,
)
from pipeline.monitoring.score_drift import NO_EVIDENCE

NUMBER, CATEGORY, RISK = "number", "category", "risk"
ROWS = 20  # with a value, on both sides: four bins of five; fewer bins show little but the middle


@dataclass(frozen=True)
class FeatureDrift:
    """How a column, or the predicted risk, of a batch compares with the training data.

    `kind` is number, category or risk; `rows` those of the batch. Shares are parts of 1: `missing`
    in the batch and before, `unseen` of rows with a category that the training data do not have.
    P-values are corrected for all those of the batch; 0.05 and less is evident. None: not to be
    told of this kind, or of so few rows.
    """

    feature: str
    kind: str
    rows: int
    test: str
    missing: float
    missing_before: float
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
