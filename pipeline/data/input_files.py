"""The input folder: which client files there are."""

import errno
import io
import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from pipeline.core.errors import DataError
from pipeline.core.files import open_folder

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

    @property
    def name(self) -> str:
        """The name by which the ledger knows it."""
        return recorded_name(self.path.name)


def recorded_name(name: str) -> str:
    r"""The name by which the ledger knows a file, on one line, and no other file's.

    What is not UTF-8 or a control character is escaped, and so is the backslash.
    """
    if name.isascii() and name.isprintable() and "\\" not in name:  # as almost all are
        return name
    text = os.fsencode(name).replace(b"\\", rb"\\").decode(errors="backslashreplace")
    return re.sub(_BREAKS_LINES, lambda found: f"\\u{ord(found[0]):04x}", text)


Recorded = tuple[str, int, int]  # name, size, time of change


def list_input(
    folder: Path, *, but: Mapping[str, Recorded] = MappingProxyType({})
) -> list[FoundFile]:
    """What a folder holds under names that end in `.csv`, by name; no folders, nothing hidden.

    Files that are still as recorded (`but`, by name) are left out. Raises `DataError` if there is
    no such folder.
    """
    found = []
    try:
        # each is asked for from within the folder: walking the whole path takes a fifth longer
        with open_folder(folder) as within:
            for name in os.listdir(folder):  # noqa: PTH208, a Path each takes longer
                # one with a backslash is recorded escaped; the others as they are, or not found
                known = but.get(name) if "\\" not in name else None
                if known is None and (name[0] == "." or not name.lower().endswith(".csv")):
                    continue
                try:
                    told = os.stat(name, dir_fd=within, follow_symlinks=False)
                except FileNotFoundError:  # gone since it was listed
                    continue
                if known and told.st_size == known[1] and told.st_mtime_ns == known[2]:
                    continue
                if not stat.S_ISDIR(mode := told.st_mode):
                    regular = stat.S_ISREG(mode)
                    file = FoundFile(folder / name, told.st_size, mtime_of(told), regular)
                    found.append(file)
    except FileNotFoundError:
        raise DataError(f"{folder}: there is no such folder to take client files from") from None
    except NotADirectoryError:
        raise DataError(f"{folder}: is a file; expected a folder of client files") from None
    return sorted(found, key=lambda file: file.name)


def mtime_of(told: os.stat_result) -> int:
    """The time of change in nanoseconds, as far as the ledger can hold it."""
    return min(told.st_mtime_ns, _LATEST)


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
