"""What an empty tick costs, as whole processes, beside a bare Python and beside the plain way.

Runs the chain on the sample data in a temporary place, brings its folder, ledger and history to
each size, and prints the medians of runs taken in turn, A B C A B C. Run it from the project's
folder:

    python -m tests.bench.bench_tick [--repeat 21]
"""

import argparse
import json
import logging
import os
import platform
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from pipeline import ledger
from pipeline.config import load_config
from pipeline.files import sha256_of
from pipeline.history import History
from pipeline.inbox import list_input
from pipeline.ledger import TakenFile
from tests.bench import measure
from tests.bench.bench_history import PROJECT, fill, first_world
from tests.bench.measure import Cost

# files in folder and ledger, and runs on record
SIZES = (
    *((1, 1), (100, 1), (1_000, 1), (10_000, 1)),
    *((1, 1_000), (1, 100_000)),
    *((100, 100_000), (10_000, 100_000)),
)
SMALL, LARGE = SIZES[1], SIZES[-1]

# As it is often written: all imports first, then a look at the folder and at the list of names.
PLAIN = "the plain way"
PLAIN_WAY = """
import ast, json, os, sys
import flask, pandas, seaborn, sklearn.linear_model, sklearn.metrics
with open(sys.argv[1]) as file:
    config = json.load(file)
os.chdir(os.path.dirname(sys.argv[1]))
with open(os.path.join(config["prod_deployment_path"], "ingestedfiles.txt")) as file:
    known = ast.literal_eval(file.read())
assert [name for name in os.listdir(config["input_folder_path"]) if name not in set(known)] == []
"""


def grow(config_path: Path, files: int, runs: int) -> None:
    """Bring a world after its first run to so many files in folder and ledger, and so many runs."""
    config = load_config(config_path)
    with History(config.history_path) as history:
        fill(history, runs)
        known = {file.name for file in list_input(config.input_folder_path)}
        for name in sorted(known)[files:]:
            (config.input_folder_path / name).unlink()
            history.query("DELETE FROM files WHERE name = ?", name)
        for i in range(len(known), files):
            (config.input_folder_path / f"clients-{i:05d}.csv").write_text(f"{i}\n")
        taken = [
            TakenFile(file.name, file.size, file.mtime_ns, sha256_of(file.path), None)
            for file in list_input(config.input_folder_path)
            if file.name not in known
        ]
        ledger.record_files(history, taken, *ledger.master_size(history))
        with history.transaction():
            pending = ledger.unreported(history)
            ledger.mark_judged(history, pending)
            ledger.mark_reported(history, pending)
        names = config.prod_deployment_path / "ingestedfiles.txt"  # for the plain way
        names.write_text(ledger.ingestedfiles_text(history), encoding="utf-8")


def commands(place: Path) -> dict[str, list[str]]:
    """What is measured, by its name; makes the worlds for it below a folder."""
    first = place / "first"
    first.mkdir()
    first_world(first)
    configs = {}
    for size in SIZES:
        world = place / "-".join(map(str, size))
        shutil.copytree(first, world, symlinks=True)
        configs[size] = world / "config.json"
        grow(configs[size], *size)
    python = sys.executable
    ours = [python, str(PROJECT / "fullprocess.py"), "--config"]
    return {
        "python -c pass": [python, "-c", "pass"],
        'python -c "import json, sqlite3"': [python, "-c", "import json, sqlite3"],
        **{f"empty tick, {_told(size)}": [*ours, str(configs[size])] for size in SIZES},
        **{f"--status, {_told(s)}": [*ours, str(configs[s]), "--status"] for s in (SMALL, LARGE)},
        f"{PLAIN}, {_told(LARGE)}": [python, "-c", PLAIN_WAY, str(configs[LARGE])],
    }


def _told(size: tuple[int, int]) -> str:
    return "{:,} {}, {:,} {}".format(
        *(size[0], "file" if size[0] == 1 else "files"),
        *(size[1], "run" if size[1] == 1 else "runs"),
    )


def measured(asked: dict[str, list[str]], repeat: int) -> dict[str, Cost]:
    """The median costs of each command, taken in turn by a small process of its own."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(
        [sys.executable, measure.__file__],
        input=json.dumps([list(asked.values()), repeat]),
        env=environment,  # compiled modules are kept, as they are for cron's runs
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return {
        name: Cost(*(median(values) for values in zip(*costs, strict=True)))
        for name, costs in zip(asked, json.loads(done.stdout), strict=True)
    }


def table(costs: dict[str, Cost]) -> list[str]:
    """The costs in lines, with how many times the CPU of the first one they are."""
    bare = next(iter(costs.values()))
    width = max(map(len, costs))
    lines = [
        f"| {'median of whole processes':<{width}} | CPU ms | wall ms | times bare | peak MiB |",
        f"| {'-' * width} | -----: | ------: | ---------: | -------: |",
    ]
    for name, taken in costs.items():
        lines.append(
            f"| {name:<{width}} | {taken.cpu * 1e3:6.1f} | {taken.wall * 1e3:7.1f} |"
            f" {taken.cpu / bare.cpu:10.2f} | {taken.peak:8.1f} |"
        )
    return lines


def machine() -> str:
    """What it was measured on."""
    told = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    model = next((line.partition(": ")[2] for line in told if line.startswith("model name")), "")
    return (
        f"{model or platform.processor()}, {os.cpu_count()} cores, {platform.platform()},"
        f" Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}"
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeat", type=int, default=21, metavar="N")
    args = parser.parse_args(argv)
    logging.disable(logging.INFO)
    with TemporaryDirectory(prefix="tick-") as folder:
        asked = commands(Path(folder))
        plain = {name: asked.pop(name) for name in list(asked) if name.startswith(PLAIN)}
        # apart, for it leaves cold caches to whoever comes next
        costs = measured(asked, args.repeat) | measured(plain, min(args.repeat, 5))
    print(f"{machine()}; {args.repeat} runs each\n")
    print("\n".join(table(costs)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
