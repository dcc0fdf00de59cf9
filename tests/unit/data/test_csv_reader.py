import csv
import gzip
import io
from collections.abc import Callable
from dataclasses import replace

import pytest
from faulty_tables import FAULTS, FINE, ROWS
from hypothesis import given
from hypothesis import strategies as st
from sandbox import HEADER
from tables import GoodRow, RowTable, read

from pipeline.core.errors import DataError
from pipeline.core.schema import DEFAULT_SCHEMA, ClientNames, Format, Rule, Schema
from pipeline.data.csv_reader import BadRow, Table, too_many_bad

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


def refusal(content: str | bytes) -> str | None:
    try:
        rows = read(content, DEFAULT_SCHEMA).rows
    except DataError as error:
        return str(error)
    return too_many_bad([row for row in rows if isinstance(row, BadRow)], len(rows))


def bad_row(row: str) -> BadRow:
    (bad,) = table(f"{HEADER}\n{row}\n")
    assert isinstance(bad, BadRow)
    return bad


def test_a_row_is_reported_with_its_line_and_in_canonical_form() -> None:
    rows = list(table(f"{HEADER}\n acme , 1.0,2e1,,YES\nb,-3,0.50,7,\n"))
    assert rows == [GoodRow(2, "acme,1,20,,1"), GoodRow(3, "b,-3,0.5,7,")]


def test_extra_columns_are_left_out_and_named() -> None:
    rows = table(f"region,{HEADER}, note\nnorth,a,1,2,3,0,x\n")
    assert rows.extra_columns == ("region", "note")
    assert list(rows) == [GoodRow(2, "a,1,2,3,0")]


@pytest.mark.parametrize("text", FINE.values(), ids=FINE)
def test_a_table_that_is_odd_and_whole_is_read(text: str | bytes) -> None:
    found = read(text, DEFAULT_SCHEMA)
    assert (found.good, found.bad) == (ROWS, [])


def test_blank_lines_are_passed_over_and_counted() -> None:
    rows = list(table(f"\n{HEADER}\n\n  \na,1,2,3,0\n\nb,1,2,3,0\n\n"))
    assert rows == [GoodRow(5, "a,1,2,3,0"), GoodRow(7, "b,1,2,3,0")]


def test_a_line_break_within_quotes_becomes_a_space_and_is_counted() -> None:
    rows = list(table(f'{HEADER}\n"Acme\nLtd",1,2,3,0\nb,1,2,3,0\n'))
    assert rows == [GoodRow(2, "Acme Ltd,1,2,3,0"), GoodRow(4, "b,1,2,3,0")]


@pytest.mark.parametrize(
    ("rows", "bad"),
    [
        (['"Smith \\"Bob\\" Ltd",1,2,3,0'], "has a quote where none is allowed"),
        (['"b,1,2,3,0'], "has a quote that never closes"),
        (['"b" Ltd,1,2,3,0'], "has a quote where none is allowed"),
        (['"b,1,2,3,0', "c,1,2,3,0", 'd",1,2,3,0'], "has a quote that closes in another line"),
        (['b,"1,2,3,0', "c,1,2,3,0", 'd",1,2,3,0'], "has a quote that closes in another line"),
    ],
)
def test_a_row_with_a_stray_quote_is_set_aside_alone(rows: list[str], bad: str) -> None:
    found = read("\n".join([HEADER, "a,1,2,3,0", *rows, "e,1,2,3,0", ""]), DEFAULT_SCHEMA)
    kept = [row if '"' not in row else row.replace('"', '""') for row in rows[1:]]
    assert [row.replace('"d""",', 'd"",') for row in found.good] == [
        "a,1,2,3,0",
        *kept,
        "e,1,2,3,0",
    ]
    ((line, reason),) = found.bad
    assert (line, reason.startswith(bad)) == (3, True), reason


def test_what_is_cut_off_at_the_end_of_a_row_is_missing() -> None:
    assert read(f"{HEADER}\na,1\nb,1,2,3\nc\nd,1,2", DEFAULT_SCHEMA).good == [
        "a,1,,,",
        "b,1,2,3,",
    ]
    assert read(f"{HEADER}\na,1\nb,1,2,3\nc\nd,1,2", DEFAULT_SCHEMA).bad == [
        (4, "has 1 fields where the header has 5"),
        (5, "has 3 fields where the header has 5, and no line end: it seems to be cut off"),
    ]


@pytest.mark.parametrize("word", ["Total", "GRAND TOTAL", "Summe", "Total:", "Total (3)", '"Sum"'])
def test_a_total_that_comes_last_is_set_aside(word: str) -> None:
    above = ["a,1,2,3,0", "Total Fuel Ltd,1,2,3,0"]
    found = read("\n".join([HEADER, *above, f"{word},9,9,9,", "", ""]), DEFAULT_SCHEMA)
    assert (found.good, found.bad) == (above, [(4, "is a total, and no client")])


def test_all_totals_at_the_end_are_set_aside_in_the_order_of_their_lines() -> None:
    below = ["Subtotal,9,9,9,", "b,x,2,3,0", "Average,9,9,9,", "Total clients: 3,,,,"]
    found = read("\n".join([HEADER, *["a,1,2,3,0"] * 30, *below, ""]), DEFAULT_SCHEMA)
    assert [line for line, _ in found.bad] == [32, 33, 34, 35]
    assert {*found.good} == {"a,1,2,3,0"}


def test_a_stray_quote_does_not_hide_how_numbers_are_written() -> None:
    rows = ['"Acme;1,5;x;0', *[f"c{i};{i},5;x;0" for i in range(60)], "cut;2,5;x", "more;2,5;x;0;;"]
    found = read("\n".join(["id;age;land;left", *rows, ""]), BANK)
    assert [line for line, _ in found.bad] == [2]
    assert found.good[-3:] == ["c59,59.5,x,0", "cut,2.5,x,", "more,2.5,x,0"]


def test_what_is_called_a_total_and_followed_by_clients_is_a_client() -> None:
    rows = ["a,1,2,3,0", "Total,1,2,3,0", "b,1,2,3,0"]
    found = read("\n".join([HEADER, *rows, ",5,6,7,Subtotal", ""]), DEFAULT_SCHEMA)
    assert (found.good, found.bad) == (rows, [(5, "is a total, and no client")])


def test_words_that_are_no_outcomes_are_named_with_the_key_that_settles_them() -> None:
    texts = ["Stayed", "Churned", "", "Stayed"]
    content = "\n".join([HEADER, *(f"c{i},1,2,3,{text}" for i, text in enumerate(texts)), ""])
    rows = table(content)
    assert len([row for row in rows if isinstance(row, BadRow)]) == 3
    assert rows.bad_outcomes == (
        "; exited has 'Stayed', 'Churned': say in config.json which means leaving (1), staying (0)"
        ' or nothing (null), as in "outcomes": {"Stayed": …, "Churned": …}'
        "; python ingestion.py --check FILE proposes a schema"
    )
    known = replace(DEFAULT_SCHEMA, outcomes=(("churned", "1"), ("stayed", "0")))
    assert [line[-1] for line in read(content, known).good] == ["0", "1", ",", "0"]


def test_categories_are_kept_as_text_but_for_words_for_missing() -> None:
    assert lines("id,age,land,left\n1, 40 , France ,0\n2,,NA,1\n3,1,#N/A,\n4,?,?,?\n", BANK) == [
        "1,40,France,0",
        "2,,,1",
        "3,1,,",
        "4,,,",
    ]


def test_words_for_missing_may_be_added() -> None:
    schema = replace(BANK, format=Format(missing=("k.a.", "entfällt")))
    rows = ["1,k.A.,Entfällt,0", "2,40,unknown,", "k.a.,3,x,0"]
    found = read("\n".join(["id,age,land,left", *rows, ""]), schema)
    assert (found.good, [line for line, _ in found.bad]) == (["1,,,0", "2,40,,"], [4])


def test_a_row_that_breaks_a_rule_of_a_column_is_set_aside() -> None:
    rules = (Rule("age", 0, 120), Rule("land", one_of=("DE", "FR")))
    rows = ["1,40,DE,0", "2,-7,DE,0", "3,121,FR,1", "4,,XX,0", "5,,,1"]
    found = read("\n".join(["id,age,land,left", *rows, ""]), replace(BANK, rules=rules))
    assert found.good == [rows[0], rows[4]]
    assert [reason for _, reason in found.bad] == [
        "age '-7' is below 0",
        "age '121' is above 120",
        "land 'XX' is none of DE, FR",
    ]


def test_how_a_file_was_read_is_noted() -> None:
    rows = ["Report;;;", "ID;Age;Land;Left", "Köln;12,5;DE;0", "b;1.234,5;FR;1", ""]
    found = read("\n".join(rows).encode("cp1252"), BANK)
    assert found.good == ["Köln,12.5,DE,0", "b,1234.5,FR,1"]
    assert found.notes == [
        "separated by ';'; the header is line 2; columns: ID is id, Age is age, Land is land,"
        " Left is left",
        "read as Windows-1252, for it is not UTF-8 in line 3",
        "decimal comma in age",
    ]


def test_a_file_without_the_outcome_has_clients_whose_outcome_is_unknown() -> None:
    rows = table(PLAIN.replace(",exited", "").replace(",0\n", "\n"))
    assert (list(rows), rows.lacks_outcome) == ([GoodRow(2, "acme,1,2,3,")], True)


@pytest.mark.parametrize(("content", "reason"), FAULTS.values(), ids=FAULTS)
def test_what_is_no_client_table_is_refused_whole(content: bytes | str, reason: str) -> None:
    assert refusal(content) == reason


def test_a_fault_far_down_comes_after_the_rows_above_it() -> None:
    text = "\n".join([HEADER, *["a,1,2,3,0"] * 50_000]).encode() + b"\nM\x00ller,1,2,3,0\n"
    rows = iter(table(text))
    assert next(rows) == GoodRow(2, "a,1,2,3,0")
    with pytest.raises(DataError, match=r"^holds binary content in line 50002; "):
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
        ("a,1,2,3,0,5", "has 6 fields where the header has 5"),
        ("lonely", "has 1 fields where the header has 5"),
    ],
)
def test_a_bad_row_is_reported_with_line_reason_and_text(row: str, reason: str) -> None:
    bad = bad_row(row)
    assert bad == BadRow(2, reason, row)
    assert type(bad.reason) is str


def test_of_a_long_bad_row_only_the_beginning_is_kept() -> None:
    assert bad_row(f"{'long ' * 20_000},x,2,3,0").row == "long " * 200 + "…"


def test_a_value_with_a_line_break_is_reported_on_one_line() -> None:
    (bad,) = table(f'{HEADER}\na,"1\n2",2,3,0\n')
    assert isinstance(bad, BadRow)
    assert bad.reason == r"lastmonth_activity '1\n2' is not a number"


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
    with pytest.raises(DataError, match=r"^has corporation in scientific notation in 3 of 29 rows"):
        read(cut_ids(3, 29), DEFAULT_SCHEMA)


@pytest.mark.parametrize(
    "name", ["12E4", "1e5", "E+11", "1.5", "A1.2E+3", "1.2E+3 Ltd", "12.5E+3", "1.2E-3"]
)
def test_other_names_may_look_like_numbers(name: str) -> None:
    rows = table(cut_ids(20, 20, name))
    assert len(list(rows)) == 20
    assert rows.warning is None


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


ODD = [
    *(
        "NULL",
        "nan",
        "-",
        "?",
        "a  b",
        "a\u200bb",
        '"=""07"""',
        "e\u0301",
        "1.5E+11",
        "2e+7",
        "1e5",
    ),
    *("0010", "00", "10.0", "0.00", "-0", "+1", "1.50", ".5", "5.", "0.00001", "12", "C-07"),
    *("1234567890123456789", "123456789.123456", "²", "٣", " 1", '"1"', '"1,5"', "a b", "Sum: 3"),
]


@given(st.lists(st.tuples(*[st.sampled_from([*ODD, "7", "C1"])] * 2), min_size=1, max_size=8))
def test_rows_are_read_as_if_each_was_alone(cells: list[tuple[str, str]]) -> None:
    schema = replace(BANK, client_names=ClientNames.DIGITS)

    def read_of(*rows: str) -> list[str]:
        text = "\n".join(["id,age,land,left", *rows, ""])
        blocks = [*Table(stream(text), schema, schema.columns, {})._blocks()]
        parts = (b.reason if isinstance(b, BadRow) else b.text.rstrip("\n") for b in blocks)
        return "\n".join(parts).split("\n")

    rows = [f"{name},{number},x,0" for name, number in cells]
    assert read_of(*rows) == [each for row in rows for each in read_of(row)]


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
        (
            '","\n',
            "has too many bad rows: more than 100,000 (line 100002: has 1 fields where the header"
            " has 5)",
        ),
        (
            "a\n",
            "has too many bad rows: more than 100,000 (line 100002: has 1 fields where the header"
            " has 5)",
        ),
    ],
)
def test_a_row_without_end_is_given_up(again: str, reason: str) -> None:
    start = f'{HEADER}\n"' if "\n" in again else f"{HEADER}\n"
    stream = io.BufferedReader(Endless(start.encode(), again.encode()))
    with pytest.raises(DataError) as caught:
        list(RowTable(stream, DEFAULT_SCHEMA, DEFAULT_SCHEMA.columns))
    assert str(caught.value) == reason


@pytest.mark.parametrize("digits", [1000, 131_000])
def test_a_number_of_many_digits_takes_no_time(digits: int) -> None:
    odd = [f"a,{'1' * digits}x,2,3,0", f"a,1{' ' * digits}x,2,3,0", f"total{' ' * digits}x,1,2,3,"]
    text = "\n".join([HEADER, *odd * 2])
    stream = io.BufferedReader(io.BytesIO(text.encode()))
    assert len(list(RowTable(stream, DEFAULT_SCHEMA, DEFAULT_SCHEMA.columns))) == 6


# --- any form that a table may have ---

CLIENTS = [
    ("Müller & Söhne", "12.5", "DE", "1"),
    ("a, b; c|d", "1234.5", "", "0"),
    ('the "best"', "", "FR", ""),
    ("plain", "-3.25", "d'Or", "1"),
    ("0012", "7", "x y", "0"),
    ("tab\there", "1234567.5", "DE", "0"),
]
EXPECTED = [
    "Müller & Söhne,12.5,DE,1",
    '"a, b; c|d",1234.5,,0',
    '"the ""best""",,FR,',
    "plain,-3.25,d'Or,1",
    "0012,7,x y,0",
    "tab here,1234567.5,DE,0",
]


def german(number: str) -> str:
    if not number:
        return ""
    return f"{float(number):,.2f}".translate(str.maketrans(",.", ".,"))


@given(
    delimiter=st.sampled_from(",;\t|"),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "cp1252", "utf-16", "utf-16-le", "utf-16-be"]),
    number=st.sampled_from([str, german, lambda text: text and f"{float(text):,.2f} $"]),
    above=st.sampled_from([[], [["Clients of", "", ""]], [["as of"], [], ["x", "y", "z", "0"]]]),
    packed=st.sampled_from([bytes, lambda content: gzip.compress(content, mtime=0)]),
    times=st.sampled_from([1, 300]),
)
def test_a_table_in_any_form_is_read_whole(
    delimiter: str,
    quoting: int,
    end: str,
    encoding: str,
    number: Callable[[str], str],
    above: list[list[str]],
    packed: Callable[[bytes], bytes],
    times: int,
) -> None:
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter, quoting=quoting, lineterminator=end)  # type: ignore[arg-type]
    writer.writerows([*above, ["ID", "Age", "Land", "Left"]])
    rows = [(name, number(age), land, left) for name, age, land, left in CLIENTS] * times
    writer.writerows(rows)
    found = read(packed(text.getvalue().encode(encoding)), BANK)
    assert (found.good, found.bad) == (EXPECTED * times, [])
