"""What a row, a piece and a client cost an engine, and what follows for larger tables.

Each figure is taken in one process, from the difference of two sizes, so that what is fixed drops
out; times are of the processor. What follows is arithmetic, printed with its figures.
"""

import json
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from math import ceil
from pathlib import Path
from time import process_time
from typing import NamedTuple, TypeVar

import numpy as np
import pyarrow as pa

from pipeline import bucketing, sampledata
from pipeline.bucketledger import counted_buckets, key_seed
from pipeline.bucketmerge import GROUP_BYTES, KEY_BYTES
from pipeline.bucketranks import LINES
from pipeline.cluster import SHARE
from pipeline.columnsums import BucketRows, column_sums
from pipeline.config import Config, load_config
from pipeline.database import open_history
from pipeline.engine import InProcess
from pipeline.engineconfig import MOST_BUCKETS, WORKER_BYTES
from pipeline.history import History
from pipeline.inbox import FoundFile, list_input
from pipeline.mergedlines import merged_lines
from pipeline.pieces import cut
from pipeline.riskhistory import ClientRisk, record_risks
from pipeline.sortedmerge import batch_rows, write_run
from tests.bench.measuring import table

R = TypeVar("R")

PROJECT = Path(__file__).resolve().parents[2]
SIZES = (1e7, 1e8, 1e9, 1e10, 1e11)
CORES = 100
ROW_BYTES, FILE_BYTES = 35, 256e6  # of client files
UNEVEN = 1.05  # the largest bucket beside one of average size
GIB = 2**30
ADDED = 1_000  # rows, to all that are there


class Unit(NamedTuple):
    """Seconds of a processor for each of something."""

    map_row: float  # read, check, hash, cut
    piece: float  # one file of rows for one bucket
    merge_new: float  # a new row into its bucket
    merge_old: float  # a row that is there already
    look: float  # a row, at one look at all of them
    ranked: float  # a client, where sorted parts are merged, in one process
    recorded: float  # a client whose risk goes into the history, in one process
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
                ["a client, where the sorted parts are merged", f"{unit.ranked * 1e6:.2f}"],
                ["a client whose risk goes into the history", f"{unit.recorded * 1e6:.2f}"],
            ],
        ),
        f"\n\n{unit.bytes_row:.1f} bytes of disk a row\n",
    )
    print(table(*carried(unit)))


def measured(place: Path, rows: int) -> Unit:
    """The unit costs, from tables of so many rows and half of it."""
    half = rows // 2
    cuts, merges = [], []
    for count in (half, rows):
        config = world(place / f"{count}", count, 4, 16)
        with open_history(config.history_path) as history:
            cuts.append(timed(partial(cut_all, config, history))[0])
            merges.append(timed(partial(ingest, config, history))[0])  # it finds all pieces
    map_row, merge_new = ((both[1] - both[0]) / (rows - half) for both in (cuts, merges))
    piece = piece_cost(place)
    with open_history(config.history_path) as history:
        buckets = counted_buckets(config, history)
        parts = [BucketRows(bucket.path, config.schema, labelled=True) for bucket in buckets]
        look, _ = timed(lambda: [column_sums(part) for part in parts])
        sampledata.write(config.input_folder_path / "z.csv", sampledata.bulk(ADDED, 99))
        cut_all(config, history, "z.csv")
        again, _ = timed(partial(ingest, config, history, "z.csv"))
    return Unit(
        map_row=map_row,
        piece=piece,
        merge_new=merge_new,
        merge_old=(again - ADDED * merge_new) / rows,
        look=look / rows,
        ranked=merge_cost(place),
        recorded=record_cost(place),
        bytes_row=sum(bucket.bytes for bucket in buckets) / rows,
    )


def carried(unit: Unit) -> tuple[list[str], list[list[str]]]:
    """Minutes of a cold start by a hundred cores, part by part, by the size of the table.

    A file is cut by one core; of ten rows, one is another client's. `ranked` and `recorded` are the
    work of one process. The last column is the ingestion of one per cent more.
    """
    header = ["rows", "GB", "buckets", "GiB a worker", "pieces", "cut", "their files", "merged"]
    header += ["10 looks", "ranked", "recorded", "1 % more"]
    lines = []
    for rows in SIZES:
        buckets, memory = divided(rows)
        files = max(20, rows * ROW_BYTES / FILE_BYTES)
        cutting = min(CORES, files)
        seconds = [
            rows * unit.map_row / cutting,
            files * buckets * unit.piece / cutting,
            rows * unit.merge_new / CORES,
            10 * rows * unit.look / CORES,
            rows / 10 * unit.ranked,
            rows / 10 * unit.recorded,
            (rows * unit.merge_old + 0.01 * rows * (unit.map_row + unit.merge_new)) / CORES,
        ]
        lines.append(
            [
                f"{rows:,.0f}",
                f"{rows * unit.bytes_row / 1e9:,.1f}",
                f"{buckets:,}",
                f"{memory:.1f}",
                f"{files * buckets:,.0f}",
                *(f"{part / 60:,.2f}" for part in seconds),
            ]
        )
    return header, lines


def divided(rows: float) -> tuple[int, float]:
    """How many buckets such a table takes, and GiB of memory for a worker that merges one.

    A worker has 1 GiB, or more where there cannot be more buckets; buckets are not all of a size.
    """
    room = SHARE * GIB - WORKER_BYTES - GROUP_BYTES
    buckets = min(MOST_BUCKETS, max(16, ceil(UNEVEN * rows * KEY_BYTES / room)))
    needed = UNEVEN * rows / buckets * KEY_BYTES + GROUP_BYTES + WORKER_BYTES
    return buckets, max(1, needed / SHARE / GIB)


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


def cut_all(config: Config, history: History, only: str | None = None) -> int:
    """Cut all files into pieces, or one; returns how many pieces there are."""
    tasks = bucketing.piece_tasks(config, key_seed(history), files_of(config, only))
    return sum(len(cut(task).rows) for task in tasks)


def ingest(config: Config, history: History, only: str | None = None) -> None:
    """Take all files into the buckets, or one."""
    bucketing.ingest_files(config, history, InProcess(), files_of(config, only))


def files_of(config: Config, only: str | None) -> list[FoundFile]:
    """All client files, or one."""
    return [f for f in list_input(config.input_folder_path) if only in (None, f.name)]


def piece_cost(place: Path) -> float:
    """The seconds of one piece: the same rows into 16 and into 512 buckets."""
    taken, counts = [], []
    for buckets in (16, 512):
        config = world(place / f"pieces{buckets}", 50_000, 1, buckets)
        with open_history(config.history_path) as history:
            seconds, count = timed(partial(cut_all, config, history))
        taken.append(seconds)
        counts.append(count)
    return (taken[1] - taken[0]) / (counts[1] - counts[0])


def merge_cost(place: Path, clients: int = 400_000, runs: int = 8) -> float:
    """The seconds of a client where so many sorted runs become one ranking."""
    random, each = np.random.default_rng(0), clients // runs
    paths = []
    for i in range(runs):
        risk = np.sort(random.random(each))[::-1]
        names = [f"client {i} {j}" for j in range(each)]
        lines = [f"{name},0.123456,low,000001-20261122T090000Z,no," for name in names]
        columns = {"risk": risk, "decision": risk, "client": names, "line": lines}
        arrays = [pa.array(columns.get(f.name, np.zeros(each)), f.type) for f in LINES]
        run = pa.table(arrays, schema=LINES)
        paths.append(write_run(place / f"run{i}", [run], LINES, batch_rows(runs)))
    seconds, size = timed(lambda: sum(len(text) for text in merged_lines(paths, clients, False)))
    assert size > clients
    return seconds / clients


def record_cost(place: Path, clients: int = 200_000) -> float:
    """The seconds of a client whose risk goes on record, in SQLite."""
    risks = [ClientRisk(f"client {i:09}", 0.5) for i in range(clients)]
    with open_history(place / "recorded.db") as history:
        seconds, _ = timed(lambda: record_risks(history, "a release", clients, risks))
    return seconds / clients


def timed(work: Callable[[], R]) -> tuple[float, R]:
    """The seconds of the processor that some work takes, and what it gives."""
    started = process_time()
    found = work()
    return process_time() - started, found
