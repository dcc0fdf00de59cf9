import gzip
import io
import zipfile

import pytest
from conftest import HEADER
from hypothesis import given, settings
from hypothesis import strategies as st
from tables import GoodRow, RowTable

from pipeline.errors import DataError
from pipeline.ledger import BadRow
from pipeline.schema import DEFAULT_SCHEMA, Schema
from pipeline.table import GoodRows, too_many_bad

BANK = Schema("id", "left", ("age",), ("land",))
PLAIN = f"{HEADER}\nacme,1,2,3,0\n"


def table(content: str | bytes, schema: Schema = DEFAULT_SCHEMA) -> RowTable:
    return RowTable(stream(content), schema, schema.columns)


def stream(content: str | bytes) -> io.BufferedReader:
    raw = content.encode() if isinstance(content, str) else content
    return io.BufferedReader(io.BytesIO(raw))


def lines(content: str | bytes, schema: Schema = DEFAULT_SCHEMA) -> list[str]:
    rows = list(table(content, schema))
    assert all(isinstance(row, GoodRow) for row in rows), rows
    return [row.text for row in rows if isinstance(row, GoodRow)]


def fault(content: str | bytes) -> str:
    try:
        list(table(content))
    except DataError as error:
        return str(error)
    pytest.fail("the table was not refused")


def bad_row(row: str) -> BadRow:
    (bad,) = table(f"{HEADER}\n{row}\n")
    assert isinstance(bad, BadRow)
    return bad


def zipped() -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr("a.csv", PLAIN)
    return target.getvalue()


def test_a_row_is_told_with_its_line_and_in_canonical_form() -> None:
    rows = list(table(f"{HEADER}\n acme , 1.0,2e1,,YES\nb,-3,0.50,7,\n"))
    assert rows == [GoodRow(2, "acme,1,20,,1"), GoodRow(3, "b,-3,0.5,7,")]


def test_columns_come_in_any_order() -> None:
    text = "exited,number_of_employees,corporation,lastyear_activity,lastmonth_activity\n1,2,a,3,4"
    assert lines(text) == ["a,4,3,2,1"]


def test_spaces_around_names_are_ignored() -> None:
    header = " corporation ,lastmonth_activity\t, lastyear_activity,number_of_employees , exited "
    assert lines(f"{header}\na,1,2,3,0\n") == ["a,1,2,3,0"]


def test_extra_columns_are_left_out_and_named() -> None:
    rows = table(f"region,{HEADER}, note\nnorth,a,1,2,3,0,x\n")
    assert rows.extra_columns == ("region", "note")
    assert list(rows) == [GoodRow(2, "a,1,2,3,0")]


def test_names_may_be_quoted() -> None:
    header = ",".join(f'"{name}"' for name in HEADER.split(","))
    assert lines(f'{header}\n"a, b",1,2,3,0\n') == ['"a, b",1,2,3,0']


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_end_in_any_way(end: str) -> None:
    assert lines(end.join([HEADER, "a,1,2,3,0", "b,1,2,3,1", ""])) == ["a,1,2,3,0", "b,1,2,3,1"]


def test_the_last_line_needs_no_end() -> None:
    assert lines(f"{HEADER}\na,1,2,3,0") == ["a,1,2,3,0"]


def test_a_byte_order_mark_is_fine() -> None:
    assert lines(b"\xef\xbb\xbf" + PLAIN.encode()) == ["acme,1,2,3,0"]


def test_names_are_utf8() -> None:
    assert lines(f"{HEADER}\nGroße Söhne 株式会社 🙂,1,2,3,0\n") == [
        "Große Söhne 株式会社 🙂,1,2,3,0"
    ]


def test_blank_lines_are_passed_over_and_counted() -> None:
    rows = list(table(f"\n{HEADER}\n\n  \na,1,2,3,0\n\nb,1,2,3,0\n\n"))
    assert rows == [GoodRow(5, "a,1,2,3,0"), GoodRow(7, "b,1,2,3,0")]


def test_a_line_break_within_quotes_becomes_a_space_and_is_counted() -> None:
    rows = list(table(f'{HEADER}\n"Acme\nLtd",1,2,3,0\nb,1,2,3,0\n'))
    assert rows == [GoodRow(2, "Acme Ltd,1,2,3,0"), GoodRow(4, "b,1,2,3,0")]


def test_categories_are_kept_as_text() -> None:
    assert lines("id,age,land,left\n1, 40 , France ,0\n2,,NA,1\n3,1,,\n", BANK) == [
        "1,40,France,0",
        "2,,NA,1",
        "3,1,,",
    ]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty; expected a header line and rows"),
        (b"\n\n  \n", "is empty; expected a header line and rows"),
        (b"\xef\xbb\xbf", "is empty; expected a header line and rows"),
        (HEADER.encode(), "has a header and no rows below it"),
        (f"{HEADER}\n\n\n".encode(), "has a header and no rows below it"),
        (
            b"acme,1,2,3,0\nb,1,2,3,1\n",
            "has no header line: expected corporation, lastmonth_activity, lastyear_activity,"
            " number_of_employees, exited; found acme, 1, 2, 3, 0",
        ),
        (
            b"corporation,lastmonth_activity,number_of_employees,exited\na,1,2,0\n",
            "lacks the column lastyear_activity; it has corporation, lastmonth_activity,"
            " number_of_employees, exited",
        ),
        (
            b"corporation;exited\na;0\n",
            "is separated by ';'; expected commas",
        ),
        (f"{HEADER},exited\na,1,2,3,0,0\n".encode(), "has the column exited more than once"),
        (PLAIN.encode("utf-16"), "is UTF-16; expected UTF-8"),
        (b"\xfe\xff" + PLAIN.encode("utf-16-be"), "is UTF-16; expected UTF-8"),
        (PLAIN.encode("utf-16-le"), "holds binary content in line 1; expected CSV text"),
        (f"{HEADER}\nMüller,1,2,3,0\n".encode("latin-1"), "is not UTF-8: byte 0xfc in line 2"),
        (f"{HEADER}\na\0b,1,2,3,0\n".encode(), "holds binary content in line 2; expected CSV text"),
        (b"\x89PNG\r\n\x1a\n\0\0", "is not UTF-8: byte 0x89 in line 1"),
        (
            gzip.compress(PLAIN.encode(), mtime=0),
            "is compressed with gzip; expected plain CSV text",
        ),
        (zipped(), "is a zip archive or spreadsheet; expected plain CSV text"),
        (
            f'{HEADER}\na,1,2,3,0\n"b,1,2,3,0\nc,1,2,3,0\n'.encode(),
            "has a quote in line 3 that never closes",
        ),
        (
            f'{HEADER}\n"b,1,2,3,0\nc",1,2,3,0\n"d,1,2,3\n",3,4,4,4,4\n'.encode(),
            "has a quote in line 4 that closes in another line",
        ),
        (
            f'{HEADER}\n"b"x,1,2,3,0\n'.encode(),
            "has a quote in line 2 where none may stand (',' expected after '\"')",
        ),
        (
            f"{HEADER}\n{'x' * 1_000_001},1,2,3,0\n".encode(),
            "has a row of more than 1,000,000 characters, which begins in line 2",
        ),
    ],
)
def test_what_is_no_client_table_is_refused_whole(content: bytes, reason: str) -> None:
    assert fault(content) == reason


def test_a_wide_header_is_told_in_part() -> None:
    assert fault(",".join(f"c{i}" for i in range(1000))) == (
        "has no header line: expected corporation, lastmonth_activity, lastyear_activity,"
        " number_of_employees, exited; found c0, c1, c2, c3, c4, c5, c6, c7, c8, c9, c10, c11"
        " and 988 more"
    )


def test_a_fault_far_down_comes_after_the_rows_above_it() -> None:
    text = "\n".join([HEADER, *["a,1,2,3,0"] * 50_000]).encode() + b"\nM\xfcller,1,2,3,0\n"
    rows = iter(table(text))
    assert next(rows) == GoodRow(2, "a,1,2,3,0")
    with pytest.raises(DataError, match=r"^is not UTF-8: byte 0xfc in line 50002$"):
        list(rows)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("a,abc,2,3,0", "lastmonth_activity 'abc' is not a number"),
        ("a,1,2,12 people,0", "number_of_employees '12 people' is not a number"),
        ("a,1,1e400,3,0", "lastyear_activity '1e400' is too large for a number"),
        ("a,1,-1e400,3,0", "lastyear_activity '-1e400' is too large for a number"),
        ("a,inf,2,3,0", "lastmonth_activity 'inf' is not a number"),
        (",1,2,3,0", "corporation '' is empty; expected a name"),
        ("  ,1,2,3,0", "corporation '  ' is empty; expected a name"),
        ("a,1,2,3,2", "exited '2' is not an outcome (0, 1 or empty)"),
        ("a,1,2,3,perhaps", "exited 'perhaps' is not an outcome (0, 1 or empty)"),
        ("a,1,2,3", "has 4 fields where the header has 5"),
        ("a,1,2,3,0,", "has 6 fields where the header has 5"),
        ("lonely", "has 1 fields where the header has 5"),
    ],
)
def test_a_bad_row_is_told_with_line_reason_and_text(row: str, reason: str) -> None:
    assert bad_row(row) == BadRow(2, reason, row)


def test_the_first_fault_of_a_row_is_its_reason() -> None:
    assert bad_row(",x,y,z,7").reason == "corporation '' is empty; expected a name"


def test_a_long_value_is_cut_in_the_reason() -> None:
    assert bad_row(f"a,{'x' * 100},2,3,0").reason == (
        f"lastmonth_activity '{'x' * 40}…' is not a number"
    )


def test_a_value_with_a_line_break_is_told_on_one_line() -> None:
    (bad,) = table(f'{HEADER}\na,"1\n2",2,3,0\n')
    assert isinstance(bad, BadRow)
    assert bad.reason == r"lastmonth_activity '1\n2' is not a number"


def test_the_rows_after_a_bad_one_go_on() -> None:
    rows = list(table(f"{HEADER}\na,x,2,3,0\nb,1,2,3,1\n"))
    assert [type(row) for row in rows] == [BadRow, GoodRow]


def test_bad_values_in_extra_columns_do_not_matter() -> None:
    assert lines(f"{HEADER},note\na,1,2,3,0,1e400\n") == ["a,1,2,3,0"]


def test_reasons_need_not_quote_the_value() -> None:
    rows = RowTable(
        stream("lastmonth_activity\nsecret\n"),
        DEFAULT_SCHEMA,
        ["lastmonth_activity"],
        quote_values=False,
    )
    assert [row.reason for row in rows if isinstance(row, BadRow)] == [
        "lastmonth_activity is not a number"
    ]


def test_only_the_columns_asked_for_are_taken() -> None:
    rows = RowTable(stream(PLAIN), DEFAULT_SCHEMA, ["exited", "corporation"])
    assert list(rows) == [GoodRow(2, "0,acme")]


def test_a_row_of_missing_values_is_a_row() -> None:
    rows = RowTable(stream("age,land\n40,\n,\n50,\n"), BANK, BANK.features)
    assert list(rows) == [GoodRow(2, "40,"), GoodRow(3, ","), GoodRow(4, "50,")]


def test_the_rest_of_the_stream_can_be_read_after_a_fault() -> None:
    content = f"{HEADER}\na\0,1,2,3,0\n".encode() + b"x" * 100_000
    source = stream(content)
    with pytest.raises(DataError):
        list(RowTable(source, DEFAULT_SCHEMA, DEFAULT_SCHEMA.columns))
    assert not source.closed
    assert content.endswith(source.read())


BAD = BadRow(5, "exited '2' is not an outcome (0, 1 or empty)", "a,1,2,3,2")


@pytest.mark.parametrize(("bad", "rows"), [(0, 1), (0, 5), (1, 10), (1, 19), (3, 30), (700, 7000)])
def test_a_tenth_of_bad_rows_is_borne(bad: int, rows: int) -> None:
    assert too_many_bad([BAD] * bad, rows) is None


@pytest.mark.parametrize(("bad", "rows"), [(1, 1), (1, 9), (2, 19), (4, 39), (701, 7000)])
def test_more_than_a_tenth_is_not(bad: int, rows: int) -> None:
    reason = too_many_bad([BAD] * bad, rows)
    assert reason
    assert reason.startswith(
        f"has too many bad rows: {bad} of {rows:,}, more than a tenth (line 5: exited "
    )


def test_the_first_three_bad_rows_are_told() -> None:
    bad = [BadRow(line, "is odd", "x") for line in range(2, 9)]
    assert too_many_bad(bad, 7) == (
        "has too many bad rows: 7 of 7, more than a tenth"
        " (line 2: is odd; line 3: is odd; line 4: is odd)"
    )


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
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.integers(-(10**19), 10**19).map(str),
    st.decimals(-(10**12), 10**12, places=4).map(str),
    st.from_regex(r"-?[0-9]{1,18}\.[0-9]{1,18}", fullmatch=True),
    st.text(alphabet='ab01.,-" \t\r\n\0\xa0é', max_size=6),
)
SCHEMA = Schema("id", "left", ("n", "m"), ("land",))
HEADERS = st.one_of(
    st.just(list(SCHEMA.columns)),
    st.permutations(SCHEMA.columns),
    st.permutations([*SCHEMA.columns, "more", "and more"]),
)


@st.composite
def client_tables(draw: st.DrawFn) -> str:
    header = draw(HEADERS)
    plain = st.sampled_from(["1", "0", ""])
    cells = {"left": plain, "id": st.sampled_from(["a", "b", "c d"]), "more": CELLS}
    usual = st.tuples(
        *(cells.get(name, st.sampled_from(["1", "25", "-3.5", ""])) for name in header)
    )
    odd = st.lists(CELLS, max_size=len(header) + 1).map(tuple)
    almost = st.tuples(usual, st.integers(0, len(header) - 1), CELLS).map(
        lambda t: (*t[0][: t[1]], t[2], *t[0][t[1] + 1 :])
    )
    rows = draw(st.lists(st.one_of(usual, usual, almost, odd), max_size=12))
    end = draw(st.sampled_from(["\n", "\n", "\r\n", "\r"]))
    last = draw(st.sampled_from([end, ""]))
    return end.join(",".join(row) for row in (header, *rows)) + last


def read_by(text: str, columns: tuple[str, ...], widest_plain: int) -> list[object] | str:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipeline.table.WIDEST_PLAIN", widest_plain)
        patch.setattr("pipeline.lines.BLOCK", 40)
        try:
            return list(RowTable(stream(text), SCHEMA, columns))
        except DataError as error:
            return str(error)


@settings(max_examples=250, deadline=None)
@given(client_tables(), st.booleans())
def test_a_table_is_read_as_if_the_csv_reader_had_every_row(text: str, whole: bool) -> None:
    columns = SCHEMA.columns if whole else SCHEMA.features
    assert read_by(text, columns, 200) == read_by(text, columns, 0)


@settings(max_examples=150, deadline=None)
@given(st.lists(CELLS, min_size=1, max_size=9), st.sampled_from(["\n", "\r\n"]))
def test_a_single_column_is_read_as_if_the_csv_reader_had_every_row(
    cells: list[str], end: str
) -> None:
    for name in SCHEMA.columns:
        text = end.join([name, *cells, ""])
        assert read_by(text, (name,), 200) == read_by(text, (name,), 0)


def test_most_rows_are_taken_in_one_block() -> None:
    rows = [f"größe {i},{i},-{i}.25,,{i % 2}" for i in range(1, 5000)]
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
