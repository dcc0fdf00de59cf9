"""Numbers as people write them, read by what a whole column lets tell."""

import pytest
from sandbox import HEADER
from tables import read

from pipeline.core.errors import DataError
from pipeline.core.schema import DEFAULT_SCHEMA, Format, Schema

NOT_READ = "…"  # of a row that is set aside


def numbers(*texts: str, form: Format | None = None) -> list[str]:
    """What texts of a column come to."""
    schema = Schema("id", "left", ("n",), format=form or Format())
    rows = [f"c{i}\t{text}\t0" for i, text in enumerate(texts)]
    found = read("\n".join(["id\tn\tleft", *rows, ""]), schema)
    values = dict(line.split(",")[:2] for line in found.good)
    return [values.get(f"c{i}", NOT_READ) for i in range(len(texts))]


@pytest.mark.parametrize(
    ("texts", "values"),
    [
        (["1,5", "2,25", "7"], ["1.5", "2.25", "7"]),
        (["1.234,5", "1.234", "12"], ["1234.5", "1234", "12"]),
        (["1,234.5", "1,234", "12.5"], ["1234.5", "1234", "12.5"]),
        (["1,234,567", "1,234"], ["1234567", "1234"]),
        (["1.234.567", "1.234"], ["1234567", "1234"]),
        (["1 234,5", "12 345", "1\xa0234\xa0567"], ["1234.5", "12345", "1234567"]),
        (["1'234.50", "1\u2019234"], ["1234.5", "1234"]),
        (["0,123", "5"], ["0.123", "5"]),
        (["1234,567", "5"], ["1234.567", "5"]),
        ([",5", "1"], ["0.5", "1"]),
        (["1.234", "2.5"], ["1.234", "2.5"]),
        (["$1,234.50", "($2.5)", "7", "-$3"], ["1234.5", "-2.5", "7", "-3"]),
        (["1.234,50 €", "-3,5 €", "2 €-"], ["1234.5", "-3.5", "-2"]),
        (["EUR 1,5", "2,5 EUR", "3,5 eur"], ["1.5", "2.5", "3.5"]),
        (["12,5 %", "7%", "-"], ["12.5", "7", ""]),
        (["10,-", "2,50", "CHF 3,--", "4,\u2013"], ["10", "2.5", "3", "4"]),
        (["10.-", "2.50", "1'001.-"], ["10", "2.5", "1001"]),
        (["R$ 1.234,50", "R$ -   "], ["1234.5", "0"]),
        (["12,34,567.5", "1,234.5"], ["1234567.5", "1234.5"]),
        (["12.5 001", *["1.5"] * 19], [NOT_READ, *["1.5"] * 19]),
        (["12.0-", "3.5-", "(4)", "\u22125", "+6"], ["-12", "-3.5", "-4", "-5", "6"]),
        (["1,5e3", "2"], ["1500", "2"]),
        (['"=""1,5"""', "2,5"], ["1.5", "2.5"]),
        (["1,5", "n/a", "?", ""], ["1.5", "", "", ""]),
        (["1,5", *["2,5"] * 19, "abc", "1.5"], ["1.5", *["2.5"] * 19, NOT_READ, NOT_READ]),
        (["1.5", *["2.5"] * 18, "3,5"], ["1.5", *["2.5"] * 18, NOT_READ]),
        (["5", *["25"] * 18, "1,234"], ["5", *["25"] * 18, NOT_READ]),
        (["$5", *["$25"] * 18, "€6"], ["5", *["25"] * 18, NOT_READ]),
        (["5%", *["25%"] * 18, "0.2"], ["5", *["25"] * 18, NOT_READ]),
    ],
)
def test_a_column_tells_how_its_numbers_are_written(texts: list[str], values: list[str]) -> None:
    assert numbers(*texts) == values


@pytest.mark.parametrize(
    ("texts", "why"),
    [
        (
            ["1,234", "2,345"],
            r"has n '1,234', which may be 1234 or 1\.234: say which with \"format\"",
        ),
        (["12", "$1,234"], r"has n '\$1,234', which may be 1234 or 1\.234"),
        (["1,5", "1.5"], r"has n with decimal points in 1 values and decimal commas in 1: "),
        (["$5", "€5"], r"has n in several units \(\$, €\): export it in one"),
        (["5%", "0.2", "7%"], r"has n in several units \(%, none\)"),
    ],
)
def test_what_may_be_read_in_two_ways_is_refused(texts: list[str], why: str) -> None:
    with pytest.raises(DataError, match=f"^{why}"):
        numbers(*texts)


@pytest.mark.parametrize(
    ("form", "values"),
    [
        (Format(decimal=","), ["1.234", "1234", NOT_READ]),
        (Format(thousands="."), ["1.234", "1234", NOT_READ]),
        (Format(decimal="."), ["1234", "1.234", "1.5"]),
        (Format(thousands=","), ["1234", "1.234", "1.5"]),
    ],
)
def test_the_config_may_settle_it(form: Format, values: list[str]) -> None:
    more = ["3"] * 20
    assert numbers("1,234", "1.234", "1.5", *more, form=form)[:3] == values


@pytest.mark.parametrize(
    ("told", "texts", "values"),
    [
        ("2,5", ["17.611", "33.432", "850"], ["17611", "33432", "850"]),
        ("2.5", ["17,611", "33,432", "850"], ["17611", "33432", "850"]),
        ("2,5", ["17.611", "2.5", "850"], ["17.611", "2.5", "850"]),
    ],
)
def test_what_a_column_does_not_tell_others_do(
    told: str, texts: list[str], values: list[str]
) -> None:
    schema = Schema("id", "left", ("m", "n"))
    rows = [f"c{i}\t{told}\t{text}\t0" for i, text in enumerate(texts)]
    found = read("\n".join(["id\tm\tn\tleft", *rows, ""]), schema)
    assert [line.split(",")[1:3] for line in found.good] == [["2.5", value] for value in values]


def test_each_column_is_read_by_itself_and_rows_before_the_first_odd_number_once() -> None:
    rows = [*[f"c{i},{i},1.5,1,0" for i in range(3000)], 'd,5,2.5,"1,5",0', 'e,5,2.5,"1.234,5",']
    found = read("\n".join([HEADER, *rows, ""]), DEFAULT_SCHEMA)
    assert found.good == [*rows[:3000], "d,5,2.5,1.5,0", "e,5,2.5,1234.5,"]
    assert found.notes == ["decimal comma in number_of_employees"]
