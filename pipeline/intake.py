"""One client file on its way into `finaldata.csv`: read, checked, and taken back if refused."""

import io
import logging
import os
from dataclasses import dataclass, field, replace
from time import time

from pipeline.config import Config
from pipeline.errors import DataError
from pipeline.files import DigestReader
from pipeline.inbox import UNREAD, FoundFile
from pipeline.ledger import BadRow, TakenFile
from pipeline.master import Master
from pipeline.table import Table, too_many_bad

log = logging.getLogger(__name__)

COPYING_SECONDS = 60  # for so long after its last change, a file may still be being copied


def take_in(config: Config, file: FoundFile, master: Master) -> TakenFile | None:
    """Read one file into the master; None if it has to wait for the next run.

    It is digested as it is read, so the ledger knows exactly the content that went in.
    """
    start, intake = master.size, _Intake()
    if not file.regular:
        intake.reason = "is a link or a special file; expected the file itself"
        return intake.result(file, UNREAD, start, start)
    try:
        with io.FileIO(file.path, opener=_open_plain) as raw:
            digest = DigestReader(raw)
            intake.read(config, file, io.BufferedReader(digest), master)
            sha256 = digest.finish()
            waits = _must_wait(file, os.fstat(raw.fileno()), digest)
    except PermissionError:
        intake.reason = "cannot be read: this user has no permission"
        return intake.result(file, UNREAD, start, start)
    except OSError as error:  # gone, or no longer a plain file
        waits = f"cannot be opened: {error.strerror}"
    if waits or intake.reason:
        master.take_back(start, intake.keys)
    if waits:
        log.warning("%s %s: left for the next run", file.name, waits)
        return None
    return intake.result(file, sha256, start, master.size)


def _open_plain(path: str, flags: int) -> int:
    # a name that is now a link is refused, and a pipe does not block
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)


def _must_wait(file: FoundFile, now: os.stat_result, content: DigestReader) -> str | None:
    """Why a file seems to be still being written, or None."""
    if (now.st_size, now.st_mtime_ns) != (file.size, file.mtime_ns):
        return "changed while it was read"
    if not content.ends_line and 0 <= time() - now.st_mtime < COPYING_SECONDS:
        return "does not end with a line end and changed within the last minute"
    return None


@dataclass
class _Intake:
    """One file on its way into the master."""

    rows: int = 0
    keys: list[bytes] = field(default_factory=list)
    bad: list[BadRow] = field(default_factory=list)
    reason: str | None = None

    def read(
        self, config: Config, file: FoundFile, stream: io.BufferedReader, master: Master
    ) -> None:
        try:
            table = Table(stream, config.schema, config.schema.columns)
            if table.extra_columns:
                log.info("%s: left out columns: %s", file.name, ", ".join(table.extra_columns))
            for row in table:
                self.rows += 1
                if isinstance(row, BadRow):
                    self.bad.append(row)
                elif key := master.append(row.text):
                    self.keys.append(key)
            self.reason = too_many_bad(self.bad, self.rows)
        except DataError as error:
            self.reason = str(error)

    def result(self, file: FoundFile, sha256: str, start: int, end: int) -> TakenFile:
        known = TakenFile(file.name, file.size, file.mtime_ns, sha256, self.reason, self.rows)
        if self.reason:
            log.warning("%s is rejected: it %s", file.name, self.reason)
            return replace(known, start_byte=start, end_byte=start)
        added, bad = len(self.keys), tuple(self.bad)
        duplicates = self.rows - added - len(bad)
        log.info(
            "%s: %s rows: %s new, %s already known, %s set aside",
            *(file.name, f"{self.rows:,}", f"{added:,}", f"{duplicates:,}", f"{len(bad):,}"),
        )
        return replace(
            known,
            added=added,
            duplicates=duplicates,
            start_byte=start,
            end_byte=end,
            bad_rows=bad,
        )
