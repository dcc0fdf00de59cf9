"""What each engine takes for the same work, beside pandas and polars, and how far that carries.

Run it from the project's folder, with pipeline/requirements-dask.txt and polars installed; thirty
million rows take half an hour and 6 GB of disk:

    python -m tests.bench.bench_engines [--rows 1000000 10000000 30000000] [--place FOLDER]
    python -m tests.bench.bench_engines --carry [--rows 1000000]

Jobs: take in all files (5 % of the rows stand twice), train a logistic model, score it on 2,000
rows, rank all clients. Each job is a process of its own; `pool` and `dask` have two workers, those
of dask 1 GiB of memory each, at which they are killed. pandas and polars check no row. Processor
time and memory are looked up ten times a second, for a process and all below it.

`--carry` measures what a row, a piece and a client cost, and carries that to larger tables.
"""

import argparse
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter, sleep
from typing import TYPE_CHECKING, Any, NamedTuple

from pipeline import sampledata
from pipeline.config import Config, load_config
from tests.bench.measuring import machine, table

PROJECT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(PROJECT / "tests"))  # where a real cluster is started
FILES = 20
TWICE = 0.05
BUCKETS = 16
WORKERS = 2
TEST_ROWS = 2_000

STAGES = {
    "ingestion": "from ingestion import ingest; ingest(config)",
    "training": "from training import train; train(config)",
    "scoring": "from scoring import score; score(config)",
    "deployment": "from deployment import deploy; deploy(config)",
    "ranking": """
from pipeline.models import load_release
from pipeline.releases import live_release
from pipeline.scorers import scorer_of
from reporting import write_ranking
release = live_release(config.prod_deployment_path)
write_ranking(config, release, scorer_of(load_release(release, config.schema), release.model))
""",
}
JOBS = ("ingestion", "training", "scoring", "ranking")

PANDAS = {
    "ingestion": """
frame = pd.concat([pd.read_csv(path) for path in sources], ignore_index=True)
frame.drop_duplicates().to_csv(made / "finaldata.csv", index=False)
""",
    "training": """
frame = pd.read_csv(made / "finaldata.csv").dropna(subset=[outcome])
model = make_pipeline(SimpleImputer(strategy="median"), StandardScaler(), LogisticRegression())
pickle.dump(model.fit(frame[numbers], frame[outcome]), open(made / "model.pkl", "wb"))
""",
    "scoring": """
model, test = pickle.load(open(made / "model.pkl", "rb")), pd.read_csv(tests)
print(f1_score(test[outcome], model.predict(test[numbers])))
""",
    "ranking": """
model = pickle.load(open(made / "model.pkl", "rb"))
frame = pd.read_csv(made / "finaldata.csv").drop_duplicates(client, keep="last")
frame = frame[frame[outcome] != 1]
ranked = pd.DataFrame({"client": frame[client], "risk": model.predict_proba(frame[numbers])[:, 1]})
ranked.sort_values("risk", ascending=False).to_csv(made / "ranking.csv", index=False)
""",
}
POLARS = {
    "ingestion": """
frame = pl.concat([pl.read_csv(path) for path in sources])
frame.unique(maintain_order=True).write_csv(made / "finaldata.csv")
""",
    "training": """
frame = pl.read_csv(made / "finaldata.csv").drop_nulls(outcome)
model = make_pipeline(SimpleImputer(strategy="median"), StandardScaler(), LogisticRegression())
model.fit(frame.select(numbers).to_numpy(), frame[outcome].to_numpy())
pickle.dump(model, open(made / "model.pkl", "wb"))
""",
    "scoring": """
model, test = pickle.load(open(made / "model.pkl", "rb")), pl.read_csv(tests)
print(f1_score(test[outcome].to_numpy(), model.predict(test.select(numbers).to_numpy())))
""",
    "ranking": """
model = pickle.load(open(made / "model.pkl", "rb"))
frame = pl.read_csv(made / "finaldata.csv").unique(client, keep="last")
frame = frame.filter(pl.col(outcome) != 1)
risk = model.predict_proba(frame.select(numbers).to_numpy())[:, 1]
ranked = frame.select(client).with_columns(risk=pl.Series(risk))
ranked.sort("risk", descending=True).write_csv(made / "ranking.csv")
""",
}
COMMON = """
import pickle, sys
from pathlib import Path
import {library}
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
sources, made, tests = sorted(Path(sys.argv[1]).glob("*.csv")), Path(sys.argv[2]), sys.argv[3]
client, outcome = "corporation", "exited"
numbers = ["lastmonth_activity", "lastyear_activity", "number_of_employees"]
"""
OURS = """
import sys
from pathlib import Path
from pipeline.config import load_config
config = load_config(Path(sys.argv[1]))
"""


if TYPE_CHECKING:
    from engines import Cluster


class Cost(NamedTuple):
    """What a job took: seconds, processor seconds, MiB of its largest process."""

    wall: float
    cpu: float
    peak: float


@dataclass
class Watched:
    """The highest that was seen of each process."""

    cpu: dict[int, float]
    peak: dict[int, float]

    def look(self, pids: Sequence[int]) -> None:
        for pid in pids:
            try:
                stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                status = Path(f"/proc/{pid}/status").read_text()
            except OSError:
                continue  # it has ended
            self.cpu[pid] = (int(stat[11]) + int(stat[12])) / 100
            high = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")]
            self.peak[pid] = max([self.peak.get(pid, 0), *(int(h) / 1024 for h in high)])


def cost_of(command: Sequence[str], besides: Sequence[int] = ()) -> Cost:
    """Run a process to its end; the processes below it count, and these workers."""
    from engines import pids_below

    others = Watched({}, {})
    others.look(besides)
    before, ours, started = sum(others.cpu.values()), Watched({}, {}), perf_counter()
    process = subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.DEVNULL)
    while process.poll() is None:
        ours.look([process.pid, *pids_below(process.pid)])
        sleep(0.1)
    wall = perf_counter() - started
    if process.returncode:
        raise SystemExit(f"{command[2][:200]} ended with {process.returncode}")
    others.look(besides)
    cpu = sum(ours.cpu.values()) + sum(others.cpu.values()) - before
    return Cost(wall, cpu, max([*ours.peak.values(), *others.peak.values()]))


def world(place: Path, sources: Path, tests: Path, engine: dict[str, Any]) -> Config:
    """A project folder of its own on the shared sources."""
    place.mkdir()
    told = json.loads((PROJECT / "config.json").read_text())
    told |= {"input_folder_path": str(sources), "test_data_path": str(tests.parent)}
    (place / "config.json").write_text(json.dumps(told | {"engine": engine}))
    return load_config(place / "config.json")


def make_sources(folder: Path, rows: int) -> None:
    """So many rows in `FILES` files."""
    folder.mkdir()
    each = rows // FILES
    tables = iter(sampledata.bulk(rows, sampledata.SEED, TWICE))
    pending = next(tables)
    for i in range(FILES):

        def of_file(wanted: int = each) -> Iterator[Any]:
            nonlocal pending
            while wanted:
                if pending.empty:
                    pending = next(tables)
                part, pending = pending.iloc[:wanted], pending.iloc[wanted:]
                wanted -= len(part)
                yield part

        sampledata.write(folder / f"part{i:02d}.csv", of_file())


@contextmanager
def cluster_of(kind: str) -> Iterator["Cluster | None"]:
    """Two workers of 1 GiB each, if the engine needs them."""
    from engines import dask_cluster

    with dask_cluster(WORKERS, nanny=True) if kind == "dask" else nullcontext() as cluster:
        yield cluster


def ours(kind: str, place: Path, sources: Path, tests: Path) -> dict[str, Cost]:
    """The costs of our jobs with an engine."""
    with cluster_of(kind) as cluster:
        engine: dict[str, Any] = {"kind": kind, "buckets": BUCKETS}
        engine |= {"address": cluster.address} if cluster else {}
        engine |= {"workers": WORKERS} if kind == "pool" else {}
        config = world(place, sources, tests, engine)
        pids = [pid for worker in cluster.workers for pid in worker.pids()] if cluster else []
        found = {}
        for job, code in STAGES.items():
            found[job] = cost_of([sys.executable, "-c", OURS + code, str(config.path)], pids)
    return found


def theirs(library: str, jobs: dict[str, str], place: Path, sources: Path, tests: Path) -> Any:
    """The costs of the same jobs as one writes them down."""
    place.mkdir()
    words = [str(sources), str(place), str(tests)]
    return {
        job: cost_of([sys.executable, "-c", COMMON.format(library=library) + code, *words])
        for job, code in jobs.items()
    }


WAYS: dict[str, Callable[[Path, Path, Path], dict[str, Cost]]] = {
    **{kind: (lambda *where, kind=kind: ours(kind, *where)) for kind in ("files", "pool", "dask")},
    "pandas": lambda *where: theirs("pandas as pd", PANDAS, *where),
    "polars": lambda *where: theirs("polars as pl", POLARS, *where),
}


def compare(rows: int, place: Path, ways: Sequence[str]) -> None:
    """Print what each way takes for so many rows."""
    sources, tests = place / "sources", place / "tests" / "tests.csv"
    make_sources(sources, rows)
    sampledata.write(tests, sampledata.bulk(TEST_ROWS, sampledata.SEED + 1))
    printed = []
    for way in ways:
        costs = WAYS[way](place / way, sources, tests)
        taken = [costs[job] for job in JOBS]
        kept = [*(place / way).glob("finaldata.csv"), *(place / way).glob("ingesteddata/**/*")]
        stored = sum(file.stat().st_size for file in kept if file.is_file())
        printed.append(
            [
                f"`{way}`",
                *(f"{cost.wall:.1f}" for cost in taken),
                f"{sum(cost.wall for cost in taken):.1f}",
                f"{sum(cost.cpu for cost in taken):.1f}",
                f"{max(cost.peak for cost in taken):,.0f}",
                f"{stored / rows:.0f}",
            ]
        )
        print(" ".join(printed[-1]), file=sys.stderr, flush=True)
        shutil.rmtree(place / way)
    header = [f"{rows:,} rows", *JOBS, "all, s", "CPU s", "largest MiB", "bytes/row"]
    print(table(header, printed), "\n", flush=True)
    shutil.rmtree(sources)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000_000, 10_000_000, 30_000_000])
    parser.add_argument("--ways", nargs="+", choices=list(WAYS), default=list(WAYS))
    parser.add_argument("--place", type=Path, help="a folder with room (default: a temporary one)")
    parser.add_argument("--carry", action="store_true", help="what a row costs, and how far")
    args = parser.parse_args()
    print(machine(), "\n")
    with TemporaryDirectory(prefix="bench", dir=args.place) as folder:
        if args.carry:
            from tests.bench.carrying import carry

            carry(Path(folder), args.rows[0])
            return
        for rows in args.rows:
            compare(rows, Path(folder), args.ways)


if __name__ == "__main__":
    main()
