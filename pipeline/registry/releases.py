"""Releases, and which one is live; the standard library only."""

import os
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from types import NoneType
from typing import Any

from pipeline.core.errors import ReleaseError
from pipeline.models.manifest import MANIFEST, ModelManifest, manifest_object, manifest_of
from pipeline.models.manifestjson import UNREADABLE, get, get_texts, json_text, load_object

CURRENT = "current"  # the link to the release that is live
_ID = re.compile(r"\d+-\w+")


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


def live_id(production: Path) -> str | None:
    """The id of the release that is live, or None; raises `ReleaseError` if nobody can tell."""
    try:
        # each request of the API asks; a Path made of the answer takes as long as the answer
        link = os.readlink(f"{production}/{CURRENT}")  # noqa: PTH115
        return link.rstrip("/").rpartition("/")[2]
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ReleaseError(
            f"{production / CURRENT} is no link to a release: {error.strerror}"
        ) from None


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
        told = load_object(path / MANIFEST)
        return Release(
            id=release_id,
            path=path,
            deployed_at=get(told, "deployed_at", str),
            f1=float(get(told, "f1", float, int)),
            previous=get(told, "previous", str, NoneType),
            files=get_texts(told, "files"),
            model=manifest_of(get(told, "model", dict)),
            challenge=_challenge_of(told),
        )
    except UNREADABLE as error:
        raise ReleaseError(f"release {release_id} is damaged: {MANIFEST}: {error}") from error


def release_text(release: Release) -> str:
    """The manifest of a release, as its file holds it."""
    return json_text(release_object(release))


def release_object(release: Release) -> dict[str, Any]:
    """A release as its manifest tells it, which does not say where it lies."""
    told = {**asdict(release), "model": manifest_object(release.model)}
    del told["path"]
    return told


def _challenge_of(told: dict[str, Any]) -> Challenge | None:
    found = told.get("challenge")
    if found is None:
        return None
    found = get(told, "challenge", dict)
    return Challenge(
        **{key: get(found, key, str) for key in ("gate", "champion", "reason")},
        **{
            key: get(found, key, float, int)
            for key in ("rows", "champion_f1", "challenger_f1", "low", "high")
        },
    )
