"""The ranking of clients in buckets: a sorted part for each, merged as a stream.

What it writes is byte for byte what one process makes of all rows.
"""

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.bucketparts import PART_ROWS
from pipeline.bucketranks import RankedBucket, RankTask, Terms, rank_bucket
from pipeline.bucketstore import BucketStore
from pipeline.earlierclients import BLOCK, ClientBlock, EarlierClients, split_clients
from pipeline.errors import DataError
from pipeline.files import writing
from pipeline.history import History
from pipeline.mergedlines import merged_lines
from pipeline.movers import Comparison, together, write_movers
from pipeline.rankingbefore import Earlier, earlier_blocks
from pipeline.rankingfile import header
from pipeline.reasons import Explainer
from pipeline.releases import Release
from pipeline.riskchanges import on_record
from pipeline.riskhistory import ClientRisk, ranked_blocks, record_risks
from pipeline.sortedmerge import batch_rows, merged, runs_folder

log = logging.getLogger(__name__)

RUNS = ".ranking"  # the folder of what is sorted, beside the ranking


class RankingBefore(NamedTuple):
    """The ranking that lies there, which release it is by and which file it is."""

    clients: EarlierClients
    release: str
    stamp: str


def rank_buckets(
    store: BucketStore, history: History, release: Release, explainer: Explainer
) -> tuple[int, str]:
    """Write the ranking and the movers, and record whose risk changed.

    Returns how many clients were ranked, and who moved, in words.
    """
    config = store.config
    with runs_folder(config.output_model_path / RUNS) as folder:
        before = split_ranking(config.clientrisk_path, folder, config.engine.buckets)
        tasks = _tasks(store, history, release, explainer, folder, before)
        done = store.engine.map(rank_bucket, tasks)
        clients, compared = sum(part.clients for part in done), _compared(before, done)
        stamp = before.stamp if before else None
        record_risks(history, release.id, clients, _changed(done), stamp)
        moved = write_movers(config.movers_path, compared, release.id)
        valued = config.policy.worth.client_value is not None
        with writing(config.clientrisk_path) as file:
            file.write(header(valued=valued).encode())
            for lines in merged_lines(
                [path for part in done for path in part.lines], clients, valued
            ):
                file.write(lines)
    return clients, moved


def split_ranking(path: Path, folder: Path, buckets: int) -> RankingBefore | None:
    """The ranking that lies there, split by bucket; None where there is none of ours."""
    first: list[Earlier] = []

    def blocks() -> Iterator[ClientBlock]:
        for block in earlier_blocks(path, BLOCK):
            first[:] = first or [block._replace(clients=[], risk=np.empty(0))]
            yield ClientBlock(block.clients, block.risk)

    try:
        clients = split_clients(blocks(), folder / "before", buckets)
    except DataError as error:
        log.warning("%s", error)
        return None
    return RankingBefore(clients, first[0].release, first[0].stamp) if first else None


def _recorded(history: History, folder: Path, buckets: int) -> EarlierClients:
    names = ranked_blocks(history, BLOCK)
    blocks = (ClientBlock(block, np.full(len(block), np.nan)) for block in names)
    return split_clients(blocks, folder / "recorded", buckets)


def _tasks(
    store: BucketStore,
    history: History,
    release: Release,
    explainer: Explainer,
    folder: Path,
    before: RankingBefore | None,
) -> list[RankTask]:
    """A task for each bucket that has clients now, or had some."""
    config, buckets = store.config, store.config.engine.buckets
    told = before is not None and on_record(history, before.stamp)
    terms = Terms(
        schema=config.schema,
        policy=config.policy,
        bands=config.risk_bands,
        release=release.id,
        explainer=explainer,
        buckets=buckets,
        folder=folder,
        batch_rows=batch_rows(buckets + sum(b.rows for b in store.buckets) // PART_ROWS),
        before=before.clients if before else None,
        recorded=None if told else _recorded(history, folder, buckets),
    )
    tasks = {bucket.number: RankTask(terms, *bucket[:3]) for bucket in store.buckets}
    for source in filter(None, (terms.before, terms.recorded)):
        for bucket in np.flatnonzero(source.counts).tolist():
            tasks.setdefault(bucket, RankTask(terms, bucket, None, 0))
    return [tasks[bucket] for bucket in sorted(tasks)]


def _compared(before: RankingBefore | None, done: Sequence[RankedBucket]) -> Comparison | None:
    if before is None:
        return None
    movers = together(part.movers for part in done)
    return Comparison(before.release, all(part.unchanged for part in done), movers)


def _changed(done: Sequence[RankedBucket]) -> Iterator[ClientRisk]:
    """Whose risk changed, in order of name."""

    def by_name(table: pa.Table) -> np.ndarray:
        places: np.ndarray = pc.sort_indices(table["client"]).to_numpy()
        return places

    for table in merged([path for part in done for path in part.changes], by_name):
        yield from map(ClientRisk, table["client"].to_pylist(), table["risk"].to_pylist())
