"""Look after the data and the machinery: predictions, statistics, drift, timings, packages.

Run by hand it prints all there is to tell of now, with what the last drift check found by score and
by input. The timings are of a real ingestion and a real training, done in a temporary place; live
files are never touched. With --history it prints how scores, verdicts, missing data, timings and
rejected files went over time.
"""

import argparse
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd

import training
from ingestion import ingest
from pipeline import cli
from pipeline.config import Config
from pipeline.database import open_history, open_recorded
from pipeline.driftlines import drift_lines
from pipeline.driftrecords import Checked, last_checked
from pipeline.errors import HistoryError
from pipeline.frames import read_folder
from pipeline.history import (
    Package,
    last_missing,
    last_packages,
    last_timings,
    record_missing,
    record_packages,
)
from pipeline.models import load_release, predictions_of
from pipeline.packages import UNKNOWN, outdated_packages
from pipeline.releases import live_release
from pipeline.store import open_store
from pipeline.trendlines import trend_lines
from pipeline.trends import MOST, trends


@dataclass(frozen=True)
class Timings:
    """Seconds of a real ingestion and a real training."""

    ingestion: float
    training: float


@dataclass(frozen=True)
class Predicted:
    """How many rows of the test data there are, how many are predicted to leave, and to stay."""

    rows: int
    leave: int
    stay: int


@dataclass(frozen=True)
class Diagnostics:
    """All there is to tell of now, by the names that the API's /diagnostics has for it."""

    release: str
    predictions: Predicted
    summary: dict[str, dict[str, float | None]]  # column -> mean, median, std
    missing_percent: dict[str, float]
    drift: Checked | None
    seconds: Timings
    packages: tuple[Package, ...]


def model_predictions(config: Config, frame: pd.DataFrame) -> list[int]:
    """The deployed model's 0 or 1 for each row of a frame that has the feature columns.

    Raises `ReleaseError` if nothing is deployed.
    """
    release = live_release(config.prod_deployment_path)
    model = load_release(release, config.schema)
    return [int(value) for value in predictions_of(model, frame)]


def dataframe_summary(config: Config) -> pd.DataFrame:
    """Mean, median and standard deviation (of a sample) of each number column of finaldata.csv.

    Returns a frame with a row a column and the columns `mean`, `median`, `std`; missing numbers
    are left out.
    """
    with open_history(config.history_path) as history:
        return open_store(config, history).summary()


def missing_data(config: Config) -> dict[str, float]:
    """Column -> percent missing (0 to 100), for every column of finaldata.csv."""
    with open_history(config.history_path) as history:
        return open_store(config, history).missing()


def execution_time(config: Config) -> Timings:
    """Seconds of ingesting the whole input folder and of training on it, in a temporary place."""
    with TemporaryDirectory() as folder:
        place = Path(folder)
        trial = config._replace(
            output_folder_path=place / "ingesteddata",
            output_model_path=place / "models",
            history_path=place / "history.db",
        )
        ingest(trial)
        training.train(trial)
        with open_history(trial.history_path) as history:
            return Timings(**last_timings(history))


def record(config: Config, *, packages: bool = True) -> None:
    """Record the missing percentages and, if asked for, the packages, for the API to show."""
    percents = missing_data(config)
    table = outdated_packages() if packages else []
    with open_history(config.history_path) as history:
        record_missing(history, percents)
        if table:
            record_packages(history, table)


def diagnose(config: Config, say: cli.Say) -> Diagnostics:
    """All diagnostics of now, each told as soon as it is known: pip may take a minute to answer."""
    release = live_release(config.prod_deployment_path)
    predictions = _predicted(config)
    say(_prediction_lines(release.id, predictions))
    table = dataframe_summary(config)
    say([f"summary of {config.shown(config.finaldata_path)}", _summary_table(table)])
    record(config)
    with open_history(config.history_path) as history:
        missing, packages = last_missing(history), last_packages(history)
        checked = last_checked(history)
    say(_missing_lines(missing))
    if checked:
        say(["", *drift_lines(checked)])
    timings = execution_time(config)
    say(_timing_lines(timings))
    say(_package_lines(packages))
    return Diagnostics(
        release=release.id,
        predictions=predictions,
        summary=_without_nan(table),
        missing_percent=missing,
        drift=checked,
        seconds=timings,
        packages=tuple(packages),
    )


def _predicted(config: Config) -> Predicted:
    said = model_predictions(config, read_folder(config.test_data_path, config.schema))
    return Predicted(rows=len(said), leave=said.count(1), stay=said.count(0))


def _without_nan(table: pd.DataFrame) -> dict[str, dict[str, float | None]]:
    """Column -> mean, median, std; None where there are too few numbers to tell."""
    return {
        str(column): {str(k): float(v) if math.isfinite(v) else None for k, v in row.items()}
        for column, row in table.iterrows()
    }


def _prediction_lines(release: str, said: Predicted) -> list[str]:
    return [
        f"predictions of release {release} on the {said.rows:,} rows of test data",
        f"  {said.leave:,} to leave, {said.stay:,} to stay",
        "",
    ]


def _summary_table(table: pd.DataFrame) -> str:
    lines = table.to_string(float_format="{:,.2f}".format).splitlines()
    return "\n".join(f"  {line}" for line in lines)


def _missing_lines(missing: dict[str, float]) -> list[str]:
    lines = [f"  {column:<28}{percent:8.2f}" for column, percent in missing.items()]
    return ["", "missing data, percent", *lines]


def _timing_lines(timings: Timings) -> list[str]:
    return [
        "",
        "execution time, seconds, in a temporary place",
        f"  {'ingestion':<28}{timings.ingestion:8.3f}",
        f"  {'training':<28}{timings.training:8.3f}",
    ]


def _package_lines(packages: list[Package]) -> list[str]:
    lines = ["", "packages of requirements.txt", f"  {'package':<18}{'installed':<14}latest"]
    for package in packages:
        mark = "" if package.latest in (package.installed, UNKNOWN) else "  outdated"
        lines.append(f"  {package.package:<18}{package.installed:<14}{package.latest}{mark}")
    return lines


def command(config: Config, args: argparse.Namespace) -> None:
    """Tell all diagnostics of now."""
    found = diagnose(config, cli.sayer(args))
    if args.json:
        cli.print_json(config, found)


def show_trends(config: Config, args: argparse.Namespace) -> None:
    """Print what the history tells over time."""
    history = open_recorded(config.history_path)
    if history is None:
        raise HistoryError("nothing has been recorded yet: run `python fullprocess.py`")
    with history:
        found = trends(history, args.last)
    cli.tell(config, args, found, trend_lines(found))


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 10**9):
        raise argparse.ArgumentTypeError("expected a whole number of at least 1")
    return int(text)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the stage from the command line."""
    parser = cli.result_parser(__doc__)
    parser.add_argument("--history", action="store_true", help="show what is on record over time")
    parser.add_argument(
        "--last", type=_count, default=MOST, metavar="N", help="with --history: so many of each"
    )
    args = parser.parse_args(argv)
    if args.history:
        return cli.run(show_trends, args)
    if args.last != MOST:
        parser.error("--last goes with --history")
    return cli.run_alone("diagnostics", command, args)


if __name__ == "__main__":
    raise SystemExit(main())
