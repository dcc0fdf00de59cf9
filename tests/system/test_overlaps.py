"""Runs that meet each other, and requests that meet a redeployment."""

import fcntl
import json
import os
import pickle
import random
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pandas as pd
import pytest
import requests
from sandbox import PROJECT, Sandbox, client_rows
from servers import foreign, saying, serving, wait_until
from test_wsgi import gunicorn

from pipeline.core.config import Config
from pipeline.core.files import utc_now
from pipeline.registry.releases import live_id, live_release, release_ids
from pipeline.storage.history import run_lock

HELD = r"error: another run is at work \(process {}, since \d{{4}}-\d\d-\d\dT[\d:.]+Z\); {}\n"

BY_HAND = [
    ("ingestion",),
    ("ingestion", "--rebuild"),
    ("training",),
    ("scoring",),
    ("deployment",),
    ("deployment", "--rollback"),
    ("reporting",),
    ("diagnostics",),
    ("fullprocess",),
]


@pytest.fixture(autouse=True)
def pip_gives_up_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_PYTHON", "/nowhere")


def start(world: Sandbox, *args: str) -> "subprocess.Popen[str]":
    """A run of the chain in a process of its own."""
    config = str(world.root / "config.json")
    return subprocess.Popen(
        [sys.executable, "fullprocess.py", "--config", config, *args],
        cwd=PROJECT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


@contextmanager
def held_at_start(world: Sandbox) -> Iterator[tuple[Event, Event]]:
    """A monitor that holds every run right after it took the lock.

    The first event tells that one is there, the second lets it go on.
    """
    reached, go_on = Event(), Event()

    def answer(handler: BaseHTTPRequestHandler) -> None:
        reached.set()
        go_on.wait(60)
        saying("OK")(handler)

    with foreign(answer) as (url, _):
        world.configure(heartbeat_url=url, practice={"heartbeat_url": url})
        try:
            yield reached, go_on
        finally:
            go_on.set()


@contextmanager
def run_at_work(world: Sandbox, *args: str) -> Iterator["subprocess.Popen[str]"]:
    """A real run that holds the lock and stands still; it goes on and must end well."""
    with held_at_start(world) as (reached, _):
        child = start(world, *args)
        try:
            assert reached.wait(60)
            child.send_signal(signal.SIGSTOP)
            world.configure(heartbeat_url=None, practice=None)
            yield child
        finally:
            child.send_signal(signal.SIGCONT)
    _, log = child.communicate(timeout=120)
    assert child.returncode == 0, log


# --- the lock ---


@pytest.mark.slow
def test_of_ten_runs_at_once_one_works_and_nine_name_it(source: Sandbox) -> None:
    lock = source.config.lock_path
    with held_at_start(source) as (reached, go_on):
        runs = {child.pid: child for child in (start(source) for _ in range(10))}
        assert reached.wait(60)
        holder = json.loads(lock.read_text())["pid"]
        os.kill(holder, signal.SIGSTOP)  # it cannot end before the others have come
        try:
            wait_until(lambda: sum(run.poll() is None for run in runs.values()) == 1, seconds=120)
        finally:
            os.kill(holder, signal.SIGCONT)
        go_on.set()
        told = {pid: run.communicate(timeout=120) for pid, run in runs.items()}

    out, log = told.pop(holder)
    assert runs[holder].returncode == 0, log
    assert "nothing deployed: trained on 120 rows" in out
    assert {runs[pid].returncode for pid in told} == {75}
    assert [out for out, _ in told.values()] == [""] * 9
    line = re.compile(HELD.format(holder, re.escape(str(lock))))
    assert [err for _, err in told.values() if not line.fullmatch(err)] == []
    assert source.query("SELECT command, outcome FROM runs") == [("fullprocess", "done")]
    assert not lock.exists()


def test_every_stage_by_hand_leaves_with_75_while_a_run_is_at_work(settled: Sandbox) -> None:
    with run_at_work(settled) as child:
        before = settled.files()
        results = {stage: settled.run(*stage) for stage in BY_HAND}
        after = settled.files()

    line = re.compile(HELD.format(child.pid, re.escape(str(settled.config.lock_path))))
    assert {stage: result.code for stage, result in results.items()} == dict.fromkeys(BY_HAND, 75)
    assert [result.out for result in results.values()] == [""] * len(BY_HAND)
    assert [r.err for r in results.values() if not line.fullmatch(r.err)] == []
    assert after == before


def test_what_changes_nothing_needs_no_lock(settled: Sandbox) -> None:
    with run_at_work(settled), serving(settled.config) as url:
        assert settled.run("deployment", "--list").code == 0
        assert settled.run("fullprocess", "--status").code == 0
        assert settled.run("apicalls", "--url", url).code == 0


def test_the_chain_leaves_with_75_while_a_stage_by_hand_is_at_work(settled: Sandbox) -> None:
    with run_lock(settled.config.lock_path):
        child = start(settled)
        out, err = child.communicate(timeout=60)

    line = HELD.format(os.getpid(), re.escape(str(settled.config.lock_path)))
    assert (child.returncode, out) == (75, "")
    assert re.fullmatch(line, err)


@pytest.mark.parametrize(("held", "free"), [((), ("--practice",)), (("--practice",), ())])
def test_practice_and_production_do_not_wait_for_each_other(
    settled: Sandbox, held: tuple[str, ...], free: tuple[str, ...]
) -> None:
    (settled.root / "practicedata").mkdir()

    with run_at_work(settled, *held):
        assert settled.run("fullprocess", *free).code == 0
        assert settled.run("fullprocess", *held).code == 75


def test_a_killed_run_leaves_no_stale_lock(settled: Sandbox) -> None:
    with held_at_start(settled) as (reached, _):
        child = start(settled)
        assert reached.wait(60)
        child.kill()
        child.communicate(timeout=60)
    settled.configure(heartbeat_url=None, practice=None)
    assert json.loads(settled.config.lock_path.read_text())["pid"] == child.pid

    result = settled.run("fullprocess")

    assert (result.code, result.out, result.err) == (0, "nothing new in sourcedata\n", "")
    assert not settled.config.lock_path.exists()


@pytest.mark.parametrize("left", ["", '{"pid": 4194305, "since": "2001-01-01T00:00:00.000Z"}'])
def test_a_holder_that_has_not_yet_said_who_it_is_is_waited_for(
    settled: Sandbox, left: str
) -> None:
    """What the file says at first is nothing, or what a killed run left (4194305 is no process)."""
    lock = settled.config.lock_path
    lock.write_text(left)
    with lock.open("r+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        child = start(settled)
        wait_until(lambda: child.poll() is not None or has_open(child.pid, lock))
        lock.write_text(json.dumps({"pid": os.getpid(), "since": utc_now()}))
        _, err = child.communicate(timeout=60)

    assert child.returncode == 75
    assert re.fullmatch(HELD.format(os.getpid(), re.escape(str(lock))), err)


def has_open(pid: int, path: Path) -> bool:
    """Whether a process has a file open."""
    with suppress(OSError):
        return any(link.readlink() == path for link in Path(f"/proc/{pid}/fd").iterdir())
    return False


# --- requests that meet a redeployment ---

FEATURES = ("lastmonth_activity", "lastyear_activity", "number_of_employees")
CLIENTS = [row.split(",") for row in client_rows(0, 40)]
ASKED = [dict(zip(FEATURES, map(float, client[1:4]), strict=True)) for client in CLIENTS]


@dataclass
class Redeployments:
    """A world with several trained models, and the answers that each of its releases must give."""

    world: Sandbox
    models: list[str]  # folders, each with a trained model and its score
    dice: random.Random
    answers: dict[str, tuple[list[int], list[float], float]] = field(default_factory=dict)

    @property
    def config(self) -> Config:
        return self.world.config

    def learn(self) -> None:
        """Work out what the live release must answer, by nothing but pickle and pandas."""
        release = live_release(self.config.prod_deployment_path)
        if release.id not in self.answers:
            model = pickle.loads((release.path / "trainedmodel.pkl").read_bytes())
            frame = pd.DataFrame(ASKED)
            risk = [round(float(value), 6) for value in model.predict_proba(frame)[:, 1]]
            f1 = float((release.path / "latestscore.txt").read_text())
            self.answers[release.id] = model.predict(frame).tolist(), risk, f1

    def next(self) -> None:
        """Deploy one of the models, or roll back."""
        production = self.config.prod_deployment_path
        if live_id(production) != release_ids(production)[0] and self.dice.random() < 0.35:
            result = self.world.run("deployment", "--rollback")
        else:
            chosen = self.world.root / self.models[len(self.answers) % len(self.models)]
            shutil.copytree(chosen, self.world.root / "models", dirs_exist_ok=True)
            result = self.world.run("deployment")
        assert result.code == 0, result.err
        self.learn()


@pytest.fixture
def redeployments(deployed: Sandbox) -> Redeployments:
    return three_models(deployed)


def three_models(deployed: Sandbox) -> Redeployments:
    """Three models that answer differently; one release of the first is live."""
    made = [shutil.copytree(deployed.root / "models", deployed.root / "models0").name]
    batches = [client_rows(300, 400, flipped=True), client_rows(2000, 700, noise=3)]
    for number, batch in enumerate(batches, start=1):
        deployed.write(f"sourcedata/c{number}.csv", batch)
        for stage in ("ingestion", "training", "scoring"):
            assert deployed.run(stage).code == 0
        made.append(
            shutil.copytree(deployed.root / "models", deployed.root / f"models{number}").name
        )
    found = Redeployments(deployed, made, random.Random(7))
    found.learn()
    return found


@dataclass
class Callers:
    """Threads that ask without a pause, and what they heard."""

    url: str
    over: Event = field(default_factory=Event)
    heard: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> None:
        """Ask until it is over."""
        with requests.Session() as session:
            session.trust_env = False
            while not self.over.is_set():
                try:
                    answer = session.request(method, self.url + path, json=body, timeout=60)
                    answer.raise_for_status()
                    self.heard.append((path, answer.json()))
                except (requests.RequestException, ValueError) as error:
                    self.failures.append(f"{path}: {error!r}")

    def heard_more_than(self, answers: int) -> bool:
        return len(self.heard) > answers or bool(self.failures)

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Five threads, for as long as the context lasts."""
        clients = ("POST", "/prediction", {"clients": ASKED})
        asked = [clients, clients, clients, ("GET", "/scoring"), ("GET", "/ready")]
        threads = [Thread(target=self.ask, args=args) for args in asked]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self.over.set()
            for thread in threads:
                thread.join()


def redeploy_under_fire(found: Redeployments, url: str, times: int) -> Callers:
    """Redeploy so many times while callers ask, each time until it is heard of."""
    callers = Callers(url)
    with callers.asking():
        for _ in range(times):
            before = len(callers.heard)
            found.next()
            wait_until(partial(callers.heard_more_than, before + 5))
    return callers


def check_answers(found: Redeployments, callers: Callers) -> None:
    assert callers.failures == []
    wrong = []
    for path, answer in callers.heard:
        predictions, risk, f1 = found.answers[answer["release"]]
        if path == "/prediction":
            right = (answer["predictions"], answer["risk"]) == (predictions, risk)
        else:
            right = path == "/ready" or answer["f1"] == f1
        if not right:
            wrong.append((path, answer))
    assert wrong == []


def in_threads(world: Sandbox) -> AbstractContextManager[str]:
    return serving(world.config)


def in_two_workers(world: Sandbox) -> AbstractContextManager[str]:
    return gunicorn(world, workers=2)


Server = Callable[[Sandbox], AbstractContextManager[str]]


@pytest.mark.parametrize(
    ("server", "times"),
    [(in_threads, 8), pytest.param(in_two_workers, 50, marks=pytest.mark.slow)],
)
def test_no_request_fails_and_no_answer_mixes_releases_while_they_change(
    redeployments: Redeployments, server: Server, times: int
) -> None:
    with server(redeployments.world) as url:
        callers = redeploy_under_fire(redeployments, url, times)
        served = requests.get(f"{url}/ready", timeout=60).json()["release"]

    distinct = {str(answer[:2]) for answer in redeployments.answers.values()}
    heard = {answer["release"] for _, answer in callers.heard}
    with redeployments.world.capsys.disabled():
        print(f"\n{times} redeployments, {len(callers.heard):,} answers of {len(heard)} releases")
    check_answers(redeployments, callers)
    assert len(distinct) == 3
    assert len(heard) > times / 3
    assert served == live_id(redeployments.config.prod_deployment_path)
