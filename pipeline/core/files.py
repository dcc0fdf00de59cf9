"""Atomic writes, digests, and the time as the history writes it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

MARK = ".history"  # a file in a folder that runs write into: which history tells of it


def write_atomic(path: Path, content: str | bytes) -> None:
    """Replace a file in one step, so that a reader sees the old content or the new."""
    with atomic_writer(path) as file:
        file.write(content.encode() if isinstance(content, str) else content)


def temporary_path(path: Path) -> Path:
    """Where a file is written until it is complete.

    One name for each target, so that what a killed run leaves is overwritten by the next.
    """
    return path.with_name(f".{path.name}.tmp")


@contextmanager
def atomic_writer(path: Path, mode: int = 0o666) -> Iterator[BinaryIO]:
    """A file to write, which replaces the old one when it is complete and durable.

    `mode` are the permissions of a new file, less those that the process gives to none.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_path(path)
    try:
        with errors_with_path(path):
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
            with os.fdopen(os.open(temporary, flags, mode), "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)  # on a full disk, what it takes is needed
        raise
    sync_folder(path.parent)


def write_if_changed(path: Path, content: str) -> None:
    """`write_atomic`, but leave a file alone that already holds this content."""
    if not path.is_file() or path.read_bytes() != content.encode():
        write_atomic(path, content)


@contextmanager
def errors_with_path(path: Path) -> Iterator[None]:
    """Let the system's errors name the file that they are about: those of writing do not.

    Errors about a file in another folder, or without a number, stay as they are.
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
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file's content, in hexadecimal."""
    import hashlib  # loads libcrypto, which an empty tick can do without

    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def utc_now() -> str:
    """This moment as the history writes it: ISO 8601, UTC."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
