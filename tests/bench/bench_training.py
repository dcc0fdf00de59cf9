"""How long training takes, against its parts alone, and how much memory.

Run it from the project's folder:

    python -m tests.bench.bench_training [--rows 10000 100000 1000000] [--repeat 7]

The first table is of the last number of rows, each line a median of turns taken one after the
other; the second has a process of its own for each number.
"""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd

from pipeline.core.config import Config
from pipeline.models.estimators import untrained_model
from tests.bench.measuring import interleaved, machine, parser_for, peak_of, table, world
from tests.support.stagecalls import train

ROWS = (10_000, 100_000, 1_000_000)
READ = "read, pandas C engine"


def compared(config: Config, repeat: int) -> str:
    """The table of training and what it cannot do without."""
    path, schema = config.finaldata_path, config.schema
    columns = [*schema.numeric, schema.outcome]
    frame = pd.read_csv(path, usecols=columns)
    features, outcomes = frame[list(schema.features)], frame[schema.outcome]
    questions = {
        "train(): read, fit, check, save": lambda: train(config),
        READ: lambda: pd.read_csv(path, usecols=columns),
        "fit": lambda: untrained_model("logistic", schema).fit(features, outcomes),
    }
    found = interleaved(questions, repeat)
    lines = [
        [name, f"{clock:.3f}", f"{processor:.3f}", f"{clock / found[READ][0]:.2f}"]
        for name, (clock, processor) in found.items()
    ]
    return table([f"{len(frame):,} rows", "seconds", "of processor", "times the read"], lines)


def curve(configs: dict[int, Config]) -> str:
    """The table of seconds and memory by rows, each in a process of its own."""
    lines = []
    for rows, config in configs.items():
        taken = [
            peak_of(
                config,
                imports="from tests.support.stagecalls import train",
                before="",
                work="train(config)",
            )
            for _ in range(3)
        ]
        first, peak, seconds = sorted(taken, key=lambda taken: taken[2])[1]
        lines.append(
            [
                *(f"{rows:,}", f"{seconds:.3f}", f"{1e6 * seconds / rows:.2f}"),
                *(f"{first:.0f}", f"{peak:.0f}"),
            ]
        )
    header = ["rows", "seconds, first in its process", "µs a row", "MiB before", "MiB at most"]
    return table(header, lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print the tables."""
    parser = parser_for(__doc__, repeat=7)
    parser.add_argument("--rows", type=int, nargs="+", default=ROWS, metavar="N")
    args = parser.parse_args(argv)
    with TemporaryDirectory(prefix="training-") as folder:
        configs = {rows: world(Path(folder) / str(rows), rows) for rows in args.rows}
        print(compared(configs[args.rows[-1]], args.repeat), "", curve(configs), sep="\n")
    print("", machine(), sep="\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
