"""Names of clients as people write them, from the file to the ranking, the page and the API."""

import csv
from io import BytesIO
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from keeping import made_once
from sandbox import Sandbox, client_rows

from app import create_app
from pipeline.data.frames import read_folder

STAGES = ("ingestion", "training", "scoring", "deployment", "reporting")


def ranked(world: Sandbox) -> list[str]:
    with world.config.clientrisk_path.open(encoding="utf-8", newline="") as file:
        return sorted(row["client"] for row in csv.DictReader(file))


def run_all(world: Sandbox) -> None:
    for stage in STAGES:
        assert world.run(stage).code == 0


def named(names: list[str], activity: int = 20) -> list[str]:
    return [f"{name},{activity},300,{40 + i},0" for i, name in enumerate(names)]


LEFT = client_rows(0, 60, outcome="1")


def test_one_name_in_six_forms_is_one_client(sandbox: Sandbox) -> None:
    forms = [
        *("Café Köln GmbH", "Cafe\u0301 Ko\u0308ln GmbH", "Café\xa0Köln GmbH"),
        *("Café  Köln GmbH", "\ufeffCafé Köln GmbH", "Ca\u200bfé Köln GmbH"),
    ]
    sandbox.write("sourcedata/a.csv", [*LEFT, *named([*forms, "CAFÉ KÖLN GMBH"])])
    run_all(sandbox)
    assert ranked(sandbox) == ["CAFÉ KÖLN GMBH", "Café Köln GmbH"]


def test_ids_kept_as_text_and_words_for_missing(sandbox: Sandbox) -> None:
    names = ['="0000001"', '"=""0000002"""', "NULL", "nan", "None", "#N/A", "-"]
    sandbox.write("sourcedata/a.csv", [*LEFT, *named(names)])
    run_all(sandbox)
    assert ranked(sandbox) == ["0000001", "0000002"]
    with sandbox.config.rejectedrows_path.open(encoding="utf-8", newline="") as file:
        reasons = [row["reason"].split(" but ")[0] for row in csv.DictReader(file)]
    assert reasons == [f"corporation {name!r} is no client" for name in names[2:]]


def test_ids_that_a_spreadsheet_cut(sandbox: Sandbox) -> None:
    cut = named(["1.23456E+11"] * 3)
    sandbox.write("sourcedata/all.csv", [*cut, *named(["x", "y"])])
    sandbox.write("sourcedata/few.csv", [*LEFT, *cut])
    result = sandbox.run("ingestion")
    assert "all.csv: rejected: it has corporation in scientific notation in 3 of 5 " in result.out
    assert "few.csv: 63 new of 63 rows\n" in result.out
    (warning,) = [line for line in result.err.splitlines() if "few.csv has" in line]
    assert "in 3 of 63 rows, such as '1.23456E+11'" in warning


IDS = ["000010", "000011", "000000"]


@pytest.fixture
def digits(sandbox: Sandbox, kept_worlds: Path) -> Sandbox:
    """Three clients whose ids lost their zeros from file to file."""
    sandbox.configure(client_names="digits")
    sandbox.write("sourcedata/1.csv", [*LEFT, *named(IDS)])
    sandbox.write("sourcedata/2.csv", named(["10", "11", "0"], activity=21))
    sandbox.write("sourcedata/3.csv", named(["10.0"], activity=22))
    return made_once(sandbox, kept_worlds / "digits", lambda: run_all(sandbox))


def test_ids_that_lost_zeros_may_be_one_client(digits: Sandbox) -> None:
    assert ranked(digits) == ["0", "10", "11"]
    last = digits.config.finaldata_path.read_text().splitlines()[-1]
    assert last == "10,22,300,40,0"


def test_test_data_have_the_same_names(sandbox: Sandbox) -> None:
    sandbox.configure(client_names="digits")
    for path in (sandbox.root / "testdata").iterdir():
        path.unlink()
    sandbox.write("testdata/t.csv", named(IDS))
    frame = read_folder(sandbox.config.test_data_path, sandbox.config.schema)
    assert frame["corporation"].tolist() == ["10", "11", "0"]


@pytest.fixture
def client(digits: Sandbox) -> FlaskClient:
    return create_app(digits.config).test_client()


@pytest.mark.parametrize("asked", ["10", "000010", "10.0", "%EF%BB%BF10%C2%A0"])
def test_a_client_is_found_as_it_may_be_written(client: FlaskClient, asked: str) -> None:
    assert client.get(f"/risk/{asked}").get_json()["client"] == "10"
    assert "3 rows of this client" in client.get(f"/client?name={asked}").text
    assert "1 client" in client.get(f"/clients?q={asked}").text


def test_a_client_of_a_file_to_score_has_its_name(client: FlaskClient) -> None:
    rows = "corporation,lastmonth_activity,lastyear_activity,number_of_employees\n0010,1,2,3\n"
    upload = {"file": (BytesIO(rows.encode()), "a.csv"), "as": "csv"}
    assert "\n2,10,0." in client.post("/score", data=upload).text
