"""What an empty tick costs, as whole processes, beside a bare Python and beside the plain way.

Runs the chain on the sample data in a temporary place, brings its folder, ledger and history to
each size, and prints the medians of runs taken in turn, A B C A B C. Run it from the project's
folder:

    python -m tests.bench.bench_tick [--repeat 21]
"""

import argparse
import logging
import shutil
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from pipeline.core.config import load_config
from pipeline.core.files import sha256_of
from pipeline.data.input_files import list_input
from pipeline.data.loader import TakenFile
from pipeline.storage import ledger
from pipeline.storage.database import History
from tests.bench.bench_history import PROJECT, fill, first_world
from tests.bench.measuring import costs_of, machine, medians, table
from tests.bench.processes import Cost

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
        ledger.record_files(history, taken, ledger.master_state(history))
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
    ours = [str(PROJECT / "fullprocess.py"), "--config"]
    return {
        "python -c pass": ["-c", "pass"],
        'python -c "import json, sqlite3"': ["-c", "import json, sqlite3"],
        **{f"empty tick, {_told(size)}": [*ours, str(configs[size])] for size in SIZES},
        **{f"--status, {_told(s)}": [*ours, str(configs[s]), "--status"] for s in (SMALL, LARGE)},
        f"{PLAIN}, {_told(LARGE)}": ["-c", PLAIN_WAY, str(configs[LARGE])],
    }


def _told(size: tuple[int, int]) -> str:
    return "{:,} {}, {:,} {}".format(
        *(size[0], "file" if size[0] == 1 else "files"),
        *(size[1], "run" if size[1] == 1 else "runs"),
    )


def lines(costs: dict[str, Cost]) -> list[list[str]]:
    """The lines of the table, with how many times the CPU of the first one they are."""
    bare = next(iter(costs.values()))
    return [
        [
            name,
            f"{taken.cpu * 1e3:.1f}",
            f"{taken.wall * 1e3:.1f}",
            f"{taken.cpu / bare.cpu:.2f}",
            f"{taken.peak:.1f}",
        ]
        for name, taken in costs.items()
    ]


def measured(asked: dict[str, list[str]], repeat: int) -> dict[str, Cost]:
    """The median costs of each command, taken in turn; a first round does not count."""
    costs = costs_of(list(asked.values()), repeat + 1)
    return {name: medians(taken[1:]) for name, taken in zip(asked, costs, strict=True)}


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
    header = ["median of whole processes", "CPU ms", "wall ms", "times bare", "peak MiB"]
    print(table(header, lines(costs)))
    print(f"\n{machine()}; {args.repeat} runs each")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
