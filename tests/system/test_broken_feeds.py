"""A broken feed through the chain: held back, kept so, accepted, taken back, or the new world."""

import csv
import json
import os
import time

import pytest
from sandbox import NOISE, Result, Sandbox, client_rows

from pipeline.observations.master import Master, open_master
from pipeline.storage.database import History
from pipeline.storage.history import open_history
from pipeline.storage.work_requests import begin
from pipeline.web.app import create_app
from pipeline.web.client_views import client_record

DAY = 24 * 3600
CLIENTS = 200
HELD = (
    "week2.csv is held back: column number_of_employees is 0 in 100.0 % of rows, before in 0.0 %;"
    " the mean risk of the 200 clients there were before would be "
)


def week(number: int, *, employees: str = "", outcome: str = "") -> list[str]:
    """The rows of all clients in a week: last month's activity goes up."""
    rows = []
    for line in client_rows(0, CLIENTS, outcome=outcome):
        cells = line.split(",")
        cells[1] = str(int(cells[1]) + number)
        cells[3] = employees or cells[3]
        rows.append(",".join(cells))
    return rows


def send(world: Sandbox, number: int, rows: list[str], name: str = "") -> str:
    path = world.write(f"sourcedata/{name or f'week{number}.csv'}", rows)
    when = time.time() - (20 - number) * 7 * DAY
    os.utime(path, (when, when))
    return path.name


def run(world: Sandbox, stage: str = "fullprocess", *args: str) -> Result:
    result = world.run(stage, *args)
    assert result.code == 0, result.err
    return result


def risks(world: Sandbox) -> dict[str, str]:
    with world.config.clientrisk_path.open(newline="") as file:
        return {row["client"]: row["risk"] for row in csv.DictReader(file)}


def master(world: Sandbox) -> Master:
    with open_history(world.config.history_path) as history:
        return open_master(world.config.finaldata_path, world.config.schema, history)


def employees_learned(world: Sandbox) -> set[float]:
    return set(master(world).training_data().frame["number_of_employees"])


@pytest.fixture
def broken(sandbox: Sandbox) -> Sandbox:
    """A company whose second week's file has 0 employees everywhere, which is held back."""
    sandbox.configure(report_formats=[], api_url=None)
    sandbox.write("testdata/testdata.csv", client_rows(90_000, 60, noise=NOISE))
    send(sandbox, 0, client_rows(0, CLIENTS, noise=NOISE), "first.csv")
    run(sandbox)
    send(sandbox, 1, week(1))
    assert "held back" not in run(sandbox).out
    before = risks(sandbox)
    assert len(before) == CLIENTS
    send(sandbox, 2, week(2, employees="0"))
    result = run(sandbox)
    assert f"held back: {HELD.replace(' is held back', '')}" in result.out
    assert f"WARNING fullprocess: {HELD}" in result.err
    assert risks(sandbox) == before
    return sandbox


def test_what_is_held_back_is_neither_learned_nor_ranked_by(broken: Sandbox) -> None:
    before = risks(broken)
    assert broken.query("SELECT verdict, action FROM decisions")[-1] == ("held back", "kept")
    status = run(broken, "fullprocess", "--status").out
    assert f"held back      1\n               {HELD.replace(' is held back', '')}" in status
    assert "\nchallenger " not in status  # no challenger waits
    found = json.loads(run(broken, "fullprocess", "--status", "--json").out)["held"]
    assert [each["name"] for each in found] == ["week2.csv"]
    # late outcomes of its rows teach nothing, and whoever left by them has left
    rows = week(2, employees="0", outcome="0")
    rows[0] = rows[0][:-1] + "1"
    send(broken, 6, rows, "outcomes.csv")
    assert "held back" not in run(broken).out
    assert 0 not in employees_learned(broken)
    gone = rows[0].split(",")[0]
    assert risks(broken) == {client: risk for client, risk in before.items() if client != gone}
    # its page has the last row that counts
    record = client_record(broken.config, None, "client00003")
    assert record
    assert [row[3] for row in record.rows.grids[0].rows] == ["26", "26"]
    # a good file counts again
    send(broken, 7, week(3))
    assert "held back" not in run(broken).out
    assert set(risks(broken)) == set(before)


def test_it_stays_held_back_through_a_rebuild(broken: Sandbox) -> None:
    before = risks(broken)
    run(broken, "ingestion", "--rebuild")
    run(broken, "reporting")
    assert risks(broken) == before
    assert "held back      1" in run(broken, "fullprocess", "--status").out
    assert run(broken).out == "nothing new in sourcedata\n"


def test_it_counts_once_somebody_accepts_it(broken: Sandbox) -> None:
    before = risks(broken)
    assert run(broken, "ingestion", "--accept", "week2.csv").out == (
        "week2.csv: accepted; the next run of fullprocess.py judges it, and ranks by it\n"
    )
    refused = broken.run("ingestion", "--accept", "week2.csv")
    assert (refused.code, refused.err) == (
        1,
        "error: week2.csv is not among the files that are held back: none\n",
    )
    assert "held back" not in run(broken).out
    now = risks(broken)
    assert now.keys() == before.keys()
    assert now != before
    send(broken, 6, week(2, employees="0", outcome="0"), "outcomes.csv")
    run(broken)
    assert 0 in employees_learned(broken)


def ask(world: Sandbox, action: str, what: str = "week2.csv") -> int:
    """Ask for something on the page; the status of the answer."""
    client = create_app(world.config).test_client()
    return client.post("/operations/requests", data={"action": action, "what": what}).status_code


def asked(world: Sandbox) -> list[tuple[str, str | None]]:
    """What was asked for on the page, and what came of it."""
    return world.query("SELECT action, outcome FROM requests ORDER BY id")


def test_asked_on_the_page_to_accept_it_the_next_tick_does(broken: Sandbox) -> None:
    before = risks(broken)
    assert [ask(broken, "accept"), ask(broken, "accept")] == [303, 303]
    assert asked(broken) == [("accept", None)]
    assert ask(broken, "forget") == 303  # the last one counts
    ((number,),) = broken.query("SELECT id FROM requests")
    assert [ask(broken, "undo", str(number)), ask(broken, "undo", str(number))] == [303, 409]
    assert asked(broken) == []
    assert run(broken).out == "nothing new in sourcedata\n"
    assert [ask(broken, "accept", "week1.csv"), ask(broken, "promote", "")] == [409, 409]
    assert ask(broken, "delete") == 400
    ask(broken, "accept")

    assert "accept week2.csv, asked for on the page: accepted\n" in run(broken).out

    assert asked(broken) == [("accept", "accepted")]
    assert risks(broken) != before
    assert ask(broken, "accept") == 409
    assert run(broken).out == "nothing new in sourcedata\n"


def test_asked_on_the_page_to_forget_it_the_next_tick_does(broken: Sandbox) -> None:
    before = risks(broken)
    ask(broken, "forget")
    run(broken)
    assert asked(broken) == [("forget", "forgotten: 200 rows less on record")]
    assert "\nheld back" not in run(broken, "fullprocess", "--status").out
    assert (risks(broken), len(master(broken).frame)) == (before, 2 * CLIENTS)
    assert run(broken).out == "nothing new in sourcedata\n"


def test_what_cannot_be_done_says_why_and_fails_no_run(broken: Sandbox) -> None:
    ask(broken, "accept")
    run(broken, "ingestion", "--accept", "week2.csv")
    run(broken)
    why = "not done: week2.csv is not among the files that are held back: none"
    assert asked(broken) == [("accept", why)]


def test_a_request_is_of_the_content_that_was_held_back_then(broken: Sandbox) -> None:
    ask(broken, "forget")
    with open_history(broken.config.history_path) as history:
        history.query("UPDATE requests SET at = '2020-01-01T00:00:00.000Z'")
    run(broken)
    why = "not done: week2.csv has held something else since it was asked for"
    assert asked(broken) == [("forget", why)]
    assert "\nheld back" in run(broken, "fullprocess", "--status").out


@pytest.mark.parametrize("action", ["accept", "forget"])
@pytest.mark.parametrize("step", ["begin", "finish"])
def test_a_run_killed_before_or_after_it_leaves_it_to_the_next_one(
    broken: Sandbox, monkeypatch: pytest.MonkeyPatch, action: str, step: str
) -> None:
    def killed(history: History, number: int, *_: object) -> bool:
        begin(history, number)
        raise KeyboardInterrupt

    ask(broken, action)
    monkeypatch.setattr(f"pipeline.stages.work_requests.{step}", killed)
    assert broken.run("fullprocess").code == 130
    monkeypatch.undo()
    assert asked(broken) == [(action, "under way")]
    ((number,),) = broken.query("SELECT id FROM requests")
    assert ask(broken, "undo", str(number)) == 409
    run(broken)
    ((_, outcome),) = asked(broken)
    assert outcome
    assert outcome.startswith({"accept": "accepted", "forget": "forgotten"}[action])
    assert len(master(broken).frame) == (3 if action == "accept" else 2) * CLIENTS
    assert run(broken).out == "nothing new in sourcedata\n"


@pytest.mark.parametrize("there", [True, False])
def test_it_can_be_taken_back(broken: Sandbox, there: bool) -> None:
    before = risks(broken)
    if not there:
        (broken.root / "sourcedata/week2.csv").unlink()
    out = run(broken, "ingestion", "--withdraw", "week2.csv", "--yes").out
    assert out.startswith("week2.csv: it was held back, and counts no more; 200 rows taken back\n")
    status = run(broken, "fullprocess", "--status").out
    assert "\nheld back" not in status
    assert ("week2.csv: it was held back, and withdrawn" in status) == there
    run(broken, "ingestion", "--rebuild")
    assert run(broken).out == "nothing new in sourcedata\n"
    run(broken, "reporting")
    assert risks(broken) == before
    assert len(master(broken).frame) == 2 * CLIENTS


def test_what_looks_the_same_for_two_more_batches_and_fourteen_days_is_the_world(
    broken: Sandbox,
) -> None:
    before = risks(broken)
    send(broken, 3, week(3, employees="0"))
    assert "held back: week3.csv: " in run(broken).out
    send(broken, 4, week(4, employees="0"))
    out = run(broken).out
    assert (
        "week2.csv, week3.csv, week4.csv are accepted: 3 batches of 14 days look the same (column"
        " number_of_employees is 0 in 100.0 % of rows"
    ) in out
    assert "\nheld back" not in run(broken, "fullprocess", "--status").out
    assert risks(broken) != before
    send(broken, 5, week(5, employees="0"))
    assert "held back" not in run(broken).out


def test_a_killed_run_leaves_it_to_the_next_one(
    broken: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = risks(broken)
    send(broken, 3, week(3, employees="0"))

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("pipeline.chain.record_decision", killed)
    assert broken.run("fullprocess").code == 130
    monkeypatch.undo()
    assert "held back: week3.csv: " in run(broken).out
    assert risks(broken) == before


def test_of_a_file_that_is_corrected_what_it_still_holds_counts(broken: Sandbox) -> None:
    """Lines that a content held back shares with the next one, which is good, are that one's."""
    rows = week(2)
    rows[:3] = week(2, employees="0")[:3]
    send(broken, 2, rows)
    out = run(broken).out
    assert "held back" not in out
    present = master(broken).present.set_index("corporation")["number_of_employees"]
    assert list(present[["client00000", "client00001", "client00002"]]) == [0, 0, 0]
    assert (present > 0).sum() == CLIENTS - 3
