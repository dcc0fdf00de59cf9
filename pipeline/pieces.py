"""The first half of an ingestion into buckets: client files, checked, cut into pieces.

A task reads some files with the checker that all ingestion shares and writes their good rows into
a folder, a Parquet file for each bucket. The folder has its name only when it is whole: what a
worker was at when it died lies under another and is never read. One that is whole is found again
by the next run.
"""

import json
import os
import resource
import secrets
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.errors import EngineError
from pipeline.files import sync_folder, write_atomic
from pipeline.inbox import UNREAD, FoundFile
from pipeline.intake import take_in
from pipeline.ledger import BadRow, TakenFile
from pipeline.piecewriter import PieceWriter, piece_name
from pipeline.schema import Schema

FORM = 1  # of what a task leaves; one of another form is not taken for finished
DONE = "task.json"
OPEN_FILES = 200  # beside the pieces: libraries, sockets, the log


class PieceTask(NamedTuple):
    """Files to cut into pieces: where to, for how many buckets, by which keys."""

    schema: Schema
    files: tuple[FoundFile, ...]
    folder: Path  # of all pieces
    buckets: int
    seed: int

    @property
    def name(self) -> str:
        """The name of its folder: another for other files, columns, buckets or keys."""
        told = [FORM, self.schema, self.buckets, self.seed]
        listed = [(file.name, file.size, file.mtime_ns) for file in self.files]
        return sha256(json.dumps([told, listed]).encode()).hexdigest()[:32]

    @property
    def finished(self) -> Path:
        """Its folder, once it is whole."""
        return self.folder / self.name

    def writer(self, place: Path) -> PieceWriter:
        """What cuts its rows into pieces there."""
        return PieceWriter(place, self.schema, self.buckets, self.seed)


@dataclass(frozen=True)
class Pieces:
    """What a task made of its files.

    `files` has None for one that has to wait; the pieces have the rows of the others, and those of
    refused ones perhaps: a row is told by the place of its file. `rows` counts by bucket.
    """

    folder: Path
    files: tuple[TakenFile | None, ...]
    rows: dict[int, int]

    @property
    def settled(self) -> bool:
        """Whether no file had to wait or could not be read, which may be otherwise by now."""
        return all(file is not None and file.sha256 != UNREAD for file in self.files)

    def piece(self, bucket: int) -> Path:
        """The piece of a bucket; there is one if it has rows."""
        return self.folder / piece_name(bucket)


def cut(task: PieceTask) -> Pieces:
    """Read, check and cut the files of a task; what another worker has finished is taken as it is.

    Raises `OSError` where the folder cannot be written, `EngineError` where too few files may be
    open for so many buckets.
    """
    if found := finished(task):
        return found
    _allow_open_files(task.buckets + OPEN_FILES)
    place = task.folder / f".{task.name}.{os.getpid()}.{secrets.token_hex(4)}.tmp"
    place.mkdir(parents=True)
    try:
        taken = []
        with task.writer(place) as writer:
            for position, file in enumerate(task.files):
                writer.begin(position)
                taken.append(take_in(task.schema, file, writer))
        write_atomic(place / DONE, json.dumps(_told(taken, writer.rows)))
        sync_folder(place)
        try:
            place.rename(task.finished)
        except OSError:
            if not finished(task):  # another worker was quicker: the same rows are there
                raise
    finally:
        shutil.rmtree(place, ignore_errors=True)
    sync_folder(task.folder)
    return read_pieces(task.finished)


def _allow_open_files(count: int) -> None:
    """A piece is open for each bucket; systems allow 1024 files unless asked for more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= count:
        return
    if hard != resource.RLIM_INFINITY and hard < count:
        raise EngineError(
            f"{count - OPEN_FILES:,} buckets take {count:,} open files, and a process may have"
            f' {hard:,} here: allow more (ulimit -n), or put fewer "buckets" into config.json'
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))


def finished(task: PieceTask) -> Pieces | None:
    """The pieces of a task that is done, or None."""
    return read_pieces(task.finished) if (task.finished / DONE).is_file() else None


def read_pieces(folder: Path) -> Pieces:
    """What a task left."""
    told = json.loads((folder / DONE).read_text(encoding="utf-8"))
    files = tuple(None if file is None else _taken(file) for file in told["files"])
    return Pieces(folder, files, {int(bucket): rows for bucket, rows in told["rows"].items()})


def _told(taken: Sequence[TakenFile | None], rows: dict[int, int]) -> dict[str, Any]:
    return {"files": [None if file is None else asdict(file) for file in taken], "rows": rows}


def _taken(told: dict[str, Any]) -> TakenFile:
    return TakenFile(**{**told, "bad_rows": tuple(BadRow(**bad) for bad in told["bad_rows"])})


def with_counts(file: TakenFile, ingestion: int, position: int, added: int) -> TakenFile:
    """A file once its rows are in the buckets, of which so many were new."""
    if file.reason:
        return file
    return replace(
        file,
        added=added,
        duplicates=file.rows - added - len(file.bad_rows),
        ingestion=ingestion,
        position=position,
    )
