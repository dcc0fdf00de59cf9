"""What a request to predict may hold: what is read, and what is refused with which status."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from modelling import MIXED

from pipeline.core.schema import DEFAULT_SCHEMA, LARGEST_NUMBER
from pipeline.web.request_rows import (
    MAX_ROWS,
    ClientFiles,
    RequestError,
    parse_json,
    rows_of_csv,
    rows_of_json,
)

CLIENT = dict.fromkeys(DEFAULT_SCHEMA.features, 20)
HEADER = ",".join(DEFAULT_SCHEMA.features)
ROWS = "the client rows: "
ONE_LENGTH = f"{ROWS}expected one or more, and as many values of each feature"


def refused(read: Callable[..., Any], *arguments: Any) -> tuple[int, str]:
    """The status and the message of what is refused."""
    with pytest.raises(RequestError) as caught:
        read(*arguments)
    return caught.value.status, str(caught.value)


def test_numbers_and_texts_are_read_in_the_schema_s_order() -> None:
    clients = [
        {"note": 1, "kind": None, "place": " Zürich ", "balance": 2.5, "age": 1},
        {"age": None, "balance": -0.0, "place": "", "kind": "b"},
    ]

    found = rows_of_json({"clients": clients}, MIXED)

    np.testing.assert_array_equal(found.features.numbers, [[1, 2.5], [math.nan, 0]])
    assert found.features.texts == (["Zürich", ""], ["", "b"])
    assert found.bad == {}


@pytest.mark.parametrize("value", [LARGEST_NUMBER, -LARGEST_NUMBER, int(LARGEST_NUMBER)])
def test_the_largest_number_is_taken(value: float) -> None:
    found = rows_of_json({"clients": [{**CLIENT, "lastmonth_activity": value}]}, DEFAULT_SCHEMA)

    assert found.features.numbers[0, 0] == value


def test_too_many_rows_are_refused() -> None:
    for asked in (
        {"clients": [CLIENT] * (MAX_ROWS + 1)},
        {name: [None] * (MAX_ROWS + 1) for name in CLIENT},
    ):
        assert refused(rows_of_json, asked, DEFAULT_SCHEMA)[0] == 413


@pytest.mark.parametrize("text", ["", "{", '{"clients": [', "[" * 100_000, "clients", "\0", "NaN"])
def test_what_is_no_json_is_refused(text: str) -> None:
    assert refused(parse_json, text.encode())[0] == 400


@pytest.mark.parametrize(
    "value",
    [
        *['"many"', '"20"', "true", "false", "[]", "{}", "NaN", "Infinity", "-Infinity"],
        *["1e999", "1e308", "-1e308", "1" + "0" * 400, repr(math.nextafter(1e100, math.inf))],
    ],
)
def test_what_is_no_finite_number_is_refused(value: str) -> None:
    clients = json.loads(
        f'[{{"age": 1, "balance": 1, "place": "", "kind": ""}}, {{"age": {value}}}]'
    )

    status, said = refused(rows_of_json, {"clients": clients}, MIXED)
    assert (status, said.startswith(ROWS), said[-13:]) == (422, True, "at `$[1].age`")
    assert value not in said


@pytest.mark.parametrize(
    ("clients", "message"),
    [
        *((none, "Expected `array`, got ") for none in (None, {}, "all")),
        ([], "expected one or more, and as many values of each feature"),
        ([CLIENT, None], "Expected `object`, got `null` - at `$[1]`"),
        ([CLIENT, [20, 300, 12]], "Expected `object`, got `array` - at `$[1]`"),
        ([{}], "Object missing required field `lastmonth_activity` - at `$[0]`"),
    ],
)
def test_clients_that_are_no_rows_are_refused(clients: Any, message: str) -> None:
    status, said = refused(rows_of_json, {"clients": clients}, DEFAULT_SCHEMA)
    assert (status, said[: len(ROWS + message)]) == (422, ROWS + message)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"age": [1], "kind": ["a"]}, f"{ROWS}Object missing required field `balance`"),
        *(
            ({key: [None] for key in MIXED.features} | {"place": wrong}, ROWS)
            for wrong in ("a", None, {"0": "a"}, [1])
        ),
        *(
            ({key: [None] for key in MIXED.features} | {"place": wrong}, ONE_LENGTH)
            for wrong in ([], ["a", "b"])
        ),
        ({key: [] for key in MIXED.features}, ONE_LENGTH),
    ],
)
def test_columns_that_are_no_rows_are_refused(columns: dict[str, Any], message: str) -> None:
    status, said = refused(rows_of_json, columns, MIXED)
    assert (status, said[: len(message)]) == (422, message)


# --- CSV ---


def test_csv_columns_count_by_name_and_others_are_ignored() -> None:
    found = rows_of_csv(b"kind,note,place,balance,age\nb,x, north ,,1\na,y,,2.5,7\n", MIXED)

    np.testing.assert_array_equal(found.features.numbers, [[1, math.nan], [7, 2.5]])
    assert found.features.texts == (["north", ""], ["b", "a"])
    assert (found.lines, found.clients) == ([2, 3], ["", ""])


def test_a_bad_row_keeps_its_place_and_its_value_is_not_repeated() -> None:
    rows = [f"{i},2,3" for i in range(30)]
    content = "\n".join([HEADER, *rows[:4], "many,2,3", *rows[4:], ""]).encode()

    found = rows_of_csv(content, DEFAULT_SCHEMA)

    (bad,) = found.bad.values()
    assert (list(found.bad), bad.line) == ([4], 6)
    assert bad.reason == "lastmonth_activity is not a number"
    assert found.in_order(list(range(30))) == [*range(4), None, *range(4, 30)]


# --- files by their names ---


@pytest.fixture
def files(tmp_path: Path) -> ClientFiles:
    """Two folders, both of which have a file of one name."""
    for name in ("first/both.csv", "second/both.csv", "second/März 2024, Ü.CSV"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    return ClientFiles((tmp_path / "first", tmp_path / "nosuch", tmp_path / "second"), tmp_path)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("both.csv", "first/both.csv"),
        ("second/both.csv", "second/both.csv"),
        ("./second/both.csv", "second/both.csv"),
        ("/both.csv", "first/both.csv"),
        ("/second/both.csv", "second/both.csv"),
        ("ROOT/second/both.csv", "second/both.csv"),
        ("März 2024, Ü.CSV", "second/März 2024, Ü.CSV"),
    ],
)
def test_a_file_is_named_bare_with_its_folder_or_by_its_whole_path(
    files: ClientFiles, name: str, content: str
) -> None:
    assert files.read_named({"filename": name.replace("ROOT", str(files.root))}) == content.encode()


def test_a_name_of_no_file_is_not_found(files: ClientFiles) -> None:
    expected = (404, "no such client file in the test data or the input folder")
    for name in (
        "nosuch.csv",
        "//both.csv",
        str(files.root / "both.csv"),
        "first/../second/both.csv",
    ):
        assert refused(files.read_named, {"filename": name}) == expected
