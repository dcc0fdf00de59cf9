"""Reading client files side by side on executors, by the one checker."""

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec
import numpy as np
import pandas as pd
from pyspark.sql import DataFrame, SparkSession

from pipeline.core.schema import Schema
from pipeline.data.input_files import FoundFile
from pipeline.data.loader import Read, read_apart
from pipeline.observations.parts import for_arrow
from pipeline.observations.row_lines import client_cell
from pipeline.spark.session import check_count, read, write

_FILE = (
    "file int, path binary, size long, mtime_ns long, ctime_ns long, regular boolean"
    ", within string, overdue boolean"
)
_LISTED = ("size", "mtime_ns", "ctime_ns", "regular", "within", "overdue")
LINE = "file int, line long, client string, text string, report boolean"


def read_files(
    spark: SparkSession, files: Sequence[FoundFile], schema: Schema, folder: Path
) -> tuple[DataFrame, list[Read]]:
    """Have files read, each by one task, into a folder: their lines, and what came of each."""
    rows = [
        (i, os.fsencode(file.path), *(getattr(file, name) for name in _LISTED))
        for i, file in enumerate(files)
    ]
    listed = spark.createDataFrame(rows, _FILE).repartition(len(rows))
    write(listed.mapInPandas(_reader(schema), LINE), folder)
    staged = read(spark, [folder])
    results = staged.where("line < 0").select("file", "text").collect()
    check_count("files", len(results), len(files))
    by_file = {row.file: msgspec.json.decode(row.text, type=Read) for row in results}
    return staged.where("line >= 0"), [by_file[i] for i in range(len(files))]


def _reader(schema: Schema) -> Callable[[Iterator[pd.DataFrame]], Iterator[pd.DataFrame]]:
    """What Spark calls with files: a row a line of each, and one of what came of it."""

    def read_all(frames: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        for number, path, *listed in (row for frame in frames for row in frame.to_numpy().tolist()):
            file = FoundFile(Path(os.fsdecode(bytes(path))), *listed)
            with read_apart(file, schema) as (result, lines):
                for numbers, texts in lines.batches():
                    clients = [client_cell(text).decode() for text in texts]
                    columns = {"line": numbers, "client": clients, "text": _decoded(texts)}
                    yield _frame(columns, number, report=lines.reports)
                text = _decoded([msgspec.json.encode(result)])
                yield _frame({"line": [-1], "client": [""], "text": text}, number, report=False)

    return read_all


def _decoded(texts: Sequence[bytes]) -> np.ndarray:
    return np.array([text.decode() for text in texts], object)


def _frame(columns: dict[str, object], number: int, *, report: bool) -> pd.DataFrame:
    return for_arrow(pd.DataFrame(columns).assign(file=number, report=report), LINE)
