"""The ledger of ingested files: what was taken in, what is pending, how much data counts."""

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from pipeline.core.files import utc_now
from pipeline.data.input_files import UNREAD, FoundFile, PendingFile, digest
from pipeline.storage.database import History, insertion
from pipeline.storage.held_files import HELD, WITHDRAWN

if TYPE_CHECKING:
    from pipeline.core.schema import Schema
    from pipeline.data.csv_reader import BadRow
    from pipeline.data.loader import TakenFile

BLOCK = 1 << 20
MAX_RECENT = 4  # batches
MIN_RECENT_ROWS = 200  # of one: fewer tell little of what is usual
MAX_RECENT_FILES = 1_000
KEPT = "recorded_at, judged_at, scored_at, reported_at, feed, held, accepted_at"  # by a rebuild


@dataclass(frozen=True)
class FileRecord:
    """A file's bytes that count, its time of change, and the digest of these bytes."""

    size: int
    mtime_ns: int
    digest: str


@dataclass(frozen=True)
class LogFile:
    """The file of sightings beside `finaldata.csv`: its id, and what is on record of it."""

    id: str
    record: FileRecord


@dataclass(frozen=True)
class MasterState:
    """How much of `finaldata.csv` counts, and of the files beside it."""

    rows: int
    bytes: int  # the header included; 0 before the first ingestion
    # None in what an earlier version recorded
    record: FileRecord | None = None
    log: LogFile | None = None
    client_names: str = "exact"  # as the config had it


@dataclass(frozen=True)
class Span:
    """The rows of `finaldata.csv` that a content brought; where its lines are on record, if so."""

    start: int
    end: int
    log_at: int | None = None


@dataclass(frozen=True)
class Former:
    """A content that a file had: its number, its digest, and where its lines are on record."""

    id: int
    sha256: str
    log_at: int


def record_files(history: History, taken: "list[TakenFile]", master: MasterState) -> None:
    """Commit what was taken in together with the new state of `finaldata.csv`."""
    with history.transaction():
        for file in taken:
            _record_file(history, file)
        _record_master(history, master)


def renew_files(
    history: History,
    taken: "list[TakenFile]",
    gone: Collection[str],
    spans: Mapping[int, Span],
    master: MasterState,
    *,
    withdrawn: int | None = None,
    also: Callable[[], None] = lambda: None,
) -> None:
    """Commit a `finaldata.csv` made anew, in place of all that was taken in before.

    `taken` are contents that were read again or are new; all of the files `gone` is forgotten;
    `spans` says of every content that counts, by its id, where its rows are now. What was judged
    stays judged, and what is held back stays so; the one of them that is `withdrawn` counts as
    rejected from now on, though its file is still there. `also` writes more in one transaction.
    """
    with history.transaction():
        if withdrawn is not None:
            rejected = "UPDATE files SET status = 'rejected', reason = ? WHERE id = ?"
            history.query(rejected, WITHDRAWN, withdrawn)
        history.many(  # what was withdrawn stays so, as long as its content is there
            "DELETE FROM files WHERE name = ? AND coalesce(reason, '') <> ?",
            [(name, WITHDRAWN) for name in gone],
        )
        for file in taken:
            known = history.one(f"SELECT {KEPT} FROM files WHERE id = ?", file.id)
            history.query("DELETE FROM files WHERE id = ?", file.id)
            _record_file(history, file, **known or {})
        history.query("UPDATE files SET start_row = 0, end_row = 0, log_at = NULL")
        history.many(
            "UPDATE files SET start_row = ?, end_row = ?, log_at = ? WHERE id = ?",
            [(span.start, span.end, span.log_at, number) for number, span in spans.items()],
        )
        _record_master(history, master)
        history.query("UPDATE master SET rebuilding = 0, buckets = NULL")
        also()


def _record_master(history: History, master: MasterState) -> None:
    record, log = master.record, master.log
    history.query(
        "UPDATE master SET rows = ?, bytes = ?, client_names = ?, mtime_ns = ?, digest = ?,"
        " log_file = ?, log_bytes = ?, log_mtime_ns = ?, log_digest = ?",
        *(master.rows, master.bytes, str(master.client_names)),
        *((record.mtime_ns, record.digest) if record else (None, None)),
        *((log.id, log.record.size, log.record.mtime_ns, log.record.digest) if log else [None] * 4),
    )


def _record_file(history: History, file: "TakenFile", **times: Any) -> None:
    now = utc_now()
    settled = now if file.reason else None  # there is nothing to judge in a rejected file
    former = "UPDATE files SET current = 0 WHERE name = ? AND current = 1 RETURNING id"
    gone = history.tuples(former, file.name)
    history.many("DELETE FROM rejected_rows WHERE file_id = ?", gone)
    left_out = {"bad_rows", "changed", "missing", "unknown_clients"}
    left_out |= {"reports", "kept_out", "unfinished"}
    columns = {name: value for name, value in vars(file).items() if name not in left_out} | {
        "status": "rejected" if file.reason else "ingested",
        "rejected": len(file.bad_rows) - file.kept_out,  # of whom it is known who they are
        "recorded_at": now,
        **dict.fromkeys(("judged_at", "scored_at", "reported_at"), settled),
    }
    history.insert("files", **columns | times)
    history.query("UPDATE master SET last_file = ? WHERE last_file < ?", file.id, file.id)
    rows = [(file.id, bad.line, bad.reason, bad.row) for bad in file.bad_rows]
    history.many(insertion("rejected_rows", ("file_id", "line", "reason", "row")), rows)


def master_state(history: History) -> MasterState:
    """How much of `finaldata.csv` counts."""
    ((rows, size, names, mtime_ns, digest, log, *of_log),) = history.tuples(
        "SELECT rows, bytes, client_names, mtime_ns, digest, log_file, log_bytes, log_mtime_ns,"
        " log_digest FROM master"
    )
    if not log:
        return MasterState(rows, size)
    record = FileRecord(size, mtime_ns, digest)
    return MasterState(rows, size, record, LogFile(log, FileRecord(*of_log)), names)


def kept_contents(history: History) -> dict[str, list[Former]]:
    """Of each file the contents whose lines are on record, in their order; by its name."""
    return _contents(history, "log_at", "log_at IS NOT NULL")


def last_contents(history: History) -> dict[str, list[Former]]:
    """Of each file the content taken in last, where no lines are on record."""
    return _contents(history, "0", "current = 1 AND status = 'ingested'")


def _contents(history: History, log_at: str, condition: str) -> dict[str, list[Former]]:
    found: dict[str, list[Former]] = {}
    for name, *rest in history.tuples(
        f"SELECT name, id, sha256, {log_at} FROM files WHERE {condition} ORDER BY id"
    ):
        found.setdefault(name, []).append(Former(*rest))
    return found


class Period(NamedTuple):
    """How many files were taken in, and when the first and the last of them."""

    files: int
    first: str
    last: str


@dataclass(frozen=True)
class ListedFile:
    """A content that a full list may be made of."""

    id: int
    name: str
    day: int  # of its time stamp, from 1970
    log_at: int | None  # where its lines are on record, None if it was rejected
    set_aside: int  # lines


def listed_files(history: History) -> list[ListedFile]:
    """All contents that full lists are made of; the days are local ones."""
    found = history.tuples(
        "SELECT id, name, mtime_ns, log_at, rejected FROM files"
        " WHERE log_at IS NOT NULL OR (status = 'rejected' AND current = 1)"
    )
    return [ListedFile(i, name, _local_day(time), *rest) for i, name, time, *rest in found]


def file_days(history: History) -> dict[int, int]:
    """The local day, from 1970, of the time stamp of each content taken in, by its number."""
    found = history.tuples("SELECT id, mtime_ns FROM files WHERE status = 'ingested'")
    return {number: _local_day(time) for number, time in found}


def last_file(history: History) -> int:
    """The id of the file recorded last, even if it is forgotten since; 0 if there is none."""
    return int(history.column("SELECT last_file FROM master")[0])


def ingested_period(history: History, last_file: int) -> Period:
    """When the files up to this id were taken in."""
    ((files, first, last),) = history.tuples(
        "SELECT count(DISTINCT name), min(recorded_at), max(recorded_at) FROM files"
        " WHERE status = 'ingested' AND id <= ?",
        last_file,
    )
    return Period(files, first or "", last or "")


def unjudged(history: History) -> list[PendingFile]:
    """The files whose rows no drift check has seen, oldest first."""
    return _pending(history, "reported_at IS NULL AND judged_at IS NULL")


def unreported(history: History) -> list[PendingFile]:
    """The files whose reports are not written yet, judged or not, oldest first."""
    return _pending(history, "reported_at IS NULL")


def unscored(history: History) -> list[PendingFile]:
    """The files on which no drift test of scores has come to a verdict, oldest first."""
    return _pending(history, f"scored_at IS NULL AND status = 'ingested' AND NOT ({HELD})")


def scored_since(history: History, time: str) -> list[PendingFile]:
    """The files taken in after a time on which a drift test has come to a verdict, oldest first."""
    since = "coalesce(accepted_at, recorded_at) > ?"
    return _pending(history, f"scored_at IS NOT NULL AND status = 'ingested' AND {since}", time)


def _pending(history: History, condition: str, *values: str) -> list[PendingFile]:
    rows = history.tuples(
        "SELECT id, name, coalesce(accepted_at, recorded_at), start_row, end_row FROM files"
        f" WHERE {condition} ORDER BY id",
        *values,
    )
    return [PendingFile(number, name, at, (*span,)) for number, name, at, *span in rows]


def recent_batches(history: History) -> list[list[PendingFile]]:
    """The files of up to four batches that were judged last, the latest first.

    Of small batches, so many in a row count as one that they brought 200 rows.
    """
    rows = history.tuples(
        "SELECT judged_at, id, name, recorded_at, start_row, end_row FROM files"
        f" WHERE status = 'ingested' AND judged_at IS NOT NULL AND NOT ({HELD})"
        f" ORDER BY judged_at DESC, id DESC LIMIT {MAX_RECENT_FILES}"
    )
    batches: list[list[PendingFile]] = []
    brought = MIN_RECENT_ROWS
    for _, judged in groupby(rows, itemgetter(0)):
        if brought >= MIN_RECENT_ROWS:
            batches.append([])
            brought = 0
        for _, number, name, at, start, end in judged:
            batches[-1].append(PendingFile(number, name, at, (start, end)))
            brought += end - start
    return batches[:MAX_RECENT]


def mark(
    history: History, files: list[PendingFile], what: Literal["judged", "scored", "reported"]
) -> None:
    """Record that a drift check has seen these files, or come to a verdict, or that reports are."""
    now = utc_now()  # one for all: by it, files were judged together
    history.many(f"UPDATE files SET {what}_at = ? WHERE id = ?", [(now, file.id) for file in files])


def day_of(history: History, number: int) -> int:
    """The local day of the time stamp of a content, from 1970."""
    return _local_day(history.column("SELECT mtime_ns FROM files WHERE id = ?", number)[0])


def _local_day(mtime_ns: int) -> int:
    first = date(1970, 1, 1).toordinal()
    return datetime.fromtimestamp(mtime_ns / 1e9).toordinal() - first


def ingested_names(history: History) -> list[str]:
    """The names of all files that were taken in, each once, in order of ingestion."""
    return history.column(
        "SELECT name FROM files WHERE status = 'ingested' GROUP BY name ORDER BY min(id)"
    )


def ingestedfiles_text(history: History) -> str:
    """What `ingestedfiles.txt` says: a JSON array of names, a line each."""
    return json.dumps(ingested_names(history), indent=1, ensure_ascii=False) + "\n"


def rejected_files(history: History) -> list[tuple[str, str]]:
    """The files whose current content is rejected, with the reason, the latest first."""
    return history.tuples(
        "SELECT name, reason FROM files WHERE current = 1 AND status = 'rejected' ORDER BY id DESC"
    )


def rejected_rows(history: History) -> "list[tuple[str, BadRow]]":
    """The rows set aside, each with its file's name; of a file, those of its newest content."""
    from pipeline.data.csv_reader import BadRow  # an empty tick does without the reader

    rows = history.tuples(
        "SELECT name, line, rejected_rows.reason, row FROM rejected_rows"
        " JOIN files ON files.id = file_id ORDER BY file_id, line"
    )
    return [(name, BadRow(*row)) for name, *row in rows]


def rebuilding(history: History) -> bool:
    """Whether an earlier version was killed while it made `finaldata.csv` anew."""
    return bool(history.column("SELECT rebuilding FROM master")[0])


def unsettled_since(history: History) -> str | None:
    """When the first run began that was killed or failed after the last complete chain.

    What was made since then may be incomplete. A run that is still at work counts, too.
    """
    (since,) = history.column(
        "SELECT min(started_at) FROM runs WHERE (outcome IS NULL OR outcome <> 'done') AND id > ("
        "SELECT coalesce(max(id), 0) FROM runs WHERE outcome = 'done' AND command = 'fullprocess')"
    )
    return None if since is None else str(since)


def new_files(
    history: History, found: list[FoundFile], schema: "Schema", *, remember: bool = True
) -> list[FoundFile]:
    """The files of an unknown name or content, and those that another schema made be rejected.

    A file's content is read only where its size or one of its times differs from what was recorded;
    if only times differ, the new ones are recorded if `remember` is true.
    """
    rows = history.tuples(
        "SELECT name, size, mtime_ns, ctime_ns, sha256,"
        " status = 'rejected' AND reason <> ? AND sha256 <> ? AND coalesce(schema, '') <> ?"
        " FROM files WHERE current = 1",
        *(WITHDRAWN, UNREAD, schema.text),
    )
    known = {row[0]: row for row in rows}
    new, touched = [], []
    for file in found:
        if file.name not in known:
            new.append(file)
            continue
        _, size, mtime_ns, ctime_ns, sha256, retry = known[file.name]
        same_times = (mtime_ns, ctime_ns) == (file.mtime_ns, file.ctime_ns)
        if retry or size != file.size:
            new.append(file)
        elif same_times and sha256 != UNREAD:
            continue
        elif sha256 != digest(file):
            new.append(file)
        elif not same_times and schema.snapshots and mtime_ns != file.mtime_ns:
            new.append(file)  # the next list, which says the same
        elif not same_times:
            touched.append(file)
    if touched and remember:
        times = [(file.mtime_ns, file.ctime_ns, file.name) for file in touched]
        sql = "UPDATE files SET mtime_ns = ?, ctime_ns = ? WHERE name = ? AND current = 1"
        with history.transaction():
            history.many(sql, times)
    return new


def file_record(path: Path) -> FileRecord:
    """The record of a file as it is."""
    found = path.stat()
    return FileRecord(found.st_size, found.st_mtime_ns, _digest(path, found.st_size))


def file_fault(path: Path, record: FileRecord, *, longer: bool = False) -> str | None:
    """How a file, `longer` or not, differs from its record; read if its time of change differs."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return f"is gone, though {record.size:,} bytes of it are on record"
    if found.st_size < record.size or (found.st_size > record.size and not longer):
        return f"has {found.st_size:,} bytes where {record.size:,} are on record"
    same = (found.st_size, found.st_mtime_ns) == (record.size, record.mtime_ns)
    if same or _digest(path, record.size) == record.digest:
        return None
    return "has other content than is on record"


def _digest(path: Path, size: int) -> str:
    """A sum of those of the blocks of a file up to a size."""
    from xxhash import xxh3_128_intdigest  # an empty tick does without, as a rule

    total = 0
    with path.open("rb") as file:
        for number, start in enumerate(range(0, size, BLOCK)):
            total += xxh3_128_intdigest(file.read(min(BLOCK, size - start)), seed=number)
    return f"{total % (1 << 128):032x}"
