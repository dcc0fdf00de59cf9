"""The tables of client rows on Spark: lines get their places, and change what is known."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import pandas as pd
from pyspark.sql import DataFrame, SparkSession, Window
from pyspark.sql import functions as F

from pipeline.core.config import Config
from pipeline.observations.part import PLACE, WORKED, grown_bucket, renewed_bucket, totals
from pipeline.observations.tables import BUCKET_ROWS, MAX_ROWS, Tables, new_folder
from pipeline.spark.session import check_count, in_buckets, read, spark_session, write

SCHEMAS = {
    "observations": WORKED,
    "sightings": "content long, place long, client string, text string, report boolean"
    ", about string",
    "contents": "content long, line long, place long",
}
LINE = ["text", "report"]  # what tells lines of a content from each other


class Store:
    """The tables, and those that are made of them: nothing of that counts until it is on record."""

    def __init__(self, config: Config, tables: Tables) -> None:
        assert config.engine
        self.spark: SparkSession = spark_session(config.engine)
        self.schema, self.path, self.tables = config.schema, config.finaldata_path, tables
        self._staged: list[Path] = []
        self.path.mkdir(parents=True, exist_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for folder in self._staged:
            shutil.rmtree(folder, ignore_errors=True)

    def table(self, kind: str, tables: Tables | None = None) -> DataFrame:
        """One of the tables, or of others, by its name."""
        folders = getattr(tables or self.tables, kind)
        folders = [folders] if isinstance(folders, str) else folders
        return read(self.spark, [self.path / each for each in folders if each], SCHEMAS[kind])

    def staging(self, what: str) -> Path:
        """A new folder for what is needed until the end of a run."""
        self._staged.append(new_folder(self.path, what))
        return self._staged[-1]

    def staged(self, frame: DataFrame, what: str) -> DataFrame:
        """What is needed more than once, worked out once."""
        folder = self.staging(what)
        write(frame, folder)
        return read(self.spark, [folder])

    def small(self, rows: Sequence[tuple[Any, ...]], schema: str) -> DataFrame:
        """A few rows, which each executor gets."""
        return F.broadcast(self.spark.createDataFrame(list(rows), schema))

    def placed(self, lines: DataFrame, formers: Sequence[int]) -> DataFrame:
        """Lines of contents with their places: what a file held before keeps its place.

        `lines` have `content`, `former` (0: none) and `line`. `fresh` are those that say something
        new, `found` those that the former content had.
        """
        lines = lines.withColumn("place", F.col("content") * PLACE + F.col("line"))
        if not formers:
            return lines.withColumns({"fresh": F.lit(True), "found": F.lit(False)})
        held = self.lines_of(formers).withColumnsRenamed({"content": "former", "place": "before"})
        like = Window.partitionBy("former", *LINE)
        held = held.withColumn("like", F.row_number().over(like.orderBy("before")))
        lines = lines.withColumn("like", F.row_number().over(like.orderBy("line")))
        held = held.drop("line", "client")
        joined = lines.join(held, ["former", *LINE, "like"], "left")
        found = F.col("before").isNotNull()
        # a report whose client was not known yet says something new again
        stays = found & ~(F.col("report") & F.col("about").isNull())
        place = F.when(stays, F.col("before")).otherwise(F.col("place"))
        columns = {"place": place, "fresh": ~stays, "found": found}
        return self.staged(joined.withColumns(columns).drop("before", "like"), "placed")

    def lines_of(self, contents: Sequence[int]) -> DataFrame:
        """The lines that some contents had, with all that is kept of them."""
        places = self.table("contents").where(F.col("content").isin(list(contents)))
        return places.join(self.table("sightings").drop("content"), "place")

    def waiting(self) -> set[int]:
        """The contents with outcomes of clients that were not known, and are now."""
        waits = self.table("sightings").where("report AND about IS NULL")
        known = waits.join(self.table("observations").select("client"), "client", "left_semi")
        if not (self.tables.observations and known.head(1)):
            return set()
        found = self.table("contents").join(known.select("place"), "place", "left_semi")
        return {row.content for row in found.select("content").distinct().collect()}

    def grow(self, placed: DataFrame, expected: int) -> dict[int, dict[str, Any]]:
        """Add that many lines to the tables; returns what each content came to, by its number."""
        asked = [F.count("*").alias("lines"), F.max("former").alias("former")]
        asked += [F.sum(F.col(name).cast("int")).alias(name) for name in ("fresh", "found")]
        tally = {row.content: row for row in placed.groupBy("content").agg(*asked).collect()}
        check_count("lines of files", sum(row.lines for row in tally.values()), expected)
        new = sum(row.fresh for row in tally.values())
        fresh = placed.where("fresh").select("content", "place", "client", *LINE)
        before = self.tables.rows
        sums, about = self._work(before + new, self.table("observations"), fresh)
        check_count("observations", sum(each["seen"] for each in sums), before)
        check_count("new lines", sum(each["lines"] for each in sums), new)
        fresh = fresh.join(about, "place", "left").drop("moved")
        self._add("sightings", fresh, new)
        self._add("contents", placed.select("content", "line", "place"), expected)
        formers = [row.former for row in tally.values() if row.former]
        held = self.table("contents").where(F.col("content").isin(formers))
        counted = held.groupBy("content").count().collect() if formers else []
        lines = {row["content"]: row["count"] for row in counted}
        return {
            number: totals(number, sums)
            | {"missing": lines[row.former] - row.found if row.former else 0}
            for number, row in tally.items()
        }

    def remake(
        self, lines: DataFrame, contents: DataFrame, late: dict[int, int]
    ) -> list[dict[str, Any]]:
        """Make the tables anew of lines that count, and the places that contents have.

        Reports that are about none yet are looked up where they have a `turn`, that of their file,
        which has a place in `late` where they begin that are found by all files alone.
        """
        lines, contents = self.staged(lines, "lines"), self.staged(contents, "places")
        count, total = lines.count(), contents.count()
        self.tables = Tables()
        sums, about = self._work(count, None, lines, late)
        check_count("lines", sum(each["lines"] for each in sums), count)
        about = self.staged(about, "about")
        place = F.coalesce("moved", "place").alias("place")
        found = F.when(F.col("moved").isNull(), F.col("about")).otherwise(F.col("found"))
        columns = ["content", place, "client", *LINE, found.alias("about")]
        about = about.withColumnRenamed("about", "found")
        self._add("sightings", lines.join(about, "place", "left").select(*columns), count)
        moved = contents.join(about, "place", "left").select("content", "line", place)
        self._add("contents", moved, total)
        return sums

    def _work(
        self,
        rows: int,
        known: DataFrame | None,
        lines: DataFrame,
        late: dict[int, int] | None = None,
    ) -> tuple[list[dict[str, Any]], DataFrame]:
        """Make the table of observations anew; what each bucket came to, and reports with places.

        By lines that follow those `known`, or, without these, by all lines there are.
        """
        buckets = max(1, -(-rows // BUCKET_ROWS))
        folder = new_folder(self.path, "observations")
        by_bucket = in_buckets(lines, buckets).groupBy("bucket")
        schema = self.schema

        def renewed(lines: pd.DataFrame) -> pd.DataFrame:
            return renewed_bucket(lines, schema, late or {})

        def grown(seen: pd.DataFrame, lines: pd.DataFrame) -> pd.DataFrame:
            return grown_bucket(seen, lines, schema)

        if known is None:
            worked = by_bucket.applyInPandas(renewed, WORKED)
        else:
            both = in_buckets(known, buckets).groupBy("bucket").cogroup(by_bucket)
            worked = both.applyInPandas(grown, WORKED)
        write(worked, folder, "kind", "bucket")
        counts = read(self.spark, [*folder.glob("kind=counts")], WORKED).collect()
        sums = [json.loads(row.observation) for row in counts]
        rows = sum(each["rows"] for each in sums)
        self.tables = replace(
            self.tables,
            header=self.schema.header,
            rows=rows,
            buckets=buckets,
            observations=f"{folder.name}/kind=observation" if rows else "",
        )
        check_count("observations", self.table("observations").count(), rows)
        reports = [*folder.glob("kind=report")]
        about = read(self.spark, reports, WORKED)
        return sums, about.selectExpr("first AS place", "sighted AS moved", "observation AS about")

    def _add(self, kind: str, frame: DataFrame, rows: int) -> None:
        """Add that many rows to a table."""
        folder = new_folder(self.path, kind)
        columns = [each.split()[0] for each in SCHEMAS[kind].split(", ")]
        write(frame.select(*columns), folder)
        check_count(kind, read(self.spark, [folder]).count(), rows)
        folders: Any = {kind: (*getattr(self.tables, kind), folder.name)}
        self.tables = replace(self.tables, **folders)

    def draw(self, newest: Sequence[int]) -> None:
        """Draw the sample: of many rows half of those that these contents brought or changed.

        All rows of a client are in it or none; of clients who left as large a share as of others.
        """
        rows, folder = self.tables.rows, new_folder(self.path, "sample")
        observations, lines = self.table("observations"), self.table("sightings")
        if rows > MAX_ROWS:
            contents = [*newest]
            by = F.floor(F.col("sighted") / PLACE).isin(contents) | F.col("known").isin(contents)
            asked = [F.max(by).alias("new"), F.max(F.col("outcome") == 1).alias("left")]
            clients = observations.groupBy("client").agg(*asked, F.count("*").alias("rows"))
            # by a hash, so that the same clients are in it whichever executor looks
            lot = F.xxhash64("client", F.lit("sample"))
            clients = self.staged(clients.withColumn("lot", lot), "clients")
            counts = clients.groupBy("new").agg(F.sum("rows").alias("rows")).collect()
            many = {row.new: row.rows for row in counts}
            new, old = many.get(True, 0), many.get(False, 0)
            of_new = min(new, max(MAX_ROWS // 2, MAX_ROWS - old))
            shares = [of_new / max(new, 1), (MAX_ROWS - of_new) / max(old, 1)]
            bound = F.percentile_approx("lot", [min(1.0, share) for share in shares], 100_000)
            bounds = clients.groupBy("new", "left").agg(bound.alias("bounds"))
            chosen = clients.join(F.broadcast(bounds), ["new", "left"])
            place = F.when(F.col("new"), F.lit(0)).otherwise(F.lit(1))
            chosen = chosen.where(F.col("lot") <= F.col("bounds")[place]).select("client")
            chosen = self.staged(chosen, "chosen")
            observations = observations.join(chosen, "client", "left_semi")
            lines = lines.join(chosen, "client", "left_semi")
        folder.mkdir()
        write(observations, folder / "observations")
        write(lines, folder / "lines")
        sampled = read(self.spark, [folder / "observations"]).count()
        self.tables = replace(self.tables, sample=folder.name, sampled=sampled)
