"""Saving a model with its manifest, loading it after checking it, and asking it."""

import io
import json
import logging
import pickle
import platform
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd
from sklearn.exceptions import InconsistentVersionWarning

from pipeline.core.errors import ModelError
from pipeline.core.files import utc_now, write_atomic
from pipeline.core.schema import Schema
from pipeline.core.threads import threads_for
from pipeline.data.features import Row
from pipeline.data.reference import reference_object
from pipeline.models.anatomy import unwrap_model
from pipeline.models.fast_linear import linear_of
from pipeline.models.manifest import (
    MANIFEST,
    MODEL,
    REFERENCE,
    ModelManifest,
    SelfCheck,
    manifest_text,
    read_manifest,
)
from pipeline.models.recipe import Recipe
from pipeline.models.training_data import TrainingData
from pipeline.models.unpickling import unpickle

log = logging.getLogger(__name__)

CHECKED_ROWS = 5
BLOCK_ROWS = 16  # a multiple of the rows that BLAS takes at a time
TRAIN_AGAIN = "train again with the versions installed here, or install those of its manifest"


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
    model: Model,
    folder: Path,
    *,
    data: TrainingData,
    risk: np.ndarray,
    recipe: Recipe,
    last_file: int,
) -> TrainedModel:
    """Write a model, its manifest and its reference into a folder.

    `data` are the rows it was fitted on; `risk`, of any length, the risks of such rows.
    """
    content = pickled(model)
    versions = {name: version(name) for name in ("scikit-learn", "numpy", "pandas")}
    manifest = ModelManifest(
        sha256=sha256(content).hexdigest(),
        trained_at=utc_now(),
        rows=data.rows,
        last_file=last_file,
        schema=data.schema,
        versions={"python": platform.python_version(), **versions},
        self_check=_self_check(model, data.head(CHECKED_ROWS)),
        recipe=recipe,
        usual=_told_row(data.usual(_medians_in(model))),
    )
    reference = reference_object(data.reference(risk, recipe.seed))
    write_atomic(folder / MODEL, content)
    write_atomic(folder / REFERENCE, json.dumps(reference, ensure_ascii=False) + "\n")
    write_atomic(folder / MANIFEST, manifest_text(manifest))
    return TrainedModel(model, manifest)


def pickled(model: Model) -> bytes:
    """The same bytes for the same model, whatever else this process has done.

    The usual pickle notes which equal texts are one object in memory, and that depends on what was
    loaded before. Without its memo, only values count; a fitted estimator has no loops, which that
    could not write.
    """
    content = io.BytesIO()
    pickler = pickle.Pickler(content, protocol=5)
    pickler.fast = True
    pickler.dump(model)
    return content.getvalue()


def _self_check(model: Model, frame: pd.DataFrame) -> SelfCheck:
    rows = [_without_nan(row) for row in frame.itertuples(index=False)]
    return SelfCheck(tuple(rows), tuple(risk_of(model, frame).tolist()))


def _medians_in(model: Model) -> list[float] | None:
    """The medians that a logistic model holds; 0 for a column without values."""
    linear = linear_of(unwrap_model(model).core)
    return None if linear is None else linear.medians.tolist()


def _told_row(row: Row) -> tuple[float | str | None, ...]:
    return _without_nan([*row.numbers, *row.texts])


def _without_nan(values: Iterable[Any]) -> tuple[float | str | None, ...]:
    return tuple(None if pd.isna(value) else value for value in values)


def load_trained(folder: Path, schema: Schema) -> TrainedModel:
    """The model of a folder; raises `ModelError` if it is missing, damaged or of another schema."""
    manifest = read_manifest(folder / MANIFEST)
    return TrainedModel(load_model(folder / MODEL, manifest, schema), manifest)


def load_model(path: Path, manifest: ModelManifest, schema: Schema) -> Model:
    """The one place that unpickles: the same bytes that were digested, after they proved right."""
    content = _content(path)
    if sha256(content).hexdigest() != manifest.sha256:
        raise ModelError(f"{path} is not the model that its manifest describes: train again")
    if manifest.schema.features != schema.features:
        raise ModelError(
            f"{path} was trained on {', '.join(manifest.schema.features)};"
            f" config.json names {', '.join(schema.features)}: train again"
        )
    if changed := set(manifest.schema.numeric) ^ set(schema.numeric):
        raise ModelError(
            f"{path} was trained when config.json had {', '.join(sorted(changed))} in another"
            " role: train again"
        )
    model = _unpickled(path, content, manifest)
    _check_itself(path, model, manifest)
    return model


def _content(path: Path) -> bytes:
    if not path.is_file():
        raise ModelError(f"{path} is missing: run `python training.py` first")
    try:
        return path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}") from None


def _unpickled(path: Path, content: bytes, manifest: ModelManifest) -> Model:
    made_by = manifest.versions.get("scikit-learn")
    if made_by != version("scikit-learn"):
        log.warning(
            "%s was made by scikit-learn %s; %s is installed here",
            *(path, made_by, version("scikit-learn")),
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", InconsistentVersionWarning)  # told just above
            model: Model = unpickle(content)
    except ModelError as error:
        log.error("%s is refused: %s", path, error)
        raise ModelError(f"{path} is refused: {error}") from error
    return model


def _check_itself(path: Path, model: Model, manifest: ModelManifest) -> None:
    """Ask the model what it was asked when it was made: another version may answer otherwise."""
    check = manifest.self_check
    try:
        rows = pd.DataFrame(check.rows, columns=list(manifest.schema.features))
        rows = rows.astype(dict.fromkeys(manifest.schema.numeric, "float64"))
        risk = risk_of(model, rows)
        same = np.allclose(risk, check.risk, rtol=0, atol=1e-6)
    except Exception as error:  # whatever it is, the model is of no use here
        raise ModelError(f"{path} fails its self-check: {error!r}: {TRAIN_AGAIN}") from error
    if not same:
        raise ModelError(
            f"{path} fails its self-check: it gives {risk.tolist()} where it gave"
            f" {list(check.risk)} when it was made: {TRAIN_AGAIN}"
        )


def risk_of(model: Model, frame: pd.DataFrame) -> np.ndarray:
    """The probability of leaving for each row: shape (rows,), float64 from 0 to 1."""
    if frame.empty:
        return np.empty(0)
    with threads_for(len(frame)):
        risk: np.ndarray = model.predict_proba(_asked(model, frame))[: len(frame), 1]
    return risk


def predictions_of(model: Model, frame: pd.DataFrame) -> np.ndarray:
    """The predicted outcome of each row: shape (rows,), 0 or 1."""
    if frame.empty:
        return np.empty(0, dtype="int64")
    with threads_for(len(frame)):
        return model.predict(_asked(model, frame))[: len(frame)]


def _asked(model: Model, frame: pd.DataFrame) -> pd.DataFrame:
    """The features of the rows, the last one again until their number is whole.

    BLAS rounds the few rows that are left over from its blocks otherwise than those within: so
    that a client's risk is the same to the last bit whoever else is asked about, none is left over.
    """
    rows = frame[list(model.feature_names_in_)]
    missing = -len(rows) % BLOCK_ROWS
    if not missing:
        return rows
    return rows.take(np.minimum(np.arange(len(rows) + missing), len(rows) - 1))
