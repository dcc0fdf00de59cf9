"""Score the trained model on the test data.

The F1 goes to latestscore.txt in output_model_path; accuracy, precision, recall, ROC AUC, average
precision, log loss and Brier score are recorded with it in the history."""

import argparse
from collections.abc import Sequence
from dataclasses import asdict

from pipeline import cli
from pipeline.core.config import Config
from pipeline.models.persistence import load_trained
from pipeline.observations.rows import read_test_data
from pipeline.stages.training import score, score_lines
from pipeline.storage.database import History


def command(config: Config, history: History, args: argparse.Namespace) -> None:
    """Score, and print what came of it."""
    trained = load_trained(config.output_model_path, config.schema)
    test = read_test_data(config.test_data_path, config.finaldata_path, config.schema, history)
    scores, path = score(config, history, trained, test).scores, config.latestscore_path
    first = f"{config.shown(path)}: F1 {scores.f1} on {scores.rows:,} rows"
    cli.print_result(config, args, {"path": path, **asdict(scores)}, [first, *score_lines(scores)])


def main(argv: Sequence[str] | None = None) -> int:
    """Run the stage from the command line."""
    return cli.run_stage("scoring", command, cli.result_parser(__doc__).parse_args(argv))


if __name__ == "__main__":
    raise SystemExit(main())
