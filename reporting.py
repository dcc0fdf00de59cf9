"""Draw the confusion matrix of the deployed model, rank the clients at risk, and write the report.

confusionmatrix.png shows the test data; clientrisk.csv holds, for every client who has not left as
far as its latest row tells, the probability of leaving, highest first, whether to contact the
client, and why it is at risk; movers.csv whose risk rose or fell most since the ranking before.
report.html and report.pdf tell people how it all stands; report_formats in config.json says which
of them are written, and reports/ keeps the last of each day. All go to output_model_path."""

import argparse
import logging
from collections.abc import Sequence

from pipeline import cli
from pipeline.core.config import Config
from pipeline.stages.reporting import (
    report,
)

log = logging.getLogger("reporting")


def command(config: Config, args: argparse.Namespace) -> None:
    """Report, and tell where."""
    done = report(config)
    lines = [
        f"{config.shown(done.confusion_matrix)}: of release {done.release}",
        f"{config.shown(done.client_risk)}: {done.clients:,} clients, highest risk first",
        f"{config.shown(done.movers)}: {done.moved}",
        *(f"{config.shown(path)}: how it all stands, for people" for path in done.documents),
    ]
    cli.print_result(config, args, done, lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the stage from the command line."""
    return cli.run_alone("reporting", command, cli.result_parser(__doc__).parse_args(argv))


if __name__ == "__main__":
    raise SystemExit(main())
