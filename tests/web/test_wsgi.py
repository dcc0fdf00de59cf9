"""The API under gunicorn, with two workers, as it is run in production."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import requests
from sandbox import PROJECT, Sandbox, client_rows
from servers import answers, free_port, wait_until

from pipeline.registry.releases import live_id


@contextmanager
def gunicorn(world: Sandbox, workers: int) -> Iterator[str]:
    port, command = free_port(), [sys.executable, "-m", "gunicorn", "wsgi:app"]
    child = subprocess.Popen(
        [*command, "--bind", f"127.0.0.1:{port}", "--workers", str(workers)],
        cwd=PROJECT,
        env={**os.environ, "RISK_CONFIG": str(world.root / "config.json")},
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until(lambda: answers(f"http://127.0.0.1:{port}/health"), seconds=60)
        yield f"http://127.0.0.1:{port}"
    finally:
        child.terminate()
        child.wait(timeout=30)


def releases_served(url: str) -> set[str]:
    """The releases that many requests, spread over the workers, are answered from."""
    asked = {"filepath": "testdata/testdata.csv"}
    return {
        requests.post(f"{url}/prediction", json=asked, timeout=30).json()["release"]
        for _ in range(20)
    }


def test_gunicorn_serves_and_all_its_workers_follow_a_redeploy(deployed: Sandbox) -> None:
    production = deployed.config.prod_deployment_path
    with gunicorn(deployed, workers=2) as url:
        first, served_first = live_id(production), releases_served(url)
        deployed.write("sourcedata/c.csv", client_rows(300, 60))
        for stage in ("ingestion", "training", "scoring", "deployment"):
            assert deployed.run(stage).code == 0
        second, served_second = live_id(production), releases_served(url)

    assert served_first == {first}
    assert served_second == {second}
    assert first != second


def test_what_is_loaded_at_the_start_is_no_work_for_the_collector(deployed: Sandbox) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import gc, wsgi; print(gc.get_freeze_count())"],
        cwd=PROJECT,
        env={**os.environ, "RISK_CONFIG": str(deployed.root / "config.json")},
        capture_output=True,
        text=True,
        check=True,
    )

    assert int(done.stdout) > 50_000
