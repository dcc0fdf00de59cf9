"""Manifests, releases, and which release is live; the standard library only."""

import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pipeline.errors import ModelError, ReleaseError
from pipeline.schema import Schema

MODEL = "trainedmodel.pkl"
SCORE = "latestscore.txt"
RECORD = "ingestedfiles.txt"
MANIFEST = "manifest.json"
CURRENT = "current"
_ID = re.compile(r"\d+-\w+")


@dataclass(frozen=True)
class SelfCheck:
    """A few rows of features, None where missing, and the risk the model gave them when made."""

    rows: tuple[tuple[float | str | None, ...], ...]
    risk: tuple[float, ...]


@dataclass(frozen=True)
class ModelManifest:
    """What a model is made of and from."""

    sha256: str
    trained_at: str
    rows: int  # labelled ones, which it learned from
    last_file: int  # the ledger's id of the last file among its data
    schema: Schema
    versions: dict[str, str]
    self_check: SelfCheck


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


def live_id(production: Path) -> str | None:
    """The id of the release that is live, or None."""
    try:
        return (production / CURRENT).readlink().name
    except FileNotFoundError:
        return None


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
        told = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
        return Release(
            id=release_id,
            path=path,
            deployed_at=told["deployed_at"],
            f1=float(told["f1"]),
            previous=told["previous"],
            files=dict(told["files"]),
            model=_manifest_of(told["model"]),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ReleaseError(f"release {release_id} is damaged: {MANIFEST}: {error!r}") from error


def release_text(release: Release) -> str:
    """The manifest of a release, as its file holds it."""
    told = {key: value for key, value in asdict(release).items() if key != "path"}
    return _json_text(told)


def read_manifest(path: Path) -> ModelManifest:
    """The manifest beside a trained model; raises `ModelError` if it is missing or damaged."""
    try:
        return _manifest_of(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise ModelError(f"{path} is missing: run `python training.py` first") from None
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{path} is damaged ({error!r}): run `python training.py`") from None


def manifest_text(manifest: ModelManifest) -> str:
    """The manifest of a trained model, as its file holds it."""
    return _json_text(asdict(manifest))


def _manifest_of(told: dict[str, Any]) -> ModelManifest:
    roles = {key: tuple(told["schema"][key]) for key in ("numeric", "categorical")}
    check = SelfCheck(
        rows=tuple(tuple(row) for row in told["self_check"]["rows"]),
        risk=tuple(told["self_check"]["risk"]),
    )
    schema = Schema(**{**told["schema"], **roles})
    return ModelManifest(**{**told, "schema": schema, "self_check": check})


def _json_text(told: dict[str, Any]) -> str:
    return json.dumps(told, indent=2, ensure_ascii=False) + "\n"
