"""Fit the model on all labelled rows of finaldata.csv.

A logistic regression on scaled numbers (missing ones at the median) and one-hot categories, in one
pickled scikit-learn pipeline. It goes to output_model_path as trainedmodel.pkl, beside a
manifest.json that says what it is made of and from. The same data give the same bytes.
"""

import argparse
import logging
from collections.abc import Sequence
from time import perf_counter

import numpy as np
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
from pipeline.newton import newton
from pipeline.schema import DEFAULT_SCHEMA, Schema

log = logging.getLogger("training")

SAMPLE = 20_000  # rows that a fit of many more begins with


def train_model(frame: pd.DataFrame, schema: Schema = DEFAULT_SCHEMA) -> Model:
    """Fit a model on the labelled rows of a frame with the schema's columns.

    Rows whose outcome is NaN are left out. Raises `ModelError` unless both outcomes occur.
    """
    labelled = labelled_rows(frame, schema)
    outcomes = labelled[schema.outcome].to_numpy().astype("int64")
    if not 0 < outcomes.sum() < len(outcomes):
        found = f"only clients with {schema.outcome} = {outcomes[0]}" if len(outcomes) else "none"
        raise ModelError(
            f"training needs clients who left and clients who stayed; among the"
            f" {len(labelled):,} rows with a known outcome there are {found}"
        )
    model = untrained_model(schema)
    rows = _fit_columns(model["columns"], labelled[list(schema.features)], schema)
    _fit_logistic(model["logistic"], rows, outcomes)
    fitted: Model = model
    return fitted


def labelled_rows(frame: pd.DataFrame, schema: Schema) -> pd.DataFrame:
    """The rows whose outcome is known; the frame itself if it has no others."""
    known = frame[schema.outcome].notna()
    return frame if known.all() else frame[known]


def _fit_columns(columns: ColumnTransformer, features: pd.DataFrame, schema: Schema) -> np.ndarray:
    """Fit the scaling and encoding of columns; returns what it makes of all rows.

    The same as `fit_transform`, which takes several times as long over the medians of many rows.
    """
    columns.fit(_summary(features, schema))
    parts = []
    if schema.numeric:
        numbers = columns.named_transformers_["numbers"]
        filled = numbers["impute"].transform(features[list(schema.numeric)])
        parts.append(numbers["scale"].fit_transform(filled))
    if schema.categorical:
        categories = columns.named_transformers_["categories"]
        parts.append(categories.transform(features[list(schema.categorical)]))
    return parts[0] if len(parts) == 1 else np.hstack(parts)


def _summary(features: pd.DataFrame, schema: Schema) -> pd.DataFrame:
    """A few rows with the medians and the categories of all of them."""
    medians = features[list(schema.numeric)].median()
    categories = {column: features[column].unique() for column in schema.categorical}
    count = max([1, *map(len, categories.values())])
    return pd.DataFrame(
        {column: np.full(count, medians[column]) for column in schema.numeric}
        | {
            column: pd.Series(values[np.arange(count) % len(values)], dtype=features[column].dtype)
            for column, values in categories.items()
        }
    )


def _fit_logistic(logistic: LogisticRegression, rows: np.ndarray, outcomes: np.ndarray) -> None:
    """Fit on a sample of the rows, and from there on all of them.

    The same as `fit`, which goes through all rows for every step from nothing on, and does not
    learn more by it.
    """
    every = max(1, len(rows) // SAMPLE)
    # of both outcomes, however rare one is
    sample = np.concatenate([np.flatnonzero(outcomes == outcome)[::every] for outcome in (0, 1)])
    sample.sort()
    logistic.fit(rows[sample], outcomes[sample])
    if every == 1:
        return
    found = np.append(logistic.coef_[0], logistic.intercept_)
    for start in (found, np.zeros_like(found)):  # a rare category may lead a sample astray
        minimum = newton(rows, outcomes, start, penalty=1 / logistic.C, tol=logistic.tol)
        if minimum:
            logistic.coef_ = minimum.weights[None, :-1]
            logistic.intercept_ = minimum.weights[-1:]
            logistic.n_iter_[:] = minimum.looks
            return
    logistic.fit(rows, outcomes)


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
        columns = (*config.schema.features, config.schema.outcome)
        labelled = labelled_rows(read_master(config, history, columns), config.schema)
        model = train_model(labelled, config.schema)
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
