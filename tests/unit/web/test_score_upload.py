"""Scoring one file for a person: the model's own risks, every bad row told, nothing kept."""

import csv
import io
import pickle
from pathlib import Path

import pandas as pd
import pytest
from sandbox import HEADER, Sandbox, client_rows

from pipeline.registry.live_model import Live, LiveModel
from pipeline.web.request_rows import MAX_ROWS, RequestError
from pipeline.web.score_upload import (
    ScoredRow,
    score_file,
    scored_csv,
    scored_grids,
    scored_sentence,
)

FEATURES = ["lastmonth_activity", "lastyear_activity", "number_of_employees"]
GOOD = client_rows(0, 30)


def live_of(world: Sandbox) -> Live:
    return LiveModel(world.config.prod_deployment_path, world.config.schema).get()


@pytest.fixture
def live(deployed: Sandbox) -> Live:
    return live_of(deployed)


def table(rows: list[str], header: str = HEADER) -> bytes:
    return "\n".join([header, *rows, ""]).encode()


def scored(world: Sandbox, content: bytes) -> list[ScoredRow]:
    return score_file(content, live_of(world), world.config.schema, world.config.labels)


def downloaded(rows: list[ScoredRow]) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO("".join(scored_csv(rows)), newline="")))


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
    assert [row.risk for row in found] == [row.risk for row in whole]
    assert {row.client for row in found} == {""}
    assert scored_grids(found)[0].rows[0][0] == "-"


def test_a_bad_row_is_told_with_its_line_and_reason_among_the_others(deployed: Sandbox) -> None:
    rows = [*GOOD[:10], "Bad Ltd,many,300,50,0", *GOOD[10:]]
    found = scored(deployed, table(rows))

    assert [row.line for row in found] == list(range(2, 33))
    assert found[10] == ScoredRow(12, "", problem="lastmonth_activity 'many' is not a number")
    grids = scored_grids(found)
    assert (grids[1].caption, grids[1].rows) == (
        "Rows that could not be read",
        (("12", "lastmonth_activity 'many' is not a number"),),
    )


def test_lines_are_those_of_the_file_also_after_a_break_within_quotes(deployed: Sandbox) -> None:
    rows = [GOOD[0], '"two\nlines",10,200,5,', "", *GOOD[1:3], '"a\r\nb\r\nc",10,200,5,', GOOD[3]]
    found = scored(deployed, table(rows))

    assert [(row.line, row.client) for row in found] == [
        *((2, "client00000"), (3, "two lines"), (6, "client00001"), (7, "client00002")),
        *((8, "a b c"), (11, "client00003")),
    ]


def test_columns_count_by_name_not_by_place(deployed: Sandbox) -> None:
    rows = [",".join([*reversed(row.split(",")), "more"]) for row in GOOD]
    header = ",".join([*reversed(HEADER.split(",")), "note"])

    assert scored(deployed, table(rows, header)) == scored(deployed, table(GOOD))


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
        (table([]), "the CSV has a header and no rows below it"),
        (b"\xff\xfe\x00", "the CSV is UTF-16; expected UTF-8"),
        (b"a\0b,c\n", "the CSV holds binary content in line 1; expected CSV text"),
        (
            table(["1,2"], "corporation,lastmonth_activity"),
            "the CSV lacks the column lastyear_activity, number_of_employees;"
            " it has corporation, lastmonth_activity",
        ),
        (
            table(["1;2"], ";".join(FEATURES)),
            "the CSV is separated by ';'; expected commas",
        ),
        (
            table([*GOOD[:8], "Bad,x,1,1,0"]),
            "the CSV has too many bad rows: 1 of 9, more than a tenth"
            " (line 10: lastmonth_activity 'x' is not a number)",
        ),
        (
            table([*GOOD[:8], ",1,1,1,0"]),
            "the CSV has too many bad rows: 1 of 9, more than a tenth"
            " (line 10: corporation '' is empty; expected a name)",
        ),
    ],
)
def test_a_file_that_is_none_of_ours_is_refused_with_the_reason(
    deployed: Sandbox, content: bytes, message: str
) -> None:
    assert refused(deployed, content) == (422, message)


def test_too_many_rows_are_refused(deployed: Sandbox) -> None:
    content = table(["1,1,1"] * (MAX_ROWS + 1), ",".join(FEATURES))
    assert refused(deployed, content) == (413, "at most 100,000 rows of 1,000 columns at a time")


def test_too_many_columns_are_refused(deployed: Sandbox) -> None:
    header = ",".join([*FEATURES, *(f"c{i}" for i in range(998))])
    content = table([",".join(["1"] * 1001)], header)
    assert refused(deployed, content) == (413, "at most 100,000 rows of 1,000 columns at a time")


def test_it_is_told_in_a_sentence(deployed: Sandbox, live: Live) -> None:
    found = scored(deployed, table([*GOOD, "Bad Ltd,many,300,50,0"]))

    leave = sum(said_by_model(deployed, table(GOOD))[1])
    assert scored_sentence(found, live) == (
        f"30 clients scored by release {live.release.id}: {leave} predicted to leave. 1 row could"
        " not be read. Nothing was kept."
    )


def test_the_highest_risks_come_first_on_the_page(deployed: Sandbox) -> None:
    found = scored(deployed, table(GOOD))
    (grid,) = scored_grids(found)

    risks, _ = said_by_model(deployed, table(GOOD))
    order = sorted(range(30), key=lambda i: -float(risks[i]))[:20]
    assert grid.caption == "The 20 at the highest risk"
    assert [row[0] for row in grid.rows] == [GOOD[i].split(",")[0] for i in order]
    assert [row[2] for row in grid.rows] == [f"{100 * float(risks[i]):.1f} %" for i in order]


def test_nothing_is_kept(deployed: Sandbox) -> None:
    before = deployed.files()
    scored(deployed, table(GOOD))
    assert deployed.files() == before
