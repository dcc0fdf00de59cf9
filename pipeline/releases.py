"""Manifests, releases, and which release is live; the standard library only."""

import json
import re
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import NoneType
from typing import Any, NoReturn

from pipeline.errors import ModelError, ReleaseError
from pipeline.recipe import Recipe
from pipeline.schema import UNTELLABLE, Schema
from pipeline.standing import live_id as live_id  # every tick asks it, and no more of this

MODEL = "trainedmodel.pkl"
SCORE = "latestscore.txt"
RECORD = "ingestedfiles.txt"
MANIFEST = "manifest.json"
REFERENCE = "reference.json"  # what the model's training data were like
CARD = "modelcard.md"
_ID = re.compile(r"\d+-\w+")
_UNREADABLE = (OSError, ValueError, OverflowError, RecursionError)  # whatever a manifest holds


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


@dataclass(frozen=True)
class Challenge:
    """The comparison that a release won: F1 of both models on the same rows.

    `low` and `high` bound the 95 % interval of the difference, challenger less champion.
    """

    gate: str
    champion: str  # the release that was live
    rows: int
    champion_f1: float
    challenger_f1: float
    low: float
    high: float
    reason: str


@dataclass(frozen=True)
class Release:
    """One complete set of model, score and record, as it lies in production."""

    id: str
    path: Path
    deployed_at: str
    f1: float
    previous: str | None  # the release that was live before
    files: dict[str, str]  # name -> SHA-256
    model: ModelManifest
    challenge: Challenge | None = None  # None where it was deployed without one


def live_release(production: Path) -> Release:
    """The release that is live; raises `ReleaseError` if none is."""
    if not (release_id := live_id(production)):
        raise ReleaseError(f"{production}: nothing is deployed yet")
    return read_release(production, release_id)


def release_ids(production: Path) -> list[str]:
    """The ids of all releases, oldest first."""
    folder = production / "releases"
    if not folder.is_dir():
        return []
    return sorted(path.name for path in folder.iterdir() if _ID.fullmatch(path.name))


def read_release(production: Path, release_id: str) -> Release:
    """A release by its id; raises `ReleaseError` if there is none or its manifest is damaged."""
    if release_id not in release_ids(production):
        raise ReleaseError(f"{production}: there is no release {release_id}")
    path = production / "releases" / release_id
    try:
        told = _told(path / MANIFEST)
        return Release(
            id=release_id,
            path=path,
            deployed_at=_value(told, "deployed_at", str),
            f1=float(_value(told, "f1", float, int)),
            previous=_value(told, "previous", str, NoneType),
            files=_texts(told, "files"),
            model=_manifest_of(_value(told, "model", dict)),
            challenge=_challenge_of(told),
        )
    except _UNREADABLE as error:
        raise ReleaseError(f"release {release_id} is damaged: {MANIFEST}: {error}") from error


def release_text(release: Release) -> str:
    """The manifest of a release, as its file holds it."""
    return _json_text(release_object(release))


def release_object(release: Release) -> dict[str, Any]:
    """A release as its manifest tells it, which does not say where it lies."""
    told = {**asdict(release), "model": manifest_object(release.model)}
    del told["path"]
    return told


def read_manifest(path: Path) -> ModelManifest:
    """The manifest beside a trained model; raises `ModelError` if it is missing or damaged."""
    try:
        return _manifest_of(_told(path))
    except FileNotFoundError:
        raise ModelError(f"{path} is missing: run `python training.py` first") from None
    except _UNREADABLE as error:
        raise ModelError(f"{path} is damaged ({error}): run `python training.py`") from None


def manifest_text(manifest: ModelManifest) -> str:
    """The manifest of a trained model, as its file holds it."""
    return _json_text(manifest_object(manifest))


def _told(path: Path) -> dict[str, Any]:
    """The object that a manifest holds; raises one of `_UNREADABLE`."""
    told = json.loads(path.read_text(encoding="utf-8"), parse_constant=_no_number)
    if type(told) is not dict:
        raise ValueError("it holds no object")
    return told


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number")


def manifest_object(manifest: ModelManifest) -> dict[str, Any]:
    """The manifest of a trained model, for a program."""
    return {**asdict(manifest), "schema": manifest.schema._asdict()}


def _manifest_of(told: dict[str, Any]) -> ModelManifest:
    roles = _value(told, "schema", dict)
    schema = Schema(
        client=_value(roles, "client", str),
        outcome=_value(roles, "outcome", str),
        numeric=_all(roles, "numeric", str),
        categorical=_all(roles, "categorical", str),
    )
    return ModelManifest(
        sha256=_value(told, "sha256", str),
        trained_at=_value(told, "trained_at", str),
        rows=_value(told, "rows", int),
        last_file=_value(told, "last_file", int),
        schema=schema,
        versions=_texts(told, "versions"),
        self_check=_self_check_of(_value(told, "self_check", dict), schema),
        recipe=_recipe_of(_value(told, "recipe", dict)) if "recipe" in told else Recipe(),
        usual=_usual_of(told, schema) if "usual" in told else (),
    )


def _recipe_of(told: dict[str, Any]) -> Recipe:
    evidence = _value(told, "evidence", dict)
    if not all(_is(value, (float, int)) for value in evidence.values()):
        raise ValueError('"evidence" holds something else than numbers')
    return Recipe(
        kind=_value(told, "kind", str),
        calibration=_value(told, "calibration", str),
        threshold=_value(told, "threshold", float, int),
        rule=_value(told, "rule", str),
        seed=_value(told, "seed", int),
        evidence=evidence,
    )


def _usual_of(told: dict[str, Any], schema: Schema) -> tuple[float | str | None, ...]:
    values = tuple(_value(told, "usual", list))
    if not values:
        return values
    if len(values) != len(schema.features) or not all(map(_fits, values, _kinds(schema))):
        raise ValueError('"usual" does not fit "schema"')
    return values


def _challenge_of(told: dict[str, Any]) -> Challenge | None:
    found = told.get("challenge")
    if found is None:
        return None
    found = _value(told, "challenge", dict)
    return Challenge(
        **{key: _value(found, key, str) for key in ("gate", "champion", "reason")},
        **{
            key: _value(found, key, float, int)
            for key in ("rows", "champion_f1", "challenger_f1", "low", "high")
        },
    )


def _self_check_of(told: dict[str, Any], schema: Schema) -> SelfCheck:
    rows, risk = _all(told, "rows", list), _all(told, "risk", float, int)
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


def _value(told: dict[str, Any], key: str, *kinds: type) -> Any:
    if key not in told:
        raise ValueError(f'"{key}" is missing')
    if not _is(told[key], kinds):
        raise ValueError(f'"{key}" is not what it should be')
    return told[key]


def _all(told: dict[str, Any], key: str, *kinds: type) -> tuple[Any, ...]:
    values = _value(told, key, list)
    if not all(_is(value, kinds) for value in values):
        raise ValueError(f'"{key}" holds something else than it should')
    return tuple(values)


def _texts(told: dict[str, Any], key: str) -> dict[str, str]:
    values: dict[str, str] = _value(told, key, dict)
    if not all(_is(value, (str,)) for value in values.values()):
        raise ValueError(f'"{key}" holds something else than texts')
    return values


def _is(value: Any, kinds: tuple[type, ...]) -> bool:
    return type(value) in kinds and not (type(value) is str and UNTELLABLE.search(value))


def _json_text(told: dict[str, Any]) -> str:
    return json.dumps(told, indent=2, ensure_ascii=False) + "\n"
