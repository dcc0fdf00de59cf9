"""Manifests of trained models: what a model is made of and from; the standard library only."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import NoneType
from typing import Any

from pipeline.core.errors import ModelError
from pipeline.core.schema import Schema
from pipeline.models.manifestjson import (
    UNREADABLE,
    get,
    get_list,
    get_texts,
    is_one_of,
    json_text,
    load_object,
)
from pipeline.models.recipe import Recipe

MODEL = "trainedmodel.pkl"
SCORE = "latestscore.txt"
RECORD = "ingestedfiles.txt"
MANIFEST = "manifest.json"
REFERENCE = "reference.json"  # what the model's training data were like
CARD = "modelcard.md"


@dataclass(frozen=True)
class SelfCheck:
    """A few rows of features, None where missing, and the risk the model gave them when made."""

    rows: tuple[tuple[float | str | None, ...], ...]
    risk: tuple[float, ...]


@dataclass(frozen=True)
class ModelManifest:
    """What a model is made of and from.

    `usual` holds the median of each number and the most frequent category in its data, NaN as None;
    it is empty in a manifest of an older version.
    """

    sha256: str
    trained_at: str
    rows: int  # labelled ones, which it learned from
    last_file: int  # the ledger's id of the last file among its data
    schema: Schema
    versions: dict[str, str]
    self_check: SelfCheck
    recipe: Recipe = field(default_factory=Recipe)
    usual: tuple[float | str | None, ...] = ()


def read_manifest(path: Path) -> ModelManifest:
    """The manifest beside a trained model; raises `ModelError` if it is missing or damaged."""
    try:
        return manifest_of(load_object(path))
    except FileNotFoundError:
        raise ModelError(f"{path} is missing: run `python training.py` first") from None
    except UNREADABLE as error:
        raise ModelError(f"{path} is damaged ({error}): run `python training.py`") from None


def manifest_text(manifest: ModelManifest) -> str:
    """The manifest of a trained model, as its file holds it."""
    return json_text(manifest_object(manifest))


def manifest_object(manifest: ModelManifest) -> dict[str, Any]:
    """The manifest of a trained model, for a program."""
    return {**asdict(manifest), "schema": manifest.schema._asdict()}


def manifest_of(told: dict[str, Any]) -> ModelManifest:
    """The manifest that an object tells; raises `ValueError` where it is none."""
    roles = get(told, "schema", dict)
    schema = Schema(
        client=get(roles, "client", str),
        outcome=get(roles, "outcome", str),
        numeric=get_list(roles, "numeric", str),
        categorical=get_list(roles, "categorical", str),
    )
    return ModelManifest(
        sha256=get(told, "sha256", str),
        trained_at=get(told, "trained_at", str),
        rows=get(told, "rows", int),
        last_file=get(told, "last_file", int),
        schema=schema,
        versions=get_texts(told, "versions"),
        self_check=_self_check_of(get(told, "self_check", dict), schema),
        recipe=_recipe_of(get(told, "recipe", dict)) if "recipe" in told else Recipe(),
        usual=_usual_of(told, schema) if "usual" in told else (),
    )


def _recipe_of(told: dict[str, Any]) -> Recipe:
    evidence = get(told, "evidence", dict)
    if not all(is_one_of(value, (float, int)) for value in evidence.values()):
        raise ValueError('"evidence" holds something else than numbers')
    return Recipe(
        kind=get(told, "kind", str),
        calibration=get(told, "calibration", str),
        threshold=get(told, "threshold", float, int),
        rule=get(told, "rule", str),
        seed=get(told, "seed", int),
        evidence=evidence,
    )


def _usual_of(told: dict[str, Any], schema: Schema) -> tuple[float | str | None, ...]:
    values = tuple(get(told, "usual", list))
    if not values:
        return values
    if len(values) != len(schema.features) or not all(map(_fits, values, _kinds(schema))):
        raise ValueError('"usual" does not fit "schema"')
    return values


def _self_check_of(told: dict[str, Any], schema: Schema) -> SelfCheck:
    rows, risk = get_list(told, "rows", list), get_list(told, "risk", float, int)
    kinds = _kinds(schema)
    for row in rows:
        if len(row) != len(kinds) or not all(map(_fits, row, kinds)):
            raise ValueError('"rows" of "self_check" do not fit "schema"')
    if not rows or len(rows) != len(risk):
        raise ValueError('"self_check" has not one risk for each row')
    return SelfCheck(tuple(tuple(row) for row in rows), risk)


def _kinds(schema: Schema) -> list[tuple[type, ...]]:
    """What the value of each feature may be."""
    kinds: list[tuple[type, ...]] = [(float, int, NoneType)] * len(schema.numeric)
    return kinds + [(str, NoneType)] * len(schema.categorical)


def _fits(value: Any, kinds: tuple[type, ...]) -> bool:
    return type(value) in kinds
