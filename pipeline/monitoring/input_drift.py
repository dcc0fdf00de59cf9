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

from dataclasses import replace

import numpy as np
import pandas as pd
from scipy import stats

from pipeline.core.schema import Schema
from pipeline.data.features import features_of
from pipeline.data.reference import Reference
from pipeline.monitoring.featuredrift import (
    NUMBER,
    RISK,
    FeatureDrift,
    compare_categories,
    compare_numbers,
)
from pipeline.monitoring.psi import MIN_PSI
from pipeline.monitoring.score_drift import DRIFT, NO_DRIFT

LEVEL = 0.05
N_CRITERIA = 2  # to be evident: by PSI's limit and by a p-value
MIN_SHARE_CHANGE = 0.05
NAMES = {"ks": "Kolmogorov-Smirnov", "chi2": "chi-squared"}
P_VALUES = ("p_value", "missing_p_value", "unseen_p_value")


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
