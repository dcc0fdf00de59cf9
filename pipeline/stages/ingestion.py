"""Take in new client files."""

import logging
from dataclasses import dataclass
from time import perf_counter
from typing import Any

from pipeline.core.config import Config
from pipeline.core.errors import HistoryError, RejectedError
from pipeline.core.files import sync_folder, write_atomic, write_if_changed
from pipeline.core.formatting import escape_formula
from pipeline.core.schema import csv_line
from pipeline.data.input_files import FoundFile, list_input
from pipeline.data.loader import TakenFile, log_counts, take_in
from pipeline.data.progress import progress
from pipeline.storage import ledger
from pipeline.storage.database import History
from pipeline.storage.input_checks import ready_files, warn_if_emptied
from pipeline.storage.ledger import MasterState
from pipeline.storage.master import check_columns, check_rows
from pipeline.storage.master_writer import MasterWriter, key_path, rebuilt_path
from pipeline.storage.records import record_timing

log = logging.getLogger("ingestion")

MAX_NAMED = 3  # files, in one message


@dataclass(frozen=True)
class Ingestion:
    """What one ingestion took in."""

    files: tuple[TakenFile, ...]
    total_rows: int  # of finaldata.csv, afterwards
    seconds: float

    @property
    def added(self) -> int:
        """Rows that were new."""
        return sum(file.added for file in self.files)


def ingest(config: Config, history: History, *, rebuild: bool = False) -> Ingestion:
    """Take in what is new in the input folder, or (`rebuild`) all of it from the start.

    Raises `DataError` if there is no such folder, `HistoryError` if finaldata.csv is not what the
    ledger says.
    """
    started = perf_counter()
    rebuild = rebuild or ledger.rebuilding(history)
    found = list_input(config.input_folder_path)
    warn_if_emptied(history, config.input_folder_path, found)
    if rebuild:
        taken, rows = _rebuild(config, history, _in_first_order(history, found))
    else:
        new = ledger.new_files(history, found, config.schema)
        taken, rows = _append(config, history, ready_files(history, new))
    seconds = perf_counter() - started
    if taken:
        record_timing(history, "ingestion", seconds, sum(file.rows for file in taken))
    _write_records(config, history)
    return Ingestion(tuple(taken), rows, seconds)


def _append(
    config: Config, history: History, files: list[FoundFile]
) -> tuple[list[TakenFile], int]:
    state = ledger.master_state(history)
    if state.bytes:
        check_rows(config.finaldata_path, history)
    if state.rows:
        check_columns(config.finaldata_path, config.schema)
    if not files:
        return [], state.rows
    state = state if _begun(config, state) else _begin(config, history, state)
    with MasterWriter(config.finaldata_path, config.schema, state, history.check_lock) as master:
        taken = _take_all(config, files, master)
        ledger.record_files(history, taken, master.save())
        return taken, master.rows


def _begun(config: Config, state: MasterState) -> bool:
    """Whether finaldata.csv is there for rows of the schema, which may change until it has some."""
    if state.rows or not state.bytes:
        return bool(state.rows)
    with config.finaldata_path.open("rb") as file:
        return file.readline() == f"{config.schema.header}\n".encode()


def _begin(config: Config, history: History, state: MasterState) -> MasterState:
    """Make finaldata.csv with its header alone and commit that.

    Rows that are there while nothing is on record are of a history that was lost: they are not
    overwritten, for their files may be gone.
    """
    path, header = config.finaldata_path, f"{config.schema.header}\n".encode()
    if not state.bytes and path.exists() and path.stat().st_size > len(header):
        raise HistoryError(
            f"{path} has rows that {config.history_path.name} knows nothing of: if that was moved"
            f" or lost, move {config.output_folder_path} away too; what the input folder has is"
            " taken in again"
        )
    history.check_lock()
    write_atomic(path, header)
    state = MasterState(0, len(header))
    ledger.record_files(history, [], state)
    return state


def _rebuild(
    config: Config, history: History, files: list[FoundFile]
) -> tuple[list[TakenFile], int]:
    """Make finaldata.csv again beside the old one, then put it in its place.

    The ledger notes the rebuild first, so that a run after a crash begins it again.
    """
    ledger.begin_rebuild(history)
    _warn_of_gone(history, files)
    files = ready_files(history, files)
    temporary = rebuilt_path(config.finaldata_path)
    with MasterWriter(temporary, config.schema, check=history.check_lock) as master:
        taken = _take_all(config, files, master)
        state = master.save()
        temporary.replace(config.finaldata_path)
        if state.keys:
            key_path(temporary).replace(key_path(config.finaldata_path))
        sync_folder(config.output_folder_path)
        ledger.replace_files(history, taken, state)
    return taken, state.rows


def _warn_of_gone(history: History, files: list[FoundFile]) -> None:
    for name in sorted(set(ledger.ingested_names(history)) - {file.name for file in files}):
        log.warning("%s is no longer in the input folder: its rows are left out", name)


def _in_first_order(history: History, found: list[FoundFile]) -> list[FoundFile]:
    """In the order of their first ingestion, those never ingested last."""
    names = ledger.ingested_names(history)
    place = {name: i for i, name in enumerate(names)}
    return sorted(found, key=lambda file: place.get(file.name, len(names)))


def _take_all(config: Config, files: list[FoundFile], master: MasterWriter) -> list[TakenFile]:
    taken = []
    with progress("taking in", sum(file.size for file in files if file.regular)) as step:
        for file in files:
            if done := take_in(config.schema, file, master, step):
                log_counts(done)
                taken.append(done)
    return taken


def _write_records(config: Config, history: History) -> None:
    """Write what the ledger says into the files that people and programs read."""
    if ledger.ingested_names(history) or config.ingestedfiles_path.exists():
        write_if_changed(config.ingestedfiles_path, ledger.ingestedfiles_text(history))
    rejected = ledger.rejected_rows(history)
    if rejected or config.rejectedrows_path.exists():
        lines = [["file", "line", "reason", "row"]]
        lines += [
            [
                escape_formula(name),
                str(bad.line),
                escape_formula(bad.reason),
                escape_formula(bad.row),
            ]
            for name, bad in rejected
        ]
        write_if_changed(config.rejectedrows_path, "".join(csv_line(line) + "\n" for line in lines))


def ingestion_lines(config: Config, ingestion: Ingestion) -> list[str]:
    """What an ingestion did, in lines for a person."""
    if not ingestion.files:
        return [f"nothing new in {config.shown(config.input_folder_path)}"]
    lines = []
    for file in ingestion.files:
        if file.reason:
            lines.append(f"{file.name}: rejected: it {file.reason}")
        else:
            aside = f", {len(file.bad_rows):,} set aside" if file.bad_rows else ""
            lines.append(f"{file.name}: {file.added:,} new of {file.rows:,} rows{aside}")
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
        "files": [_file_to_dict(file) for file in ingestion.files],
        "added": ingestion.added,
        "total_rows": ingestion.total_rows,
        "path": config.finaldata_path,
        "rejected_rows": config.rejectedrows_path if aside else None,
    }


def _file_to_dict(file: TakenFile) -> dict[str, Any]:
    return {
        "name": file.name,
        "reason": file.reason,
        "rows": file.rows,
        "added": file.added,
        "duplicates": file.duplicates,
        "set_aside": len(file.bad_rows),
        "sha256": file.sha256 or None,  # what cannot be read has none
    }
