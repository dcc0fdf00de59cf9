"""Locks on files: the run lock, and exclusive opening for writing."""

import errno
import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import sleep
from typing import BinaryIO

from pipeline.core.errors import LockHeldError
from pipeline.core.files import errors_with_path, utc_now

HOLDER_ATTEMPTS = 100  # a hundredth of a second apart
LOCKLESS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS)  # errors of shares without locks


@contextmanager
def file_lock(path: Path) -> Iterator[None]:
    """Hold the lock in a file, or raise `LockHeldError` at once; a killed holder leaves it free.

    The lock is the kernel's; the file only says who holds it, and is removed when the lock is
    released, so a tick that finds nothing new leaves no trace.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = _acquire(path)
    try:
        with errors_with_path(path):
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
    """Who holds the lock, as its file says; a new holder is given time to write that."""
    for _ in range(HOLDER_ATTEMPTS):
        try:
            holder = json.loads(os.pread(descriptor, 200, 0))
            os.kill(holder["pid"], 0)  # a killed holder may have left its name
            return f"process {holder['pid']}, since {holder['since']}"
        except (ValueError, KeyError, TypeError, ProcessLookupError):
            sleep(0.01)
        except PermissionError:  # it is alive, and another user's
            return f"process {holder['pid']}, since {holder['since']}"
    return "it has just started"


def _is_at(descriptor: int, path: Path) -> bool:
    ours, there = os.fstat(descriptor), path.stat()
    return (ours.st_dev, ours.st_ino) == (there.st_dev, there.st_ino)


def open_alone(path: Path) -> BinaryIO:
    """Open a file for reading and writing under an exclusive lock; made if need be.

    Raises `LockHeldError` if another process holds the lock. A share without locks goes without.
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
        os.close(descriptor)  # the path is another file's now
