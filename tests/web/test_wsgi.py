"""The API under gunicorn, with two workers, as it is run in production."""

import os
import subprocess
import sys

import pytest
from gunicorns import gunicorn
from redeployments import releases_served
from sandbox import PROJECT, Sandbox, client_rows

from pipeline.registry.releases import live_id


@pytest.mark.slow
def test_gunicorn_serves_and_all_its_workers_follow_a_redeploy(deployed: Sandbox) -> None:
    production = deployed.config.prod_deployment_path
    with gunicorn(deployed, "--workers", "2") as url:
        first, served_first = live_id(production), releases_served(url)
        deployed.write("sourcedata/c.csv", client_rows(300, 60))
        for stage in ("ingestion", "training", "scoring", "deployment"):
            assert deployed.run(stage).code == 0
        second, served_second = live_id(production), releases_served(url)

    assert served_first == {first}
    assert served_second == {second}
    assert first != second


@pytest.mark.slow
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
