"""Take in new client files: merge, check, drop identical rows, append to finaldata.csv.

Every .csv file of input_folder_path that is new, by name or content, is read. Rows that fail a
check are set aside in rejectedrows.csv; a file that cannot be read as a client table, or of which
more than a tenth is bad, is rejected whole. The files themselves stay where they are.
"""

import argparse
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from pipeline import cli, inbox, ledger
from pipeline.config import Config
from pipeline.database import History, open_history
from pipeline.errors import HistoryError
from pipeline.files import sync_folder, write_atomic, write_if_changed
from pipeline.history import record_timing
from pipeline.inbox import FoundFile
from pipeline.ledger import MasterState, TakenFile
from pipeline.master import check_master
from pipeline.progress import progress
from pipeline.schema import csv_line
from pipeline.spreadsheet import neutral

if TYPE_CHECKING:  # numpy comes in only where there is a file to take in
    from pipeline.masterwriter import MasterWriter

log = logging.getLogger("ingestion")


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


def ingest(config: Config, *, rebuild: bool = False) -> Ingestion:
    """Take in what is new in the input folder, or (`rebuild`) all of it from the start.

    Raises `DataError` if there is no such folder, `HistoryError` if finaldata.csv is not what the
    ledger says.
    """
    started = perf_counter()
    with open_history(config.history_path) as history:
        rebuild = rebuild or ledger.rebuilding(history)
        found = inbox.list_input(config.input_folder_path)
        files = _in_first_order(history, found) if rebuild else inbox.new_files(history, found)
        taken, rows = (_rebuild if rebuild else _append)(config, history, files)
        seconds = perf_counter() - started
        if taken:
            record_timing(history, "ingestion", seconds, sum(file.rows for file in taken))
        _write_records(config, history)
    return Ingestion(tuple(taken), rows, seconds)


def _append(
    config: Config, history: History, files: list[FoundFile]
) -> tuple[list[TakenFile], int]:
    from pipeline.masterwriter import MasterWriter

    state = ledger.master_state(history)
    if state.bytes:
        check_master(config, history)
    if not files:
        return [], state.rows
    state = state if state.bytes else _begin(config, history)
    with MasterWriter(config.finaldata_path, config.schema, state, history.check_lock) as master:
        taken = _take_all(config, files, master)
        ledger.record_files(history, taken, master.save())
        return taken, master.rows


def _begin(config: Config, history: History) -> MasterState:
    """Make finaldata.csv with its header alone and commit that.

    Rows that are there while nothing is on record are of a history that was lost: they are not
    overwritten, for their files may be gone.
    """
    path, header = config.finaldata_path, f"{config.schema.header}\n".encode()
    if path.exists() and path.stat().st_size > len(header):
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
    from pipeline.masterwriter import MasterWriter, key_path, rebuilt_path

    ledger.begin_rebuild(history)
    _warn_of_gone(history, files)
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


def _take_all(config: Config, files: list[FoundFile], master: "MasterWriter") -> list[TakenFile]:
    from pipeline.intake import log_counts, take_in

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
            [neutral(name), str(bad.line), neutral(bad.reason), neutral(bad.row)]
            for name, bad in rejected
        ]
        write_if_changed(config.rejectedrows_path, "".join(csv_line(line) + "\n" for line in lines))


def told(config: Config, ingestion: Ingestion) -> list[str]:
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


def as_object(config: Config, ingestion: Ingestion) -> dict[str, Any]:
    """What an ingestion did, for a program; rows set aside are counted, and their file is named."""
    aside = any(file.bad_rows for file in ingestion.files)
    return {
        "files": [_file_object(file) for file in ingestion.files],
        "added": ingestion.added,
        "total_rows": ingestion.total_rows,
        "path": config.finaldata_path,
        "rejected_rows": config.rejectedrows_path if aside else None,
    }


def _file_object(file: TakenFile) -> dict[str, Any]:
    return {
        "name": file.name,
        "reason": file.reason,
        "rows": file.rows,
        "added": file.added,
        "duplicates": file.duplicates,
        "set_aside": len(file.bad_rows),
        "sha256": file.sha256 or None,  # what cannot be read has none
    }


def export(config: Config, args: argparse.Namespace) -> None:
    """Write all rows into a file, and tell where they are."""
    from pipeline.export import export_rows

    with open_history(config.history_path) as history:
        done = export_rows(config, history, args.export)
    cli.tell(config, args, done, [f"{config.shown(done.path)}: {done.rows:,} rows"])


def command(config: Config, args: argparse.Namespace) -> None:
    """Ingest or export, and tell what came of it."""
    if args.export:
        export(config, args)
        return
    done = ingest(config, rebuild=args.rebuild)
    cli.tell(config, args, as_object(config, done), told(config, done))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the stage from the command line."""
    parser = cli.result_parser(__doc__)
    instead = parser.add_mutually_exclusive_group()
    instead.add_argument(
        "--rebuild", action="store_true", help="make finaldata.csv again from all the files"
    )
    instead.add_argument(
        "--export",
        type=Path,
        metavar="PATH",
        help="take in nothing; write all rows there, as finaldata.csv has them",
    )
    return cli.run_alone("ingestion", command, parser.parse_args(argv))


if __name__ == "__main__":
    raise SystemExit(main())
