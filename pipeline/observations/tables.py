"""The Parquet files that hold client rows: which folders count, and whether they are as on record.

A run writes folders of new names beside those that count, then a small file that names all that
count from now on; the ledger has the name and digest of that file. The rest is deleted.
"""

import os
import shutil
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from pathlib import Path
from secrets import token_hex

from pipeline.core.errors import HistoryError
from pipeline.core.files import sync_folder, write_atomic
from pipeline.core.schema import Schema
from pipeline.observations.master_files import REBUILD, check_form
from pipeline.storage.ledger import LogFile, MasterState, file_fault, file_record

MAX_ROWS = 1_000_000  # of the sample
BUCKET_ROWS = 50_000  # about so many are worked on at a time, by one Python process


@dataclass(frozen=True)
class Tables:
    """The folders that hold the rows; each is of one write.

    `observations` has a row of each observation with its state, in folders by bucket of the client;
    `sightings` every line of the client files that counts, with its place; `contents` the places
    of the lines that each content of a file had. `sample` has the observations and lines of those
    clients that models are learned from and judged on: of all, as long as they have no more than
    `MAX_ROWS` rows.
    """

    header: str = ""
    rows: int = 0
    buckets: int = 1
    observations: str = ""
    sightings: tuple[str, ...] = ()
    contents: tuple[str, ...] = ()
    sample: str = ""
    sampled: int = 0
    files: dict[str, int] = field(default_factory=dict)  # the sizes of all files in these folders

    @property
    def folders(self) -> set[str]:
        """The folders that count."""
        return {self.observations, self.sample, *self.sightings, *self.contents} - {""}


def new_folder(path: Path, what: str) -> Path:
    """A folder that is not there yet, for what Spark is about to write."""
    return path / f"{what}-{token_hex(8)}"


def save_tables(path: Path, tables: Tables, client_names: str) -> MasterState:
    """Note which folders count from now on; returns what is to be put on record."""
    files = {
        str(file.relative_to(path)): file.stat().st_size
        for folder in sorted(tables.folders)
        for file in sorted((path / folder).rglob("*.parquet"))
    }
    tables = replace(tables, files=files)
    for file in files:  # durable before anything says that they count
        descriptor = os.open(path / file, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)
    for folder in {(path / file).parent for file in files}:
        sync_folder(folder)
    name = token_hex(8)
    import msgspec  # ingestion by one process does without

    write_atomic(_note(path, name), msgspec.json.encode(tables))
    sync_folder(path)
    record = LogFile(name, file_record(_note(path, name)))
    size = sum(files.values())
    return MasterState(tables.rows, size, log=record, client_names=client_names)


def open_tables(path: Path, state: MasterState, schema: Schema | None = None) -> Tables:
    """The tables on record.

    Raises `HistoryError` if a file is not as it was written, or the rows have not the columns of
    the schema, if one is given, and its names.
    """
    if not state.log:
        if state.bytes:
            raise HistoryError(f"{path}: the rows on record are of an earlier version; {REBUILD}")
        if any(path.glob("*.json")):
            raise HistoryError(
                f"{path} has rows that the history knows nothing of: put back the one that belongs"
                f" to them, or {REBUILD}"
            )
        return Tables()
    import msgspec

    note = _note(path, state.log.id)
    fault = file_fault(note, state.log.record)
    if not fault:
        tables = msgspec.json.decode(note.read_bytes(), type=Tables)
        for name, size in tables.files.items():
            found = (path / name).stat().st_size if (path / name).exists() else -1
            if found != size:
                note, fault = (
                    path / name,
                    f"has {max(found, 0):,} bytes where {size:,} are on record",
                )
                break
        else:
            if schema and tables.folders:
                check_form(path, tables.header, state.client_names, schema)
            return tables
    raise HistoryError(
        f"{note} {fault}: another program has changed it, or the history is not the one that"
        f" belongs to it; put back what was there, or {REBUILD}"
    )


def remove_others(path: Path, state: MasterState) -> None:
    """Delete what runs have left that does not count."""
    tables = open_tables(path, state)
    remove_folders(path, {Path(folder).parts[0] for folder in tables.folders})
    for other in path.glob("*.json"):
        if not (state.log and other == _note(path, state.log.id)):
            other.unlink()


def remove_folders(path: Path, kept: Collection[str]) -> None:
    """Delete all folders in a folder but some; what executors still write goes next time."""
    for other in path.iterdir() if path.is_dir() else ():
        if other.is_dir() and other.name not in kept:
            shutil.rmtree(other, ignore_errors=True)


def _note(path: Path, name: str) -> Path:
    return path / f"{name}.json"
