"""Folders before any work: whose they are, and that no other config writes into them."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pipeline.core.config import Config
from pipeline.core.errors import ConfigError
from pipeline.core.files import MARK, write_atomic


def claim(config: Config) -> None:
    """Mark the folders of models and releases as this history's.

    Raises `ConfigError` where another one's runs write into them. Rows say so themselves: they are
    compared with what is on record.
    """
    for key in ("output_model_path", "prod_deployment_path"):
        folder: Path = getattr(config, key)
        mark, place = folder / MARK, config.history_path
        # from the folder on, so that a project may be moved; links are followed, for two configs
        # may name one folder otherwise
        ours = str(place)
        if isinstance(place, Path):
            ours = os.path.relpath(place.resolve(), folder.resolve())
        if not mark.exists():
            write_atomic(mark, f"{ours}\n")
        elif (other := mark.read_text(encoding="utf-8").strip()) != ours:
            raise ConfigError(
                f"{folder} belongs to another history, {other} (from there), not to {place}: give"
                f' each config a "{key}" of its own; if only this one is left, delete {mark}'
            )


@contextmanager
def rights_of(folder: Path) -> Iterator[None]:
    """Give new files the rights that a folder gives, whatever the umask of who runs this by hand.

    Where that is root, they get its group, too.
    """
    found = next(path for path in (folder, *folder.parents) if path.exists()).stat()
    # its owner may always write: what is made goes elsewhere where the folder is read-only
    umask, group = os.umask(0o077 & ~found.st_mode), os.getegid()
    try:
        if os.geteuid() == 0:
            os.setegid(found.st_gid)
        yield
    finally:
        os.umask(umask)
        os.setegid(group)


def hand_over(config: Config) -> None:
    """Give what root has made to the owner of the folder that it is in: cron's runs go on there."""
    if os.geteuid():
        return
    history, made = config.history_path, [config.path, config.root / "fullprocess.log"]
    for folder in config.output_folder_path, config.output_model_path, config.prod_deployment_path:
        parents = [path for path in folder.parents if path.is_relative_to(config.root)]
        if any(path.exists() and path.stat().st_uid for path in (folder, folder.parent, *parents)):
            made += [*parents, folder, *folder.rglob("*")]
    if isinstance(history, Path):
        history = history.resolve()
        folder = history.parent
        made += [folder, *folder.glob(f"{history.name}*"), *folder.glob(f"{history.name}.run/*")]
    for path in sorted(made):  # folders before what is in them
        with suppress(FileNotFoundError):
            made_as, owner = path.lstat(), path.parent.stat()
            # where nothing is to change, a file that nobody may change is no fault
            if made_as.st_uid == 0 and (owner.st_uid, owner.st_gid) != (0, made_as.st_gid):
                os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)
