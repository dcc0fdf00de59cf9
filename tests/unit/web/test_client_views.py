"""The list of clients: what is searched, filtered, sorted and paged, and what is refused."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.ranking.ranking_file import COLUMNS, LOSS_COLUMNS
from pipeline.web.client_views import PAGE, Query, listing, query_of
from pipeline.web.request_rows import RequestError

NAMES = [
    "Müller & Söhne GmbH",
    "Mu\u0308ller KG",  # the same letter in two characters
    "STRASSE AG",
    "Straße Nord",
    "two  spaces Ltd",
    "100% <b>O'Neil</b> ?&name=x#",
    "Ελλάδα ΟΔΟΣ",
    "a.c",
    "abc",
    "日本",
]


def ranking(names: list[str], *, valued: bool = False) -> pd.DataFrame:
    """A ranking of these clients, the first at the highest risk."""
    count = len(names)
    risk = np.linspace(0.9, 0.1, count) if count else np.array([])
    told = pd.DataFrame(
        {
            "rank": np.arange(1, count + 1),
            "client": names,
            "risk": risk,
            "band": ["high" if r >= 0.6 else "medium" if r >= 0.3 else "low" for r in risk],
            "release": "000001-x",
            "contact": ["yes" if r >= 0.5 else "no" for r in risk],
            "reasons": "",
        }
    )[list(COLUMNS)]
    if valued:
        told[LOSS_COLUMNS[0]] = [float("nan") if i == 0 else 10.0 * i for i in range(count)]
        told[LOSS_COLUMNS[1]] = [float("nan") if i == 0 else float(count - i) for i in range(count)]
    return told


MANY = ranking([f"client{i:03}" for i in range(101)])


def found(asked: dict[str, str], table: pd.DataFrame | None = None) -> list[str]:
    told = listing(ranking(NAMES) if table is None else table, query_of(asked))
    return [row["client"] for row in told.rows]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("müller", NAMES[:2]),
        ("MU\u0308LLER", NAMES[:2]),
        ("strasse", NAMES[2:4]),
        ("STRAßE", NAMES[2:4]),
        ("  söhne   gmbh ", NAMES[:1]),
        ("two  spaces", NAMES[4:5]),
        ("two spaces", NAMES[4:5]),
        ("o'neil", NAMES[5:6]),
        ("<b>", NAMES[5:6]),
        ("100%", NAMES[5:6]),
        ("ελλάδα οδος", NAMES[6:7]),
        ("a.c", NAMES[7:8]),
        ("日", NAMES[9:]),
        ("' OR 1=1 --", []),
        (".*", []),
        ("\0", []),
        ("x" * 300, []),
        ("", NAMES),
        (" \t\n", NAMES),
    ],
)
def test_a_part_of_a_name_is_searched_for(text: str, names: list[str]) -> None:
    assert found({"q": text}) == names


@pytest.mark.parametrize("band", ["high", "medium", "low"])
def test_a_band_is_filtered(band: str) -> None:
    expected = MANY[MANY["band"] == band]["client"].tolist()
    told = listing(MANY, query_of({"band": band}))

    assert told.found == len(expected)
    assert [row["client"] for row in told.rows] == expected[:PAGE]


def test_those_to_contact_are_filtered() -> None:
    assert listing(MANY, query_of({"contact": "yes"})).found == 51
    assert listing(MANY, query_of({"contact": "no"})).found == 101


def test_filters_go_together() -> None:
    told = listing(MANY, query_of({"q": "client04", "band": "medium", "contact": "yes"}))
    assert [row["client"] for row in told.rows] == [f"client04{i}" for i in range(10)]


def test_it_is_sorted_by_name() -> None:
    told = found({"sort": "client"}, ranking(["b", "a", "B", "c"]))
    assert told == ["a", "b", "B", "c"]


def test_it_is_sorted_by_expected_loss_those_without_one_last() -> None:
    table = ranking(["a", "b", "c"], valued=True)
    assert found({"sort": "expected_loss"}, table) == ["c", "b", "a"]


def test_without_values_it_is_sorted_by_risk() -> None:
    told = listing(MANY, query_of({"sort": "expected_loss"}))
    assert (told.query.sort, told.valued, told.rows[0]["client"]) == ("risk", False, "client000")


@pytest.mark.parametrize(
    ("page", "shown", "first", "last"),
    [
        *(("1", 1, 1, 25), ("2", 2, 26, 50), ("5", 5, 101, 101)),
        *(("6", 5, 101, 101), ("9999999", 5, 101, 101)),
    ],
)
def test_it_comes_in_pages_and_none_is_beyond_the_last(
    page: str, shown: int, first: int, last: int
) -> None:
    told = listing(MANY, query_of({"page": page}))

    assert (told.query.page, told.pages, told.first, told.last) == (shown, 5, first, last)
    assert [row["rank"] for row in told.rows] == list(range(first, last + 1))


def test_nothing_found_is_one_empty_page() -> None:
    told = listing(MANY, query_of({"q": "nobody", "page": "3"}))
    assert (told.found, told.pages, told.query.page, told.first, told.last) == (0, 1, 1, 0, 0)
    assert listing(ranking([]), Query()).found == 0


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"band": "High"}, "band must be one of high, medium, low"),
        ({"sort": "rank"}, "sort must be one of risk, client, expected_loss"),
        ({"sort": ""}, "sort must be one of risk, client, expected_loss"),
        *(
            ({"page": page}, "page must be a whole number of at least 1")
            for page in ("0", "-1", "1.0", "", " 1", "x", "²", "٣", "12345678")
        ),
    ],
)
def test_what_cannot_be_asked_is_told(asked: dict[str, str], message: str) -> None:
    with pytest.raises(RequestError) as caught:
        query_of(asked)
    assert (caught.value.status, str(caught.value)) == (400, message)


def test_a_link_holds_the_query_and_another_order_starts_anew() -> None:
    query = Query("Söhne & Co", "high", contact=True, sort="client", page=3)

    assert query.link() == "?q=S%C3%B6hne+%26+Co&band=high&contact=yes&sort=client&page=3"
    assert query.link(page=1) == "?q=S%C3%B6hne+%26+Co&band=high&contact=yes&sort=client"
    assert query.link(sort="risk") == "?q=S%C3%B6hne+%26+Co&band=high&contact=yes"
    assert Query().link() == "?"


@given(st.text(), st.sampled_from(NAMES))
def test_whatever_is_typed_finds_only_what_holds_it(text: str, name: str) -> None:
    told = found({"q": text})
    assert set(told) <= set(NAMES)
    assert name in found({"q": name})
