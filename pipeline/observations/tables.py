"""Where Spark keeps client rows: in parts, each with all rows of some clients, and a sample.

A part is a folder with a `finaldata.csv` and the files beside it, of those clients alone. A run
writes folders of new names beside those that count, then a small file that names all that count
from now on; the ledger has the name and digest of that file. The rest is deleted.
"""

import shutil
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from secrets import token_hex

from pipeline.core.errors import HistoryError
from pipeline.core.files import sync_folder, write_atomic
from pipeline.core.schema import Schema
from pipeline.observations.master_files import REBUILD, check_files, check_form
from pipeline.storage.ledger import LogFile, MasterState, Span, file_fault, file_record

NO_ROWS = MasterState(0, 0)


@dataclass(frozen=True)
class Part:
    """A folder of rows, and what is on record of its files."""

    folder: str = ""
    state: MasterState = NO_ROWS

    def at(self, path: Path) -> tuple[Path, MasterState]:
        """Its `finaldata.csv`, where all parts are in this folder, and what is on record."""
        return path / self.folder / "finaldata.csv", self.state


@dataclass(frozen=True)
class Tables:
    """The parts, in the order of their numbers, and the sample.

    The sample has all rows of those clients that models are learned from and judged on; `spans`
    says which of its rows each content brought, by its number.
    """

    header: str = ""
    seed: int = 0  # of the keys in all parts
    parts: tuple[Part, ...] = ()
    sample: Part = Part()
    spans: Mapping[int, Span] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        """How many there are in all parts."""
        return sum(part.state.rows for part in self.parts)


NO_TABLES = Tables()


def new_folder(path: Path, what: str) -> Path:
    """A folder that is not there yet, for what is about to be written."""
    return path / f"{what}-{token_hex(8)}"


def save_tables(path: Path, tables: Tables, client_names: str) -> MasterState:
    """Note which folders count from now on; returns what is to be put on record."""
    import msgspec  # ingestion by one process does without

    note = _note(path, token_hex(8))
    write_atomic(note, msgspec.json.encode(tables))
    sync_folder(path)
    size = sum(part.state.bytes for part in tables.parts)
    log = LogFile(note.stem, file_record(note))
    return MasterState(tables.rows, size, log=log, client_names=client_names)


def open_tables(path: Path, state: MasterState, schema: Schema | None = None) -> Tables:
    """The tables on record.

    Raises `HistoryError` if a file is not as it was written, or the rows have not the columns of
    the schema, if one is given, and its names.
    """
    earlier = HistoryError(f"{path}: the rows on record are of an earlier version; {REBUILD}")
    if not state.log:
        if state.bytes:
            raise earlier
        if any(path.glob("*.json")):
            raise HistoryError(
                f"{path} has rows that the history knows nothing of: put back the one that belongs"
                f" to them, or {REBUILD}"
            )
        return NO_TABLES
    import msgspec

    note = _note(path, state.log.id)
    if fault := file_fault(note, state.log.record):
        raise HistoryError(
            f"{note} {fault}: another program has changed it, or the history is not the one that"
            f" belongs to it; put back what was there, or {REBUILD}"
        )
    tables = msgspec.json.decode(note.read_bytes(), type=Tables)
    if tables.rows != state.rows:
        raise earlier
    for part in (*tables.parts, tables.sample):
        check_files(*part.at(path), longer=False)
    if schema and tables.parts:
        check_form(path, tables.header, state.client_names, schema)
    return tables


def remove_others(path: Path, state: MasterState) -> None:
    """Delete what runs have left that does not count."""
    tables = open_tables(path, state)
    remove_folders(path, {part.folder for part in (*tables.parts, tables.sample)})
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
