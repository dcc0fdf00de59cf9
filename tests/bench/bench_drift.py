"""How often the drift tests are wrong, and how often they find a change, by simulation.

Run it from the project's folder; it takes half an hour of one core, and prints the same for the
same seed:

    python -m tests.bench.bench_drift [--seed 1]

The scores are those of a model whose F1 is 0.71: a quarter of the clients leave, of whom it finds
64 %, and 80 % of those it names do leave. Every batch, and test data of 2,000 rows, are drawn anew
each time, a row a client. Earlier scores are the deployed one and those of batches as large as the
new one, unless said otherwise. Where the F1 has fallen, errors of both kinds have grown by the same
factor. A batch that a test finds too small counts as no alarm.

The input is two columns of numbers, one of categories, and the risk, beside 5,000 rows of training
data; where it changes, one column of numbers does.
"""

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
from scipy.special import expit

from pipeline.core.schema import Schema
from pipeline.data.reference import reference_of
from pipeline.monitoring import score_drift
from pipeline.monitoring.bootstrap import f1_of
from pipeline.monitoring.decisions import Verdict
from pipeline.monitoring.input_drift import MIN_PSI, binned, compare_input, quantile_edges
from pipeline.monitoring.metrics import Tested
from pipeline.monitoring.score_drift import Evidence
from tests.bench.measuring import table

SIZES = (25, 100, 1_000, 10_000)
INPUT_SIZES = (25, 50, 500, 10_000)
RARE_SIZES = (1_000, 3_000, 10_000)
RARE_BATCHES = 500  # a figure, whose standard error is 2.3 points at most
TEST_ROWS = 2_000
LARGE = 1_000  # rows of earlier batches where they are of another size
BLOCK, STANDARD_ERROR = 250, 0.01
SPREAD, AT_3, AT_6 = 1.2, -4.1, -3.35  # log-odds by which 3 and 6 % leave
RARE = (  # what happens, the log-odds of leaving, what the model's own count for
    ("nothing has changed", AT_3, 1.0),
    ("twice as many leave, by season", AT_6, 1.0),
    ("half as many leave, by season", 2 * AT_3 - AT_6, 1.0),
    ("the AUC has fallen from 0.80 to 0.74", AT_3, 0.75),
    ("the AUC has fallen from 0.80 to 0.66", AT_3, 0.5),
)
MISSED = {"0.71": 0.36, "0.6": 0.48, "0.5": 0.581}  # F1 -> the share of leavers it misses
SCHEMA = Schema("client", "left", ("changes", "stays"), ("kind",))

Draw = Callable[[np.random.Generator], Mapping[str, bool]]


def rates(draw: Draw, random: np.random.Generator, most: int) -> dict[str, float]:
    """How often each thing is true, until every standard error is below a point or after most."""
    seen: list[list[bool]] = []
    names: list[str] = []
    while True:
        for _ in range(BLOCK):
            result = draw(random)
            names = list(result)
            seen.append(list(result.values()))
        true, count = np.sum(seen, axis=0), len(seen)
        share = (true + 1) / (count + 2)  # none of 250 is not never
        if count >= most or (np.sqrt(share * (1 - share) / count) < STANDARD_ERROR).all():
            return dict(zip(names, true / count, strict=True))


def confusions(
    random: np.random.Generator, rows: int, missed: float, leave: float, batches: int = 1
) -> np.ndarray:
    """Counts of rows by outcome and prediction: shape (batches, 2, 2).

    Of each 9 leavers missed, 4 others are named though they stay.
    """
    unseen = missed * leave
    wrong = unseen * 4 / 9
    shares = [1 - leave - wrong, wrong, unseen, leave - unseen]
    return random.multinomial(rows, shares, size=batches).reshape(-1, 2, 2)


def predictions(counts: np.ndarray) -> Tested:
    """Rows with these counts, each of a client of its own; their risks tell no more."""
    outcomes, predicted = np.divmod(np.repeat(np.arange(4), counts.ravel()), 2)
    clients = np.arange(len(outcomes))
    return Tested(outcomes, predicted, clients, risk=0.1 + 0.8 * predicted)


def evidence(
    random: np.random.Generator, rows: int, missed: float, leave: float, earlier: int
) -> Evidence:
    """A new batch, test data, and the F1 of so many earlier batches as large as the new one."""
    before = MISSED["0.71"]
    new = confusions(random, rows, missed, leave)[0]
    test = confusions(random, TEST_ROWS, before, leave)[0]
    deployed = float(f1_of(test))
    batches = f1_of(confusions(random, rows, before, leave, earlier)).tolist()
    return Evidence(
        new=predictions(new),
        new_f1=float(f1_of(new)) if new[1].any() or new[:, 1].any() else None,
        deployed_f1=deployed,
        earlier=[deployed, *batches],
        test=predictions(test),
        before=predictions(test),
    )


def alarms(random: np.random.Generator, rows: int, missed: float) -> dict[str, bool]:
    """Which tests take a new batch for drift."""
    found = evidence(random, rows, missed, 0.25, 19)
    large = f1_of(confusions(random, LARGE, MISSED["0.71"], 0.25, 19)).tolist()
    mixed = replace(found, earlier=[found.deployed_f1, *large])
    said = {"raw": score_drift.raw(found)}
    for name, test in (
        ("parametric", score_drift.parametric),
        ("nonparametric", score_drift.nonparametric),
    ):
        said |= {
            f"{name}, {n} earlier": test(replace(found, earlier=found.earlier[:n])) for n in (5, 20)
        }
        said[f"{name}, 20 of {LARGE:,} rows"] = test(mixed)
    said["bootstrap"] = score_drift.bootstrap(found, int(random.integers(2**32)))
    silent = said["bootstrap"].verdict == Verdict.NO_EVIDENCE
    return {name: verdict.verdict == Verdict.DRIFT for name, verdict in said.items()} | {
        "bootstrap: not enough evidence": silent
    }


def ranked(random: np.random.Generator, rows: int, left: float, slope: float) -> Tested:
    """Rows of a model whose log-odds have a standard deviation of 1.2: its AUC is 0.80.

    `left` shifts the log-odds by which clients leave, of which the model knows nothing; `slope`
    multiplies its own: with 1 they are right. Those at a risk of 0.08 and more, 8 % of them, are
    named, which gives about the highest F1.
    """
    odds = random.normal(scale=SPREAD, size=rows)
    outcomes = (random.random(rows) < expit(slope * odds + left)).astype("int64")
    risk = expit(odds + AT_3)
    return Tested(outcomes, (risk > 0.08).astype("int64"), np.arange(rows), risk=risk)


def rare_alarms(
    random: np.random.Generator, rows: int, now: float, slope: float
) -> dict[str, bool]:
    """Which tests take a batch for drift where 3 % left before, and others or more leave now."""
    new = ranked(random, rows, now, slope)
    test = ranked(random, TEST_ROWS * 2, AT_3, 1.0)
    batches = [ranked(random, rows, AT_3, 1.0).scores.f1 for _ in range(19)]
    earlier = [f1 for f1 in (test.scores.f1, *batches) if f1 is not None]
    found = Evidence(new, new.scores.f1, earlier[0], earlier, test, test)
    said = score_drift.check_scores(found, int(random.integers(2**32)))
    return {one.test: one.verdict == Verdict.DRIFT for one in said}


def training_rows(random: np.random.Generator, rows: int) -> pd.DataFrame:
    """Rows of the simulated input."""
    return pd.DataFrame(
        {
            "changes": random.normal(size=rows),
            "stays": random.exponential(size=rows),
            "kind": random.choice(list("abcdef"), size=rows, p=[0.4, 0.25, 0.15, 0.1, 0.07, 0.03]),
        }
    )


def usual_psi(before: np.ndarray, now: np.ndarray) -> float:
    """PSI as it is usually taken: ten bins, an empty one given a share of 0.0001."""
    edges = quantile_edges(before, 10)
    shares = [np.maximum(binned(v, edges) / len(v), 1e-4) for v in (before, now)]
    return float(((shares[1] - shares[0]) * np.log(shares[1] / shares[0])).sum())


def input_alarms(
    random: np.random.Generator, rows: int, shift: float, spread: float
) -> dict[str, bool]:
    """What takes a new batch for drift, whose column that changes is shifted and spread."""
    training, new = training_rows(random, 5_000), training_rows(random, rows)
    new["changes"] = shift + spread * new["changes"]
    risk, risk_before = random.beta(1, 3, size=rows), random.beta(1, 3, size=5_000)
    reference = reference_of(training, risk_before, SCHEMA, seed=0)
    found = compare_input(reference, new, risk, SCHEMA)
    one, before = found[0], np.array(reference.numbers["changes"].sample)
    assert one.psi is not None
    assert one.psi_limit is not None
    assert one.p_value is not None
    return {
        "PSI of ten bins above 0.1": usual_psi(before, new["changes"].to_numpy()) > MIN_PSI,
        "PSI above our limit": one.psi > one.psi_limit,
        "Kolmogorov-Smirnov, corrected p below 0.05": one.p_value <= 0.05,
        "our verdict on the column": one.verdict == Verdict.DRIFT,
        "our verdict on any of the four": any(other.verdict == Verdict.DRIFT for other in found),
    }


def percentages(
    title: str,
    columns: Mapping[str, Draw],
    seed: Sequence[int],
    first: str = "",
    most: int = 2_500,
) -> str:
    """A table: a column for each draw, a line for each of what it tells."""
    found = [
        rates(draw, np.random.default_rng([*seed, i]), most)
        for i, draw in enumerate(columns.values())
    ]
    lines = [[name, *(f"{100 * one[name]:.0f}" for one in found)] for name in found[0]]
    return f"{title}\n\n{table([first, *columns], lines)}\n"


def main(argv: Sequence[str] | None = None) -> int:
    """Simulate and print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seed", type=int, default=1)
    seed = parser.parse_args(argv).seed
    titles = ("Nothing has changed: false alarms", "F1 has fallen to 0.6", "F1 has fallen to 0.5")
    for i, (title, missed) in enumerate(zip(titles, MISSED.values(), strict=True)):
        draws: dict[str, Draw] = {
            f"{n:,} rows": partial(alarms, rows=n, missed=missed) for n in SIZES
        }
        print(percentages(f"{title}, percent of batches", draws, (seed, i), "test"), flush=True)
    changes = {
        "Input unchanged: false alarms": (0.0, 1.0),
        "A column shifted by half a standard deviation": (0.5, 1.0),
        "A column spread by half as much again": (0.0, 1.5),
    }
    for i, (title, (shift, spread)) in enumerate(changes.items()):
        draws = {
            f"{n:,} rows": partial(input_alarms, rows=n, shift=shift, spread=spread)
            for n in INPUT_SIZES
        }
        print(percentages(f"{title}, percent of batches", draws, (seed, 4 + i)), flush=True)
    for i, (title, now, slope) in enumerate(RARE):
        draws = {
            f"{n:,} rows": partial(rare_alarms, rows=n, now=now, slope=slope) for n in RARE_SIZES
        }
        title = f"3 % left before, {title}: percent of batches"
        print(percentages(title, draws, (seed, 9 + i), "test", RARE_BATCHES), flush=True)
    print(
        "Simulated until the standard error of each figure was below one percent point:"
        f" {BLOCK:,} to 2,500 batches each ({RARE_BATCHES} where 3 % left), test data and earlier"
        f" batches drawn anew, seed {seed}."
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
