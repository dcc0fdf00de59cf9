"""Fit the model on all labelled rows of finaldata.csv.

A logistic regression on scaled numbers (missing ones at the median) and one-hot categories, in one
pickled scikit-learn pipeline. It goes to output_model_path as trainedmodel.pkl, beside a
manifest.json that says what it is made of and from. The same data give the same bytes.
"""

import argparse
import logging
from collections.abc import Sequence
from time import perf_counter

import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from pipeline import cli
from pipeline.config import Config
from pipeline.errors import ModelError
from pipeline.history import History, record_timing
from pipeline.ledger import last_file
from pipeline.master import read_master
from pipeline.models import Model, TrainedModel, save_model
from pipeline.schema import DEFAULT_SCHEMA, Schema

log = logging.getLogger("training")


def train_model(frame: pd.DataFrame, schema: Schema = DEFAULT_SCHEMA) -> Model:
    """Fit a model on the labelled rows of a frame with the schema's columns.

    Rows whose outcome is NaN are left out. Raises `ModelError` unless both outcomes occur.
    """
    labelled = frame[frame[schema.outcome].notna()]
    outcomes = labelled[schema.outcome].astype("int64")
    if outcomes.nunique() < 2:
        found = (
            f"only clients with {schema.outcome} = {outcomes.iloc[0]}" if len(outcomes) else "none"
        )
        raise ModelError(
            f"training needs clients who left and clients who stayed; among the"
            f" {len(labelled):,} rows with a known outcome there are {found}"
        )
    model: Model = untrained_model(schema).fit(labelled[list(schema.features)], outcomes)
    return model


def untrained_model(schema: Schema) -> Pipeline:
    """The pipeline to fit: a DataFrame of the feature columns goes in, 0 or 1 comes out.

    Scaling lets Newton's method converge in a few steps whatever the units; the penalty (C=100) is
    there only so that the fit exists where the classes can be separated.
    """
    numbers = Pipeline(
        [
            ("impute", SimpleImputer(strategy="median", keep_empty_features=True)),
            ("scale", StandardScaler()),
        ]
    )
    categories = Pipeline(
        [
            ("impute", SimpleImputer(strategy="constant", fill_value="")),
            ("encode", OneHotEncoder(handle_unknown="ignore", sparse_output=False)),
        ]
    )
    columns = [("numbers", numbers, list(schema.numeric))] if schema.numeric else []
    if schema.categorical:
        columns.append(("categories", categories, list(schema.categorical)))
    return Pipeline(
        [
            ("columns", ColumnTransformer(columns)),
            (
                "logistic",
                LogisticRegression(C=100, solver="newton-cholesky", tol=1e-8, max_iter=1000),
            ),
        ]
    )


def train(config: Config) -> TrainedModel:
    """Fit on finaldata.csv and save the model; raises `ModelError` if that cannot be done."""
    started = perf_counter()
    with History(config.history_path) as history:
        frame = read_master(config, history)
        model = train_model(frame, config.schema)
        labelled = frame[frame[config.schema.outcome].notna()]
        trained = save_model(
            model,
            config.output_model_path,
            frame=labelled,
            last_file=last_file(history),
            schema=config.schema,
        )
        seconds = perf_counter() - started
        record_timing(history, "training", seconds, len(labelled))
    log.info("trained on %s labelled rows in %.2f s", f"{len(labelled):,}", seconds)
    return trained


def command(config: Config, _: argparse.Namespace) -> None:
    """Train, and tell what came of it."""
    rows = train(config).manifest.rows
    print(f"{config.shown(config.trainedmodel_path)}: trained on {rows:,} labelled rows")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the stage from the command line."""
    return cli.run_alone("training", command, cli.stage_parser(__doc__).parse_args(argv))


if __name__ == "__main__":
    raise SystemExit(main())
