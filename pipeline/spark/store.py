"""The parts of client rows on Spark, each with the lines of its clients."""

import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from secrets import randbits
from typing import Any, Self

import msgspec
import pandas as pd
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from pipeline.core.config import Config
from pipeline.observations.parts import PartWorker, Worked, clients_in, for_arrow, sampled
from pipeline.observations.tables import Part, Tables, new_folder
from pipeline.spark.reading import LINE
from pipeline.spark.session import check_count, in_buckets, read, spark_session, write

MAX_ROWS = 1_000_000  # of the sample
PART_ROWS = 50_000  # about so many are worked on at a time, by one Python process
MIN_PARTS = 64
_CLIENT = "client string, new boolean, left boolean, rows long"
Work = Callable[[int, pd.DataFrame], Worked]  # the number of a part, and lines for it


class Store:
    """The parts, and those that are made of them: nothing of that counts until it is on record."""

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

    def begin(self, rows: int) -> None:
        """Have as many empty parts as so many rows need; they stay as many."""
        parts = (Part(),) * max(MIN_PARTS, -(-rows // PART_ROWS))
        self.tables = Tables(self.schema.header, randbits(63), parts)

    def staging(self, what: str) -> Path:
        """A new folder for what is needed until the end of a run."""
        self._staged.append(new_folder(self.path, what))
        return self._staged[-1]

    def worker(self, **others: Any) -> PartWorker:
        """What changes the parts as they are now."""
        return PartWorker(self.path, self.schema, self.tables, **others)

    def numbers(self) -> DataFrame:
        """The number of each part, one a task."""
        count = len(self.tables.parts)
        return self.spark.range(0, count, 1, count).withColumnRenamed("id", "bucket")

    def work(
        self, what: str, work: Work, lines: DataFrame | None = None, expected: int = 0
    ) -> list[Worked]:
        """Have all parts worked on, with those of so many lines that are of their clients."""
        lines = self.spark.createDataFrame([], LINE) if lines is None else lines
        by_part = in_buckets(lines, len(self.tables.parts)).groupBy("bucket")

        def each(number: pd.DataFrame, lines: pd.DataFrame) -> pd.DataFrame:
            done = work(int(number["bucket"].iloc[0]), lines)
            return pd.DataFrame({"done": [msgspec.json.encode(done).decode()]}, dtype=object)

        both = self.numbers().groupBy("bucket").cogroup(by_part)
        folder = self.staging(what)
        write(both.applyInPandas(each, "done string"), folder)
        found = [row.done for row in read(self.spark, [folder]).collect()]
        done = [msgspec.json.decode(text, type=Worked) for text in found]
        check_count("parts", len(done), len(self.tables.parts))
        check_count("lines of files", sum(each.lines for each in done), expected)
        return sorted(done, key=lambda each: each.number)

    def use(self, done: Sequence[Worked]) -> None:
        """Have these parts in place of the others."""
        self.tables = replace(self.tables, parts=tuple(each.part for each in done))

    def draw(self, newest: Sequence[int]) -> None:
        """Draw the sample: of many rows half of those that these contents brought or changed.

        All rows of a client are in it or none; of clients who left as large a share as of others.
        """
        parts, path, schema, tables = self.tables.parts, self.path, self.schema, self.tables
        if tables.rows > MAX_ROWS:

            def chosen(number: int, lines: pd.DataFrame) -> Worked:
                clients = {client.encode() for client in lines["client"]}
                part = tables.parts[number : number + 1]
                done = sampled(path, schema, tables, part, clients, number)
                return replace(done, lines=len(lines))

            folder = self.staging("chosen")
            write(self._chosen(newest), folder)
            drawn = read(self.spark, [folder])
            done = self.work("drawn", chosen, drawn, drawn.count())
            parts = tuple(each.part for each in done)
        sample = sampled(path, schema, tables, parts)
        self.tables = replace(tables, sample=sample.part, spans=sample.spans)

    def _chosen(self, newest: Sequence[int]) -> DataFrame:
        """The clients in a sample of many rows."""
        path, schema, tables = self.path, self.schema, self.tables

        def clients(frames: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
            for number in (number for frame in frames for number in frame["bucket"]):
                yield for_arrow(clients_in(path, schema, tables.parts[number], newest), _CLIENT)

        # by a hash, so that the same clients are in it whichever executor looks
        lot, folder = F.xxhash64("client", F.lit("sample")), self.staging("clients")
        write(self.numbers().mapInPandas(clients, _CLIENT).withColumn("lot", lot), folder)
        found = read(self.spark, [folder])
        counts = found.groupBy("new").agg(F.sum("rows").alias("rows")).collect()
        many = {row.new: row["rows"] for row in counts}
        new, old = many.get(True, 0), many.get(False, 0)
        of_new = min(new, max(MAX_ROWS // 2, MAX_ROWS - old))
        shares = [of_new / max(new, 1), (MAX_ROWS - of_new) / max(old, 1)]
        bound = F.percentile_approx("lot", [min(1.0, share) for share in shares], 100_000)
        bounds = found.groupBy("new", "left").agg(bound.alias("bounds"))
        place = F.when(F.col("new"), F.lit(0)).otherwise(F.lit(1))
        chosen = found.join(F.broadcast(bounds), ["new", "left"])
        return chosen.where(F.col("lot") <= F.col("bounds")[place]).select("client")
