"""The input folder: which client files there are."""

import errno
import io
import os
import re
import stat
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from pipeline.core.errors import DataError

UNREAD = ""  # in place of the digest of what could not be read

_BREAKS_LINES = "[\x00-\x1f\x7f-\x9f\u2028\u2029]"
_LATEST = 2**63 - 1  # the largest integer of SQLite: a broken clock may be further ahead


@dataclass(frozen=True)
class FoundFile:
    """A `.csv` file as a directory listing shows it."""

    path: Path
    size: int
    mtime_ns: int
    regular: bool = True  # no link, pipe or device

    @cached_property
    def name(self) -> str:
        """The name by which the ledger knows it."""
        return recorded_name(self.path.name)


@dataclass(frozen=True)
class PendingFile:
    """An ingested file that waits for a drift check, or for the reports that follow one."""

    id: int
    name: str
    recorded_at: str
    span: tuple[int, int]  # the bytes of finaldata.csv that its new rows take


def recorded_name(name: str) -> str:
    r"""The name by which the ledger knows a file, on one line, and no other file's.

    What is not UTF-8 or a control character is escaped, and so is the backslash.
    """
    if name.isascii() and name.isprintable() and "\\" not in name:  # as almost all are
        return name
    text = os.fsencode(name).replace(b"\\", rb"\\").decode(errors="backslashreplace")
    return re.sub(_BREAKS_LINES, lambda found: f"\\u{ord(found[0]):04x}", text)


def list_input(folder: Path) -> list[FoundFile]:
    """What a folder holds under names that end in `.csv`, by name; no folders, nothing hidden.

    Raises `DataError` if there is no such folder.
    """
    try:
        with os.scandir(folder) as entries:
            found = [_found(entry) for entry in entries if _is_table(entry.name)]
    except FileNotFoundError:
        raise DataError(f"{folder}: there is no such folder to take client files from") from None
    except NotADirectoryError:
        raise DataError(f"{folder}: is a file; expected a folder of client files") from None
    return sorted((file for file in found if file), key=lambda file: file.name)


def _is_table(name: str) -> bool:
    return not name.startswith(".") and name.lower().endswith(".csv")


def _found(entry: os.DirEntry[str]) -> FoundFile | None:
    try:
        status = entry.stat(follow_symlinks=False)
    except FileNotFoundError:  # gone since it was listed
        return None
    if stat.S_ISDIR(status.st_mode):
        return None
    regular = stat.S_ISREG(status.st_mode)
    return FoundFile(Path(entry.path), status.st_size, mtime_of(status), regular)


def mtime_of(status: os.stat_result) -> int:
    """The time of change in nanoseconds, as far as the ledger can hold it."""
    return min(status.st_mtime_ns, _LATEST)


def open_plain(path: Path) -> io.FileIO:
    """Open a file that was listed as a plain one; raises `OSError` if it is none by now.

    A link is not followed, and a pipe is not waited for.
    """
    return io.FileIO(path, opener=plain)


def plain(path: str, flags: int) -> int:
    """The opener of `open_plain`."""
    descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    raise OSError(errno.EINVAL, "It is no longer a plain file", path)
