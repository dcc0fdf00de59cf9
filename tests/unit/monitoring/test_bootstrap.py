from collections.abc import Callable
from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics

from pipeline.monitoring import bootstrap
from pipeline.monitoring.bootstrap import (
    Difference,
    Interval,
    Predictions,
    confusion_of,
    difference_of_samples,
    f1_of,
    interval_of,
    paired_difference,
    resampled_confusions,
    score_intervals,
)
from pipeline.monitoring.decisions import Scores
from pipeline.monitoring.metrics import score_predictions


def f1_interval(rows: Predictions, seed: int) -> Interval | None:
    """That of the F1 alone, as the intervals of all scores have it."""
    resampled = f1_of(resampled_confusions(rows, np.random.default_rng(seed)))
    result = bool(rows.outcomes.any() or rows.predicted.any())
    return interval_of(resampled) if result else None


def sample(rows: int, seed: int, per_client: int = 1, right: float = 0.8) -> Predictions:
    """Rows of which this share is predicted rightly, whole clients at a time."""
    random = np.random.default_rng(seed)
    clients = np.repeat([f"c{i}" for i in range(rows // per_client)], per_client)
    outcomes = np.repeat(random.integers(0, 2, rows // per_client), per_client)
    correct = np.repeat(random.random(rows // per_client) < right, per_client)
    return Predictions(outcomes, np.where(correct, outcomes, 1 - outcomes), clients)


def drawn_client_by_client(rows: Predictions, resamples: int, seed: int) -> np.ndarray:
    """The F1 of resamples made the plain way: draw clients, take all their rows, score them."""
    random = np.random.default_rng(seed)
    names = np.unique(rows.clients)
    of_client = {name: np.flatnonzero(rows.clients == name) for name in names}
    scores = []
    for _ in range(resamples):
        chosen = np.concatenate([of_client[n] for n in random.choice(names, len(names))])
        left, said = rows.outcomes[chosen], rows.predicted[chosen]
        scores.append(2 * (left & said).sum() / (left.sum() + said.sum()))
    return np.array(scores)


labels = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1)), min_size=1, max_size=40)


@given(labels)
def test_the_f1_of_counts_is_that_of_scikit_learn(pairs: list[tuple[int, int]]) -> None:
    outcomes, predicted = np.array(pairs).T
    counts = confusion_of(Predictions(outcomes, predicted, np.arange(len(pairs))))
    assert counts.tolist() == metrics.confusion_matrix(outcomes, predicted, labels=[0, 1]).tolist()
    assert f1_of(counts) == pytest.approx(metrics.f1_score(outcomes, predicted, zero_division=0.0))


@pytest.mark.parametrize("per_client", [1, 5])
def test_it_draws_as_one_draws_client_by_client(per_client: int) -> None:
    rows = sample(60, 4, per_client)
    plain = drawn_client_by_client(rows, 1_500, 5)
    ours = f1_of(resampled_confusions(rows, np.random.default_rng(6)))
    # the standard error of a deviation from 1,500 resamples is 2 % of it
    assert ours.mean() == pytest.approx(plain.mean(), abs=0.15 * plain.std())
    assert ours.std() == pytest.approx(plain.std(), rel=0.12)
    assert np.quantile(ours, [0.025, 0.975]) == pytest.approx(
        np.quantile(plain, [0.025, 0.975]), abs=0.3 * plain.std()
    )


def test_rows_of_one_client_are_no_more_evidence_than_one() -> None:
    one = sample(100, 7)
    repeated = Predictions(*(np.repeat(v, 10) for v in (one.outcomes, one.predicted, one.clients)))
    strangers = Predictions(repeated.outcomes, repeated.predicted, np.arange(1_000))
    widths = [i.high - i.low for i in (f1_interval(s, 1) for s in (one, repeated, strangers)) if i]
    assert widths[1] == pytest.approx(widths[0], rel=0.1)
    assert widths[2] < widths[0] / 2.5


def test_every_resample_has_as_many_clients_as_the_sample() -> None:
    rows = sample(90, 8, per_client=3)
    drawn = resampled_confusions(rows, np.random.default_rng(1))
    assert drawn.shape == (bootstrap.RESAMPLES, 2, 2)
    assert set(drawn.sum((1, 2))) == {90.0}


def test_the_order_of_rows_does_not_count() -> None:
    rows = sample(80, 9, per_client=2)
    order = np.random.default_rng(0).permutation(80)
    mixed = Predictions(rows.outcomes[order], rows.predicted[order], rows.clients[order])
    assert f1_interval(mixed, 3) == f1_interval(rows, 3)


def test_blocks_do_not_change_what_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = sample(80, 9, per_client=2)
    whole = f1_interval(rows, 3)
    monkeypatch.setattr(bootstrap, "DRAWN_AT_ONCE", 70)
    assert f1_interval(rows, 3) == whole


def test_the_interval_is_the_middle_95_percent() -> None:
    assert interval_of(np.arange(1001.0)) == Interval(pytest.approx(25), pytest.approx(975))


def test_the_interval_holds_the_true_f1_in_about_95_of_100_samples() -> None:
    # a clean quarter leaves, 16 % found, 9 % missed, 4 % named wrongly: F1 0.711
    shares, true = [0.71, 0.04, 0.09, 0.16], 0.32 / 0.45
    random = np.random.default_rng(12)
    held = 0
    for i in range(200):
        outcomes, predicted = np.divmod(random.choice(4, 200, p=shares), 2)
        interval = f1_interval(Predictions(outcomes, predicted, np.arange(200)), i)
        assert interval
        held += interval.low <= true <= interval.high
    assert 0.92 <= held / 200 <= 0.98


def test_an_undefined_f1_has_no_interval() -> None:
    nobody = np.zeros(10, dtype=int)
    assert f1_interval(Predictions(nobody, nobody, np.arange(10)), 1) is None


def test_an_undefined_resample_counts_as_nought() -> None:
    # one leaver of two clients: a quarter of the resamples lack it, and then nobody is named
    rows = Predictions(np.array([1, 0]), np.array([1, 0]), np.array(["a", "b"]))
    assert f1_interval(rows, 1) == Interval(0.0, 1.0)


def test_a_wrong_model_has_an_f1_of_nought_throughout() -> None:
    rows = Predictions(np.array([1, 0] * 5), np.array([0, 1] * 5), np.arange(10))
    assert f1_interval(rows, 1) == Interval(0.0, 0.0)


def test_a_single_client_has_an_interval_without_length() -> None:
    rows = Predictions(np.array([1, 1, 0]), np.array([1, 0, 0]), np.array(["a"] * 3))
    assert f1_interval(rows, 1) == Interval(2 / 3, 2 / 3)


NO_ROWS = Predictions(np.array([], int), np.array([], int), np.array([], object))
EMPTY = np.array([], int)


@pytest.mark.parametrize(
    "ask",
    [
        lambda: f1_interval(NO_ROWS, 1),
        lambda: difference_of_samples(NO_ROWS, sample(10, 1), 1),
        lambda: difference_of_samples(sample(10, 1), NO_ROWS, 1),
        lambda: paired_difference(EMPTY, EMPTY, EMPTY, EMPTY, 1),
    ],
)
def test_of_no_rows_nothing_can_be_resampled(ask: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match="there are no rows to resample"):
        ask()


# --- differences ---


def f1(outcomes: np.ndarray, predicted: np.ndarray) -> float:
    return float(metrics.f1_score(outcomes, predicted, zero_division=0.0))


def test_the_difference_of_samples_is_the_new_less_the_test() -> None:
    new, test = sample(300, 1, right=0.6), sample(500, 2, right=0.9)
    found = difference_of_samples(new, test, 3)
    expected = f1(new.outcomes, new.predicted) - f1(test.outcomes, test.predicted)
    assert found.value == pytest.approx(expected)
    assert found.low < found.value < found.high < 0


def test_two_samples_scatter_independently() -> None:
    rows = sample(400, 1)
    own = f1_of(resampled_confusions(rows, np.random.default_rng(1))).std()
    found = difference_of_samples(rows, rows, 3)
    # 1.96 deviations to either side, and the variances add up
    assert found.high - found.low == pytest.approx(2 * 1.96 * own * 2**0.5, rel=0.1)


def test_the_paired_difference_is_the_challenger_less_the_champion() -> None:
    rows, better = sample(300, 1, right=0.6), sample(300, 1, right=0.95)
    found = paired_difference(rows.outcomes, rows.predicted, better.predicted, rows.clients, 3)
    expected = f1(rows.outcomes, better.predicted) - f1(rows.outcomes, rows.predicted)
    assert found.value == pytest.approx(expected)
    assert 0 < found.low < found.value < found.high


def test_models_that_say_the_same_do_not_differ_at_all() -> None:
    rows = sample(100, 1)
    found = paired_difference(rows.outcomes, rows.predicted, rows.predicted, rows.clients, 3)
    assert found == Difference(0.0, 0.0, 0.0)


def test_what_both_models_have_in_common_cancels_out() -> None:
    rows = sample(400, 1)
    other = rows.predicted.copy()
    other[:10] = 1 - other[:10]
    challenger = Predictions(rows.outcomes, other, rows.clients)
    paired = paired_difference(rows.outcomes, rows.predicted, other, rows.clients, 3)
    apart = difference_of_samples(challenger, rows, 3)
    assert paired.value == pytest.approx(apart.value)
    assert paired.high - paired.low < (apart.high - apart.low) / 2


def test_a_pair_is_resampled_by_client() -> None:
    one, two = sample(100, 7, right=0.7), sample(100, 7, right=0.8)
    pair = [one.outcomes, one.predicted, two.predicted, one.clients]
    alone = paired_difference(*pair, 3)
    repeated = paired_difference(*(np.repeat(v, 10) for v in pair), 3)
    assert repeated.high - repeated.low == pytest.approx(alone.high - alone.low, rel=0.1)


def test_the_same_seed_gives_the_same_and_another_does_not() -> None:
    new, test = sample(100, 1), sample(200, 2)
    assert difference_of_samples(new, test, 3) == difference_of_samples(new, test, 3)
    assert difference_of_samples(new, test, 3) != difference_of_samples(new, test, 4)
    intervals = [score_intervals(new, new.predicted * 0.5, seed) for seed in (3, 3, 4)]
    assert intervals[0] == intervals[1] != intervals[2]


# all scores


def scored(clients: int, seed: int, times: int = 1) -> tuple[Predictions, np.ndarray]:
    """Clients with so many rows each, all alike."""
    random = np.random.default_rng(seed)
    risk = random.beta(1, 2, clients).round(3)  # with ties
    outcomes = (random.random(clients) < risk).astype(int)
    columns = (outcomes, (risk > 0.5).astype(int), np.arange(clients), risk)
    *result, risk = (np.repeat(column, times) for column in columns)
    return Predictions(*result), risk


def test_it_tells_of_every_score_by_its_name_in_the_history() -> None:
    found = score_intervals(*scored(200, 1), seed=2)
    assert set(found) == {field.name for field in fields(Scores)} - {"rows"}


def test_every_score_lies_within_its_interval() -> None:
    sample, risk = scored(500, 1)
    scores = score_predictions(sample.outcomes, sample.predicted, risk)
    for name, interval in score_intervals(sample, risk, seed=2).items():
        assert interval
        assert interval.low < getattr(scores, name) < interval.high, name


@given(
    st.lists(
        st.tuples(st.integers(0, 1), st.integers(0, 5), st.integers(0, 2)), min_size=2, max_size=30
    )
)
def test_the_weighted_rank_scores_are_those_of_scikit_learn(
    rows: list[tuple[int, int, int]],
) -> None:
    outcomes, risk, weights = np.array(sorted(rows, key=lambda row: -row[1])).T
    ends = np.append(np.flatnonzero(np.diff(risk)), len(risk) - 1)
    found = bootstrap.rank_scores(outcomes, weights, ends)
    if np.unique(outcomes[weights > 0]).size < 2:
        assert np.isnan(found).all()
    else:
        area = metrics.roc_auc_score(outcomes, risk, sample_weight=weights)
        precision = metrics.average_precision_score(outcomes, risk, sample_weight=weights)
        assert found == pytest.approx((area, precision))


def test_weighted_resamples_scatter_as_clients_drawn_one_by_one() -> None:
    sample, risk = scored(100, 3, times=4)
    random = np.random.default_rng(4)
    plain = []
    for _ in range(200):
        drawn = random.integers(100, size=100)
        rows = np.concatenate([np.flatnonzero(sample.clients == client) for client in drawn])
        result = sample.outcomes[rows], risk[rows]
        plain.append(
            [
                metrics.roc_auc_score(*result),
                metrics.average_precision_score(*result),
                metrics.log_loss(*result),
                metrics.brier_score_loss(*result),
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
