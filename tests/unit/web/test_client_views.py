"""The list of clients, searched and paged; and a file of clients, scored for a person."""

import csv
import io
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sandbox import HEADER, Sandbox, client_rows

from pipeline.core.schema import DEFAULT_SCHEMA, Schema
from pipeline.ranking.ranking_file import COLUMNS, LOSS_COLUMNS, STATUS_COLUMNS
from pipeline.registry.live_model import Live, LiveModel
from pipeline.web.client_views import (
    PAGE,
    Query,
    find_clients,
    listing,
    parameters,
    score_file,
    scored_csv,
    scored_result,
)
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
    result = pd.DataFrame(
        {
            "rank": np.arange(1, count + 1),
            "client": names,
            "risk": risk,
            "band": ["high" if r >= 0.6 else "medium" if r >= 0.3 else "low" for r in risk],
            "release": "000001-x",
            "contact": ["yes" if r >= 0.5 else "no" for r in risk],
            "reasons": "",
            "contact_status": "proposed",
            "contacted_on": "",
        }
    )[[*COLUMNS, *STATUS_COLUMNS]]
    if valued:
        result[LOSS_COLUMNS[0]] = [float("nan") if i == 0 else 10.0 * i for i in range(count)]
        result[LOSS_COLUMNS[1]] = [
            float("nan") if i == 0 else float(count - i) for i in range(count)
        ]
    return result


MANY = ranking([f"client{i:03}" for i in range(101)])


def query_of(asked: dict[str, str], schema: Schema = DEFAULT_SCHEMA) -> Query:
    return parameters(Query, asked, schema)


def found(asked: dict[str, str], table: pd.DataFrame | None = None) -> list[str]:
    result = listing(ranking(NAMES) if table is None else table, query_of(asked))
    return [row["client"] for row in result.rows]


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
    result = listing(MANY, query_of({"band": band}))

    assert result.found == len(expected)
    assert [row["client"] for row in result.rows] == expected[:PAGE]


CARRYING = replace(DEFAULT_SCHEMA, carry=("Manager", "E-mail"))


def carrying() -> pd.DataFrame:
    """A ranking of 60 clients with a manager, but for the first, and an address each."""
    table = ranking([f"c{i:02}" for i in range(60)])
    table["Manager"] = ["", *(["Bo", "Ada"] * 30)][:60]
    table["E-mail"] = [f"m{i}@example.org" for i in range(60)]
    return table


def test_a_column_that_no_model_sees_is_filtered() -> None:
    result = listing(carrying(), query_of({"Manager": " Ada ", "band": "low"}, CARRYING))

    assert {row["Manager"] for row in result.rows} == {"Ada"}
    assert {row["band"] for row in result.rows} == {"low"}
    assert result.query.link(page=2) == "?band=low&page=2&Manager=Ada"
    assert listing(carrying(), query_of({"Manager": ""}, CARRYING)).found == 1


def test_there_are_few_texts_to_choose_from_or_the_one_asked_for() -> None:
    assert listing(carrying(), Query()).choices == {"Manager": ["Ada", "Bo"]}

    asked = query_of({"E-mail": "m1@example.org", "Manager": "Cy"}, CARRYING)
    result = listing(carrying(), asked)
    assert result.choices == {"Manager": ["Ada", "Bo", "Cy"], "E-mail": ["m1@example.org"]}


def test_it_is_sorted_by_name() -> None:
    result = found({"sort": "client"}, ranking(["b", "a", "B", "c"]))
    assert result == ["a", "b", "B", "c"]


def test_it_is_sorted_by_expected_loss_those_without_one_last() -> None:
    table = ranking(["a", "b", "c"], valued=True)
    assert found({"sort": "expected_loss"}, table) == ["c", "b", "a"]


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
    result = listing(MANY, query_of({"page": page}))

    assert (result.query.page, result.pages, result.first) == (shown, 5, first)
    assert len(result.rows) == last + 1 - first
    assert [row["rank"] for row in result.rows] == list(range(first, last + 1))


def test_nothing_found_is_one_empty_page() -> None:
    result = listing(MANY, query_of({"q": "nobody", "page": "3"}))
    assert (result.found, result.pages, result.query.page, result.rows) == (0, 1, 1, [])
    assert listing(ranking([]), Query()).found == 0
    assert list(find_clients(ranking([]), Query("nobody")).columns) == [*COLUMNS, *STATUS_COLUMNS]


@pytest.mark.parametrize(
    "asked",
    [
        *({"band": "High"}, {"contact": "maybe"}, {"sort": "rank"}, {"sort": ""}),
        *({"page": page} for page in ("0", "-1", "1.5", "", " 7", "x", "²", "٣", "12345678")),
    ],
)
def test_what_cannot_be_asked_is_reported_without_its_value(asked: dict[str, str]) -> None:
    ((name, text),) = asked.items()
    with pytest.raises(RequestError) as caught:
        query_of(asked)
    assert (caught.value.status, str(caught.value).startswith(f"{name} must be ")) == (400, True)
    assert len(text) < 2 or text not in str(caught.value)


def test_a_link_holds_the_query_and_another_order_starts_anew() -> None:
    query = Query("Söhne & Co", "high", contact="yes", sort="client", page=3)

    assert query.link() == "?q=S%C3%B6hne+%26+Co&band=high&contact=yes&sort=client&page=3"
    assert query.link(page=1) == "?q=S%C3%B6hne+%26+Co&band=high&contact=yes&sort=client"
    assert query.link(sort="risk") == "?q=S%C3%B6hne+%26+Co&band=high&contact=yes"
    assert Query().link() == "?"


@given(st.text(), st.sampled_from(NAMES))
def test_whatever_is_typed_finds_only_what_holds_it(text: str, name: str) -> None:
    result = found({"q": text})
    assert set(result) <= set(NAMES)
    assert name in found({"q": name})


# --- a scored file: the model's own risks, every bad row listed, nothing kept ---

FEATURES = ["lastmonth_activity", "lastyear_activity", "number_of_employees"]
GOOD = client_rows(0, 30)


def live_of(world: Sandbox) -> Live:
    return LiveModel(world.config.prod_deployment_path, world.config.schema).get()


def table(rows: list[str], header: str = HEADER) -> bytes:
    return "\n".join([header, *rows, ""]).encode()


def scored(world: Sandbox, content: bytes) -> pd.DataFrame:
    return score_file(content, live_of(world), world.config)


def downloaded(rows: pd.DataFrame) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(scored_csv(rows), newline="")))


def refused(world: Sandbox, content: bytes) -> tuple[int, str]:
    with pytest.raises(RequestError) as caught:
        scored(world, content)
    return caught.value.status, str(caught.value)


def said_by_model(world: Sandbox, content: bytes) -> tuple[list[str], list[int]]:
    """What the pickle says of a file, by nothing but pickle and pandas."""
    path: Path = world.root / "production_deployment/trainedmodel.pkl"
    model = pickle.loads(path.read_bytes())
    frame = pd.read_csv(io.BytesIO(content))[FEATURES]
    return [f"{r:.6f}" for r in model.predict_proba(frame)[:, 1]], model.predict(frame).tolist()


def test_the_risks_are_the_models_own_to_the_last_digit_of_the_file(deployed: Sandbox) -> None:
    found = downloaded(scored(deployed, table(GOOD)))

    risks, predicted = said_by_model(deployed, table(GOOD))
    assert [row["risk"] for row in found] == risks
    assert [int(row["predicted"]) for row in found] == predicted
    assert [row["client"] for row in found] == [row.split(",")[0] for row in GOOD]
    assert [int(row["line"]) for row in found] == list(range(2, 32))
    assert {row["problem"] for row in found} == {""}


def test_the_reasons_are_those_of_the_ranking(deployed: Sandbox) -> None:
    ranked = pd.read_csv(deployed.root / "models/clientrisk.csv", keep_default_na=False)
    rows = {row.split(",")[0]: row for row in client_rows(0, 120)}
    one = ranked.iloc[0]

    (found,) = downloaded(scored(deployed, table([rows[one["client"]]])))

    assert (found["reasons"], found["risk"]) == (one["reasons"], f"{one['risk']:.6f}")
    assert found["reasons"] != ""


def test_the_column_of_the_client_and_the_outcome_may_be_missing(deployed: Sandbox) -> None:
    rows = [",".join(row.split(",")[1:4]) for row in GOOD]
    found = scored(deployed, table(rows, ",".join(FEATURES)))

    whole = scored(deployed, table(GOOD))
    assert found["risk"].tolist() == whole["risk"].tolist()
    assert {*found["client"]} == {""}
    assert scored_result(found, live_of(deployed))[1][0].rows[0][0] == "-"


def test_a_bad_row_is_reported_with_its_line_and_reason_among_the_others(deployed: Sandbox) -> None:
    rows = [*GOOD[:10], "Bad Ltd,many,300,50,0", *GOOD[10:]]
    found = scored(deployed, table(rows))

    assert found["line"].tolist() == list(range(2, 33))
    bad = {"line": "12", "problem": "lastmonth_activity 'many' is not a number"}
    assert downloaded(found)[10] == dict.fromkeys(found.columns, "") | bad
    _, grids = scored_result(found, live_of(deployed))
    assert (grids[1].caption, grids[1].rows) == (
        "Rows that could not be read",
        (("12", "lastmonth_activity 'many' is not a number"),),
    )


def test_lines_are_those_of_the_file_also_after_a_break_within_quotes(deployed: Sandbox) -> None:
    rows = [GOOD[0], '"two\nlines",10,200,5,', "", *GOOD[1:3], '"a\r\nb\r\nc",10,200,5,', GOOD[3]]
    found = scored(deployed, table(rows))

    assert [*zip(found["line"], found["client"], strict=True)] == [
        *((2, "client00000"), (3, "two lines"), (6, "client00001"), (7, "client00002")),
        *((8, "a b c"), (11, "client00003")),
    ]


def test_no_text_of_the_download_is_a_formula(deployed: Sandbox) -> None:
    rows = ['"=HYPERLINK(""http://x"")",10,200,5,', "+1,10,200,5,", "@x,10,200,5,", "-1,10,200,5,"]
    found = downloaded(scored(deployed, table(rows)))

    assert [row["client"] for row in found] == [
        *('\'=HYPERLINK("http://x")', "'+1", "'@x", "'-1"),
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the CSV is empty; expected a header line and rows"),
        (
            table([*GOOD[:8], "Bad,x,1,1,0"]),
            "the CSV has too many bad rows: 1 of 9, more than a tenth"
            " (line 10: lastmonth_activity 'x' is not a number)",
        ),
    ],
)
def test_a_file_that_is_none_of_ours_is_refused_with_the_reason(
    deployed: Sandbox, content: bytes, message: str
) -> None:
    assert refused(deployed, content) == (422, message)


def test_it_is_reported_in_a_sentence(deployed: Sandbox) -> None:
    found = scored(deployed, table([*GOOD, "Bad Ltd,many,300,50,0"]))

    live = live_of(deployed)
    leave = sum(said_by_model(deployed, table(GOOD))[1])
    assert scored_result(found, live)[0] == (
        f"30 clients scored by release {live.release.id}: {leave} predicted to leave. 1 row could"
        " not be read. Nothing was kept."
    )


def test_the_highest_risks_come_first_on_the_page(deployed: Sandbox) -> None:
    found = scored(deployed, table(GOOD))
    _, (grid,) = scored_result(found, live_of(deployed))

    risks, _ = said_by_model(deployed, table(GOOD))
    order = sorted(range(30), key=lambda i: -float(risks[i]))[:20]
    assert grid.caption == "The 20 at the highest risk"
    assert [row[0] for row in grid.rows] == [GOOD[i].split(",")[0] for i in order]
    assert [row[2] for row in grid.rows] == [f"{100 * float(risks[i]):.1f} %" for i in order]
