"""How a model does on labelled rows: its scores, for all of them and for parts."""

from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn import metrics

from pipeline.core.errors import DataError
from pipeline.core.schema import DEFAULT_SCHEMA, Schema
from pipeline.data.frames import read_folder
from pipeline.models.estimators import (
    Model,
    predictions_of,
    risk_of,
)
from pipeline.monitoring.bootstrap import Interval, Predictions, score_intervals
from pipeline.monitoring.scores import Scores

BINS = 10  # of equal width, for the calibration
DECILE = 0.1
MOST_SEGMENTS = 50  # of a column, the largest


@dataclass(frozen=True, eq=False)
class Tested(Predictions):
    """Predictions with the risk that each came of, in [0, 1], of the shape (rows,)."""

    risk: np.ndarray = field(kw_only=True)

    @property
    def both(self) -> bool:
        """Whether there are rows of both outcomes: without them there is no curve."""
        return bool(0 < self.outcomes.sum() < len(self.outcomes))

    @cached_property
    def counts(self) -> np.ndarray:
        """Rows by actual, then by predicted outcome: shape (2, 2)."""
        counts: np.ndarray = metrics.confusion_matrix(self.outcomes, self.predicted, labels=[0, 1])
        return counts

    @property
    def scores(self) -> Scores:
        """All scores; raises `DataError` if there is no row."""
        return score_predictions(self.outcomes, self.predicted, self.risk)


@dataclass(frozen=True)
class CalibrationBin:
    """Rows whose risk is about the same: what was predicted of them, and what came."""

    rows: int
    risk: float  # the mean
    left: float  # the share


@dataclass(frozen=True)
class Segment:
    """The scores of the rows that have one category; None where they leave a score undefined."""

    column: str
    category: str
    scores: Scores
    left: float  # the share
    risk: float  # the mean


@dataclass(frozen=True)
class Evaluation:
    """All that is told of a model on labelled rows."""

    tested: Tested = field(compare=False, repr=False)
    scores: Scores
    intervals: dict[str, Interval | None]  # by the name of the score, 95 %
    bins: tuple[CalibrationBin, ...]
    calibration_error: float
    lift: float | None
    segments: tuple[Segment, ...]


def evaluate(model: Model, frame: pd.DataFrame, schema: Schema, seed: int) -> Evaluation:
    """Everything at once; raises `DataError` if no row has a known outcome."""
    tested = tested_on(model, frame, schema)
    scores = tested.scores
    bins = calibration_bins(tested.outcomes, tested.risk)
    labelled = frame[frame[schema.outcome].notna()]
    return Evaluation(
        tested=tested,
        scores=scores,
        intervals=score_intervals(tested, tested.risk, seed),
        bins=bins,
        calibration_error=calibration_error(bins),
        lift=top_lift(tested.outcomes, tested.risk),
        segments=_segments(labelled, schema, tested.predicted, tested.risk),
    )


def tested_on(model: Model, frame: pd.DataFrame, schema: Schema) -> Tested:
    """What a model says of the labelled rows of a frame."""
    labelled = frame[frame[schema.outcome].notna()]
    return Tested(
        outcomes=labelled[schema.outcome].to_numpy().astype("int64"),
        predicted=predictions_of(model, labelled),
        risk=risk_of(model, labelled),
        clients=labelled[schema.client].to_numpy(dtype=object),
    )


def scores_on_test_data(folder: Path, schema: Schema, model: Model) -> Scores:
    """The scores of a model on the client files of a folder.

    Raises `DataError` if there are none, or if F1 is undefined.
    """
    frame = read_folder(folder, schema)
    check_outcomes_known(folder, frame, schema)
    scores = score_model(model, frame, schema)
    check_f1_defined(folder, scores)
    return scores


def check_outcomes_known(folder: Path, frame: pd.DataFrame, schema: Schema) -> None:
    """Raise `DataError` if no row of a folder has a known outcome."""
    if not frame[schema.outcome].notna().any():
        raise DataError(f"{folder}: no row has a known outcome to score against")


def check_f1_defined(folder: Path, scores: Scores) -> None:
    """Raise `DataError` if the rows of a folder leave the F1 undefined."""
    if scores.f1 is None:
        raise DataError(f"{folder}: F1 is undefined: nobody left, and nobody was predicted to")


def score_model(model: Model, frame: pd.DataFrame, schema: Schema = DEFAULT_SCHEMA) -> Scores:
    """The scores of a model on the labelled rows of a frame; reads and writes nothing.

    Raises `DataError` if no row has a known outcome.
    """
    return tested_on(model, frame, schema).scores


def score_predictions(outcomes: np.ndarray, predicted: np.ndarray, risk: np.ndarray) -> Scores:
    """The scores of predictions: outcomes and predictions 0 or 1, risk in [0, 1], each (rows,).

    A score that these rows leave undefined (0/0, or one class only) is None. Raises `DataError` if
    there is no row.
    """
    if not len(outcomes):
        raise DataError("no row has a known outcome: there is nothing to score")
    both = 0 < outcomes.sum() < len(outcomes)
    precision, recall, f1, _ = metrics.precision_recall_fscore_support(
        outcomes, predicted, average="binary", zero_division=np.nan
    )
    return Scores(
        rows=len(outcomes),
        f1=_defined(f1),
        accuracy=float(metrics.accuracy_score(outcomes, predicted)),
        precision=_defined(precision),
        recall=_defined(recall),
        roc_auc=float(metrics.roc_auc_score(outcomes, risk)) if both else None,
        average_precision=float(metrics.average_precision_score(outcomes, risk)) if both else None,
        log_loss=float(metrics.log_loss(outcomes, risk, labels=[0, 1])),
        brier=float(metrics.brier_score_loss(outcomes, risk)),
    )


def _defined(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def calibration_bins(outcomes: np.ndarray, risk: np.ndarray) -> tuple[CalibrationBin, ...]:
    """Rows by risk, in ten bins of equal width; those without any row are left out."""
    places = np.minimum((risk * BINS).astype("int64"), BINS - 1)
    found = []
    for place in np.unique(places):
        within = places == place
        found.append(
            CalibrationBin(
                int(within.sum()), float(risk[within].mean()), float(outcomes[within].mean())
            )
        )
    return tuple(found)


def calibration_error(bins: tuple[CalibrationBin, ...]) -> float:
    """The mean distance of predicted risk and share that left, weighted by rows: from 0 to 1.

    Source: the expected calibration error, Naeini, Cooper and Hauskrecht, Obtaining Well Calibrated
    Probabilities Using Bayesian Binning, AAAI 2015.
    """
    rows = sum(part.rows for part in bins)
    return sum(part.rows * abs(part.risk - part.left) for part in bins) / rows


def top_lift(outcomes: np.ndarray, risk: np.ndarray) -> float | None:
    """How many times as many leave among the tenth at the highest risk as among all.

    Of equal risks at the edge, a share is counted. None if nobody left, or of fewer than ten rows.
    Source: Berry and Linoff, Data Mining Techniques, 2004, chapter 4.
    """
    count = int(len(outcomes) * DECILE)
    if not count or not outcomes.any():
        return None
    edge = np.partition(risk, len(risk) - count)[len(risk) - count]
    above, at = risk > edge, risk == edge
    found = outcomes[above].sum() + (count - above.sum()) * outcomes[at].mean()
    return float(found / count / outcomes.mean())


def _segments(
    labelled: pd.DataFrame, schema: Schema, said: np.ndarray, risk: np.ndarray
) -> tuple[Segment, ...]:
    outcomes = labelled[schema.outcome].to_numpy().astype("int64")
    found = []
    for column in schema.categorical:
        values = labelled[column].to_numpy(dtype=object)
        for category in sorted(name for name, _ in Counter(values).most_common(MOST_SEGMENTS)):
            within = values == category
            scores = score_predictions(outcomes[within], said[within], risk[within])
            left, mean = float(outcomes[within].mean()), float(risk[within].mean())
            found.append(Segment(column, str(category), scores, left, mean))
    return tuple(found)
