"""Alerts of the whole chain, over real SMTP and HTTP: each event once, whatever comes between."""

import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from threading import Event
from typing import Any
from urllib.parse import quote

import pytest
from inboxes import PASSWORD, TOKEN, USER, Inbox, mailbox, webhook
from runs import run_at_work, start
from sandbox import PROJECT, Sandbox, client_rows
from servers import free_port

from pipeline.action import delivery
from pipeline.core.connections import EVENTS
from pipeline.reporting.report_files import report_pdf
from pipeline.storage.history import open_history, sending_lock

FAILED = 'WARNING pipeline.action.delivery: alert target "{}" failed, and is tried again at the'


@pytest.fixture
def mail() -> Iterator[Inbox]:
    with mailbox() as inbox:
        yield inbox


@pytest.fixture
def hook() -> Iterator[Inbox]:
    with webhook() as inbox:
        yield inbox


@pytest.fixture
def telling(settled: Sandbox, mail: Inbox, hook: Inbox, monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    """A settled project whose config has just got two targets of all events."""
    monkeypatch.setenv("MAIL_PASSWORD", PASSWORD)
    monkeypatch.setenv("HOOK", f"json://127.0.0.1:{hook.port}/{TOKEN}")
    settled.configure(alerts=[by_mail(mail), {"address": "$HOOK", "events": [*EVENTS]}])
    return settled


def by_mail(mail: Inbox, **others: Any) -> dict[str, Any]:
    address = (
        f"mailto://{USER}:$MAIL_PASSWORD@127.0.0.1:{mail.port}"
        "?mode=insecure&from=robot@example.org&to=ann@example.org"
    )
    return {"address": address, "events": [*EVENTS], **others}


def tick(world: Sandbox, code: int = 0) -> str:
    result = world.run("fullprocess")
    assert result.code == code, result.err
    return result.err


def arrived(*inboxes: Inbox) -> list[str]:
    """The titles that came to each of these alike."""
    (first, *others) = (inbox.titles for inbox in inboxes)
    assert all(titles == first for titles in others)
    return first


def test_each_event_of_the_chain_is_told_once_and_nothing_of_the_past(
    telling: Sandbox, mail: Inbox, hook: Inbox
) -> None:
    telling.configure(page_url="https://risk.example.org/")
    tick(telling)
    tick(telling)
    assert arrived(mail, hook) == []

    drifted = [row.replace(",", ",9", 1) for row in client_rows(300, 400, flipped=True)]
    telling.write("sourcedata/d.csv", drifted)
    telling.write("sourcedata/e.csv", "who,what\nAcme,1\n")
    for _ in range(3):
        tick(telling)

    (release,) = telling.query("SELECT release FROM deployments ORDER BY id DESC LIMIT 1")
    told = arrived(mail, hook)
    assert told[:3] == ["1 file refused", "Drift in 400 rows", f"Release {release[0]} is live"]
    assert told[3].endswith(" clients are new in the high band")
    assert len(told) == 4
    refused, _, released, high = hook.hooks
    assert refused["message"].startswith("e.csv: it ")
    assert refused["message"].endswith("\n\nhttps://risk.example.org/operations")
    assert released["message"].endswith("\n\nhttps://risk.example.org/model")
    names = high["message"].split("\n\n")[0].splitlines()
    assert [high["type"], len(names)] == ["warning", 21]
    assert names[20] == f"and {int(told[3].split()[0]) - 20:,} more"
    body = mail.mails[3].get_body()
    assert body
    assert names[0] in body.get_content()
    with open_history(telling.config.history_path) as history:  # no alert keeps a client's name
        assert "client00" not in str(history.tuples("SELECT * FROM alerts"))
        sent = "SELECT count(sent_at), count(*) FROM deliveries GROUP BY alert_id"
        assert {*history.tuples(sent)} == {(2, 2)}


def test_a_model_that_another_scikit_learn_makes_useless_is_replaced_and_that_is_told(
    telling: Sandbox, hook: Inbox
) -> None:
    tick(telling)
    manifest = telling.root / "production_deployment/current/manifest.json"
    found = json.loads(manifest.read_text(encoding="utf-8"))
    found["model"]["versions"]["scikit-learn"] = "0.24.2"
    found["model"]["self_check"]["risk"][0] += 0.01
    manifest.write_text(json.dumps(found))
    telling.write("sourcedata/d.csv", client_rows(300, 40))
    tick(telling)
    (released,) = [found for found in hook.hooks if " is live" in found["title"]]
    assert "cannot be used with the scikit-learn that is installed now" in released["message"]


def test_failures_are_told_once_until_runs_succeed_again(
    telling: Sandbox, mail: Inbox, hook: Inbox
) -> None:
    for _ in range(2):
        shutil.move(telling.root / "sourcedata", telling.root / "elsewhere")
        for _ in range(3):
            tick(telling, code=1)
        shutil.move(telling.root / "elsewhere", telling.root / "sourcedata")
        tick(telling)
        tick(telling)

    assert arrived(mail, hook) == ["A run failed", "Runs succeed again"] * 2
    assert hook.hooks[0]["message"].startswith(f"DataError: {telling.root}/sourcedata")
    assert [each["type"] for each in hook.hooks[:2]] == ["failure", "success"]


def test_a_bug_is_a_failure_too(
    telling: Sandbox, hook: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fullprocess.has_work", lambda *_: 1 / 0)
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            telling.run("fullprocess")
    assert hook.titles == ["A run failed"]


def test_a_killed_run_is_told_by_the_next_one(telling: Sandbox, mail: Inbox, hook: Inbox) -> None:
    tick(telling)
    telling.write("sourcedata/c.csv", client_rows(300, 60))
    with open_history(telling.config.history_path) as history:
        # as a run leaves it that is killed right after it began
        history.insert("runs", command="fullprocess", started_at="2026-12-01T10:00:00.000Z")
    tick(telling)
    tick(telling)

    assert arrived(mail, hook) == ["A run was killed", "Runs succeed again"]


def test_what_is_held_back_and_what_waits_for_promotion_is_told(
    telling: Sandbox, mail: Inbox, hook: Inbox
) -> None:
    telling.configure(gate="manual")
    telling.write("sourcedata/d.csv", client_rows(300, 400, flipped=True))
    tick(telling)
    assert arrived(mail, hook)[:2] == ["Drift in 400 rows", "A challenger waits to be promoted"]
    before = len(hook.hooks)
    without = [re.sub(r"\d+,$", "0,", row) for row in client_rows(0, 120, outcome="")]
    telling.write("sourcedata/e.csv", without)
    for _ in range(2):
        tick(telling)

    told = [title for title in arrived(mail, hook)[before:] if "held" in title]
    assert told == ["1 file held back"]


def test_lateness_is_noticed_by_an_empty_tick_once_for_each(
    telling: Sandbox, mail: Inbox, hook: Inbox
) -> None:
    telling.configure(expect_files_every_days=7, expect_outcomes_every_days=30)
    tick(telling)
    assert arrived(mail, hook) == []
    for table in ("files", "decisions"):
        let_pass(telling, table, "2026-01-01T00:00:00.000Z")
    for _ in range(2):
        assert "INFO fullprocess" not in tick(telling)
    late = ["No new client file for 7 days", "No new outcomes for 30 days"]
    assert arrived(mail, hook) == late

    telling.write("sourcedata/c.csv", client_rows(300, 60, outcome=""))
    tick(telling)
    let_pass(telling, "files", "2026-01-02T00:00:00.000Z")
    tick(telling)
    told = [title for title in arrived(mail, hook) if title.startswith("No ")]
    assert told == [*late, late[0]]  # no outcome came, and that was told


def let_pass(world: Sandbox, table: str, at: str) -> None:
    with open_history(world.config.history_path) as history:
        history.query(f"UPDATE {table} SET {'recorded_at' if table == 'files' else 'at'} = ?", at)


# --- targets that fail ---


def test_a_target_that_fails_is_tried_again_and_the_other_is_told_once(
    telling: Sandbox, mail: Inbox, hook: Inbox
) -> None:
    mail.accepts = hook.accepts = lambda: False
    tick(telling)
    telling.write("sourcedata/e.csv", "who,what\nAcme,1\n")
    assert FAILED.format("mailto") in tick(telling, code=1)
    mail.accepts = lambda: True
    said = tick(telling)
    assert FAILED.format("mailto") not in said
    assert f"{FAILED.format('HOOK')} next run: Failed to send JSON POST notification" in said
    assert "error=500" in said
    telling.write("sourcedata/f.csv", "who,what\nAcme,2\n")
    tick(telling, code=1)
    status = json.loads(telling.run("fullprocess", "--status", "--json").out)
    assert status["alerts_waiting"] == 2
    assert "\nalerts         2 wait to be sent\n" in telling.run("fullprocess", "--status").out

    hook.accepts = lambda: True
    for _ in range(2):
        tick(telling)

    assert arrived(mail, hook) == ["1 file refused"] * 2
    assert telling.query("SELECT max(tries) FROM deliveries WHERE target = 'HOOK'") == [(3,)]
    assert "alerts  " not in telling.run("fullprocess", "--status").out


def test_a_target_that_hangs_is_left_after_the_limit_and_holds_no_lock(
    telling: Sandbox, hook: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    locked, go_on = [], Event()

    def hang() -> bool:
        locked.append(telling.config.lock_path.exists())
        return go_on.wait(60) and False

    hook.accepts = hang
    tick(telling)
    monkeypatch.setattr(delivery, "SECONDS", 0.5)
    telling.write("sourcedata/e.csv", "who,what\nAcme,1\n")
    began = time.monotonic()
    said = tick(telling, code=1)
    go_on.set()

    assert f"{FAILED.format('HOOK')} next run: it took longer than 0.5 seconds" in said
    assert time.monotonic() - began < 30
    assert locked == [False]
    hook.accepts = lambda: True
    tick(telling)
    assert hook.titles == ["1 file refused"]


def test_a_run_killed_while_it_sends_loses_nothing(
    telling: Sandbox, mail: Inbox, hook: Inbox
) -> None:
    reached, go_on = Event(), Event()

    def hold() -> bool:
        reached.set()
        return go_on.wait(60) and False

    tick(telling)
    hook.accepts = hold
    telling.write("sourcedata/e.csv", "who,what\nAcme,1\n")
    with start(telling) as child:
        assert reached.wait(60)
        child.kill()
    go_on.set()
    hook.accepts = lambda: True
    for _ in range(2):
        tick(telling)

    assert arrived(mail, hook) == ["1 file refused"]


KILLED = """
import os, runpy, sqlite3, sys

at, connect, ends = int(sys.argv.pop(1)), sqlite3.connect, False

def count(statement):
    global at, ends
    ends = ends or statement.startswith("UPDATE runs ")
    at -= ends and statement.split()[0] in ("INSERT", "UPDATE", "DELETE", "COMMIT")
    if not at:
        os.kill(os.getpid(), 9)

def counting(*args, **options):
    connection = connect(*args, **options)
    connection.set_trace_callback(count)  # which is called before a statement is run
    return connection

sqlite3.connect = counting
sys.path.insert(0, ".")
sys.argv[0] = "fullprocess.py"
runpy.run_path("fullprocess.py", run_name="__main__")
"""


@pytest.mark.slow
def test_killed_before_any_write_from_the_end_of_the_chain_on_each_event_is_told_once(
    telling: Sandbox, hook: Inbox
) -> None:
    """But where the target has taken a message, and the history not that it has."""
    tick(telling)
    telling.write("sourcedata/e.csv", "who,what\nAcme,1\n")
    telling.configure(alerts=[{"address": "$HOOK", "events": [*EVENTS]}])
    shutil.copytree(telling.root, place := telling.root.parent / "killed", symlinks=True)
    words = ["--config", str(telling.root / "config.json")]
    code, at, told_twice = -9, 0, 0
    while code == -9:
        at += 1
        shutil.rmtree(telling.root)
        shutil.copytree(place, telling.root, symlinks=True)
        hook.hooks.clear()
        child = [sys.executable, "-c", KILLED, str(at), *words]
        code = subprocess.run(child, cwd=PROJECT, capture_output=True, check=False).returncode
        taken = len(hook.hooks)
        unended = telling.query("SELECT 1 FROM runs WHERE outcome IS NULL")
        for _ in range(2):
            telling.run("fullprocess")
        expected = ["A run was killed", "Runs succeed again"] if unended else []
        if code == -9 and taken:
            told_twice += 1
            expected += ["1 file refused"]
        assert sorted(hook.titles) == sorted([*expected, "1 file refused"]), at

    assert (code, told_twice) == (1, 1)
    assert at > 6


def test_of_two_processes_one_sends(telling: Sandbox, mail: Inbox, hook: Inbox) -> None:
    tick(telling)
    telling.write("sourcedata/e.csv", "who,what\nAcme,1\n")
    with (
        open_history(telling.config.history_path) as history,
        sending_lock(telling.config.lock_path, history),
    ):
        tick(telling, code=1)
        assert arrived(mail, hook) == []
    with run_at_work(telling):
        assert telling.run("fullprocess").code == 75
    assert arrived(mail, hook) == ["1 file refused"]


def test_what_waits_for_a_target_that_is_gone_is_dropped_and_a_new_one_gets_nothing_old(
    telling: Sandbox, mail: Inbox, hook: Inbox
) -> None:
    hook.accepts = lambda: False
    tick(telling)
    telling.write("sourcedata/e.csv", "who,what\nAcme,1\n")
    tick(telling, code=1)
    telling.configure(alerts=[by_mail(mail), by_mail(mail, name="another")])
    tick(telling)

    assert mail.titles == ["1 file refused"]
    assert telling.query("SELECT count(*) FROM deliveries WHERE sent_at IS NULL") == [(0,)]
    # without alerts the search ends, and it begins anew with them
    telling.configure(alerts=None)
    telling.write("sourcedata/f.csv", "who,what\nAcme,2\n")
    tick(telling, code=1)
    telling.configure(alerts=[by_mail(mail)])
    tick(telling)
    assert mail.titles == ["1 file refused"]


# --- secrets, practice, the test of targets, the digest ---


def test_no_part_of_an_address_is_shown_or_kept(
    telling: Sandbox, mail: Inbox, hook: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    mail.accepts = hook.accepts = lambda: False
    gone, secrets = free_port(), [PASSWORD, quote(PASSWORD, safe=""), TOKEN, "s3cret", "hidden9"]
    monkeypatch.setenv("BROKEN", "no address but s3cret")
    more = {
        "refused": by_mail(mail)["address"].replace("$MAIL_PASSWORD", "s3cret"),
        "closed": f"json://u:s3cret@127.0.0.1:{gone}/hidden9?+X-Key=hidden9",
        "unknown": "nothing://s3cret/hidden9",
        "unset": "$NO_SUCH_VARIABLE",
        "broken": "$BROKEN",
        "slack": "slack://s3cret/hidden9",
    }
    every = [{"name": n, "address": a, "events": [*EVENTS]} for n, a in more.items()]
    telling.configure(alerts=[by_mail(mail), {"address": "$HOOK", "events": [*EVENTS]}, *every])
    tick(telling)
    telling.write("sourcedata/e.csv", "who,what\nAcme,1\n")
    results = [
        telling.run("fullprocess", *args)
        for args in (["-v"], ["-v"], ["--json"], ["--status", "-v"], ["--test-alerts", "-v"])
    ]

    said = "".join(result.out + result.err for result in results)
    for name in ("mailto", "HOOK", *more):
        assert FAILED.format(name) in said
    assert 'target "unset" failed, and is tried again at the next run: its address has' in said
    assert "(535)" in said
    assert "[Errno 111] Connection refused" in said
    kept = b"".join(text for name, text in telling.files().items() if name != "config.json")
    for secret in secrets:
        assert secret not in said
        assert secret.encode() not in kept


def test_every_target_can_be_tried(telling: Sandbox, mail: Inbox, hook: Inbox) -> None:
    result = telling.run("fullprocess", "--test-alerts")
    assert (result.code, result.out) == (0, "mailto: told\nHOOK: told\n")
    assert arrived(mail, hook) == ["a test"]
    hook.accepts = lambda: False
    result = telling.run("fullprocess", "--test-alerts")
    assert (result.code, result.err) == (1, "error: these targets of alerts failed: HOOK\n")
    assert result.out.startswith("mailto: told\nHOOK: Failed to send JSON")


def test_practice_tells_nobody(telling: Sandbox, mail: Inbox, hook: Inbox) -> None:
    shutil.copytree(telling.root / "sourcedata", telling.root / "practicedata")
    for _ in range(2):
        assert telling.run("fullprocess", "--practice").code == 0
    telling.write("practicedata/e.csv", "who,what\nAcme,1\n")
    assert telling.run("fullprocess", "--practice").code == 1
    assert telling.run("fullprocess", "--practice", "--test-alerts").code == 0
    assert arrived(mail, hook) == []


def test_a_digest_comes_once_a_period_with_the_report(telling: Sandbox, mail: Inbox) -> None:
    targets = [by_mail(mail, name=kind, events=[], digest=kind) for kind in ("daily", "weekly")]
    telling.configure(alerts=targets, report_formats=["pdf"])
    tick(telling)
    telling.write("sourcedata/c.csv", client_rows(0, 60))
    tick(telling)
    assert mail.titles == []
    for kinds in (["daily"], ["daily", "weekly"]):
        with open_history(telling.config.history_path) as history:
            for kind in kinds:  # as it was before
                history.query("UPDATE alert_marks SET number = number - 7 WHERE what = ?", kind)
                history.query("DELETE FROM alerts")
        for _ in range(2):
            tick(telling)

    assert mail.titles == [f"The {kind} digest" for kind in ("daily", "daily", "weekly")]
    body = mail.mails[0].get_body(("plain",)) or mail.mails[0].get_body()
    assert body
    text = body.get_content()
    assert "To be contacted: " in text
    assert "Whose risk rose most:" in text
    (report,) = mail.mails[0].iter_attachments()
    assert report.get_filename() == "report.pdf"
    assert report.get_content() == report_pdf(telling.root / "models")

    ranking = telling.root / "models/clientrisk.csv"  # as a spreadsheet may save it
    ranking.write_text(ranking.read_text().replace(",", ";"))
    with open_history(telling.config.history_path) as history:
        history.query("UPDATE alert_marks SET number = number - 7 WHERE what = 'daily'")
        history.query("DELETE FROM alerts")
    tick(telling)
    last = mail.mails[3].get_body(("plain",)) or mail.mails[3].get_body()
    assert last
    assert "run python reporting.py" in last.get_content()
