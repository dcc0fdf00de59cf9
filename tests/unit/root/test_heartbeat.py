"""The monitor that is asked at every run: what it hears, and that nothing of it fails a run."""

import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler
from threading import Event

import pytest
from sandbox import PROJECT, Result, Sandbox, client_rows
from servers import Answer, foreign, free_port, saying

from pipeline import alerting as module
from pipeline.alerting import heartbeat
from pipeline.reporting.status import last_run
from pipeline.storage.database import History
from pipeline.storage.history import run_lock

NOTHING_NEW = "nothing new in sourcedata\n"
WORKED = ["GET /ping/start", "GET /ping"]
FAILED = ["GET /ping/start", "GET /ping/fail"]


def warnings(result: Result) -> list[str]:
    """What the run logged of the monitor, without time and address."""
    lines = [line for line in result.err.splitlines() if " pipeline.alerting: " in line]
    return [line.split(" was not heard: ")[1] for line in lines]


def watched(world: Sandbox, answer: Answer | None = None, stage: str = "fullprocess") -> list[str]:
    """What a run asks the monitor; the run must go well."""
    with foreign(answer or saying("OK")) as (url, asked):
        world.configure(heartbeat_url=f"{url}/ping")
        result = world.run(stage)
    assert result.code == 0, result.err
    return asked


# --- what it hears ---


def test_a_working_run_is_reported_at_start_and_success(settled: Sandbox) -> None:
    settled.write("sourcedata/c.csv", client_rows(300, 60))

    assert watched(settled) == WORKED


def without_folder(world: Sandbox) -> None:
    (world.root / "sourcedata").rename(world.root / "elsewhere")


def with_a_rejected_file(world: Sandbox) -> None:
    world.write("sourcedata/c.csv", "\n")


@pytest.mark.parametrize("change", [without_folder, with_a_rejected_file])
def test_a_failing_run_is_reported_at_start_and_failure(
    settled: Sandbox, change: Callable[[Sandbox], None]
) -> None:
    change(settled)
    with foreign(saying("OK")) as (url, asked):
        settled.configure(heartbeat_url=f"{url}/ping")
        result = settled.run("fullprocess")

    assert (result.code, asked) == (1, FAILED)


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt, SystemExit])
def test_whatever_ends_a_run_early_is_a_failure_and_goes_on(error: type[BaseException]) -> None:
    with foreign(saying("OK")) as (url, asked), pytest.raises(error), heartbeat(f"{url}/ping"):
        raise error

    assert asked == FAILED


def test_success_is_reported_when_the_run_is_recorded_and_still_holds_the_lock(
    settled: Sandbox,
) -> None:
    settled.write("sourcedata/c.csv", client_rows(300, 60))
    seen: list[tuple[bool, str | None]] = []

    def answer(handler: BaseHTTPRequestHandler) -> None:
        with History(settled.config.history_path) as history:
            run = last_run(history)
        locked = settled.config.lock_path.exists()
        seen.append((locked, run.ended_at if run else None))
        saying("OK")(handler)

    watched(settled, answer)

    before, (after,) = seen[0], settled.query("SELECT max(ended_at) FROM runs")[0]
    assert seen == [(True, before[1]), (True, after)]
    assert before[1] != after


def test_a_query_stays_at_the_end_of_the_address() -> None:
    with foreign(saying("OK")) as (url, asked), heartbeat(f"{url}/ping?create=1"):
        pass

    assert asked == ["GET /ping/start?create=1", "GET /ping?create=1"]


def test_a_run_that_finds_the_lock_held_asks_nothing(settled: Sandbox) -> None:
    with foreign(saying("OK")) as (url, asked), run_lock(settled.config.lock_path):
        settled.configure(heartbeat_url=f"{url}/ping")
        assert settled.run("fullprocess").code == 75

    assert asked == []


def test_stages_by_hand_and_the_status_ask_nothing(settled: Sandbox) -> None:
    with foreign(saying("OK")) as (url, asked):
        settled.configure(heartbeat_url=f"{url}/ping")
        assert settled.run("ingestion").code == 0
        assert settled.run("fullprocess", "--status").code == 0

    assert asked == []


def test_practice_has_a_monitor_of_its_own(settled: Sandbox) -> None:
    (settled.root / "practicedata").mkdir()
    with foreign(saying("OK")) as (url, asked):
        settled.configure(
            heartbeat_url=f"{url}/production", practice={"heartbeat_url": f"{url}/practice"}
        )
        assert settled.run("fullprocess", "--practice").code == 0
        settled.configure(practice=None)
        assert settled.run("fullprocess", "--practice").code == 0

    assert asked == ["GET /practice/start", "GET /practice"]


# --- nothing of it fails the run ---


def dripping(over: Event) -> Answer:
    """An answer that never ends: a byte now and then, so that no read waits for long."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        with suppress(ConnectionError):
            handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
            while not over.wait(0.05):
                handler.wfile.write(b"z")

    return answer


def silent(over: Event) -> Answer:
    """No answer at all."""

    def answer(_: BaseHTTPRequestHandler) -> None:
        over.wait(600)

    return answer


@pytest.mark.parametrize("slow", [dripping, silent])
def test_a_slow_monitor_is_left_after_the_time_limit(
    settled: Sandbox, monkeypatch: pytest.MonkeyPatch, slow: Callable[[Event], Answer]
) -> None:
    monkeypatch.setattr(module, "MONITOR_SECONDS", 0.25)
    over = Event()
    with foreign(slow(over)) as (url, asked):
        settled.configure(heartbeat_url=f"{url}/ping")
        started = time.monotonic()
        result = settled.run("fullprocess")
        seconds = time.monotonic() - started
        over.set()

    assert (result.code, result.out, asked) == (0, NOTHING_NEW, WORKED)
    assert len(warnings(result)) == 2
    assert 0.5 <= seconds < 600


def test_a_monitor_that_is_down_is_two_warnings(settled: Sandbox) -> None:
    settled.configure(heartbeat_url=f"http://127.0.0.1:{free_port()}/ping")

    result = settled.run("fullprocess")

    assert (result.code, result.out) == (0, NOTHING_NEW)
    assert warnings(result) == ["<urlopen error [Errno 111] Connection refused>"] * 2
    assert len(result.err.splitlines()) == 2


def raw(content: bytes) -> Answer:
    """These bytes, whatever is asked."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(content)

    return answer


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        (saying("{}", status=500), "HTTP Error 500: Internal Server Error"),
        (saying("{}", status=404), "HTTP Error 404: Not Found"),
        (raw(b"220 mail.example ESMTP\r\n"), "220 mail.example ESMTP"),
        (raw(b"z" * 50_000 + b"\r\n"), "z" * 200),
        (raw(b""), "Remote end closed connection without response"),
        (
            raw(b"HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\n\r\n"),
            "HTTP Error 302: Found - Redirection to url 'file:///etc/passwd' is not allowed",
        ),
    ],
    ids=["500", "404", "no HTTP", "a long line", "nothing", "a redirection into the machine"],
)
def test_a_bad_answer_is_a_warning(settled: Sandbox, answer: Answer, found: str) -> None:
    with foreign(answer) as (url, asked):
        settled.configure(heartbeat_url=f"{url}/ping")
        result = settled.run("fullprocess")

    assert (result.code, result.out, asked) == (0, NOTHING_NEW, WORKED)
    assert warnings(result) == [found] * 2


@pytest.mark.parametrize(
    "url",
    ["http://[", "http://127.0.0.1:99999999/", "http://a b/", "http://ü.invalid/ü", "http://"],
)
def test_an_address_that_cannot_be_asked_is_a_warning(settled: Sandbox, url: str) -> None:
    settled.configure(heartbeat_url=url)

    result = settled.run("fullprocess")

    assert (result.code, result.out) == (0, NOTHING_NEW)
    assert len(warnings(result)) == 2


# --- what it costs ---

TICK = """
import sys
sys.path.insert(0, sys.argv[1])
import fullprocess
code = fullprocess.main(["--config", sys.argv[2]])
print(code, *[name for name in ("urllib.request", "http.client") if name in sys.modules])
"""


@pytest.mark.parametrize(
    ("watched", "imported"), [(False, ""), (True, " urllib.request http.client")]
)
def test_without_a_monitor_a_tick_imports_no_http(
    settled: Sandbox, watched: bool, imported: str
) -> None:
    settled.configure(heartbeat_url=f"http://127.0.0.1:{free_port()}" if watched else None)
    child = [sys.executable, "-c", TICK, str(PROJECT), str(settled.root / "config.json")]

    said = subprocess.run(child, capture_output=True, text=True, check=True).stdout

    assert said == f"{NOTHING_NEW}0{imported}\n"
