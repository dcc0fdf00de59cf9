"""Worlds whose rows lie in buckets; who imports this skips where packages are missing."""

import shutil
from pathlib import Path

import needsengine  # noqa: F401, first: it skips
from conftest import Sandbox

from pipeline import inbox
from pipeline.bucketing import ingest_files, leave_file
from pipeline.bucketledger import counted_buckets
from pipeline.bucketranking import rank_buckets
from pipeline.bucketstore import BucketStore
from pipeline.engine import InProcess
from pipeline.history import History
from pipeline.models import load_release
from pipeline.reasons import Explainer, usual_client
from pipeline.releases import live_release
from pipeline.scorers import Scorer, scorer_of


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
