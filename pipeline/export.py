"""A copy of the rows of `finaldata.csv` that count."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pipeline.config import Config, load_config
from pipeline.errors import DataError
from pipeline.files import writing
from pipeline.history import History
from pipeline.ledger import master_size
from pipeline.master import counted_bytes
from pipeline.masterwriter import key_path

BLOCK = 1 << 20  # bytes that are copied at a time


@dataclass(frozen=True)
class Exported:
    """Where the rows are now, and how many there are."""

    path: Path
    rows: int


def export_rows(config: Config, history: History, path: Path) -> Exported:
    """Write all rows that count into a file, in the order first seen and in canonical form.

    Raises `DataError` if the file is the system's own, `HistoryError` as `counted_bytes` does.
    """
    check_place(config, path)
    size = counted_bytes(config, history)
    with writing(path) as file:
        for block in _head(config.finaldata_path, size):
            file.write(block)
    return Exported(path, master_size(history)[0])


def check_place(config: Config, path: Path) -> None:
    """Raise `DataError` if a file there would be in the way of what is kept or taken in.

    What production and practice have is spared by both.
    """
    place = path.resolve()
    for practice in (False, True):
        owner = load_config(config.path, practice=practice)
        if any(place.is_relative_to(folder.resolve()) for folder in _folders(owner)):
            raise DataError(f"{path} is in a folder of this system's own: export to another place")
        if any(place == file.resolve() for file in _files(owner)) or place.is_dir():
            raise DataError(f"{path} is kept by this system: export to another place")


def _folders(config: Config) -> tuple[Path, ...]:
    """Whose every file is read as client rows, or swept, or served."""
    return (
        config.input_folder_path,
        config.test_data_path,
        config.output_model_path,
        config.prod_deployment_path,
        *([config.lock_path.parent] if isinstance(config.lock_path, Path) else ()),
    )


def _files(config: Config) -> tuple[Path, ...]:
    history = config.history_path
    ends = ("", "-journal", "-wal", "-shm") if isinstance(history, Path) else ()
    return (
        config.path,
        *(Path(f"{history}{end}") for end in ends),
        config.finaldata_path,
        key_path(config.finaldata_path),
        config.ingestedfiles_path,
        config.rejectedrows_path,
    )


def _head(path: Path, size: int) -> Iterator[bytes]:
    """So many bytes of a file."""
    with path.open("rb") as file:
        while size and (block := file.read(min(BLOCK, size))):
            size -= len(block)
            yield block
