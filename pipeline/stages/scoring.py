"""Score the trained model on the test data."""

import logging

from pipeline.core.config import Config
from pipeline.core.files import write_atomic
from pipeline.models.persistence import load_trained
from pipeline.monitoring.metrics import scores_on_test_data
from pipeline.monitoring.scores import SCORE_NAMES, Scores
from pipeline.storage.history import open_history
from pipeline.storage.records import record_scores

log = logging.getLogger("scoring")


def score(config: Config) -> Scores:
    """Score the trained model on the test data, write latestscore.txt and record it all."""
    trained = load_trained(config.output_model_path, config.schema)
    scores = scores_on_test_data(config.test_data_path, config.schema, trained.model)
    with open_history(config.history_path) as history:
        record_scores(history, trained.manifest.sha256, "test data", scores)
    write_atomic(config.latestscore_path, f"{scores.f1}\n")
    log.info("F1 %.4f on %s rows of test data", scores.f1, f"{scores.rows:,}")
    return scores


def score_lines(scores: Scores) -> list[str]:
    """The scores as an aligned table, a line each."""
    values = {label: getattr(scores, key) for key, label in SCORE_NAMES.items()}
    return [
        f"{label:<18} {'undefined' if value is None else format(value, '9.4f')}"
        for label, value in values.items()
    ]
