"""What is noticed about the input folder: what is passed over, files from the future, no files."""

import logging
import time
from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from pipeline.data.input_files import CLOCK_TOLERANCE, UNREAD, FoundFile, digest, list_input
from pipeline.storage.database import History, insertion

log = logging.getLogger(__name__)

MAX_WAIT = 3600  # seconds after which a file that is still being written goes in as far as it is
MAX_TOLD = 20  # names in the log of a run
EMPTIED = (
    "has no client files any more: what was taken in stays; if that was not meant, see whether the"
    " folder is mounted and the path is right"
)


def ready_files(history: History, files: list[FoundFile]) -> list[FoundFile]:
    """Those of the files that may be taken in now; what the others look like is remembered.

    A time stamp in the future, from a clock or time zone elsewhere, does not tell whether a file
    is still being copied: such a file waits until a second run finds the same content.
    """
    now = time.time_ns() + CLOCK_TOLERANCE * 10**9
    ahead = [file for file in files if file.regular and file.mtime_ns > now]
    found = {file.name: digest(file) for file in ahead}
    known = {*remember(history, "ahead", found).items()}
    if ahead:  # a rebuild, or another schema, has what is on record read again
        known.update(history.tuples("SELECT name, sha256 FROM files WHERE current = 1"))
    waiting = {name for name, sha256 in {*found.items()} - known if sha256 != UNREAD}
    for file in ahead:
        if file.name in waiting:
            log.warning(
                "%s has a time stamp in the future, %s: left for the next run, which takes it in if"
                " its content is still the same",
                *(file.name, datetime.fromtimestamp(file.mtime_ns // 10**9, UTC).isoformat()),
            )
    since = _unfinished(history)
    return [
        replace(file, overdue=abs(time.time() - since.get(file.name, time.time())) >= MAX_WAIT)
        for file in files
        if file.name not in waiting
    ]


def _unfinished(history: History) -> dict[str, int]:
    """Since when each file is being written, in seconds."""
    found = history.tuples("SELECT name, what FROM told WHERE kind = 'unfinished'")
    return {name: int(since) for name, since in found}


def remember_unfinished(history: History, names: Collection[str]) -> None:
    """Remember since when files are being written: these, of all others no more."""
    since, now = _unfinished(history), int(time.time())
    found = {name: str(since.get(name, now)) for name in names}
    remember(history, "unfinished", found)


def tell_once(history: History, found: Mapping[str, str], kind: str) -> None:
    """Say what is the matter with names in the input folder, unless it was said before."""
    said = remember(history, kind, found)
    new = [name for name in sorted(found) if said.get(name) != found[name]]
    for name in new[:MAX_TOLD]:
        log.warning("%s %s", name, found[name])
    if len(new) > MAX_TOLD:
        log.warning("and %s more", f"{len(new) - MAX_TOLD:,}")


def remember(history: History, kind: str, found: Mapping[str, str]) -> dict[str, str]:
    """Record what there is to say of names, in place of what was before; returns that."""
    before = dict(history.tuples("SELECT name, what FROM told WHERE kind = ?", kind))
    if found != before:
        with history.transaction():
            history.query("DELETE FROM told WHERE kind = ?", kind)
            rows = [(kind, *each) for each in found.items()]
            history.many(insertion("told", ("kind", "name", "what")), rows)
    return before


def list_and_tell(history: History, folder: Path, *, subfolders: bool) -> list[FoundFile]:
    """The files of the input folder; says once what is passed over, and that none is left."""
    passed: dict[str, str] = {}
    found = list_input(folder, subfolders=subfolders, passed=passed)
    tell_once(history, passed, "passed over")
    emptied = not found and history.tuples("SELECT 1 FROM files LIMIT 1")
    tell_once(history, {str(folder): EMPTIED} if emptied else {}, "emptied")
    return found
