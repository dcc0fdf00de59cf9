"""Rows of a request in JSON: what is read, and what is refused with which status."""

import json
import math

import numpy as np
import pytest
from modelling import MIXED

from pipeline.core.schema import DEFAULT_SCHEMA, LARGEST_NUMBER
from pipeline.web.request_rows import MAX_COLUMNS, MAX_ROWS, RequestError, parse_json, rows_of_json

CLIENT = dict.fromkeys(DEFAULT_SCHEMA.features, 20)
GOOD = json.dumps({"clients": [CLIENT, CLIENT]})


@pytest.mark.parametrize(
    "text",
    [
        '{"clients": [], ' + GOOD[1:],
        GOOD.replace("[{", '[{"lastmonth_activity": 1, '),
        GOOD.replace("[{", '[{"note": 1, "note": 1, '),
        GOOD.replace("[{", '[{"note": {"x": 1, "x": 2}, '),
        GOOD.replace("[{", '[{"note": 1, "\\u006eote": 1, '),
    ],
)
def test_a_key_that_an_object_has_twice_is_refused(text: str) -> None:
    with pytest.raises(RequestError, match="has a key twice") as caught:
        parse_json(text.encode())
    assert caught.value.status == 400


def test_numbers_and_texts_are_read_in_the_schema_s_order() -> None:
    clients = [
        {"note": 1, "kind": None, "place": " Zürich ", "balance": 2.5, "age": 1},
        {"age": None, "balance": -0.0, "place": "", "kind": "b"},
    ]

    found = rows_of_json(clients, MIXED)

    np.testing.assert_array_equal(found.features.numbers, [[1, 2.5], [math.nan, 0]])
    assert found.features.texts == (["Zürich", ""], ["", "b"])
    assert found.bad == {}


@pytest.mark.parametrize("value", [LARGEST_NUMBER, -LARGEST_NUMBER, int(LARGEST_NUMBER)])
def test_the_largest_number_is_taken(value: float) -> None:
    found = rows_of_json([{**CLIENT, "lastmonth_activity": value}], DEFAULT_SCHEMA)

    assert found.features.numbers[0, 0] == value


@pytest.mark.parametrize("value", [int(LARGEST_NUMBER) + 1, math.nextafter(1e100, math.inf)])
def test_a_larger_number_is_refused(value: float) -> None:
    with pytest.raises(RequestError, match="client 2: lastyear_activity must be a finite number"):
        rows_of_json([CLIENT, {**CLIENT, "lastyear_activity": value}], DEFAULT_SCHEMA)


def test_too_many_rows_or_columns_are_refused() -> None:
    wide = {**CLIENT, **{f"more {i}": 0 for i in range(MAX_COLUMNS)}}
    for clients in ([CLIENT] * (MAX_ROWS + 1), [wide]):
        with pytest.raises(RequestError, match="at most") as caught:
            rows_of_json(clients, DEFAULT_SCHEMA)
        assert caught.value.status == 413
