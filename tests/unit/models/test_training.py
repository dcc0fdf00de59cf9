"""Fitting a model, and choosing its kind."""

import math
import pickle
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from modelling import train_model
from sandbox import client_rows
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss, f1_score, log_loss

from pipeline.core.errors import ModelError
from pipeline.core.policy import Policy
from pipeline.core.schema import DEFAULT_SCHEMA, Schema
from pipeline.data.frames import frame_of_text
from pipeline.models.cross_validation import TrainingData
from pipeline.models.estimators import fit_model, predictions_of, risk_of
from pipeline.models.manifest import Recipe
from pipeline.models.training import Fitted, Selection, fit, fit_without, select
from pipeline.sample_data import SEED, clients

FEATURES = list(DEFAULT_SCHEMA.features)


def sample(rows: int = 4000) -> pd.DataFrame:
    table = clients(rows, SEED)
    numbers = table[[*FEATURES, "exited"]].astype("float64")
    return pd.concat([table[["corporation"]], numbers], axis=1)


def independent_risk(frame: pd.DataFrame) -> np.ndarray:
    """The same model by other means: numpy for the columns, a long lbfgs fit for the rest."""
    raw = frame[FEATURES].to_numpy()
    gaps = np.isnan(raw).astype(float)
    scaled = np.where(gaps == 1, np.nanmedian(raw, axis=0), raw)
    scaled = (scaled - scaled.mean(axis=0)) / scaled.std(axis=0)
    slopes = [gaps[:, [i]] * np.delete(scaled, i, axis=1) for i in range(3)]
    columns = np.hstack([scaled, gaps, *slopes])
    lbfgs = LogisticRegression(C=100, solver="lbfgs", tol=1e-10, max_iter=100_000)
    risk: np.ndarray = lbfgs.fit(columns, frame["exited"]).predict_proba(columns)[:, 1]
    return risk


def test_the_fit_has_converged() -> None:
    frame = sample(8000)
    risk = risk_of(fit_model("logistic", frame, DEFAULT_SCHEMA), frame)
    assert np.abs(risk - independent_risk(frame)).max() < 1e-5


@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_the_fit_converges_whatever_the_units(scale: float) -> None:
    frame = sample()
    scaled = frame.assign(lastmonth_activity=frame["lastmonth_activity"] * scale)
    risk, same = risk_of(train_model(scaled), scaled), risk_of(train_model(frame), frame)
    assert np.abs(risk - same).max() < 1e-9


@pytest.mark.parametrize("kind", ["logistic", "boosting"])
def test_clients_of_whom_a_number_is_missing_leave_as_often_as_their_risks_say(kind: str) -> None:
    frame = sample(10_000)
    risk = pd.Series(fit(TrainingData(frame, frame, DEFAULT_SCHEMA), Policy(kind)).risk)
    for name in FEATURES:
        gap = frame[name].isna()
        highest = risk[gap].nlargest(30)
        assert risk[gap].mean() == pytest.approx(frame["exited"][gap].mean(), abs=0.05)
        assert highest.mean() < frame["exited"][highest.index].mean() + 0.3
    assert frame["lastmonth_activity"][risk.nlargest(12).index].notna().all()


def test_classes_that_can_be_distinguished_are_borne() -> None:
    frame = frame_of_text(
        "\n".join([*client_rows(0, 60), ""]), DEFAULT_SCHEMA, DEFAULT_SCHEMA.columns
    )
    assert np.array_equal(predictions_of(train_model(frame), frame), frame["exited"])


def test_rows_without_a_known_outcome_are_left_out() -> None:
    frame = sample(500)
    unknown = sample(500).assign(exited=math.nan, number_of_employees=1e6)
    both = pd.concat([unknown[:250], frame, unknown[250:]], ignore_index=True)
    assert pickle.dumps(train_model(both)) == pickle.dumps(train_model(frame))


def test_the_frame_is_left_as_it_was() -> None:
    frame = sample(500)
    before = frame.copy(deep=True)
    train_model(frame)
    pd.testing.assert_frame_equal(frame, before)


@pytest.mark.parametrize(
    ("outcomes", "reason"),
    [
        (
            [1, 1, math.nan],
            "the 2 rows with a known outcome there are only clients with exited = 1",
        ),
        ([0, 0, 0], "the 3 rows with a known outcome there are only clients with exited = 0"),
        ([math.nan] * 3, "the 0 rows with a known outcome there are none"),
    ],
)
def test_training_needs_both_outcomes(outcomes: list[float], reason: str) -> None:
    frame = sample(3).assign(exited=outcomes)
    with pytest.raises(ModelError) as caught:
        train_model(frame)
    assert str(caught.value) == (
        f"training needs clients who left and clients who stayed; among {reason}"
    )


def left_over(outcomes: list[float]) -> Any:
    frame = sample(len(outcomes)).assign(exited=outcomes)
    return fit_without(TrainingData(frame, frame, DEFAULT_SCHEMA), Policy())


@pytest.mark.parametrize("outcome", [0.0, 1.0])
def test_rows_of_one_outcome_make_a_model_that_predicts_that_for_everybody(outcome: float) -> None:
    assert set(predictions_of(left_over([outcome] * 3), sample(20))) == {outcome}


def test_rows_of_both_outcomes_make_a_model_as_any_others() -> None:
    frame = sample(300)
    expected = risk_of(train_model(frame), frame)
    assert np.array_equal(risk_of(left_over(frame["exited"].tolist()), frame), expected)


def test_no_rows_make_no_model() -> None:
    assert left_over([]) is None


# by time

DATED = Schema("client", "left", ("use",), date="day")


def year(seed: int, drift: float) -> pd.DataFrame:
    """A year of twelve lists of 300 rows; the log-odds of leaving rise by `drift` in its course."""
    random = np.random.default_rng(seed)
    month, use = np.repeat(np.arange(12), 300), random.normal(size=3600)
    odds = 1.5 * use - 3 + drift * month / 11
    columns = {
        "client": random.integers(1200, size=3600).astype("str"),
        "day": [f"2025-{number + 1:02}-01" for number in month],
        "use": use,
        "left": (random.random(3600) < expit(odds)).astype("float64"),
    }
    return pd.DataFrame(columns)


def fit_year(frame: pd.DataFrame, schema: Schema = DATED, model: str = "logistic") -> Fitted:
    return fit(TrainingData(frame, frame, schema), Policy(model=model, threshold="f1"))


def test_with_dates_all_is_chosen_on_the_newest_rows() -> None:
    frame = year(0, drift=2.5)
    newest = frame[frame["day"] >= "2025-09-01"]
    found = fit_year(frame, model="auto")
    assert (found.recipe.chosen_since, len(found.risk)) == ("2025-09-01", len(newest))
    # as calibrated risks are on the rows that they were calibrated on
    assert found.risk.mean() == pytest.approx(newest["left"].mean(), abs=0.005)
    f1 = [f1_score(newest["left"], found.risk >= threshold) for threshold in np.linspace(0, 1, 101)]
    assert f1_score(newest["left"], found.risk >= found.recipe.threshold) >= max(f1)


@pytest.mark.parametrize(
    ("drift", "years", "better"),
    [
        (2.5, 3, 0.02),
        pytest.param(2.5, 20, 0.04, marks=pytest.mark.slow),
        pytest.param(0, 20, -0.02, marks=pytest.mark.slow),
    ],
)
def test_where_the_world_changes_choices_by_time_serve_the_next_date_better(
    drift: float, years: int, better: float
) -> None:
    scores = []
    for seed in range(years):
        frame = year(seed, drift)
        known, newest = frame[frame["day"] < "2025-12-01"], frame[frame["day"] == "2025-12-01"]
        for schema in (DATED, replace(DATED, date="")):
            model = fit_year(known, schema).model
            f1 = f1_score(newest["left"], predictions_of(model, newest))
            scores.append((f1, brier_score_loss(newest["left"], risk_of(model, newest))))
    by_time, by_client = (np.mean(scores[first::2], axis=0) for first in (0, 1))
    print(f"F1 and Brier score by time {by_time.round(3)}, by client {by_client.round(3)}")
    assert by_time[0] > by_client[0] + better
    assert by_time[1] < by_client[1] + 0.002


# the kind of model


def test_the_losses_are_those_of_the_probabilities_finite_however_sure_and_wrong() -> None:
    scores, outcomes = np.array([-3.0, 0.0, 2.5, 40.0]), np.array([0, 1, 1, 1])
    found = select(outcomes, np.arange(4), {"a": scores, "b": np.array([5000.0, 0, 0, 0])})
    assert found.evidence["log_loss_a"] == pytest.approx(log_loss(outcomes, expit(scores)))
    assert found.evidence["log_loss_b"] == pytest.approx((5000 + 3 * np.log(2)) / 4)


KINDS = ("logistic", "boosting_7", "boosting")


def three(seed: int, rows: int = 400, gains: tuple[float, float] = (0, 0)) -> Selection:
    """A choice among three kinds whose log-odds are off by 1, less what the others gain."""
    random = np.random.default_rng(seed)
    odds = random.normal(0, 2, rows)
    outcomes = (random.random(rows) < expit(odds)).astype(int)
    scores = [odds + random.normal(0, 1 - gain, rows) for gain in (0.0, *gains)]
    return select(outcomes, np.arange(rows), dict(zip(KINDS, scores, strict=True)))


@pytest.mark.parametrize(
    ("gains", "kind"),
    [
        ((0.9, 0.0), "boosting_7"),
        ((0.0, 0.9), "boosting"),
        ((0.5, 0.98), "boosting"),
        ((0.9, 0.9), "boosting_7"),
        ((-1.0, -1.0), "logistic"),
    ],
)
def test_the_simplest_that_is_not_clearly_worse_is_taken(
    gains: tuple[float, float], kind: str
) -> None:
    found = [three(seed, 2000, gains).kind for seed in range(5)]
    assert max(set(found), key=found.count) == kind


def test_where_none_is_better_the_simplest_is_taken_but_for_one_time_in_three() -> None:
    taken = [three(seed).kind != "logistic" for seed in range(300)]
    assert 0.15 < np.mean(taken) < 0.4


def test_a_win_within_the_standard_error_is_none() -> None:
    outcomes, clients = np.array([1, 1]), np.arange(2)
    found = select(outcomes, clients, {"simple": np.array([0, 0]), "other": np.array([0, 1])})
    gain = found.evidence["log_loss_simple"] - found.evidence["log_loss_other"]
    assert gain == pytest.approx(found.evidence["standard_error_other"] * 2**0.5)
    assert found.kind == "other"
    more = {"simple": np.array([0, 0]), "other": np.array([-0.9, 1])}
    assert select(outcomes, clients, more).kind == "simple"


def test_rows_of_one_client_count_as_one() -> None:
    random = np.random.default_rng(3)
    outcomes, first, second = random.integers(2, size=50), *random.normal(size=(2, 50))
    thrice = [np.repeat(values, 3) for values in (outcomes, first, second)]

    def error(outcomes: np.ndarray, clients: np.ndarray, *scores: np.ndarray) -> float:
        found = select(outcomes, clients, dict(zip(KINDS, scores, strict=False)))
        return found.evidence["standard_error_boosting_7"]

    once = error(outcomes, np.arange(50), first, second)
    assert error(thrice[0], np.repeat(np.arange(50), 3), *thrice[1:]) == pytest.approx(once)
    alone = error(thrice[0], np.arange(150), *thrice[1:])
    assert alone == pytest.approx(once / np.sqrt(3))


# few rows


@pytest.mark.parametrize(("rows", "left"), [(99, 40), (300, 19), (300, 281)])
@pytest.mark.parametrize("policy", [Policy("auto", "f1"), Policy(threshold="f1")])
def test_of_few_rows_nothing_is_chosen_or_tuned(rows: int, left: int, policy: Policy) -> None:
    frame = sample(rows).assign(exited=np.arange(rows) < left)
    recipe = fit(TrainingData(frame, frame, DEFAULT_SCHEMA), policy).recipe
    assert recipe == Recipe("logistic", "none", 0.5, "f1", evidence={})


@pytest.mark.parametrize("left", [20, 80])
def test_of_enough_rows_they_are(left: int) -> None:
    frame = sample(100).assign(exited=np.arange(100) < left)
    found = fit(TrainingData(frame, frame, DEFAULT_SCHEMA), Policy("auto", "f1")).recipe
    assert {*KINDS} <= {name.removeprefix("log_loss_") for name in found.evidence}
    assert "brier_sigmoid" in found.evidence
