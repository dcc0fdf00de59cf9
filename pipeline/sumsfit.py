"""Logistic regression of rows in buckets: Newton's method on sums over all of them.

Scaling, imputation and encoding follow from counts, sums and medians; what comes out is the
pipeline that scikit-learn would have fitted on the same rows.
"""

import warnings
from collections.abc import Sequence
from functools import reduce

import numpy as np
import pandas as pd
from scipy.linalg import LinAlgError, LinAlgWarning, lstsq, solve
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline

from pipeline.columnsums import BucketRows, ColumnSums, Moments
from pipeline.engine import Engine
from pipeline.errors import ModelError
from pipeline.estimators import encoders_frame, fit_on_sample, untrained_model
from pipeline.newton import NEAR, Minimum
from pipeline.recipe import LOGISTIC
from pipeline.schema import Schema
from pipeline.slopes import Encoding, Place, Slope, slope
from pipeline.threads import one_thread

MOST_STEPS = 100
MOST_HALVINGS = 30  # of a step that would go too far
SLOPES_BYTES = 1 << 29  # for the slopes of all shares, which are in memory together


def fit_logistic(
    engine: Engine,
    parts: Sequence[BucketRows],
    sums: ColumnSums,
    medians: Sequence[float],
    sample: pd.DataFrame,
) -> Pipeline:
    """The logistic pipeline fitted on all labelled rows of some buckets.

    `sums` and `medians` are those of the rows; a fit on `sample`, some of them, is the start.
    """
    schema = parts[0].schema
    model = untrained_model(LOGISTIC, schema)
    encoding = _fit_columns(model, schema, sums, medians)
    logistic = model["logistic"]
    with one_thread():
        start = fit_on_sample(logistic, model["columns"], sample, schema, encoding.width - 1)
        for first in (start, np.zeros_like(start)):  # a sample may lead astray
            minimum = _minimum(engine, parts, encoding, first, sums.rows, logistic)
            if minimum:
                logistic.coef_ = minimum.weights[None, :-1]
                logistic.intercept_ = minimum.weights[-1:]
                logistic.n_iter_[:] = minimum.looks
                return model
    raise ModelError("the logistic regression did not converge")


def _fit_columns(
    model: Pipeline, schema: Schema, sums: ColumnSums, medians: Sequence[float]
) -> Encoding:
    """Fit imputation, scaling and encoding by what is known of the columns."""
    columns = model["columns"]
    known = {
        column: sorted(counts)
        for column, counts in zip(schema.categorical, sums.categories, strict=True)
    }
    columns.fit(encoders_frame(dict(zip(schema.numeric, medians, strict=True)), known))
    fills, means, scales = np.nan_to_num(np.array(medians, "float64")), np.empty(0), np.empty(0)
    if schema.numeric:
        filled = [
            found.plus(Moments(sums.rows - found.count, float(fill), 0.0))
            for found, fill in zip(sums.numbers, fills, strict=True)
        ]
        scaler = columns.named_transformers_["numbers"]["scale"]
        means = scaler.mean_ = np.array([moments.mean for moments in filled])
        scaler.var_ = np.array([moments.squares / moments.count for moments in filled])
        scaler.n_samples_seen_ = np.float64(sums.rows)
        scales = scaler.scale_ = _scales(scaler.var_, means, sums.rows)
    return Encoding(
        tuple(fills.tolist()),
        tuple(means.tolist()),
        tuple(scales.tolist()),
        tuple(tuple(words) for words in known.values()),
    )


def _scales(variances: np.ndarray, means: np.ndarray, rows: int) -> np.ndarray:
    """The deviation of each column; 1 where the variance may be all rounding, as of a constant.

    Source: the bound on the error of two passes in Chan, Golub and LeVeque, Algorithms for
    Computing the Sample Variance, The American Statistician 37, 1983; `StandardScaler` goes by it.
    """
    unit = np.finfo("float64").eps
    rounding = rows * unit * variances + (rows * unit * means) ** 2
    return np.where(variances > rounding, np.sqrt(variances), 1.0)


def _minimum(
    engine: Engine,
    parts: Sequence[BucketRows],
    encoding: Encoding,
    start: np.ndarray,
    rows: int,
    logistic: LogisticRegression,
) -> Minimum | None:
    """Where the loss is least; None where the start was so far off that it is not found.

    A step that lowers neither the loss nor, by half, its gradient is halved until it does: the loss
    is convex. Source: Boyd and Vandenberghe, Convex Optimization, 2004, 9.5. The last step is as in
    `newton`.
    """
    penalties = np.append(np.full(len(start) - 1, 1 / logistic.C), 0.0)
    shares = _shares(parts, encoding.width)

    def look(weights: np.ndarray) -> Slope:
        places = [Place(share, encoding, tuple(weights.tolist())) for share in shares]
        found = reduce(Slope.plus, engine.map(slope, places))
        return Slope(
            found.loss + float(penalties @ weights**2) / 2,
            found.gradient + penalties * weights,
            found.hessian + np.diag(penalties),
        )

    weights, here, looks = start, look(start), 1
    for _ in range(MOST_STEPS):
        step, flat = _step(here), here.steepest <= logistic.tol * rows
        if flat and np.abs(step).max() <= NEAR:
            return Minimum(weights - step, looks)
        for _ in range(MOST_HALVINGS):
            there, looks = look(weights - step), looks + 1
            if there.loss < here.loss or there.steepest <= here.steepest / 2:
                break
            if flat:
                return Minimum(weights, looks)  # no digit is left to win
            step = step / 2
        else:
            return None
        weights, here = weights - step, there
    return None


def _step(here: Slope) -> np.ndarray:
    """Newton's step; of weights that nothing tells apart the shortest."""
    step: np.ndarray
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", LinAlgWarning)  # where the risks are all but certain
            step = solve(here.hessian, here.gradient, assume_a="pos")
    except (LinAlgError, LinAlgWarning):
        step = lstsq(here.hessian, here.gradient)[0]
    return step


def _shares(parts: Sequence[BucketRows], width: int) -> list[tuple[BucketRows, ...]]:
    """The buckets in as many shares as their slopes have room for, whoever works on them."""
    count = max(1, min(len(parts), SLOPES_BYTES // (8 * width**2)))
    return [tuple(parts[i::count]) for i in range(count)]
