"""Taking in client files on Spark: what is new, all of it anew, or all but what is taken back."""

import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from itertools import accumulate

from pyspark.sql import DataFrame

from pipeline.core.config import Config
from pipeline.core.errors import HistoryError
from pipeline.data.input_files import FoundFile, in_order
from pipeline.data.loader import TakenFile, log_counts
from pipeline.observations.parts import Came, PartFile, Worked, spans_of
from pipeline.observations.renewal import NOTHING_GONE, Gone, RowsWouldGo
from pipeline.observations.tables import NO_TABLES, open_tables, remove_others, save_tables
from pipeline.spark.reading import read_files
from pipeline.spark.store import Store
from pipeline.storage import held_files, ledger
from pipeline.storage.database import History
from pipeline.storage.ledger import Former, MasterState

Contents = Mapping[str, Sequence[Former]]  # of each file those on record, in their order


@dataclass(frozen=True)
class _Read:
    """What became of files that were read, and the lines of those that go in."""

    lines: DataFrame
    taken: list[TakenFile]
    files: list[PartFile]

    @property
    def good(self) -> int:
        """How many lines there are."""
        return sum(file.rows - len(file.bad_rows) for file in self.taken if not file.reason)


def append(
    config: Config, history: History, new: Sequence[FoundFile], found: Sequence[FoundFile]
) -> tuple[list[TakenFile], int]:
    """Take in new files, and again those found whose outcomes waited for a client that came.

    Returns what became of them, and how many rows there are. Raises `HistoryError` if the files of
    rows are not what the ledger says, and `EngineError` if Spark loses rows.
    """
    path, state = config.finaldata_path, ledger.master_state(history)
    tables = open_tables(path, state, config.schema)
    if not new:
        remove_others(path, state)
        return [], state.rows
    kept = ledger.kept_contents(history)
    held = {file.name for file in held_files.held_files(history)}
    with Store(config, tables) as store:
        taken, waiting = _take(store, new, kept, ledger.last_file(history) + 1)
        if any(file.added for file in taken):
            good = [file for file in taken if not file.reason]
            kept |= {file.name: [Former(file.id, file.sha256, 0)] for file in good}
            number = max(file.id for file in taken) + 1
            again = [file for file in found if file.name in waiting]
            taken += _take(store, again, kept, number, again=True)[0]
        for file in taken:
            log_counts(file, was_held=file.name in held)
        if store.tables != tables:
            state = _save(config, history, store, taken)
    ledger.record_files(history, taken, state)
    remove_others(path, state)
    return taken, state.rows


def _save(
    config: Config, history: History, store: Store, taken: Sequence[TakenFile]
) -> MasterState:
    unjudged = [file.id for file in ledger.unjudged(history)]
    store.draw([*unjudged, *(file.id for file in taken)])
    history.check_lock()
    return save_tables(config.finaldata_path, store.tables, config.schema.client_names)


def _take(
    store: Store, files: Sequence[FoundFile], kept: Contents, number: int, *, again: bool = False
) -> tuple[list[TakenFile], set[str]]:
    """Take in files; `kept` has the contents before, the first new one gets this number.

    Those read `again`, for reports of clients that were not known, only where there are such. Also
    returns which files have outcomes of clients that are not known yet.
    """
    read = _read(store, in_order(files), kept, number) if files else None
    if not read or not read.files:
        return (read.taken if read else []), set()
    if not store.tables.parts:
        store.begin(read.good)
    worker = store.worker(files=read.files, kept=kept)
    if again:
        found = store.work("again", partial(worker.grow, again=True), read.lines, read.good)
        names = {file.name for file in read.files if _came(found, file.number)}
        if len(names) < len(read.files):
            some = [file for file in files if file.name in names]
            return _take(store, some, kept, number, again=True)
    rows = store.tables.rows
    done = store.work("parts", worker.grow, read.lines, read.good)
    store.use(done)
    return _counted(read.taken, done, rows), {name for each in done for name in each.waiting}


def _came(done: Sequence[Worked], number: int) -> Came | None:
    """What a content came to in all parts; None if it did in none."""
    parts = [each.came[number] for each in done if number in each.came]
    return [*accumulate(parts)][-1] if parts else None


def _counted(taken: Sequence[TakenFile], done: Sequence[Worked], rows: int = 0) -> list[TakenFile]:
    """What became of files, with what their lines came to, behind so many rows."""
    counted = []
    for file in taken:
        if came := _came(done, file.id):
            start, rows = rows, rows + came.added
            file = replace(
                file,
                added=came.added,
                changed=came.changed,
                missing=came.missing,
                duplicates=0 if file.reports else file.duplicates - came.added,
                unknown_clients=tuple(sorted(came.unknown, key=came.unknown.__getitem__)),
                start_row=start,
                end_row=rows,
                log_at=file.id,
            )
        counted.append(file)
    return counted


def _read(
    store: Store, files: Sequence[FoundFile], kept: Contents, number: int, *, anew: bool = False
) -> _Read:
    """Read files and number their contents; `anew`, one that is on record keeps its number."""
    lines, reads = read_files(store.spark, files, store.schema, store.staging("read"))
    taken, parts = [], []
    for turn, result in enumerate(reads):
        for name, level, text in result.logged:
            logging.getLogger(name).log(level, "%s", text)
        if not (file := result.file):
            continue
        former = kept[file.name][-1] if file.name in kept else None
        same = anew and former and not file.reason and former.sha256 == file.sha256
        file = replace(file, id=former.id if former and same else number)
        number += file.id == number
        taken.append(file)
        if not file.reason:
            parts.append(PartFile(turn, file.id, file.name, file.sha256, file.rows, file.reports))
    return _Read(lines, taken, parts)


def rebuild(
    config: Config, history: History, files: Sequence[FoundFile], *, yes: bool
) -> tuple[list[TakenFile], int]:
    """Make the parts again from these files; lines keep the places that they had.

    Raises `RowsWouldGo` if rows would be lost, and `yes` is false.
    """
    path, state = config.finaldata_path, ledger.master_state(history)
    old, kept = NO_TABLES, ledger.last_contents(history)
    if state.log and state.client_names == config.schema.client_names:
        with suppress(HistoryError):
            old, kept = open_tables(path, state), ledger.kept_contents(history)
    with Store(config, old) as store:
        read = _read(store, in_order(files), kept, ledger.last_file(history) + 1, anew=True)
        if not old.parts:
            store.begin(read.good)
        work = store.worker(files=read.files, kept=kept).rebuild
        done = store.work("parts", work, read.lines, read.good)
        store.use(done)
        store.tables = replace(store.tables, header=config.schema.header)
        taken = _counted(read.taken, done)
        for file in taken:
            log_counts(file)
        fewer = Gone(max(0, state.rows - store.tables.rows), ())
        _check_gone("--rebuild", fewer if not old.parts else _gone(done), yes=yes)
        state = _save(config, history, store, taken)
    names = {file.name for file in taken if not file.reason}
    gone = {*ledger.ingested_names(history)} - names
    ledger.renew_files(history, taken, gone, spans_of(done), state)
    remove_others(path, state)
    return taken, state.rows


def withdraw(
    config: Config, history: History, name: str, *, present: bool, held: int | None, yes: bool
) -> tuple[Gone, int]:
    """Take back what only the former contents of a file brought, all of it, or what is held back.

    Returns what is gone, and how many rows are left. Raises `RowsWouldGo` as `rebuild` does.
    """
    path, state = config.finaldata_path, ledger.master_state(history)
    with Store(config, open_tables(path, state, config.schema)) as store:
        worker = store.worker(kept=ledger.kept_contents(history))

        def work(number: int, _: object) -> Worked:
            return worker.withdraw(number, name, present=present, held=held)

        done = store.work("parts", work)
        gone = _gone(done)
        _check_gone("--withdraw", gone, yes=yes)
        store.use(done)
        state = _save(config, history, store, [])
    names = [] if present else [name]
    ledger.renew_files(history, [], names, spans_of(done), state, withdrawn=held)
    remove_others(path, state)
    return gone, state.rows


def _gone(done: Sequence[Worked]) -> Gone:
    return sum((each.gone for each in done), NOTHING_GONE)


def _check_gone(option: str, gone: Gone, *, yes: bool) -> None:
    if gone.rows and not yes:
        raise RowsWouldGo(option, gone)
