"""What runs with something to do cost beyond their fits, beside `import pandas, sklearn`.

Whole processes on copies of a world of the sample data, in turn with the import: the first run, one
that judges a batch of 300 rows without drift, and one whose challenger loses. Each process times
its fits itself. Run it from the project's folder:

    python -m tests.bench.bench_runs [--repeat 5]
"""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from pipeline import sample_data
from pipeline.storage.database import History
from tests.bench.measuring import (
    PROJECT,
    costs_of,
    first_world,
    machine,
    medians,
    parser_for,
    table,
)
from tests.bench.processes import Cost

IMPORT = "import pandas, sklearn"
ROWS = 300  # of a batch
# what a run may cost beyond its fits, in CPU of the import; what it decides
BOUNDS = {"the first run": 2.2, "a batch without drift": 1.8, "a challenger that loses": 2.2}
DECISIONS = ("nothing deployed", None), ("no drift", None), ("no drift", "lost")

# The chain, with the CPU of its fits written into a file: of all that chooses and fits a model,
# candidates and their scores out of fold among it.
TIMED = """
import json, runpy, sys
from pathlib import Path
from time import process_time
from pipeline.models import training
taken, plain = 0.0, training.fit
def timed(*args, **kwargs):
    global taken
    begun = process_time()
    try:
        return plain(*args, **kwargs)
    finally:
        taken += process_time() - begun
training.fit = timed
target, *sys.argv = sys.argv[1:]
try:
    runpy.run_path(sys.argv[0], run_name="__main__")
finally:
    Path(target).write_text(json.dumps(taken))
"""


def worlds(place: Path) -> dict[str, Path]:
    """The folders that are copied for each run, by what is measured."""
    fresh, judging, challenging = (place / name for name in ("fresh", "judging", "challenging"))
    for name in ("sourcedata", "testdata"):
        shutil.copytree(PROJECT / name, fresh / name)
    shutil.copy(PROJECT / "config.json", fresh)
    judging.mkdir()
    first_world(judging)
    batch = sample_data.clients(ROWS, sample_data.SEED, sample_data.STABLE)
    sample_data.write(judging / "sourcedata/new.csv", [batch])
    shutil.copytree(judging, challenging, symlinks=True)
    config = challenging / "config.json"
    settings = {**json.loads(config.read_text()), "retrain_on": "new_data", "gate": "better"}
    config.write_text(json.dumps(settings))
    return dict(zip(BOUNDS, (fresh, judging, challenging), strict=True))


def measured(world: Path, decision: tuple[str, str | None]) -> Cost:
    """The cost of a run on a copy of a world, its CPU without that of its fits.

    Raises `AssertionError` if it decides otherwise.
    """
    with TemporaryDirectory(prefix="runs-") as folder:
        copy, fits = Path(folder, "world"), Path(folder, "fits.json")
        shutil.copytree(world, copy, symlinks=True)
        words = ["-c", TIMED, str(fits), "fullprocess.py", "--config", str(copy / "config.json")]
        cost = costs_of([words], 1)[0][0]
        with History(copy / "history.db") as history:
            found = history.tuples("SELECT verdict, challenge FROM decisions ORDER BY id")[-1]
        assert found == decision, found
        return cost._replace(cpu=cost.cpu - json.loads(fits.read_text()))


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print the table; returns 1 where a bound does not hold."""
    args = parser_for(__doc__, repeat=5).parse_args(argv)
    costs: dict[str, list[Cost]] = {name: [] for name in (IMPORT, *BOUNDS)}
    with TemporaryDirectory(prefix="runs-") as folder:
        asked = worlds(Path(folder))
        for _ in range(args.repeat + 1):
            costs[IMPORT] += costs_of([["-c", IMPORT]], 1)[0]
            for (name, world), decision in zip(asked.items(), DECISIONS, strict=True):
                costs[name].append(measured(world, decision))
    found = {name: medians(each[1:]) for name, each in costs.items()}
    times = {name: cost.cpu / found[IMPORT].cpu for name, cost in found.items()}
    rows = [
        [name, *(f"{n:.2f}" for n in (cost.cpu, cost.wall, times[name], BOUNDS.get(name, 1)))]
        for name, cost in found.items()
    ]
    header = ["without fits", "CPU s", "wall s", "times the import", "bound"]
    print(table(header, rows))
    print(f"\n{machine()}; {args.repeat} runs each")
    return int(any(times[name] > bound for name, bound in BOUNDS.items()))


if __name__ == "__main__":
    raise SystemExit(main())
