"""Fit the model on all labelled rows of finaldata.csv.

Logistic regression or boosted trees, as config.json says or as cross-validation chooses; the
probabilities calibrated where that helps, the threshold as config.json says: one pickled
scikit-learn estimator. It goes to output_model_path as trainedmodel.pkl, beside a manifest.json
that says what it is made of and from, and reference.json, what its data were like. The same data
give the same bytes."""

import argparse
from collections.abc import Sequence
from dataclasses import asdict

import pandas as pd

from pipeline import cli
from pipeline.core.config import Config
from pipeline.core.errors import DataError
from pipeline.models.manifest import HALF, UNCALIBRATED
from pipeline.observations.rows import open_rows, read_test_data
from pipeline.stages.training import train
from pipeline.storage.database import History


def command(config: Config, history: History, args: argparse.Namespace) -> None:
    """Train, and print what came of it."""
    days = config.contact_rules.campaign_days
    rows = open_rows(config.finaldata_path, config.schema, history, days)
    manifest = train(config, history, rows, _test_data(config, history)).manifest
    recipe, path = manifest.recipe, config.trainedmodel_path
    curve = "" if recipe.calibration == UNCALIBRATED else f", {recipe.calibration} calibration"
    line = "" if recipe.threshold == HALF else f", threshold {recipe.threshold:.4f}"
    made = f"{recipe.kind}{curve}{line}, trained on {manifest.rows:,} labelled rows"
    result = {"path": path, **asdict(manifest)}
    cli.print_result(config, args, result, [f"{config.shown(path)}: {made}"])


def _test_data(config: Config, history: History) -> pd.DataFrame | None:
    """The test data; None where there are none to read, as training can do without."""
    try:
        return read_test_data(config.test_data_path, config.finaldata_path, config.schema, history)
    except DataError:
        return None


def main(argv: Sequence[str] | None = None) -> int:
    """Run the stage from the command line."""
    return cli.run_stage("training", command, cli.result_parser(__doc__).parse_args(argv))


if __name__ == "__main__":
    raise SystemExit(main())
