"""Contacts by API and form, as ranking, page and the next ticks have them."""

import csv
from datetime import date, timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient
from sandbox import Sandbox

from app import create_app
from pipeline.storage.contacts import Contact, add_contacts, contacts
from pipeline.storage.history import open_history
from pipeline.web.auth import TOKEN_VARIABLE

TODAY = date.today().isoformat()


@pytest.fixture
def client(deployed: Sandbox) -> FlaskClient:
    return create_app(deployed.config).test_client()


def in_file(world: Sandbox) -> dict[str, dict[str, str]]:
    with (world.root / "models/clientrisk.csv").open(encoding="utf-8", newline="") as file:
        return {row["client"]: row for row in csv.DictReader(file)}


def looked_at(world: Sandbox, day: str) -> None:
    """As if the ranking had last been looked at on this day."""
    with open_history(world.config.history_path) as history:
        history.query("UPDATE master SET contacts_day = ?", day)


def first(client: FlaskClient) -> str:
    name: str = client.get("/risk?limit=1&contact=yes").get_json()["clients"][0]["client"]
    return name


def test_a_contact_counts_at_once_and_in_the_file_from_the_next_day_on(
    deployed: Sandbox, client: FlaskClient
) -> None:
    assert deployed.run("fullprocess").code == 0
    name = first(client)
    sent = {"client": name, "channel": "phone", "note": "wants a discount", "by": "Ann"}

    answer = client.post("/contacts", json=sent)

    assert answer.status_code == 200
    (made,) = answer.get_json()["contacts"]
    assert made | {**sent, "date": TODAY, "source": "api", "result": ""} == made
    assert client.post("/contacts", json=sent).get_json()["contacts"] == [made]
    assert client.get("/contacts", query_string={"client": f" {name} "}).get_json() == {
        "total": 1,
        "contacts": [made],
    }
    now = client.get(f"/risk/{name}").get_json()
    assert [now[key] for key in ("contact", "contact_status", "contacted_on")] == [
        *(False, "cooling_down", TODAY)
    ]
    assert name not in client.get("/risk?contact=yes").text
    assert deployed.run("fullprocess").code == 0
    assert in_file(deployed)[name]["contact"] == "yes"  # the first tick of the day was before

    looked_at(deployed, "2026-01-01")
    done = deployed.run("fullprocess")

    assert "to be contacted today" in done.out
    assert in_file(deployed)[name]["contact_status"] == "cooling_down"
    assert "to be contacted" not in deployed.run("fullprocess").out
    assert deployed.run("ingestion", "--rebuild").code == 0
    assert client.get("/contacts").get_json()["total"] == 1


def test_some_are_recorded_together_or_none(client: FlaskClient) -> None:
    names = [c["client"] for c in client.get("/risk?limit=2").get_json()["clients"]]

    wrong = client.post("/contacts", json=[{"client": names[0]}, {"client": "nobody"}])
    assert (wrong.status_code, client.get("/contacts").get_json()["total"]) == (404, 0)
    many = client.post("/contacts", json=[{"client": name} for name in names])
    assert many.get_json()["total"] == client.get("/contacts").get_json()["total"] == 2


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ([], "the contacts: Expected `array` of length >= 1"),
        ([{"client": "a"}] * 1_001, "the contacts: Expected `array` of length <= 1000"),
        ("x", "the contacts: Expected `object | array`, got `str`"),
        ([{"client": "a"}, {"client": 7}], "the contacts: Expected `str`, got `int` - at `$[1]"),
        ({"client": "a", "Date": "x"}, "the contacts: Object contains unknown field `Date`"),
        ({"client": "a", "date": "1.2.2026"}, "contact 1: date is not a date; expected YYYY-MM-DD"),
    ],
)
def test_what_is_no_contact_is_refused(client: FlaskClient, body: Any, message: str) -> None:
    answer = client.post("/contacts", json=body)

    assert answer.status_code == 422
    assert answer.get_json()["error"].startswith(message)


WRITES = (
    ("/contacts", {"json": {"client": "client00063"}}),
    ("/client/contact", {"data": {"client": "client00063"}}),
    ("/client/undo", {"data": {"id": "1"}}),
)


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://["},
        {"Origin": "http://localhost.evil.example"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site", "Origin": "http://localhost"},
    ],
)
def test_a_page_of_another_site_changes_nothing(
    client: FlaskClient, headers: dict[str, str]
) -> None:
    for path, sent in WRITES:
        answer = client.post(path, headers=headers, **sent)
        assert answer.status_code == 403, path
    assert client.get("/contacts").get_json()["total"] == 0


@pytest.mark.parametrize(
    "headers", [{}, {"Origin": "http://localhost"}, {"Sec-Fetch-Site": "same-origin"}]
)
def test_our_own_pages_and_programs_do(client: FlaskClient, headers: dict[str, str]) -> None:
    assert client.post(WRITES[0][0], headers=headers, **WRITES[0][1]).status_code == 200


def test_the_form_goes_back_to_where_it_was_and_can_be_taken_back(
    deployed: Sandbox, client: FlaskClient
) -> None:
    name = first(client)
    form = {"client": name, "date": TODAY, "note": "n", "channel": "mail", "by": ""}

    sent = client.post("/client/contact", data=form | {"back": "?band=high"}, auth=("ann", "x"))
    assert (sent.status_code, sent.headers["Location"]) == (303, "../?band=high#clients")
    with open_history(deployed.config.history_path) as history:
        (made,) = contacts(history, name)
    assert (made.source, made.by_whom, made.channel) == ("page", "ann", "mail")
    undone = client.post("/client/undo", data={"id": str(made.id), "client": name})
    place = f"../client?name={name}#contacts"
    assert (undone.status_code, undone.headers["Location"]) == (303, place)
    assert client.post("/client/undo", data={"id": str(made.id)}).status_code == 404
    assert client.get("/contacts").get_json()["total"] == 0
    for back in ("//evil.example", "https://evil.example", "/\\evil", "?a\r\nSet-Cookie: b=c"):
        sent = client.post("/client/contact", data=form | {"back": back})
        assert sent.headers["Location"] == place


def test_without_a_token_it_answers_to_names_of_this_machine_only(
    deployed: Sandbox, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    for host, status in (
        *(("localhost:8000", 200), ("127.0.0.1", 200), ("[::1]:8000", 200)),
        *(("evil.example", 421), ("127.0.0.1.evil.example", 421), ("", 421), ("10.0.0.1", 421)),
    ):
        assert client.get("/risk", headers={"Host": host}).status_code == status, host
    monkeypatch.setenv(TOKEN_VARIABLE, "secret")
    guarded = create_app(deployed.config).test_client()
    headers = {"Host": "risk.example", "Authorization": "Bearer secret"}
    assert guarded.get("/risk", headers=headers).status_code == 200
    assert guarded.post("/contacts", json={"client": "client00063"}).status_code == 401


def test_new_rules_count_in_the_file_from_the_next_tick_on(deployed: Sandbox) -> None:
    assert deployed.run("fullprocess").code == 0
    deployed.configure(control_share=0.5, contact_capacity=3)

    done = deployed.run("fullprocess")

    assert "clientrisk.csv: 3 clients to be contacted today" in done.out
    assert "control" in {row["contact_status"] for row in in_file(deployed).values()}
    assert "to be contacted" not in deployed.run("fullprocess").out


def test_a_client_page_says_when_and_not_twice_that_it_is_to_be_contacted(
    client: FlaskClient,
) -> None:
    name = first(client)
    for day, status in (("2026-01-02", "(contacted 2026-01-02)"), (TODAY, f"({TODAY})")):
        client.post("/contacts", json={"client": name, "date": day})
        text = client.get("/client", query_string={"name": name}).text
        fact = text.split("<dt>To be contacted</dt>")[1].split("</div>")[0]
        assert status in fact
        assert "to be contacted" not in fact


def test_a_tick_takes_in_files_of_contacts(deployed: Sandbox) -> None:
    deployed.configure(contacts_path="contacts")
    name = next(iter(in_file(deployed)))
    looked_at(deployed, "2026-01-01")
    deployed.write("contacts/crm.csv", [f"{name},{TODAY},phone"], "client,date,channel")

    assert deployed.run("fullprocess").code == 0

    assert in_file(deployed)[name]["contacted_on"] == TODAY


def test_a_campaign_leaves_some_alone_and_records_who(deployed: Sandbox) -> None:
    deployed.configure(control_share=0.5)
    assert deployed.run("reporting").code == 0

    rows = in_file(deployed)
    alone = {name for name, row in rows.items() if row["contact_status"] == "control"}
    proposed = {name for name, row in rows.items() if row["contact"] == "yes"}
    assert alone
    assert proposed
    with open_history(deployed.config.history_path) as history:
        found = dict(history.tuples("SELECT client, control FROM assignments"))
        with history.transaction():
            long_ago = (date.today() - timedelta(30)).isoformat()
            add_contacts(history, [Contact(next(iter(proposed)), long_ago, "page")])
    assert {name for name, control in found.items() if control} == alone
    assert {name for name, control in found.items() if not control} == proposed
    assert deployed.run("reporting").code == 0
    again = in_file(deployed)
    assert {name: row["contact_status"] for name, row in again.items()} == {
        name: row["contact_status"] for name, row in rows.items()
    }


def test_who_is_proposed_when_a_contact_is_recorded_is_in_the_campaign(
    deployed: Sandbox,
) -> None:
    deployed.configure(control_share=0.5)  # and no run since, as after midnight
    client = create_app(deployed.config).test_client()
    shown = {one["client"]: one for one in client.get("/risk?limit=10000").get_json()["clients"]}
    name = first(client)

    assert client.post("/client/contact", data={"client": name}).status_code == 303

    with open_history(deployed.config.history_path) as history:
        found = dict(history.tuples("SELECT client, control FROM assignments"))
    assert found == {
        name: one["contact_status"] == "control"
        for name, one in shown.items()
        if one["contact_status"] in ("proposed", "control")
    }
    assert found[name] == 0


def test_a_number_that_was_given_again_takes_no_other_contact_back(
    deployed: Sandbox, client: FlaskClient
) -> None:
    one, other = (c["client"] for c in client.get("/risk?limit=2").get_json()["clients"])

    def undo(name: str, number: int) -> int:
        form = {"id": str(number), "client": name}
        return client.post("/client/undo", data=form).status_code

    (made,) = client.post("/contacts", json={"client": one}).get_json()["contacts"]
    assert undo(one, made["id"]) == 303
    (again,) = client.post("/contacts", json={"client": other}).get_json()["contacts"]
    assert again["id"] == made["id"]
    assert undo(one, made["id"]) == 404
    with open_history(deployed.config.history_path) as history, history.transaction():
        add_contacts(history, [Contact(one, TODAY, "file a.csv")])
        last = contacts(history, one)[0].id
    assert undo(one, last) == 404  # the file would still say so
    assert client.get("/contacts").get_json()["total"] == 2


def test_a_run_killed_before_the_file_is_written_is_made_good_by_the_next(
    deployed: Sandbox, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert deployed.run("fullprocess").code == 0
    name = first(client)
    client.post("/contacts", json={"client": name})
    looked_at(deployed, "2026-01-01")

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("pipeline.stages.reporting.write_ranking", killed)
        assert deployed.run("fullprocess").code == 130

    assert deployed.run("fullprocess").code == 0
    assert in_file(deployed)[name]["contact_status"] == "cooling_down"
