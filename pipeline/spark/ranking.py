"""Ranking on Spark, and each client's risk over time."""

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pandas as pd
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from pipeline.core.config import Config
from pipeline.core.files import utc_now
from pipeline.observations.rows import PartMaster, SampledMaster
from pipeline.observations.tables import new_folder, remove_folders
from pipeline.ranking.explanations import explainer_of
from pipeline.ranking.movers import MAX_MOVERS, Mover, Movers, write_movers
from pipeline.ranking.risk_files import (
    RANKED,
    PartRanker,
    RiskNote,
    join_lines,
    read_note,
    risk_folder,
    write_note,
)
from pipeline.registry.live_model import Live
from pipeline.spark.session import check_count, in_buckets, read, write
from pipeline.spark.store import PART_ROWS, Store

_POINTS = "client string, ranking long, risk double"


def update_ranking(
    config: Config, live: Live, rows: SampledMaster, oldest: str
) -> tuple[Movers, str]:
    """Rank all clients, write clientrisk.csv and movers.csv, and record whose risk changed.

    What is older than the day `oldest` is forgotten. Returns who moved since the ranking before,
    and that in words.
    """
    release, place = live.release.id, risk_folder(config.clientrisk_path)
    place.mkdir(parents=True, exist_ok=True)
    explainer = explainer_of(live.scorer, live.release.model, config.labels, config.reasons_from)
    rows.tell_doubt()
    newest = rows.lists.lists[-1].of if rows.lists.lists else ()
    ranker = PartRanker(explainer, config.schema, config.policy, config.risk_bands, release)
    store, staged = Store(config, rows.tables), new_folder(place, "ranked")
    whole, parts, schema, held = rows.whole, rows.tables.parts, rows.schema, rows.left_out
    files = tuple(file for file in rows.files if file.id in newest)

    def rank(frames: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        for number in (number for frame in frames for number in frame["bucket"]):
            file, state = parts[number].at(whole)
            yield ranker.part(PartMaster(file, schema, state, files, held, newest=newest))

    write(store.numbers().mapInPandas(rank, RANKED), staged)
    ranked = read(store.spark, [staged])
    counts = [json.loads(row.line) for row in ranked.where("client IS NULL").collect()]
    check_count("rows to rank", sum(each["seen"] for each in counts), rows.rows)
    ranked, clients = ranked.where("client IS NOT NULL"), sum(each["clients"] for each in counts)
    note, changed = _record(config, store.spark, ranked, clients, release, oldest)
    assert note.movers
    moved = write_movers(config.movers_path, note.movers, changed=changed)
    order = [F.desc("risk"), F.desc("decision"), F.asc("client")]
    if config.policy.worth.client_value is not None:
        ranked = _with_loss_rank(store, ranked, order, new_folder(place, "losses"))
    ordered = new_folder(place, "ordered")
    ranked.orderBy(*order).select(F.concat("line", "rest")).write.text(f"file://{ordered}")
    check = partial(check_count, "clients in order", expected=clients)
    join_lines(ranker.header, ordered, config.clientrisk_path, check)
    remove_folders(place, {note.folder})
    return note.movers, moved


def _with_loss_rank(
    store: Store, ranked: DataFrame, order: list[Column], folder: Path
) -> DataFrame:
    """The same rows, with the place of each client by expected loss in its line."""
    # rows are numbered in order within each part, and parts are in order
    at = F.monotonically_increasing_id() % (1 << 33)
    valued = ranked.where("loss IS NOT NULL AND NOT isnan(loss)").orderBy(F.desc("loss"), *order)
    write(valued.select("client", F.spark_partition_id().alias("part"), at.alias("at")), folder)
    numbered, before, begins = read(store.spark, [folder]), 0, []
    for row in numbered.groupBy("part").count().orderBy("part").collect():
        begins.append((row["part"], before + 1))
        before += row["count"]
    starts = F.broadcast(store.spark.createDataFrame(begins, "part int, start long"))
    place = (F.col("start") + F.col("at")).cast("string")
    places = numbered.join(starts, "part").select("client", place.alias("place"))
    rest = F.concat(F.coalesce("place", F.lit("")), "rest")
    return ranked.join(places, "client", "left").withColumn("rest", rest)


def _record(
    config: Config,
    spark: SparkSession,
    ranked: DataFrame,
    clients: int,
    release: str,
    oldest: str,
) -> tuple[RiskNote, bool]:
    """Record whose risk changed, in whole percents; returns what is on record, and if any did."""
    place = risk_folder(config.clientrisk_path)
    note, folders = read_note(place), (new_folder(place, "changed"), new_folder(place, "points"))
    last = max(note.rankings, default=0)
    points = read(spark, [place / note.folder] if note.folder else [], _POINTS).drop("bucket")
    before = points.groupBy("client").agg(
        F.max_by("risk", "ranking").alias("before"), F.lit(True).alias("known")
    )
    both = before.join(ranked.select("client", "percent"), "client", "full")
    same = F.col("before").eqNullSafe(F.col("percent")) & F.col("known").isNotNull()
    write(both.where(~same), folders[0])
    changed = read(spark, folders[:1])
    new = changed.count()
    if note.movers and not new:
        return note, False
    change = F.round(F.col("percent") - F.col("before"), 2)
    moved = changed.where("before IS NOT NULL AND percent IS NOT NULL").select(
        "client", "before", F.col("percent").alias("risk"), change.alias("change")
    )
    sides = []
    for side in (moved.where("change > 0"), moved.where("change < 0")):
        first = side.orderBy(F.desc(F.abs("change")), "client").limit(MAX_MOVERS).collect()
        sides.append((tuple(Mover(*row) for row in first), side.count()))
    (rose, all_rose), (fell, all_fell) = sides
    former = note.rankings[last][1] if last else None
    movers = Movers(former, release, rose, fell, all_rose, all_fell)
    old = [n for n, (at, _) in note.rankings.items() if at < oldest]
    kept = _kept(points, max(old, default=0))
    number, risk = F.lit(last + 1).cast("long").alias("ranking"), F.col("percent").alias("risk")
    added = changed.select("client", number, risk)
    buckets = max(1, -(-clients // PART_ROWS))
    every = in_buckets(kept.unionByName(added), buckets).repartition("bucket")
    write(every.sortWithinPartitions("bucket", "client", "ranking"), folders[1], "bucket")
    count = read(spark, folders[1:], _POINTS).count()
    check_count("points of risks", count, kept.count() + new)
    rankings = {**note.rankings, last + 1: (utc_now(), release)}
    note = RiskNote(folders[1].name, buckets, count, rankings, movers)
    write_note(place, note)
    return note, True


def _kept(points: DataFrame, oldest: int) -> DataFrame:
    """The points but those that others took the place of up to that ranking."""
    held = points.where(F.col("ranking") <= oldest).groupBy("client")
    points = points.join(held.agg(F.max("ranking").alias("held")), "client", "left")
    return points.where("held IS NULL OR ranking >= held").drop("held")
