"""Executors and drivers that die: the result is the right one, at once or after the next run."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from sandbox import PROJECT
from spark_cluster import Cluster
from sparkworlds import Worlds, assert_alike, live, put, table

pytestmark = [
    pytest.mark.spark,
    pytest.mark.filterwarnings("ignore:PySpark does not yet fully support pandas:FutureWarning"),
]


def first_week(worlds: Worlds) -> None:
    for world in worlds:
        put(world, "week1.csv", table(1, range(600), known=True), 0)
    live(worlds)


def second_week(worlds: Worlds) -> None:
    for world in worlds:
        late = [f"client{i:04d},1" for i in range(0, 40) if i % 11]
        put(world, "late.csv", [*late, "nobody,1"], 6, "corporation,exited")
        put(world, "week1.csv", table(1, range(100, 620), known=True), 7)
        put(world, "week2.csv", table(2, range(300, 900), known=False), 7)


def test_executors_are_killed_in_each_phase(
    worlds: Worlds, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each write is a phase; soon after each has begun all executors are killed."""
    from pipeline.spark import ranking, reading, session, store

    first_week(worlds)
    second_week(worlds)
    killed: dict[str, int] = {}

    def write(frame: object, folder: Path, *by: str) -> None:
        def kill() -> None:
            killed[folder.name.partition("-")[0]] = cluster.kill_executors()

        timer = threading.Timer(0.3, kill)
        timer.start()
        session.write(frame, folder, *by)
        timer.join()

    for module in (ranking, reading, store):
        monkeypatch.setattr(module, "write", write)
    live(worlds)
    assert {phase for phase, count in killed.items() if count} >= {
        *("read", "parts", "again", "ranked", "changed", "points")
    }


def under(root: Path, name: str) -> list[Path]:
    """The folders of this name that Spark has written, or writes."""
    places = ("ingesteddata/finaldata.parquet", "models/clientrisk.parquet")
    return [path for place in places for path in (root / place).glob(name)]


def test_the_driver_is_killed(worlds: Worlds) -> None:
    from pyspark.sql import SparkSession

    from pipeline.spark import session

    first_week(worlds)
    second_week(worlds)
    SparkSession.getActiveSession().stop()  # it has all cores of the cluster
    session.spark_session.cache_clear()
    root = worlds[1].root
    command = [sys.executable, PROJECT / "fullprocess.py", "--config", root / "config.json"]
    for phase in ("read-*", "part-*", "parts-*", "sample-*", "ranked-*", "points-*"):
        before = {*under(root, phase)}
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as run:
            while not {*under(root, phase)} - before:
                assert run.poll() is None, f"it ended before {phase}"
                time.sleep(0.01)
            os.kill(run.pid, signal.SIGKILL)
    worlds[0].run("fullprocess")
    assert worlds[1].run("fullprocess").code == 0
    assert_alike(worlds)
    for place in ("ingesteddata/finaldata.parquet", "models/clientrisk.parquet"):
        names = [path.name.partition("-")[0] for path in (root / place).iterdir()]
        assert not {"read", "parts", "again", "ranked", "changed"} & {*names}
        assert max(names.count("sample"), names.count("points")) == 1
