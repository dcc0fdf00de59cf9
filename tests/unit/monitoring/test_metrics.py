"""How a model does on labelled rows, by hand on small examples and beside scikit-learn on many."""

import math
from itertools import permutations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve

from pipeline.core.errors import DataError
from pipeline.core.schema import Schema
from pipeline.monitoring import metrics
from pipeline.monitoring.bootstrap import Predictions, score_intervals
from pipeline.monitoring.decisions import Scores
from pipeline.monitoring.metrics import (
    CalibrationBin,
    Evaluation,
    Segment,
    calibration_bins,
    calibration_error,
    evaluate,
    score_predictions,
    top_lift,
)

SCHEMA = Schema("id", "left", ("risk",))
PLACES = Schema("id", "left", ("risk",), ("place", "kind"))


class Oracle:
    """A model whose probability of leaving is the one feature."""

    feature_names_in_ = ("risk",)

    def predict(self, frame: pd.DataFrame) -> np.ndarray:
        return (frame["risk"] >= 0.5).to_numpy().astype("int64")

    def predict_proba(self, frame: pd.DataFrame) -> np.ndarray:
        risk = frame["risk"].to_numpy()
        return np.column_stack([1 - risk, risk])


def frame_of(risk: list[float], left: list[float]) -> pd.DataFrame:
    return pd.DataFrame({"id": list("abcdefgh")[: len(risk)], "risk": risk, "left": left})


def scored(outcomes: list[int], risk: list[float]) -> Scores:
    predicted = (np.array(risk) >= 0.5).astype("int64")
    return score_predictions(np.array(outcomes), predicted, np.array(risk))


# the scores


def test_all_scores_of_a_small_example() -> None:
    # 2 of 3 leavers are found, 1 of 2 others is taken for one
    scores = scored([1, 1, 1, 0, 0], [0.9, 0.8, 0.3, 0.6, 0.1])
    assert vars(scores) == pytest.approx(
        {
            "rows": 5,
            "f1": 2 / 3,
            "accuracy": 3 / 5,
            "precision": 2 / 3,
            "recall": 2 / 3,
            "roc_auc": 5 / 6,  # of 6 pairs, 0.3 < 0.6 is the wrong way round
            "average_precision": (1 + 1 + 3 / 4) / 3,
            "log_loss": -sum(map(math.log, (0.9, 0.8, 0.3, 1 - 0.6, 1 - 0.1))) / 5,
            "brier": (0.1**2 + 0.2**2 + 0.7**2 + 0.6**2 + 0.1**2) / 5,
        },
        abs=1e-12,
    )


def test_where_nobody_left_and_nobody_was_predicted_to_there_is_no_f1() -> None:
    scores = scored([0, 0], [0.1, 0.2])
    assert scores == Scores(
        rows=2,
        f1=None,
        accuracy=1.0,
        precision=None,
        recall=None,
        roc_auc=None,
        average_precision=None,
        log_loss=scores.log_loss,
        brier=scores.brier,
    )
    assert scores.brier == pytest.approx(0.025)
    assert scores.log_loss == pytest.approx(-(math.log(0.9) + math.log(0.8)) / 2)


@pytest.mark.parametrize(
    ("outcomes", "risk", "f1", "precision", "recall", "roc_auc"),
    [
        ([0, 0], [0.1, 0.9], 0.0, 0.0, None, None),
        ([1, 1], [0.9, 0.8], 1.0, 1.0, 1.0, None),
        ([1, 1], [0.1, 0.2], 0.0, None, 0.0, None),
        ([0, 1], [0.1, 0.2], 0.0, None, 0.0, 1.0),
        ([1], [0.9], 1.0, 1.0, 1.0, None),
    ],
)
def test_what_the_rows_leave_undefined_is_none(
    outcomes: list[int],
    risk: list[float],
    f1: float | None,
    precision: float | None,
    recall: float | None,
    roc_auc: float | None,
) -> None:
    scores = scored(outcomes, risk)
    assert (scores.f1, scores.precision, scores.recall) == (f1, precision, recall)
    assert (scores.roc_auc, scores.average_precision) == (roc_auc, roc_auc)


def test_a_certain_and_wrong_prediction_has_a_finite_log_loss() -> None:
    assert math.isfinite(scored([1, 0], [0.0, 1.0]).log_loss)


def test_of_no_rows_there_is_nothing_to_score() -> None:
    with pytest.raises(DataError) as caught:
        scored([], [])
    assert str(caught.value) == "no row has a known outcome: there is nothing to score"


def test_rows_without_a_known_outcome_are_left_out() -> None:
    frame = frame_of([0.9, 0.7, 0.8, 0.3, 0.6, 0.1], [1, math.nan, 1, 1, 0, 0])
    assert metrics.predict_rows(Oracle(), frame, SCHEMA).tested.scores == scored(
        [1, 1, 1, 0, 0], [0.9, 0.8, 0.3, 0.6, 0.1]
    )


# calibration


def test_rows_are_distinguished_by_tenths_of_risk() -> None:
    risk = np.array([0.0, 0.05, 0.1, 0.125, 0.5, 0.95, 1.0])
    outcomes = np.array([0, 1, 0, 1, 1, 1, 0])
    assert calibration_bins(outcomes, risk) == (
        CalibrationBin(2, pytest.approx(0.025), 0.5),
        CalibrationBin(2, pytest.approx(0.1125), 0.5),
        CalibrationBin(1, 0.5, 1.0),
        CalibrationBin(2, pytest.approx(0.975), 0.5),
    )


def test_the_bins_are_those_of_scikit_learn() -> None:
    random = np.random.default_rng(4)
    risk = random.random(500) ** 2
    outcomes = (random.random(500) < risk).astype("int64")
    left, predicted = calibration_curve(outcomes, risk, n_bins=10)
    bins = calibration_bins(outcomes, risk)
    assert [part.left for part in bins] == pytest.approx(left)
    assert [part.risk for part in bins] == pytest.approx(predicted)
    assert [part.rows for part in bins] == np.histogram(risk, 10, (0, 1))[0].tolist()


def test_the_calibration_error_is_the_mean_distance_by_rows() -> None:
    bins = (CalibrationBin(3, 0.25, 0.5), CalibrationBin(1, 0.75, 0.0))
    assert calibration_error(bins) == (3 * 0.25 + 0.75) / 4


def test_risks_that_come_true_have_no_calibration_error() -> None:
    risk = np.array([0.25] * 4 + [0.75] * 4)
    outcomes = np.array([0, 0, 0, 1, 1, 1, 1, 0])
    assert calibration_error(calibration_bins(outcomes, risk)) == 0.0


def test_certain_and_wrong_risks_have_the_largest_calibration_error() -> None:
    risk, outcomes = np.array([0.0, 0.0, 1.0]), np.array([1, 1, 0])
    assert calibration_error(calibration_bins(outcomes, risk)) == 1.0


# lift


def test_the_lift_is_how_many_times_as_many_leave_among_the_top_tenth() -> None:
    risk = np.arange(20) / 20
    outcomes = np.zeros(20, dtype="int64")
    outcomes[[19, 3, 4, 5]] = 1
    assert top_lift(outcomes, risk) == 0.5 / (4 / 20)


def test_of_equal_risks_at_the_edge_a_share_is_counted() -> None:
    # the top tenth is two rows: the one at 0.9, and one of the four at 0.8, half of whom left
    risk = np.array([0.9, 0.8, 0.8, 0.8, 0.8, *[0.1] * 15])
    outcomes = np.array([1, 1, 0, 1, 0, *[1] * 2, *[0] * 13])
    assert top_lift(outcomes, risk) == ((1 + 0.5) / 2) / (5 / 20)


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 2)), min_size=4, max_size=4))
@settings(max_examples=30, deadline=None)
def test_a_tie_counts_as_the_mean_of_all_orders(edge: list[tuple[int, int]]) -> None:
    # the other sixteen have no risk at all, and one of them left
    outcomes = np.array([*(left for left, _ in edge), 1, *[0] * 15])
    risk = np.array([*((1 + step) / 4 for _, step in edge), *[0.0] * 16])
    found = []
    for order in permutations(range(4)):
        first = sorted(range(4), key=lambda row: (-risk[row], order[row]))[:2]
        found.append(outcomes[first].mean() / outcomes.mean())
    assert top_lift(outcomes, risk) == pytest.approx(np.mean(found))


def test_where_all_have_the_same_risk_the_lift_is_one() -> None:
    outcomes = np.array([1, 1, 1, *[0] * 27])
    assert top_lift(outcomes, np.full(30, 0.4)) == pytest.approx(1.0)


def test_of_fewer_than_ten_rows_there_is_no_lift() -> None:
    assert top_lift(np.ones(9, dtype="int64"), np.arange(9) / 9) is None
    assert top_lift(np.ones(10, dtype="int64"), np.arange(10) / 10) == 1.0


def test_where_nobody_left_there_is_no_lift() -> None:
    assert top_lift(np.zeros(20, dtype="int64"), np.arange(20) / 20) is None


# everything at once


def rows_of_places() -> pd.DataFrame:
    """Seven labelled rows and one of unknown outcome, in three places, one of them missing."""
    return pd.DataFrame(
        {
            "id": list("abcdefgh"),
            "risk": [0.875, 0.25, 0.75, 0.5, 0.125, 0.25, 0.625, 0.9],
            "place": pd.Series(
                ["south", "south", "north", "north", "", "", "south", "west"], dtype="str"
            ),
            "kind": pd.Series(["x"] * 8, dtype="str"),
            "left": [1, 0, 0, 1, 0, 0, 1, math.nan],
        }
    )


def test_what_was_tested_is_a_sample_to_draw_intervals_from() -> None:
    tested = metrics.predict_rows(Oracle(), rows_of_places(), PLACES).tested
    plain = Predictions(tested.outcomes, tested.predicted, tested.clients)
    assert score_intervals(tested, tested.risk, 5) == score_intervals(plain, tested.risk, 5)


def test_an_evaluation_holds_everything_of_the_labelled_rows() -> None:
    frame = rows_of_places()
    left, risk = [1, 0, 0, 1, 0, 0, 1], frame["risk"].to_numpy()[:7]
    outcomes, predicted = np.array(left), (risk >= 0.5).astype("int64")
    clients = np.array(list("abcdefg"), dtype=object)
    bins = calibration_bins(outcomes, risk)
    found = evaluate(Oracle(), frame, PLACES, 5)
    assert found.tested.risk.tolist() == risk.tolist()
    assert found == Evaluation(
        tested=found.tested,
        scores=scored(left, risk.tolist()),
        intervals=score_intervals(Predictions(outcomes, predicted, clients), risk, 5),
        bins=bins,
        calibration_error=calibration_error(bins),
        lift=None,
        segments=(
            Segment("place", "", scored([0, 0], [0.125, 0.25]), 0.0, 0.1875),
            Segment("place", "north", scored([0, 1], [0.75, 0.5]), 0.5, 0.625),
            Segment("place", "south", scored([1, 0, 1], [0.875, 0.25, 0.625]), 2 / 3, 1.75 / 3),
            Segment("kind", "x", scored(left, risk.tolist()), 3 / 7, risk.mean()),
        ),
    )


def test_without_categories_there_are_no_segments() -> None:
    assert evaluate(Oracle(), rows_of_places(), SCHEMA, 5).segments == ()


def test_of_enough_rows_an_evaluation_has_a_lift() -> None:
    twice = pd.concat([rows_of_places()] * 2)
    assert evaluate(Oracle(), twice, SCHEMA, 5).lift == 1 / (3 / 7)  # one of fourteen rows


def test_the_seed_decides_on_the_intervals() -> None:
    twice = pd.concat([rows_of_places()] * 2)
    assert evaluate(Oracle(), twice, SCHEMA, 5) == evaluate(Oracle(), twice, SCHEMA, 5)
    assert evaluate(Oracle(), twice, SCHEMA, 5) != evaluate(Oracle(), twice, SCHEMA, 6)


def test_rows_without_any_known_outcome_cannot_be_evaluated() -> None:
    with pytest.raises(DataError) as caught:
        evaluate(Oracle(), rows_of_places()[7:], PLACES, 5)
    assert str(caught.value) == "no row has a known outcome: there is nothing to score"
