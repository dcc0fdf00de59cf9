"""Saving a model with its manifest, and loading it after checking it."""

import io
import json
import logging
import pickle
import platform
import warnings
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from msgspec import to_builtins
from sklearn.exceptions import InconsistentVersionWarning

from pipeline.core.errors import ModelError
from pipeline.core.files import utc_now, write_atomic
from pipeline.core.formatting import told_apart
from pipeline.core.schema import Schema
from pipeline.data.frames import usual_row
from pipeline.data.reference import reference_of
from pipeline.models.cross_validation import TrainingData
from pipeline.models.estimators import Model, risk_of
from pipeline.models.manifest import (
    MANIFEST,
    MODEL,
    REFERENCE,
    ModelManifest,
    Recipe,
    SelfCheck,
    read_manifest,
    to_json,
)
from pipeline.models.unpickling import RefusedError, unpickle

log = logging.getLogger(__name__)

CHECKED_ROWS = 5
TRAIN_AGAIN = "train again with the versions installed here, or install those of its manifest"


class OtherVersionError(ModelError):
    """A model was made by another scikit-learn, and cannot be used with the one installed here."""


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
    data_until: str = "",
    warned: tuple[str, ...] = (),
    drawn_from: int = 0,
    contacts: tuple[str, ...] = (),
) -> TrainedModel:
    """Write a model, its manifest and its reference into a folder.

    `data` are the rows it was fitted on; `risk`, of any length, the risks of such rows; `warned`
    is what the training warns of; `drawn_from` is how many rows there are, if they are of a sample;
    `contacts` is what these have to do with them.
    """
    content, usual = pickled(model), usual_row(data.frame, data.schema)
    checked = data.frame[list(data.schema.features)].head(CHECKED_ROWS)
    rows = tuple(_without_nan(row) for row in checked.itertuples(index=False))
    versions = {name: version(name) for name in ("scikit-learn", "numpy", "pandas")}
    manifest = ModelManifest(
        sha256=sha256(content).hexdigest(),
        trained_at=utc_now(),
        rows=data.rows,
        last_file=last_file,
        schema=data.schema,
        versions={"python": platform.python_version(), **versions},
        self_check=SelfCheck(rows, tuple(risk_of(model, checked).tolist())),
        recipe=recipe,
        usual=_without_nan([*usual.numbers, *usual.texts]),
        left=data.left,
        data_until=data_until,
        warnings=warned,
        drawn_from=drawn_from,
        contacts=contacts,
    )
    reference = to_builtins(reference_of(data.frame, risk, data.schema, recipe.seed))
    write_atomic(folder / MODEL, content)
    write_atomic(folder / REFERENCE, json.dumps(reference, ensure_ascii=False) + "\n")
    write_atomic(folder / MANIFEST, to_json(asdict(manifest)))
    return TrainedModel(model, manifest)


def pickled(model: Model) -> bytes:
    """The same bytes for the same model, whatever else this process has done.

    An ordinary pickle notes which equal texts are one object in memory, which depends on what was
    loaded before. Without its memo only values count; fitted estimators hold no reference cycles,
    which that could not write.
    """
    content = io.BytesIO()
    pickler = pickle.Pickler(content, protocol=5)
    pickler.fast = True
    pickler.dump(model)
    return content.getvalue()


def _without_nan(values: Iterable[Any]) -> tuple[float | str | None, ...]:
    return tuple(None if pd.isna(value) else value for value in values)


def load_trained(folder: Path, schema: Schema) -> TrainedModel:
    """The model of a folder; raises `ModelError` if it is missing, damaged or of another schema."""
    manifest = read_manifest(folder / MANIFEST)
    return TrainedModel(load_model(folder / MODEL, manifest, schema), manifest)


def load_model(path: Path, manifest: ModelManifest, schema: Schema) -> Model:
    """A model whose file is as its manifest says; the one place that unpickles.

    The bytes that are unpickled are those whose digest was checked. Raises `ModelError` if the file
    is missing, damaged, of another schema, or does not predict here what it did when it was made;
    `OtherVersionError` if that may be because another scikit-learn is installed.
    """
    if not path.is_file():
        raise ModelError(f"{path} is missing: run `python training.py` first")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}") from None
    if sha256(content).hexdigest() != manifest.sha256:
        raise ModelError(f"{path} is not the model that its manifest describes: train again")
    if manifest.schema.features != schema.features:
        found, expected = told_apart(manifest.schema.features, schema.features)
        raise ModelError(
            f"{path} was trained on {found}; config.json names {expected}: train again"
        )
    if changed := set(manifest.schema.numeric) ^ set(schema.numeric):
        raise ModelError(
            f"{path} was trained when config.json had {', '.join(sorted(changed))} in another"
            " role: train again"
        )
    made_by, here = manifest.versions.get("scikit-learn"), version("scikit-learn")
    if made_by != here:
        log.warning("%s was made by scikit-learn %s; %s is installed here", path, made_by, here)
    unusable = ModelError if made_by == here else OtherVersionError
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", InconsistentVersionWarning)  # logged just above
            model: Model = unpickle(content)
    except ModelError as error:
        log.error("%s is refused: %s", path, error)
        kind = ModelError if isinstance(error, RefusedError) else unusable
        raise kind(f"{path} is refused: {error}") from error
    _check_itself(path, model, manifest, unusable)
    return model


def _check_itself(
    path: Path, model: Model, manifest: ModelManifest, unusable: type[ModelError]
) -> None:
    """Repeat the predictions of the manifest: under other package versions they may differ."""
    features, check = list(manifest.schema.features), manifest.self_check
    try:
        if list(model.feature_names_in_) != features:
            raise ValueError("it is of other features")
        rows = pd.DataFrame(check.rows, columns=features)
        risk = risk_of(model, rows.astype(dict.fromkeys(manifest.schema.numeric, "float64")))
        same = np.allclose(risk, check.risk, rtol=0, atol=1e-6)
    except Exception as error:  # whatever it is, the model cannot be used here
        raise unusable(f"{path} fails its self-check: {error!r}: {TRAIN_AGAIN}") from error
    if not same:
        raise unusable(
            f"{path} fails its self-check: it gives {risk.tolist()} where it gave"
            f" {list(check.risk)} when it was made: {TRAIN_AGAIN}"
        )
