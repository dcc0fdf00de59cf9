"""The files of client rows: where they are, and whether they are what is on record.

`finaldata.csv` and the sightings are the truth; the keys and the states beside them are made anew
from these where need be.
"""

import os
from pathlib import Path

from pipeline.core.errors import HistoryError
from pipeline.core.files import sync_folder, write_atomic
from pipeline.core.formatting import told_apart
from pipeline.core.schema import Schema
from pipeline.storage.database import History
from pipeline.storage.ledger import MasterState, file_fault, master_state

REBUILD = "run `python ingestion.py --rebuild` to rebuild it from the input folder"


def state_path(path: Path) -> Path:
    """The file of the keys and states of its rows."""
    return path.with_name(f".{path.name}.states")


def log_path(path: Path, name: str) -> Path:
    """The file of sightings with this id."""
    return path.with_name(f".{path.name}.{name}.sightings")


def next_path(path: Path) -> Path:
    """The file that takes its place once it is on record."""
    return path.with_name(f".{path.name}.next")


def mark_path(path: Path) -> Path:
    """The file that is there while a run writes: it says what is on record."""
    return path.with_name(f".{path.name}.writing")


def begin_writing(path: Path, on_record: MasterState, schema: Schema) -> None:
    """Note that the files are about to grow; raises `HistoryError` if they are not as on record.

    What a killed run has left behind their end counts for nothing.
    """
    begun = f"{on_record.bytes} {on_record.log.record.size if on_record.log else 0}"
    mark = mark_path(path)
    killed = mark.is_file() and mark.read_text() == begun
    if on_record.bytes:
        check_files(path, on_record, longer=killed)
        check_columns(current_path(path, on_record), schema, on_record)
    elif path.stat().st_size > len(schema.header) + 1 and not killed:
        # of a history that was lost: their files may be gone
        raise HistoryError(
            f"{path} has rows that the history knows nothing of: if that was moved or lost, move"
            f" {path.parent} away too; what the input folder has is taken in again"
        )
    write_atomic(mark, begun)
    finish(path, on_record, writing=True)


def finish(path: Path, on_record: MasterState, *, writing: bool = False) -> None:
    """Put what is on record in its place, and remove what runs have left; to be checked before.

    The mark goes last, unless rows are about to be written.
    """
    put_in_place(path, on_record)
    log = on_record.log and log_path(path, on_record.log.id)
    left = [next_path(path), *path.parent.glob(f".{path.name}.*.sightings")]
    left += path.parent.glob(f"*.{path.name}.*.tmp")
    for other in left:
        if other != log:
            other.unlink(missing_ok=True)
    if not writing:
        if log and on_record.log:
            _cut(path, on_record.bytes)
            _cut(log, on_record.log.record.size)
        mark_path(path).unlink(missing_ok=True)


def _cut(path: Path, size: int) -> None:
    """Cut off what a killed run has written beyond what is on record."""
    if path.stat().st_size > size:
        with path.open("r+b") as file:
            file.truncate(size)
            os.fsync(file.fileno())


def put_in_place(path: Path, on_record: MasterState) -> None:
    """Rename the file that is on record, if a run was killed before it did."""
    if (current := current_path(path, on_record)) != path:
        current.replace(path)
        sync_folder(path.parent)


def current_path(path: Path, on_record: MasterState) -> Path:
    """Where the rows on record are: a run may be killed before it puts a new file in its place."""
    other = next_path(path)
    record = on_record.record
    return other if record and other.exists() and not file_fault(other, record) else path


def check_rows(path: Path, history: History) -> None:
    """Raise `HistoryError` unless `finaldata.csv` and the sightings are as on record."""
    state = master_state(history)
    if state.bytes:
        check_files(path, state, longer=mark_path(path).exists())


def check_files(path: Path, state: MasterState, *, longer: bool) -> None:
    """Raise `HistoryError` unless the files are as on record; `longer`: a run may be writing."""
    if not (state.record and state.log):
        raise HistoryError(f"{path}: the rows on record are of an earlier version; {REBUILD}")
    log = log_path(path, state.log.id)
    current = current_path(path, state)
    for file, record in ((current, state.record), (log, state.log.record)):
        if fault := file_fault(file, record, longer=longer):
            raise HistoryError(
                f"{file} {fault}: another program has changed it, or the history is not the one"
                f" that belongs to it; put back what was there, or {REBUILD}"
            )


def check_columns(path: Path, schema: Schema, on_record: MasterState) -> None:
    """Raise `HistoryError` unless `finaldata.csv` has the columns of the schema, and its names."""
    check_form(path, _header(path), on_record.client_names, schema)


def check_form(path: Path, header: str, client_names: str, schema: Schema) -> None:
    """Raise `HistoryError` unless rows have the columns of the schema, and its names."""
    if header != schema.header:
        found, expected = told_apart(header.split(","), schema.columns)
        raise HistoryError(
            f"{path} has the columns {found}; config.json says {expected}; {REBUILD}"
        )
    if client_names != schema.client_names:
        raise HistoryError(
            f'{path} was made with "client_names": "{client_names}"; config.json says'
            f' "{schema.client_names}"; {REBUILD}'
        )


def has_columns(path: Path, schema: Schema) -> bool:
    """Whether `finaldata.csv` has the columns of the schema."""
    return _header(path) == schema.header


def _header(path: Path) -> str:
    with path.open("rb") as file:
        return file.readline().rstrip(b"\n").decode(errors="replace")
