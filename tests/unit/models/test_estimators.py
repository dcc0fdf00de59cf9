"""Both kinds of model: missing numbers, missing and unseen categories, the same bytes again."""

import numpy as np
import pandas as pd
import pytest
from modelling import MIXED, SCHEMAS, random_table
from threadpoolctl import threadpool_limits

from pipeline.core import threads
from pipeline.core.schema import Schema
from pipeline.models.estimators import MAX_CATEGORIES, fit_model, risk_of
from pipeline.models.persistence import pickled

KINDS = ("logistic", "boosting")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("schema", SCHEMAS.values(), ids=SCHEMAS)
def test_every_schema_is_learned(kind: str, schema: Schema) -> None:
    frame = random_table(schema)
    risk = risk_of(fit_model(kind, frame, schema), frame)
    left = frame[schema.outcome] == 1
    assert risk[left].mean() > risk[~left].mean() + 0.1


@pytest.mark.parametrize("kind", KINDS)
def test_missing_values_have_a_risk(kind: str) -> None:
    model = fit_model(kind, random_table(MIXED), MIXED)
    row = pd.DataFrame({"age": [np.nan], "balance": [np.nan], "place": [""], "kind": [""]})
    assert 0 < risk_of(model, row)[0] < 1


@pytest.mark.parametrize("kind", KINDS)
def test_an_unseen_category_has_a_risk(kind: str) -> None:
    model = fit_model(kind, random_table(MIXED), MIXED)
    rows = pd.DataFrame(
        {"age": [90.0] * 2, "balance": [500.0] * 2, "place": ["Atlantis", "Mu"], "kind": ["a"] * 2}
    )
    risk = risk_of(model, rows)
    assert 0 < risk[0] < 1
    assert risk[0] == risk[1]


@pytest.mark.parametrize("kind", KINDS)
def test_a_missing_category_may_be_empty_or_nan(kind: str) -> None:
    model = fit_model(kind, random_table(MIXED), MIXED)
    rows = pd.DataFrame({"age": [90.0], "balance": [500.0], "place": ["north"], "kind": ["a"]})
    empty = rows.assign(place=[""])
    assert risk_of(model, rows.assign(place=[np.nan])) == risk_of(model, empty)


def test_boosting_takes_more_categories_than_it_tells_apart() -> None:
    random = np.random.default_rng(1)
    rows = 4 * MAX_CATEGORIES
    frame = pd.DataFrame(
        {
            "place": [f"p{i % (2 * MAX_CATEGORIES)}" for i in range(rows)],
            "kind": "a",
            "left": random.integers(2, size=rows).astype(float),
        }
    )
    schema = Schema("client", "left", (), ("place", "kind"))
    assert np.isfinite(risk_of(fit_model("boosting", frame, schema), frame)).all()


@pytest.mark.parametrize("kind", KINDS)
def test_columns_without_a_value_or_with_one_only_are_no_obstacle(kind: str) -> None:
    frame = random_table(MIXED).assign(age=np.nan, balance=7.0)
    assert np.isfinite(risk_of(fit_model(kind, frame, MIXED), frame)).all()


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_rows_give_the_same_bytes(kind: str) -> None:
    frame = random_table(MIXED)
    first, second = (pickled(fit_model(kind, frame.copy(), MIXED, seed=3)) for _ in range(2))
    assert first == second


def test_the_same_rows_give_the_same_bytes_whatever_the_cores(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(threads, "MANY", 10)
    frame, made = random_table(MIXED), []
    for count in (1, 2):
        with threadpool_limits(count, "openmp"):
            made.append(pickled(fit_model("boosting", frame, MIXED)))
    assert made[0] == made[1]


def test_boosting_learns_what_no_line_can() -> None:
    random = np.random.default_rng(2)
    x, y = random.uniform(-1, 1, (2, 2000))
    frame = pd.DataFrame({"x": x, "y": y, "left": (x * y > 0).astype(float)})
    schema = Schema("client", "left", ("x", "y"))
    right = {
        kind: ((risk_of(fit_model(kind, frame, schema), frame) > 0.5) == frame["left"]).mean()
        for kind in KINDS
    }
    assert right["boosting"] > 0.95
    assert right["logistic"] < 0.65
