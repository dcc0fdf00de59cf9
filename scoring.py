"""Score the trained model on the test data.

The F1 goes to latestscore.txt in output_model_path; accuracy, precision, recall, ROC AUC, average
precision, log loss and Brier score are recorded with it in the history."""

import argparse
import logging
from collections.abc import Sequence
from dataclasses import asdict

from pipeline import cli
from pipeline.core.config import Config
from pipeline.stages.scoring import score, score_lines

log = logging.getLogger("scoring")


def command(config: Config, args: argparse.Namespace) -> None:
    """Score, and tell what came of it."""
    scores = score(config)
    path = config.latestscore_path
    first = f"{config.shown(path)}: F1 {scores.f1} on {scores.rows:,} rows"
    cli.print_result(config, args, {"path": path, **asdict(scores)}, [first, *score_lines(scores)])


def main(argv: Sequence[str] | None = None) -> int:
    """Run the stage from the command line."""
    return cli.run_alone("scoring", command, cli.result_parser(__doc__).parse_args(argv))


if __name__ == "__main__":
    raise SystemExit(main())
