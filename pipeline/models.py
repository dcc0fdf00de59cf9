"""Saving a model with its manifest, loading it after checking it, and asking it."""

import logging
import pickle
import platform
from dataclasses import dataclass
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd

from pipeline.errors import ModelError, ReleaseError
from pipeline.files import sha256_of, utc_now, write_atomic
from pipeline.releases import MANIFEST, MODEL, ModelManifest, Release, manifest_text, read_manifest
from pipeline.schema import Schema

log = logging.getLogger(__name__)


class Model(Protocol):
    """A fitted binary classifier, as scikit-learn makes them."""

    feature_names_in_: Any

    def predict(self, frame: pd.DataFrame) -> np.ndarray:
        """The class of each row, 0 or 1: shape (rows,)."""

    def predict_proba(self, frame: pd.DataFrame) -> np.ndarray:
        """The probability of each class: shape (rows, 2), of the outcome 1 last."""


@dataclass(frozen=True)
class TrainedModel:
    """A model with the manifest that describes it."""

    model: Model
    manifest: ModelManifest


def save_model(
    model: Model, folder: Path, *, rows: int, last_file: int, schema: Schema
) -> TrainedModel:
    """Write a model and its manifest into a folder."""
    content = pickle.dumps(model, protocol=5)
    versions = {name: version(name) for name in ("scikit-learn", "numpy", "pandas")}
    manifest = ModelManifest(
        sha256=sha256(content).hexdigest(),
        trained_at=utc_now(),
        rows=rows,
        last_file=last_file,
        schema=schema,
        versions={"python": platform.python_version(), **versions},
    )
    write_atomic(folder / MODEL, content)
    write_atomic(folder / MANIFEST, manifest_text(manifest))
    return TrainedModel(model, manifest)


def load_trained(folder: Path, schema: Schema) -> TrainedModel:
    """The model of a folder; raises `ModelError` if it is missing, damaged or of another schema."""
    manifest = read_manifest(folder / MANIFEST)
    return TrainedModel(_load(folder / MODEL, manifest, schema), manifest)


def load_release(release: Release, schema: Schema) -> Model:
    """Verify a release file by file and load its model.

    Raises `ReleaseError` or `ModelError` if it is damaged or of another schema.
    """
    for name, digest in release.files.items():
        file = release.path / name
        if not file.is_file() or sha256_of(file) != digest:
            raise ReleaseError(f"release {release.id} is damaged: {name} is not what was deployed")
    return _load(release.path / MODEL, release.model, schema)


def _load(path: Path, manifest: ModelManifest, schema: Schema) -> Model:
    """The one place that unpickles: the same bytes that were digested, after they proved right."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise ModelError(f"{path} is missing: run `python training.py` first") from None
    if sha256(content).hexdigest() != manifest.sha256:
        raise ModelError(f"{path} is not the model that its manifest describes: train again")
    if manifest.schema.features != schema.features:
        raise ModelError(
            f"{path} was trained on {', '.join(manifest.schema.features)};"
            f" config.json names {', '.join(schema.features)}: train again"
        )
    model: Model = pickle.loads(content)
    return model


def risk_of(model: Model, frame: pd.DataFrame) -> np.ndarray:
    """The probability of leaving for each row: shape (rows,), float64 from 0 to 1."""
    if frame.empty:
        return np.empty(0)
    risk: np.ndarray = model.predict_proba(frame[list(model.feature_names_in_)])[:, 1]
    return risk


def predictions_of(model: Model, frame: pd.DataFrame) -> np.ndarray:
    """The predicted outcome of each row: shape (rows,), 0 or 1."""
    if frame.empty:
        return np.empty(0, dtype="int64")
    return model.predict(frame[list(model.feature_names_in_)])
