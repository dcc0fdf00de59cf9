"""Tables of risks beside scikit-learn, exact and in bins."""

from itertools import pairwise
from random import Random

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from pipeline import risktable
from pipeline.risktable import RiskTable

RISKS = st.one_of(
    st.floats(0, 1), st.sampled_from([0.0, 0.25, 0.5, np.nextafter(0.5, 1), 1 - 2**-53, 1.0])
)
ROWS = st.lists(st.tuples(st.integers(0, 1), RISKS), max_size=60)

Rows = list[tuple[int, float]]


def table_of(rows: Rows) -> RiskTable:
    return RiskTable.of(*columns(rows))


def columns(rows: Rows) -> tuple[np.ndarray, np.ndarray]:
    return np.array([left for left, _ in rows], "int64"), np.array([r for _, r in rows], "float64")


def told(table: RiskTable) -> tuple[list[float], list[int], list[int], bool]:
    return table.risk.tolist(), table.left.tolist(), table.stayed.tolist(), table.binned


def both(rows: Rows) -> bool:
    return len({left for left, _ in rows}) == 2


@pytest.fixture
def four_bins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(risktable, "BINS", 4)


def test_each_risk_has_its_rows_of_either_outcome() -> None:
    table = table_of([(1, 0.5), (0, 0.25), (1, 0.5), (0, 0.5), (0, 0.0)])
    assert told(table) == ([0.0, 0.25, 0.5], [0, 0, 2], [1, 1, 1], False)


def test_of_no_rows_the_table_is_empty() -> None:
    for table in (table_of([]), RiskTable.merged([]), RiskTable.merged([table_of([])])):
        assert told(table) == ([], [], [], False)
        assert (table.roc_auc(), table.average_precision(), table.auc_error()) == (None, None, 0)


@pytest.mark.parametrize("left", [0, 1])
def test_of_one_outcome_there_is_no_curve(left: int) -> None:
    table = table_of([(left, 0.25), (left, 0.75)])
    assert (table.roc_auc(), table.average_precision(), table.auc_error()) == (None, None, 0)


@given(ROWS.filter(both))
@settings(deadline=None)
@example([(1, 0.5), (0, 0.5)])
@example([(0, 0.5), (1, 0.5), (1, float(np.nextafter(0.5, 1)))])
def test_the_scores_are_those_of_scikit_learn(rows: Rows) -> None:
    outcomes, risk = columns(rows)
    table = table_of(rows)
    assert table.roc_auc() == pytest.approx(roc_auc_score(outcomes, risk), rel=0, abs=1e-12)
    expected = average_precision_score(outcomes, risk)
    assert table.average_precision() == pytest.approx(expected, rel=0, abs=1e-12)
    assert table.auc_error() == 0


@given(
    ROWS,
    st.lists(st.integers(0, 60), max_size=5),
    st.integers(1, 8),
    st.randoms(use_true_random=False),
)
@settings(deadline=None)
def test_however_rows_are_cut_and_merged_the_table_is_the_same(
    rows: Rows, cuts: list[int], bins: int, random: Random
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(risktable, "BINS", bins)
        ends = [0, *sorted(cuts), len(rows)]
        tables = [table_of(rows[a:b]) for a, b in pairwise(ends)]
        random.shuffle(tables)
        first = RiskTable.merged(tables[:2])
        assert told(RiskTable.merged([first, *tables[2:]])) == told(table_of(rows))


@given(ROWS.filter(both), st.integers(1, 8))
@settings(deadline=None)
def test_in_bins_the_area_is_wrong_by_no_more_than_is_said(rows: Rows, bins: int) -> None:
    outcomes, risk = columns(rows)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(risktable, "BINS", bins)
        table = table_of(rows)
        assert len(table.risk) <= bins
        assert table.binned == (len(np.unique(risk)) > bins)
        area = table.roc_auc()
    assert area is not None
    assert abs(area - roc_auc_score(outcomes, risk)) <= table.auc_error() + 1e-12


@pytest.mark.usefixtures("four_bins")
@pytest.mark.parametrize("turned", [False, True])
def test_the_bound_is_reached_where_each_bin_is_told_right_or_wrong(turned: bool) -> None:
    rows = [(0, 0.01), (1, 0.02), (0, 0.26), (1, 0.27), (1, 0.51)]
    table = table_of([(1 - left if turned else left, risk) for left, risk in rows])
    exact = roc_auc_score(*columns([(1 - left if turned else left, risk) for left, risk in rows]))
    assert table.binned
    # two of six pairs share a bin
    assert table.auc_error() == pytest.approx(2 / 6 / 2)
    assert abs((table.roc_auc() or 0) - exact) == pytest.approx(table.auc_error())


@pytest.mark.usefixtures("four_bins")
def test_bins_are_of_equal_width_and_told_by_their_middle() -> None:
    table = table_of([(0, 0.0), (1, 0.2), (0, 0.25), (1, 0.9), (1, 1.0)])
    assert told(table) == ([0.125, 0.375, 0.875], [1, 0, 2], [1, 1, 0], True)


@pytest.mark.usefixtures("four_bins")
def test_as_many_risks_as_there_are_bins_are_exact() -> None:
    assert not table_of([(0, 0.1), (1, 0.11), (0, 0.12), (1, 0.13)]).binned


def test_at_its_full_size_the_table_is_close() -> None:
    random = np.random.default_rng(7)
    risk = random.random(300_000)
    outcomes = (random.random(len(risk)) < risk).astype("int64")
    table = RiskTable.of(outcomes, risk)
    assert table.binned
    assert len(table.risk) <= 2**16
    assert 0 < table.auc_error() < 1e-5
    assert abs((table.roc_auc() or 0) - roc_auc_score(outcomes, risk)) <= table.auc_error()
