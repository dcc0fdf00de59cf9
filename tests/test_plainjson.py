"""JSON read all at once against JSON read value by value: the same rows, or left to the latter."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st
from modelling import MIXED, SCHEMAS

from pipeline.core.schema import DEFAULT_SCHEMA, Schema
from pipeline.data.features import Features
from pipeline.plainjson import read_one, read_plain
from pipeline.web.request_rows import MOST_COLUMNS, MOST_ROWS, RequestError, from_json, parsed

CLIENT: dict[str, Any] = dict.fromkeys(DEFAULT_SCHEMA.features, 20)


def plain(content: bytes, schema: Schema = DEFAULT_SCHEMA) -> Features | None:
    return read_plain(content, schema, MOST_ROWS, MOST_COLUMNS)


def hold_together(content: bytes, schema: Schema) -> bool:
    """Check that a text is read as the rule has it; whether it was read all at once."""
    found, one = plain(content, schema), read_one(content, schema, MOST_COLUMNS)
    if found is None:
        assert one is None
        return False
    expected = from_json(parsed(content)["clients"], schema).features  # raises if it refuses
    np.testing.assert_array_equal(found.numbers, expected.numbers)
    assert found.texts == expected.texts
    assert (one is not None) == (len(found) == 1)
    if one is not None:
        np.testing.assert_array_equal([one.numbers], expected.numbers)
        assert one.texts == [values[0] for values in expected.texts]
    return True


NUMBERS = ["1", "63.0", "-0", "-0.0", "null", "1e5", "1E+5", "0.1", "1e-400", "1" * 25, "1e99", "5"]
NASTY = ["true", '"20"', "[]", "{}", "NaN", "Infinity", "-Infinity", "1e999", "1e308", "1e101"]
NASTY += ["1" * 5000, "01", "+1", ".5", "1.", "1_0", "0x1", "", "1 2", '{"a": 1, "a": 2}', "[[1]]"]
NASTY += [str(int(1e100)), str(int(1e100) + 1), "1e100", "-1e100", "1" + "0" * 100, "nul", "'1'"]
NUMBER = st.one_of(
    st.sampled_from(NUMBERS), st.integers().map(str), st.floats(-1e99, 1e99).map(repr)
)
ODD = st.one_of(st.sampled_from(NASTY), st.floats().map(json.dumps), st.text(max_size=3))
WORD = st.one_of(
    st.sampled_from(['"north"', '" south "', '""', "null", '"Z\u00fcrich"', '"\\u00fc"', '"\\""']),
    st.text(max_size=4).map(lambda text: json.dumps(text, ensure_ascii=False)),
)


@st.composite
def json_texts(draw: st.DrawFn, schema: Schema) -> bytes:
    """`{"clients": […]}` of objects that have the schema's columns and others; most are right."""
    more = draw(st.sampled_from([[], [], ["note"]]))
    nasty = draw(st.sampled_from([False, False, True]))
    clients = []
    for _ in range(draw(st.integers(0 if nasty else 1, 4))):
        pairs = []
        for name in draw(st.permutations([*schema.features, *more])):
            value = draw(NUMBER if name in schema.numeric else WORD)
            if nasty and draw(st.integers(0, 9)) == 0:
                value = draw(ODD)
            pairs.append(f'"{name}": {value}')
        if nasty and draw(st.integers(0, 9)) == 0:
            pairs.append(draw(st.sampled_from([pairs[0], '"x": 1', '"x": [{"y": 1, "y": 2}]', ""])))
        clients.append("{" + ", ".join(pairs) + "}")
    if nasty and draw(st.integers(0, 9)) == 0:
        clients.append(draw(st.sampled_from(["null", "1", "[]", "{}", '"x"', ""])))
    text = f'{{"clients": [{", ".join(clients)}]}}'
    if nasty and draw(st.integers(0, 4)) == 0:
        odd = ['{"clients": [], ' + text[1:], text + " ", text + "x", "\ufeff" + text]
        text = draw(st.sampled_from([*odd, f"[{text}]", text[:-1] + ', "filename": "x"}']))
    codec = draw(st.sampled_from(["utf-8"] * 9 + ["utf-16", "utf-32", "utf-16-le"]))
    content = text.encode(codec, "surrogatepass")
    if nasty and draw(st.integers(0, 4)) == 0:
        at = draw(st.integers(0, len(content)))
        content = content[:at] + draw(st.binary(min_size=1, max_size=2)) + content[at:]
    return content


@pytest.mark.parametrize("name", SCHEMAS)
@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_text_is_read_as_the_rule_has_it(name: str, data: st.DataObject) -> None:
    content = data.draw(json_texts(SCHEMAS[name]))

    event("all at once" if hold_together(content, SCHEMAS[name]) else "value by value")


@pytest.mark.slow
@pytest.mark.parametrize("name", SCHEMAS)
@settings(max_examples=20_000, deadline=None)
@given(st.data())
def test_a_text_is_read_as_the_rule_has_it_however_long(name: str, data: st.DataObject) -> None:
    hold_together(data.draw(json_texts(SCHEMAS[name])), SCHEMAS[name])


def of_values(*values: str) -> bytes:
    """A text of clients, each with one of these as its first number."""
    good = json.dumps(CLIENT)
    return f'{{"clients": [{", ".join(good.replace("20", v, 1) for v in values)}]}}'.encode()


@pytest.mark.parametrize("value", [*NUMBERS, *NASTY])
@pytest.mark.parametrize("count", [1, 2])
def test_whatever_stands_for_a_number_is_read_as_the_rule_has_it(count: int, value: str) -> None:
    hold_together(of_values(*["1"] * (count - 1), value), DEFAULT_SCHEMA)


@pytest.mark.parametrize("value", [*NUMBERS])
def test_plain_numbers_are_read_all_at_once(value: str) -> None:
    assert hold_together(of_values(value), DEFAULT_SCHEMA)
    assert hold_together(of_values("1", value), DEFAULT_SCHEMA)


def test_categories_and_other_keys_are_read_all_at_once() -> None:
    clients = [{"age": 1, "balance": 2.5, "place": " Zürich ", "kind": None, "note": "x"}]
    text = json.dumps({"clients": clients * 2}, ensure_ascii=False).encode()

    assert hold_together(text, MIXED)
    found = plain(text, MIXED)
    assert found is not None
    assert found.texts == (["Zürich"] * 2, [""] * 2)


GOOD = json.dumps({"clients": [CLIENT, CLIENT]})
TWICE = [
    '{"clients": [], ' + GOOD[1:],
    GOOD.replace("[{", '[{"lastmonth_activity": 1, '),
    GOOD.replace("[{", '[{"note": 1, "note": 1, '),
    GOOD.replace("[{", '[{"note": {"x": 1, "x": 2}, '),
    GOOD.replace("[{", '[{"note": "", "note": 1, '),
    GOOD.replace("[{", '[{"note": 1, "\\u006eote": 1, '),
    GOOD.replace("[{", '[{"note": "\\u0022\\u0022", "note": "\\"", '),
]


@pytest.mark.parametrize("text", TWICE)
def test_a_key_that_stands_twice_is_left_to_the_rule(text: str) -> None:
    assert plain(text.encode()) is None
    with pytest.raises(RequestError, match="has a key twice"):
        parsed(text.encode())


def test_texts_with_escapes_are_read_all_at_once() -> None:
    text = json.dumps({"clients": [{"age": 1, "balance": 2, "place": "Zürich", "kind": "\n"}]})

    assert "\\u00fc" in text
    assert hold_together(text.encode(), MIXED)


def test_too_many_rows_and_columns_are_left_to_the_rule() -> None:
    assert read_plain(GOOD.encode(), DEFAULT_SCHEMA, 2, 3) is not None
    assert read_plain(GOOD.encode(), DEFAULT_SCHEMA, 1, 3) is None
    assert read_plain(GOOD.encode(), DEFAULT_SCHEMA, 2, 2) is None


def test_the_largest_number_and_what_rounds_to_it_are_left_to_the_rule() -> None:
    for value in (int(1e100), int(1e100) + 1):
        assert plain(of_values(str(value))) is None
        assert read_one(of_values(str(value)), DEFAULT_SCHEMA, MOST_COLUMNS) is None
    assert from_json([{**CLIENT, "lastmonth_activity": int(1e100)}], DEFAULT_SCHEMA)
    with pytest.raises(RequestError, match="must be a finite number"):
        from_json([{**CLIENT, "lastmonth_activity": int(1e100) + 1}], DEFAULT_SCHEMA)
