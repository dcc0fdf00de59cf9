import json
import shutil
from dataclasses import asdict
from pathlib import Path

import pytest
from sandbox import Sandbox, client_rows

from app import create_app
from pipeline.reporting.text_tables import LONGEST, WIDEST, aligned, trend_lines, width
from pipeline.storage.database import History
from pipeline.storage.trends import MAX_TRENDS, Missing, Refused, Trends, trends


@pytest.fixture
def lived(source: Sandbox, kept_worlds: Path) -> Sandbox:
    """A project with a harmless batch, a drift and a file that was refused behind it."""
    if (kept_worlds / "lived").exists():
        shutil.copytree(kept_worlds / "lived", source.root, symlinks=True, dirs_exist_ok=True)
        return source
    assert source.run("fullprocess").code == 0
    source.write("sourcedata/c.csv", client_rows(200, 60))
    assert source.run("fullprocess").code == 0
    source.write("sourcedata/d.csv", [*client_rows(300, 400, flipped=True), "Bad Ltd,x,1,1,0"])
    source.write("sourcedata/e.csv", "who,what\nAcme,1\n")
    assert source.run("fullprocess").code == 0
    shutil.copytree(source.root, kept_worlds / "lived", symlinks=True)
    return source


def told(world: Sandbox, most: int = 100) -> Trends:
    with History(world.config.history_path) as history:
        return trends(history, most)


def test_checks_are_told_oldest_first(lived: Sandbox) -> None:
    recorded = lived.query(
        "SELECT at, rows, labelled, release, deployed_f1, new_f1, verdict, action, new_release"
        " FROM decisions ORDER BY id"
    )
    found = told(lived).checks
    assert [
        (c.at, c.rows, c.labelled, c.release, c.deployed_f1, c.new_f1, c.verdict, c.action)
        for c in found
    ] == [row[:-1] for row in recorded]
    assert [c.new_release for c in found] == [row[-1] for row in recorded]
    assert [c.verdict for c in found] == ["nothing deployed", "no drift", "drift"]


def test_a_check_counts_the_features_that_drifted(settled: Sandbox) -> None:
    rows = client_rows(200, 60)
    settled.write("sourcedata/c.csv", [row.replace(",", ",9", 1) for row in rows])
    assert settled.run("fullprocess").code == 0
    ((drifted,),) = settled.query("SELECT count(*) FROM input_drift WHERE verdict = 'drift'")
    assert drifted > 0
    assert told(settled).checks[-1].drifted == drifted


def test_deployments_and_timings_are_told(lived: Sandbox) -> None:
    found = told(lived)
    assert [asdict(d) for d in found.deployments] == [
        dict(zip(("at", "release", "action", "f1"), row, strict=True))
        for row in lived.query("SELECT at, release, action, f1 FROM deployments ORDER BY id")
    ]
    assert [(t.stage, t.rows) for t in found.timings] == lived.query(
        "SELECT stage, rows FROM timings ORDER BY id"
    )


def test_missing_percentages_are_told_by_column(lived: Sandbox) -> None:
    found = told(lived).missing
    assert len(found) == 3
    assert list(found[-1].percent) == list(lived.config.schema.columns)
    assert [one.at for one in told(lived, 2).missing] == [one.at for one in found[1:]]


def test_files_with_something_wrong_are_told(lived: Sandbox) -> None:
    assert [(r.name, r.rows, r.set_aside, r.reason is None) for r in told(lived).refused] == [
        ("d.csv", 401, 1, True),
        ("e.csv", 0, 0, False),
    ]


def test_only_the_last_are_told(lived: Sandbox) -> None:
    found = told(lived, 1)
    assert [len(kind) for kind in vars(found).values()] == [1] * 5
    assert found.checks[0].verdict == "drift"
    assert found.refused[0].name == "e.csv"


def test_nothing_recorded_is_nothing_told(sandbox: Sandbox) -> None:
    assert told(sandbox) == Trends((), (), (), (), ())


def test_the_terminal_shows_aligned_tables(lived: Sandbox) -> None:
    result = lived.run("diagnostics", "--history")
    assert (result.code, result.err) == (0, "")
    parts = [part.splitlines() for part in result.out.rstrip().split("\n\n")]
    assert [part[0] for part in parts] == [
        "drift checks",
        "releases that went live",
        "missing data, percent",
        "timings",
        "rejected files and rows set aside",
    ]
    assert parts[0][1].split() == [
        *("when", "live", "rows", "labelled", "deployed", "F1", "F1", "drifted"),
        *("features", "verdict,", "action"),
    ]
    assert parts[0][4].endswith("drift, deployed 2")
    assert all(len(line) <= 130 for part in parts for line in part)
    assert parts[4][3].endswith("…")


def test_a_program_gets_json(lived: Sandbox) -> None:
    result = lived.run("diagnostics", "--history", "--json", "--last", "2")
    assert json.loads(result.out) == json.loads(json.dumps(asdict(told(lived, 2))))


def test_without_a_history_there_is_nothing_to_show(sandbox: Sandbox) -> None:
    result = sandbox.run("diagnostics", "--history")
    assert (result.code, result.out) == (1, "")
    assert result.err == "error: nothing has been recorded yet: run `python fullprocess.py`\n"
    assert not sandbox.config.history_path.exists()


@pytest.mark.parametrize(
    "args", [["--last", "3"], ["--json", "--last", "3"], ["--history", "--last", "0"]]
)
def test_options_that_say_nothing_are_refused(sandbox: Sandbox, args: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        sandbox.run("diagnostics", *args)
    assert caught.value.code == 2


def test_the_api_tells_the_same(lived: Sandbox) -> None:
    answer = create_app(lived.config).test_client().get("/history?limit=2")
    assert answer.get_json() == json.loads(json.dumps(asdict(told(lived, 2))))


@pytest.mark.parametrize(
    ("limit", "error"),
    [
        ("0", "limit must be a whole number of at least 1"),
        ("x", "limit must be a whole number of at least 1"),
        (str(MAX_TRENDS + 1), "limit must not be above 10,000"),
    ],
)
def test_a_limit_of_the_api_is_checked(settled: Sandbox, limit: str, error: str) -> None:
    answer = create_app(settled.config).test_client().get(f"/history?limit={limit}")
    assert (answer.status_code, answer.get_json()) == (400, {"error": error})


def test_the_api_without_a_history_is_not_there_yet(sandbox: Sandbox) -> None:
    answer = create_app(sandbox.config).test_client().get("/history")
    assert answer.status_code == 503


def test_a_table_is_aligned() -> None:
    assert aligned(("when", "rows", "what"), [("now", "1,000", "done"), ("later", "5", "x")]) == [
        "when    rows  what",
        "now    1,000  done",
        "later      5  x",
    ]


def test_a_table_without_rows_has_no_header() -> None:
    assert aligned(("when", "rows"), []) == []


@pytest.mark.parametrize(
    ("text", "cells"),
    [
        ("", 0),
        ("größe", 5),
        ("数値", 4),
        ("ｱ", 1),
        ("\uff21", 2),
        ("e\u0301", 1),
        ("कि", 2),
        ("a\u200d", 1),
    ],
)
def test_a_text_is_as_wide_as_a_terminal_shows_it(text: str, cells: int) -> None:
    assert width(text) == cells


def test_wide_letters_are_aligned_by_the_cells_they_take() -> None:
    assert aligned(("when", "数値", "what"), [("now", "1.00", "x"), ("今", "25.00", "y")]) == [
        "when   数値  what",
        "now    1.00  x",
        "今    25.00  y",
    ]


@pytest.mark.parametrize("name", ["x" * 61, "数" * 31, "e\u0301" * 61])
def test_a_long_name_is_cut_by_the_cells_it_takes(name: str) -> None:
    refused = Refused("2026-11-22T09:00:00Z", name, 0, 0, "no table")
    line = trend_lines(Trends((), (), (), (), (refused,)))[-1]
    cut = line.split()[2]
    assert cut.endswith("…")
    assert LONGEST - 1 <= width(cut) <= LONGEST


def missing(*percents: dict[str, float]) -> list[str]:
    found = tuple(Missing(f"2026-11-{22 + i}T09:00:00Z", p) for i, p in enumerate(percents))
    lines = trend_lines(Trends((), (), found, (), ()))
    first = lines.index("missing data, percent") + 1
    return lines[first : lines.index("timings") - 1]


def test_only_columns_that_ever_lacked_values_are_told() -> None:
    assert missing({"a": 0.0, "b": 0.0, "c": 0.0}, {"a": 0.0, "b": 1.5, "d": 2.0}) == [
        "  when                 b     d",
        "  2026-11-22 09:00  0.00     -",
        "  2026-11-23 09:00  1.50  2.00",
        "  2 columns never lacked a value",
    ]
    assert missing({"a": 0.0}) == ["  1 column never lacked a value"]
    assert missing() == ["  none yet"]


def test_many_columns_are_told_in_lines_that_fit() -> None:
    names = [f"{'数値' * 3} {i}" for i in range(60)] + ["long" * 20]
    lines = missing(dict.fromkeys(names, 100.0))
    assert all(width(line) <= WIDEST for line in lines)
    told = " ".join(line for line in lines if line.startswith("  when"))
    assert [name for name in names[:60] if f"{name}  " not in f"{told}  "] == []
    assert sum(line.count("100.00") for line in lines) == 61
