"""Forgetting clients: their rows, and all that was made of these and names them.

All that is deleted goes before what is on record does, and all that is written anew is so at every
call: one that was killed is completed by the next.
"""

import html
import io
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.core.config import Config
from pipeline.core.errors import DataError, HistoryError
from pipeline.core.formatting import pluralize
from pipeline.core.names import NamesInText
from pipeline.core.schema import Schema
from pipeline.data.csv_reader import BadRow, Table, with_table
from pipeline.data.input_files import FoundFile, list_input, open_plain
from pipeline.observations.master_files import check_columns, check_rows, finish, put_in_place
from pipeline.observations.renewal import Renewal, rows_but_of
from pipeline.observations.row_keys import recorded_log
from pipeline.observations.row_lines import client_of
from pipeline.ranking.movers import Movers, movers_on_record, write_movers
from pipeline.ranking.ranking_file import read_ranking, write_ranking
from pipeline.reporting.report_files import DOCUMENTS, FOLDER
from pipeline.stages.backup import delete_backup, known_backups
from pipeline.stages.ingestion import write_records
from pipeline.storage import contacts as records
from pipeline.storage import ledger
from pipeline.storage.database import History
from pipeline.storage.ledger import MasterState

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

UNKNOWN = "no client of that name is on record"


@dataclass(frozen=True)
class Erasure:
    """What was forgotten of some clients, and which files of other people still have of them."""

    erased: tuple[str, ...]
    unknown: tuple[str, ...]  # names of which there was nothing
    rows: int  # of finaldata.csv that went
    deleted: tuple[Path, ...]  # documents and backups
    holding: tuple[Path, ...]
    unread: tuple[Path, ...]  # files of which it cannot be told
    kept_out: bool


def read_names(path: Path) -> list[str]:
    """The names in a file, one a line; raises `DataError` if it is no UTF-8."""
    try:
        return path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 ({error.reason}); expected a name a line") from error


def erase(
    config: Config, history: History, given: Collection[str], *, keep_out: bool = False
) -> Erasure:
    """Forget the clients of these names; with `keep_out`, nothing of them is taken in any more.

    What is left of each is a line that says on which day. Raises `DataError` where no name is
    given or Spark keeps the rows, and `HistoryError` where the rows are not as on record.
    """
    if config.engine:
        raise DataError(
            '"engine": "spark" cannot erase clients: docs/data.md says what can be done'
        )
    names = {config.schema.asked_client(text) for text in given} - {""}
    if not names:
        raise DataError("no name of a client is given")
    path, state = config.finaldata_path, ledger.master_state(history)
    put_in_place(path, state)
    if state.rows:
        check_rows(path, history)
        check_columns(path, config.schema, state)
    search = NamesInText(names)
    others, of_rows = rows_but_of(path, state.bytes, names) if state.rows else (None, set())
    rejected, of_rejected = records.rejected_rows_of(history, search, config.schema.asked_client)
    known = of_rows | of_rejected | records.clients_on_record(history, names)
    deleted: list[Path] = []
    if known:  # of whom nothing is on record, nothing was made
        deleted += _delete_documents(config, NamesInText(known))
        deleted += [path for path in known_backups(history) if delete_backup(path)]
        deleted += _rank_without(config, known)

    def forget() -> None:
        records.erase_records(history, search, known, rejected)
        if known:
            history.query("DELETE FROM backups")
        if keep_out:
            records.keep_out(history, names)

    if others is None or others.all():
        with history.transaction():
            forget()
    else:
        state = _leave_only(config, history, others, state, forget)
    finish(path, state)
    write_records(config, history)
    if config.movers_path.exists():
        write_movers(
            config.movers_path, movers_on_record(history) or Movers(None, ""), changed=True
        )
    history.compact()
    others_files = [*_looked_through(config, search)]
    return Erasure(
        erased=tuple(sorted(known)),
        unknown=tuple(sorted(names - known)),
        rows=0 if others is None else int((~others).sum()),
        deleted=tuple(deleted),
        holding=tuple(path for path, found in others_files if found),
        unread=tuple(path for path, found in others_files if found is None),
        kept_out=keep_out,
    )


def _leave_only(
    config: Config,
    history: History,
    rows: "NDArray[np.bool_]",
    state: MasterState,
    forget: Callable[[], None],
) -> MasterState:
    """Write finaldata.csv anew with these of its rows; counts together with `forget`."""
    path, schema = config.finaldata_path, config.schema
    with (
        recorded_log(path, state) as before,
        Renewal(path, schema, state, {}, before, history.check_lock) as master,
    ):
        master.gather([(path, state, rows)])
        renewed, spans = master.save()
        ledger.renew_files(history, [], [], spans, renewed, also=forget)
    return renewed


def _named(path: Path, search: NamesInText) -> set[str] | None:
    """The names in a file of text, HTML included; None where it is no text."""
    try:
        return search.found(html.unescape(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return set()
    except UnicodeDecodeError:
        return None


def _delete_documents(config: Config, search: NamesInText) -> list[Path]:
    """Delete what names one of the clients, and what a killed run left half-written; returns it.

    Of a PDF the page beside it tells, which shows as many names; one without a page goes.
    """
    models = config.output_model_path
    for folder in (config.output_folder_path, models, models / FOLDER):
        for path in folder.glob(".*.tmp"):
            path.unlink()
    kinds = *DOCUMENTS, f"{FOLDER}/*.html", f"{FOLDER}/*.pdf", "apireturns*.txt"
    found = [path for kind in kinds for path in models.glob(kind)]
    deleted = []
    # while the page is there, the next call finds both
    for path in sorted(found, key=lambda path: path.suffix != ".pdf"):
        page = path.with_suffix(".html") if path.suffix == ".pdf" else path
        if path.is_file() and (not page.is_file() or _named(page, search) != set()):
            path.unlink()
            deleted.append(path)
    return deleted


def _rank_without(config: Config, names: set[str]) -> list[Path]:
    """Write the ranking anew without the clients; one that is not as it was written is deleted."""
    path = config.clientrisk_path
    try:
        ranking = read_ranking(path, config.schema.carry)
    except FileNotFoundError:
        return []
    except HistoryError:
        path.unlink()
        return [path]
    gone = ranking["client"].isin(names)
    if gone.any():
        left = ranking[~gone].copy()
        for column in {"rank", "loss_rank"} & {*left}:
            left[column] = left[column].rank()
        write_ranking(path, left.astype({"rank": "int64"}))
    return []


def _looked_through(
    config: Config, search: NamesInText
) -> Iterator[tuple[Path, Collection[str] | None]]:
    """The files of other people, each with who of the clients is in it; None if that is not known.

    They are the client files, test data, contact files and the log of cron's runs.
    """
    folders = {config.input_folder_path: config.subfolders, config.test_data_path: False}
    present = [(folder, deep) for folder, deep in folders.items() if folder.is_dir()]
    for file in (each for folder, deep in present for each in list_input(folder, subfolders=deep)):
        try:
            found: Collection[str] | None = _in_table(file, config.schema, search)
        except DataError:
            found = _named(file.path, search)
        except OSError:
            found = None
        yield file.path, found
    texts = sorted(config.contacts_path.glob("*")) if config.contacts_path else []
    for path in (*texts, *config.root.glob("fullprocess.log*")):
        if path.is_file():
            yield path, _named(path, search)


def _in_table(file: FoundFile, schema: Schema, search: NamesInText) -> set[str]:
    """Who of the clients is in a table, in any of its rows; raises what reading it does."""

    def look(table: Table) -> set[str]:
        found = set[str]()
        for block in table.blocks():
            if isinstance(block, BadRow):
                found |= search.found(block.row)
            else:
                lines = block.text.encode().split(b"\n")[:-1]
                found |= search.names & {client_of(line) for line in lines}
        return found

    stream: io.BufferedReader = io.BufferedReader(open_plain(file.path))
    with stream:
        return with_table(stream, schema, schema.columns, look, may_report=True)


def erasure_lines(config: Config, done: Erasure) -> list[str]:
    """What was erased, and what is not ours to erase, in lines for a person."""
    gone = pluralize(done.rows, "row")
    lines = [f"{pluralize(len(done.erased), 'client')} erased, {gone} of finaldata.csv"]
    lines += [f"{config.shown(path)}: deleted" for path in done.deleted]
    lines += [f"{name}: {UNKNOWN}" for name in done.unknown]
    if config.clientrisk_path.with_name("report.html") in done.deleted:
        lines.append("python reporting.py makes the report anew")
    if done.kept_out:
        lines.append("from now on rows of these clients are set aside")
    for path in done.holding:
        lines.append(f"{config.shown(path)}: yours, still names one of them")
    for path in done.unread:
        lines.append(f"{config.shown(path)}: yours, cannot be read: see whether it names them")
    if not done.kept_out:
        lines.append("the next file that names a client brings it back, and so does --rebuild")
    return lines


def check_known(done: Erasure) -> None:
    """Raise `DataError` if there was nothing of one of the names."""
    if done.unknown:
        more = f" ({len(done.unknown):,} names)" if len(done.unknown) > 1 else ""
        raise DataError(f"{UNKNOWN}{more}")
