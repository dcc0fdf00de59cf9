"""Runs that are killed, or whose disk is full or read-only: nothing is lost, the next one goes on.

The everyday tests kill small runs between their commits; the slow ones kill every kind of run at
every system call that changes or syncs a file, and at random moments, and fill its disk. With
`-rP`, pytest shows the figures. What is done and looked for stands in `crashes.py`.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

import pytest
from sandbox import PROJECT
from tracing import why_not

CPUS = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
MEMORY = Path("/dev/shm")  # a file system on which a sync takes no time
ALL = ("cold start", "no drift", "drift", "rejected", "rebuild", "rollback")

pytestmark = pytest.mark.skipif(why_not is not None, reason=str(why_not))


def crash(
    kind: str, scenario: str, *, workers: int = CPUS, shares: int | None = None
) -> Counter[str]:
    """Let workers share the cases of one kind and scenario; returns how many there were of what.

    With more shares than workers, that many cases are left out.
    """
    found = [json.loads(told) for told in _told(kind, scenario, workers, shares or workers)]
    if skipped := found[0]["skipped"]:
        pytest.skip(skipped)
    faults = [fault for part in found for fault in part["faults"]]
    cases = sum((Counter(part["cases"]) for part in found), Counter[str]())
    figures = {
        **{key: sum(part[key] for part in found) for key in ("states", "looks")},
        "seconds": round(max(part["seconds"] for part in found)),
    }
    print(f"{kind}, {scenario}: {found[0]['calls']} calls; {dict(cases)}; {figures}")
    assert not faults, "\n".join([f"{len(faults)} faults", *faults[:20]])
    return cases


def _told(kind: str, scenario: str, workers: int, shares: int) -> list[str]:
    environment = {
        **os.environ,
        "PYTHONPATH": str(PROJECT),
        # one thread: only then is it safe to fork
        **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"),
    }
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as place:
        at_work = []
        for share in range(workers):
            folder = Path(place, str(share))
            folder.mkdir()
            words = [kind, scenario, str(share), str(shares), str(folder)]
            at_work.append(
                subprocess.Popen(
                    [sys.executable, str(PROJECT / "tests/support/crashes.py"), *words],
                    cwd=PROJECT,
                    env=environment,
                    text=True,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                )
            )
        ended = [worker.communicate() for worker in at_work]
    assert [worker.returncode for worker in at_work] == [0] * workers, "".join(e for _, e in ended)
    return [told for told, _ in ended]


# --- every day ---


def test_an_ingestion_killed_at_any_call_is_made_good_by_the_next() -> None:
    assert crash("commits", "ingestion", workers=1).total() > 20


@pytest.mark.slow
def test_a_rollback_killed_at_any_call_leaves_one_whole_release_live() -> None:
    assert crash("commits", "rollback by hand", workers=1).total() > 10


def test_an_ingestion_without_room_is_a_clear_error_and_goes_on_when_there_is_some() -> None:
    assert crash("long files", "ingestion", workers=1, shares=3)["refused"] > 5


# --- slow ---


@pytest.mark.slow
@pytest.mark.parametrize("scenario", ALL)
def test_killed_at_every_call_that_changes_a_file(scenario: str) -> None:
    assert crash("calls", scenario).total() > 50


@pytest.mark.slow
@pytest.mark.parametrize("scenario", ALL)
def test_killed_at_random_moments(scenario: str) -> None:
    assert crash("moments", scenario).total() >= 24


@pytest.mark.slow
@pytest.mark.parametrize("scenario", ["cold start", "drift"])
def test_no_file_may_grow_beyond_a_size(scenario: str) -> None:
    assert crash("long files", scenario)["refused"] > 10


@pytest.mark.slow
@pytest.mark.parametrize("scenario", ["cold start", "drift"])
def test_the_disk_is_full(scenario: str) -> None:
    assert crash("full disk", scenario)["refused"] > 10


@pytest.mark.slow
@pytest.mark.parametrize("scenario", ["drift", "rebuild", "rollback"])
def test_a_folder_is_read_only(scenario: str) -> None:
    assert crash("read-only", scenario)["refused"] > 1
