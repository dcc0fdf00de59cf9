"""The two kinds of model, unfitted and fitted: a pickled scikit-learn pipeline each.

A DataFrame of the feature columns goes in, 0 or 1 comes out. Missing numbers, missing categories
and ones never seen before are the pipeline's own business.
"""

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
from pipeline.models.recipe import BOOSTING

MOST_CATEGORIES = 254  # of a column, that boosting tells apart; the rarest beyond are one


def untrained_model(kind: str, schema: Schema, seed: int = 0) -> Pipeline:
    """The pipeline of a kind, `logistic` or `boosting`, before it is fitted."""
    return _boosting(schema, seed) if kind == BOOSTING else _logistic(schema)


def fit_model(kind: str, frame: pd.DataFrame, schema: Schema, seed: int = 0) -> Pipeline:
    """Fit a kind of model on rows that all have a known outcome, both outcomes among them."""
    model = untrained_model(kind, schema, seed)
    features = frame[list(schema.features)]
    outcomes = frame[schema.outcome].to_numpy().astype("int64")
    if kind == BOOSTING:
        # it fails on a column without any value, and has nothing to learn from one
        empty = [column for column in schema.numeric if features[column].isna().all()]
        with threads_for(len(frame)):
            model.fit(features.fillna(dict.fromkeys(empty, 0.0)), outcomes)
        _lighten(model["boosting"])
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
    """Histogram gradient boosting, whose trees take missing and unknown values as they are.

    Small trees, slowly: 200 of up to 15 leaves at a rate of 0.05. No early stopping, which would
    set rows aside without a look at whose they are. Sources of the method: Friedman, Greedy
    Function Approximation, Annals of Statistics 29(5), 2001; Ke and others, LightGBM, NIPS 2017.
    """
    encode = OrdinalEncoder(
        handle_unknown="use_encoded_value", unknown_value=np.nan, max_categories=MOST_CATEGORIES
    )
    boosting = HistGradientBoostingClassifier(
        learning_rate=0.05,
        max_iter=200,
        max_leaf_nodes=15,
        categorical_features=[*range(len(schema.categorical))] or None,
        early_stopping=False,
        random_state=seed,
    )
    # numbers as they are: "passthrough" would leave them to an estimator that holds any function
    as_they_are = StandardScaler(with_mean=False, with_std=False)
    columns = _columns(schema, as_they_are, encode)
    columns.transformers.reverse()  # categories first, where the booster has them within
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


def _lighten(boosting: HistGradientBoostingClassifier) -> None:
    """Take away what a fitted booster needs no more.

    It encodes categories a second time, and moves them to the front, where they are: what comes
    out is what went in, after several times as long as the trees take for one row. Without that
    and what only fitting asks for, a pickle of it names no function and no generator of numbers.
    """
    encoded = boosting._preprocessor
    if encoded is not None:
        for codes in encoded.named_transformers_["encoder"].categories_:
            if not np.array_equal(codes, np.arange(len(codes))):
                raise ValueError(f"codes that are not in order: {codes}")
    boosting._preprocessor = None
    boosting._bin_mapper.n_threads = 1  # of use in fitting only, and other on another machine
    boosting._feature_subsample_rng = None
    boosting._label_encoder = None
