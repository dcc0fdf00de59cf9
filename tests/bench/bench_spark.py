"""From how many rows on Spark pays: taking in and ranking, beside one process, pandas and polars.

Run it from the project's folder, with Spark and polars installed; thirty million rows take half an
hour, 12 GB of memory for pandas and polars, and 15 GB of disk:

    python -m tests.bench.bench_spark [--rows 1000000 10000000 30000000] [--master local[*]]
        [--ways one spark pandas polars] [--conf spark.executor.memory=1g ...]

Each way runs in a process of its own, once, on the same twenty files of sample data, in which each
client has one row. Only ours check the rows and keep what is known of them. All rank by the same
logistic model: ours with reasons, the others without. A row a second a core is by the clock, over
all cores of this machine.
"""

import argparse
import json
import os
import shutil
from itertools import chain, count, islice
from pathlib import Path
from tempfile import TemporaryDirectory

from pipeline import sample_data
from tests.bench.measuring import PROJECT, machine, run, table
from tests.bench.processes import Cost

FILES = 20
WAYS = ("one", "spark", "pandas", "polars")
NAMES = {"one": "one process", "spark": "Spark", "pandas": "pandas", "polars": "polars"}
# what the others do with the files of argv[1] and the model of argv[2] to make argv[3] and argv[4]
READ = {
    "pandas": """
rows = pd.concat([pd.read_csv(path) for path in paths], ignore_index=True).drop_duplicates()
rows.to_csv(argv[3], index=False)
""",
    "polars": """
rows = pl.concat([pl.read_csv(path) for path in paths]).unique(maintain_order=True)
rows.write_csv(argv[3])
""",
}
RANK = {
    "pandas": """
rows = pd.read_csv(argv[3]).drop_duplicates("corporation", keep="last")
rows = rows[rows["exited"] != 1]
rows["risk"] = model.predict_proba(rows[list(model.feature_names_in_)])[:, 1]
rows = rows.sort_values(["risk", "corporation"], ascending=[False, True])
rows[["corporation", "risk"]].to_csv(argv[4], index=False)
""",
    "polars": """
rows = pl.read_csv(argv[3]).unique("corporation", keep="last").filter(pl.col("exited") != 1)
frame = rows.select(list(model.feature_names_in_)).to_pandas()
rows = rows.with_columns(risk=pl.Series(model.predict_proba(frame)[:, 1]))
rows = rows.sort(["risk", "corporation"], descending=[True, False])
rows.select("corporation", "risk").write_csv(argv[4])
""",
}
BEGIN = """
import pickle
from pathlib import Path
from sys import argv
import pandas as pd
try:
    import polars as pl
except ImportError:
    pass
paths = sorted(Path(argv[1]).glob("*.csv"))
with open(argv[2], "rb") as file:
    model = pickle.load(file)
"""


def world(place: Path, source: Path, keys: dict[str, object]) -> Path:
    """A project folder with these files of clients; its config."""
    place.mkdir()
    shutil.copytree(PROJECT / "testdata", place / "testdata")
    (place / "sourcedata").symlink_to(source)
    settings = json.loads((PROJECT / "config.json").read_text())
    settings |= {"model": "logistic", "api_url": None, **keys}
    (place / "config.json").write_text(json.dumps(settings))
    return place / "config.json"


def ours(place: Path, source: Path, keys: dict[str, object]) -> tuple[list[Cost], Path]:
    """What taking in and ranking cost; and the model."""
    config = str(world(place, source, keys))
    costs = {
        stage: run(f"{stage}.py", "--config", config)
        for stage in ("ingestion", "training", "scoring", "deployment", "reporting")
    }
    return [costs["ingestion"], costs["reporting"]], place / "models/trainedmodel.pkl"


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000_000, 10_000_000, 30_000_000])
    parser.add_argument("--master", default="local[*]")
    parser.add_argument("--conf", nargs="*", default=["spark.driver.memory=4g"])
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=WAYS)
    args = parser.parse_args()
    conf = dict(each.split("=", 1) for each in args.conf)
    engine = {"kind": "spark", "master": args.master, "conf": conf}
    print(machine())
    for rows in args.rows:
        lines = []
        with TemporaryDirectory() as folder:
            place, model = Path(folder), None
            source = place / "files"
            source.mkdir()
            chunks = sample_data.bulk(rows, sample_data.SEED)
            each = max(1, rows // FILES // sample_data.CHUNK)
            for number in count():
                if not (part := [*islice(chunks, each)]):
                    break
                sample_data.write(source / f"part{number:02}.csv", part)
            for way in args.ways:
                if way in ("one", "spark"):
                    keys: dict[str, object] = {"engine": engine} if way == "spark" else {}
                    found, model = ours(place / way, source, keys)
                else:
                    assert model, "one of ours has to come first: it trains the model"
                    made = [str(place / f"{way}{each}.csv") for each in ("rows", "risk")]
                    programs = [BEGIN + program for program in (READ[way], RANK[way])]
                    words = [str(source), str(model), *made]
                    found = [run("-c", program, *words) for program in programs]
                speed = rows / sum(cost.wall for cost in found) / (os.cpu_count() or 1)
                costs = [(f"{cost.wall:.0f} s", f"{cost.peak:,.0f} MiB") for cost in found]
                lines.append((NAMES[way], *chain(*costs), f"{speed:,.0f}"))
        print(
            table((f"{rows:,} rows", "take in", "memory", "rank", "memory", "rows/s/core"), lines)
        )


if __name__ == "__main__":
    main()
