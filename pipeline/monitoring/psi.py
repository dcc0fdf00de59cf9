"""The population stability index (PSI) of two samples, and how large it gets by chance alone.

Source: Yurdakul, Statistical Properties of Population Stability Index, 2018. Between samples of n
and m values of the same distribution in k bins, PSI is distributed about as (1/n + 1/m) times a
chi-squared variable of k - 1 degrees of freedom. The usual fixed limit of 0.1 knows nothing of n.
"""

import numpy as np
from scipy import stats

MIN_PSI = 0.1  # what is smaller is taken for no change worth telling, however sure it is
MAX_BINS = 10
VALUES_PER_BIN = 5  # of fewer, chi-squared does not describe PSI (Cochran, Biometrics, 1954)
SMOOTHING = 0.5  # added to every count, so that an empty bin has a logarithm (Anscombe, 1956)


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
