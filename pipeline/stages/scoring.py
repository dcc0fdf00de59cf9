"""Score the trained model on the test data."""

import logging

import pandas as pd

from pipeline.core.config import Config
from pipeline.core.files import write_atomic
from pipeline.models.persistence import TrainedModel
from pipeline.monitoring.metrics import Evaluation, check_f1_defined, check_outcomes_known, evaluate
from pipeline.monitoring.scores import SCORE_NAMES, Scores
from pipeline.storage.database import History
from pipeline.storage.records import record_scores

log = logging.getLogger("scoring")


def score(
    config: Config, history: History, trained: TrainedModel, test: pd.DataFrame
) -> Evaluation:
    """Score a trained model on the test data, write latestscore.txt and record it all.

    Raises `DataError` if the test data leave the F1 undefined.
    """
    check_outcomes_known(config.test_data_path, test, config.schema)
    evaluation = evaluate(trained.model, test, config.schema, trained.manifest.recipe.seed)
    scores = evaluation.scores
    check_f1_defined(config.test_data_path, scores)
    record_scores(history, trained.manifest.sha256, "test data", scores)
    write_atomic(config.latestscore_path, f"{scores.f1}\n")
    log.info("F1 %.4f on %s rows of test data", scores.f1, f"{scores.rows:,}")
    return evaluation


def score_lines(scores: Scores) -> list[str]:
    """The scores as an aligned table, a line each."""
    values = {label: getattr(scores, key) for key, label in SCORE_NAMES.items()}
    return [
        f"{label:<18} {'undefined' if value is None else format(value, '9.4f')}"
        for label, value in values.items()
    ]
