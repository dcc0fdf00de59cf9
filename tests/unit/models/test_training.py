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
from pipeline.models.training import Fitted, Selection, _log_losses, fit, fit_without, select
from pipeline.sample_data import SEED, clients

FEATURES = list(DEFAULT_SCHEMA.features)


def sample(rows: int = 4000) -> pd.DataFrame:
    table = clients(rows, SEED)
    numbers = table[[*FEATURES, "exited"]].astype("float64")
    return pd.concat([table[["corporation"]], numbers], axis=1)


def independent_risk(frame: pd.DataFrame) -> np.ndarray:
    """The same model by other means: numpy for the columns, a long lbfgs fit for the rest."""
    raw = frame[FEATURES].to_numpy()
    filled = np.where(np.isnan(raw), np.nanmedian(raw, axis=0), raw)
    scaled = (filled - filled.mean(axis=0)) / filled.std(axis=0)
    lbfgs = LogisticRegression(C=100, solver="lbfgs", tol=1e-10, max_iter=100_000)
    risk: np.ndarray = lbfgs.fit(scaled, frame["exited"]).predict_proba(scaled)[:, 1]
    return risk


def test_the_fit_has_converged() -> None:
    frame = sample()
    assert frame[FEATURES].isna().sum().min() > 0
    risk = risk_of(fit_model("logistic", frame, DEFAULT_SCHEMA), frame)
    assert np.abs(risk - independent_risk(frame)).max() < 1e-6


@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_the_fit_converges_whatever_the_units(scale: float) -> None:
    frame = sample()
    scaled = frame.assign(lastmonth_activity=frame["lastmonth_activity"] * scale)
    risk, same = risk_of(train_model(scaled), scaled), risk_of(train_model(frame), frame)
    assert np.abs(risk - same).max() < 1e-9


def test_a_missing_number_stands_at_the_median_of_the_labelled_rows() -> None:
    frame = sample()
    frame.loc[:500, "exited"] = math.nan
    model = train_model(frame)
    median = frame.loc[501:, "number_of_employees"].median()
    rows = frame[FEATURES]
    gap, filled = (rows.assign(number_of_employees=value) for value in (math.nan, median))
    assert np.array_equal(risk_of(model, gap), risk_of(model, filled))


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
    assert found.risk.mean() == pytest.approx(newest["left"].mean())
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


def test_the_loss_of_a_row_is_that_of_its_probability() -> None:
    scores, outcomes = np.array([-3.0, 0.0, 2.5, 40.0]), np.array([0, 1, 1, 1])
    assert _log_losses(outcomes, scores).mean() == pytest.approx(log_loss(outcomes, expit(scores)))


def test_a_loss_is_finite_however_sure_and_wrong() -> None:
    assert _log_losses(np.array([0]), np.array([5000.0])).tolist() == [5000.0]


def two(seed: int, rows: int = 400, gain: float = 0.0) -> Selection:
    random = np.random.default_rng(seed)
    odds = random.normal(0, 2, rows)
    outcomes = (random.random(rows) < expit(odds)).astype(int)
    worse = odds + random.normal(0, 1, rows)
    better = odds + random.normal(0, 1 - gain, rows)
    return select(outcomes, np.arange(rows), worse, better)


def test_boosting_is_taken_where_it_is_clearly_better() -> None:
    found = two(0, gain=0.9)
    assert found.logistic - found.boosting > found.standard_error
    assert found.kind == "boosting"


def test_where_neither_is_better_the_simpler_is_taken_but_for_one_time_in_six() -> None:
    taken = [two(seed).kind == "boosting" for seed in range(300)]
    assert 0.1 < np.mean(taken) < 0.23


def test_a_win_within_the_standard_error_is_none() -> None:
    assert Selection(0.50, 0.49, 0.011).kind == "logistic"
    assert Selection(0.50, 0.49, 0.009).kind == "boosting"


def test_rows_of_one_client_count_as_one() -> None:
    random = np.random.default_rng(3)
    outcomes, first, second = random.integers(2, size=50), *random.normal(size=(2, 50))
    once = select(outcomes, np.arange(50), first, second)
    thrice = [np.repeat(values, 3) for values in (outcomes, np.arange(50), first, second)]
    assert select(*thrice).standard_error == pytest.approx(once.standard_error)
    alone = select(thrice[0], np.arange(150), thrice[2], thrice[3])
    assert alone.standard_error == pytest.approx(once.standard_error / np.sqrt(3))
