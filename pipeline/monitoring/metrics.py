"""The scores of a model on labelled rows, for all of them and for parts."""

from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn import metrics

from pipeline.core.errors import DataError
from pipeline.core.schema import Schema
from pipeline.models.cross_validation import repeated
from pipeline.models.estimators import Model, predictions_of, risk_of
from pipeline.monitoring.bootstrap import Interval, Predictions, confusion_of, score_intervals
from pipeline.monitoring.decisions import Scores

BINS = 10  # of equal width, for the calibration
DECILE = 0.1
MAX_SEGMENTS = 50  # of a column, the largest
ARRAYS = ("outcomes", "predicted", "clients", "risk")


@dataclass(frozen=True, eq=False)
class Tested(Predictions):
    """Predictions with the risks behind them: in [0, 1], of the shape (rows,)."""

    risk: np.ndarray = field(kw_only=True)

    def with_others(self, others: "Tested") -> "Tested":
        """These rows, then others."""
        return Tested(
            **{
                name: np.concatenate([getattr(self, name), getattr(others, name)])
                for name in ARRAYS
            },
            repetitions=self.repetitions + others.repetitions,
        )

    def repeated(self, times: np.ndarray) -> "Tested":
        """Each row as often as `times` says, of shape (rows,)."""
        arrays = {name: np.repeat(getattr(self, name), times) for name in ARRAYS}
        return Tested(**arrays, repetitions=int(times.sum()) - self.rows)

    @property
    def both(self) -> bool:
        """Whether both outcomes occur: otherwise there is no curve."""
        return bool(0 < self.outcomes.sum() < len(self.outcomes))

    @property
    def counts(self) -> np.ndarray:
        """Rows by actual, then by predicted outcome: shape (2, 2)."""
        return confusion_of(self)

    @property
    def scores(self) -> Scores:
        """All scores; raises `DataError` if there is no row."""
        found = score_predictions(self.outcomes, self.predicted, self.risk)
        return replace(found, rows=self.rows)


@dataclass(frozen=True)
class CalibrationBin:
    """Rows of about the same risk: how many were predicted to leave, and how many left."""

    rows: int
    risk: float  # mean
    left: float  # share


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
    """A model on labelled rows, in all ways that its card shows."""

    tested: Tested = field(compare=False, repr=False)
    scores: Scores
    intervals: dict[str, Interval | None]  # by the name of the score, 95 %
    bins: tuple[CalibrationBin, ...]
    calibration_error: float
    lift: float | None
    segments: tuple[Segment, ...]


@dataclass(frozen=True, eq=False)
class PredictedRows:
    """Rows and what a model predicts of them.

    `risk` has the shape (rows,); `labelled` are those with a known outcome, and `tested` the
    predictions of these.
    """

    frame: pd.DataFrame
    risk: np.ndarray
    labelled: pd.DataFrame
    tested: Tested

    def weighed(self, times: np.ndarray) -> "PredictedRows":
        """With each labelled row as often as `times` says, of shape (labelled rows,)."""
        labelled = repeated(self.labelled, times)
        return replace(self, labelled=labelled, tested=self.tested.repeated(times))


def predict_rows(model: Model, frame: pd.DataFrame, schema: Schema) -> PredictedRows:
    """Predict all rows of a frame with the schema's columns."""
    risk, predicted = risk_of(model, frame), predictions_of(model, frame)
    known = frame[schema.outcome].notna().to_numpy()
    labelled = frame[known]
    tested = Tested(
        outcomes=labelled[schema.outcome].to_numpy().astype("int64"),
        predicted=predicted[known],
        risk=risk[known],
        clients=labelled[schema.client].to_numpy(dtype=object),
    )
    return PredictedRows(frame, risk, labelled, tested)


def evaluate(model: Model, frame: pd.DataFrame, schema: Schema, seed: int) -> Evaluation:
    """The whole evaluation; raises `DataError` if no row has a known outcome."""
    rows = predict_rows(model, frame, schema)
    tested = rows.tested
    scores = tested.scores
    bins = calibration_bins(tested.outcomes, tested.risk)
    return Evaluation(
        tested=tested,
        scores=scores,
        intervals=score_intervals(tested, tested.risk, seed),
        bins=bins,
        calibration_error=calibration_error(bins),
        lift=top_lift(tested.outcomes, tested.risk),
        segments=_segments(rows, schema),
    )


def scores_on_test_data(frame: pd.DataFrame, folder: Path, schema: Schema, model: Model) -> Scores:
    """The scores of a model on the rows of the test data in a folder.

    Raises `DataError` if no outcome is known, or if F1 is undefined.
    """
    check_outcomes_known(folder, frame, schema)
    scores = predict_rows(model, frame, schema).tested.scores
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
    """Rows by risk, in ten bins of equal width, without the empty ones."""
    places = np.minimum((risk * BINS).astype("int64"), BINS - 1)
    groups = [places == place for place in np.unique(places)]
    return tuple(
        CalibrationBin(int(g.sum()), float(risk[g].mean()), float(outcomes[g].mean()))
        for g in groups
    )


def calibration_error(bins: tuple[CalibrationBin, ...]) -> float:
    """The mean distance of predicted risk and share that left, weighted by rows: from 0 to 1.

    Source: the expected calibration error, Naeini, Cooper and Hauskrecht, Obtaining Well Calibrated
    Probabilities Using Bayesian Binning, AAAI 2015.
    """
    rows = sum(part.rows for part in bins)
    return sum(part.rows * abs(part.risk - part.left) for part in bins) / rows


def top_lift(outcomes: np.ndarray, risk: np.ndarray) -> float | None:
    """The share of leavers among the tenth at the highest risk, divided by that among all.

    Of equal risks at the edge, a part is counted. None if nobody left, or of fewer than ten rows.
    Source: Berry and Linoff, Data Mining Techniques, 2004, chapter 4.
    """
    count = int(len(outcomes) * DECILE)
    if not count or not outcomes.any():
        return None
    edge = np.partition(risk, len(risk) - count)[len(risk) - count]
    above, at = risk > edge, risk == edge
    found = outcomes[above].sum() + (count - above.sum()) * outcomes[at].mean()
    return float(found / count / outcomes.mean())


def _segments(rows: PredictedRows, schema: Schema) -> tuple[Segment, ...]:
    tested, found = rows.tested, []
    for column in schema.categorical:
        values = rows.labelled[column].to_numpy(dtype=object)
        for category in sorted(name for name, _ in Counter(values).most_common(MAX_SEGMENTS)):
            within = values == category
            outcomes, risk = tested.outcomes[within], tested.risk[within]
            scores = score_predictions(outcomes, tested.predicted[within], risk)
            left, mean = float(outcomes.mean()), float(risk.mean())
            found.append(Segment(column, str(category), scores, left, mean))
    return tuple(found)
