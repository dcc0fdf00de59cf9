"""The input folder: which client files lie there, and which of them are new.

The standard library only: this is all that a tick with nothing new does.
"""

import os
import sqlite3
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import DataError
from pipeline.files import sha256_of
from pipeline.history import History

UNREAD = ""  # in place of the digest of what could not be read


@dataclass(frozen=True)
class FoundFile:
    """A `.csv` file as a directory listing shows it."""

    path: Path
    size: int
    mtime_ns: int
    regular: bool = True  # no link, pipe or device

    @property
    def name(self) -> str:
        """The name by which the ledger knows it: what is not UTF-8 in it is escaped."""
        return os.fsencode(self.path.name).decode(errors="backslashreplace")


def list_input(folder: Path) -> list[FoundFile]:
    """What a folder holds under names that end in `.csv`, by name; no folders, nothing hidden.

    Raises `DataError` if there is no such folder.
    """
    try:
        with os.scandir(folder) as entries:
            named = (e for e in entries if e.name.lower().endswith(".csv") and e.name[0] != ".")
            found = [file for entry in named if (file := _found(entry))]
    except FileNotFoundError:
        raise DataError(f"{folder}: there is no such folder to take client files from") from None
    except NotADirectoryError:
        raise DataError(f"{folder}: is a file; expected a folder of client files") from None
    return sorted(found, key=lambda file: file.name)


def _found(entry: "os.DirEntry[str]") -> FoundFile | None:
    with suppress(FileNotFoundError):  # gone since it was listed
        told = entry.stat(follow_symlinks=False)
        if not stat.S_ISDIR(told.st_mode):
            regular = stat.S_ISREG(told.st_mode)
            return FoundFile(Path(entry.path), told.st_size, told.st_mtime_ns, regular)
    return None


def new_files(history: History, found: list[FoundFile]) -> list[FoundFile]:
    """The files whose name is unknown or whose content changed.

    A file's content is read only where its size or time of change differs from what was recorded.
    """
    rows = history.query("SELECT name, size, mtime_ns, sha256 FROM files WHERE current = 1")
    known = {row["name"]: row for row in rows}
    return [file for file in found if _is_new(history, file, known.get(file.name))]


def _is_new(history: History, file: FoundFile, row: sqlite3.Row | None) -> bool:
    if row is None or row["size"] != file.size:
        return True
    if row["sha256"] == UNREAD:
        return file.regular and os.access(file.path, os.R_OK)
    if row["mtime_ns"] == file.mtime_ns:
        return False
    if not (file.regular and os.access(file.path, os.R_OK)) or row["sha256"] != sha256_of(
        file.path
    ):
        return True
    history.query(
        "UPDATE files SET mtime_ns = ? WHERE name = ? AND current = 1", file.mtime_ns, file.name
    )
    return False
