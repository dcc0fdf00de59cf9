"""The two kinds of model, unfitted and fitted, and their predictions: scikit-learn pipelines.

A DataFrame of the feature columns goes in, 0 or 1 comes out. The pipeline itself deals with missing
numbers, missing categories, rare categories and those it has never seen, and placeholders such as
9999999999999. It names scikit-learn's classes and numpy's functions only.
"""

from typing import Any, Protocol

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    OneHotEncoder,
    OrdinalEncoder,
    StandardScaler,
)

from pipeline.core.errors import ModelError
from pipeline.core.limits import one_thread, threads_for
from pipeline.core.policy import MIN_ROWS
from pipeline.core.schema import Schema
from pipeline.models.manifest import BOOSTING, BOOSTING_7

LEAVES = {BOOSTING_7: 7, BOOSTING: 15}  # of a tree at most

FEW = 20  # rows that have something in common: fewer show nothing of it
MAX_WORDS = 60  # categories of a column that a logistic model tells apart: the rarest are one
MAX_CATEGORIES = 254  # the same in boosting
FAR = 30  # interquartile ranges from the median: what lies further is no real value
EVENTS = 10  # of the rarer outcome, for each slope of its own that a gap gives a number
MAX_SLOPES = 100  # altogether: each is a column
BLOCK_ROWS = 16  # a multiple of the rows that BLAS takes at a time


class Model(Protocol):
    """A fitted binary classifier, as scikit-learn makes them."""

    feature_names_in_: Any

    def predict(self, frame: pd.DataFrame) -> np.ndarray:
        """The class of each row, 0 or 1: shape (rows,)."""

    def predict_proba(self, frame: pd.DataFrame) -> np.ndarray:
        """The probability of each class: shape (rows, 2), of the outcome 1 last."""


def untrained_model(kind: str, frame: pd.DataFrame, schema: Schema, seed: int = 0) -> Pipeline:
    """The pipeline of a kind, such as `logistic`, for these rows, before it is fitted."""
    return _boosting(schema, LEAVES[kind], seed) if kind in LEAVES else _logistic(frame, schema)


def fit_model(kind: str, frame: pd.DataFrame, schema: Schema, seed: int = 0) -> Pipeline:
    """Fit a kind of model on rows that all have a known outcome, both outcomes among them."""
    model, features = untrained_model(kind, frame, schema, seed), frame[list(schema.features)]
    outcomes = frame[schema.outcome].to_numpy().astype("int64")
    if kind not in LEAVES:
        with one_thread():
            return model.fit(features, outcomes)
    # boosting fails on a column without any value, and learns nothing from a constant
    empty = [column for column in schema.numeric if features[column].isna().all()]
    with threads_for(len(frame)):
        model.fit(features.fillna(dict.fromkeys(empty, 0.0)), outcomes)
    _strip(model["boosting"])
    return model


def limits_of(values: pd.Series) -> tuple[float, float]:
    """The lowest and the highest number that count as they are; others count as the nearer one.

    On a side where some of these values, of the training, are far beyond the rest, which they would
    outweigh, the limit is the last of the rest. Where none is, it is as far beyond the last as the
    whole range is wide, or nowhere, as few rows do not tell the range. Quartiles are of the
    different values, each once: so a placeholder may stand in most rows, and a number other than
    nought in few. Source of the rule: Tukey, Exploratory Data Analysis, 1977, with 30 interquartile
    ranges in place of 3, since real tails are long.
    """
    known = np.unique(values.dropna())
    if not len(known):
        return -np.inf, np.inf
    lower, middle, upper = np.quantile(known, [0.25, 0.5, 0.75], method="lower")
    near = np.abs(known - middle) <= FAR * (upper - lower)
    rest = known[near] if upper > lower else known  # of one or two values none is far
    lowest, highest = float(rest[0]), float(rest[-1])
    further = highest - lowest if len(values) >= MIN_ROWS else np.inf
    return (
        lowest if known[0] < lowest else lowest - further,
        highest if known[-1] > highest else highest + further,
    )


def _logistic(frame: pd.DataFrame, schema: Schema) -> Pipeline:
    """Logistic regression on scaled numbers and one-hot categories.

    Numbers are within limits, missing ones at the median; rare categories are one. A number that is
    missing in some rows has a column that says so; where enough of them left and stayed, all other
    numbers have slopes of their own there: without last month's activity, last year's means another
    thing. Sources: the missing-indicator method, Jones, J. American Statistical Association
    91(433), 1996, with interactions; ten events for each, Peduzzi and others, J. Clinical
    Epidemiology 49(12), 1996.

    Scaling lets Newton's method converge in a few steps whatever the units; the penalty (C=100) is
    there only so that the fit exists where the classes can be separated. Source of the method: Cox,
    The Regression Analysis of Binary Sequences, J. Royal Statistical Society B 20(2), 1958.
    """
    lowest, highest = np.array([limits_of(frame[name]) for name in schema.numeric]).reshape(-1, 2).T
    numbers = [
        ("impute", SimpleImputer(strategy="median", keep_empty_features=True)),
        ("clip", FunctionTransformer(np.clip, kw_args={"a_min": lowest, "a_max": highest})),
        ("scale", StandardScaler()),
    ]
    encode = OneHotEncoder(
        handle_unknown="infrequent_if_exist",
        min_frequency=FEW,
        max_categories=MAX_WORDS,
        sparse_output=False,
    )
    columns = _columns(schema, Pipeline(numbers), encode)
    unknown, pairs = _gaps(frame, schema)
    if unknown:
        columns.transformers.insert(1, ("unknown", MissingIndicator(features="all"), unknown))
    logistic = LogisticRegression(C=100, solver="newton-cholesky", tol=1e-8, max_iter=1000)
    steps = [("columns", columns), ("logistic", logistic)]
    if pairs:  # all columns, and the product of each pair
        products = [
            ("pairs", FunctionTransformer(np.take, kw_args={"indices": pairs, "axis": 1})),
            ("products", FunctionTransformer(np.prod, kw_args={"axis": 2})),
        ]
        every = slice(0, None)
        parts = [("columns", _unchanged(), every), ("products", Pipeline(products), every)]
        steps.insert(1, ("slopes", ColumnTransformer(parts)))
    return Pipeline(steps)


def _gaps(frame: pd.DataFrame, schema: Schema) -> tuple[list[str], list[list[int]]]:
    """The number columns that get one for their gaps, and the pairs of columns to multiply.

    Each pair is such a column and another number's, counted in an array of all numbers, then all
    gaps.
    """
    gaps = frame[list(schema.numeric)].isna()
    unknown = gaps.columns[(gaps.sum() >= FEW) & ~gaps.all()].tolist()
    outcomes, count = frame[schema.outcome], len(schema.numeric)
    pairs: list[list[int]] = []
    for place, name in enumerate(unknown, count):
        left = (outcomes[gaps[name]] == 1).sum()
        enough = min(left, gaps[name].sum() - left) >= EVENTS * count
        if enough and len(pairs) + count <= MAX_SLOPES:
            pairs += [[place, i] for i in range(count) if schema.numeric[i] != name]
    return unknown, pairs


def _boosting(schema: Schema, leaves: int, seed: int) -> Pipeline:
    """Histogram gradient boosting, whose trees handle missing and unknown values themselves.

    They split numbers by their order, so that one far beyond the rest does no harm. 200 small trees
    of up to 15 leaves or, where few clients left, better 7; learning rate 0.05. No early stopping,
    which would hold out rows regardless of their clients. Sources of the method: Friedman, Greedy
    Function Approximation, Annals of Statistics 29(5), 2001; Ke and others, LightGBM, NIPS 2017.
    """
    encode = OrdinalEncoder(
        handle_unknown="use_encoded_value", unknown_value=np.nan, max_categories=MAX_CATEGORIES
    )
    boosting = HistGradientBoostingClassifier(
        learning_rate=0.05,
        max_iter=200,
        max_leaf_nodes=leaves,
        categorical_features=[*range(len(schema.categorical))] or None,
        early_stopping=False,
        random_state=seed,
    )
    columns = _columns(schema, _unchanged(), encode)
    columns.transformers.reverse()  # categories first, the order that the booster uses internally
    return Pipeline([("columns", columns), ("boosting", boosting)])


def _unchanged() -> StandardScaler:
    """Lets columns pass; the "passthrough" of scikit-learn would name a function of its own."""
    return StandardScaler(with_mean=False, with_std=False)


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
    for unneeded in ("_preprocessor", "_feature_subsample_rng", "_label_encoder"):
        setattr(boosting, unneeded, None)
    boosting._bin_mapper.n_threads = 1  # depends on the machine, and only fitting uses it


def risk_of(model: Model, frame: pd.DataFrame) -> np.ndarray:
    """The probability of leaving for each row: shape (rows,), float64 from 0 to 1."""
    rows = padded(model, frame)
    if rows.empty:
        return np.empty(0)
    with threads_for(len(frame)):
        risk: np.ndarray = model.predict_proba(rows)[: len(frame), 1]
    if not ((risk >= 0) & (risk <= 1)).all():
        raise ModelError("the model gives risks that are not between 0 and 1: train again")
    return risk


def predictions_of(model: Model, frame: pd.DataFrame) -> np.ndarray:
    """The predicted outcome of each row: shape (rows,), 0 or 1."""
    rows = padded(model, frame)
    if rows.empty:
        return np.empty(0, dtype="int64")
    with threads_for(len(frame)):
        return model.predict(rows)[: len(frame)]


def padded(model: Model, frame: pd.DataFrame) -> pd.DataFrame:
    """The features of the rows, the last one repeated until their number is a whole block.

    BLAS rounds the rows left over from its blocks differently from those within. Padding makes a
    client's risk the same to the last bit, whichever other rows are predicted with it. Raises
    `ModelError` if the rows lack a feature.
    """
    features = list(model.feature_names_in_)
    if lacking := [name for name in features if name not in frame]:
        raise ModelError(
            f"the rows have no {', '.join(lacking)}: the model needs {', '.join(features)}"
        )
    rows = frame[features]
    missing = -len(rows) % BLOCK_ROWS
    if not missing:
        return rows
    return rows.take(np.minimum(np.arange(len(rows) + missing), len(rows) - 1))
