"""Draw the confusion matrix of the deployed model, rank the clients at risk, and write the report.

confusionmatrix.png shows the test data. clientrisk.csv has every client who has not left according
to its latest row: the probability of leaving, highest first, whether to contact the client, and why
it is at risk. movers.csv has the clients whose risk rose or fell most since the previous ranking.
report.html and report.pdf are the report for people: report_formats in config.json says which are
written, and reports/ keeps the last one of each day. report.json holds what they show: after later
runs, the page and digests make a PDF of it. All go to output_model_path.
"""

import argparse
from collections.abc import Sequence

from pipeline import cli
from pipeline.core.config import Config
from pipeline.monitoring.metrics import evaluate
from pipeline.observations.rows import open_rows, read_test_data
from pipeline.registry.live_model import load_live
from pipeline.stages.reporting import report
from pipeline.storage.database import History


def command(config: Config, history: History, args: argparse.Namespace) -> None:
    """Write the reports, and print where they are."""
    live = load_live(config.prod_deployment_path, config.schema)
    test = read_test_data(config.test_data_path, config.finaldata_path, config.schema, history)
    evaluation = evaluate(live.model, test, config.schema, live.release.model.recipe.seed)
    rows = open_rows(config.finaldata_path, config.schema, history)
    done = report(config, history, live, evaluation, rows)
    lines = [
        f"{config.shown(done.confusion_matrix)}: of release {done.release}",
        f"{config.shown(done.client_risk)}: {done.ranked}",
        f"{config.shown(done.movers)}: {done.moved}",
        *(f"{config.shown(path)}: the report" for path in done.documents),
    ]
    cli.print_result(config, args, done, lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the stage from the command line."""
    return cli.run_stage("reporting", command, cli.result_parser(__doc__).parse_args(argv))


if __name__ == "__main__":
    raise SystemExit(main())
