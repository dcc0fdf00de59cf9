"""Changing the releases of a production folder: making one, putting one live, pruning.

A release is a folder below `releases` that is complete before it becomes visible. It goes live by
one rename of the link `current`, through which its files are read.
"""

import logging
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from pipeline.core.errors import ReleaseError
from pipeline.core.files import sha256_of, sync_folder, utc_now, write_atomic
from pipeline.models.manifest import CARD, MANIFEST, MODEL, RECORD, SCORE, ModelManifest
from pipeline.registry.releases import (
    CURRENT,
    Challenge,
    Release,
    live_id,
    live_release,
    read_release,
    release_ids,
    release_text,
)

log = logging.getLogger(__name__)

NEW = ".new"  # a release in the making


def make_release(
    production: Path,
    sources: Mapping[str, Path],
    *,
    model: ModelManifest,
    f1: float,
    challenge: Challenge | None,
    card: Callable[[Release], str],
) -> Release:
    """Write a complete release under a hidden name, then rename it.

    `sources` maps the names of its files to what to copy; `card` makes the text of its model card.
    """
    folder = production / "releases"
    hidden = folder / NEW
    shutil.rmtree(hidden, ignore_errors=True)  # what a killed run left
    hidden.mkdir(parents=True)
    for name, source in sources.items():
        write_atomic(hidden / name, source.read_bytes())
    now = utc_now()
    release = Release(
        id=_new_id(production, now),
        path=hidden,
        deployed_at=now,
        f1=f1,
        previous=live_id(production),
        files={name: sha256_of(hidden / name) for name in sources},
        model=model,
        challenge=challenge,
    )
    write_atomic(hidden / CARD, card(release))
    write_atomic(hidden / MANIFEST, release_text(release))
    hidden.rename(folder / release.id)
    sync_folder(folder)
    return read_release(production, release.id)


def _new_id(production: Path, now: str) -> str:
    """A number that only grows, so that ids sort by age whatever the clock does, and the time."""
    last = max((int(i.split("-")[0]) for i in release_ids(production)), default=0)
    return f"{last + 1:06d}-{now[:19].replace('-', '').replace(':', '')}Z"


def put_live(production: Path, release_id: str) -> None:
    """Point `current` at a release by one rename.

    The links to the three files lead through it. On the first deployment they are made before it,
    so that all three files appear at the same moment.
    """
    for name in (MODEL, SCORE, RECORD):
        target = Path(CURRENT) / name
        link = production / name
        if not link.is_symlink() or link.readlink() != target:
            _replace_link(link, target)
    _replace_link(production / CURRENT, Path("releases") / release_id)
    sync_folder(production)


def _replace_link(link: Path, target: Path) -> None:
    temporary = link.with_name(f".{link.name}.tmp")
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(target)
    temporary.replace(link)


def release_before(production: Path, live: Release) -> str:
    """The id of the release that was live before this one, else of the next older one."""
    ids = release_ids(production)
    earlier = [i for i in ids if i < live.id]
    if live.previous in earlier:
        return live.previous
    if not earlier:
        raise ReleaseError(f"there is no release before {live.id} to go back to")
    return earlier[-1]


def prune(production: Path, keep: int) -> None:
    """Delete the oldest releases beyond `keep`, never the live one or the one before it."""
    ids = release_ids(production)
    live = live_release(production)
    kept = {*ids[-keep:], live.id, live.previous, *[i for i in ids if i < live.id][-1:]}
    for release_id in ids:
        if release_id not in kept:
            hide(production, release_id)
            log.info("release %s is pruned", release_id)
    clear(production)


def hide(production: Path, release_id: str) -> None:
    """Hide a release before it is deleted, so that nobody lists one that is half deleted."""
    folder = production / "releases"
    (folder / release_id).rename(folder / f".old-{release_id}")


def clear(production: Path) -> None:
    """Delete hidden releases, and what a killed run left unfinished."""
    for name in (NEW, ".old-*"):
        for hidden in production.glob(f"releases/{name}"):
            try:
                shutil.rmtree(hidden)
            except OSError as error:  # another user's, or held open on a share: no run needs it
                log.warning("%s cannot be deleted: %s: %s", hidden, error.filename, error.strerror)
    for link in production.glob(".*.tmp"):
        link.unlink()
