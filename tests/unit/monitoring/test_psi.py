import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy
from scipy import stats

from pipeline.monitoring.psi import binned, psi, psi_limit, quantile_edges

NUMBERS = st_numpy.arrays(
    "float64", st.integers(20, 200), elements=st.floats(-1e100, 1e100, allow_nan=False)
)
FEW_NUMBERS = st_numpy.arrays(
    "float64", st.integers(20, 200), elements=st.sampled_from([0, 1, 2.5])
)


def test_ten_bins_hold_a_tenth_of_the_sample_each() -> None:
    sample = np.sort(np.random.default_rng(1).normal(size=1_000))
    assert binned(sample, quantile_edges(sample, 10)).tolist() == [100] * 10


def test_a_value_on_an_edge_belongs_below_it() -> None:
    edges = quantile_edges(np.arange(1.0, 101.0), 4)
    assert edges.tolist() == [25, 50, 75]
    assert binned(np.array([25.0, 25.5, 75.0, 76.0, 1e9]), edges).tolist() == [1, 1, 1, 2]


def test_where_values_tie_they_have_a_bin_of_their_own() -> None:
    sample = np.sort(np.concatenate([np.zeros(60), np.arange(1.0, 41.0)]))
    edges = quantile_edges(sample, 10)
    assert binned(np.array([-1.0, 0.0, 0.0, 1.0]), edges).tolist() == [1, 2, 1, 0, 0, 0]


def test_a_constant_is_told_from_what_is_lower_and_higher() -> None:
    edges = quantile_edges(np.full(100, 7.0), 10)
    assert binned(np.array([6.0, 7.0, 7.0, 8.0]), edges).tolist() == [1, 2, 1]


@given(sample=NUMBERS | FEW_NUMBERS, bins=st.integers(1, 10))
def test_edges_rise_and_no_value_is_lost(sample: np.ndarray, bins: int) -> None:
    edges = quantile_edges(np.sort(sample), bins)
    assert (np.diff(edges) > 0).all()
    assert binned(sample, edges).sum() == len(sample)


def test_psi_is_the_sum_of_differences_times_logarithms() -> None:
    # smoothed: 20.5 / 81 and 60.5 / 81 before, 40.5 / 81 and 40.5 / 81 now
    expected = (20 / 81) * np.log(40.5 / 20.5) - (20 / 81) * np.log(40.5 / 60.5)
    assert psi(np.array([20, 60]), np.array([40, 40])) == pytest.approx(expected)


COUNTS = st.lists(st.tuples(st.integers(0, 100), st.integers(0, 100)), min_size=1, max_size=12)


@given(COUNTS)
def test_psi_is_never_negative_and_the_same_from_either_side(pairs: list[tuple[int, int]]) -> None:
    before, now = np.array(pairs).T
    assert psi(before, now) >= 0
    assert psi(before, now) == pytest.approx(psi(now, before))
    assert psi(before, before) == pytest.approx(0)


def test_the_limit_is_a_quantile_of_chi_squared() -> None:
    expected = stats.chi2.ppf(0.95, 9) * (1 / 50 + 1 / 5000)
    assert psi_limit(5_000, 50, 10, 0.05) == pytest.approx(expected)


def test_the_limit_is_no_less_than_what_matters() -> None:
    assert psi_limit(5_000, 10_000, 10, 0.05) == 0.1
    assert psi_limit(5_000, 50, 1, 0.05) == 0.1


@pytest.mark.parametrize(("rows", "bins"), [(25, 5), (50, 10), (500, 10)])
def test_without_any_change_about_a_twentieth_is_above_the_quantile(rows: int, bins: int) -> None:
    random, above = np.random.default_rng(3), 0
    quantile = stats.chi2.ppf(0.95, bins - 1) * (1 / rows + 1 / 2_000)
    for _ in range(1_500):
        sample = np.sort(random.random(2_000))
        edges = quantile_edges(sample, bins)
        above += psi(binned(sample, edges), binned(random.random(rows), edges)) > quantile
    assert 0.025 <= above / 1_500 <= 0.065
