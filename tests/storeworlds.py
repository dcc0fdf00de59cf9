"""The same client rows kept in both ways: in one file, and in buckets."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from modelling import MIXED, random_table

import ingestion
from pipeline import inbox
from pipeline.config import Config, load_config
from pipeline.history import History
from pipeline.ledger import last_file
from pipeline.models import TrainedModel, save_model
from pipeline.schema import Schema
from pipeline.store import Store, open_store
from training import fit


def messy_table(rows: int = 900, seed: int = 3) -> pd.DataFrame:
    """A random table with clients of several rows and outcomes that are not known."""
    frame = random_table(MIXED, rows, seed)
    frame["client"] = [f"c{i * 7 % (rows * 2 // 3)}" for i in range(rows)]
    random = np.random.default_rng(seed)
    frame.loc[random.random(rows) < 0.1, "left"] = np.nan
    return frame


def kept_rows(
    root: Path, frames: Sequence[pd.DataFrame], schema: Schema, buckets: int = 0, **keys: Any
) -> Config:
    """A project whose files, one a frame, are taken in: into so many buckets, or into one file.

    The last one is taken in after the others.
    """
    (root / "sourcedata").mkdir(parents=True)
    told: dict[str, Any] = {
        "input_folder_path": "sourcedata",
        "output_folder_path": "ingesteddata",
        "test_data_path": "testdata",
        "output_model_path": "models",
        "prod_deployment_path": "production_deployment",
        "schema": schema._asdict(),
        **keys,
    }
    if buckets:
        told["engine"] = {"kind": "pool", "workers": 2, "buckets": buckets}
    (root / "config.json").write_text(json.dumps(told))
    config = load_config(root / "config.json")
    for i, frame in enumerate(frames):
        if i and i == len(frames) - 1:
            take_in(config)
        frame.to_csv(config.input_folder_path / f"f{i}.csv", index=False)
    take_in(config)
    return config


def take_in(config: Config) -> None:
    """Take in what is new, in this process."""
    if not config.engine.bucketed:
        ingestion.ingest(config)
        return
    from pipeline.bucketing import ingest_files
    from pipeline.engine import InProcess

    with History(config.history_path) as history:
        files = inbox.new_files(history, inbox.list_input(config.input_folder_path))
        ingest_files(config, history, InProcess(), files)


@contextmanager
def opened(config: Config) -> Iterator[Store]:
    """The store of a project; this process does all the work."""
    with History(config.history_path) as history, open_store(config, history, here=True) as store:
        yield store


def train_here(config: Config) -> TrainedModel:
    """What `training.train` does, but for its timing and its log, in this process."""
    with opened(config) as store, History(config.history_path) as history:
        data = store.training_data()
        fitted = fit(data, config.policy)
        return save_model(
            fitted.model,
            config.output_model_path,
            data=data,
            risk=fitted.risk,
            recipe=fitted.recipe,
            last_file=last_file(history),
        )
