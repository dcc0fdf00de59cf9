"""Worlds whose rows lie in buckets. To import this skips a module where the packages are missing.

With ENGINE_TESTS=required in the environment, as where they must not be missing, it fails instead.
"""

import importlib
import os
import shutil
from pathlib import Path

import pytest
from conftest import Sandbox


def needs_engine(*packages: str) -> None:
    """Skip, or fail where they are required, unless these packages are installed."""
    for package in packages:
        try:
            importlib.import_module(package)
        except ImportError:
            if os.environ.get("ENGINE_TESTS") == "required":
                raise
            told = f"{package} is not installed: pipeline/requirements-dask.txt"
            pytest.skip(told, allow_module_level=True)


needs_engine("pyarrow")

from pipeline import inbox  # noqa: E402
from pipeline.bucketing import ingest_files, leave_file  # noqa: E402
from pipeline.bucketledger import counted_buckets  # noqa: E402
from pipeline.bucketranking import rank_buckets  # noqa: E402
from pipeline.bucketstore import BucketStore  # noqa: E402
from pipeline.engine import InProcess  # noqa: E402
from pipeline.history import History  # noqa: E402
from pipeline.models import load_release  # noqa: E402
from pipeline.reasons import Explainer, usual_client  # noqa: E402
from pipeline.releases import live_release  # noqa: E402
from pipeline.scorers import Scorer, scorer_of  # noqa: E402


def in_buckets(world: Sandbox, place: Path, buckets: int) -> Sandbox:
    """A copy of a world that keeps the same rows in buckets, for a pool of two."""
    shutil.copytree(world.root, place, symlinks=True)
    twin = Sandbox(place, world.capsys)
    twin.configure(engine={"kind": "pool", "workers": 2, "buckets": buckets})
    take_in(twin, rebuilt=True)
    return twin


def take_in(world: Sandbox, *, rebuilt: bool = False) -> None:
    """What the stage does with new files, or all of them, in this process."""
    config = world.config
    with History(config.history_path) as history:
        found = inbox.list_input(config.input_folder_path)
        files = found if rebuilt else inbox.new_files(history, found)
        ingest_files(config, history, InProcess(), files, rebuilt=rebuilt)
        leave_file(config)


def rank(world: Sandbox, scorer: Scorer | None = None) -> tuple[int, str]:
    """Rank the clients of buckets in this process, by the live release or another scorer."""
    config = world.config
    release = live_release(config.prod_deployment_path)
    scorer = scorer or scorer_of(load_release(release, config.schema), release.model)
    labels = [config.labels[column] for column in config.schema.features]
    explainer = Explainer(scorer, usual_client(release.model), labels)
    with History(config.history_path) as history:
        store = BucketStore(config, InProcess(), tuple(counted_buckets(config, history)))
        return rank_buckets(store, history, release, explainer)
