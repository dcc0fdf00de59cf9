"""What Spark calls with the rows of some clients: the ways of one process, on less rows."""

import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path

import numpy as np
import pandas as pd
from xxhash import xxh64_intdigest

from pipeline.core.schema import Schema
from pipeline.data.loader import Counts
from pipeline.observations.master_files import finish
from pipeline.observations.master_writer import MasterWriter
from pipeline.observations.renewal import NOTHING_GONE, Gone, Renewal
from pipeline.observations.row_keys import contents_in, recorded_log, recorded_states
from pipeline.observations.row_lines import client_cell, rows_in
from pipeline.observations.rules import content_of
from pipeline.observations.tables import NO_ROWS, Part, Tables, new_folder
from pipeline.storage.ledger import Former, Span


@dataclass(frozen=True)
class PartFile:
    """A file that is taken in: what its lines are called by, its content, and how many it has."""

    turn: int
    number: int
    name: str
    sha256: str
    rows: int
    reports: bool


@dataclass(frozen=True)
class Came:
    """What the lines of a file in a part came to; of unknown clients the number of the first."""

    added: int = 0
    changed: int = 0
    missing: int = 0
    unknown: dict[str, int] = field(default_factory=dict)

    def __add__(self, other: "Came") -> "Came":
        return Came(
            *(self.added + other.added, self.changed + other.changed),
            *(self.missing + other.missing, self.unknown | other.unknown),
        )


@dataclass(frozen=True)
class Worked:
    """What became of a part; of files, by the number of their contents, those that came to any."""

    number: int
    part: Part
    lines: int = 0
    came: Mapping[int, Came] = field(default_factory=dict)
    waiting: tuple[str, ...] = ()  # files with outcomes of clients that are not known yet
    gone: Gone = NOTHING_GONE
    spans: Mapping[int, Span] = field(default_factory=dict)  # as they are in this part


@dataclass(frozen=True)
class PartWorker:
    """What it takes to change parts; each becomes a folder of its own, and nothing else changes."""

    path: Path
    schema: Schema
    tables: Tables
    files: Sequence[PartFile] = ()
    kept: Mapping[str, Sequence[Former]] = field(default_factory=dict)  # contents on record

    def grow(self, number: int, lines: pd.DataFrame, *, again: bool = False) -> Worked:
        """Take in lines of files; `again`, to find out which come to anything now."""
        part, file, formers = self._copied(number)
        former = {name: of[-1] for name, of in formers.items()}
        seed = self.tables.seed
        with MasterWriter(file, self.schema, part.state, former, seed=seed) as master:
            came = self._take(master, lines, again=again)
            waiting, state = tuple(master.waiting()), master.save()
        finish(file, state)
        return Worked(number, replace(part, state=state), len(lines), came, waiting)

    def rebuild(self, number: int, lines: pd.DataFrame) -> Worked:
        """Make a part again of these lines."""
        with self._renewal(number) as (part, master):
            came = self._take(master, lines)
            done = _saved(number, self.path, part, master, master.rows_gone())
        return replace(done, lines=len(lines), came=came)

    def withdraw(self, number: int, name: str, *, present: bool, held: int | None) -> Worked:
        """Take back what a file has brought, as `Renewal` does."""
        with self._renewal(number) as (part, master):
            gone = master.withdraw(name, present=present, held=held)
            return _saved(number, self.path, part, master, gone)

    def _copied(self, number: int) -> tuple[Part, Path, dict[str, list[Former]]]:
        """A copy of a part to change, and its contents by the names of their files."""
        old, folder = self.tables.parts[number], new_folder(self.path, "part")
        part, at = Part(folder.name, old.state), dict[int, int]()
        if old.folder:
            shutil.copytree(self.path / old.folder, folder)
            at = contents_in(part.at(self.path)[0], old.state)
        kept = {
            name: [replace(former, log_at=at[former.id]) for former in of if former.id in at]
            for name, of in self.kept.items()
        }
        return part, part.at(self.path)[0], {name: of for name, of in kept.items() if of}

    @contextmanager
    def _renewal(self, number: int) -> Iterator[tuple[Part, Renewal]]:
        part, file, kept = self._copied(number)
        with (
            recorded_log(file, part.state) as before,
            Renewal(file, self.schema, part.state, kept, before, seed=self.tables.seed) as master,
        ):
            yield part, master

    def _take(
        self, master: MasterWriter | Renewal, lines: pd.DataFrame, *, again: bool = False
    ) -> dict[int, Came]:
        by_turn, came = dict(iter(lines.groupby("file"))), dict[int, Came]()
        for file in self.files:
            of = by_turn.get(file.turn, lines[:0]).sort_values("line")
            (master.report if file.reports else master.append)([t.encode() for t in of["text"]])
            numbers = of["line"].to_numpy(np.int64), file.rows
            counts = master.accept(file.number, file.name, file.sha256, again=again, of=numbers)
            if counts:
                came[file.number] = _came(counts, of)
        return came


def _came(counts: Counts, lines: pd.DataFrame) -> Came:
    unknown = lines[lines["client"].isin(counts.unknown_clients)].drop_duplicates("client")
    first = dict(zip(unknown["client"], unknown["line"].tolist(), strict=True))
    return Came(counts.added, counts.changed, counts.missing, first)


def _saved(number: int, path: Path, part: Part, master: Renewal, gone: Gone) -> Worked:
    state, spans = master.save()
    finish(part.at(path)[0], state)
    return Worked(number, replace(part, state=state), gone=gone, spans=spans)


def sampled(
    path: Path,
    schema: Schema,
    tables: Tables,
    parts: Sequence[Part],
    clients: Collection[bytes] | None = None,
    number: int = 0,
) -> Worked:
    """A part of all rows in some parts, or of those of some clients, by their cells."""
    part, sources = Part(new_folder(path, "sample").name), []
    for file, state in (each.at(path) for each in parts):
        alive = np.ones(state.rows, np.bool_)
        if clients is not None:
            rows = chain.from_iterable(rows_in(file, state.bytes))
            alive[:] = [client_cell(row) in clients for row in rows]
        sources.append((file, state, alive))
    with Renewal(part.at(path)[0], schema, NO_ROWS, {}, None, seed=tables.seed) as master:
        master.gather(sources)
        return _saved(number, path, part, master, NOTHING_GONE)


def clients_in(path: Path, schema: Schema, part: Part, newest: Collection[int]) -> pd.DataFrame:
    """The clients of a part: how many rows each has, and whether it has left.

    And whether one of those contents, the newest ones, brought or changed any of its rows.
    """
    file, state = part.at(path)
    states = recorded_states(file, schema, state)
    new = np.isin(content_of(states["sighted"]), [*newest]) | np.isin(states["known"], [*newest])
    cells = [client_cell(row).decode() for rows in rows_in(file, state.bytes) for row in rows]
    frame = pd.DataFrame({"client": cells, "new": new, "left": states["outcome"] == 1, "rows": 1})
    how = {"new": "max", "left": "max", "rows": "sum"}
    return frame.groupby("client", as_index=False).agg(how)


def spans_of(parts: Sequence[Worked]) -> dict[int, Span]:
    """Where the rows are that each content brought, among those of all parts, by its number."""
    rows, found = 0, {}
    for number in sorted({number for part in parts for number in part.spans}):
        spans = [part.spans[number] for part in parts if number in part.spans]
        count = sum(span.end - span.start for span in spans)
        log_at = number if any(span.log_at is not None for span in spans) else None
        found[number] = Span(rows, rows + count, log_at) if count else Span(0, 0, log_at)
        rows += count
    return found


def for_arrow(frame: pd.DataFrame, schema: str) -> pd.DataFrame:
    """A frame with the columns of a schema of Spark, in forms that Arrow takes from pandas."""
    types = dict(column.split() for column in schema.split(", "))
    frame = frame.reindex(columns=list(types))
    for name, kind in types.items():
        if kind == "string":
            frame[name] = frame[name].astype(object).where(frame[name].notna(), None)
        elif kind in ("int", "long"):
            frame[name] = frame[name].astype("Int64")
    return frame


def bucket_of(cell: str, buckets: int) -> int:
    """The part of a client, of so many: that of Spark's `pmod(xxhash64(cell), buckets)`."""
    value = xxh64_intdigest(cell.encode(), seed=42)
    return (value - (1 << 64) * (value >> 63)) % buckets
