"""Check data, model and environment: predictions, statistics, drift, timings, packages.

It prints the state now, with what the last drift check found by score and by input. The timings are
of a real ingestion and a real training, done in a temporary place; live files are never touched.
With --history it prints scores, verdicts, missing data, timings and rejected files over time; with
--effect whether contacting clients helped."""

import argparse
from collections.abc import Sequence

from pipeline import cli
from pipeline.core.config import Config
from pipeline.core.errors import HistoryError
from pipeline.reporting.effect import effect_lines
from pipeline.reporting.overview import read_effect
from pipeline.reporting.tables import trend_lines
from pipeline.stages.diagnostics import (
    diagnose,
)
from pipeline.storage.database import History
from pipeline.storage.history import open_existing_history, recorded_history
from pipeline.storage.trends import DEFAULT_TRENDS, trends


def command(config: Config, history: History, args: argparse.Namespace) -> None:
    """Print all diagnostics."""
    found = diagnose(config, history, cli.printer_for(args))
    if args.json:
        cli.print_json(config, found)


def show_trends(config: Config, args: argparse.Namespace) -> None:
    """Print what the history tells over time."""
    history = open_existing_history(config.history_path)
    if history is None:
        raise HistoryError("nothing has been recorded yet: run `python fullprocess.py`")
    with history:
        found = trends(history, args.last)
    cli.print_result(config, args, found, trend_lines(found))


def show_effect(config: Config, args: argparse.Namespace) -> None:
    """Print whether contacting helped."""
    with recorded_history(config.history_path) as history:
        found = read_effect(config, history)
    cli.print_result(config, args, found, effect_lines(found))


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 10**9):
        raise argparse.ArgumentTypeError("expected a whole number of at least 1")
    return int(text)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the stage from the command line."""
    parser = cli.result_parser(__doc__)
    parser.add_argument("--history", action="store_true", help="show what is on record over time")
    parser.add_argument(
        "--last",
        type=_count,
        default=DEFAULT_TRENDS,
        metavar="N",
        help="with --history: so many of each",
    )
    parser.add_argument("--effect", action="store_true", help="show whether contacting helped")
    args = parser.parse_args(argv)
    if args.effect:
        return cli.run(show_effect, args)
    if args.history:
        return cli.run(show_trends, args)
    if args.last != DEFAULT_TRENDS:
        parser.error("--last goes with --history")
    return cli.run_stage("diagnostics", command, args)


if __name__ == "__main__":
    raise SystemExit(main())
