"""How good the models are on clients they have not seen, by 5-fold cross-validation.

Run it from the project's folder, with the public tables beside it in `../shared/data/public`, or
with a folder that holds them:

    python -m tests.bench.bench_models [--tables FOLDER] [--seed 0]

Each line is `training.fit` on four fifths of the clients, calibration, threshold and choice of
model included, asked about the other fifth, five times over; all predictions are scored together.
In the telecom table many clients are identical in all features; these are in one fold. The bank's
clients are also cut to 3 % who leave, by five draws of these; figures are means over the draws.
Beside ours stands scikit-learn's logistic regression as it comes, scaled, one-hot.
"""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from pipeline.core.policy import Policy
from pipeline.core.schema import DEFAULT_SCHEMA, Schema
from pipeline.models.cross_validation import TrainingData, folds_of
from pipeline.models.estimators import predictions_of, risk_of
from pipeline.models.training import fit
from pipeline.monitoring.metrics import (
    calibration_bins,
    calibration_error,
    score_predictions,
    top_lift,
)
from pipeline.sample_data import SEED, clients
from tests.bench.measuring import machine, table

FEW_LEAVERS = 0.03  # the share of those who leave in the bank's clients that are cut
DRAWS = 5
SCORES = ("AUC", "lift", "ECE", "Brier", "log loss", "F1")
TABLES = Path(__file__).resolve().parents[3] / "shared/data/public"
BANK = Schema(
    "CustomerId",
    "Exited",
    (
        *("CreditScore", "Age", "Tenure", "Balance", "NumOfProducts"),
        *("HasCrCard", "IsActiveMember", "EstimatedSalary"),
    ),
    ("Geography", "Gender"),
)
TELECOM = Schema(
    "client",
    "churn",
    (
        *("call_failure", "complains", "subscription_length", "charge_amount", "seconds_of_use"),
        *("frequency_of_use", "frequency_of_sms", "distinct_called_numbers", "age_group"),
        *("tariff_plan", "status", "age", "customer_value"),
    ),
)


@dataclass(frozen=True)
class Said:
    """What a model said of rows it has not seen: two arrays of shape (rows,)."""

    predicted: np.ndarray
    risk: np.ndarray


Ask = Callable[[pd.DataFrame, pd.DataFrame], Said]  # fit on the first, ask about the second


def ours(policy: Policy, schema: Schema, kinds: list[str]) -> Ask:
    """Our training; notes the kind it chose."""

    def ask(known: pd.DataFrame, held_out: pd.DataFrame) -> Said:
        fitted = fit(TrainingData(known, known, schema), policy)
        kinds.append(f"{fitted.recipe.kind}, {fitted.recipe.calibration}")
        return Said(predictions_of(fitted.model, held_out), risk_of(fitted.model, held_out))

    return ask


def plain(schema: Schema) -> Ask:
    """Logistic regression as one writes it down."""

    def ask(known: pd.DataFrame, held_out: pd.DataFrame) -> Said:
        features = list(schema.features)
        columns = make_column_transformer(
            (make_pipeline(SimpleImputer(), StandardScaler()), list(schema.numeric)),
            (OneHotEncoder(handle_unknown="ignore"), list(schema.categorical)),
        )
        model = make_pipeline(columns, LogisticRegression(max_iter=1000))
        model.fit(known[features], known[schema.outcome])
        risk = model.predict_proba(held_out[features])[:, 1]
        return Said((risk > 0.5).astype("int64"), risk)

    return ask


def scored(frame: pd.DataFrame, schema: Schema, ask: Ask, seed: int) -> dict[str, float]:
    """The `SCORES` of all out-of-fold predictions together."""
    folds = folds_of(frame, schema, seed)
    if folds is None:
        raise SystemExit("too few clients of one outcome")
    predicted, risk = np.empty(len(frame), dtype="int64"), np.empty(len(frame))
    for number in np.unique(folds.fold):
        held_out = folds.fold == number
        said = ask(frame[~held_out], frame[held_out])
        predicted[held_out], risk[held_out] = said.predicted, said.risk
    scores = score_predictions(folds.outcomes, predicted, risk)
    error = calibration_error(calibration_bins(folds.outcomes, risk))
    lift, f1 = top_lift(folds.outcomes, risk), scores.f1 or 0.0
    found = (scores.roc_auc, lift, error, scores.brier, scores.log_loss, f1)
    return dict(zip(SCORES, found, strict=True))


def line_of(
    name: str, frames: Sequence[pd.DataFrame], schema: Schema, ask: Ask, seed: int
) -> list[str]:
    """One line of the table, with the means over some frames of clients."""
    found = pd.DataFrame([scored(frame, schema, ask, seed) for frame in frames]).mean()
    return [name, *(f"{score:.3f}" for score in found)]


def lines_of(frames: Sequence[pd.DataFrame], schema: Schema, seed: int) -> list[list[str]]:
    """The lines of one table of clients, or of some draws of it."""
    first, *rest = line_of(
        "scikit-learn's logistic regression", frames, schema, plain(schema), seed
    )
    lines = [[first, "", *rest]]
    for model, threshold in (
        ("logistic", 0.5),
        ("logistic", "f1"),
        ("boosting", 0.5),
        ("boosting", "f1"),
        ("auto", "f1"),
    ):
        kinds: list[str] = []
        policy = Policy(model=model, threshold=threshold, seed=seed)
        name = f"{model}, threshold {threshold}"
        first, *rest = line_of(name, frames, schema, ours(policy, schema, kinds), seed)
        chosen = max(set(kinds), key=kinds.count)
        lines.append([first, f"{chosen} ({kinds.count(chosen)} of {len(kinds)})", *rest])
    return lines


def cut(frame: pd.DataFrame, schema: Schema, seed: int) -> pd.DataFrame:
    """The clients who stayed, and so many of the others that `FEW_LEAVERS` of all left."""
    left = frame[schema.outcome] == 1
    count = round((~left).sum() * FEW_LEAVERS / (1 - FEW_LEAVERS))
    drawn = np.random.default_rng(seed).choice(np.flatnonzero(left), count, replace=False)
    return frame.iloc[np.sort(np.concatenate([np.flatnonzero(~left), drawn]))]


def read_tables(folder: Path) -> dict[str, tuple[pd.DataFrame, Schema]]:
    """The tables by name, labelled rows only, and the sample data."""
    bank = pd.read_csv(folder / "bank_10000.csv", dtype={BANK.client: "str"})
    bank = bank[bank["Exited"].isin([0, 1])]
    telecom = pd.read_csv(folder / "telecom_3150.csv")
    alike = telecom.groupby(list(TELECOM.features), sort=False).ngroup()
    telecom["client"] = alike.astype("str")
    sample = clients(10_000, SEED).astype(dict.fromkeys(DEFAULT_SCHEMA.features, "float64"))
    sample["exited"] = sample["exited"].astype("float64")
    return {
        f"bank, {len(bank):,} rows": (bank, BANK),
        f"telecom, {len(telecom):,} rows": (telecom, TELECOM),
        f"sample data, {len(sample):,} rows": (sample, DEFAULT_SCHEMA),
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tables", type=Path, default=TABLES, metavar="FOLDER")
    parser.add_argument("--seed", type=int, default=0, metavar="N")
    args = parser.parse_args(argv)
    print(machine())
    tables = {name: ([frame], of) for name, (frame, of) in read_tables(args.tables).items()}
    (bank,), _ = next(iter(tables.values()))
    few = [cut(bank, BANK, args.seed + draw) for draw in range(DRAWS)]
    tables[f"bank, {FEW_LEAVERS:.0%} of {len(few[0]):,} rows left"] = few, BANK
    lines = [
        [name, *line]
        for name, (frames, schema) in tables.items()
        for line in lines_of(frames, schema, args.seed)
    ]
    header = ["table", "model", "chosen, calibration", *SCORES]
    print(table(header, lines))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
