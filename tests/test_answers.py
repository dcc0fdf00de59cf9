"""What a prediction's answer looks like: to the byte what `json` makes of it."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.answers import one_prediction_json, prediction_json
from pipeline.data.csv_reader import BadRow
from pipeline.models.scorer import Scores

RELEASE = "000001-20261122T090000Z"


def expected(risk: np.ndarray, outcomes: np.ndarray, release: str = RELEASE) -> bytes:
    told = {
        "predictions": outcomes.tolist(),
        "risk": risk.round(6).tolist(),
        "release": release,
    }
    return json.dumps(told, separators=(",", ":")).encode() + b"\n"


def scores(risk: np.ndarray) -> Scores:
    return Scores((risk > 0.5).astype("int64"), risk)


def test_every_probability_there_is_is_told_as_json_tells_it() -> None:
    told = scores(np.arange(1_000_001) / 1e6)

    assert prediction_json(told, {}, RELEASE) == expected(told.risk, told.outcomes)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=5), st.sampled_from([1, 20, 100]))
def test_probabilities_are_rounded_as_numpy_rounds(values: list[float], times: int) -> None:
    told = scores(np.array(values * times))

    assert prediction_json(told, {}, RELEASE) == expected(told.risk, told.outcomes)


@settings(max_examples=200, deadline=None)
@given(st.one_of(st.floats(0, 1), st.integers(0, 10**6).map(lambda i: (i + 0.5) / 1e6)))
def test_one_probability_is_told_as_among_others(risk: float) -> None:
    told = scores(np.array([risk]))

    assert one_prediction_json(int(risk > 0.5), risk, RELEASE) == prediction_json(told, {}, RELEASE)


@pytest.mark.parametrize("count", [1, 49, 50, 51, 1000])
def test_no_number_of_rows_makes_a_difference(count: int) -> None:
    told = scores(np.linspace(0, 1, count))

    assert prediction_json(told, {}, RELEASE) == expected(told.risk, told.outcomes)


def test_a_name_of_a_release_is_told_as_json_tells_it() -> None:
    risk = np.array([0.25])
    for release in ("1-ü", '1-"', "1-\u0663"):
        told = expected(risk, np.array([0]), release)
        assert prediction_json(scores(risk), {}, release) == told
        assert one_prediction_json(0, 0.25, release) == told
        many = scores(np.full(60, 0.25))
        assert prediction_json(many, {}, release) == expected(many.risk, many.outcomes, release)


@pytest.mark.parametrize("count", [2, 200])
def test_bad_rows_are_null_in_their_places(count: int) -> None:
    told = scores(np.full(count, 0.75))
    bad = {0: BadRow(2, "x is not a number", "a"), 2: BadRow(4, "ü is not a number", "b")}

    answer = json.loads(prediction_json(told, bad, RELEASE))

    assert answer["predictions"] == [None, 1, None] + [1] * (count - 1)
    assert answer["risk"] == [None, 0.75, None] + [0.75] * (count - 1)
    assert answer["bad_rows"] == [
        {"line": 2, "reason": "x is not a number"},
        {"line": 4, "reason": "ü is not a number"},
    ]
