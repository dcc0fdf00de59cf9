"""Runs that meet each other, and requests that meet a redeployment."""

import json
import os
import re
import signal
from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest
import requests
from gunicorns import gunicorn
from redeployments import Redeployments, check_answers, redeploy_under_fire, three_models
from runs import held_at_start, run_at_work, start
from sandbox import Sandbox
from servers import serving, wait_until

from pipeline.registry.releases import live_id

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


# --- the lock ---


@pytest.mark.slow
def test_of_ten_runs_at_once_one_works_and_nine_name_it(source: Sandbox) -> None:
    lock = source.config.lock_path
    with held_at_start(source) as (reached, go_on):
        runs = {child.pid: child for child in (start(source) for _ in range(10))}
        assert reached.wait(600)
        holder = json.loads(lock.read_text())["pid"]
        os.kill(holder, signal.SIGSTOP)  # it cannot end before the others have come
        try:
            wait_until(lambda: sum(run.poll() is None for run in runs.values()) == 1)
        finally:
            os.kill(holder, signal.SIGCONT)
        go_on.set()
        result = {pid: run.communicate(timeout=600) for pid, run in runs.items()}

    out, log = result.pop(holder)
    assert runs[holder].returncode == 0, log
    assert "nothing deployed: trained on 120 rows" in out
    assert {runs[pid].returncode for pid in result} == {75}
    assert [out for out, _ in result.values()] == [""] * 9
    line = re.compile(HELD.format(holder, re.escape(str(lock))))
    assert [err for _, err in result.values() if not line.fullmatch(err)] == []
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


@pytest.mark.parametrize(("held", "free"), [((), ("--practice",)), (("--practice",), ())])
def test_practice_and_production_do_not_wait_for_each_other(
    settled: Sandbox, held: tuple[str, ...], free: tuple[str, ...]
) -> None:
    (settled.root / "practicedata").mkdir()

    with run_at_work(settled, *held):
        assert settled.run("fullprocess", *free).code == 0
        assert settled.run("fullprocess", *held).code == 75


# --- requests that meet a redeployment ---


@pytest.fixture
def redeployments(deployed: Sandbox) -> Redeployments:
    return three_models(deployed)


def in_threads(world: Sandbox) -> AbstractContextManager[str]:
    return serving(world.config)


def in_two_workers(world: Sandbox) -> AbstractContextManager[str]:
    return gunicorn(world, "--workers", "2")


Server = Callable[[Sandbox], AbstractContextManager[str]]


@pytest.mark.parametrize(
    ("server", "times"),
    [(in_threads, 5), pytest.param(in_two_workers, 50, marks=pytest.mark.slow)],
)
def test_no_request_fails_and_no_answer_mixes_releases_while_they_change(
    redeployments: Redeployments, server: Server, times: int
) -> None:
    with server(redeployments.world) as url:
        callers = redeploy_under_fire(redeployments, url, times)
        served = requests.get(f"{url}/ready", timeout=600).json()["release"]

    distinct = {str(answer[:2]) for answer in redeployments.answers.values()}
    heard = {answer["release"] for _, answer in callers.heard}
    with redeployments.world.capsys.disabled():
        print(f"\n{times} redeployments, {len(callers.heard):,} answers of {len(heard)} releases")
    check_answers(redeployments, callers)
    assert len(distinct) == 3
    assert len(heard) > times / 3
    assert served == live_id(redeployments.config.prod_deployment_path)
