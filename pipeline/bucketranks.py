"""The ranking of one bucket's clients: what a worker makes of it, for `bucketranking` to merge."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from pipeline.bucketparts import divided, part_numbers, parts_of, split
from pipeline.buckets import arrow_schema, frame_of_rows, stored
from pipeline.config import RiskBands
from pipeline.earlierclients import EarlierClients
from pipeline.movers import Movers, movers_between, together, unchanged
from pipeline.policy import Policy
from pipeline.ranking import Ranking, rank_clients
from pipeline.rankingbefore import Before, Earlier, beside
from pipeline.rankingfile import unplaced_lines
from pipeline.reasons import Explainer
from pipeline.riskchanges import changed_risks, unknown_before
from pipeline.schema import Schema
from pipeline.sortedmerge import write_run

LINES = pa.schema(
    [
        ("risk", pa.float64()),
        ("decision", pa.float64()),
        ("client", pa.large_string()),
        ("line", pa.large_string()),  # between its places: see `unplaced_lines`
        ("loss", pa.float64()),  # NaN where there is none
    ]
)
CHANGES = pa.schema([("client", pa.large_string()), ("risk", pa.float64())])  # null: not ranked


class Terms(NamedTuple):
    """What all parts of a ranking have in common."""

    schema: Schema
    policy: Policy
    bands: RiskBands
    release: str
    explainer: Explainer
    buckets: int
    folder: Path  # of the runs
    batch_rows: int
    before: EarlierClients | None  # the ranking before
    recorded: EarlierClients | None  # all on record, where it is not of the ranking before


class RankTask(NamedTuple):
    """A bucket whose clients are to be ranked; `path` is None where all that it had are gone."""

    terms: Terms
    bucket: int
    path: Path | None
    rows: int


class RankedBucket(NamedTuple):
    """What came of it: sorted runs of `LINES` and of `CHANGES`, and what became of before."""

    clients: int
    lines: tuple[Path, ...]
    changes: tuple[Path, ...]
    unchanged: bool
    movers: Movers


def rank_bucket(task: RankTask) -> RankedBucket:
    """Rank the clients of a bucket, part by part."""
    return RankedBucket(*_summed(list(_ranked_parts(task))))


def _summed(parts: Sequence[RankedBucket]) -> RankedBucket:
    return RankedBucket(
        sum(part.clients for part in parts),
        tuple(path for part in parts for path in part.lines),
        tuple(path for part in parts for path in part.changes),
        all(part.unchanged for part in parts),
        together(part.movers for part in parts),
    )


def _ranked_parts(task: RankTask) -> Iterator[RankedBucket]:
    terms = task.terms
    before, recorded = (
        None if source is None else source.of_bucket(task.bucket)
        for source in (terms.before, terms.recorded)
    )
    parts = parts_of(max(task.rows, len(before or ()), len(recorded or ())))
    tables = zip(
        _rows(task, parts),
        _clients(before, terms, parts),
        _clients(recorded, terms, parts),
        strict=True,
    )
    for part, (rows, earlier, known) in enumerate(tables):
        yield _ranked_part(terms, f"{task.bucket:05d}-{part:05d}", rows, earlier, known)


def _rows(task: RankTask, parts: int) -> Iterator[pa.Table]:
    schema, buckets = task.terms.schema, task.terms.buckets
    if task.path is None:
        names = [stored(column) for column in schema.columns]
        return iter([arrow_schema(schema).empty_table().select(names)] * parts)
    return divided(task.path, schema.client, schema.columns, buckets, parts)


def _clients(table: pa.Table | None, terms: Terms, parts: int) -> Iterator[pa.Table | None]:
    if table is None:
        return iter([None] * parts)
    numbers = part_numbers(table["client"], terms.buckets, parts)
    return split(table, numbers, range(parts))


def _ranked_part(
    terms: Terms, name: str, rows: pa.Table, earlier: pa.Table | None, known: pa.Table | None
) -> RankedBucket:
    frame = frame_of_rows(rows, terms.schema, terms.schema.columns)
    ranking = rank_clients(terms.explainer.scorer, frame, terms.schema, terms.policy)
    before = since = None
    if earlier is not None:
        told = Earlier(earlier["client"].to_pylist(), earlier["risk"].to_numpy(), "", "")
        before = since = beside(told, ranking.clients)
    if known is not None:
        gone = list(set(known["client"].to_pylist()).difference(ranking.clients))
        since = unknown_before(len(ranking.clients), gone)
    return RankedBucket(
        len(ranking.clients),
        _write(terms, f"{name}.lines", _lines(terms, ranking)),
        _write(terms, f"{name}.changes", _changes(ranking, since)) if since else (),
        before is not None and unchanged(before, ranking),
        movers_between(before.risk, ranking) if before else together(()),
    )


def _lines(terms: Terms, ranking: Ranking) -> pa.Table:
    lines = unplaced_lines(ranking, terms.explainer, terms.bands, terms.release)
    loss = np.full(len(lines), np.nan) if ranking.loss is None else ranking.loss
    columns = [ranking.risk, ranking.decision, ranking.clients, lines, loss]
    arrays = [pa.array(c, field.type) for c, field in zip(columns, LINES, strict=True)]
    return pa.table(arrays, schema=LINES)


def _changes(ranking: Ranking, before: Before) -> pa.Table:
    """In order of name, in which the history takes them quickest."""
    changed = changed_risks(ranking, before)
    columns = [[client for client, _ in changed], [risk for _, risk in changed]]
    arrays = [pa.array(c, field.type) for c, field in zip(columns, CHANGES, strict=True)]
    return pa.table(arrays, schema=CHANGES).sort_by("client")


def _write(terms: Terms, name: str, table: pa.Table) -> tuple[Path, ...]:
    """The run of a table; none where it is empty."""
    if not len(table):
        return ()
    return (write_run(terms.folder / name, [table], table.schema, terms.batch_rows),)
