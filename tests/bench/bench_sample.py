"""What a sample of the rows costs a model: its AUC after learning from one, beside all rows.

Run it from the project's folder; it takes some minutes and 4 GB of memory:

    python -m tests.bench.bench_sample [--rows 3000000] [--samples 100000 1000000]

As many samples of each size as the rows hold are learned from, each apart, by both kinds of model;
all models are asked about the same other million clients. The spread is a standard deviation.
"""

import argparse
from statistics import mean, stdev

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

from pipeline import sample_data
from pipeline.core.policy import Policy
from pipeline.core.schema import DEFAULT_SCHEMA
from pipeline.models.cross_validation import TrainingData, subsample
from pipeline.models.estimators import risk_of
from pipeline.models.training import fit
from tests.bench.measuring import machine, table

TESTED = 1_000_000


def auc(rows: pd.DataFrame, tested: pd.DataFrame, policy: Policy) -> float:
    """How well a model ranks the tested rows that has learned from others."""
    data = TrainingData(rows, subsample(rows, DEFAULT_SCHEMA), DEFAULT_SCHEMA)
    risk = risk_of(fit(data, policy).model, tested)
    return float(roc_auc_score(tested[DEFAULT_SCHEMA.outcome], risk))


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=3_000_000)
    parser.add_argument("--samples", type=int, nargs="+", default=[100_000, 1_000_000])
    args = parser.parse_args()
    every = pd.concat(sample_data.bulk(args.rows + TESTED, sample_data.SEED), ignore_index=True)
    every = every.astype({DEFAULT_SCHEMA.outcome: "float64"})
    rows, tested = every[: args.rows], every[args.rows :]
    lines = []
    for kind in ("logistic", "boosting"):
        policy = Policy(model=kind, threshold=0.5)
        whole = auc(rows, tested, policy)
        for size in args.samples:
            parts = np.split(np.arange(args.rows), range(size, args.rows, size))
            found = [auc(rows.iloc[part], tested, policy) for part in parts if len(part) == size]
            spread = f"{stdev(found):.5f}" if len(found) > 1 else "-"
            shown = f"{mean(found):.5f}", spread, f"{whole:.5f}", f"{whole - min(found):.5f}"
            lines.append((kind, f"{size:,}", f"{len(found)}", *shown))
    header = ("model", "rows", "samples", "AUC", "spread", f"all {args.rows:,}", "most lost")
    print(machine())
    print(table(header, lines))


if __name__ == "__main__":
    main()
