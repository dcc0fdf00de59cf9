"""Taking in one client file: read, checked, and undone if it is rejected."""

import hashlib
import io
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from time import time
from typing import Any, Protocol, TypeVar

from pipeline.core.errors import DataError
from pipeline.core.schema import Schema
from pipeline.data.csv_reader import BadRow, Table, format_names, too_many_bad
from pipeline.data.input_files import UNREAD, FoundFile, mtime_of, plain
from pipeline.data.progress import Step, no_progress

log = logging.getLogger(__name__)

COPYING_SECONDS = 60  # a file that changed less long ago may still be being copied
# rows are added in batches, whose keys are looked up together
BATCH_ROWS = 1 << 18
BATCH_BYTES = 16 << 20

M = TypeVar("M")


@dataclass(frozen=True)
class TakenFile:
    """What became of one input file."""

    name: str
    size: int
    mtime_ns: int
    sha256: str
    reason: str | None  # why the whole file was rejected; None if it was ingested
    rows: int = 0
    added: int = 0
    duplicates: int = 0
    start_byte: int = 0  # where its rows are in finaldata.csv
    end_byte: int = 0
    bad_rows: tuple[BadRow, ...] = ()


class Sink(Protocol[M]):
    """What the rows of files are appended to, and can be taken back from."""

    @property
    def size(self) -> int:
        """Bytes so far."""

    def append(self, lines: Sequence[bytes]) -> int:
        """Add canonical lines, without their line ends; returns how many were not there yet."""

    def mark(self) -> M:
        """The current state."""

    def take_back(self, mark: M) -> None:
        """Undo the appends since that mark."""


def take_in(
    schema: Schema, file: FoundFile, master: Sink[M], step: Step = no_progress
) -> TakenFile | None:
    """Read one file into the master; None if it has to wait for the next run.

    It is digested as it is read, so that the ledger has the digest of exactly what went in.
    """
    mark, start, reading = master.mark(), master.size, _Reading()
    if not file.regular:
        reading.reason = "is a link or a special file; expected the file itself"
        return reading.result(file, UNREAD, start, start)
    sha256 = UNREAD
    try:
        with _opened(file, step) as raw:
            stream: io.BufferedReader = io.BufferedReader(
                raw
            )  # which closes the file when it is no longer there
            reading.read(schema, file, stream, master)
            sha256 = raw.digest_rest()
            waits = _must_wait(file, os.fstat(raw.fileno()), raw.last_byte)
    except PermissionError:
        waits, reading.reason = None, "cannot be read: this user has no permission"
    except _Unreadable as error:
        waits = str(error)
    if waits or reading.reason:
        master.take_back(mark)
    if waits:
        log.warning("%s %s: left for the next run", file.name, waits)
        return None
    return reading.result(file, sha256, start, master.size)


class _Unreadable(Exception):
    """A file cannot be read at the moment; the message says why."""


class ListedFile(io.FileIO):
    """A file up to the size it was listed with, however fast it grows; digested as it is read."""

    def __init__(self, file: FoundFile, step: Step) -> None:
        super().__init__(file.path, opener=plain)
        self._left, self._step, self._sha256 = file.size, step, hashlib.sha256()
        self.last_byte = b""  # of what was read so far

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer from the file; 0 at the end."""
        try:
            count = super().readinto(memoryview(buffer)[: self._left]) or 0
        except OSError as error:
            raise _Unreadable(f"cannot be read: {error.strerror}") from error
        self._left -= count
        read = memoryview(buffer)[:count]
        self._sha256.update(read)
        self.last_byte = bytes(read[-1:]) or self.last_byte
        self._step(count)
        return count

    def digest_rest(self) -> str:
        """Read what is left and return the SHA-256 of the whole content."""
        rest = bytearray(1 << 20)
        while self.readinto(rest):
            pass
        return self._sha256.hexdigest()


def _opened(file: FoundFile, step: Step) -> ListedFile:
    try:
        return ListedFile(file, step)
    except PermissionError:
        raise
    except OSError as error:  # gone, or no longer a regular file
        raise _Unreadable(f"cannot be opened: {error.strerror}") from error


def _must_wait(file: FoundFile, now: os.stat_result, last_byte: bytes) -> str | None:
    """Why a file seems to be still being copied, or None."""
    if (now.st_size, mtime_of(now)) != (file.size, file.mtime_ns):
        return "changed while it was read"
    if last_byte not in (b"\n", b"\r") and 0 <= time() - now.st_mtime < COPYING_SECONDS:
        return "does not end with a line end and changed within the last minute"
    return None


@dataclass
class _Reading:
    """What was read of one file so far."""

    rows: int = 0
    added: int = 0
    bad: list[BadRow] = field(default_factory=list)
    reason: str | None = None

    def read(
        self, schema: Schema, file: FoundFile, stream: io.BufferedReader, master: Sink[M]
    ) -> None:
        try:
            table = Table(stream, schema, schema.columns)
            if table.extra_columns:
                log.info("%s: left out columns: %s", file.name, format_names(table.extra_columns))
            lines: list[bytes] = []
            size = 0
            for block in table.blocks():
                if isinstance(block, BadRow):
                    self.bad.append(block)
                    self.rows += 1
                    continue
                text = block.text.encode()
                lines += text.split(b"\n")[:-1]
                size += len(text)
                if len(lines) >= BATCH_ROWS or size >= BATCH_BYTES:
                    self._append(lines, master)
                    lines, size = [], 0
            self._append(lines, master)
            self.reason = too_many_bad(self.bad, self.rows)
            if table.warning and not self.reason:
                log.warning("%s %s", file.name, table.warning)
        except DataError as error:
            self.reason = str(error)

    def _append(self, lines: list[bytes], master: Sink[M]) -> None:
        self.rows += len(lines)
        self.added += master.append(lines)

    def result(self, file: FoundFile, sha256: str, start: int, end: int) -> TakenFile:
        known = TakenFile(file.name, file.size, file.mtime_ns, sha256, self.reason, self.rows)
        if self.reason:
            log.warning("%s is rejected: it %s", file.name, self.reason)
            return replace(known, start_byte=start, end_byte=start)
        added, bad = self.added, tuple(self.bad)
        return replace(
            known,
            added=added,
            duplicates=self.rows - added - len(bad),
            start_byte=start,
            end_byte=end,
            bad_rows=bad,
        )


def log_counts(file: TakenFile) -> None:
    """Log what became of the rows of a file that was taken in."""
    if not file.reason:
        log.info(
            "%s: %s rows: %s new, %s already known, %s set aside",
            *(file.name, f"{file.rows:,}", f"{file.added:,}", f"{file.duplicates:,}"),
            f"{len(file.bad_rows):,}",
        )
