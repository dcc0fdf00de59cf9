"""How long ingestion takes and how much memory, against other ways to drop identical rows.

Run it from the project's folder; ten million rows take some minutes and 2 GB of disk:

    python -m tests.bench.bench_ingestion [--rows 10000000] [--repeat 3] [--place FOLDER]

Each way runs in a process of its own and writes all unique rows, in the order first seen, into one
file; the ways take turns. Only ours checks the rows. What it writes is compared, byte for byte,
with what a set of raw lines gives (the sample rows are canonical as they stand). Then a file of
10,000 rows is added to what is there, and all is built again.
"""

import argparse
import filecmp
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from pipeline.core.config import Config, load_config
from tests.bench.measuring import PROJECT, machine, run, table
from tests.bench.processes import Cost

FILES = 20
REPEATED = 20  # every so many-th row is the one before
ADDED = "10000"

OURS, RAW = "ingestion.py, every row checked", "Python set of raw lines, unchecked"
# what each other way does with the files of argv[1] to make argv[2]
WAYS = {
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


def compared(place: Path, source: Path, repeat: int) -> Iterator[tuple[str, ...]]:
    """The lines of the table of all ways, and of adding a file; checks that ours wrote the same."""
    made, config = place / "made.csv", str(place / "ours/config.json")
    ways: dict[str, Callable[[], Cost]] = {OURS: lambda: ours(place / "ours", source)}
    for name, program in WAYS.items():
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
    more, again = f"one file of {ADDED} rows more", "ingestion.py --rebuild of all"
    taken |= {more: [], again: []}
    for i in range(repeat):
        sample(source, f"more{i}.csv", "--rows", ADDED, "--seed", str(i + 1))
        taken[more].append(run("ingestion.py", "--config", config))
    taken[again].append(run("ingestion.py", "--config", config, "--rebuild", "--yes"))
    for name, runs in taken.items():
        wall, cpu = median(run.wall for run in runs), median(run.cpu for run in runs)
        yield name, f"{wall:.2f}", f"{cpu:.2f}", f"{median(run.peak for run in runs):,.0f}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument(
        "--place", type=Path, help="where the files go (default: a temporary folder)"
    )
    args = parser.parse_args()
    with TemporaryDirectory(dir=args.place) as folder:
        place = Path(folder)
        source = place / "source"
        client_files(source, args.rows, FILES)
        columns = ("seconds", "of processor", "peak MiB")
        lines = [*compared(place, source, args.repeat)]
        print(table((f"{args.rows:,} rows", *columns), lines), end="\n\n")
        print(machine())


if __name__ == "__main__":
    main()
