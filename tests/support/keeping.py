"""Worlds that many tests begin with: made by the first that asks, copied by all others."""

import fcntl
import shutil
from collections.abc import Callable
from pathlib import Path

from sandbox import Sandbox


def made_once(world: Sandbox, kept: Path, make: Callable[[], object]) -> Sandbox:
    """Make something of a world, or lay over it what was made of the same world before.

    Another of pytest's workers may be about to make it: it is waited for.
    """
    with kept.with_name(f"{kept.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not kept.exists():
            make()
            new = kept.with_name(f"{kept.name}.new")
            shutil.rmtree(new, ignore_errors=True)
            shutil.copytree(world.root, new, symlinks=True)
            new.rename(kept)
            return world
    shutil.copytree(kept, world.root, symlinks=True, dirs_exist_ok=True)
    return world
