"""Atomic writes, digests, and the lock that one run holds at a time."""

import errno
import fcntl
import io
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from time import sleep
from typing import TYPE_CHECKING, BinaryIO

from pipeline.errors import LockHeldError

if TYPE_CHECKING:
    from pipeline.databaseurl import DatabaseUrl

HOLDER_LOOKS = 100  # a hundredth of a second apart
LOCKLESS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS)  # what shares without locks say


def write_atomic(path: Path, content: str | bytes) -> None:
    """Replace a file in one step, so that a reader sees the old content or the new."""
    with writing(path) as file:
        file.write(content.encode() if isinstance(content, str) else content)


@contextmanager
def writing(path: Path) -> Iterator[BinaryIO]:
    """A file to write, which is put in the place of the old one when it is whole and durable."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # one name for each target, so that what a killed run leaves is overwritten by the next
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with naming(path):
            with temporary.open("wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)  # on a full disk, what it takes is needed
        raise
    sync_folder(path.parent)


def write_if_changed(path: Path, content: str) -> None:
    """`write_atomic`, but leave a file alone that already holds this content."""
    if not path.is_file() or path.read_bytes() != content.encode():
        write_atomic(path, content)


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Let the system's errors name the file that they are about: those of writing do not.

    Others stay as they are: those about a file elsewhere, and those of libraries, in words.
    """
    try:
        yield
    except OSError as error:
        named = error.filename if isinstance(error.filename, (str, bytes)) else None
        elsewhere = named and Path(os.fsdecode(named)).parent != path.parent
        if elsewhere or error.errno is None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error


def sync_folder(folder: Path) -> None:
    """Make the names in a folder as durable as the files' contents."""
    with open_folder(folder) as descriptor:
        os.fsync(descriptor)


@contextmanager
def open_folder(folder: Path) -> Iterator[int]:
    """A descriptor of a folder, for as long as the context lasts."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file's content, in hexadecimal."""
    import hashlib  # brings OpenSSL along: a tick that digests nothing does without

    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def utc_now() -> str:
    """This moment as the history writes it: ISO 8601, UTC."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class DigestReader(io.RawIOBase):
    """Reads a file and digests just the bytes that were read, so that the two cannot differ."""

    def __init__(self, file: io.FileIO) -> None:
        import hashlib  # as in `sha256_of`

        self._file, self._sha256 = file, hashlib.sha256()
        self._last = b""

    def readable(self) -> bool:
        """A reader can be read."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Fill the buffer from the file; 0 at the end."""
        count = self._file.readinto(buffer) or 0
        read = memoryview(buffer)[:count]
        self._sha256.update(read)
        self._last = bytes(read[-1:]) or self._last
        return count

    def finish(self) -> str:
        """Read what is left and return the SHA-256 of the whole content."""
        while self.read(1 << 20):
            pass
        return self._sha256.hexdigest()

    @property
    def ends_line(self) -> bool:
        """Whether what was read so far ends with a line end."""
        return self._last in (b"\n", b"\r")


@contextmanager
def run_lock(place: "Path | DatabaseUrl") -> Iterator[None]:
    """Hold the lock, or raise `LockHeldError` at once; a killed holder leaves it free."""
    if isinstance(place, Path):
        lock = _file_lock(place)
    else:
        from pipeline.serverlock import server_lock

        lock = server_lock(place)
    with lock:
        yield


@contextmanager
def _file_lock(path: Path) -> Iterator[None]:
    """The lock in a file.

    The kernel holds the lock, not the file's existence: the file only says who holds it. It is
    gone when the lock is not held, so a tick that finds nothing new leaves no trace.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = _acquire(path)
    try:
        with naming(path):
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, json.dumps({"pid": os.getpid(), "since": utc_now()}).encode(), 0)
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(descriptor)


def _acquire(path: Path) -> int:
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            try:
                raise LockHeldError(
                    f"another run is at work ({_holder(descriptor)}); {path}"
                ) from None
            finally:
                os.close(descriptor)
        # between open and flock the holder may have removed the file: then this lock is of no file
        with suppress(FileNotFoundError):
            if _is_at(descriptor, path):
                return descriptor
        os.close(descriptor)


def _holder(descriptor: int) -> str:
    """Who holds the lock, as its file says; a holder that has just come is given time to say so."""
    for _ in range(HOLDER_LOOKS):
        try:
            told = json.loads(os.pread(descriptor, 200, 0))
            os.kill(told["pid"], 0)  # what a killed holder left names nobody
            return f"process {told['pid']}, since {told['since']}"
        except (ValueError, KeyError, TypeError, ProcessLookupError):
            sleep(0.01)
        except PermissionError:  # it lives, and is another user's
            return f"process {told['pid']}, since {told['since']}"
    return "it started this moment"


def _is_at(descriptor: int, path: Path) -> bool:
    ours, there = os.fstat(descriptor), path.stat()
    return (ours.st_dev, ours.st_ino) == (there.st_dev, there.st_ino)


def open_alone(path: Path) -> BinaryIO:
    """A file for reading and writing, made if need be, that nobody else has open by this.

    Raises `LockHeldError` where somebody has. On a share that knows no such locks, nobody is asked.
    """
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise LockHeldError(f"another run is still writing {path}") from None
        except OSError as error:
            if error.errno not in LOCKLESS:
                os.close(descriptor)
                raise
        with suppress(FileNotFoundError):
            if _is_at(descriptor, path):
                return os.fdopen(descriptor, "r+b")
        os.close(descriptor)  # another file has come to lie there
