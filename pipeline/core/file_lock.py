"""Locks on files: the run lock, and exclusive opening for writing."""

import errno
import fcntl
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from pipeline.core.errors import LockHeldError
from pipeline.core.files import errors_with_path, utc_now

LOCKLESS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS)  # errors of shares without locks


@contextmanager
def file_lock(path: Path) -> Iterator[None]:
    """Hold the lock in a file, or raise `LockHeldError` at once; a killed holder leaves it free.

    The lock is the kernel's; the file only says who holds it, and is removed when the lock is
    released, so a tick that finds nothing new leaves no trace.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = _locked(path, lambda held: f"another run is at work ({_holder(held)}); {path}")
    try:
        with errors_with_path(path):
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, json.dumps({"pid": os.getpid(), "since": utc_now()}).encode(), 0)
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(descriptor)


def _locked(path: Path, message: Callable[[int], str], passed_over: tuple[int, ...] = ()) -> int:
    """Open a file, made if need be, under an exclusive lock; `passed_over` are errors of locking.

    Raises `LockHeldError` with this message, made of the descriptor, if the lock is held.
    """
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            with os.fdopen(descriptor):
                raise LockHeldError(message(descriptor)) from None
        except OSError as error:
            if error.errno not in passed_over:
                os.close(descriptor)
                raise
        # between open and flock the file may have been removed or replaced: try the one there now
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(descriptor), path.stat()):
                return descriptor
        os.close(descriptor)


def _holder(descriptor: int) -> str:
    """Who holds the lock, as its file says, unless it has not written that yet."""
    try:
        holder = json.loads(os.pread(descriptor, 200, 0))
        with suppress(PermissionError):  # it is another user's
            os.kill(holder["pid"], 0)
    except (ValueError, KeyError, TypeError, ProcessLookupError):  # or a killed one left its name
        return "it has just started"
    return f"process {holder['pid']}, since {holder['since']}"


def open_alone(path: Path) -> BinaryIO:
    """Open a file for reading and writing under an exclusive lock; made if need be.

    Raises `LockHeldError` if another process holds the lock. A share without locks goes without.
    """
    held = f"another run is still writing {path}"
    return os.fdopen(_locked(path, lambda _: held, LOCKLESS), "r+b")
