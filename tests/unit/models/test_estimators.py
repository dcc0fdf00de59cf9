"""Both kinds of model: missing numbers, placeholders, categories of all kinds, the same bytes."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from modelling import MIXED, SCHEMAS, random_table
from threadpoolctl import threadpool_limits

from pipeline.core import limits
from pipeline.core.schema import Schema
from pipeline.models.estimators import (
    FEW,
    MAX_CATEGORIES,
    MAX_WORDS,
    fit_model,
    limits_of,
    risk_of,
)
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


def places(*counts: int) -> tuple[pd.DataFrame, Schema]:
    """Clients of places, so many of each, of whom those of every other place have left."""
    place = np.repeat(np.arange(len(counts)), counts)
    words = pd.Series([f"p{number}" for number in place], dtype="str")
    left = (place % 2).astype("float64")
    left[::10] = 1 - left[::10]
    return pd.DataFrame({"place": words, "left": left}), Schema("client", "left", (), ("place",))


def test_rare_categories_are_one_to_a_logistic_model_and_so_are_new_ones() -> None:
    asked = pd.DataFrame({"place": ["p0", "p1", "p2", "p3", "new"]})
    usual, left, *rare = risk_of(fit_model("logistic", *places(200, 200, *[8] * 20)), asked)
    assert usual < 0.15 < 0.85 < left
    assert rare == [pytest.approx(0.5, abs=0.05)] * 3
    assert len(set(rare)) == 1


def test_a_logistic_model_weighs_no_more_than_some_categories_of_a_column() -> None:
    for counts in ([FEW] * 500, [FEW - 1] * 500):
        model: Any = fit_model("logistic", *places(100, 100, *counts))
        assert model[-1].coef_.size <= MAX_WORDS
    assert fit_model("logistic", *places(*[FEW] * 10))[-1].coef_.size == 10


PLACEHOLDER = 9999999999999.0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("number", [PLACEHOLDER, -PLACEHOLDER, 1e100])
def test_a_placeholder_hardly_moves_the_risk_of_others(kind: str, number: float) -> None:
    frame = random_table(MIXED, 900)
    spoilt = frame.copy()
    spoilt.loc[frame.index[(frame["left"] == 1) & frame["age"].notna()][0], "age"] = number
    other = random_table(MIXED, 900, seed=8)
    expected, found = (risk_of(fit_model(kind, table, MIXED), other) for table in (frame, spoilt))
    assert np.abs(found - expected).mean() < 0.03


def test_a_client_with_a_placeholder_is_as_one_with_the_last_real_number() -> None:
    frame = random_table(MIXED, 900)
    frame.loc[:20, "age"] = PLACEHOLDER
    model = fit_model("logistic", frame, MIXED)
    row = frame[21:22].assign(age=frame["age"][21:].max())
    assert risk_of(model, row) == risk_of(model, row.assign(age=PLACEHOLDER))


RANDOM = np.random.default_rng(0)
REAL = {
    "a number of products, of which four are rare": [1.0] * 500 + [2.0] * 470 + [3.0] * 29 + [4.0],
    "a long tail": RANDOM.lognormal(0, 1, 10_000),
    "noughts, and amounts in three of a hundred rows": [0.0] * 970 + [*RANDOM.normal(9e4, 3e4, 30)],
    "yes or no": [0.0] * 999 + [1.0],
    "years": RANDOM.integers(1950, 2020, 1000),
}


@pytest.mark.parametrize("values", REAL.values(), ids=REAL)
def test_rare_real_numbers_count_as_they_are(values: Any) -> None:
    found = limits_of(pd.Series(values))
    width = np.max(values) - np.min(values)
    assert found == (np.min(values) - width, np.max(values) + width)


@pytest.mark.parametrize("share", [0.001, 0.5, 0.9])
@pytest.mark.parametrize("number", [PLACEHOLDER, 99999.0])
def test_a_placeholder_is_found_in_few_rows_and_in_most(share: float, number: float) -> None:
    ages = RANDOM.integers(18, 90, 1000).astype(float)
    ages[: int(1000 * share)] = number
    least, largest = ages[ages < 90].min(), ages[ages < 90].max()
    assert limits_of(pd.Series(ages)) == (least - (largest - least), largest)
    assert limits_of(pd.Series(-ages)) == (-largest, -least + (largest - least))


def test_few_rows_do_not_tell_how_far_numbers_go() -> None:
    assert limits_of(pd.Series(np.arange(99.0))) == (-np.inf, np.inf)
    assert limits_of(pd.Series([*range(98), PLACEHOLDER])) == (-np.inf, 97)
    assert limits_of(pd.Series([np.nan] * 200)) == (-np.inf, np.inf)


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
    monkeypatch.setattr(limits, "MANY", 10)
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
