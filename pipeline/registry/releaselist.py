"""The releases that are kept, listed for people and programs; the standard library only."""

from dataclasses import dataclass
from pathlib import Path

from pipeline.core.errors import ReleaseError
from pipeline.registry.releases import live_id, read_release, release_ids


@dataclass(frozen=True)
class Listed:
    """A release in the list; where its manifest is damaged, the error in place of all it tells."""

    id: str
    deployed_at: str | None = None
    f1: float | None = None
    rows: int | None = None  # which it was trained on
    error: str | None = None


@dataclass(frozen=True)
class ReleaseList:
    """The releases that are kept, oldest first, and the id of the live one."""

    live: str | None
    releases: tuple[Listed, ...]


def list_releases(production: Path) -> ReleaseList:
    """Every release of a production folder; raises `ReleaseError` if none can be told live."""
    live = live_id(production)
    return ReleaseList(live, tuple(_listed(production, id_) for id_ in release_ids(production)))


def _listed(production: Path, release_id: str) -> Listed:
    try:
        found = read_release(production, release_id)
    except ReleaseError as error:
        return Listed(release_id, error=str(error))
    return Listed(release_id, found.deployed_at, found.f1, found.model.rows)


def list_lines(found: ReleaseList) -> list[str]:
    """The list as an aligned table."""
    if not found.releases:
        return ["nothing is deployed yet"]
    head = f"  {'release':<32} {'deployed':<24} {'F1':>6}  trained on"
    lines = [
        f"{'*' if listed.id == found.live else ' '} {listed.id:<32} {_told(listed)}"
        for listed in found.releases
    ]
    return [head, *lines, "* is live"]


def _told(listed: Listed) -> str:
    if listed.error:
        return listed.error
    return f"{listed.deployed_at:<24} {listed.f1:6.4f}  {listed.rows:,} rows"
