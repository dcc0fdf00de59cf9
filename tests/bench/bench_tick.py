"""What an empty tick costs, as whole processes, beside a bare Python and beside the plain way.

Runs the chain on the sample data in a temporary place, brings its folder, ledger and history to
each size, and prints the medians of runs taken in turn, A B C A B C. Run it from the project's
folder:

    python -m tests.bench.bench_tick [--repeat 21]
"""

import shutil
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from pipeline.core.config import Config, load_config
from pipeline.core.files import sha256_of
from pipeline.data.input_files import list_input
from pipeline.data.loader import TakenFile
from pipeline.storage import ledger
from pipeline.storage.database import History
from tests.bench.history import fill
from tests.bench.measuring import costs_of, first_world, machine, medians, parser_for, table

# files in folder and ledger, and runs on record
SIZES = ((1, 1), (100, 1), (1_000, 1), (10_000, 1), (1, 100_000), (10_000, 100_000))
SMALL, LARGE = SIZES[1], SIZES[-1]
MAX_TIMES_BARE = 8  # what a small one may cost, in CPU of a bare Python
BARE = "python -c pass"

# As it is often written: all imports first, then a look at the folder and at the list of names.
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


def grow(config: Config, files: int, runs: int) -> None:
    """Bring a world after its first run to so many files in folder and ledger, and so many runs."""
    with History(config.history_path) as history:
        fill(history, runs)
        known = {file.name for file in list_input(config.input_folder_path)}
        for name in sorted(known)[files:]:
            (config.input_folder_path / name).unlink()
            history.query("DELETE FROM files WHERE name = ?", name)
        for i in range(len(known), files):
            (config.input_folder_path / f"clients-{i:05d}.csv").write_text(f"{i}\n")
        found = [file for file in list_input(config.input_folder_path) if file.name not in known]
        taken = [
            TakenFile(
                *(number, file.name, file.size, file.mtime_ns, sha256_of(file.path), None),
                ctime_ns=file.ctime_ns,
            )
            for number, file in enumerate(found, start=ledger.last_file(history) + 1)
        ]
        ledger.record_files(history, taken, ledger.master_state(history))
        with history.transaction():
            pending = ledger.unreported(history)
            ledger.mark(history, pending, "judged")
            ledger.mark(history, pending, "reported")
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
        grow(load_config(configs[size]), *size)
    ours = ["fullprocess.py", "--config"]
    return {
        BARE: ["-c", "pass"],
        **{f"empty tick, {_format(size)}": [*ours, str(configs[size])] for size in SIZES},
        f"--status, {_format(LARGE)}": [*ours, str(configs[LARGE]), "--status"],
        f"the plain way, {_format(LARGE)}": ["-c", PLAIN_WAY, str(configs[LARGE])],
    }


def _format(size: tuple[int, int]) -> str:
    return "{:,} files, {:,} runs".format(*size)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print the table; returns 1 where a tick costs more than it may."""
    args = parser_for(__doc__, repeat=21).parse_args(argv)
    with TemporaryDirectory(prefix="tick-") as folder:
        asked = commands(Path(folder))
        costs = costs_of(list(asked.values()), args.repeat + 1)
    found = {name: medians(taken[1:]) for name, taken in zip(asked, costs, strict=True)}
    times = {name: cost.cpu / found[BARE].cpu for name, cost in found.items()}
    lines = [
        [name, *(f"{n:.1f}" for n in (1e3 * cost.cpu, 1e3 * cost.wall, times[name], cost.peak))]
        for name, cost in found.items()
    ]
    header = ["median of whole processes", "CPU ms", "wall ms", "times bare", "peak MiB"]
    print(table(header, lines))
    print(f"\n{machine()}; {args.repeat} runs each")
    return int(times[f"empty tick, {_format(SMALL)}"] > MAX_TIMES_BARE)


if __name__ == "__main__":
    raise SystemExit(main())
