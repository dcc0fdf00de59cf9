"""Take in new client files."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

from pipeline.core.config import Config
from pipeline.core.errors import DataError, RejectedError
from pipeline.core.files import write_if_changed
from pipeline.core.formatting import escape_formula, format_names, pluralize
from pipeline.core.schema import csv_line
from pipeline.data.input_files import FoundFile, digest, in_order, list_input
from pipeline.data.loader import Sink, TakenFile, log_counts, progress, take_in
from pipeline.observations.master_files import (
    check_columns,
    check_rows,
    finish,
    has_columns,
    put_in_place,
)
from pipeline.observations.master_writer import NOTHING, MasterWriter, warn_of_alike
from pipeline.observations.renewal import Renewal, RowsWouldGo
from pipeline.observations.row_keys import recorded_log
from pipeline.storage import held_files, ledger
from pipeline.storage.contacts import erasures, kept_out
from pipeline.storage.database import History
from pipeline.storage.input_checks import (
    list_and_tell,
    ready_files,
    remember_unfinished,
    tell_once,
)
from pipeline.storage.records import record_timing

log = logging.getLogger("ingestion")

MAX_NAMED = 3  # files, in one message


@dataclass(frozen=True)
class Withdrawal:
    """What taking back a file's former lines has changed."""

    name: str
    present: bool  # whether what the file holds now still counts
    held: bool  # whether it was held back: it goes even while its file is there
    rows_gone: int
    total_rows: int  # of finaldata.csv, afterwards
    path: Path


@dataclass(frozen=True)
class Ingestion:
    """What one ingestion took in."""

    files: tuple[TakenFile, ...]
    total_rows: int  # of finaldata.csv, afterwards
    seconds: float


def ingest(
    config: Config, history: History, *, rebuild: bool = False, yes: bool = False
) -> Ingestion:
    """Take in what is new in the input folder, or (`rebuild`) all of it from the start.

    Raises `DataError` if there is no such folder, `HistoryError` if finaldata.csv is not what the
    ledger says, and `RowsWouldGo` if a rebuild would lose rows and `yes` is false.
    """
    started = perf_counter()
    found = list_and_tell(history, config.input_folder_path, subfolders=config.subfolders)
    if config.engine:
        taken, rows = _on_spark(config, history, found, rebuild=rebuild, yes=yes)
    elif rebuild or ledger.rebuilding(history):
        taken, rows = _rebuild(config, history, found, yes=yes or not rebuild)
    else:
        put_in_place(config.finaldata_path, ledger.master_state(history))
        new = ledger.new_files(history, found, config.schema)
        taken, rows = _append(config, history, ready_files(history, new), found)
    seconds = perf_counter() - started
    if taken:
        record_timing(history, "ingestion", seconds, sum(file.rows for file in taken))
    write_records(config, history)
    return Ingestion(tuple(taken), rows, seconds)


def _on_spark(
    config: Config, history: History, found: list[FoundFile], *, rebuild: bool, yes: bool
) -> tuple[list[TakenFile], int]:
    if kept_out(history).hashes:
        raise DataError('clients are kept out, which "engine": "spark" cannot: remove the key')
    from pipeline.spark import ingestion as spark  # what needs Spark, only where it is asked for

    if rebuild or ledger.rebuilding(history):
        ready = _to_rebuild(history, found)
        return spark.rebuild(config, history, ready, yes=yes or not rebuild)
    new = ready_files(history, ledger.new_files(history, found, config.schema))
    taken, rows = spark.append(config, history, new, found)
    _remember_unfinished(history, new, taken)
    return taken, rows


def _append(
    config: Config, history: History, new: list[FoundFile], found: list[FoundFile]
) -> tuple[list[TakenFile], int]:
    path, state = config.finaldata_path, ledger.master_state(history)
    if state.bytes:
        check_rows(path, history)
    if state.bytes and not state.rows and not has_columns(path, config.schema):
        path.unlink()  # the header alone, of another schema
        state = NOTHING
    if state.bytes:
        check_columns(path, config.schema, state)
    if not new:
        finish(path, state)  # which a run may have been killed before
        return [], state.rows
    former = {name: kept[-1] for name, kept in ledger.kept_contents(history).items()}
    before = state.rows
    with MasterWriter(path, config.schema, state, former, history.check_lock) as master:
        taken = _take_all(config, history, new, master, found)
        state = master.save()
        ledger.record_files(history, taken, state)
        finish(path, state)
    if state.rows > before:
        warn_of_alike(path, config.schema, before)
    return taken, state.rows


def _rebuild(
    config: Config, history: History, found: list[FoundFile], *, yes: bool
) -> tuple[list[TakenFile], int]:
    """Make finaldata.csv again from the input folder, then put it in the place of the old one."""
    known, ready = set(ledger.ingested_names(history)), _to_rebuild(history, found)
    if (erased := erasures(history))[0]:
        log.warning(
            "%s erased, the last on %s: a file that still has lines of one brings it back, unless"
            " it is kept out",
            *(pluralize(erased[0], "client was", "clients were"), erased[1]),
        )
    path, state = config.finaldata_path, ledger.master_state(history)
    put_in_place(path, state)
    contents = ledger.kept_contents(history)
    with recorded_log(path, state) as before:
        if before is None:
            contents = ledger.last_contents(history)
        with Renewal(path, config.schema, state, contents, before, history.check_lock) as master:
            taken = _take_all(config, history, ready, master)
            lost = master.rows_gone()
            if lost.rows and not yes:
                raise RowsWouldGo("--rebuild", lost)
            state, spans = master.save()
            gone = known - {file.name for file in taken if not file.reason}  # or left for later
            ledger.renew_files(history, taken, gone, spans, state)
            finish(path, state)
    return taken, state.rows


def _to_rebuild(history: History, found: list[FoundFile]) -> list[FoundFile]:
    """The files to make everything of again; what was withdrawn stays so."""
    for name in sorted(set(ledger.ingested_names(history)) - {file.name for file in found}):
        log.warning("%s is no longer in the input folder: its rows are left out", name)
    withdrawn = held_files.withdrawn_files(history)
    return [
        file
        for file in ready_files(history, found)
        if not withdrawn or (file.name, digest(file)) not in withdrawn
    ]


def withdraw(config: Config, history: History, name: str, *, yes: bool) -> Withdrawal:
    """Take back what only the former contents of a file brought, or all of it if it is gone.

    If it is held back, all of it in any case.
    Raises `DataError` if nothing of that name is on record, and `RowsWouldGo` if rows would be
    lost and `yes` is false.
    """
    path = config.finaldata_path
    state, contents = ledger.master_state(history), ledger.kept_contents(history)
    held = next((file.id for file in held_files.held_files(history) if file.name == name), None)
    if not config.engine:
        put_in_place(path, state)
        if state.rows:
            check_rows(path, history)
            check_columns(path, config.schema, state)
    if name not in contents:
        raise DataError(
            f"{name} is not among the files that were taken in; they are named in"
            f" {config.shown(config.ingestedfiles_path)}"
        )
    found = list_input(config.input_folder_path, subfolders=config.subfolders)
    present = any(file.name == name for file in found)
    if config.engine:
        from pipeline.spark import ingestion as spark

        gone, rows = spark.withdraw(config, history, name, present=present, held=held, yes=yes)
        write_records(config, history)
        counts = gone.rows, rows
        return Withdrawal(name, present and held is None, held is not None, *counts, path)
    with (
        recorded_log(path, state) as before,
        Renewal(path, config.schema, state, contents, before, history.check_lock) as master,
    ):
        gone = master.withdraw(name, present=present, held=held)
        if gone.rows and not yes:
            raise RowsWouldGo("--withdraw", gone)
        state, spans = master.save()
        gone_names = [] if present else [name]
        ledger.renew_files(history, [], gone_names, spans, state, withdrawn=held)
        finish(path, state)
    write_records(config, history)
    counts = gone.rows, state.rows
    return Withdrawal(name, present and held is None, held is not None, *counts, path)


def accept(history: History, name: str) -> None:
    """Have the content of a file count that is held back, from the next run of the chain on.

    Raises `DataError` if it is not held back.
    """
    if not held_files.accept(history, name):
        held = [file.name for file in held_files.held_files(history)]
        others = format_names(held, MAX_NAMED) or "none"
        raise DataError(f"{name} is not among the files that are held back: {others}")


def _take_all(
    config: Config,
    history: History,
    new: list[FoundFile],
    master: Sink,
    found: Sequence[FoundFile] = (),
) -> list[TakenFile]:
    """Take in new files in the order in which their lines count.

    Where they have new rows, those of all that were found whose outcomes wait for one come again.
    """
    taken: list[TakenFile] = []
    number = ledger.last_file(history) + 1
    held = {file.name for file in held_files.held_files(history)}
    refused = kept_out(history)
    waits: dict[str, str] = {}

    def take(files: Sequence[FoundFile], *, again: bool = False) -> None:
        nonlocal number
        with progress("taking in", sum(file.size for file in files if file.regular)) as step:
            for file in in_order(files):
                done = take_in(
                    *(config.schema, file, number, master, step),
                    again=again,
                    kept_out=refused,
                    tell=waits.__setitem__,
                )
                if done:
                    log_counts(done, was_held=done.name in held)
                    taken.append(done)
                    number += done.id == number

    take(new)
    if any(done.added for done in taken):
        waiting = master.waiting()
        if again := [file for file in found if file.name in waiting]:
            take(again, again=True)
    tell_once(history, waits, "waits")
    _remember_unfinished(history, new, taken)
    return taken


def _remember_unfinished(
    history: History, new: Sequence[FoundFile], taken: Sequence[TakenFile]
) -> None:
    finished = {file.name for file in taken if not file.unfinished}
    remember_unfinished(history, {file.name for file in new} - finished)


def write_records(config: Config, history: History) -> None:
    """Write what the ledger says into the files that people and programs read."""
    if ledger.ingested_names(history) or config.ingestedfiles_path.exists():
        write_if_changed(config.ingestedfiles_path, ledger.ingestedfiles_text(history))
    rejected = ledger.rejected_rows(history)
    if rejected or config.rejectedrows_path.exists():
        lines = [("file", "line", "reason", "row")]
        lines += [(name, str(bad.line), bad.reason, bad.row) for name, bad in rejected]
        text = "".join(csv_line([*map(escape_formula, line)]) + "\n" for line in lines)
        write_if_changed(config.rejectedrows_path, text)


def ingestion_lines(config: Config, ingestion: Ingestion) -> list[str]:
    """What an ingestion did, in lines for a person."""
    if not ingestion.files:
        return [f"nothing new in {config.shown(config.input_folder_path)}"]
    lines = []
    for file in ingestion.files:
        if file.reason:
            lines.append(f"{file.name}: rejected: it {file.reason}")
        else:
            others = [
                (len(file.bad_rows), "set aside"),
                (file.changed, f"{'outcome' if file.changed == 1 else 'outcomes'} changed"),
                (file.missing, "of those before missing"),
                (len(file.unknown_clients), "of unknown clients"),
            ]
            more = "".join([f", {count:,} {what}" for count, what in others if count])
            rows = f"{file.added:,} new of {file.rows:,} rows"
            if file.reports:
                rows = pluralize(file.rows, "outcome")
            lines.append(f"{file.name}: {rows}{more}")
    if any(file.bad_rows for file in ingestion.files):
        lines.append(f"{config.shown(config.rejectedrows_path)}: the rows set aside, and why")
    return [*lines, f"{config.shown(config.finaldata_path)}: {ingestion.total_rows:,} rows"]


def check_accepted(config: Config, ingestion: Ingestion) -> None:
    """Raise `RejectedError` if files were read and every one was rejected."""
    files = ingestion.files
    if files and all(file.reason for file in files):
        named = [f"{file.name}: it {file.reason}" for file in files[:MAX_NAMED]]
        more = [f"and {len(files) - MAX_NAMED:,} more"] if len(files) > MAX_NAMED else []
        raise RejectedError(
            f"{config.input_folder_path}: every new file is rejected: {'; '.join(named + more)}"
        )


def ingestion_to_dict(config: Config, ingestion: Ingestion) -> dict[str, Any]:
    """What an ingestion did, for a program; rows set aside are counted, and their file is named."""
    aside = any(file.bad_rows for file in ingestion.files)
    return {
        "files": [
            {
                "name": file.name,
                "reason": file.reason,
                "rows": file.rows,
                "added": file.added,
                "duplicates": file.duplicates,
                "set_aside": len(file.bad_rows),
                "outcomes_changed": file.changed,
                "missing": file.missing,
                "outcomes_alone": file.reports,
                "unknown_clients": len(file.unknown_clients),
                "sha256": file.sha256 or None,  # what cannot be read has none
            }
            for file in ingestion.files
        ],
        "added": sum(file.added for file in ingestion.files),
        "total_rows": ingestion.total_rows,
        "path": config.finaldata_path,
        "rejected_rows": config.rejectedrows_path if aside else None,
    }


def withdrawal_lines(config: Config, done: Withdrawal) -> list[str]:
    """What a withdrawal did, in lines for a person."""
    left = "only what it holds now counts" if done.present else "it is gone, and counts no more"
    if done.held:
        left = "it was held back, and counts no more"
    return [
        f"{done.name}: {left}; {pluralize(done.rows_gone, 'row')} taken back",
        f"{config.shown(done.path)}: {done.total_rows:,} rows",
    ]
