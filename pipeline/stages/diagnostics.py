"""Predictions, statistics, missing data, drift, timings, packages."""

import math
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd

from pipeline.core.config import Config
from pipeline.core.formatting import Printer
from pipeline.data.frames import read_folder
from pipeline.models.estimators import predictions_of
from pipeline.monitoring.packages import UNKNOWN, Package, outdated_packages
from pipeline.observations.master import Master
from pipeline.observations.rows import open_rows
from pipeline.registry.live_model import Live, load_live
from pipeline.stages.ingestion import ingest
from pipeline.stages.training import train, with_save_rate
from pipeline.storage.database import History
from pipeline.storage.history import open_history
from pipeline.storage.records import (
    Checked,
    last_checked,
    last_missing,
    last_packages,
    last_timings,
    record_missing,
    record_packages,
)


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


def model_predictions(live: Live, frame: pd.DataFrame) -> list[int]:
    """A release's 0 or 1 for each row of a frame that has the feature columns."""
    return [int(value) for value in predictions_of(live.model, frame)]


def execution_time(config: Config) -> Timings:
    """Seconds of ingesting the whole input folder and of training on it, in a temporary place."""
    # executors see it there, too
    shared = config.output_folder_path if config.engine else None
    with TemporaryDirectory(dir=shared) as folder:
        place = Path(folder)
        trial = replace(
            config,
            output_folder_path=place / "ingesteddata",
            output_model_path=place / "models",
            history_path=place / "history.db",
        )
        with open_history(trial.history_path) as history:
            ingest(trial, history)
            rows = open_rows(trial.finaldata_path, trial.schema, history)
            train(trial, history, rows)
            return Timings(**last_timings(history))


def record(history: History, rows: Master) -> None:
    """Record the missing percentages and what pip says of the packages, for the API to show."""
    record_missing(history, rows.missing())
    record_packages(history, outdated_packages())


def diagnose(config: Config, history: History, print_lines: Printer) -> Diagnostics:
    """All diagnostics; `print_lines` gets each at once, as pip may take a minute to answer."""
    from pipeline.reporting.tables import drift_lines  # which the chain does without

    live = load_live(config.prod_deployment_path, config.schema)
    predicted = model_predictions(live, read_folder(config.test_data_path, config.schema))
    predictions = Predicted(len(predicted), predicted.count(1), predicted.count(0))
    print_lines(
        [
            f"predictions of release {live.release.id} on the {predictions.rows:,} rows of test"
            " data",
            f"  {predictions.leave:,} to leave, {predictions.stay:,} to stay",
            "",
        ]
    )
    rows = open_rows(config.finaldata_path, config.schema, history)
    table = rows.summary()
    numbers = table.to_string(float_format="{:,.2f}".format).splitlines()
    print_lines([f"summary of {config.shown(config.finaldata_path)}"])
    print_lines(f"  {line}" for line in numbers)
    record(history, rows)
    missing, packages = last_missing(history), last_packages(history)
    lines = [f"  {column:<28}{percent:8.2f}" for column, percent in missing.items()]
    print_lines(["", "missing data, percent", *lines])
    if checked := last_checked(history):
        print_lines(["", *drift_lines(checked)])
    timings = execution_time(with_save_rate(config, history, rows))
    print_lines(
        [
            "",
            "execution time, seconds, in a temporary place",
            f"  {'ingestion':<28}{timings.ingestion:8.3f}",
            f"  {'training':<28}{timings.training:8.3f}",
        ]
    )
    print_lines(_package_lines(packages))
    return Diagnostics(
        release=live.release.id,
        predictions=predictions,
        summary={  # None where there are too few numbers to tell
            str(column): {str(k): float(v) if math.isfinite(v) else None for k, v in row.items()}
            for column, row in table.iterrows()
        },
        missing_percent=missing,
        drift=checked,
        seconds=timings,
        packages=tuple(packages),
    )


def _package_lines(packages: list[Package]) -> list[str]:
    lines = ["", "packages of requirements.txt", f"  {'package':<18}{'installed':<14}latest"]
    for package in packages:
        mark = "" if package.latest in (package.installed, UNKNOWN) else "  outdated"
        lines.append(f"  {package.package:<18}{package.installed:<14}{package.latest}{mark}")
    return lines
