"""Manifests of trained models: how and from what a model was made; standard library only.

What reads the JSON of a manifest raises `ValueError` where a value is missing or of another type.
"""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import NoneType
from typing import Any, NoReturn

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


def manifest_from_dict(found: dict[str, Any]) -> ModelManifest:
    """The manifest in a JSON object; raises `ValueError` if it is not one."""
    roles = get(found, "schema", dict)
    schema = Schema(
        client=get(roles, "client", str),
        outcome=get(roles, "outcome", str),
        numeric=get_list(roles, "numeric", str),
        categorical=get_list(roles, "categorical", str),
    )
    return ModelManifest(
        sha256=get(found, "sha256", str),
        trained_at=get(found, "trained_at", str),
        rows=get(found, "rows", int),
        last_file=get(found, "last_file", int),
        schema=schema,
        versions=get_texts(found, "versions"),
        self_check=_self_check_from(get(found, "self_check", dict), schema),
        recipe=_recipe_from(get(found, "recipe", dict)) if "recipe" in found else Recipe(),
        usual=_usual_from(found, schema) if "usual" in found else (),
    )


def _recipe_from(found: dict[str, Any]) -> Recipe:
    evidence = get(found, "evidence", dict)
    if not all(is_one_of(value, (float, int)) for value in evidence.values()):
        raise ValueError('"evidence" holds a value that is not a number')
    return Recipe(
        kind=get(found, "kind", str),
        calibration=get(found, "calibration", str),
        threshold=get(found, "threshold", float, int),
        rule=get(found, "rule", str),
        seed=get(found, "seed", int),
        evidence=evidence,
    )


def _usual_from(found: dict[str, Any], schema: Schema) -> tuple[float | str | None, ...]:
    values = tuple(get(found, "usual", list))
    if not values:
        return values
    if len(values) != len(schema.features) or not all(map(_fits, values, _kinds(schema))):
        raise ValueError('"usual" does not fit "schema"')
    return values


def _self_check_from(found: dict[str, Any], schema: Schema) -> SelfCheck:
    rows, risk = get_list(found, "rows", list), get_list(found, "risk", float, int)
    kinds = _kinds(schema)
    for row in rows:
        if len(row) != len(kinds) or not all(map(_fits, row, kinds)):
            raise ValueError('"rows" of "self_check" do not fit "schema"')
    if not rows or len(rows) != len(risk):
        raise ValueError('"self_check" does not have one risk per row')
    return SelfCheck(tuple(tuple(row) for row in rows), risk)


def _kinds(schema: Schema) -> list[tuple[type, ...]]:
    """The types that the value of each feature may have."""
    kinds: list[tuple[type, ...]] = [(float, int, NoneType)] * len(schema.numeric)
    return kinds + [(str, NoneType)] * len(schema.categorical)


def _fits(value: Any, kinds: tuple[type, ...]) -> bool:
    return type(value) in kinds


def load_object(path: Path) -> dict[str, Any]:
    """The JSON object in a file; raises one of `UNREADABLE`."""
    found = json.loads(path.read_text(encoding="utf-8"), parse_constant=_no_number)
    if type(found) is not dict:
        raise ValueError("it is not a JSON object")
    return found


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is not a number")


def get(found: dict[str, Any], key: str, *kinds: type) -> Any:
    """The value of a key, which must have one of these types."""
    if key not in found:
        raise ValueError(f'"{key}" is missing')
    if not is_one_of(found[key], kinds):
        raise ValueError(f'"{key}" has the wrong type')
    return found[key]


def get_list(found: dict[str, Any], key: str, *kinds: type) -> tuple[Any, ...]:
    """The values of an array, each of which must have one of these types."""
    values = get(found, key, list)
    if not all(is_one_of(value, kinds) for value in values):
        raise ValueError(f'"{key}" holds a value of the wrong type')
    return tuple(values)


def get_texts(found: dict[str, Any], key: str) -> dict[str, str]:
    """A JSON object whose values are all texts."""
    values: dict[str, str] = get(found, key, dict)
    if not all(is_one_of(value, (str,)) for value in values.values()):
        raise ValueError(f'"{key}" holds a value that is not a text')
    return values


def is_one_of(value: Any, kinds: tuple[type, ...]) -> bool:
    """Whether a value has one of these types and, if it is a text, can be shown."""
    return type(value) in kinds and not (type(value) is str and UNTELLABLE.search(value))


def to_json(found: dict[str, Any]) -> str:
    """A JSON object as the text of a file."""
    return json.dumps(found, indent=2, ensure_ascii=False) + "\n"
