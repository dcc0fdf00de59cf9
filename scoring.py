"""Score the trained model on the test data.

The F1 goes to latestscore.txt in output_model_path; accuracy, precision, recall, ROC AUC, average
precision, log loss and Brier score are recorded with it in the history.
"""

import argparse
import logging
from collections.abc import Sequence
from dataclasses import asdict

from pipeline import cli
from pipeline.config import Config
from pipeline.database import open_history
from pipeline.errors import DataError
from pipeline.evaluation import SCORE_NAMES, score_model
from pipeline.files import write_atomic
from pipeline.frames import read_folder
from pipeline.history import Scores, record_scores
from pipeline.models import Model, load_trained

log = logging.getLogger("scoring")


def scores_on_test_data(config: Config, model: Model) -> Scores:
    """The scores of a model on the test data, whose F1 is defined.

    Raises `DataError` if there are none to be had.
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


def command(config: Config, args: argparse.Namespace) -> None:
    """Score, and tell what came of it."""
    scores = score(config)
    path = config.latestscore_path
    first = f"{config.shown(path)}: F1 {scores.f1} on {scores.rows:,} rows"
    cli.tell(config, args, {"path": path, **asdict(scores)}, [first, *score_lines(scores)])


def main(argv: Sequence[str] | None = None) -> int:
    """Run the stage from the command line."""
    return cli.run_alone("scoring", command, cli.result_parser(__doc__).parse_args(argv))


if __name__ == "__main__":
    raise SystemExit(main())
