import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import to_builtins

from pipeline.core.schema import Schema
from pipeline.data.reference import (
    MAX_SAMPLE,
    Numbers,
    Reference,
    reference_from_json,
    reference_of,
)

SCHEMA = Schema("id", "left", ("age",), ("place",))
FRAME = pd.DataFrame(
    {
        "age": [3.0, np.nan, 1.0, 2.5],
        "place": pd.Series(["south", "", "north", "south"], dtype="str"),
    }
)
REFERENCE = Reference(
    numbers={"age": Numbers(4, 1, (1.0, 2.5, 3.0))},
    categories={"place": {"": 1, "north": 1, "south": 2}},
    risk=Numbers(2, 0, (0.25, 0.5)),
)
TOLD = {
    "numbers": {"age": {"rows": 4, "missing": 1, "sample": [1.0, 2.5, 3.0]}},
    "categories": {"place": {"": 1, "north": 1, "south": 2}},
    "risk": {"rows": 2, "missing": 0, "sample": [0.25, 0.5]},
}


def test_it_holds_what_the_training_data_looked_like() -> None:
    assert reference_of(FRAME, np.array([0.5, 0.25]), SCHEMA, seed=1) == REFERENCE


def test_of_many_rows_it_keeps_a_sample() -> None:
    frame = pd.DataFrame({"age": np.arange(20_000.0), "place": pd.Series("x", range(20_000))})
    frame.loc[:99, "age"] = np.nan
    made = reference_of(frame, np.linspace(0, 1, 30_000), SCHEMA, seed=1)
    age = made.numbers["age"]
    assert (age.rows, age.missing, len(age.sample)) == (20_000, 100, MAX_SAMPLE)
    assert list(age.sample) == sorted(set(age.sample))
    assert np.mean(age.sample) == pytest.approx(10_050, rel=0.03)
    assert (made.risk.rows, len(made.risk.sample)) == (30_000, MAX_SAMPLE)
    assert made.categories == {"place": {"x": 20_000}}


def test_the_same_seed_keeps_the_same_and_another_does_not() -> None:
    risk = np.random.default_rng(1).random(6_000)
    assert reference_of(FRAME, risk, SCHEMA, 1) == reference_of(FRAME, risk, SCHEMA, 1)
    assert reference_of(FRAME, risk, SCHEMA, 1) != reference_of(FRAME, risk, SCHEMA, 2)


def test_a_column_without_a_value_and_a_frame_without_a_row_have_one_too() -> None:
    empty = reference_of(FRAME[:0], np.array([]), SCHEMA, seed=1)
    assert empty == Reference({"age": Numbers(0, 0, ())}, {"place": {}}, Numbers(0, 0, ()))
    lacking = reference_of(FRAME.assign(age=np.nan), np.array([]), SCHEMA, seed=1)
    assert lacking.numbers["age"] == Numbers(4, 4, ())


@given(
    st.lists(st.floats(-1e100, 1e100) | st.just(float("nan")), max_size=30),
    st.lists(st.floats(0, 1), max_size=30),
    st.text(max_size=5),
)
def test_json_brings_back_every_digit(ages: list[float], risk: list[float], place: str) -> None:
    frame = pd.DataFrame({"age": np.array(ages, float), "place": [place] * len(ages)})
    made = reference_of(frame, np.array(risk, float), SCHEMA, seed=1)
    assert reference_from_json(json.dumps(to_builtins(made)).encode()) == made


def changed(path: str, value: Any) -> object:
    """The object with one place of it changed."""
    result = json.loads(json.dumps(TOLD))
    place, (*steps, last) = result, path.split(".")
    for step in steps:
        place = place[step]
    place[last] = value
    return result


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ({}, "Object missing required field `numbers`"),
        (changed("numbers.age", {}), r"missing required field `rows` - at `\$.numbers\[...\]`"),
        (changed("numbers.age.rows", -4), r"Expected `int` >= 0 - at `\$.numbers\[...\].rows`"),
        (changed("risk.sample", [0.1, None]), r"Expected `float`, got `null` - at `\$.risk.sample"),
        (changed("risk.sample", [0.1, float("nan")]), "JSON is malformed"),
        (changed("risk.sample", [0.1, 10**400]), "Number out of range"),
        (changed("risk.sample", [0.5, 0.25]), "sample: expected numbers in rising order"),
        (changed("risk.sample", [0.5]), "sample: its length does not fit the rows"),
        (changed("categories.place.north", "1"), "Expected `int`, got `str`"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(value: object, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        reference_from_json(json.dumps(value).encode())
