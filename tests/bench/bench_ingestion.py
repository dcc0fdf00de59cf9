"""How long ingestion takes and how much memory, against other ways to drop identical rows.

Run it from the project's folder; ten million rows take some minutes and 2 GB of disk:

    python -m tests.bench.bench_ingestion [--rows 10000000] [--repeat 3] [--place FOLDER]

Each way runs in a process of its own and writes all unique rows, in the order first seen, into one
file; the ways take turns. Only ours checks the rows. What it writes is compared, byte for byte,
with what a set of raw lines gives (the sample rows are canonical as they stand). Then a file of
10,000 rows is added to what is there, and all is built again, both in one process; and the last
table shows how time and memory grow with rows and with files.
"""

import argparse
import filecmp
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter

from pipeline.core.config import Config, load_config
from tests.bench.measuring import PROJECT, machine, run, table
from tests.bench.processes import Cost
from tests.support.stagecalls import ingest

FILES = 20
REPEATED = 20  # every so many-th row is the one before
ADDED = 10_000
CURVE = (10_000, 100_000, 1_000_000, 10_000_000)
FILE_COUNTS = (1, 100, 10_000)

PLAIN, RAW = "frame grown in a loop", "Python set of raw lines, unchecked"
# what each other way does with the files of argv[1] to make argv[2]
WAYS = {
    PLAIN: """
import pandas as pd
frame = pd.DataFrame()
for path in paths:
    frame = pd.concat([frame, pd.read_csv(path)], ignore_index=True).drop_duplicates()
frame.to_csv(made, index=False)
""",
    "pandas, all files at once": """
import pandas as pd
frame = pd.concat([pd.read_csv(path) for path in paths], ignore_index=True)
frame.drop_duplicates().to_csv(made, index=False)
""",
    RAW: """
seen = set()
with open(made, "wb") as out:
    for i, path in enumerate(paths):
        with open(path, "rb") as file:
            header = file.readline()
            if not i:
                out.write(header)
            for line in file:
                if line not in seen:
                    seen.add(line)
                    out.write(line)
""",
    "polars": """
import polars as pl
frame = pl.concat([pl.read_csv(path) for path in paths])
frame.unique(maintain_order=True).write_csv(made)
""",
    "pyarrow": """
import pyarrow as pa, pyarrow.csv as csv
table = pa.concat_tables([csv.read_csv(path) for path in paths])
names = table.column_names
table = table.append_column("place", pa.array(range(len(table))))
first = table.group_by(names).aggregate([("place", "min")]).sort_by("place_min")
csv.write_csv(first.select(names), made)
""",
}
_GIVEN = """
import sys
from pathlib import Path
paths, made = sorted(Path(sys.argv[1]).glob("*.csv")), sys.argv[2]
"""


def sample(folder: Path, name: str, *words: str) -> Path:
    """Write a file of sample rows."""
    command = [sys.executable, "-m", "pipeline.sample_data", *words, "--folder", str(folder)]
    command += ["--output", name]
    subprocess.run(command, cwd=PROJECT, check=True, stdout=subprocess.DEVNULL)
    return folder / name


def client_files(folder: Path, rows: int, files: int) -> None:
    """Spread so many sample rows, some of them twice, over so many files."""
    folder.mkdir(parents=True)
    made = sample(folder.parent, "all.csv", "--rows", str(rows))
    with made.open("rb") as source:
        header, before = source.readline(), b""
        for i in range(files):
            part = rows // files + (i < rows % files)
            with (folder / f"part{i:05d}.csv").open("wb") as file:
                file.write(header)
                for n, line in enumerate(islice(source, part)):
                    file.write(before if n % REPEATED == 1 else line)
                    before = line
    made.unlink()


def config_of(place: Path, source: Path) -> Config:
    """A project whose input is that folder, with nothing ingested yet."""
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    result = json.loads((PROJECT / "config.json").read_text())
    result["input_folder_path"] = str(source)
    (place / "config.json").write_text(json.dumps(result))
    return load_config(place / "config.json")


def ours(place: Path, source: Path) -> Cost:
    """`ingestion.py` from nothing on, as cron or a person would run it."""
    return run("ingestion.py", "--config", str(config_of(place, source).path))


def against_others(place: Path, source: Path, repeat: int) -> list[list[str]]:
    """The lines of the table of all ways; checks that ours wrote what it should."""
    made = place / "made.csv"
    ways: dict[str, Callable[[], Cost]] = {
        "ingestion.py, checked": lambda: ours(place / "ours", source)
    }
    missing = [name for name in ("polars", "pyarrow") if not find_spec(name)]
    for name, program in WAYS.items():
        if name not in missing:
            words = ("-c", _GIVEN + program, str(source), str(made))
            ways[name] = lambda words=words: run(*words)
    taken: dict[str, list[Cost]] = {name: [] for name in ways}
    for _ in range(repeat):
        for name, way in ways.items():
            taken[name].append(way())
            if name == RAW and not filecmp.cmp(
                made, place / "ours/ingesteddata/finaldata.csv", shallow=False
            ):
                raise SystemExit("finaldata.csv is not what a set of raw lines gives")
    seconds = {name: median(run.wall for run in runs) for name, runs in taken.items()}
    lines = [
        [
            name,
            f"{seconds[name]:.1f}",
            f"{median(run.cpu for run in runs):.1f}",
            f"{median(run.peak for run in runs):,.0f}",
            f"{seconds[PLAIN] / seconds[name]:.1f}",
        ]
        for name, runs in taken.items()
    ]
    return [*lines, *([f"{name} (not installed)", "", "", "", ""] for name in missing)]


def adding(config: Config, repeat: int) -> list[list[str]]:
    """The lines of the table of one file more, and of building all again."""
    added = []
    for i in range(repeat):
        words = ["--rows", str(ADDED), "--seed", str(i + 1)]
        sample(config.input_folder_path, f"more{i}.csv", *words)
        started = perf_counter()
        ingest(config)
        added.append(perf_counter() - started)
    started = perf_counter()
    ingest(config, rebuild=True)
    rebuilt = perf_counter() - started
    return [
        [f"one file of {ADDED:,} rows more", f"{median(added):.3f}", ""],
        ["ingestion.py --rebuild", f"{rebuilt:.3f}", f"{rebuilt / median(added):.0f}"],
    ]


def curve(place: Path, most: int) -> Iterator[list[str]]:
    """The lines of the table of how it grows: with rows in files of the same number, and files."""
    nothing = run("-c", "import numpy, xxhash").peak
    sizes = [(rows, FILES) for rows in CURVE if rows <= most]
    sizes += [(min(most, 1_000_000), files) for files in FILE_COUNTS]
    for rows, files in sizes:
        source = place / "curve"
        client_files(source, rows, files)
        done = ours(place / "ours", source)
        shutil.rmtree(source)
        yield [
            f"{rows:,} rows in {files:,} files",
            f"{done.wall:.2f}",
            f"{done.cpu:.2f}",
            f"{done.peak:,.0f}",
            f"{(done.peak - nothing) * 2**20 / rows:,.0f}",
        ]


def main(argv: Sequence[str] | None = None) -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument(
        "--place", type=Path, help="where the files go (default: a temporary folder)"
    )
    args = parser.parse_args(argv)
    with TemporaryDirectory(dir=args.place) as folder:
        place = Path(folder)
        source = place / "source"
        client_files(source, args.rows, FILES)
        header = [f"{args.rows:,} rows", "seconds", "of processor", "peak MiB", "times as fast"]
        print(table(header, against_others(place, source, args.repeat)), end="\n\n")
        config = load_config(place / "ours/config.json")
        header = [f"in process, {args.rows:,} rows", "seconds", "times as long"]
        print(table(header, adding(config, args.repeat)), end="\n\n")
        shutil.rmtree(source)
        header = ["cold", "seconds", "of processor", "peak MiB", "bytes a row above start"]
        print(table(header, list(curve(place, args.rows))), end="\n\n")
        print(machine())


if __name__ == "__main__":
    main()
