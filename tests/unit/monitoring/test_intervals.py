from dataclasses import fields
from time import process_time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from pipeline.monitoring import intervals
from pipeline.monitoring.bootstrap import (
    Interval,
    Predictions,
    f1_of,
    interval_of,
    resampled_confusions,
)
from pipeline.monitoring.intervals import score_intervals
from pipeline.monitoring.metrics import score_predictions
from pipeline.monitoring.scores import Scores


def scored(clients: int, seed: int, times: int = 1) -> tuple[Predictions, np.ndarray]:
    """Clients with so many rows each, all alike."""
    random = np.random.default_rng(seed)
    risk = random.beta(1, 2, clients).round(3)  # with ties
    outcomes = (random.random(clients) < risk).astype(int)
    columns = (outcomes, (risk > 0.5).astype(int), np.arange(clients), risk)
    *told, risk = (np.repeat(column, times) for column in columns)
    return Predictions(*told), risk


def test_it_tells_of_every_score_by_its_name_in_the_history() -> None:
    found = score_intervals(*scored(200, 1), seed=2)
    assert set(found) == {field.name for field in fields(Scores)} - {"rows"}


def test_every_score_lies_within_its_interval() -> None:
    sample, risk = scored(500, 1)
    scores = score_predictions(sample.outcomes, sample.predicted, risk)
    for name, interval in score_intervals(sample, risk, seed=2).items():
        assert interval
        assert interval.low < getattr(scores, name) < interval.high, name


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 5)), min_size=2, max_size=30))
@settings(max_examples=50, deadline=None)
def test_unweighted_the_rank_scores_are_those_of_scikit_learn(rows: list[tuple[int, int]]) -> None:
    outcomes, fifths = np.array(rows).T
    risk = fifths / 5
    ranked = intervals._ranked(Predictions(outcomes, outcomes, np.arange(len(rows))), risk)
    found = intervals._rank_scores(ranked, np.ones(len(rows)))
    if outcomes.min() == outcomes.max():
        assert found is None
    else:
        area = metrics.roc_auc_score(outcomes, risk)
        precision = metrics.average_precision_score(outcomes, risk)
        assert found == pytest.approx((area, precision))


@given(st.integers(0, 10_000))
@settings(max_examples=50, deadline=None)
def test_weights_are_those_of_scikit_learn(seed: int) -> None:
    sample, risk = scored(40, seed)
    ranked = intervals._ranked(sample, risk)
    weights = np.random.default_rng(seed).integers(0, 3, 40).astype(float)
    found = intervals._rank_scores(ranked, weights)
    kept = weights > 0
    if np.unique(ranked.outcomes[kept]).size < 2:
        assert found is None
        return
    told = ranked.outcomes[kept], np.sort(risk)[::-1][kept]
    assert found == pytest.approx(
        (
            metrics.roc_auc_score(*told, sample_weight=weights[kept]),
            metrics.average_precision_score(*told, sample_weight=weights[kept]),
        )
    )


def test_weighted_resamples_scatter_as_clients_drawn_one_by_one() -> None:
    sample, risk = scored(100, 3, times=4)
    random = np.random.default_rng(4)
    plain = []
    for _ in range(200):
        drawn = random.integers(100, size=100)
        rows = np.concatenate([np.flatnonzero(sample.clients == client) for client in drawn])
        told = sample.outcomes[rows], risk[rows]
        plain.append(
            [
                metrics.roc_auc_score(*told),
                metrics.average_precision_score(*told),
                metrics.log_loss(*told),
                metrics.brier_score_loss(*told),
            ]
        )
    found = score_intervals(sample, risk, seed=5)
    names = ("roc_auc", "average_precision", "log_loss", "brier")
    for name, values in zip(names, np.transpose(plain), strict=True):
        interval = found[name]
        assert interval
        expected = np.quantile(values, [0.025, 0.975])
        assert [interval.low, interval.high] == pytest.approx(expected, abs=0.6 * values.std())


def test_the_interval_of_the_f1_is_as_wide_as_that_of_its_own() -> None:
    sample, risk = scored(400, 1)
    found = score_intervals(sample, risk, seed=2)["f1"]
    alone = interval_of(f1_of(resampled_confusions(sample, np.random.default_rng(2))))
    assert found
    assert found.high - found.low == pytest.approx(alone.high - alone.low, rel=0.1)


def test_of_one_outcome_only_the_ranking_scores_are_undefined() -> None:
    nobody, risk = np.zeros(20, dtype=int), np.linspace(0, 0.4, 20)
    found = score_intervals(Predictions(nobody, nobody, np.arange(20)), risk, seed=1)
    undefined = {name for name, interval in found.items() if interval is None}
    assert undefined == {"f1", "precision", "recall", "roc_auc", "average_precision"}
    assert found["accuracy"] == Interval(1.0, 1.0)


def test_if_nobody_is_named_the_precision_is_undefined_and_the_f1_nought() -> None:
    outcomes = np.array([0, 1] * 10)
    found = score_intervals(
        Predictions(outcomes, np.zeros(20, dtype=int), np.arange(20)), outcomes * 0.1, seed=1
    )
    assert (found["precision"], found["f1"]) == (None, Interval(0.0, 0.0))
    assert found["recall"] == Interval(0.0, 0.0)


def test_resamples_of_one_outcome_are_left_out_of_the_ranking_scores() -> None:
    outcomes = np.array([1, 0, 0, 0])
    sample = Predictions(outcomes, outcomes, np.arange(4))
    found = score_intervals(sample, np.array([0.9, 0.1, 0.2, 0.3]), seed=1)
    assert found["roc_auc"] == Interval(1.0, 1.0)


def test_a_risk_of_nought_or_one_has_a_finite_loss() -> None:
    outcomes = np.array([1, 0] * 10)
    sample = Predictions(outcomes, 1 - outcomes, np.arange(20))
    found = score_intervals(sample, 1.0 - outcomes, seed=1)["log_loss"]
    expected = metrics.log_loss(outcomes, 1.0 - outcomes)
    assert found
    assert [found.low, found.high] == pytest.approx([expected, expected])


def test_the_same_seed_gives_the_same_and_another_does_not() -> None:
    sample, risk = scored(100, 1)
    assert score_intervals(sample, risk, 3) == score_intervals(sample, risk, 3)
    assert score_intervals(sample, risk, 3)["brier"] != score_intervals(sample, risk, 4)["brier"]


def test_ten_thousand_rows_take_a_fraction_of_a_second() -> None:
    sample, risk = scored(10_000, 1)
    started = process_time()
    score_intervals(sample, risk, 3)
    assert process_time() - started < 1.5  # of the processor; 0.1 s on a quiet machine
