"""Ranking on Spark: lines of `clientrisk.csv`, and each client's risk over time, by bucket."""

import json
import os
import re
from array import array
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path

import msgspec
import numpy as np
import pandas as pd
from xxhash import xxh3_64_intdigest

from pipeline.core.config import RiskBands
from pipeline.core.files import atomic_writer, write_atomic
from pipeline.core.formatting import escape_formula
from pipeline.core.policy import Policy
from pipeline.core.schema import Schema, csv_line
from pipeline.observations.master import Master
from pipeline.observations.parts import bucket_of, for_arrow
from pipeline.ranking.explanations import Explainer
from pipeline.ranking.movers import Movers, whole_percents
from pipeline.ranking.rank import rank_clients
from pipeline.ranking.ranking_file import (
    COLUMNS,
    LOSS_COLUMNS,
    STATUS_COLUMNS,
    has_losses,
    ranking_table,
    ranking_text,
)
from pipeline.storage.risk_history import RiskPoint

NOTE = "risks.json"
RANKED = (
    "client string, risk double, decision double, loss double, percent double, line string"
    ", rest string"
)
_CELL = re.compile(rb'"(?:[^"]|"")*"|[^,]*')


@dataclass(frozen=True)
class RiskNote:
    """Which folder holds the risks, in how many buckets; the rankings on record, and who moved."""

    folder: str = ""
    buckets: int = 1
    points: int = 0
    rankings: Mapping[int, tuple[str, str]] = field(default_factory=dict)  # when, by which release
    movers: Movers | None = None


def risk_folder(ranking: Path) -> Path:
    """Where the risks are kept of the clients in a ranking's file."""
    return ranking.with_suffix(".parquet")


def read_note(folder: Path) -> RiskNote:
    """What is on record of the risks."""
    try:
        return msgspec.json.decode((folder / NOTE).read_bytes(), type=RiskNote)
    except FileNotFoundError:
        return RiskNote()


def write_note(folder: Path, note: RiskNote) -> None:
    """Put it on record."""
    write_atomic(folder / NOTE, msgspec.json.encode(note))


def risk_points(folder: Path, client: str) -> tuple[RiskPoint, ...]:
    """The risk of a client over time, oldest first; none where it was never ranked."""
    note = read_note(folder)
    bucket = folder / note.folder / f"bucket={bucket_of(client, note.buckets)}"
    if not note.folder or ((folder / note.folder).is_dir() and not bucket.is_dir()):
        return ()
    try:
        found = pd.read_parquet(bucket, filters=[("client", "=", client)]).sort_values("ranking")
    except FileNotFoundError:
        if read_note(folder) == note:
            raise
        return risk_points(folder, client)  # a run has just replaced it
    pairs = zip(found["ranking"].tolist(), found["risk"].tolist(), strict=True)
    return tuple(
        RiskPoint(*note.rankings[number], None if pd.isna(risk) else risk) for number, risk in pairs
    )


def join_lines(header: str, parts: Path, target: Path, check: Callable[[int], None]) -> None:
    """Write a ranking of the lines in files, in their order, each with its rank.

    How many they are is checked before they count. Beside each client's risk it is noted where in
    the file its line begins.
    """
    hashes, begins = array("Q"), array("Q")
    with atomic_writer(target) as file:
        begin = file.write(f"{header}\n".encode())
        for part in sorted(parts.glob("part-*")):
            with part.open("rb") as lines:
                for line in lines:
                    hashes.append(_hash_of(line))
                    begins.append(begin)
                    begin += file.write(b"%d,%b" % (len(begins), line))
        check(len(begins))
        file.flush()
        noted = _noted(target, os.fstat(file.fileno()))
        order = np.argsort(np.array(hashes, np.uint64))
        np.save(noted, np.array([hashes, begins], np.uint64)[:, order])
    for other in noted.parent.glob("*.npy"):
        if other != noted:
            other.unlink()


def _hash_of(line: bytes) -> int:
    cell = _CELL.match(line)
    assert cell  # of any text
    return xxh3_64_intdigest(cell.group())


def _noted(ranking: Path, stat: os.stat_result) -> Path:
    """Where it is noted at which byte each client's line begins; none of another file's."""
    return risk_folder(ranking) / f"lines-{stat.st_size}-{stat.st_mtime_ns}.npy"


def line_of(ranking: Path, client: str) -> tuple[StringIO, int] | None:
    """The header and the client's line, if it has one, and how many there are of all.

    None where that is not noted of the file as it is now.
    """
    cell = csv_line((escape_formula(client),)).encode()
    with ranking.open("rb") as file:
        try:
            hashes, begins = np.load(_noted(ranking, os.fstat(file.fileno())), mmap_mode="r")
        except FileNotFoundError:
            return None
        found = file.readline()
        wanted = np.uint64(_hash_of(cell))
        for begin in begins[hashes.searchsorted(wanted) : hashes.searchsorted(wanted, "right")]:
            file.seek(int(begin))
            line = file.readline()
            if line.partition(b",")[2].startswith(cell + b","):
                found += line
    return StringIO(found.decode()), len(begins)


@dataclass(frozen=True)
class PartRanker:
    """What it takes to rank some clients by a release."""

    explainer: Explainer
    schema: Schema
    policy: Policy
    bands: RiskBands
    release: str

    @property
    def header(self) -> str:
        """The first line of the file."""
        losses = () if self.policy.worth.client_value is None else LOSS_COLUMNS
        names = (*COLUMNS, *losses, *self.schema.carry, *STATUS_COLUMNS)
        return csv_line([escape_formula(name) for name in names])

    def part(self, rows: Master) -> pd.DataFrame:
        """The rows of `rank` for the clients of a part, and one of counts, as `RANKED` has them."""
        counts = json.dumps({"seen": rows.rows, "clients": len(rows.present)})
        counted = pd.DataFrame({"line": [counts]})
        return for_arrow(pd.concat([self.rank(rows.present), counted]), RANKED)

    def rank(self, clients: pd.DataFrame) -> pd.DataFrame:
        """A row for each of these clients, one a row, with what orders it among all.

        `line` and `rest` are its line, without its rank and, between them, its place by loss.
        """
        ranking = rank_clients(self.explainer.scorer, clients, self.schema, self.policy)
        table = ranking_table(ranking, self.explainer, self.bands, self.release)
        rest = [""] * len(table)
        if has_losses(table):
            last = (*self.schema.carry, *STATUS_COLUMNS)
            cells = [map(escape_formula, table.pop(name)) for name in last]
            rest = [f",{csv_line(each)}" for each in zip(*cells, strict=True)]
            table["loss_rank"] = np.nan
        columns = {
            "client": np.array(ranking.clients, object),
            "risk": ranking.risk,
            "decision": ranking.decision,
            "loss": np.nan if ranking.loss is None else ranking.loss,
            "percent": whole_percents(ranking.risk),
            "line": [line.partition(",")[2] for line in ranking_text(table).split("\n")[1:-1]],
            "rest": rest,
        }
        return pd.DataFrame(columns)
