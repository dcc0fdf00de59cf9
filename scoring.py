"""Score the trained model on the test data.

The F1 goes to latestscore.txt in output_model_path; accuracy, precision, recall, ROC AUC, average
precision, log loss and Brier score are recorded with it in the history.
"""

import argparse
import logging
from collections.abc import Sequence

import numpy as np
import pandas as pd
from sklearn import metrics

from pipeline import cli
from pipeline.config import Config
from pipeline.errors import DataError
from pipeline.files import write_atomic
from pipeline.frames import read_folder
from pipeline.history import History, Scores, record_scores
from pipeline.models import Model, load_trained, predictions_of, risk_of
from pipeline.schema import DEFAULT_SCHEMA, Schema

log = logging.getLogger("scoring")


def score_model(model: Model, frame: pd.DataFrame, schema: Schema = DEFAULT_SCHEMA) -> Scores:
    """The scores of a model on the labelled rows of a frame; reads and writes nothing.

    Raises `DataError` if no row has a known outcome.
    """
    labelled = frame[frame[schema.outcome].notna()]
    return score_predictions(
        labelled[schema.outcome].to_numpy().astype("int64"),
        predictions_of(model, labelled),
        risk_of(model, labelled),
    )


def score_predictions(outcomes: np.ndarray, predicted: np.ndarray, risk: np.ndarray) -> Scores:
    """The scores of predictions: outcomes and predictions 0 or 1, risk in [0, 1], each (rows,).

    A score that these rows leave undefined (0/0, or one class only) is None.
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


def scores_on_test_data(config: Config, model: Model) -> Scores:
    """The scores of a model on the test data, whose F1 is defined.

    Raises `DataError` if there is none to be had.
    """
    frame = read_folder(config.test_data_path, config.schema)
    if not frame[config.schema.outcome].notna().any():
        raise DataError(f"{config.test_data_path}: no row has a known outcome to score against")
    scores = score_model(model, frame, config.schema)
    if scores.f1 is None:
        raise DataError(
            f"{config.test_data_path}: F1 is undefined: nobody left, and nobody was predicted to"
        )
    return scores


def score(config: Config) -> Scores:
    """Score the trained model on the test data, write latestscore.txt and record it all."""
    trained = load_trained(config.output_model_path, config.schema)
    scores = scores_on_test_data(config, trained.model)
    with History(config.history_path) as history:
        record_scores(history, trained.manifest.sha256, "test data", scores)
    write_atomic(config.latestscore_path, f"{scores.f1}\n")
    log.info("F1 %.4f on %s rows of test data", scores.f1, f"{scores.rows:,}")
    return scores


def _defined(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def score_lines(scores: Scores) -> list[str]:
    """The scores as an aligned table, a line each."""
    names = {
        "f1": "F1",
        "accuracy": "accuracy",
        "precision": "precision",
        "recall": "recall",
        "roc_auc": "ROC AUC",
        "average_precision": "average precision",
        "log_loss": "log loss",
        "brier": "Brier score",
    }
    values = {label: getattr(scores, key) for key, label in names.items()}
    return [
        f"{label:<18} {'undefined' if value is None else format(value, '9.4f')}"
        for label, value in values.items()
    ]


def command(config: Config, _: argparse.Namespace) -> None:
    """Score, and tell what came of it."""
    scores = score(config)
    print(f"{config.shown(config.latestscore_path)}: F1 {scores.f1} on {scores.rows:,} rows")
    print("\n".join(score_lines(scores)))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the stage from the command line."""
    return cli.run_alone("scoring", command, cli.stage_parser(__doc__).parse_args(argv))


if __name__ == "__main__":
    raise SystemExit(main())
