import io
from dataclasses import replace
from datetime import date
from unicodedata import is_normalized

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tables import RowTable

from pipeline.core.errors import DataError
from pipeline.core.schema import DEFAULT_SCHEMA, ClientNames, Schema, canonical_client
from pipeline.data.csv_reader import MAX_ROW, GoodRows, OddNumbersError
from pipeline.data.plain_rows import PlainRows


def stream(content: str | bytes) -> io.BufferedReader:
    raw = content.encode() if isinstance(content, str) else content
    return io.BufferedReader(io.BytesIO(raw))


# rows that are canonical as they stand are read without the CSV reader: it must not show

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
    text: str,
    columns: tuple[str, ...],
    max_columns: int,
    schema: Schema = SCHEMA,
    last_day: str = "",
) -> list[object] | str:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipeline.data.plain_rows.MAX_COLUMNS", max_columns)
        patch.setattr("pipeline.data.text_lines.BLOCK", 40)
        try:
            table = RowTable(stream(text), schema, columns, last_day=last_day)
            return [*table, table.warning]
        except DataError as error:
            return str(error)
        except OddNumbersError:
            return "odd numbers"


@settings(max_examples=120, deadline=None)
@given(client_tables(), st.booleans(), st.sampled_from(ClientNames))
def test_a_table_is_read_as_if_the_csv_reader_had_every_row(
    text: str, whole: bool, names: ClientNames
) -> None:
    columns, schema = SCHEMA.columns if whole else SCHEMA.features, SCHEMAS[names]
    assert read_by(text, columns, 200, schema) == read_by(text, columns, 0, schema)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(CELLS, min_size=1, max_size=9),
    st.sampled_from(["\n", "\r\n"]),
    st.sampled_from(ClientNames),
)
def test_a_single_column_is_read_as_if_the_csv_reader_had_every_row(
    cells: list[str], end: str, names: ClientNames
) -> None:
    schema = SCHEMAS[names]
    for name in SCHEMA.columns:
        text = end.join([name, *cells, ""])
        assert read_by(text, (name,), 200, schema) == read_by(text, (name,), 0, schema)


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
def test_dates_are_read_as_if_the_csv_reader_had_every_row(
    rows: list[tuple[str, str, str]], last_day: str, without: bool
) -> None:
    schema = replace(DATED, has_outcome=not without)
    lines = [f"a,{day},1,{'' if without else '0,'}{left},{who}" for day, left, who in rows]
    header = schema.header.replace("left,", "") if without else schema.header
    text = "\n".join([header, *lines, ""])
    found = [read_by(text, schema.columns, most, schema, last_day) for most in (200, 0)]
    assert found[0] == found[1]


ODD_NAMES = [
    *("NULL", "nan", "None", "NA", "n/a", "#N/A", "-", "?", "a  b", "a\u200bb", '="07"', "a\tb"),
    *("e\u0301", "\u212b", "\u03b1\u0301", "1.5E+11", "2e+7", "1.5e9"),
]
ODD_DIGITS = ["0010", "00", "007.0", "10.0", "0.00", "5.0"]
SHOWN = ["Nell", "Nona", "12e4", "1.5", "0", "0x", "N/A Ltd", "éα", "10", "x" * 600, "a b c"]


@pytest.mark.parametrize("name", [*ODD_NAMES, *ODD_DIGITS, *SHOWN], ids=lambda name: name[:9])
@pytest.mark.parametrize("schema", SCHEMAS.values(), ids=SCHEMAS)
@pytest.mark.parametrize("before", ["a", "e\u0301"])
def test_a_name_among_others_is_read_as_the_csv_reader_does(
    name: str, schema: Schema, before: str
) -> None:
    names = [before, *[f"C{i}" for i in range(12)], name, "b"]
    text = "\n".join([schema.header, *[f"{name},1,2,x,0" for name in names], ""])
    assert read_by(text, schema.columns, 200, schema) == read_by(text, schema.columns, 0, schema)


def test_a_plain_name_has_every_character_that_its_canonical_form_keeps() -> None:
    columns = DEFAULT_SCHEMA.columns
    plain = PlainRows(columns, columns, DEFAULT_SCHEMA, MAX_ROW)
    # all that are odd, and those beside them
    odd = (
        (0, 0x3200),
        (0xF000, 0x10400),
        (0x1BC00, 0x1BD00),
        (0x1D100, 0x1D200),
        (0xDFF00, 0xE1100),
    )
    every = [c for span in odd for c in map(chr, range(*span)) if is_normalized("NFC", c)]
    kept = [c for c in every if c not in ',"' and canonical_client(f"本{c}本") == f"本{c}本"]
    assert [c for c in every if plain.run.fullmatch(f"本{c}本,,,,\n")] == kept
    assert [c for c in every if plain.any_run.fullmatch(f"x{c}x,,,,\n")] == [
        c for c in kept if c < "\u0300"
    ]


@pytest.mark.parametrize(
    "name", ["größe", "Noel N.", "Ελλάς", "Юлия", "مثال", "हिन्दी", "株式会社 🙂", "00.0"]
)
def test_most_rows_are_taken_in_one_block(name: str) -> None:
    rows = [f"{name} {i},{i},-{i}.25,,{i % 2}" for i in range(1, 5000)]
    text = "\n".join([DEFAULT_SCHEMA.header, *rows, ""])
    (block,) = RowTable(stream(text), DEFAULT_SCHEMA, DEFAULT_SCHEMA.columns).blocks()
    assert isinstance(block, GoodRows)
    assert block.text == "\n".join([*rows, ""])


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_rows_of_other_columns_are_taken_in_one_block_too(end: str) -> None:
    header = "no,exited,number_of_employees,corporation,lastmonth_activity,note,lastyear_activity"
    rows = [f"{i},1,{i},client {i},{i}.5,some note,7" for i in range(1, 5000)]
    (block,) = RowTable(
        stream(end.join([header, *rows, ""])), DEFAULT_SCHEMA, DEFAULT_SCHEMA.columns
    ).blocks()
    assert isinstance(block, GoodRows)
    assert block.text == "".join(f"client {i},{i}.5,7,{i},1\n" for i in range(1, 5000))
