"""Locks on files: the one that one run holds at a time, and one for writing alone."""

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

HOLDER_LOOKS = 100  # a hundredth of a second apart
LOCKLESS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS)  # what shares without locks say


@contextmanager
def file_lock(path: Path) -> Iterator[None]:
    """Hold the lock in a file, or raise `LockHeldError` at once; a killed holder leaves it free.

    The kernel holds the lock, not the file's existence: the file only says who holds it. It is
    gone when the lock is not held, so a tick that finds nothing new leaves no trace.
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
