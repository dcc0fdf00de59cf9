"""Taking in client files on Spark: what is new, all of it anew, or all but what is taken back."""

import logging
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pipeline.core.config import Config
from pipeline.core.errors import HistoryError
from pipeline.data.input_files import FoundFile, in_order
from pipeline.data.loader import TakenFile, log_counts
from pipeline.observations.part import LATE, PLACE, totals
from pipeline.observations.renewal import MAX_LOOKED_AT, MAX_NAMED, Gone, RowsWouldGo
from pipeline.observations.row_lines import client_of
from pipeline.observations.tables import Tables, open_tables, remove_others, save_tables
from pipeline.spark.reading import read_files
from pipeline.spark.session import check_count
from pipeline.spark.store import LINE, Store
from pipeline.storage import held_files, ledger
from pipeline.storage.database import History
from pipeline.storage.ledger import Former, MasterState, Span

Contents = Mapping[str, Sequence[Former]]  # of each file those on record, in their order


@dataclass(frozen=True)
class _Lines:
    """The lines of files that were read, and what became of the files; `file` is its `turn`."""

    lines: DataFrame
    taken: list[TakenFile]
    turns: dict[int, int]  # by the number of a content
    formers: list[int]  # the contents that these files had before
    good: int  # lines


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
    kept = {name: of[-1:] for name, of in ledger.kept_contents(history).items()}
    held = {file.name for file in held_files.held_files(history)}
    with Store(config, tables) as store:
        taken = _take(store, new, kept, ledger.last_file(history) + 1, held)
        if any(file.added for file in taken):
            kept |= {file.name: [Former(file.id, "", 0)] for file in taken if not file.reason}
            waiting, last = store.waiting(), max(file.id for file in taken)
            again = [f for f in found if f.name in kept and kept[f.name][-1].id in waiting]
            taken += _take(store, again, kept, last + 1, held)
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
    store: Store, files: Sequence[FoundFile], kept: Contents, number: int, held: Collection[str]
) -> list[TakenFile]:
    """Take in files; `kept` has the contents before, the first new one gets this number."""
    if not files:
        return []
    read = _read(store, in_order(files), kept, number)
    found = store.grow(store.placed(read.lines, read.formers), read.good) if read.good else {}
    rows, counted = store.tables.rows - sum(each["added"] for each in found.values()), []
    for file in read.taken:
        start = rows
        if not file.reason:
            rows += found[file.id]["added"]
            file = _counted(replace(file, start_row=start, end_row=rows), found[file.id])
        log_counts(file, was_held=file.name in held)
        counted.append(file)
    return counted


def _counted(file: TakenFile, found: dict[str, Any]) -> TakenFile:
    twice = 0 if file.reports else file.duplicates - found["added"]
    return replace(file, **found, duplicates=twice, log_at=file.id)


def _read(
    store: Store, files: Sequence[FoundFile], kept: Contents, number: int, *, anew: bool = False
) -> _Lines:
    """Read files and number their contents; `anew`, one that is on record keeps its number."""
    staged, reads = read_files(store.spark, files, store.schema, store.staging("read"))
    taken, ids, turns = [], [], {}
    for turn, (file, result) in enumerate(zip(files, reads, strict=True)):
        for name, level, text in result.logged:
            logging.getLogger(name).log(level, "%s", text)
        if result.file is None:
            continue
        former = kept[file.name][-1] if file.name in kept else None
        same = anew and former and not result.file.reason
        same = same and former and former.sha256 == result.file.sha256
        done = replace(result.file, id=former.id if same and former else number)
        number += done.id == number
        taken.append(done)
        turns[done.id] = turn
        if not done.reason:
            ids.append((turn, done.id, former.id if former else 0))
    lines = staged.join(store.small(ids, "file int, content long, former long"), "file")
    good = sum(file.rows - len(file.bad_rows) for file in taken if not file.reason)
    return _Lines(lines, taken, turns, sorted({of for *_, of in ids} - {0}), good)


def rebuild(
    config: Config, history: History, files: Sequence[FoundFile], *, yes: bool
) -> tuple[list[TakenFile], int]:
    """Make the tables again from these files; lines keep the places that they had.

    Raises `RowsWouldGo` if rows would be lost, and `yes` is false.
    """
    path, state = config.finaldata_path, ledger.master_state(history)
    old, kept = Tables(), ledger.last_contents(history)
    if state.log:
        with suppress(HistoryError):
            old, kept = open_tables(path, state), ledger.kept_contents(history)
    with Store(config, old) as store:
        last = ledger.last_file(history)
        read = _read(store, in_order(files), kept, last + 1, anew=True)
        lines, places = _renewed(store, read, kept, alike=old.header == store.schema.header)
        late, place = {}, max([last, *(file.id for file in read.taken)]) * PLACE + LATE
        for file in read.taken:
            late[read.turns[file.id]] = place
            place += file.rows if file.reports and not file.reason else 0
        sums = store.remake(lines, places, late)
        check_count("lines of files", store.table("contents").count(), read.good)
        spans, taken = _spans(store), []
        for file in read.taken:
            of = totals(read.turns[file.id], sums)
            taken.append(file if file.reason else _counted(file, of))
            log_counts(taken[-1])
        fewer = Gone(max(0, state.rows - store.tables.rows), ())
        gone = _gone(store, old) if old.folders else fewer
        if gone.rows and not yes:
            raise RowsWouldGo("--rebuild", gone)
        state = _save(config, history, store, taken)
    names = {file.name for file in taken if not file.reason}
    ledger.renew_files(history, taken, {*ledger.ingested_names(history)} - names, spans, state)
    remove_others(path, state)
    return taken, state.rows


def _renewed(
    store: Store, read: _Lines, kept: Contents, *, alike: bool
) -> tuple[DataFrame, DataFrame]:
    """The lines that files hold now and, as far as they hold them, what they have said before.

    With them, the places that the contents have now. Lines of a content that is on record keep
    theirs, those of others only where the tables are `alike`.
    """
    lines, old = read.lines.withColumnRenamed("file", "turn"), store.table("sightings")
    formers = read.formers if alike else []
    lines = store.placed(lines, formers).drop("about")
    known = store.table("contents").withColumnRenamed("place", "before")
    lines = lines.join(known, ["content", "line"], "left")
    lines = lines.withColumn("place", F.coalesce("before", "place"))
    lines = lines.join(old.select("place", "about"), "place", "left")
    columns = ["content", "place", "client", *LINE, "about", "turn"]
    owners = [
        (former.id, file.id)
        for file in read.taken
        if not file.reason
        for former in kept.get(file.name, ())
    ]
    places, now = lines.select("content", "line", "place"), lines.select(*columns)
    return now.unionByName(_still_said(store, owners, now), allowMissingColumns=True), places


def _still_said(store: Store, owners: Sequence[tuple[int, int]], now: DataFrame) -> DataFrame:
    """What contents have said at other places than the present ones, which hold it still.

    `owners` are pairs: a content of before, and that of its file now.
    """
    said = store.table("sightings").withColumnRenamed("content", "before")
    said = said.join(store.small(owners, "before long, content long"), "before").drop("before")
    said = said.join(now.select("content", *LINE).distinct(), ["content", *LINE], "left_semi")
    return said.join(now.select("place"), "place", "left_anti")


def withdraw(
    config: Config, history: History, name: str, *, present: bool, held: int | None, yes: bool
) -> tuple[Gone, int]:
    """Take back what only the former contents of a file brought, all of it, or what is held back.

    Returns what is gone, and how many rows are left. Raises `RowsWouldGo` as `rebuild` does.
    """
    path, state = config.finaldata_path, ledger.master_state(history)
    kept = ledger.kept_contents(history)
    with Store(config, old := open_tables(path, state, config.schema)) as store:
        out = [former.id for former in kept[name]]
        last = out[-1] if present and held is None else 0
        if present and held is not None:
            out = [held]
        stays = ~F.col("content").isin(out)
        columns = ["content", "place", "client", *LINE, "about"]
        lines = store.table("sightings").where(stays).select(*columns)
        places = store.table("contents").where(stays | (F.col("content") == last))
        lines = lines.withColumn("turn", F.lit(None).cast("int"))
        if last:
            now = store.lines_of([last]).select(*columns)
            said = _still_said(store, [(number, last) for number in out], now)
            lines = lines.unionByName(now.unionByName(said), allowMissingColumns=True)
        store.remake(lines, places, {})
        gone = _gone(store, old)
        if gone.rows and not yes:
            raise RowsWouldGo("--withdraw", gone)
        spans, state = _spans(store), _save(config, history, store, [])
    ledger.renew_files(history, [], [] if present else [name], spans, state, withdrawn=held)
    remove_others(path, state)
    return gone, state.rows


def _gone(store: Store, old: Tables) -> Gone:
    """The observations of old tables that there are no more."""
    before = store.table("observations", old)
    key = "observation" if old.header == store.schema.header else "client"
    gone = before.join(store.table("observations").select(key).distinct(), key, "left_anti")
    first = gone.orderBy("first").select("client").head(MAX_LOOKED_AT)
    clients = dict.fromkeys(client_of(row.client.encode()) for row in first)
    fewer = old.rows - store.tables.rows if key == "client" else 0
    return Gone(max(gone.count(), fewer), tuple(clients)[:MAX_NAMED])


def _spans(store: Store) -> dict[int, Span]:
    """Where the rows are that each content brought, by its number."""
    content = F.floor(F.col("first") / PLACE).alias("content")
    rows, found = 0, {}
    of = store.table("observations").groupBy(content).count().orderBy("content").collect()
    kept = {row.content for row in store.table("contents").select("content").distinct().collect()}
    for row in of:
        log_at = row["content"] if row["content"] in kept else None
        found[row["content"]] = Span(rows, rows + row["count"], log_at)
        rows += row["count"]
    return found | {number: Span(0, 0, number) for number in kept - found.keys()}
