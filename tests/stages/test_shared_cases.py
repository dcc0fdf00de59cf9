"""Small client files as people have them, which lie beside this project: what becomes of each."""

import csv
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
from sandbox import SHARED, Sandbox

CASES = SHARED.parent / "cases"
START, DAY = 1_790_000_000, 86_400

pytestmark = pytest.mark.skipif(
    not CASES.is_dir(), reason="the cases of client files are not beside this project"
)


@dataclass(frozen=True)
class Step:
    """What one run is to come to."""

    rows: int  # in finaldata.csv
    aside: tuple[str, ...] = ()  # what is in the reasons of the rows set aside
    says: tuple[str, ...] = ()  # on standard output or error
    code: int = 0


STEPS = {
    "01": [Step(60, says=("Windows-1252", "line 13", "separated by ';'", "decimal comma"))],
    "02": [Step(60)],
    "03": [Step(80, says=("with-mark.csv: read as UTF-16", "without-mark.txt: read as UTF-16"))],
    "04": [Step(80)],
    "05": [Step(50)],
    "06": [Step(50)],
    "07": [Step(50)],
    "08": [Step(80)],
    "09": [Step(60)],
    "10": [Step(50)],
    "11": [Step(50)],
    "12": [Step(0, says=("Exited", "'Churned'", "'Stayed'", '"outcomes"'), code=1)],
    "13": [Step(50)],
    "14": [Step(60)],
    "15": [Step(0, says=("Balance", '"format": {"decimal":'), code=1)],
    "16": [Step(100, aside=("a total",) * 3)],
    "17": [Step(55), Step(56, says=("only in case: 1",))],
    "18": [Step(50)],
    "19": [Step(40), Step(80, says=("leading zeros: 40",)), Step(95, says=("only in .0: 15",))],
    "20": [Step(40), Step(80), Step(95)],
    "21": [Step(60, says=("all.csv is rejected", "in 3 of 60 rows"))],
    "22": [Step(60, aside=("no client",) * 5)],
    "23": [Step(60)],
    "24": [Step(78, aside=("quote",) * 2)],
    "25": [Step(50)],
    "26": [Step(40, says=("monthly is a folder",))],
    "27": [Step(80)],
    "28": [Step(120)],
}
# some cells of finaldata.csv: client, column, value
CELLS = {
    "01": [("Müller & Söhne 0012", "Balance", "802.57"), ("Café Größe 0031", "Plan", None)],
    "02": [("410007", "Plan", None)],
    "07": [(name, "Age", None) for name in ("Huber; Meier & Co", 'Haus "Nord"; Ost', "A, B; C")],
    "16": [("Total Fuel Ltd", "Plan", None)],
    "17": [("Café Köln GmbH", "Plan", None)],
    "18": [("0000001", "Plan", None)],
}
# the values of a column, in all rows
VALUES = {
    "08": ("Plan", {"basic", "plus", "pro", ""}),
    "10": ("Exited", {"0", "1", ""}),
    "11": ("Exited", {"0", "1", ""}),
    "13": ("Exited", {"0", "1", ""}),
}


def run(world: Sandbox) -> Step:
    done = world.run("ingestion")
    config = world.config
    rows = _cells(config.finaldata_path)
    aside = tuple(row["reason"] for row in _cells(config.rejectedrows_path))
    return Step(len(rows), aside, (done.out + done.err,), done.code)


def _cells(path: Path) -> list[dict[str, str]]:
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def put(source: Path, target: Path, step: int) -> None:
    """Copy files over those of the step before, each with a time stamp of its day."""
    shutil.copytree(source, target, dirs_exist_ok=True)
    for path in source.rglob("*"):
        os.utime(target / path.relative_to(source), (START + DAY * step,) * 2)


@pytest.mark.parametrize("number", STEPS)
def test_a_case_ends_as_it_should(
    number: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (case,) = CASES.glob(f"{number}-*")
    world = Sandbox(tmp_path, capsys)
    shutil.copy(case / "config.json", tmp_path)
    for step, expected in enumerate(STEPS[number], start=1):
        put(case / (f"in.{step}" if step > 1 else "in"), tmp_path / "in", step)
        found = run(world)
        assert (found.rows, len(found.aside), found.code) == (
            *(expected.rows, len(expected.aside), expected.code),
        ), found
        assert all(a in b for a, b in zip(expected.aside, found.aside, strict=True))
        assert [text for text in expected.says if text not in found.says[0]] == []
    rows = _cells(world.config.finaldata_path)
    for client, column, value in CELLS.get(number, []):
        (row,) = [row for row in rows if row["CustomerId"] == client][-1:]
        assert value in (None, row[column])
    if number in VALUES:
        column, values = VALUES[number]
        assert {row[column] for row in rows} == values


def test_what_is_passed_over_is_said_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (case,) = CASES.glob("26-*")
    world = Sandbox(tmp_path, capsys)
    shutil.copytree(case, tmp_path, dirs_exist_ok=True)
    assert "monthly" in world.run("ingestion").err
    assert "monthly" not in world.run("ingestion").err
