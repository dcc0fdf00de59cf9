"""Ingestion into buckets: files are cut into pieces, pieces merged, all committed at once.

What is on record counts and nothing else: files of buckets that are not yet, or no longer, on
record are swept away by the next ingestion. Until then, who began to read them can go on.
"""

import logging
import shutil
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from pipeline import bucketledger
from pipeline.bucketledger import Bucket, bucket_files, pieces_path
from pipeline.bucketmerge import VOID, Merged, MergeTask, Piece, merge
from pipeline.config import Config
from pipeline.engine import Engine
from pipeline.history import History
from pipeline.inbox import FoundFile
from pipeline.intake import log_counts
from pipeline.ledger import TakenFile
from pipeline.masterwriter import key_path, rebuilt_path
from pipeline.pieces import Pieces, PieceTask, cut, finished, with_counts
from pipeline.progress import Step, unseen

log = logging.getLogger(__name__)

TASK_BYTES = 8 << 20  # of small files that one task has


def ingest_files(
    config: Config,
    history: History,
    engine: Engine,
    files: Sequence[FoundFile],
    *,
    rebuilt: bool = False,
    step: Step = unseen,
) -> list[TakenFile]:
    """Take files into the buckets, or (`rebuilt`) make all buckets of them anew.

    Raises `EngineError` where a bucket is too large for a worker, `HistoryError` where there are
    rows of a history that was lost, or of another schema.
    """
    before: list[Bucket] = []
    if not rebuilt:
        bucketledger.check_lost(config, history)
        before = bucketledger.counted_buckets(config, history)
        bucketledger.check_columns(before, config.schema)
    with history.transaction():  # who has lost a server's lock deletes nothing of the next run
        _sweep(config, history)
        tasks = piece_tasks(config, bucketledger.key_seed(history), files)
        _keep_finished(config, tasks)
    if count := sum(finished(task) is not None for task in tasks):
        log.info("%d of %d parts were finished by an earlier run", count, len(tasks))
    pieces = engine.map(cut, tasks, lambda done: step(sum(f.size for f in done.files if f)))
    ingestion = bucketledger.last_ingestion(history) + 1
    merged = engine.map(merge, _merge_tasks(config, engine.memory, before, pieces, ingestion))
    taken = _counted(pieces, merged, ingestion)
    if taken or rebuilt:
        bucketledger.record_ingestion(
            history,
            taken,
            [done.bucket for done in merged if done.bucket],
            buckets=config.engine.buckets,
            ingestion=ingestion,
            rebuilt=rebuilt,
        )
    with history.transaction():
        discard(pieces_path(config))
    for file in taken:
        log_counts(file)
    return taken


def piece_tasks(config: Config, seed: int, files: Sequence[FoundFile]) -> list[PieceTask]:
    """The files in tasks, in order: large ones alone, small ones together.

    Which ones are together depends on the files alone, so that the next run finds what this one
    has finished.
    """
    folder = pieces_path(config)
    return [
        PieceTask(config.schema, group, folder, config.engine.buckets, seed)
        for group in _groups(files)
    ]


def _groups(files: Sequence[FoundFile]) -> Iterator[tuple[FoundFile, ...]]:
    group: list[FoundFile] = []
    size = 0
    for file in files:
        if group and size + file.size > TASK_BYTES:
            yield tuple(group)
            group, size = [], 0
        group.append(file)
        size += file.size
    if group:
        yield tuple(group)


def _merge_tasks(
    config: Config,
    memory: int,
    before: Sequence[Bucket],
    pieces: Sequence[Pieces],
    ingestion: int,
) -> list[MergeTask]:
    known = {bucket.number: bucket for bucket in before}
    positions = _positions(pieces)
    new: dict[int, list[Piece]] = {}
    for done, places in zip(pieces, positions, strict=True):
        for number, rows in done.rows.items():
            new.setdefault(number, []).append(Piece(done.piece(number), rows, places))
    return [
        MergeTask(
            number=number,
            before=known.get(number),
            pieces=tuple(found),
            ingestion=ingestion,
            folder=config.buckets_path,
            schema=config.schema,
            memory=memory,
        )
        for number, found in sorted(new.items())
    ]


def _positions(pieces: Sequence[Pieces]) -> list[tuple[int, ...]]:
    """The place in this ingestion of each file of each task; `VOID` where its rows do not count."""
    found, count = [], 0
    for done in pieces:
        counts = [file is not None and file.reason is None for file in done.files]
        found.append(tuple(count + i if ok else VOID for i, ok in enumerate(counts)))
        count += len(done.files)
    return found


def _counted(pieces: Sequence[Pieces], merged: Sequence[Merged], ingestion: int) -> list[TakenFile]:
    """The files that were taken in or refused, with how many of their rows were new."""
    added: dict[int, int] = {}
    for done in merged:
        for position, rows in done.added.items():
            added[position] = added.get(position, 0) + rows
    files = [file for done in pieces for file in done.files]
    return [
        with_counts(file, ingestion, position, added.get(position, 0))
        for position, file in enumerate(files)
        if file
    ]


def leave_file(config: Config) -> None:
    """Delete `finaldata.csv` and its keys, if rows were kept there before."""
    for path in (config.finaldata_path, rebuilt_path(config.finaldata_path)):
        path.unlink(missing_ok=True)
        key_path(path).unlink(missing_ok=True)


def _sweep(config: Config, history: History) -> None:
    """Delete files of buckets that are not on record: those of before, and what was killed."""
    counted = {bucket.path.name for bucket in bucketledger.counted_buckets(config, history)}
    for path in bucket_files(config):
        if path.name not in counted:
            path.unlink(missing_ok=True)


def _keep_finished(config: Config, tasks: Sequence[PieceTask]) -> None:
    """Delete all pieces but those that a task of this run would leave just so."""
    kept = {task.name for task in tasks if (found := finished(task)) and found.settled}
    folder = pieces_path(config)
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.name not in kept:
            discard(path)


def discard(folder: Path) -> None:
    """Delete a folder, which is there as a whole or not at all, whenever this is killed."""
    gone = folder.with_name(f"{folder.name}.gone")
    shutil.rmtree(gone, ignore_errors=True)
    with suppress(FileNotFoundError):
        folder.rename(gone)
    shutil.rmtree(gone, ignore_errors=True)
