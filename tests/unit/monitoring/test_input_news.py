"""Which drift of the input is told: what is new, and changes the risk."""

from functools import cache

import numpy as np
import pandas as pd
import pytest

from pipeline.core.policy import Policy
from pipeline.core.schema import Schema
from pipeline.data.reference import Numbers, Reference, reference_of
from pipeline.models.cross_validation import TrainingData
from pipeline.models.estimators import Model, risk_of
from pipeline.models.training import fit
from pipeline.monitoring.decisions import FeatureDrift
from pipeline.monitoring.input_drift import as_before, compare_input, with_news
from pipeline.monitoring.metrics import predict_rows

SCHEMA = Schema("id", "left", ("age", "size"), ("place",))


def clients(seed: int, rows: int = 1_000, **shifts: float) -> pd.DataFrame:
    """Clients who leave the more often the older they are; by nothing else."""
    random = np.random.default_rng(seed)
    age, size = random.normal(0, 1, rows), random.normal(0, 1, rows)
    left = random.random(rows) < 1 / (1 + np.exp(2 - age))
    return pd.DataFrame(
        {
            "id": pd.Series([f"client{seed}-{i}" for i in range(rows)], dtype="str"),
            "age": age + shifts.get("age", 0),
            "size": size + shifts.get("size", 0),
            "place": pd.Series(random.choice(["north", "south"], rows), dtype="str"),
            "left": left.astype(float),
        }
    )


@cache
def model() -> Model:
    frame = clients(1, 4_000)
    return fit(TrainingData(frame, frame, SCHEMA), Policy()).model


def profile(frame: pd.DataFrame) -> Reference:
    return reference_of(frame, risk_of(model(), frame), SCHEMA, seed=1)


TRAINED_ON = profile(clients(1, 4_000))
USUAL = [profile(clients(seed)) for seed in (2, 3, 4)]


def news(frame: pd.DataFrame, recent: list[Reference]) -> dict[str, FeatureDrift]:
    rows = predict_rows(model(), frame, SCHEMA)
    found = compare_input(TRAINED_ON, frame, rows.risk, SCHEMA)
    return {one.name: one for one in with_news(found, rows, recent, model(), SCHEMA, 1)}


def test_what_is_new_and_changes_the_risk_is_told_with_its_effect() -> None:
    frame = clients(5, age=1)
    found = news(frame, USUAL)
    assert {name: one.news for name, one in found.items()} == {
        **{"age": "told", "size": None, "place": None},
        "predicted risk": "told",
    }
    risks = risk_of(model(), frame).mean(), risk_of(model(), frame.assign(age=frame["age"] - 1))
    expected = risks[0] / risks[1].mean() - 1
    assert expected > 0.5
    # the recent batches are other draws
    assert found["age"].effect == pytest.approx(expected, rel=0.1)
    assert found["predicted risk"].effect == pytest.approx(expected, rel=0.1)


def test_what_has_come_to_stay_is_told_once() -> None:
    moved = profile(clients(5, age=1))
    found = news(clients(6, age=1), [moved, *USUAL])
    assert (found["age"].verdict, found["age"].news) == ("drift", "known")
    # also when it comes back, or is in the batch before alone
    assert news(clients(7, age=1), [*USUAL, moved])["age"].news == "known"


def test_what_moves_on_from_there_is_told_again() -> None:
    moved = profile(clients(5, age=1))
    assert news(clients(6, age=2), [moved, *USUAL])["age"].news == "told"


def test_what_hardly_changes_the_risk_is_not_told() -> None:
    found = news(clients(5, size=1), USUAL)
    assert (found["size"].verdict, found["size"].news) == ("drift", "slight")
    assert found["size"].effect is not None
    assert abs(found["size"].effect) < 0.1


def test_a_number_as_before_has_the_values_and_ranks_of_before() -> None:
    values = np.array([40.0, np.nan, 10.0, 30.0])
    before = Numbers(rows=8, missing=4, sample=(1.0, 2.0, 3.0, 4.0))
    assert as_before(values, before, 1).tolist() == pytest.approx(
        [np.nan, np.nan, 2.0, 4.0], nan_ok=True
    )


def test_categories_as_before_have_the_shares_of_before() -> None:
    values = np.array(["b"] * 600 + ["c"] * 400, dtype=object)
    result = as_before(values, {"": 1, "a": 4, "b": 5}, 1)
    assert pd.Series(result).value_counts().to_dict() == {"b": 500, "a": 400, "": 100}
    # of equal values, those that change are drawn
    assert 260 < np.flatnonzero(result == "a").mean() < 340


def test_of_nothing_but_missing_values_all_are_missing() -> None:
    assert np.isnan(as_before(np.array([1.0, 2.0]), Numbers(3, 3, ()), 1)).all()
