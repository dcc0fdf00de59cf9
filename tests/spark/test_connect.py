"""A cluster that is reached by Spark Connect, without Java where the run is."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from sandbox import PROJECT
from spark_cluster import connect_server
from sparkworlds import HEADER, Worlds, assert_alike, put, table

pytestmark = pytest.mark.spark


def test_two_weeks_by_spark_connect(worlds: Worlds, tmp_path: Path) -> None:
    """Each run is a process of its own, as this one may have another session."""
    without_java = os.environ | {"PATH": "/nowhere", "JAVA_HOME": "/nowhere"}
    with connect_server(tmp_path) as address:
        worlds[1].configure(engine={"kind": "spark", "connect": address})
        for week in (1, 2):
            for world in worlds:
                rows = table(week, range(100 * week, 500 + 100 * week), known=week == 1)
                put(world, f"week{week}.csv", rows, 7 * week, HEADER)
            assert worlds[0].run("fullprocess").code == 0
            command = [sys.executable, "fullprocess.py", "--config", worlds[1].root / "config.json"]
            done = subprocess.run(
                command, cwd=PROJECT, env=without_java, capture_output=True, text=True
            )
            assert done.returncode == 0, done.stderr
            assert_alike(worlds)
