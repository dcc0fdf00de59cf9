import io
from collections.abc import Sequence
from dataclasses import replace
from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tables import RowTable

from pipeline.core.errors import DataError
from pipeline.core.schema import DEFAULT_SCHEMA, ClientNames, Schema, canonical_client
from pipeline.data.csv_reader import OddNumbersError
from pipeline.data.plain_columns import plain_column


def stream(content: str | bytes) -> io.BufferedReader:
    raw = content.encode() if isinstance(content, str) else content
    return io.BufferedReader(io.BytesIO(raw))


# columns that are canonical as they stand are told by a pattern: it must not show

CELLS = st.one_of(
    st.sampled_from(["", "a", "0", "1", "7", "12", "-3", "0.5", "a b", "größe", "x" * 20]),
    st.sampled_from(["-0", "+1", "007", "1.0", "1.50", "1e3", "0.00001", "0.0001", ".5", "5."]),
    st.sampled_from(["1234567890123456789", "123456789.123456", "9.999999", "1234567890.5", "--1"]),
    st.sampled_from(
        [" a", "a ", "\u3000a", "a\xa0", "\x1fa", "a\x1cb", "NA", "nan", "yes", "²", "٣"]
    ),
    st.sampled_from(
        ['"a"', '"a,b"', '"a""b"', 'a"b', '"a\nb"', '"', "a\rb", "\0", "\x85", "\ufeff"]
    ),
    st.sampled_from(
        ["a  b", "e\u0301", "\u0301", "a\u200bb", "\u212b", "αβγ", "日本", "🙂", "a\x7f"]
    ),
    st.sampled_from(["NULL", "#N/A", "-", "?", "None", "Nell", '="07"', '"=""07"""', "x" * 600]),
    st.sampled_from(["1.5E+11", "2e+7", "1.5e9", "1e5", "0010", "10.0", "0", "00", "0.00", "0x"]),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.integers(-(10**19), 10**19).map(str),
    st.decimals(-(10**12), 10**12, places=4).map(str),
    st.from_regex(r"-?[0-9]{1,18}\.[0-9]{1,18}", fullmatch=True),
    st.text(alphabet='ab01.,-" \t\r\n\0\xa0é', max_size=6),
)
SCHEMA = Schema("id", "left", ("n", "m"), ("land",))
SCHEMAS = {names: replace(SCHEMA, client_names=names) for names in ClientNames}
HEADERS = st.one_of(
    st.just(list(SCHEMA.columns)),
    st.permutations(SCHEMA.columns),
    st.permutations([*SCHEMA.columns, "more", "and more"]),
)


@st.composite
def client_tables(draw: st.DrawFn) -> str:
    header = draw(HEADERS)
    plain = st.sampled_from(["1", "0", "1.0", ""])
    cells = {"left": plain, "id": st.sampled_from(["a", "b.0", "c d"]), "more": CELLS}
    usual = st.tuples(
        *(
            cells.get(name, st.sampled_from(["1", "25", "-3.5", "40.0", "0.0", ""]))
            for name in header
        )
    )
    odd = st.lists(CELLS, max_size=len(header) + 1).map(tuple)
    almost = st.tuples(usual, st.integers(0, len(header) - 1), CELLS).map(
        lambda t: (*t[0][: t[1]], t[2], *t[0][t[1] + 1 :])
    )
    rows = draw(st.lists(st.one_of(usual, usual, almost, odd), max_size=12))
    end = draw(st.sampled_from(["\n", "\n", "\r\n", "\r"]))
    last = draw(st.sampled_from([end, ""]))
    return end.join(",".join(row) for row in (header, *rows)) + last


def read_by(
    text: str, columns: Sequence[str], schema: Schema, last_day: str = "", *, patterns: bool
) -> list[object] | str:
    """What is read of a text, with the patterns or by the rules for each value."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipeline.data.text_lines.BLOCK", 40)
        if not patterns:
            patch.setattr("pipeline.data.csv_reader.plain_column", lambda *_: None)
        try:
            table = RowTable(stream(text), schema, columns, last_day=last_day)
            return [*table, table.warning]
        except DataError as error:
            return str(error)
        except OddNumbersError:
            return "odd numbers"


@settings(max_examples=150, deadline=None)
@given(client_tables(), st.booleans(), st.sampled_from(ClientNames))
def test_a_table_is_read_as_if_each_value_was_looked_at(
    text: str, whole: bool, names: ClientNames
) -> None:
    columns, schema = SCHEMA.columns if whole else SCHEMA.features, SCHEMAS[names]
    found, expected = (read_by(text, columns, schema, patterns=each) for each in (True, False))
    assert found == expected


DATED = Schema("id", "left", ("n",), date="as of", left_on="left on", carry=("who",))
DATES = st.one_of(
    st.sampled_from(["", "2026-02-28", "2026-02-29", "2024-02-29", "2026-11-31", "2026-13-01"]),
    st.sampled_from(["2026-1-1", "2026-01-01T10:00", "20260101", "1899-12-31", "9999-12-31", "x"]),
    st.dates().map(str),
    st.dates(date(2026, 10, 28), date(2027, 2, 2)).map(str),
)


@settings(max_examples=250, deadline=None)
@given(
    st.lists(st.tuples(DATES, DATES, st.sampled_from(["", "a b", " a", "a@b.c"])), max_size=6),
    st.sampled_from(["", "2026-11-30", "2027-01-01", "2030-10-10"]),
    st.booleans(),
)
def test_dates_are_read_as_if_each_value_was_looked_at(
    rows: list[tuple[str, str, str]], last_day: str, without: bool
) -> None:
    schema = replace(DATED, has_outcome=not without)
    lines = [f"a,{day},1,{'' if without else '0,'}{left},{who}" for day, left, who in rows]
    header = schema.header.replace("left,", "") if without else schema.header
    text = "\n".join([header, *lines, ""])
    found, expected = (
        read_by(text, schema.columns, schema, last_day, patterns=each) for each in (True, False)
    )
    assert found == expected


ODD_NAMES = [
    *("NULL", "nan", "None", "NA", "n/a", "#N/A", "-", "?", "a  b", "a\u200bb", '="07"', "a\tb"),
    *("e\u0301", "\u212b", "\u03b1\u0301", "1.5E+11", "2e+7", "1.5e9"),
]
ODD_DIGITS = ["0010", "00", "007.0", "10.0", "0.00", "5.0"]
SHOWN = ["Nell", "Nona", "12e4", "1.5", "0", "0x", "N/A Ltd", "éα", "10", "x" * 600, "a b c"]


@pytest.mark.parametrize("name", [*ODD_NAMES, *ODD_DIGITS, *SHOWN], ids=lambda name: name[:9])
@pytest.mark.parametrize("schema", SCHEMAS.values(), ids=SCHEMAS)
def test_a_name_among_others_is_read_as_if_it_was_alone(name: str, schema: Schema) -> None:
    names = ["a", *[f"C{i}" for i in range(12)], name, "b"]
    text = "\n".join([schema.header, *[f"{name},1,2,x,0" for name in names], ""])
    found, expected = (
        read_by(text, schema.columns, schema, patterns=each) for each in (True, False)
    )
    assert found == expected


def test_a_plain_name_has_only_characters_that_its_canonical_form_keeps() -> None:
    plain = plain_column("corporation", DEFAULT_SCHEMA)
    assert plain
    every = [chr(i) for i in range(0x300) if chr(i) not in ',"\n']
    assert [c for c in every if plain.fullmatch(f"x{c}x\n")] == [
        c for c in every if canonical_client(f"x{c}x") == f"x{c}x"
    ]
