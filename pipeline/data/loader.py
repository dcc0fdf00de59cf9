"""Taking in one client file: read, checked, and undone if it is rejected."""

import csv
import hashlib
import hmac
import io
import logging
import os
import re
import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from logging.handlers import BufferingHandler
from tempfile import TemporaryFile
from time import time
from typing import IO, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from pipeline.core.errors import DataError
from pipeline.core.formatting import format_columns, pluralize
from pipeline.core.schema import Schema
from pipeline.data.csv_reader import BadRow, Table, too_many_bad, with_table
from pipeline.data.input_files import CLOCK_TOLERANCE, UNREAD, FoundFile, mtime_of, plain

log = logging.getLogger(__name__)

COPYING_SECONDS = 60  # a file that changed less long ago may still be being copied
CHANGED = "changed while it was read"
_TEXTS = (".csv", ".txt", ".tsv")  # what may go in as far as it is written
_LONG_LINE = 1 << 20  # bytes among which the last line end is looked for
# rows are added in batches, whose keys are looked up together
BATCH_ROWS = 1 << 18
BATCH_BYTES = 16 << 20
_BLOCK = 16 << 20  # of lines that are read back
PROGRESS_DELAY = 1.0  # seconds; what takes no longer shows no bar
KEPT_OUT = "the client is kept out"  # why a row is set aside, of which nothing else is kept
_MARKS = re.compile(r"[,;|\t]")  # between the cells of a row that is no CSV

Step = Callable[[int], object]  # takes the bytes of a step of long work


def no_progress(_: int) -> None:
    """Show nothing."""


@contextmanager
def progress(what: str, size: int) -> Iterator[Step]:
    """Show a bar until the end if standard error is a terminal, with log lines above it."""
    if not sys.stderr.isatty():
        yield no_progress
        return
    from tqdm import tqdm  # cron does without
    from tqdm.contrib.logging import logging_redirect_tqdm

    bar = tqdm(desc=what, total=size, unit="B", unit_scale=True, delay=PROGRESS_DELAY, leave=False)
    with bar, logging_redirect_tqdm():
        yield bar.update


@dataclass(frozen=True)
class KeptOut:
    """Clients of whom nothing is taken in: HMAC-SHA256 of names, by a random key."""

    key: bytes = b""
    hashes: frozenset[str] = frozenset()

    def hash(self, client: str) -> str:
        """That of a name, which is canonical, in hexadecimal."""
        return hmac.digest(self.key, client.encode(errors="surrogatepass"), "sha256").hex()

    def __contains__(self, client: object) -> bool:
        """Whether a client of this name, which is canonical, is one."""
        return bool(self.hashes) and self.hash(str(client)) in self.hashes


NOBODY = KeptOut()


def cells_of(row: str) -> set[str]:
    """What may be the cells of a row that was set aside, whose quotes may be wrong."""
    return {*next(csv.reader([row]), []), *(text.strip(" \"'") for text in _MARKS.split(row))}


def is_csv(row: str) -> bool:
    """Whether a row is one of CSV, whole."""
    try:
        return len([*csv.reader([row], strict=True)]) == 1
    except csv.Error:
        return False


@dataclass(frozen=True)
class Counts:
    """What the rows of a file came to."""

    id: int  # the number of its content
    added: int  # observations that were new
    changed: int  # known outcomes, or unknown ones, that are others now
    missing: int  # rows that the file held before and holds no more
    start_row: int  # where the new observations are in finaldata.csv
    end_row: int
    log_at: int | None  # where its rows are in the file of sightings
    unknown_clients: tuple[str, ...] = ()  # of whom outcomes came, and no row is known


@dataclass(frozen=True)
class TakenFile:
    """What became of one content of an input file."""

    id: int
    name: str
    size: int
    mtime_ns: int
    sha256: str
    reason: str | None  # why the whole file was rejected; None if it was ingested
    rows: int = 0
    added: int = 0
    duplicates: int = 0
    start_row: int = 0
    end_row: int = 0
    log_at: int | None = None
    changed: int = 0
    missing: int = 0
    unknown_clients: tuple[str, ...] = ()
    reports: bool = False  # whether it has outcomes alone
    bad_rows: tuple[BadRow, ...] = ()
    kept_out: int = 0  # of the bad rows those of clients that are kept out
    ctime_ns: int | None = None  # None: not known
    schema: str | None = None  # `Schema.text`, if it was rejected
    unfinished: bool = False  # whether it is still being written: its whole lines were taken in


class Sink(Protocol):
    """What takes in the rows of files, one file after the other."""

    def append(self, lines: Sequence[bytes]) -> None:
        """Add canonical lines of a file, without their line ends."""

    def report(self, lines: Sequence[bytes]) -> None:
        """Add canonical lines of a file of outcomes alone."""

    def accept(
        self, number: int, name: str, sha256: str, bad_at: Sequence[int], *, again: bool = False
    ) -> Counts | None:
        """End a file; `bad_at` are its rows that were set aside.

        Its content gets this number, unless it is on record by another. None if it was read
        `again`, for outcomes of clients that were not known, and is left as it was.
        """

    def waiting(self) -> Collection[str]:
        """The files with outcomes of clients that are not known yet."""

    def take_back(self) -> None:
        """Undo what was appended since the last file."""


def take_in(
    schema: Schema,
    file: FoundFile,
    number: int,
    master: Sink,
    step: Step = no_progress,
    *,
    again: bool = False,
    kept_out: KeptOut = NOBODY,
    tell: Callable[[str, str], None] = lambda name, why: log.warning("%s %s", name, why),
) -> TakenFile | None:
    """Read one file into the master; None if it has to wait, or brings nothing when read `again`.

    Why it waits, or goes in unfinished, `tell` gets with its name.

    It is digested as it is read, so that the ledger has the digest of exactly what went in.
    """
    reading = _Reading(schema, kept_out)
    sha256, waits, listed, unfinished = UNREAD, "", file.size, False
    try:
        if not file.regular:
            raise DataError("is a link or a special file; expected the file itself")
        with _opened(file, step) as raw:
            if unfinished := _goes_in_unfinished(file, schema):
                file = replace(file, size=raw.leave_out_last_line())
            # which closes the file even when this is no longer there
            stream: io.BufferedReader = io.BufferedReader(raw)
            reading.read(file, stream, master)
            sha256 = raw.digest_rest()
            waits = _waits_for(file, os.fstat(raw.fileno()), raw.last_byte, unfinished, listed)
    except PermissionError:
        reading.reason = "cannot be read: this user has no permission"
    except DataError as error:
        reading.reason = str(error)
    except _UnreadableError as error:
        waits = str(error)
    if waits or reading.reason:
        master.take_back()
    if waits:
        tell(file.name, f"{waits}: left for the next run")
        return None
    if unfinished:
        tell(file.name, "is written to without pause: its whole lines so far are taken in")
    taken = TakenFile(
        *(number, file.name, file.size, file.mtime_ns, sha256, reading.reason, reading.rows),
        ctime_ns=file.ctime_ns,
        unfinished=unfinished,
    )
    if reading.reason:
        log.warning("%s is rejected: it %s", file.name, reading.reason)
        return replace(taken, schema=schema.text)
    counts = master.accept(number, file.name, sha256, reading.bad_at, again=again)
    if counts is None:
        return None
    bad = tuple(reading.bad)
    return replace(
        taken,
        **vars(counts),
        duplicates=0 if reading.reports else reading.rows - counts.added - len(bad),
        reports=reading.reports,
        bad_rows=bad,
        kept_out=sum(row.reason == KEPT_OUT for row in bad),
    )


class _UnreadableError(Exception):
    """A file cannot be read at the moment; the message says why."""


class ListedFile(io.FileIO):
    """A file up to the size it was listed with, however fast it grows; digested as it is read."""

    def __init__(self, file: FoundFile, step: Step) -> None:
        super().__init__(file.path, opener=plain)
        self._size, self._step = file.size, step
        self._begin()

    def _begin(self) -> None:
        self._left, self._sha256 = self._size, hashlib.sha256()
        self.last_byte = b""  # of what was read so far

    def seek(self, place: int, whence: int = 0, /) -> int:
        """Begin again, digest and all; only the beginning is ever sought."""
        found = super().seek(place, whence)
        if (place, whence) == (0, 0):
            self._begin()
        return found

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer from the file; 0 at the end."""
        try:
            count = super().readinto(memoryview(buffer)[: self._left]) or 0
        except OSError as error:
            raise _UnreadableError(f"cannot be read: {error.strerror}") from error
        self._left -= count
        read = memoryview(buffer)[:count]
        self._sha256.update(read)
        self.last_byte = bytes(read[-1:]) or self.last_byte
        self._step(count)
        return count

    def leave_out_last_line(self) -> int:
        """End behind the last line end, before anything is read; returns where that is."""
        begin = max(0, self._size - _LONG_LINE)
        tail = os.pread(self.fileno(), self._size - begin, begin)
        if end := max(tail.rfind(b"\n"), tail.rfind(b"\r")) + 1:
            end += tail[end : end + 1] == b"\0"  # of UTF-16
            self._size = self._left = begin + end
        return self._size

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
        raise _UnreadableError(f"cannot be opened: {error.strerror}") from error


def _goes_in_unfinished(file: FoundFile, schema: Schema) -> bool:
    """Whether a file has been written to for long, and still is; a full list has to be whole."""
    recent = time() - file.mtime_ns / 1e9 < COPYING_SECONDS
    return file.overdue and recent and file.name.lower().endswith(_TEXTS) and not schema.snapshots


def _waits_for(
    file: FoundFile, now: os.stat_result, last_byte: bytes, unfinished: bool, listed: int
) -> str:
    """Why a file seems to be still being copied; empty if it may go in."""
    if unfinished:
        return CHANGED if now.st_size < listed else ""
    if (now.st_size, mtime_of(now)) != (file.size, file.mtime_ns):
        return CHANGED
    age = time() - now.st_mtime
    if last_byte not in (b"\n", b"\r") and -CLOCK_TOLERANCE <= age < COPYING_SECONDS:
        return "does not end with a line end and changed within the last minute"
    return ""


@dataclass
class _Reading:
    """What was read of one file so far."""

    schema: Schema
    kept_out: KeptOut
    rows: int = 0
    bad: list[BadRow] = field(default_factory=list)
    bad_at: list[int] = field(default_factory=list)
    reason: str | None = None
    reports: bool = False

    def read(self, file: FoundFile, stream: io.BufferedReader, master: Sink) -> None:
        """Hand its rows on; or note why it is rejected, once it is read to its end."""
        # the last day that it may speak of: the next one
        day = datetime.fromtimestamp(file.mtime_ns / 1e9).date() + timedelta(days=1)
        try:
            with_table(
                stream,
                self.schema,
                self.schema.columns,
                lambda table: self._read(file.name, table, master),
                last_day=day.isoformat(),
                may_report=True,
            )
        except DataError as error:
            self.reason = str(error)

    def _read(self, name: str, table: Table, master: Sink) -> None:
        if self.rows:  # anew
            master.take_back()
            self.rows, self.bad, self.bad_at = 0, [], []
        self.reports = table.reports
        append = master.report if self.reports else master.append
        lines: list[bytes] = []
        size = 0
        for block in table.blocks():
            if isinstance(block, BadRow):
                self._set_aside(block)
                continue
            text = block.text.encode()
            lines += self._let_in(block.line, text.split(b"\n")[:-1])
            size += len(text)
            if len(lines) >= BATCH_ROWS or size >= BATCH_BYTES:
                append(lines)
                lines, size = [], 0
        append(lines)
        bad = [row for row in self.bad if row.reason != KEPT_OUT]
        if reason := too_many_bad(bad, self.rows):
            self.reason = reason + table.bad_outcomes
        self._log(name, table)

    def _let_in(self, first: int, lines: list[bytes]) -> list[bytes]:
        """Those of some good lines, the first with this number, whose clients are not kept out."""
        good = lines
        if self.kept_out.hashes:
            good = []
            for number, line in enumerate(lines, first):
                if next(csv.reader([line.decode()]))[0] in self.kept_out:
                    self._set_aside(BadRow(number, KEPT_OUT, ""), len(good))
                else:
                    good.append(line)
        self.rows += len(good)
        return good

    def _set_aside(self, row: BadRow, before: int = 0) -> None:
        names = cells_of(row.row) if self.kept_out.hashes else ()
        if any(self.schema.asked_client(name) in self.kept_out for name in names):
            row = BadRow(row.line, KEPT_OUT, "")
        self.bad.append(row)
        self.bad_at.append(self.rows + before)
        self.rows += 1

    def _log(self, name: str, table: Table) -> None:
        """Log what is to be known of how a file was read."""
        carried = [column for column in self.schema.carry if column not in table.header]
        if carried and not table.reports:
            travels = "%s lacks the column %s, which travels: it is empty"
            log.warning(travels, name, format_columns(carried))
        if table.lacks_outcome and self.schema.has_outcome and not table.reports:
            unknown = "%s lacks the column %s: no outcome of its rows is known"
            log.info(unknown, name, self.schema.outcome)
        if left_out := [column for column in table.extra_columns if column]:
            log.info("%s: left out columns: %s", name, format_columns(left_out))
        for note in table.notes:
            log.info("%s: %s", name, note)
        if table.warning and not self.reason:
            log.warning("%s %s", name, table.warning)


def log_counts(file: TakenFile, *, was_held: bool = False) -> None:
    """Log what became of the rows of a file that was taken in, in place of a held one or not."""
    if file.reason:
        return
    rows = f"{file.rows:,} rows: {file.added:,} new, {file.duplicates:,} already known"
    if file.reports:
        rows = f"{pluralize(file.rows, 'outcome')}: {file.changed:,} changed what was known"
    log.info("%s: %s, %s set aside", file.name, rows, f"{len(file.bad_rows):,}")
    if file.unknown_clients:
        log.warning(
            "%s: outcomes of %s, such as %s, of whom no row is known: they wait for one",
            *(file.name, pluralize(len(file.unknown_clients), "client"), file.unknown_clients[0]),
        )
    if file.missing:
        said = (
            "before are not in it any more; they stay known (`python ingestion.py --withdraw` takes"
            " them back)"
        )
        if was_held:
            said = "back are not in it any more: they count no more"
        level = logging.INFO if was_held else logging.WARNING
        log.log(level, "%s: %s of the rows it held %s", file.name, f"{file.missing:,}", said)


# --- apart from those who put rows together, as executors of Spark read ---


@dataclass(frozen=True)
class Read:
    """What came of one file: None if it has to wait; and what was logged: names, levels, texts."""

    file: TakenFile | None
    logged: list[tuple[str, int, str]]


@dataclass
class LinesApart:
    """A sink that keeps the lines of one file until it is known whether they count."""

    file: IO[bytes]
    reports: bool = False  # whether they are of outcomes alone
    accepted: bool = False
    bad_at: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))

    def append(self, lines: Sequence[bytes]) -> None:
        """Add canonical lines of a file, without their line ends."""
        self.file.write(b"".join([line + b"\n" for line in lines]))

    def report(self, lines: Sequence[bytes]) -> None:
        """Add canonical lines of a file of outcomes alone, without their line ends."""
        self.reports = True
        self.append(lines)

    def accept(
        self, number: int, name: str, sha256: str, bad_at: Sequence[int], *, again: bool = False
    ) -> Counts:
        """End a file; nothing of it is counted yet."""
        del name, sha256, again
        self.accepted, self.bad_at = True, np.array(bad_at, np.int64)
        return Counts(number, 0, 0, 0, 0, 0, number)

    def waiting(self) -> tuple[str, ...]:
        """No files."""
        return ()

    def take_back(self) -> None:
        """Undo what was added."""
        self.file.seek(0)
        self.file.truncate()

    def batches(self) -> Iterator[tuple[NDArray[np.int64], list[bytes]]]:
        """The lines that count, and the number that each has among all rows of the file."""
        self.file.seek(0)
        shift, done = self.bad_at - np.arange(len(self.bad_at)), 0
        while self.accepted and (lines := self.file.readlines(_BLOCK)):
            at = np.arange(done, done + len(lines))
            done += len(lines)
            yield at + np.searchsorted(shift, at, "right"), [line[:-1] for line in lines]


@contextmanager
def read_apart(file: FoundFile, schema: Schema) -> Iterator[tuple[Read, LinesApart]]:
    """What came of a file, and its lines, for as long as the context lasts."""
    logger, collector = logging.getLogger("pipeline"), BufferingHandler(sys.maxsize)
    logger.addHandler(collector)
    logger.setLevel(logging.INFO)
    try:
        with TemporaryFile() as kept:
            lines = LinesApart(kept)
            taken = take_in(schema, file, 0, lines)
            logged = [(r.name, r.levelno, r.getMessage()) for r in collector.buffer]
            yield Read(taken, logged), lines
    finally:
        logger.removeHandler(collector)
