"""cron itself runs the chain, by the README's own command, with cron's bare environment."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sandbox import PROJECT
from servers import wait_until

from pipeline.cli import crontab_line
from pipeline.registry.releases import live_release

PID_FILE = Path("/var/run/crond.pid")


def readme_command() -> str:
    """The README's line that adds ours to the crontab."""
    (line,) = [
        line
        for line in (PROJECT / "README.md").read_text().splitlines()
        if line.startswith("(crontab -l")
    ]
    return line


def crontab_text() -> str:
    """What the crontab holds; empty if there is none."""
    return subprocess.run(["crontab", "-l"], capture_output=True, text=True, check=False).stdout


@pytest.fixture
def own_crontab() -> Iterator[str]:
    """The crontab as it was, which is put back at the end."""
    if os.geteuid() != 0 or not (shutil.which("cron") and shutil.which("crontab")):
        pytest.skip("this takes root and cron (on Debian: cron)")
    before = crontab_text()
    yield before
    if before:
        subprocess.run(["crontab", "-"], input=before, text=True, check=True)
    else:
        subprocess.run(["crontab", "-r"], capture_output=True, check=False)


@contextmanager
def daemon() -> Iterator[None]:
    """The cron daemon: the one that runs, or one of our own."""
    if daemon_runs():
        yield
        return
    child = subprocess.Popen(["cron", "-f"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
        assert child.poll() is None, "the cron daemon has ended"
    finally:
        child.terminate()
        child.wait(timeout=600)


def daemon_runs() -> bool:
    try:
        return Path(f"/proc/{int(PID_FILE.read_text())}/comm").read_text() == "cron\n"
    except (OSError, ValueError):
        return False


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The project in a folder of its own, with its environment, and nothing run yet."""
    place = tmp_path / 'it\'s 100% "R&D" | $HOME\\\\ü'
    place.mkdir()
    for name in ("pipeline", "sourcedata", "testdata", "practicedata"):
        shutil.copytree(PROJECT / name, place / name)
    for path in [*PROJECT.glob("*.py"), *PROJECT.glob("*.txt"), PROJECT / "config.json"]:
        shutil.copy(path, place)
    (place / ".venv").symlink_to(sys.prefix)
    return place


@pytest.mark.slow
def test_cron_deploys_at_the_first_tick_and_then_finds_nothing_new(
    checkout: Path, own_crontab: str
) -> None:
    every_minute = readme_command().replace("--crontab", "--crontab | sed 's,^[*]/10,*,'")
    path = {"PATH": f"{checkout}/.venv/bin:{os.environ['PATH']}"}
    log, lock = checkout / "fullprocess.log", checkout / "history.db.run/lock"

    subprocess.run(["bash", "-c", every_minute], cwd=checkout, check=True, env=os.environ | path)
    line = crontab_line(checkout, (), f"{checkout}/.venv/bin/python").replace("*/10", "*", 1)
    installed = crontab_text()
    assert installed.startswith(own_crontab)
    assert installed[len(own_crontab) :].splitlines()[-1] == line
    try:
        with daemon():
            wait_until(lambda: log.exists() and "nothing new in sourcedata\n" in log.read_text())
    finally:
        subprocess.run(["crontab", "-r"], check=True)
        wait_until(lambda: not lock.exists())
        if log.exists():
            print(log.read_text())

    release = live_release(checkout / "production_deployment")
    result = log.read_text()
    deployed = f"nothing deployed: trained on 10,000 rows and deployed {release.id}\n"
    assert deployed in result
    assert result.index(deployed) < result.index("nothing new in sourcedata\n")
    assert "error:" not in result
    assert "Traceback" not in result
