import io
import re
import zipfile

import pytest
from faulty_tables import FAULTS, FINE, ROWS
from hypothesis import given
from hypothesis import strategies as st
from sandbox import HEADER
from tables import GoodRow, RowTable

from pipeline.core.errors import DataError
from pipeline.core.schema import DEFAULT_SCHEMA, Schema
from pipeline.data import csv_reader as module
from pipeline.data.csv_reader import BadRow, Lines, too_many_bad

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


def test_a_row_is_reported_with_its_line_and_in_canonical_form() -> None:
    rows = list(table(f"{HEADER}\n acme , 1.0,2e1,,YES\nb,-3,0.50,7,\n"))
    assert rows == [GoodRow(2, "acme,1,20,,1"), GoodRow(3, "b,-3,0.5,7,")]


def test_extra_columns_are_left_out_and_named() -> None:
    rows = table(f"region,{HEADER}, note\nnorth,a,1,2,3,0,x\n")
    assert rows.extra_columns == ("region", "note")
    assert list(rows) == [GoodRow(2, "a,1,2,3,0")]


@pytest.mark.parametrize("text", FINE.values(), ids=FINE)
def test_a_table_that_is_odd_and_whole_is_read(text: str) -> None:
    assert lines(text) == ROWS


def test_names_may_be_quoted() -> None:
    header = ",".join(f'"{name}"' for name in HEADER.split(","))
    assert lines(f'{header}\n"a, b",1,2,3,0\n') == ['"a, b",1,2,3,0']


def test_names_are_utf8() -> None:
    assert lines(f"{HEADER}\nGroße Söhne 株式会社 🙂,1,2,3,0\n") == [
        "Große Söhne 株式会社 🙂,1,2,3,0"
    ]


def test_blank_lines_are_passed_over_and_counted() -> None:
    rows = list(table(f"\n{HEADER}\n\n  \na,1,2,3,0\n\nb,1,2,3,0\n\n"))
    assert rows == [GoodRow(5, "a,1,2,3,0"), GoodRow(7, "b,1,2,3,0")]


def test_many_words_may_be_too_long_for_a_field() -> None:
    assert fault(f"{HEADER}\n{' '.join(['x' * 9_000] * 16)},1,2,3,0\n") == (
        "has a field of more than 131,072 characters in line 2"
    )


def test_a_line_break_within_quotes_becomes_a_space_and_is_counted() -> None:
    rows = list(table(f'{HEADER}\n"Acme\nLtd",1,2,3,0\nb,1,2,3,0\n'))
    assert rows == [GoodRow(2, "Acme Ltd,1,2,3,0"), GoodRow(4, "b,1,2,3,0")]


def test_categories_are_kept_as_text() -> None:
    assert lines("id,age,land,left\n1, 40 , France ,0\n2,,NA,1\n3,1,,\n", BANK) == [
        "1,40,France,0",
        "2,,NA,1",
        "3,1,,",
    ]


@pytest.mark.parametrize(("content", "reason"), FAULTS.values(), ids=FAULTS)
def test_what_is_no_client_table_is_refused_whole(content: bytes | str, reason: str) -> None:
    if reason.startswith("has too many bad rows"):
        rows = list(table(content))
        assert too_many_bad([row for row in rows if isinstance(row, BadRow)], len(rows)) == reason
    else:
        assert fault(content) == reason


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
        (
            "NULL,1,2,3,0",
            "corporation 'NULL' is no client but a word for a missing one; expected a name",
        ),
        ("a,1,2,3,2", "exited '2' is not an outcome (0, 1 or empty)"),
        ("a,1,2,3,perhaps", "exited 'perhaps' is not an outcome (0, 1 or empty)"),
        ("a,1,2,3,1e400", "exited '1e400' is not an outcome (0, 1 or empty)"),
        (HEADER, "lastmonth_activity 'lastmonth_activity' is not a number"),
        ("a;1;2;3;0", "has 1 fields where the header has 5"),
        ("a,1,2,3,0,", "has 6 fields where the header has 5"),
        ("lonely", "has 1 fields where the header has 5"),
    ],
)
def test_a_bad_row_is_reported_with_line_reason_and_text(row: str, reason: str) -> None:
    assert bad_row(row) == BadRow(2, reason, row)


def test_of_a_long_bad_row_only_the_beginning_is_kept() -> None:
    assert bad_row(f"{'long ' * 20_000},x,2,3,0").row == "long " * 200 + "…"


def test_the_first_fault_of_a_row_is_its_reason() -> None:
    assert bad_row(",x,y,z,7").reason == "corporation '' is empty; expected a name"


def test_a_long_value_is_cut_in_the_reason() -> None:
    assert bad_row(f"a,{'x' * 100},2,3,0").reason == (
        f"lastmonth_activity '{'x' * 40}…' is not a number"
    )


def test_a_value_with_a_line_break_is_reported_on_one_line() -> None:
    (bad,) = table(f'{HEADER}\na,"1\n2",2,3,0\n')
    assert isinstance(bad, BadRow)
    assert bad.reason == r"lastmonth_activity '1\n2' is not a number"


def test_the_rows_after_a_bad_one_go_on() -> None:
    rows = list(table(f"{HEADER}\na,x,2,3,0\nb,1,2,3,1\n"))
    assert [type(row) for row in rows] == [BadRow, GoodRow]


SCIENTIFIC = "a spreadsheet cut these ids; format the column as text there and export it again"


def cut_ids(count: int, rows: int, text: str = "1.23456E+11") -> str:
    names = [text] * count + [f"C{i}" for i in range(rows - count)]
    return "\n".join([HEADER, *[f"{name},1,2,3,0" for name in names], ""])


@pytest.mark.parametrize("text", ["1.23456E+11", "1.2e+07", "1E+20", "1.23456E11", '"1,23456E+11"'])
def test_names_in_scientific_notation_are_warned_of(text: str) -> None:
    rows = table(cut_ids(2, 20, text))
    assert all(isinstance(row, GoodRow) for row in rows)
    shown = repr(text.strip('"'))
    assert rows.warning == (
        f"has corporation in scientific notation in 2 of 20 rows, such as {shown}: {SCIENTIFIC}"
    )


def test_a_table_of_more_than_a_tenth_of_them_is_refused() -> None:
    assert fault(cut_ids(3, 29)) == (
        "has corporation in scientific notation in 3 of 29 rows, such as '1.23456E+11':"
        f" {SCIENTIFIC}"
    )


@pytest.mark.parametrize(
    "name", ["12E4", "1e5", "E+11", "1.5", "A1.2E+3", "1.2E+3 Ltd", "12.5E+3", "1.2E-3"]
)
def test_other_names_may_look_like_numbers(name: str) -> None:
    rows = table(cut_ids(20, 20, name))
    assert len(list(rows)) == 20
    assert rows.warning is None


def test_a_number_in_scientific_notation_is_one() -> None:
    rows = table(f"{HEADER}\na,1.5E+3,2,3,0\n")
    assert list(rows) == [GoodRow(2, "a,1500,2,3,0")]
    assert rows.warning is None


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


def test_the_first_three_bad_rows_are_reported() -> None:
    bad = [BadRow(line, "is odd", "x") for line in range(2, 9)]
    assert too_many_bad(bad, 7) == (
        "has too many bad rows: 7 of 7, more than a tenth"
        " (line 2: is odd; line 3: is odd; line 4: is odd)"
    )


NEVER, SMALL = re.compile(r"(?!)"), re.compile(r"(?:[a-z]*+\n)*+")


def lines_of(content: bytes) -> Lines:
    return Lines(io.BufferedReader(io.BytesIO(content)))


def all_lines(content: bytes, pattern: re.Pattern[str] = NEVER) -> list[str]:
    text, found = lines_of(content), []
    while True:
        run = text.run(pattern, pattern)
        found += re.findall(r"[^\n]*\n", run)
        if not (line := text.line()):
            assert text.taken == len(found)
            return found
        found.append(line)


@pytest.fixture(params=[1, 2, 3, 7, 1 << 20])
def _any_block(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BLOCK", request.param)


@pytest.mark.usefixtures("_any_block")
@pytest.mark.parametrize("pattern", [NEVER, SMALL])
@pytest.mark.parametrize(
    "text",
    [
        *("", "a", "a\n", "a\nb", "\n\n", "a\r\nb\r\n", "a\rb\r", "a\r\n\rb\n\r\n", "\r"),
        *("größe\n🙂\n", "a\x85b\u2028c\n", "a\n\nB\nc\n" * 5),
    ],
)
def test_a_text_is_taken_as_python_reads_it(text: str, pattern: re.Pattern[str]) -> None:
    assert all_lines(text.encode(), pattern) == list(io.StringIO(text, newline=""))
    assert all_lines(b"\xef\xbb\xbf" + text.encode(), pattern) == all_lines(text.encode(), NEVER)


@given(st.text(alphabet="ab\r\n\x85é🙂", max_size=30), st.integers(1, 5))
def test_any_text_is_taken_as_python_reads_it(text: str, block: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "BLOCK", block)
        for pattern in (NEVER, SMALL):
            assert all_lines(text.encode(), pattern) == list(io.StringIO(text, newline=""))


@pytest.mark.usefixtures("_any_block")
@pytest.mark.parametrize(
    ("content", "whole", "byte", "line"),
    [
        (b"\xff", 0, "ff", 1),
        (b"abc\ndef\nx\xe9y\n", 2, "e9", 3),
        (b"abc\n\xc3", 1, "c3", 2),
        (b"\xef\xbb\xbfabc\n\x80", 1, "80", 2),
        ("é\n".encode() * 9 + b"\xc3(\n", 9, "c3", 10),
    ],
)
def test_the_first_wrong_byte_is_reported_after_the_lines_before_it(
    content: bytes, whole: int, byte: str, line: int
) -> None:
    text = lines_of(content)
    for _ in range(whole):
        assert text.line().endswith("\n")
    with pytest.raises(DataError) as caught:
        text.line()
    assert str(caught.value) == f"is not UTF-8: byte 0x{byte} in line {line}"


def test_a_run_ends_where_the_pattern_does() -> None:
    text = lines_of(b"a\nb\nC\nd\n")
    assert text.run(SMALL, SMALL) == "a\nb\n"
    assert text.run(SMALL, SMALL) == ""
    assert (text.line(), text.taken) == ("C\n", 3)
    assert (text.run(SMALL, SMALL), text.taken) == ("d\n", 4)
    assert text.run(SMALL, SMALL) == text.line() == ""


def test_a_line_without_end_is_given_in_pieces() -> None:
    text = lines_of(b"x" * 5_000_000)
    assert module.MAX_ROW < len(text.line()) < 3_000_000


# --- memory and time, whatever a file asks for ---


class Endless(io.RawIOBase):
    """A text, then another one over and over."""

    def __init__(self, start: bytes, again: bytes) -> None:
        self._next, self._again = start, again * (1 + 8192 // len(again))

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        self._next = self._next or self._again
        count = min(len(buffer), len(self._next))
        buffer[:count], self._next = self._next[:count], self._next[count:]
        return count


@pytest.mark.parametrize(
    ("again", "reason"),
    [
        ("x", "has a row of more than 1,000,000 characters, which begins in line 2"),
        ("x,", "has a row of more than 1,000,000 characters, which begins in line 2"),
        ('","\n', "has a row of more than 1,000,000 characters, which begins in line 2"),
        ("a\n", "has a quote in line 2 that never closes"),
    ],
)
def test_a_row_without_end_is_given_up(again: str, reason: str) -> None:
    start = f'{HEADER}\n"' if "\n" in again else f"{HEADER}\n"
    stream = io.BufferedReader(Endless(start.encode(), again.encode()))
    with pytest.raises(DataError) as caught:
        list(RowTable(stream, DEFAULT_SCHEMA, DEFAULT_SCHEMA.columns))
    assert str(caught.value) == reason


def test_bad_rows_without_end_are_given_up() -> None:
    stream = io.BufferedReader(Endless(f"{HEADER}\n".encode(), b"a,b,c,d,e\n"))
    with pytest.raises(DataError) as caught:
        list(RowTable(stream, DEFAULT_SCHEMA, DEFAULT_SCHEMA.columns))
    assert str(caught.value) == (
        "has too many bad rows: more than 100,000 (line 100002: lastmonth_activity 'b' is not a"
        " number)"
    )


@pytest.mark.parametrize("digits", [1000, 131_000])
def test_a_number_of_many_digits_takes_no_time(digits: int) -> None:
    text = "\n".join([HEADER, *[f"a,{'1' * digits}x,2,3,0"] * 5])
    stream = io.BufferedReader(io.BytesIO(text.encode()))
    assert len(list(RowTable(stream, DEFAULT_SCHEMA, DEFAULT_SCHEMA.columns))) == 5
