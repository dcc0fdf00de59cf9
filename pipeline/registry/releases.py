"""Releases, which one is live, and the list of all."""

import os
import re
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pipeline.core.errors import ReleaseError
from pipeline.core.json_reader import from_json, is_printable
from pipeline.models.manifest import MANIFEST, ModelManifest, to_json

CURRENT = "current"  # the link to the live release
_ID = re.compile(r"\d+-\w+")


@dataclass(frozen=True)
class Challenge:
    """The comparison that a release won: F1 of both models on the same rows.

    `low` and `high` bound the 95 % interval of the difference, challenger minus champion.
    """

    gate: str
    champion: str  # the release that was live
    rows: int
    champion_f1: float
    challenger_f1: float
    low: float
    high: float
    reason: str
    numbers: dict[str, float] = field(default_factory=dict)  # of the evidence, by name


@dataclass(frozen=True, kw_only=True)
class _Stored:
    """What the manifest of a release holds beside its id, which is the name of its folder."""

    deployed_at: str
    f1: float
    previous: str | None  # the release that was live before
    files: dict[str, str]  # name -> SHA-256
    model: ModelManifest
    challenge: Challenge | None = None  # None if it was deployed without one

    def __post_init__(self) -> None:
        """Raise `ValueError` if a text cannot be shown."""
        challenge = vars(self.challenge) if self.challenge else {}
        if not is_printable([self.deployed_at, self.previous, self.files, challenge]):
            raise ValueError("a text cannot be shown")


@dataclass(frozen=True, kw_only=True)
class Release(_Stored):
    """One complete set of model, score and record in production."""

    id: str
    path: Path

    @property
    def horizon_days(self) -> int | None:
        """Within how many days a client leaves who is about to; None where it does not say."""
        return self.model.schema.horizon_days or None


def live_id(production: Path) -> str | None:
    """The id of the live release, or None; raises `ReleaseError` if `current` is not a link."""
    try:
        # each request of the API asks; making a Path of the answer would double the time
        link = os.readlink(f"{production}/{CURRENT}")  # noqa: PTH115
        return link.rstrip("/").rpartition("/")[2]
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ReleaseError(
            f"{production / CURRENT} is no link to a release: {error.strerror}"
        ) from None


def live_release(production: Path) -> Release:
    """The live release; raises `ReleaseError` if there is none."""
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
        stored = from_json((path / MANIFEST).read_bytes(), _Stored)
        return Release(id=release_id, path=path, **vars(stored))
    except (OSError, ValueError) as error:
        raise ReleaseError(f"release {release_id} is damaged: {MANIFEST}: {error}") from error


def release_text(release: Release) -> str:
    """The text of a release's manifest."""
    return to_json(release_to_dict(release))


def release_to_dict(release: Release) -> dict[str, Any]:
    """A release as JSON types, as in its manifest: without its path."""
    fields = {"id": release.id, **asdict(release)}
    del fields["path"]
    return fields


@dataclass(frozen=True)
class ListedRelease:
    """A release in the list: if its manifest is damaged, only the error."""

    id: str
    deployed_at: str | None = None
    f1: float | None = None
    rows: int | None = None  # which it was trained on
    error: str | None = None


@dataclass(frozen=True)
class ReleaseList:
    """The releases that are kept, oldest first, and the id of the live one."""

    live: str | None
    releases: tuple[ListedRelease, ...]


def list_releases(production: Path) -> ReleaseList:
    """Every release of a production folder; raises `ReleaseError` as `live_id` does."""
    live, listed = live_id(production), list[ListedRelease]()
    for release_id in release_ids(production):
        try:
            found = read_release(production, release_id)
        except ReleaseError as error:
            listed.append(ListedRelease(release_id, error=str(error)))
        else:
            shown = (found.deployed_at, found.f1, found.model.rows)
            listed.append(ListedRelease(release_id, *shown))
    return ReleaseList(live, tuple(listed))


def list_lines(found: ReleaseList) -> list[str]:
    """The list as an aligned table."""
    if not found.releases:
        return ["nothing is deployed yet"]
    lines = [f"  {'release':<32} {'deployed':<24} {'F1':>6}  trained on"]
    for one in found.releases:
        shown = one.error or f"{one.deployed_at:<24} {one.f1:6.4f}  {one.rows:,} rows"
        lines.append(f"{'*' if one.id == found.live else ' '} {one.id:<32} {shown}")
    return [*lines, "* is live"]
