"""The client files of a folder."""

import errno
import io
import os
import re
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from pipeline.core.errors import DataError

UNREAD = ""  # instead of the digest of a file that could not be read
CLOCK_TOLERANCE = 60  # seconds that a time stamp may be ahead of this machine's clock

# of names of tables; what a file holds is told from its content
ENDINGS = (
    *(".csv", ".txt", ".tsv", ".csv.gz", ".txt.gz", ".tsv.gz", ".zip", ".parquet"),
    *(".xlsx", ".xls", ".xlsm", ".xlsb", ".ods"),
)
A_FOLDER = 'is a folder: set "subfolders": true in config.json to have its files taken in'
NO_TABLE = f"is no table by its name: known are {', '.join(ENDINGS)}"
_BREAKS_LINES = "[\x00-\x1f\x7f-\x9f\u2028\u2029]"
_LATEST = 2**63 - 1  # the largest integer of SQLite; a broken clock may be ahead of it, or behind


@dataclass(frozen=True)
class FoundFile:
    """A file of a table as it was listed."""

    path: Path
    size: int
    mtime_ns: int
    ctime_ns: int  # of the inode: no program can set it
    regular: bool = True  # not a link, pipe or device
    within: str = ""  # the path of its subfolder, with a slash behind it
    overdue: bool = False  # whether it has waited for long for its writer to end

    @cached_property
    def name(self) -> str:
        r"""The name by which the ledger knows it, on one line, and no other file.

        What is not UTF-8 or a control character is escaped, and so is the backslash.
        """
        return on_one_line(self.within + self.path.name)


@dataclass(frozen=True)
class PendingFile:
    """An ingested file that waits for a drift check, or for the reports that follow one."""

    id: int
    name: str
    recorded_at: str
    span: tuple[int, int]  # where its new rows begin and end in finaldata.csv


def on_one_line(name: str) -> str:
    """A name as messages and the ledger have it."""
    if name.isascii() and name.isprintable() and "\\" not in name:  # as almost all are
        return name
    text = os.fsencode(name).replace(b"\\", rb"\\").decode(errors="backslashreplace")
    return re.sub(_BREAKS_LINES, lambda found: f"\\u{ord(found[0]):04x}", text)


def list_input(
    folder: Path, *, subfolders: bool = False, passed: dict[str, str] | None = None
) -> list[FoundFile]:
    """The files of a folder that are tables by their names, in order of name; nothing hidden.

    `passed` gets what else there is, by name, and why it is passed over.
    Raises `DataError` if there is no such folder.
    """
    passed = {} if passed is None else passed
    try:
        found = [*_list(folder, "", passed, subfolders=subfolders)]
    except FileNotFoundError:
        raise DataError(f"{folder}: there is no such folder to take files from") from None
    except NotADirectoryError:
        raise DataError(f"{folder}: is a file; expected a folder of files") from None
    return sorted(found, key=lambda file: file.name)


def _list(
    folder: Path, within: str, passed: dict[str, str], *, subfolders: bool
) -> Iterator[FoundFile]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            path, why = Path(entry.path), ""
            try:
                status = entry.stat(follow_symlinks=False)
                if stat.S_ISDIR(status.st_mode) and subfolders:
                    yield from _list(path, f"{within}{entry.name}/", passed, subfolders=True)
                elif stat.S_ISDIR(status.st_mode):
                    why = A_FOLDER
                elif entry.name.lower().endswith(ENDINGS):
                    times = mtime_of(status), min(status.st_ctime_ns, _LATEST)
                    regular = stat.S_ISREG(status.st_mode)
                    yield FoundFile(path, status.st_size, *times, regular, within)
                else:
                    why = NO_TABLE
            except FileNotFoundError:  # gone since it was listed
                continue
            except PermissionError:
                why = "cannot be read: this user has no permission"
            if why:
                passed[on_one_line(within + entry.name)] = why


def natural(name: str) -> list[tuple[int, str]]:
    """A key that sorts names as people count: `_9` before `_10`."""
    parts = re.split("([0-9]+)", name)
    return [(int(part) if part.isdecimal() else -1, part) for part in parts]


def in_order(files: Iterable[FoundFile]) -> list[FoundFile]:
    """Files in the order in which their lines count."""
    return sorted(files, key=lambda file: (file.mtime_ns, natural(file.name)))


def mtime_of(status: os.stat_result) -> int:
    """The time of change in nanoseconds, as far as the ledger can hold it."""
    return max(min(status.st_mtime_ns, _LATEST), -_LATEST)


def open_plain(path: Path) -> io.FileIO:
    """Open a regular file; raises `OSError` if it is none (any more).

    Links are not followed, and pipes are not waited for.
    """
    return io.FileIO(path, opener=plain)


def digest(file: FoundFile) -> str:
    """The SHA-256 of its content, or `UNREAD`; whoever takes it in finds out why."""
    import hashlib  # loads libcrypto, which an empty tick can do without

    if not file.regular:
        return UNREAD
    try:
        with open_plain(file.path) as raw:
            return hashlib.file_digest(raw, "sha256").hexdigest()
    except OSError:
        return UNREAD


def plain(path: str, flags: int) -> int:
    """The opener of `open_plain`."""
    descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    raise OSError(errno.EINVAL, "It is no longer a regular file", path)
