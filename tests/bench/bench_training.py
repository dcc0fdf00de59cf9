"""How long training takes, against its parts alone and other solvers, and how much memory.

Run it from the project's folder:

    python -m tests.bench.bench_training [--rows 10000 100000 1000000] [--repeat 7]

The first table is of the last number of rows, each line a median of turns taken one after the
other. `Newton, numpy` is six plain steps on the scaled matrix; with one read of the number and
outcome columns it is what training is measured by.
"""

import argparse
import logging
import warnings
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from pipeline.core.config import Config
from pipeline.models.estimators import untrained_model
from tests.bench.measuring import interleaved, machine, peak_of, table, world
from tests.support.stagecalls import train

ROWS = (10_000, 100_000, 1_000_000)
READ, NEWTON, BOTH = "read, pandas C engine", "Newton, numpy", "that read and that Newton"


def six_steps(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Six steps of Newton's method, as one writes them down."""
    rows = np.column_stack([x, np.ones(len(x))])
    penalties = np.array([0.01] * x.shape[1] + [0])
    weights = np.zeros(rows.shape[1])
    for _ in range(6):
        risk = 1 / (1 + np.exp(-(rows @ weights)))
        gradient = rows.T @ (risk - y) + penalties * weights
        hessian = (rows * (risk * (1 - risk))[:, None]).T @ rows + np.diag(penalties)
        weights = weights - np.linalg.solve(hessian, gradient)
    return weights


def compared(config: Config, repeat: int) -> str:
    """The table of training and the alternatives to it."""
    path, schema = config.finaldata_path, config.schema
    columns = [*schema.numeric, schema.outcome]
    frame = pd.read_csv(path, usecols=columns)
    features, outcomes = frame[list(schema.features)], frame[schema.outcome]
    scaled = untrained_model("logistic", schema)["columns"].fit_transform(features)
    raw = features.fillna(features.median()).to_numpy()
    cholesky = LogisticRegression(C=100, solver="newton-cholesky", tol=1e-8)

    def read() -> object:
        return pd.read_csv(path, usecols=columns)

    questions = {
        "train(): read, fit, check, save": lambda: train(config),
        READ: read,
        NEWTON: lambda: six_steps(scaled, outcomes.to_numpy()),
        BOTH: lambda: (read(), six_steps(scaled, outcomes.to_numpy())),
        "newton-cholesky, scaled": lambda: cholesky.fit(scaled, outcomes),
        "lbfgs as it comes, scaled": lambda: LogisticRegression().fit(scaled, outcomes),
        "liblinear, raw": lambda: LogisticRegression(solver="liblinear").fit(raw, outcomes),
        "the whole pipeline's own fit": lambda: untrained_model("logistic", schema).fit(
            features, outcomes
        ),
    }
    if find_spec("pyarrow"):
        questions["read, pyarrow"] = lambda: pd.read_csv(path, usecols=columns, engine="pyarrow")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        found = interleaved(questions, repeat)
    lines = [
        [name, f"{clock:.3f}", f"{processor:.3f}", f"{clock / found[BOTH][0]:.2f}"]
        for name, (clock, processor) in found.items()
    ]
    if not find_spec("pyarrow"):
        lines.append(["read, pyarrow (not installed)", "", "", ""])
    header = [f"{len(frame):,} rows", "seconds", "of processor", f"times {BOTH}"]
    return table(header, lines)


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
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, nargs="+", default=ROWS, metavar="N")
    parser.add_argument("--repeat", type=int, default=7, metavar="N")
    args = parser.parse_args(argv)
    logging.disable(logging.INFO)
    with TemporaryDirectory(prefix="training-") as folder:
        configs = {rows: world(Path(folder) / str(rows), rows) for rows in args.rows}
        print(compared(configs[args.rows[-1]], args.repeat), "", curve(configs), sep="\n")
    print("", machine(), sep="\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
