import random
import re
import struct
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.schema import (
    DEFAULT_SCHEMA,
    ClientNames,
    Schema,
    canonical_client,
    canonical_date,
    canonical_digits,
    canonical_end,
    canonical_number,
    canonical_outcome,
    csv_line,
)

BANK = Schema(client="id", outcome="left", numeric=("age",), categorical=("land", "sex"))


def test_the_default_schema_is_the_corporation_table() -> None:
    assert DEFAULT_SCHEMA.header == (
        "corporation,lastmonth_activity,lastyear_activity,number_of_employees,exited"
    )


def test_a_column_name_with_a_comma_is_quoted_in_the_header() -> None:
    assert Schema("id", "left", ("spend, year",)).header == 'id,"spend, year",left'


def test_each_column_has_the_canonical_form_of_its_role() -> None:
    assert [BANK.canonical(column)(" 1.0 ") for column in BANK.columns] == [
        *("1.0", "1", "1.0", "1.0", "1"),
    ]
    assert BANK.canonical("left")("1,0") == "1"
    turned = replace(BANK, outcomes=(("0", "1"), ("1", "0"))).canonical("left")
    assert (turned("0"), turned("1.0")) == ("1", "0")
    assert [BANK.canonical(column)("unknown") for column in BANK.columns[1:]] == [""] * 4


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("1", "1"),
        ("1.0", "1"),
        (" 01 ", "1"),
        ("+5", "5"),
        ("-7", "-7"),
        ("-0", "0"),
        ("-0.0", "0"),
        ("1e2", "100"),
        ("1E2", "100"),
        (".5", "0.5"),
        ("5.", "5"),
        ("0.10", "0.1"),
        ("12345678.9", "12345678.9"),
        ("1e-7", "1e-07"),
        ("1e-400", "0"),
        *((text, "10000000000000000") for text in ("1e16", "10000000000000000.0")),
        ("1e100", "1e+100"),
        ("\u00a012", "12"),
        ("123456789012345678", "123456789012345678"),
    ],
)
def test_equal_numbers_have_one_text(text: str, canonical: str) -> None:
    assert canonical_number(text) == canonical


@pytest.mark.parametrize("text", ["", "  ", "NA", "n/a", "NaN", "nan", "NULL", "None"])
def test_a_missing_number_is_empty(text: str) -> None:
    assert canonical_number(text) == ""


@pytest.mark.parametrize(
    "text",
    [
        *("abc", "1,000", "1_000", "0x10", "0b1", "1j", "1 2", "--1", "1e", "e5", ".", "inf"),
        *("-Infinity", "٣", "\uff11", "²", "12\u200b", "\ufeff12", "1.000,5", "1.2.3", "true"),
        *("2026-01-31", "31/01/2026", "12:30", "5%", "€5", "1/2", "=1+1", "@SUM(A1)"),
        "1" * 100_000 + "x",
    ],
)
def test_what_is_not_a_number_says_so(text: str) -> None:
    with pytest.raises(ValueError, match=r"^is not a number$"):
        canonical_number(text)


@pytest.mark.parametrize("text", ["1e400", "-1e400", "1e101", "9" * 5000])
def test_an_infinite_number_is_too_large(text: str) -> None:
    with pytest.raises(ValueError, match=r"^is too large for a number$"):
        canonical_number(text)


def test_a_canonical_number_is_the_same_number_and_stays_as_it_is() -> None:
    rng = random.Random(1)
    floats = [struct.unpack("<d", rng.randbytes(8))[0] for _ in range(2000)]
    floats += [rng.uniform(-1e6, 1e6) for _ in range(2000)]
    for value in (value for value in floats if abs(value) <= 1e100):
        canonical = canonical_number(repr(value))
        assert float(canonical) == value
        assert canonical_number(canonical) == canonical


@pytest.mark.parametrize("text", ["0", "no", "No", "NO", "false", "FALSE", " 0 ", "0.0", "00"])
def test_these_clients_stayed(text: str) -> None:
    assert canonical_outcome(text) == "0"


@pytest.mark.parametrize("text", ["1", "yes", "Yes", "YES", "true", "True", " 1 ", "1.0", "1e0"])
def test_these_clients_left(text: str) -> None:
    assert canonical_outcome(text) == "1"


@pytest.mark.parametrize("text", ["", " ", "NA", "nan", "None", "null"])
def test_of_these_clients_the_outcome_is_not_known_yet(text: str) -> None:
    assert canonical_outcome(text) == ""


@pytest.mark.parametrize("text", ["2", "-1", "0.5", "50000", "maybe", "1e400", "x", "inf"])
def test_another_outcome_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"^is not an outcome \(0, 1 or empty\)$"):
        canonical_outcome(text)


@pytest.mark.parametrize("text", ["", "   ", "\n", "\u200b \ufeff", '=""', "\u3164"])
def test_a_client_has_a_name(text: str) -> None:
    with pytest.raises(ValueError, match=r"^is empty; expected a name$"):
        canonical_client(text)


@pytest.mark.parametrize(
    "text",
    [
        *("NULL", "null", "nan", "NaN", "None", "NONE", "NA", "n/a", "#N/A", "-", "?"),
        *(" NULL ", "\ufeffnan", '="N/A"'),
    ],
)
def test_a_word_for_missing_is_no_client(text: str) -> None:
    with pytest.raises(ValueError, match=r"^is no client but a word for a missing one; expected"):
        canonical_client(text)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Cafe\u0301 Ko\u0308ln GmbH", "Café Köln GmbH"),
        ("Café\xa0Köln\u2009\u202fGmbH\u3000", "Café Köln GmbH"),
        ("Café  Köln \t GmbH", "Café Köln GmbH"),
        ("\ufeffCafé Köln GmbH", "Café Köln GmbH"),
        ("Ca\u200bfé\u2060 Kö\xadln\u200e GmbH\u202c", "Café Köln GmbH"),
        ("a\u200c\u200d\ufe0f\x07\x7f\x9fb", "ab"),
        ("e\u200d\u0301", "é"),  # what was apart comes together
        ("\u0600\u0661", "\u0600\u0661"),  # a sign that shows, though of the category Cf
        ("\u0391\u0301", "\u0386"),
        ("\u212b", "Å"),
        ('="0000001"', "0000001"),
        (' ="0000001" ', "0000001"),
        ('\ufeff=" 00  01 "', "00 01"),
        ('="The ""Best"""', 'The "Best"'),
        ('="=""0001"""', "0001"),
        ('=""', None),
        ('="', '="'),
        ("=1+1", "=1+1"),
        ("000010", "000010"),
        ("10.0", "10.0"),
        *((" Acme\r\nLtd ", "Acme Ltd"), ("Acme\n\n\rLtd", "Acme Ltd")),
        ("Naan", "Naan"),
        ("ACME", "ACME"),
    ],
)
def test_ways_to_write_a_name_have_one_text(text: str, name: str | None) -> None:
    if name is None:
        with pytest.raises(ValueError, match="empty"):
            canonical_client(text)
    else:
        assert canonical_client(text) == name


@given(
    st.text(st.characters() | st.sampled_from('="\u0301\u200d\xa0 \u1100\u1161\u034f'), max_size=9)
)
def test_a_canonical_name_stays_as_it_is(text: str) -> None:
    for canonical in (canonical_client, canonical_digits):
        try:
            name = canonical(text)
        except ValueError:
            continue
        assert canonical(name) == name


@pytest.mark.parametrize(
    ("text", "name"),
    [
        *(("000010", "10"), ("10", "10"), ("10.0", "10"), ("0010.00", "10"), ('="0010"', "10")),
        *(("0000", "0"), ("0.0", "0"), ("00.0", "0"), ("100", "100"), ("0" * 99, "0")),
        *(("10.", "10."), ("10.5", "10.5"), ("010 A", "010 A"), ("-01", "-01"), (".0", ".0")),
        *(("\u0660\u0661", "\u0660\u0661"), ("1.0.0", "1.0.0"), ("Acme 2.0", "Acme 2.0")),
    ],
)
def test_names_of_digits_may_lose_zeros(text: str, name: str) -> None:
    assert canonical_digits(text) == name


@pytest.mark.parametrize(
    "text", ["0" * 131_000 + "x", "9." + "0" * 131_000 + "x", '="' * 65_000 + "x"]
)
def test_a_long_name_takes_no_time(text: str) -> None:
    assert canonical_digits(text) == text


@pytest.mark.parametrize(
    ("asked", "exact", "digits"),
    [
        ("\ufeffacme ", "acme", "acme"),
        ("0010", "0010", "10"),
        ("", "", ""),
        ("NULL", "NULL", "NULL"),
    ],
)
def test_a_client_is_asked_for_as_it_may_be_written(asked: str, exact: str, digits: str) -> None:
    assert DEFAULT_SCHEMA.asked_client(asked) == exact
    assert Schema(client_names=ClientNames.DIGITS).asked_client(asked) == digits


@pytest.mark.parametrize(
    ("text", "date_format", "day"),
    [
        (" 2026-01-31 ", "", "2026-01-31"),
        ("2026-01-31 23:59:59", "", "2026-01-31"),
        ("2026-01-31T23:59:59+01:00", "", "2026-01-31"),
        ("31.1.2026", "%d.%m.%Y", "2026-01-31"),
    ],
)
def test_a_date_is_written_as_iso_does(text: str, date_format: str, day: str) -> None:
    assert canonical_date(text, date_format) == day


@pytest.mark.parametrize(
    ("text", "date_format", "fault"),
    [
        ("", "", "is empty; expected a date"),
        ("31.01.2026", "", "is not a date; expected YYYY-MM-DD"),
        ("01/31/2026", "%d.%m.%Y", "is not a date; expected one as %d.%m.%Y"),
        ("2026-02-30", "", "is not a date; expected YYYY-MM-DD"),
        ("1026-02-03", "", "is a date outside the years 1900 to 2199"),
    ],
)
def test_what_is_no_date_is_told(text: str, date_format: str, fault: str) -> None:
    with pytest.raises(ValueError, match=re.escape(fault)):
        canonical_date(text, date_format)


@pytest.mark.parametrize("text", ["", "NULL", "9999-12-31", "9999-12-31 00:00:00"])
def test_who_has_no_day_of_leaving_has_not_left(text: str) -> None:
    assert canonical_end(text) == ""


@pytest.mark.parametrize(
    ("values", "line"),
    [
        (["a", "b"], "a,b"),
        (["a", "", ""], "a,,"),
        (["a, b", "c"], '"a, b",c'),
        (['the "best"', "c"], '"the ""best""",c'),
        (["#1", "'x'"], "#1,'x'"),
    ],
)
def test_a_line_is_quoted_only_where_it_has_to_be(values: list[str], line: str) -> None:
    assert csv_line(values) == line
