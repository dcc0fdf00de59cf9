"""How long training takes, against its parts alone, and how much memory.

Run it from the project's folder:

    python -m tests.bench.bench_training [--rows 10000 100000 1000000] [--repeat 7]

The first table is of the last number of rows, each line a median of turns taken one after the
other; the second has a process of its own for each number. The third is of choosing and fitting on
10,000 rows with a category of 3 or 5,000 words, which ought to take at most three times as long.
"""

from collections.abc import Sequence
from functools import partial
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
from scipy.special import expit

from pipeline.core.config import Config
from pipeline.core.policy import Policy
from pipeline.core.schema import Schema
from pipeline.models.cross_validation import TrainingData
from pipeline.models.estimators import untrained_model
from pipeline.models.manifest import AUTO, LOGISTIC
from pipeline.models.training import fit
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
        "fit": lambda: untrained_model("logistic", frame, schema).fit(features, outcomes),
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


def categories(repeat: int) -> str:
    """The table of seconds by kind of model and number of words."""
    random, schema = np.random.default_rng(0), Schema("client", "left", ("use",), ("word",))
    use = random.normal(size=10_000)
    columns = {"client": np.arange(10_000).astype("str"), "use": use}
    columns["left"] = (random.random(10_000) < expit(use - 1)).astype("float64")
    questions = {}
    for kind, words in product((LOGISTIC, AUTO), (3, 5_000)):
        word = pd.Series(random.integers(words, size=10_000).astype("str"), dtype="str")
        frame = pd.DataFrame({**columns, "word": word})
        data, policy = TrainingData(frame, frame, schema), Policy(model=kind)
        questions[f"{kind}, {words:,} words"] = partial(fit, data, policy)
    lines = [
        [name, f"{clock:.3f}", f"{processor:.3f}"]
        for name, (clock, processor) in interleaved(questions, repeat).items()
    ]
    return table(["choose and fit", "seconds", "of processor"], lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print the tables."""
    parser = parser_for(__doc__, repeat=7)
    parser.add_argument("--rows", type=int, nargs="+", default=ROWS, metavar="N")
    args = parser.parse_args(argv)
    with TemporaryDirectory(prefix="training-") as folder:
        configs = {rows: world(Path(folder) / str(rows), rows) for rows in args.rows}
        print(compared(configs[args.rows[-1]], args.repeat), "", curve(configs), sep="\n")
    print("", categories(args.repeat), "", machine(), sep="\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
