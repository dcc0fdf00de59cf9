"""Manifests of trained models: how and from what a model was made; standard library only."""

import json
from collections.abc import Sequence
from dataclasses import MISSING, asdict, dataclass, field, fields, is_dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, NoReturn, get_args, get_origin, get_type_hints

from pipeline.core.errors import ModelError
from pipeline.core.schema import UNTELLABLE, Schema

LOGISTIC, BOOSTING, AUTO = "logistic", "boosting", "auto"
UNCALIBRATED, SIGMOID, ISOTONIC = "none", "sigmoid", "isotonic"
HALF = 0.5  # the threshold of a classifier without one of its own

MODEL = "trainedmodel.pkl"
SCORE = "latestscore.txt"
RECORD = "ingestedfiles.txt"
MANIFEST = "manifest.json"
REFERENCE = "reference.json"  # what the model's training data were like
CARD = "modelcard.md"
UNREADABLE = (
    OSError,
    ValueError,
    OverflowError,
    RecursionError,
)  # what reading a manifest may raise


@dataclass(frozen=True)
class Recipe:
    """How a model was made: what config.json asked for, what was chosen, and on which evidence.

    `evidence` maps names such as `brier_sigmoid` to the cross-validated figures behind the choices.
    """

    kind: str = LOGISTIC  # or boosting
    calibration: str = UNCALIBRATED  # or sigmoid, isotonic
    threshold: float = HALF  # clients at or above this risk are predicted to leave
    rule: str = "fixed"  # how the threshold was chosen: fixed, f1, or where a contact pays
    seed: int = 0
    evidence: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class SelfCheck:
    """A few rows of features, None where missing, and the risk that the new model gave them."""

    rows: tuple[tuple[float | str | None, ...], ...]
    risk: tuple[float, ...]


@dataclass(frozen=True)
class ModelManifest:
    """What a model is, and what it was trained on.

    `usual` holds the median or most frequent category of each feature in the training data, NaN as
    None; it is empty in manifests of older versions.
    """

    sha256: str
    trained_at: str
    rows: int  # labelled rows, all of which it was trained on
    last_file: int  # id in the ledger of the last file in its training data
    schema: Schema
    versions: dict[str, str]
    self_check: SelfCheck
    recipe: Recipe = field(default_factory=Recipe)
    usual: tuple[float | str | None, ...] = ()


def read_manifest(path: Path) -> ModelManifest:
    """The manifest beside a trained model; raises `ModelError` if it is missing or damaged."""
    try:
        return manifest_from_dict(load_object(path))
    except FileNotFoundError:
        raise ModelError(f"{path} is missing: run `python training.py` first") from None
    except UNREADABLE as error:
        raise ModelError(f"{path} is damaged ({error}): run `python training.py`") from None


def manifest_text(manifest: ModelManifest) -> str:
    """The text of a manifest's file."""
    return to_json(manifest_to_dict(manifest))


def manifest_to_dict(manifest: ModelManifest) -> dict[str, Any]:
    """The manifest as JSON types."""
    return asdict(manifest)


def manifest_from_dict(values: Any) -> ModelManifest:
    """The manifest in a JSON object; raises `ValueError` or `OverflowError` if it is not one."""
    manifest: ModelManifest = parse_object(ModelManifest, values)
    check, kinds = manifest.self_check, _kinds(manifest.schema)
    if not all(_fits(row, kinds) for row in check.rows):
        raise ValueError('"rows" of "self_check" do not fit "schema"')
    if not check.rows or len(check.rows) != len(check.risk):
        raise ValueError('"self_check" does not have one risk per row')
    if manifest.usual and not _fits(manifest.usual, kinds):
        raise ValueError('"usual" does not fit "schema"')
    return manifest


def _kinds(schema: Schema) -> list[type]:
    """The type of each feature's values, which may be None as well."""
    return [float] * len(schema.numeric) + [str] * len(schema.categorical)


def _fits(row: Sequence[float | str | None], kinds: list[type]) -> bool:
    return len(row) == len(kinds) and all(
        value is None or type(value) is kind for value, kind in zip(row, kinds, strict=True)
    )


def load_object(path: Path) -> dict[str, Any]:
    """The JSON object in a file; raises one of `UNREADABLE`."""
    found = json.loads(path.read_text(encoding="utf-8"), parse_constant=_no_number)
    if type(found) is not dict:
        raise ValueError("it is not a JSON object")
    return found


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is not a number")


def parse_object(kind: type, values: Any, name: str = "it", **given: Any) -> Any:
    """A JSON object as a dataclass; the fields that are `given` are not read.

    Fields with defaults may be missing. Raises `ValueError`, which names the key, if a value is
    missing or of the wrong type, and `OverflowError` for a number that is too large.
    """
    if type(values) is not dict:
        raise ValueError(f'"{name}" has the wrong type')
    found, hints = {}, get_type_hints(kind)
    for one in fields(kind):
        if one.name in values and one.name not in given:
            found[one.name] = _parse(hints[one.name], values[one.name], one.name)
        elif one.name not in given and one.default is one.default_factory is MISSING:
            raise ValueError(f'"{one.name}" is missing')
    return kind(**found, **given)


def _parse(kind: Any, value: Any, name: str) -> Any:
    if is_dataclass(kind):
        return parse_object(kind, value, name)
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is tuple and type(value) is list:
        return tuple(_parse(arguments[0], item, name) for item in value)
    if origin is dict and type(value) is dict:
        return {key: _parse(arguments[1], item, name) for key, item in value.items()}
    if origin is UnionType:
        if value is None and NoneType in arguments:
            return None
        kind = next((one for one in arguments if _matches(one, value)), arguments[0])
        return _parse(kind, value, name)
    if not _matches(kind, value):
        raise ValueError(f'"{name}" has the wrong type')
    return kind(value)


def _matches(kind: Any, value: Any) -> bool:
    """Whether a value is of a plain type; a whole number is a float, too."""
    if type(value) is str and UNTELLABLE.search(value):
        return False
    return type(value) is kind or (kind is float and type(value) is int)


def to_json(found: dict[str, Any]) -> str:
    """A JSON object as the text of a file."""
    return json.dumps(found, indent=2, ensure_ascii=False) + "\n"
