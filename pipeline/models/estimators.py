"""The two kinds of model, unfitted and fitted, and their predictions: scikit-learn pipelines.

A DataFrame of the feature columns goes in, 0 or 1 comes out. The pipeline itself deals with missing
numbers, missing categories and categories it has never seen.
"""

from typing import Any, Protocol

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

from pipeline.core.schema import Schema
from pipeline.core.threads import one_thread, threads_for
from pipeline.models.manifest import BOOSTING

MAX_CATEGORIES = 254  # of a column in boosting, which treats the rarest beyond as one
BLOCK_ROWS = 16  # a multiple of the rows that BLAS takes at a time


class Model(Protocol):
    """A fitted binary classifier, as scikit-learn makes them."""

    feature_names_in_: Any

    def predict(self, frame: pd.DataFrame) -> np.ndarray:
        """The class of each row, 0 or 1: shape (rows,)."""

    def predict_proba(self, frame: pd.DataFrame) -> np.ndarray:
        """The probability of each class: shape (rows, 2), of the outcome 1 last."""


def untrained_model(kind: str, schema: Schema, seed: int = 0) -> Pipeline:
    """The pipeline of a kind, `logistic` or `boosting`, before it is fitted."""
    return _boosting(schema, seed) if kind == BOOSTING else _logistic(schema)


def fit_model(kind: str, frame: pd.DataFrame, schema: Schema, seed: int = 0) -> Pipeline:
    """Fit a kind of model on rows that all have a known outcome, both outcomes among them."""
    model = untrained_model(kind, schema, seed)
    features = frame[list(schema.features)]
    outcomes = frame[schema.outcome].to_numpy().astype("int64")
    if kind == BOOSTING:
        # boosting fails on a column without any value, and learns nothing from a constant
        empty = [column for column in schema.numeric if features[column].isna().all()]
        with threads_for(len(frame)):
            model.fit(features.fillna(dict.fromkeys(empty, 0.0)), outcomes)
        _strip(model["boosting"])
        return model
    with one_thread():
        model.fit(features, outcomes)
    return model


def _logistic(schema: Schema) -> Pipeline:
    """Logistic regression on scaled numbers, missing ones at the median, and one-hot categories.

    Scaling lets Newton's method converge in a few steps whatever the units; the penalty (C=100) is
    there only so that the fit exists where the classes can be separated. Source of the method: Cox,
    The Regression Analysis of Binary Sequences, J. Royal Statistical Society B 20(2), 1958.
    """
    numbers = [
        ("impute", SimpleImputer(strategy="median", keep_empty_features=True)),
        ("scale", StandardScaler()),
    ]
    encode = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    logistic = LogisticRegression(C=100, solver="newton-cholesky", tol=1e-8, max_iter=1000)
    columns = _columns(schema, Pipeline(numbers), encode)
    return Pipeline([("columns", columns), ("logistic", logistic)])


def _boosting(schema: Schema, seed: int) -> Pipeline:
    """Histogram gradient boosting, whose trees handle missing and unknown values themselves.

    200 small trees of up to 15 leaves, learning rate 0.05. No early stopping, which would hold out
    rows regardless of their clients. Sources of the method: Friedman, Greedy
    Function Approximation, Annals of Statistics 29(5), 2001; Ke and others, LightGBM, NIPS 2017.
    """
    encode = OrdinalEncoder(
        handle_unknown="use_encoded_value", unknown_value=np.nan, max_categories=MAX_CATEGORIES
    )
    boosting = HistGradientBoostingClassifier(
        learning_rate=0.05,
        max_iter=200,
        max_leaf_nodes=15,
        categorical_features=[*range(len(schema.categorical))] or None,
        early_stopping=False,
        random_state=seed,
    )
    # "passthrough" becomes a FunctionTransformer, which may hold any function: not to be unpickled
    unchanged = StandardScaler(with_mean=False, with_std=False)
    columns = _columns(schema, unchanged, encode)
    columns.transformers.reverse()  # categories first, the order that the booster uses internally
    return Pipeline([("columns", columns), ("boosting", boosting)])


def _columns(
    schema: Schema, numbers: Pipeline | StandardScaler, encode: OneHotEncoder | OrdinalEncoder
) -> ColumnTransformer:
    impute = SimpleImputer(strategy="constant", fill_value="")
    parts = [("numbers", numbers, list(schema.numeric))] if schema.numeric else []
    if schema.categorical:
        categories = Pipeline([("impute", impute), ("encode", encode)])
        parts.append(("categories", categories, list(schema.categorical)))
    return ColumnTransformer(parts)


def _strip(boosting: HistGradientBoostingClassifier) -> None:
    """Remove what a fitted booster needs only for fitting, and its second encoding of categories.

    The encoding maps the codes 0, 1, … to themselves, yet takes several times as long as the trees
    do for one row. Without these parts a pickle names no function and no random generator.
    """
    encoded = boosting._preprocessor
    if encoded is not None:
        for codes in encoded.named_transformers_["encoder"].categories_:
            if not np.array_equal(codes, np.arange(len(codes))):
                raise ValueError(f"codes that are not in order: {codes}")
    boosting._preprocessor = None
    boosting._bin_mapper.n_threads = 1  # depends on the machine, and only fitting uses it
    boosting._feature_subsample_rng = None
    boosting._label_encoder = None


def risk_of(model: Model, frame: pd.DataFrame) -> np.ndarray:
    """The probability of leaving for each row: shape (rows,), float64 from 0 to 1."""
    if frame.empty:
        return np.empty(0)
    with threads_for(len(frame)):
        risk: np.ndarray = model.predict_proba(_padded(model, frame))[: len(frame), 1]
    return risk


def predictions_of(model: Model, frame: pd.DataFrame) -> np.ndarray:
    """The predicted outcome of each row: shape (rows,), 0 or 1."""
    if frame.empty:
        return np.empty(0, dtype="int64")
    with threads_for(len(frame)):
        return model.predict(_padded(model, frame))[: len(frame)]


def _padded(model: Model, frame: pd.DataFrame) -> pd.DataFrame:
    """The features of the rows, the last one repeated until their number is a whole block.

    BLAS rounds the rows left over from its blocks differently from those within. Padding makes a
    client's risk the same to the last bit, whichever other rows are predicted with it.
    """
    rows = frame[list(model.feature_names_in_)]
    missing = -len(rows) % BLOCK_ROWS
    if not missing:
        return rows
    return rows.take(np.minimum(np.arange(len(rows) + missing), len(rows) - 1))
