"""Saving a model with its manifest, and loading it after checking it.

A pickle may name any function to be called. Ours may name nothing but the parts of our estimators;
whatever else one names is refused before anything of it runs.
"""

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
from pipeline.data.features import usual_row
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

log = logging.getLogger(__name__)

CHECKED_ROWS = 5
TRAIN_AGAIN = "train again with the versions installed here, or install those of its manifest"

# What a pickle may name. In code, never beside the artefact that it protects against.
ALLOWED = frozenset(
    {
        "builtins.slice",
        "numpy.dtype",
        "numpy.float64",
        "numpy.ndarray",
        "numpy.prod",
        "numpy.take",
        "numpy._core.multiarray._reconstruct",
        "numpy._core.multiarray.scalar",
        "numpy.clip",
        "numpy._core.numeric._frombuffer",
        "sklearn._loss._loss.CyHalfBinomialLoss",
        "sklearn._loss.link.Interval",
        "sklearn._loss.link.LogitLink",
        "sklearn._loss.loss.HalfBinomialLoss",
        "sklearn.calibration.CalibratedClassifierCV",
        "sklearn.calibration._CalibratedClassifier",
        "sklearn.calibration._SigmoidCalibration",
        "sklearn.compose._column_transformer.ColumnTransformer",
        "sklearn.ensemble._hist_gradient_boosting.binning._BinMapper",
        "sklearn.ensemble._hist_gradient_boosting.gradient_boosting.HistGradientBoostingClassifier",
        "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
        "sklearn.impute._base.MissingIndicator",
        "sklearn.impute._base.SimpleImputer",
        "sklearn.isotonic.IsotonicRegression",
        "sklearn.linear_model._logistic.LogisticRegression",
        "sklearn.model_selection._classification_threshold.FixedThresholdClassifier",
        "sklearn.pipeline.Pipeline",
        "sklearn.preprocessing._data.StandardScaler",
        "sklearn.preprocessing._encoders.OneHotEncoder",
        "sklearn.preprocessing._encoders.OrdinalEncoder",
        "sklearn.preprocessing._function_transformer.FunctionTransformer",
    }
)


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
    content = pickled(model)
    usual = usual_row(data.frame, data.schema)
    versions = {name: version(name) for name in ("scikit-learn", "numpy", "pandas")}
    manifest = ModelManifest(
        sha256=sha256(content).hexdigest(),
        trained_at=utc_now(),
        rows=data.rows,
        last_file=last_file,
        schema=data.schema,
        versions={"python": platform.python_version(), **versions},
        self_check=_self_check(model, data.frame[list(data.schema.features)].head(CHECKED_ROWS)),
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


def _self_check(model: Model, frame: pd.DataFrame) -> SelfCheck:
    rows = [_without_nan(row) for row in frame.itertuples(index=False)]
    return SelfCheck(tuple(rows), tuple(risk_of(model, frame).tolist()))


def _without_nan(values: Iterable[Any]) -> tuple[float | str | None, ...]:
    return tuple(None if pd.isna(value) else value for value in values)


def load_trained(folder: Path, schema: Schema) -> TrainedModel:
    """The model of a folder; raises `ModelError` if it is missing, damaged or of another schema."""
    manifest = read_manifest(folder / MANIFEST)
    return TrainedModel(load_model(folder / MODEL, manifest, schema), manifest)


def load_model(path: Path, manifest: ModelManifest, schema: Schema) -> Model:
    """A model whose file is as its manifest says; the one place that unpickles.

    The bytes that are unpickled are those whose digest was checked. Raises `ModelError` if the file
    is missing, damaged, of another schema, or does not predict here what it did when it was made.
    """
    content = _content(path)
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
            warnings.simplefilter("ignore", InconsistentVersionWarning)  # logged just above
            model: Model = unpickle(content)
    except ModelError as error:
        log.error("%s is refused: %s", path, error)
        raise ModelError(f"{path} is refused: {error}") from error
    return model


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        # a name with dots leads on from what is allowed to its attributes
        if "." in name or f"{module}.{name}" not in ALLOWED:
            raise ModelError(
                f"it names {_printable(f'{module}.{name}')}, which no model of ours needs"
            )
        return super().find_class(module, name)


def unpickle(content: bytes) -> Any:
    """The object in a pickle of ours.

    Raises `ModelError` if it names anything that is not allowed, or cannot be read with the
    packages installed here.
    """
    try:
        return _Unpickler(io.BytesIO(content)).load()
    except ModelError:
        raise
    except Exception as error:  # a pickle of other versions may fail in any way
        raise ModelError(
            f"it cannot be unpickled here ({type(error).__name__}: {_printable(str(error))})"
        ) from error


def _printable(text: str) -> str:
    """Text from a pickle, which may hold anything, on one line."""
    return repr(text[:200])[1:-1]


def _check_itself(path: Path, model: Model, manifest: ModelManifest) -> None:
    """Repeat the predictions of the manifest: under other package versions they may differ."""
    check = manifest.self_check
    try:
        rows = pd.DataFrame(check.rows, columns=list(manifest.schema.features))
        rows = rows.astype(dict.fromkeys(manifest.schema.numeric, "float64"))
        risk = risk_of(model, rows)
        same = np.allclose(risk, check.risk, rtol=0, atol=1e-6)
    except Exception as error:  # whatever it is, the model cannot be used here
        raise ModelError(f"{path} fails its self-check: {error!r}: {TRAIN_AGAIN}") from error
    if not same:
        raise ModelError(
            f"{path} fails its self-check: it gives {risk.tolist()} where it gave"
            f" {list(check.risk)} when it was made: {TRAIN_AGAIN}"
        )
