"""The pages over HTTP: what they show, before anything ran and when something is broken, too."""

import base64
import csv
import io
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from flask.testing import FlaskClient
from html_reading import Read
from sandbox import HEADER, Sandbox, client_rows
from werkzeug.test import TestResponse

from app import create_app
from pipeline.registry.releases import live_release
from pipeline.storage.database import History
from pipeline.storage.risk_history import record_risks
from pipeline.web.api import api_description
from pipeline.web.app import HEADERS
from pipeline.web.auth import TOKEN_VARIABLE
from pipeline.web.pages import PAGES, POLICY, REPORT_POLICY

BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
NOON = "2026-11-22T12:00:00.000Z"
HOSTILE = """<img src=x onerror="alert(1)">'&amp;"""
FEATURES = "lastmonth_activity,lastyear_activity,number_of_employees"


@pytest.fixture(autouse=True)
def without_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(TOKEN_VARIABLE, raising=False)


@pytest.fixture(scope="module")
def servers() -> list[FlaskClient]:
    return []


@pytest.fixture
def client(settled: Sandbox, kept_worlds: Path, servers: list[FlaskClient]) -> FlaskClient:
    """A server of what `settled` is a copy of: one for all tests, which change nothing."""
    if not servers:
        kept = Sandbox(kept_worlds / "settled", settled.capsys)
        servers.append(create_app(kept.config).test_client())
    return servers[0]


def page(answer: TestResponse, status: int = 200) -> Read:
    """A page as it must be, whatever it shows."""
    assert (answer.status_code, answer.content_type) == (status, "text/html; charset=utf-8")
    assert {name: answer.headers.getlist(name) for name in HEADERS} == {
        name: [value] for name, value in (HEADERS | {"Content-Security-Policy": POLICY}).items()
    }
    read = Read(answer.text)
    assert len(read.ids) == len(set(read.ids))
    assert {name.removeprefix("#") for name in read.links if name[:1] == "#"} <= set(read.ids)
    for link in read.links:  # so that it works below any path of a proxy
        assert not re.match(r"/|[\w+.-]+:(?!,$)", link), link
    return read


def upload(text: str | bytes, name: str = "new.csv", **more: str) -> dict[str, Any]:
    content = text.encode() if isinstance(text, str) else text
    return {"data": {"file": (io.BytesIO(content), name), **more}, "headers": BROWSER}


def table(rows: list[str]) -> str:
    return "\n".join([HEADER, *rows, ""])


# --- all is well ---


TITLES = {
    "/": ("All is well", "Today's list"),
    "/model": ("Scores", "Drift", "Releases", "What makes a risk, and what if", "Score a file"),
    "/operations": ("All is well", "Waiting for a decision", "Files", "Runs", "Alerts", "Versions"),
}


@pytest.mark.parametrize("path", TITLES)
def test_a_page_has_what_its_reader_asks_for(client: FlaskClient, path: str) -> None:
    answer = client.get(path)

    assert [title for title in TITLES[path] if title not in page(answer).words] == []
    (current,) = re.findall(r'<a href="([^"]*)" aria-current="page">', answer.text)
    assert current == f".{path}"


def test_the_list_begins_with_who_is_to_be_contacted(client: FlaskClient) -> None:
    contact = client.get("/risk?contact=yes&limit=1").get_json()["total"]
    assert f" of {contact} clients, 64 in all" in page(client.get("/")).words
    assert "1 to 25 of 64 clients" in page(client.get("/?contact=all")).words


def test_on_the_first_day_a_sentence_stands_in_place_of_a_line(client: FlaskClient) -> None:
    for path, sentence in (
        ("/model", "The line begins with the first batch whose outcomes are known."),
        ("/operations", "The line begins with the second run."),
    ):
        read = page(client.get(path))
        assert sentence in read.words
        assert read.tags.count("svg") == (path == "/model")  # the bars of the risks


def test_the_list_alone_is_searched(client: FlaskClient) -> None:
    read = page(client.get("/clients?q=CLIENT0000&sort=client"))

    shown = re.findall(r"client0000\d", read.words)
    assert shown == sorted(set(shown))
    assert read.tags.count("tbody") == 1


def test_what_is_asked_wrongly_is_reported_on_a_page(client: FlaskClient) -> None:
    read = page(client.get("/?band=Low", headers=BROWSER), 400)
    assert "band must be one of high, low, medium" in read.words


def test_one_client_is_shown_with_its_history_and_rows(client: FlaskClient) -> None:
    name = client.get("/risk?limit=1").get_json()["clients"][0]["client"]
    read = page(client.get(f"/client?name={name}"))

    assert "1 row of this client, the latest first" in read.words
    assert "Risk over time: " in read.words
    assert f"model?client={name}#client" in read.links


def test_what_if_asks_the_live_model(settled: Sandbox, client: FlaskClient) -> None:
    first = client.get("/risk?limit=1").get_json()["clients"][0]["client"]
    with settled.config.finaldata_path.open(encoding="utf-8") as file:
        (row,) = [row for row in csv.DictReader(file) if row["corporation"] == first]
    values = {name: float(row[name]) for name in FEATURES.split(",")}

    def asked(query: str) -> tuple[str, list[str]]:
        words = " ".join(page(client.get(f"/model?client={first}{query}")).words.split())
        return words, re.findall(r"(\d+\.\d %)(?: by release 1|, predicted)", words)

    def risk(**changed: float) -> str:
        body = {"clients": [values | changed]}
        (found,) = client.post("/prediction", json=body).get_json()["risk"]
        return f"{100 * found:.1f} %"

    assert asked("")[1] == [risk()]
    words, risks = asked("&f2=80&f0=%2012.50")
    assert risks == [risk(), risk(number_of_employees=80, lastmonth_activity=12.5)]
    assert "with the values below" in words
    words, risks = asked("&f2=many")
    assert (risks, "is not a number" in words) == ([risk(), risk()], True)
    assert "No client of that name is on record." in page(client.get("/model?client=x")).words


def test_a_client_that_left_has_its_rows(client: FlaskClient) -> None:
    left = client_rows(1, 1)[0].split(",")[0]
    assert client.get(f"/risk/{left}").status_code == 404

    result = page(client.get(f"/client?name={left}")).words
    assert "This client has left, as its latest row says." in result


def test_a_client_that_no_ranking_has_yet_has_not_left(settled: Sandbox) -> None:
    settled.write("sourcedata/new.csv", ["Newbie Ltd,20,300,6,"])
    assert settled.run("ingestion").code == 0

    read = page(create_app(settled.config).test_client().get("/client?name=Newbie Ltd"))

    assert "This client is not in the last ranking." in read.words


@pytest.mark.parametrize("query", ["", "?name=", "?name=nobody", "?name=%00", "?name=%ff"])
def test_a_client_that_is_none_is_reported_on_a_page(client: FlaskClient, query: str) -> None:
    read = page(client.get(f"/client{query}", headers=BROWSER), 404)
    assert "no client of that name is on record" in read.words


def test_a_file_is_scored_on_a_page_or_as_csv(client: FlaskClient) -> None:
    rows = client_rows(0, 20)
    read = page(client.post("/score", **upload(table(rows))))
    assert "20 clients scored by release 000001-" in read.words

    answer = client.post("/score", **upload(table(rows), **{"as": "csv"}))
    assert (answer.status_code, answer.content_type) == (200, "text/csv; charset=utf-8")
    assert answer.headers["Content-Disposition"] == 'attachment; filename="scored.csv"'
    found = pd.read_csv(io.StringIO(answer.text))
    assert found["client"].tolist() == [row.split(",")[0] for row in rows]


def test_the_ranking_is_downloaded_as_it_lies_there(settled: Sandbox, client: FlaskClient) -> None:
    answer = client.get("/ranking.csv")

    assert (answer.status_code, answer.content_type) == (200, "text/csv; charset=utf-8")
    assert answer.headers["Content-Disposition"] == 'attachment; filename="clientrisk.csv"'
    assert answer.data == settled.config.clientrisk_path.read_bytes()


def test_those_found_are_downloaded_beside_all(settled: Sandbox, client: FlaskClient) -> None:
    header, *lines = settled.config.clientrisk_path.read_text().splitlines(keepends=True)
    link = "./ranking.csv?q=client0001&contact=yes"
    expected = [line for line in lines if ",client0001" in line and ",yes," in line]

    assert link in page(client.get("/clients?q=client0001&band=&contact=yes&page=1")).links
    answer = client.get(link[1:])

    assert 0 < len(expected) < len(lines)
    assert (answer.content_type, answer.text) == (
        "text/csv; charset=utf-8",
        header + "".join(expected),
    )


def test_the_docs_tell_all_that_can_be_asked(settled: Sandbox, client: FlaskClient) -> None:
    words = re.sub(r"\s+", " ", page(client.get("/docs")).words)

    described = api_description(settled.config.schema)
    for path, operations in described["paths"].items():
        for method, result in operations.items():
            assert words.count(f"{method.upper()} {path}") >= 2
            errors = words.split(f"Errors of {method.upper()} {path} ")[1].split("Errors of")[0]
            for parameter in result.get("parameters", ()):
                assert f" {parameter['name']} {parameter['in']}" in words
            for status, answer in result["responses"].items():
                assert status == "200" or f"{status}: {answer['description']}" in errors
    parts = words.split(" Parts ")[1]
    assert [name for name in described["components"]["schemas"] if f" {name} {{" not in parts] == []


def test_the_report_is_served_as_it_lies_there(settled: Sandbox) -> None:
    client = create_app(settled.config).test_client()
    (settled.root / "models/report.html").write_text("<!DOCTYPE html><p>ü")

    answer = client.get("/report")

    assert (answer.status_code, answer.text) == (200, "<!DOCTYPE html><p>ü")
    assert answer.headers.getlist("Content-Security-Policy") == [REPORT_POLICY]
    assert "./report" in page(client.get("/")).links


def test_the_pdf_is_made_of_the_last_report(settled: Sandbox) -> None:
    settled.configure(report_formats=["pdf"])
    assert settled.run("reporting").code == 0
    client = create_app(settled.config).test_client()

    for _ in range(2):  # the second time it is the one that was kept
        paper = client.get("/report.pdf")
        assert (paper.status_code, paper.content_type) == (200, "application/pdf")
        assert paper.data == (settled.root / "models/report.pdf").read_bytes()
    assert {"./report.pdf"} == {link for link in page(client.get("/")).links if "report" in link}


# --- before anything ran, and when something is broken ---


def test_before_anything_ran_it_says_what_to_do_and_makes_nothing(source: Sandbox) -> None:
    client = create_app(source.config).test_client()
    before = source.files()

    for path, words in (
        ("/", "No ranking has been written yet: run python fullprocess.py."),
        ("/model", "Nothing has been recorded yet: run python fullprocess.py."),
        ("/operations", "No release is live yet: run python fullprocess.py."),
    ):
        read = page(client.get(path))
        assert words in read.words
        assert read.tags.count("svg") == 0
    assert source.files() == before


@pytest.mark.parametrize("path", ["/clients", "/client?name=x"])
def test_before_the_first_ranking_there_is_no_client(source: Sandbox, path: str) -> None:
    answer = create_app(source.config).test_client().get(path, headers=BROWSER)
    assert "not recorded yet: run the pipeline first" in page(answer, 503).words


@pytest.mark.parametrize("path", ["/report", "/report.pdf", "/ranking.csv"])
def test_before_a_run_has_written_it_there_is_no_file(source: Sandbox, path: str) -> None:
    answer = create_app(source.config).test_client().get(path)
    assert (answer.status_code, answer.get_json()) == (
        404,
        {"error": "no run has written this yet"},
    )


def test_before_a_release_is_live_nothing_is_scored(source: Sandbox) -> None:
    client = create_app(source.config).test_client()
    answer = client.post("/score", **upload(table(client_rows(0, 1))))
    assert "no release is live" in page(answer, 503).words


def test_a_damaged_release_is_reported_and_the_rest_is_shown(settled: Sandbox) -> None:
    release = live_release(settled.config.prod_deployment_path)
    (release.path / "manifest.json").write_bytes(b"damaged")

    client = create_app(settled.config).test_client()
    for path in TITLES:
        read = page(client.get(path))
        assert str(settled.root) not in read.words
        if path != "/model":
            assert "Something is wrong" in read.words
            assert "he live release cannot be read" in read.words


def test_a_damaged_history_is_reported_without_its_path(settled: Sandbox) -> None:
    settled.config.history_path.write_bytes(b"damaged" * 1000)
    answer = create_app(settled.config).test_client().get("/", headers=BROWSER)

    read = page(answer, 503)
    assert "the records cannot be read; the server's log says why" in read.words
    assert str(settled.root) not in answer.text


@pytest.mark.parametrize("text", ["rank,client\n1,x\n", "\0"])
def test_an_edited_ranking_leaves_the_rest_of_the_page(settled: Sandbox, text: str) -> None:
    settled.config.clientrisk_path.write_text(text)
    client = create_app(settled.config).test_client()

    read = page(client.get("/"))

    assert "The ranking is not as it was written: run python reporting.py." in read.words
    assert "Needs attention" in read.words
    assert "F1 of the live model" in page(client.get("/model")).words
    page(client.get("/clients", headers=BROWSER), 503)


def test_names_are_texts_whatever_they_hold(settled: Sandbox) -> None:
    quoted = HOSTILE.replace('"', '""')
    settled.write("sourcedata/c.csv", [f'"{quoted}",1,500,5,', *client_rows(200, 30)])
    assert settled.run("fullprocess").code == 0
    client = create_app(settled.config).test_client()

    listed = page(client.get("/clients?q=%3Cimg"))
    (link,) = [link for link in listed.links if link.startswith("client?")]
    shown = page(client.get(link))
    scored = page(client.post("/score", **upload(table([f'"{quoted}",1,500,5,']))))

    for read in (listed, shown, scored):
        assert HOSTILE in read.words
        assert "img" not in read.tags


# --- what is kept between requests ---


def test_what_changes_in_the_history_changes_the_page(settled: Sandbox) -> None:
    client = create_app(settled.config).test_client()
    with History(settled.config.history_path) as history:
        history.insert("runs", command="told-anew", started_at="2030-01-01T00:00:00.000Z")
    assert "told-anew" in client.get("/operations").text

    ranked = {row["client"]: 0.5 for row in client.get("/risk").get_json()["clients"]}
    for risk in (0.1, 0.9):
        with History(settled.config.history_path) as history:
            record_risks(history, "000001-x", ranked | {"Mover & Co": risk})
    assert "Mover &amp; Co" in client.get("/").text


# --- errors, and the token ---


@pytest.mark.parametrize("accept", ["*/*", "application/json", "text/html;q=0.5,application/json"])
def test_an_error_is_json_unless_a_page_is_asked_for(client: FlaskClient, accept: str) -> None:
    answer = client.get("/?page=0", headers={"Accept": accept})
    assert (answer.status_code, answer.get_json()) == (
        400,
        {"error": "page must be a whole number from 1 to 9,999,999"},
    )


@pytest.mark.parametrize("path", PAGES)
def test_a_refused_method_is_reported_on_a_page(client: FlaskClient, path: str) -> None:
    answer = client.delete(path, headers=BROWSER)
    page(answer, 405)
    assert "Allow" in answer.headers


def test_a_browser_sends_the_token_as_a_password(
    settled: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(TOKEN_VARIABLE, "se:cret")
    client = create_app(settled.config).test_client()

    refused = client.get("/", headers=BROWSER)
    assert "send the API's token" in page(refused, 401).words
    assert refused.headers["WWW-Authenticate"].startswith("Basic realm=")
    assert client.get("/").headers["WWW-Authenticate"] == "Bearer"
    assert client.get("/page.css").status_code == 401

    for user in ("", "anybody"):
        result = base64.b64encode(f"{user}:se:cret".encode()).decode()
        page(client.get("/", headers={**BROWSER, "Authorization": f"Basic {result}"}))
    page(client.get("/", headers={**BROWSER, "Authorization": "Bearer se:cret"}))

    wrong = ["se:cret", "x:secret", "", "x:se:cret "]
    tokens = [base64.b64encode(text.encode()).decode() for text in wrong] + ["!", "é", "====", ""]
    for result in tokens:
        answer = client.get("/", headers={**BROWSER, "Authorization": f"Basic {result}"})
        assert answer.status_code == 401, result


def test_a_page_is_one_for_head_too(client: FlaskClient) -> None:
    for path in ("/", "/docs", "/clients"):
        head, got = client.head(path), client.get(path)
        assert (head.status_code, head.data, head.content_type) == (200, b"", got.content_type)


def test_a_ranking_of_another_release_is_reported(settled: Sandbox) -> None:
    assert settled.run("deployment").code == 0  # the same model again, as release 2

    client = create_app(settled.config).test_client()

    assert "the ranking is by release 1: run python reporting.py" in page(client.get("/")).words
    assert ">threshold</text>" not in client.get("/model").text


def test_a_model_that_cannot_be_served_is_reported(settled: Sandbox) -> None:
    (settled.root / "production_deployment/trainedmodel.pkl").resolve().write_bytes(b"?")

    answer = create_app(settled.config).test_client().get("/")

    read = page(answer)
    assert "Something is wrong" in read.words
    assert "release 1 cannot be served" in read.words
    assert str(settled.root) not in answer.text


def test_what_is_asked_for_puts_no_control_characters_into_the_log(
    settled: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    settled.config.clientrisk_path.unlink()

    create_app(settled.config).test_client().get("/risk/x%0dforged%1b[31m")

    assert "'/risk/x\\rforged\\x1b[31m'" in caplog.text


def test_no_answer_names_a_folder_of_the_server(
    settled: Sandbox, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = tmp_path_factory.mktemp("a & b")
    shutil.move(settled.root / "production_deployment", elsewhere / "live")
    settled.configure(prod_deployment_path=str(elsewhere / "live"))
    why = f"{settled.root}/models/x is damaged: {elsewhere}/live/releases/000001 is refused"
    with History(settled.config.history_path) as history:
        history.insert("requests", at=NOON, action="promote", what="x", done_at=NOON, outcome=why)
        history.query("UPDATE files SET reason = ?, status = 'rejected'", why)

    client = create_app(settled.config).test_client()

    for path in ("/operations", "/history"):
        text = client.get(path).text
        assert "models/x is damaged: live/releases/000001 is refused" in text
        assert str(settled.root) not in text
        assert elsewhere.name not in text


@pytest.mark.parametrize("path", [*TITLES, "/clients", "/client?name=client00063", "/health"])
def test_a_request_opens_the_history_once(settled: Sandbox, path: str) -> None:
    client = create_app(settled.config).test_client()
    opened: list[object] = []
    HEARD.append(opened)
    answer = client.get(path)
    HEARD.clear()
    assert (answer.status_code, len(opened)) == (200, 1)


HEARD: list[list[object]] = []  # the lists that get what SQLite opens
sys.addaudithook(
    lambda event, found: HEARD and event == "sqlite3.connect" and HEARD[0].append(found)
)
