"""Runs that are killed, or whose disk is full or read-only: nothing is lost, the next one goes on.

Every kind of run is killed at every system call that changes or syncs a file (of a row of like ones
at the first and the last), and its disk filled.
With `-rP`, pytest shows the figures. What is done and checked is in `tests/support/crashes.py`.
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

MEMORY = Path("/dev/shm")  # a file system on which a sync takes no time
ALL = (
    "drift",
    "no drift",
    "cold start",
    "rejected",
    "rebuild",
    "rollback",
    "lists and outcomes",
    "withdrawal",
    "erasure",
    "reports",
)
SHARES = (0, 1)  # of the cases of one scenario, so that pytest's workers take equal parts

pytestmark = pytest.mark.skipif(why_not is not None, reason=str(why_not))


def crash(kind: str, scenario: str, share: int = 0, of: int = 1) -> Counter[str]:
    """Do one share of the cases of a kind and scenario; returns how many there were of what."""
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as folder:
        words = [kind, scenario, str(share), str(of), folder]
        done = subprocess.run(
            [sys.executable, str(PROJECT / "tests/support/crashes.py"), *words],
            cwd=PROJECT,
            env={**os.environ, "PYTHONPATH": str(PROJECT)},
            capture_output=True,
            text=True,
        )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    if found["skipped"]:
        pytest.skip(found["skipped"])
    figures = {key: found[key] for key in ("calls", "cases", "states", "looks", "seconds")}
    print(f"{kind}, {scenario}, {share + 1} of {of}: {figures}")
    faults = found["faults"]
    assert not faults, "\n".join([f"{len(faults)} faults", *faults[:20]])
    return Counter(found["cases"])


@pytest.mark.slow
@pytest.mark.parametrize("share", SHARES)
@pytest.mark.parametrize("scenario", ALL)
def test_killed_at_every_call_that_changes_a_file(scenario: str, share: int) -> None:
    assert crash("calls", scenario, share, len(SHARES)).total() > 15


@pytest.mark.slow
@pytest.mark.parametrize("scenario", ["cold start", "drift"])
def test_the_disk_is_full(scenario: str) -> None:
    assert crash("full disk", scenario)["refused"] > 10


@pytest.mark.slow
@pytest.mark.parametrize("scenario", ["drift", "rebuild", "rollback"])
def test_a_folder_is_read_only(scenario: str) -> None:
    assert crash("read-only", scenario)["refused"] > 1
