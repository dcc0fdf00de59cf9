"""Look after the data and the machinery: predictions, statistics, drift, timings, packages.

Run by hand it prints all there is to tell of now, with what the last drift check found by score and
by input. The timings are of a real ingestion and a real training, done in a temporary place; live
files are never touched. With --history it prints how scores, verdicts, missing data, timings and
rejected files went over time.
"""

import argparse
import json
import logging
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd

import training
from ingestion import ingest
from pipeline import cli
from pipeline.config import Config
from pipeline.driftrecords import Checked, last_checked
from pipeline.errors import HistoryError
from pipeline.featuredrift import FeatureDrift
from pipeline.frames import read_folder
from pipeline.history import (
    History,
    Package,
    last_missing,
    last_packages,
    last_timings,
    record_missing,
    record_packages,
)
from pipeline.master import read_master
from pipeline.models import load_release, predictions_of
from pipeline.releases import live_release
from pipeline.trendlines import trend_lines
from pipeline.trends import MOST, trends

log = logging.getLogger("diagnostics")

PIP_SECONDS = 60
UNKNOWN = "unknown"


@dataclass(frozen=True)
class Timings:
    """Seconds of a real ingestion and a real training."""

    ingestion: float
    training: float


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
    with History(config.history_path) as history:
        frame = read_master(config, history)
    return frame[list(config.schema.numeric)].agg(["mean", "median", "std"]).T


def missing_data(config: Config) -> dict[str, float]:
    """Column -> percent missing (0 to 100), for every column of finaldata.csv."""
    with History(config.history_path) as history:
        frame = read_master(config, history)
    return {
        column: float((frame[column].isna() | (frame[column] == "")).mean() * 100)
        for column in config.schema.columns
    }


def execution_time(config: Config) -> Timings:
    """Seconds of ingesting the whole input folder and of training on it, in a temporary place."""
    with TemporaryDirectory(prefix="timing-") as folder:
        place = Path(folder)
        trial = config._replace(
            output_folder_path=place / "ingesteddata",
            output_model_path=place / "models",
            history_path=place / "history.db",
        )
        ingest(trial)
        training.train(trial)
        with History(trial.history_path) as history:
            return Timings(**last_timings(history))


def outdated_packages(requirements: Path = cli.PROJECT / "requirements.txt") -> list[Package]:
    """Installed and latest version of each package that `requirements.txt` names.

    Asks pip once; what it cannot tell, or an index that cannot be reached, is `unknown`.
    """
    lines = requirements.read_text(encoding="utf-8").splitlines()
    names = [name[0] for line in lines if (name := re.match(r"[A-Za-z0-9][\w.-]*", line))]
    latest = _latest(names)
    return [Package(name, _installed(name), latest.get(_normal(name), UNKNOWN)) for name in names]


def _latest(names: Sequence[str]) -> dict[str, str]:
    """Normal name -> newest version that this Python can install; empty if pip cannot say.

    `pip list --outdated` would not do: where the index cannot be reached, it takes every package
    for up to date.
    """
    ask = [sys.executable, "-m", "pip", "install", "--dry-run", "--quiet", "--report", "-"]
    ask += ["--upgrade", "--no-deps", "--ignore-installed", "--only-binary=:all:"]
    ask += ["--no-input", "--disable-pip-version-check", "--retries=0", "--timeout=10", *names]
    try:
        answer = subprocess.run(ask, capture_output=True, timeout=PIP_SECONDS, check=True)
        found = [entry["metadata"] for entry in json.loads(answer.stdout)["install"]]
        return {_normal(package["name"]): package["version"] for package in found}
    except (OSError, subprocess.SubprocessError, ValueError, KeyError) as error:
        log.warning("the latest versions are unknown: pip gave no answer (%s)", _why(error))
        return {}


def _why(error: Exception) -> str:
    said = error.stderr if isinstance(error, subprocess.CalledProcessError) else str(error)
    text = said.decode(errors="replace") if isinstance(said, bytes) else str(said)
    return (text.strip().splitlines() or [type(error).__name__])[-1]


def _installed(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def record(config: Config, *, packages: bool = True) -> None:
    """Record the missing percentages and, if asked for, the packages, for the API to show."""
    percents = missing_data(config)
    table = outdated_packages() if packages else []
    with History(config.history_path) as history:
        record_missing(history, percents)
        if table:
            record_packages(history, table)


def command(config: Config, _: argparse.Namespace) -> None:
    """Print all diagnostics of now."""
    release = live_release(config.prod_deployment_path)
    frame = read_folder(config.test_data_path, config.schema)
    said = model_predictions(config, frame)
    print(f"predictions of release {release.id} on the {len(said):,} rows of test data")
    print(f"  {said.count(1):,} to leave, {said.count(0):,} to stay\n")
    print(f"summary of {config.shown(config.finaldata_path)}")
    print(_indented(dataframe_summary(config).to_string(float_format="{:,.2f}".format)))
    record(config)
    with History(config.history_path) as history:
        missing, packages = last_missing(history), last_packages(history)
        checked = last_checked(history)
    print("\nmissing data, percent")
    for column, percent in missing.items():
        print(f"  {column:<28}{percent:8.2f}")
    if checked:
        print("\n".join(["", *drift_lines(checked)]))
    timings = execution_time(config)
    print("\nexecution time, seconds, in a temporary place")
    print(f"  {'ingestion':<28}{timings.ingestion:8.3f}")
    print(f"  {'training':<28}{timings.training:8.3f}")
    print("\npackages of requirements.txt")
    print(f"  {'package':<18}{'installed':<14}latest")
    for package in packages:
        mark = "" if package.latest in (package.installed, UNKNOWN) else "  outdated"
        print(f"  {package.package:<18}{package.installed:<14}{package.latest}{mark}")


def drift_lines(checked: Checked) -> list[str]:
    """What the last drift check found, for a person: by score, then by input."""
    counts = checked.drift_test
    lines = [f"last drift check, {checked.at}, of release {checked.release}"]
    for verdict in checked.scores:
        mark = "*" if verdict.test == counts else " "
        lines.append(f"{mark} {verdict.test:<14}{verdict.verdict:<21}{verdict.reason}")
    lines.append("* is the one that counts")
    if checked.input:
        names = [found.name for found in checked.input]
        wide = max(28, *(len(name) + 2 for name in names))
        lines += ["", "input beside the training data of that release"]
        head = f"{'PSI':>7}{'limit':>8}{'p':>10}{'missing %':>11}{'before %':>10}{'unseen %':>10}"
        lines.append(f"  {'feature':<{wide}}{head}  verdict")
        lines += [
            f"  {name:<{wide}}{_input_numbers(found)}"
            for name, found in zip(names, checked.input, strict=True)
        ]
    return lines


def _input_numbers(found: FeatureDrift) -> str:
    limit, p_value = _told(found.psi_limit, "8.3f"), _told(found.p_value, "10.2g")
    missing, before = f"{100 * found.missing:11.2f}", f"{100 * found.missing_before:10.2f}"
    unseen = _told(None if found.unseen is None else 100 * found.unseen, "10.2f")
    return f"{_told(found.psi, '7.3f')}{limit}{p_value}{missing}{before}{unseen}  {found.verdict}"


def _told(value: float | None, form: str) -> str:
    """A number in a table, or a dash as wide."""
    return f"{'-':>{form.split('.')[0]}}" if value is None else format(value, form)


def _indented(table: str) -> str:
    return "\n".join(f"  {line}" for line in table.splitlines())


def show_trends(config: Config, args: argparse.Namespace) -> None:
    """Print what the history tells over time."""
    if not config.history_path.exists():  # opening it would make it
        raise HistoryError("nothing has been recorded yet: run `python fullprocess.py`")
    with History(config.history_path) as history:
        found = trends(history, args.last)
    lines = [json.dumps(asdict(found), ensure_ascii=False)] if args.json else trend_lines(found)
    print("\n".join(lines))


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 10**9):
        raise argparse.ArgumentTypeError("expected a whole number of at least 1")
    return int(text)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the stage from the command line."""
    parser = cli.stage_parser(__doc__)
    parser.add_argument("--history", action="store_true", help="show what is on record over time")
    parser.add_argument("--json", action="store_true", help="with --history: as JSON")
    parser.add_argument(
        "--last", type=_count, default=MOST, metavar="N", help="with --history: so many of each"
    )
    args = parser.parse_args(argv)
    if args.history:
        return cli.run(show_trends, args)
    if args.json or args.last != MOST:
        parser.error("--json and --last go with --history")
    return cli.run_alone("diagnostics", command, args)


if __name__ == "__main__":
    raise SystemExit(main())
