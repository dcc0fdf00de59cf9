"""What is said of client files before anything is taken in."""

from pathlib import Path

import pytest
from sandbox import HEADER, client_rows

from pipeline.core.errors import DataError
from pipeline.core.schema import DEFAULT_SCHEMA, Schema
from pipeline.data.table_check import (
    FileCheck,
    check_files,
    check_lines,
    probable_outcomes,
    split_file,
)

OURS = "\n".join([HEADER, *client_rows(0, 100), ""])
OTHER = Schema("no", "gone", ("nothing",))


def check(folder: Path, text: str | bytes, schema: Schema = OTHER) -> FileCheck:
    path = folder / "clients.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    (found,) = check_files([path], schema, subfolders=False)
    return found


def table(*columns: tuple[str, list[str]]) -> str:
    rows = zip(*(values for _, values in columns), strict=True)
    return "\n".join([",".join(n for n, _ in columns), *map(",".join, rows), ""])


IDS = [f"C{i:03d}" for i in range(60)]
LEFT = [str(i % 2) for i in range(60)]


def column(name: str, values: list[str], folder: Path) -> tuple[str, str]:
    """How a column reads beside that of clients and of outcomes: its kind and role."""
    others = ("x", IDS[::-1]), ("n", [str(i % 7) for i in range(60)]), ("left", LEFT)
    found = check(folder, table(("id", IDS), (name, values), *others))
    (each,) = [column for column in found.columns if column.name == name]
    return each.kind, each.role


@pytest.mark.parametrize(
    ("name", "values", "kind", "role"),
    [
        ("age", [str(20 + i % 40) for i in range(60)], "number", "numeric"),
        ("age", ["k.A." if i % 5 == 0 else str(i) for i in range(60)], "number", "numeric"),
        ("pay", [f"${i}" for i in range(60)], "number", "numeric"),
        ("plan", ["ab?"[i % 3] for i in range(60)], "category", "categorical"),
        ("seen", [f"{1 + i % 28:02d}.10.2026" for i in range(60)], "date", ""),
        ("cancelled on", ["2026-10-01" if i % 2 else "" for i in range(58)] + ["2026-10-02"] * 2,
         "date", "left_on"),
        ("country", ["DE"] * 60, "constant", ""),
        ("note", [""] * 60, "empty", ""),
        ("mail", [f"m{i}@example.com" for i in range(60)], "text", ""),
        ("order_no", [f"{i:05d}" for i in range(60)], "identifier", ""),
        ("firm", [f"Firm {i}" for i in range(60)], "identifier", ""),
    ],
)  # fmt: skip
def test_a_column_reads_as(
    name: str, values: list[str], kind: str, role: str, tmp_path: Path
) -> None:
    assert column(name, values, tmp_path) == (kind, role)


def test_a_schema_is_proposed_with_what_it_takes_to_read_the_file(tmp_path: Path) -> None:
    age = ["k.A." if i % 5 == 0 else str(20 + i) for i in range(60)]
    gone = [["stays", "cancelled"][i % 2] for i in range(60)]
    found = check(tmp_path, table(("id", IDS), ("age", age), ("outcome", gone)))
    assert dict(found.proposed) == {
        "schema": {"client": "id", "outcome": "outcome", "numeric": ["age"]},
        "format": {"missing": ["k.A."]},
        "outcomes": {"cancelled": 1, "stays": 0},
    }
    assert (found.rows, found.aside, found.fault, found.fits) == (60, 0, "", False)


def test_what_means_staying_is_turned(tmp_path: Path) -> None:
    stays = [["yes", "no"][i % 2] for i in range(60)]
    found = check(tmp_path, table(("id", IDS), ("n", [*LEFT[1:], "7"]), ("retained", stays)))
    assert dict(found.proposed)["outcomes"] == {"yes": 0, "no": 1}


def test_of_several_rows_a_client_the_day_is_that_of_the_row(tmp_path: Path) -> None:
    days = [f"{10 + i // 20}/30/2026" for i in range(60)]
    found = check(tmp_path, table(("id", IDS[:20] * 3), ("day", days), ("n", LEFT), ("left", LEFT)))
    assert dict(found.proposed)["schema"]["date"] == "day"
    assert dict(found.proposed)["format"] == {"date": "%m/%d/%Y"}


def test_a_file_that_fits_is_tried_by_the_config(tmp_path: Path) -> None:
    found = check(tmp_path, OURS + "x,many,1,1,0\nx,1,1,1,1\nX,1,1,1,1\n", DEFAULT_SCHEMA)
    assert (found.fits, found.rows, found.aside) == (True, 103, 1)
    assert [row.reason for row in found.bad] == ["lastmonth_activity 'many' is not a number"]
    assert any("differ only in case, such as 'x'" in what for what in found.odd)
    assert [*check_lines([found])][1:2] == [
        "  utf-8, separated by ',', header in line 1, decimal point"
    ]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "has no line that looks like a header"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "holds binary content in line 3"),
        (table(("id", IDS), ("pay", ['"1,234"'] * 59 + ['"1,345"']), ("left", LEFT)),
         "has pay '1,234', which may be 1234 or 1.234"),
    ],
)  # fmt: skip
def test_what_would_be_rejected_is_said(text: str | bytes, why: str, tmp_path: Path) -> None:
    assert check(tmp_path, text).fault.startswith(why)


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["Stayed", "Churned"], {"Stayed": 0, "Churned": 1}),
        (["active", "inactive"], {"active": 0, "inactive": 1}),
        (["Renewed", "Not renewed"], {"Renewed": 0, "Not renewed": 1}),
        (["No Churn", "Churn"], {"No Churn": 0, "Churn": 1}),
        (["Member", "Former member"], {"Member": 0, "Former member": 1}),
        (["Active", "Deleted", "On Hold"], {"Active": 0, "Deleted": 1, "On Hold": None}),
        (["Current", "Gekündigt"], {"Current": 0, "Gekündigt": 1}),
        (["Closed Won", "Closed Lost"], {"Closed Won": None, "Closed Lost": None}),
        (["A", "B"], {"A": None, "B": None}),
    ],
)
def test_what_words_for_outcomes_probably_mean(
    words: list[str], meant: dict[str, int | None]
) -> None:
    assert probable_outcomes(words) == meant


def test_folders_are_gone_through_and_what_is_not_there_is_said(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(OURS)
    (tmp_path / "b.pdf").touch()
    found = [*check_files([tmp_path], DEFAULT_SCHEMA, subfolders=False)]
    assert [(each.name, bool(each.passed)) for each in found] == [("a.csv", False), ("b.pdf", True)]
    with pytest.raises(DataError, match="there is no such file or folder"):
        [*check_files([tmp_path / "c.csv"], DEFAULT_SCHEMA, subfolders=False)]


def test_a_file_is_divided_by_client(tmp_path: Path) -> None:
    source = tmp_path / "clients.v2.txt"
    rows = [*client_rows(0, 500), *client_rows(0, 500, outcome="")]
    source.write_text("\n".join([HEADER, *rows, ""]).replace(",", ";"))
    counts = split_file(source, DEFAULT_SCHEMA, tmp_path / "test", tmp_path / "in")
    test, others = (
        (tmp_path / name / "clients.csv").read_text().split() for name in ("test", "in")
    )
    assert counts == (len(test) - 1, len(others) - 1)
    assert sorted(test[1:] + others[1:]) == sorted(rows)
    assert 140 < counts[0] < 260
    assert {row.split(",")[0] for row in test[1:]}.isdisjoint(r.split(",")[0] for r in others[1:])
    with pytest.raises(DataError, match=r"clients\.csv is there already"):
        split_file(source, DEFAULT_SCHEMA, tmp_path / "test", tmp_path / "in")
