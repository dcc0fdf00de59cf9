"""CSV read all at once against CSV read row by row: the same rows, or left to the latter."""

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import event, example, given, settings
from hypothesis import strategies as st
from modelling import MIXED, SCHEMAS

from pipeline import plaincsv
from pipeline.core.schema import DEFAULT_SCHEMA, Schema
from pipeline.data.features import Features
from pipeline.web.request_rows import MOST_COLUMNS, MOST_ROWS, RequestError, checked_csv, from_csv

HEADER = ",".join(DEFAULT_SCHEMA.features)


def plain(content: bytes, schema: Schema = DEFAULT_SCHEMA) -> Features | None:
    return plaincsv.read_plain(content, schema, MOST_ROWS, MOST_COLUMNS)


def same(found: Features, expected: Features) -> bool:
    """Whether they are the same rows; numbers may differ in the last bit, as readers of them do."""
    return found.texts == expected.texts and np.allclose(
        found.numbers, expected.numbers, rtol=4e-16, atol=0, equal_nan=True
    )


def hold_together(content: bytes, schema: Schema) -> bool:
    """Check that a text is read as the rule has it; whether it was read all at once."""
    found = plain(content, schema)
    if found is None:
        return False
    expected = checked_csv(content, schema)  # raises where the rule refuses the text
    assert expected.bad == {}
    assert same(found, expected.features)
    return True


# numbers as people and programs write them, what is none, and what only looks like one
GOOD = ["1", "63.0", "0.5", "-3", "+7", " 12 ", "\t4", "", "NA", "nan", "None", "n/a", "1e5", ".5"]
GOOD += ["5.", "007", "-0", "-0.0", "1" * 25, "0." + "0" * 30 + "1", "123456789.123456789", "NULL"]
NASTY = [
    "many",
    "1_000",
    "0x10",
    "inf",
    "-inf",
    "Infinity",
    "1e400",
    "1e101",
    "1e-400",
    "1e",
    "1e+",
]
NASTY += [
    "1e4294967297",
    "-nan",
    "+nan",
    "--5",
    "+-5",
    ".",
    "-",
    "1 2",
    "\u0663",
    "\uff11",
    "1\xa0",
]
NASTY += [
    "\x0b5",
    "5\x1c",
    "\x855",
    "True",
    "false",
    "1,5",
    '"5"',
    '5"',
    "1;2",
    "#1",
    "1\0",
    "=1+1",
]
NASTY += ["1" * 400, "9" * 309, "1d5", "1/2", "1.2.3", "0b1", "1e5.0", "NA ", " ", "NaN\t", "5e 3"]
NASTY += [
    "1e00000000000000000000005",
    "1e-99999999999",
    "0e999999999999",
    "tRUE",
    "TRUE",
    "nAn",
    "nONE",
    "\u2028",
    "\ufeff1",
    "5L",
    "1'000",
    "$5",
    "5%",
    "\\N",
    "-",
    "E5",
    "e5",
]
CELLS = st.one_of(
    st.sampled_from(GOOD),
    st.sampled_from(NASTY),
    st.integers(-(10**20), 10**20).map(str),
    st.floats(allow_nan=False).map(repr),
    st.decimals(-(10**9), 10**9, allow_nan=False, places=3).map(str),
    st.text("0123456789.,+-eE naif_ \t\r\n\"'", max_size=6),
    st.text(max_size=4),
)
PLAIN_CELLS = st.one_of(
    st.sampled_from(GOOD[:13]),
    st.integers(-(10**9), 10**9).map(str),
    st.floats(-1e6, 1e6).filter(lambda v: not 0 < abs(v) < 1e-4).map(repr),
)
WORDS = st.one_of(
    st.sampled_from(
        ["north", " south ", "", "NA", "Zürich", "e5", "5e3", "\xa0x\xa0", "a b", "nan"]
    ),
    st.text(st.characters(exclude_characters='",\r\n\0', codec="utf-8"), max_size=5),
    st.sampled_from(['"a"', '"a,1"', '"a""b"', '"a\nb"', 'a"b']) | st.just(""),
)


@st.composite
def csv_texts(draw: st.DrawFn, schema: Schema) -> bytes:
    """A CSV text of the schema's columns and others, in any order; most rows are right."""
    more = draw(st.sampled_from([[], ["client"], ["note", "x"]]))
    columns = draw(st.permutations([*schema.features, *more]))
    cells = draw(st.sampled_from([PLAIN_CELLS, PLAIN_CELLS, PLAIN_CELLS, CELLS]))
    nasty = draw(st.sampled_from([False, False, True]))
    lines = []
    for _ in range(draw(st.integers(0, 12))):
        row = [draw(cells if name in schema.numeric else WORDS) for name in columns]
        lines.append(",".join(row))
        if nasty and draw(st.integers(0, 9)) == 0:
            odd = [
                "",
                " ",
                ",",
                "," * len(more),
                lines[-1] + ",",
                lines[-1].partition(",")[2],
                "\r",
            ]
            lines.append(draw(st.sampled_from([*odd, '"a\nb"', "," * (len(columns) - 1)])))
    end = draw(st.sampled_from(["\n", "\n", "\r\n", "\r"]))
    pad = draw(st.sampled_from(["", "", " "]))
    head = ",".join(f"{pad}{name}{pad}" for name in columns)
    last = draw(st.sampled_from([end, end, "", end * 2]))
    bom = draw(st.sampled_from(["", "", "\ufeff", "\ufeff\ufeff"]))
    text = bom + end.join([head, *lines]) + last
    content = text.encode(draw(st.sampled_from(["utf-8"] * 9 + ["utf-16"])), "surrogatepass")
    if nasty and draw(st.integers(0, 4)) == 0:
        at = draw(st.integers(0, len(content)))
        content = content[:at] + draw(st.binary(min_size=1, max_size=2)) + content[at:]
    return content


@pytest.mark.parametrize("name", SCHEMAS)
@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_text_is_read_as_the_rule_has_it(name: str, data: st.DataObject) -> None:
    content = data.draw(csv_texts(SCHEMAS[name]))

    event("all at once" if hold_together(content, SCHEMAS[name]) else "row by row")


@pytest.mark.slow
@pytest.mark.parametrize("name", SCHEMAS)
@settings(max_examples=10_000, deadline=None)
@given(st.data())
def test_a_text_is_read_as_the_rule_has_it_however_long(name: str, data: st.DataObject) -> None:
    hold_together(data.draw(csv_texts(SCHEMAS[name])), SCHEMAS[name])


@pytest.mark.parametrize("cell", [*GOOD, *NASTY])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_whatever_stands_in_a_cell_is_read_as_the_rule_has_it(place: int, cell: str) -> None:
    cells = ["1", "2", "3"]
    cells[place] = cell

    hold_together(f"{HEADER}\n4,5,6\n{','.join(cells)}\n7,8,9\n".encode(), DEFAULT_SCHEMA)


@settings(max_examples=300, deadline=None)
@given(CELLS)
@example("1e4294967297")
def test_whatever_stands_in_a_cell_beside_others_is_read_as_the_rule_has_it(cell: str) -> None:
    hold_together(f"{HEADER}\n4,{cell},6\n".encode(errors="surrogatepass"), DEFAULT_SCHEMA)


TAKEN = {
    "integers": f"{HEADER}\n1,2,3\n4,5,6\n",
    "decimals": f"{HEADER}\n1.5,2.0,-3.25\n",
    "missing": f"{HEADER}\n,2,3\n4,,6\n7,8,\n,,\n",
    "missing words": f"{HEADER}\nNA,NaN,null\nNone,n/a,nan\nnAn, NULL , \n",
    "exponents": f"{HEADER}\n1e5,2E-3,1e-400\n1e00000000000000000000000005,1e99,.5e+1\n",
    "signs": f"{HEADER}\n-1,+2,-.5\n",
    "line ends of Windows": f"{HEADER}\r\n1,2,3\r\n",
    "no last line end": f"{HEADER}\n1,2,3",
    "byte order mark": f"\ufeff{HEADER}\n1,2,3\n",
    "spaces": f" {HEADER.replace(',', ' , ')} \n 1 , 2 , 3 \n",
    "other columns": f"client,{HEADER},note\nÄ 5e3 & Co,1,2,3,inf\nB,4,5,6,\n",
    "many digits": f"{HEADER}\n123456789012345678,0.123456789012345678,3\n",
}


@pytest.mark.parametrize("what", TAKEN)
def test_plain_texts_are_read_all_at_once(what: str) -> None:
    assert hold_together(TAKEN[what].encode(), DEFAULT_SCHEMA)


def test_categories_are_read_all_at_once() -> None:
    text = "kind,age,place,balance\na,1, Zürich ,2\nNA,3,,4\n"

    assert hold_together(text.encode(), MIXED)
    found = plain(text.encode(), MIXED)
    assert found is not None
    assert found.texts == (["Zürich", ""], ["a", "NA"])


LEFT = {
    "a quote": f'{HEADER}\n1,2,"3"\n',
    "a quote in another column": f'note,{HEADER}\n"x",1,2,3\n',
    "a comma within quotes": f'note,{HEADER}\n"x,0",1,2\n',
    "a lone carriage return": f"{HEADER}\n1,2,3\r4,5,6\n",
    "a blank line": f"{HEADER}\n1,2,3\n\n4,5,6\n",
    "a short row": f"{HEADER}\n1,2\n",
    "a short row and a long one": f"{HEADER}\n1,2\n3,4,5,6\n",
    "a long row": f"{HEADER}\n1,2,3,4\n",
    "no rows": f"{HEADER}\n",
    "a column twice": f"{HEADER},{HEADER}\n1,2,3,4,5,6\n",
    "no such column": "a,b,c\n1,2,3\n",
    "another format": f"PK\x03\x04,{HEADER}\n0,1,2,3\n",
    "a NUL": f"note,{HEADER}\n\0,1,2,3\n",
    "a word": f"{HEADER}\n1,many,3\n",
    "infinity": f"{HEADER}\n1,inf,3\n",
    "an odd exponent": f"{HEADER}\n1,1e4294967297,3\n",
    "true and false": f"{HEADER}\n1,True,3\n1,false,3\n",
    "digits of another script": f"{HEADER}\n1,\u0663,3\n",
    "an underscore": f"{HEADER}\n1,1_000,3\n",
    "too large": f"{HEADER}\n1,{'9' * 101},3\n",
    "a long field": f"note,{HEADER}\n{'x' * 131_073},1,2,3\n",
    "a long name": f"{'x' * 131_073},{HEADER}\n0,1,2,3\n",
    "one column": "lastmonth_activity\n1\n",
}


@pytest.mark.parametrize("what", LEFT)
def test_what_needs_a_closer_look_is_left_to_the_rule(what: str) -> None:
    assert plain(LEFT[what].encode()) is None


def test_bytes_that_are_not_utf_8_are_left_to_the_rule() -> None:
    assert plain(f"note,{HEADER}\nä,1,2,3\n".encode("latin-1")) is None


def test_too_many_rows_and_columns_are_left_to_the_rule() -> None:
    content = f"{HEADER},note\n1,2,3,x\n4,5,6,y\n".encode()

    assert plaincsv.read_plain(content, DEFAULT_SCHEMA, 2, 4) is not None
    assert plaincsv.read_plain(content, DEFAULT_SCHEMA, 1, 4) is None
    assert plaincsv.read_plain(content, DEFAULT_SCHEMA, 2, 3) is None


def test_every_way_to_write_a_small_number_is_read_as_the_rule_has_it() -> None:
    parts = product(["", "-", "+"], ["0", "00", "7", "12", ""], ["", "."], ["", "0", "50", "003"])
    cells = ["".join(part) for part in parts]
    lines = [f"{cell},1,2" for cell in cells if any(c.isdigit() for c in cell)]

    assert hold_together("\n".join([HEADER, *lines]).encode(), DEFAULT_SCHEMA)


def test_a_refusal_is_the_rule_s_own() -> None:
    with pytest.raises(RequestError, match=r"line 2: lastyear_activity is not a number"):
        from_csv(f"{HEADER}\n1,many,3\n".encode(), DEFAULT_SCHEMA)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(-1e99, 1e99), min_size=3, max_size=3))
def test_numbers_are_those_that_were_written(values: list[float]) -> None:
    found = plain(f"{HEADER}\n{','.join(map(repr, values))}\n".encode())

    assert found is not None
    assert all(
        math.isclose(a, b, rel_tol=4e-16) for a, b in zip(found.numbers[0], values, strict=True)
    )
