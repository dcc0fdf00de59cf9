"""What a row, a piece and a client cost an engine, and what follows for larger tables.

Each figure is taken in one process, from the difference of two sizes, so that what is fixed drops
out; times are of the processor. What follows is arithmetic, printed with its figures.
"""

import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from time import process_time
from typing import NamedTuple, TypeVar

from pipeline import bucketing, sampledata
from pipeline.bucketledger import counted_buckets
from pipeline.bucketmerge import KEY_BYTES
from pipeline.columnsums import BucketRows, column_sums
from pipeline.config import Config, load_config
from pipeline.engine import InProcess
from pipeline.history import History
from pipeline.inbox import list_input
from pipeline.pieces import PieceTask, cut
from tests.bench.measuring import table

R = TypeVar("R")

PROJECT = Path(__file__).resolve().parents[2]
SIZES = (1e7, 1e8, 1e9, 1e10, 1e11)
CORES = 100
GIB = 2**30


class Unit(NamedTuple):
    """Seconds of a processor for each of something."""

    map_row: float  # read, check, hash, cut
    piece: float  # one file of rows for one bucket
    merge_new: float  # a new row into its bucket
    merge_old: float  # a row that is there already
    look: float  # a row, at one look at all of them
    bytes_row: float  # on disk


def carry(place: Path, rows: int) -> None:
    """Measure and print."""
    unit = measured(place, rows)
    print(
        table(
            ["what costs", "microseconds of a core"],
            [
                ["a row: read, checked, hashed, cut into pieces", f"{unit.map_row * 1e6:.2f}"],
                ["a piece: one file of one task's rows for one bucket", f"{unit.piece * 1e6:.0f}"],
                ["a new row, merged into its bucket", f"{unit.merge_new * 1e6:.2f}"],
                ["a row of the bucket, gone through for that", f"{unit.merge_old * 1e6:.2f}"],
                ["a row, at one look at all (sums, or a step)", f"{unit.look * 1e6:.3f}"],
            ],
        ),
        f"\n\n{unit.bytes_row:.1f} bytes of disk a row\n",
    )
    print(table(*carried(unit)))


def measured(place: Path, rows: int) -> Unit:
    """The unit costs, from tables of so many rows and half of it."""
    few, many = (world(place / f"{count}", count, 4, 16) for count in (rows // 2, rows))
    (map_few, _), (map_many, _) = (timed(lambda c=c: cut_all(c)) for c in (few, many))
    map_row = (map_many - map_few) / (rows - rows // 2)
    piece = piece_cost(place)
    merges = []
    for config in (few, many):
        with History(config.history_path) as history:
            taken, _ = timed(lambda c=config, h=history: ingest(c, h))
            merges.append(taken)
    merged = (merges[1] - merges[0]) / (rows - rows // 2) - map_row
    with History(many.history_path) as history:
        buckets = counted_buckets(many, history)
        parts = [BucketRows(bucket.path, many.schema, labelled=True) for bucket in buckets]
        look, _ = timed(lambda: [column_sums(part) for part in parts])
        sampledata.write(many.input_folder_path / "z.csv", sampledata.bulk(1_000, 99))
        small, _ = timed(lambda: ingest(many, history, only="z.csv"))
    fixed = piece * 16 * 2 + 1_000 * (map_row + merged)
    return Unit(
        map_row=map_row,
        piece=piece,
        merge_new=merged,
        merge_old=max(0.0, small - fixed) / rows,
        look=look / rows,
        bytes_row=sum(bucket.bytes for bucket in buckets) / rows,
    )


def carried(unit: Unit) -> tuple[list[str], list[list[str]]]:
    """Hours of a hundred cores for a cold start, by table size, and what each part is of it."""
    header = ["rows", "disk", "buckets", "pieces", "cut, h", "pieces, h", "merge, h", "10 looks, h"]
    header += ["again for 1 % more, h"]
    lines = []
    for rows in SIZES:
        buckets = max(16, round(rows * KEY_BYTES / (0.4 * GIB)))
        tasks = max(CORES, rows * 35 / 256e6)  # files of 256 MB
        hours = [
            rows * unit.map_row,
            tasks * buckets * unit.piece,
            rows * unit.merge_new,
            10 * rows * unit.look,
            rows * unit.merge_old + 0.01 * rows * (unit.map_row + unit.merge_new),
        ]
        lines.append(
            [
                f"{rows:.0e}",
                f"{rows * unit.bytes_row / 1e9:,.0f} GB",
                f"{buckets:,}",
                f"{tasks * buckets:.0e}",
                *(f"{part / CORES / 3600:.3g}" for part in hours),
            ]
        )
    return header, lines


def world(place: Path, rows: int, files: int, buckets: int) -> Config:
    """A project of so many rows in so many files, nothing taken in."""
    place.mkdir(parents=True)
    told = json.loads((PROJECT / "config.json").read_text())
    (place / "config.json").write_text(
        json.dumps(told | {"engine": {"kind": "pool", "buckets": buckets}})
    )
    config = load_config(place / "config.json")
    edges = [rows * i // files for i in range(files + 1)]
    for i, (first, after) in enumerate(pairwise(edges)):
        sampledata.write(
            config.input_folder_path / f"{i}.csv", sampledata.bulk(after - first, i + 1)
        )
    return config


def cut_all(config: Config) -> int:
    """Cut all files into pieces; returns how many there are."""
    folder = config.output_folder_path / "trial"
    files = list_input(config.input_folder_path)
    tasks = [PieceTask(config, (file,), folder, config.engine.buckets, 1) for file in files]
    return sum(len(cut(task).rows) for task in tasks)


def piece_cost(place: Path) -> float:
    """The seconds of one piece: the same rows into 16 and into 512 buckets."""
    rows = 50_000
    taken, counts = [], []
    for buckets in (16, 512):
        config = world(place / f"pieces{buckets}", rows, 1, buckets)
        seconds, count = timed(lambda c=config: cut_all(c))
        taken.append(seconds)
        counts.append(count)
    return (taken[1] - taken[0]) / (counts[1] - counts[0])


def ingest(config: Config, history: History, only: str | None = None) -> None:
    """Take all files into the buckets, or one."""
    files = [f for f in list_input(config.input_folder_path) if only in (None, f.name)]
    bucketing.ingest_files(config, history, InProcess(), files)


def timed(work: Callable[[], R]) -> tuple[float, R]:
    """The seconds of the processor that some work takes, and what it gives."""
    started = process_time()
    found = work()
    return process_time() - started, found
