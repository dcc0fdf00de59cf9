"""A real Spark on loopback: a standalone master and two workers of one core and 1 GiB each."""

import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

REQUIRED = "SPARK_TESTS" in os.environ
WORKERS = 2
DEPLOY = "org.apache.spark.deploy"


@dataclass(frozen=True)
class Cluster:
    """What a config needs to reach it."""

    master: str
    conf: dict[str, str]

    @property
    def engine(self) -> dict[str, object]:
        return {"kind": "spark", "master": self.master, "conf": self.conf}

    def executors(self) -> list[int]:
        """The processes that work for our driver now."""
        return [pid for pid, command in _processes() if "CoarseGrainedExecutorBackend" in command]

    def kill_executors(self) -> int:
        """Kill them all, with SIGKILL, once there are any; how many there were, after 20 s none."""
        until = time.monotonic() + 20
        killed = 0
        while not killed and time.monotonic() < until:
            for pid in self.executors():
                with suppress(ProcessLookupError):  # it ended by itself
                    os.kill(pid, signal.SIGKILL)
                    killed += 1
            time.sleep(0.02)
        return killed


def _processes() -> Iterator[tuple[int, str]]:
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            yield int(path.parent.name), path.read_bytes().replace(b"\0", b" ").decode()
        except (FileNotFoundError, ProcessLookupError):
            continue


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _home() -> Path:
    """Where Spark is installed; skips without it, or fails where it is required."""
    found = importlib.util.find_spec("pyspark")
    if not (found and found.origin and shutil.which("java")):
        why = "Spark is not here: pip install -r pipeline/requirements-spark.txt, and Java 17"
        raise (pytest.fail.Exception if REQUIRED else pytest.skip.Exception)(why)
    return Path(found.origin).parent


@contextmanager
def cluster_in(place: Path) -> Iterator[Cluster]:
    """A cluster whose logs and work are in a folder, for as long as the context lasts."""
    spark = _home() / "bin/spark-class"
    env = os.environ | {"PYSPARK_PYTHON": sys.executable, "SPARK_LOCAL_IP": "127.0.0.1"}
    # executors that tests kill are no reason to give up a driver
    env["SPARK_MASTER_OPTS"] = "-Dspark.deploy.maxExecutorRetries=-1"
    port, shared = _free_port(), ["--host", "127.0.0.1", "--webui-port", "0"]
    master = f"spark://127.0.0.1:{port}"
    size = ["--cores", "1", "--memory", "1g", "--work-dir", str(place)]
    commands = [[f"{DEPLOY}.master.Master", *shared, "--port", str(port)]]
    commands += [[f"{DEPLOY}.worker.Worker", master, *shared, *size]] * WORKERS
    started = []
    try:
        for number, command in enumerate(commands):
            log = place / f"{number}.log"
            with log.open("wb") as file:
                process = subprocess.Popen(
                    [spark, *command], env=env, stdout=file, stderr=file, start_new_session=True
                )
            started.append(process)
            until = time.monotonic() + 60
            while ("Successfully registered" if number else "ALIVE") not in log.read_text():
                assert time.monotonic() < until, log.read_text()
                time.sleep(0.1)
        conf = {"spark.sql.shuffle.partitions": "3", "spark.executor.memory": "1g"}
        yield Cluster(master, conf | {"spark.driver.host": "127.0.0.1"})
    finally:
        for process in started:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@contextmanager
def connect_server(place: Path) -> Iterator[str]:
    """The address of a server of Spark Connect, for as long as the context lasts."""
    home, port, log = _home(), _free_port(), place / "connect.log"
    env = os.environ | {"PYSPARK_PYTHON": sys.executable, "SPARK_NO_DAEMONIZE": "1"}
    env |= {"SPARK_LOCAL_IP": "127.0.0.1", "SPARK_HOME": str(home), "SPARK_LOG_DIR": str(place)}
    words = ["--master", "local[2]", "--conf", f"spark.connect.grpc.binding.port={port}"]
    command = [home / "sbin/start-connect-server.sh", *words]
    with log.open("wb") as file:
        started = subprocess.Popen(
            command, env=env, stdout=file, stderr=file, start_new_session=True
        )
    try:
        until = time.monotonic() + 90
        while "Spark Connect server started" not in log.read_text():
            assert time.monotonic() < until, log.read_text()
            time.sleep(0.1)
        yield f"sc://127.0.0.1:{port}"
    finally:
        os.killpg(started.pid, signal.SIGKILL)
        started.wait()
