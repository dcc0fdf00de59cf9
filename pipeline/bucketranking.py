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
from pipeline.lossplaces import LossPlaces
from pipeline.movers import Comparison, together, write_movers
from pipeline.ranking import highest_first
from pipeline.rankingbefore import Earlier, earlier_blocks
from pipeline.rankingfile import header
from pipeline.reasons import Explainer
from pipeline.releases import Release
from pipeline.riskchanges import on_record
from pipeline.riskhistory import ClientRisk, ranked_blocks, record_risks
from pipeline.sortedmerge import batch_rows, batches, merged, runs_folder, text_of

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
            for lines in _lines([path for part in done for path in part.lines], clients, valued):
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


def _lines(runs: Sequence[Path], clients: int, valued: bool) -> Iterator[pa.Buffer]:
    """The lines of all clients, highest risk first, in blocks."""
    places = LossPlaces(_losses(runs, clients)) if valued else None
    ranked = 0
    for table in merged(runs, _highest_first):
        ranks = pa.array(np.arange(ranked + 1, ranked + 1 + len(table)))
        ranked += len(table)
        losses = None if places is None else places.of(table["loss"].to_numpy())
        yield _text(ranks, table["line"], losses)


def _losses(runs: Sequence[Path], clients: int) -> np.ndarray:
    losses, at = np.empty(clients), 0
    for path in runs:
        for table in batches(path, ("loss",)):
            losses[at : at + len(table)] = table["loss"].to_numpy()
            at += len(table)
    return losses


def _highest_first(table: pa.Table) -> np.ndarray:
    risk, decision = table["risk"].to_numpy(), table["decision"].to_numpy()
    return highest_first(
        risk, decision, lambda places: table["client"].take(pa.array(places)).to_pylist()
    )


def _text(ranks: pa.Array, lines: pa.ChunkedArray, losses: np.ndarray | None) -> pa.Buffer:
    """Lines with their places, one after the other in one piece of memory."""
    text = pa.large_string()
    rest: pa.Array | pa.Scalar = pa.scalar("\n", text)
    if losses is not None:
        shown = pc.if_else(pa.array(losses != 0), pa.array(losses).cast(text), pa.scalar("", text))
        rest = pc.binary_join_element_wise(shown, pa.scalar("\n", text), pa.scalar("", text))
    whole = pc.binary_join_element_wise(
        ranks.cast(text), lines.combine_chunks(), rest, pa.scalar("", text)
    )
    return text_of(whole)
