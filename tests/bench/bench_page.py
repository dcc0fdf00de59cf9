"""How long the server works on the page, and a run on its report, while the history grows.

Runs the chain on the sample data (10,000 clients) in a temporary place, fills its history with as
many runs as asked for, and prints the server's milliseconds for each page: the first answer after
the history has changed, when the charts are drawn anew, and those after. Then the seconds and the
size of `report.html` and `report.pdf`. Run it from the project's folder:

    python -m tests.bench.bench_page [--runs 10 50000] [--repeat 9]
"""

import argparse
import logging
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter
from urllib.parse import quote

from app import create_app
from pipeline.core.config import Config, load_config
from pipeline.data.frames import read_folder
from pipeline.monitoring.metrics import tested_on
from pipeline.registry.live_model import load_release
from pipeline.registry.releases import live_release
from pipeline.stages import reporting
from pipeline.storage.database import History
from tests.bench.bench_history import asked, fill, first_world

RUNS = (10, 50_000)


def milliseconds(question: Callable[[], object]) -> float:
    """How long a question takes this once."""
    started = perf_counter()
    question()
    return 1000 * (perf_counter() - started)


def pages(config: Config, repeat: int) -> dict[str, tuple[float, float]]:
    """Page -> median milliseconds of the first answer after a change, and of the next."""
    client = create_app(config).test_client()
    name = asked(client, "/risk?limit=1").get_json()["clients"][0]["client"]
    shown = {
        "/": "/",
        "/clients?q=…": "/clients?q=12",
        "/client?name=…": f"/client?name={quote(name)}",
        "/docs": "/docs",
    }
    found = {}
    for label, path in shown.items():
        asked(client, path)  # what Python and matplotlib do once in a process is not asked for
        first, later = [], []
        for _ in range(repeat):
            os.utime(config.history_path)  # as if a run had written into it
            first.append(milliseconds(partial(asked, client, path)))
            later.append(milliseconds(partial(asked, client, path)))
        found[label] = (median(first), median(later))
    return found


def reports(config: Config, repeat: int) -> dict[str, tuple[float, int]]:
    """Form of the report -> median seconds, and bytes."""
    release = live_release(config.prod_deployment_path)
    model = load_release(release, config.schema)
    tested = tested_on(model, read_folder(config.test_data_path, config.schema), config.schema)
    found = {}
    for kind in ("html", "pdf"):
        one = replace(config, report_formats=(kind,))
        work = partial(reporting.write_report, one, release, tested)
        work()
        taken = median(milliseconds(work) for _ in range(repeat)) / 1000
        found[f"report.{kind}"] = (
            taken,
            (config.output_model_path / f"report.{kind}").stat().st_size,
        )
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, nargs="+", default=RUNS, metavar="N")
    parser.add_argument("--repeat", type=int, default=9, metavar="N")
    args = parser.parse_args(argv)
    logging.disable(logging.INFO)
    with TemporaryDirectory(prefix="page-") as folder:
        config = load_config(first_world(Path(folder)))
        done = 0
        for runs in sorted(args.runs):
            with History(config.history_path) as history:
                fill(history, runs - done)
            done = runs
            print(f"\n| {runs:,} runs on record | first, ms | after, ms |\n| --- | ---: | ---: |")
            for page, (first, later) in pages(config, args.repeat).items():
                print(f"| `{page}` | {first:.1f} | {later:.1f} |")
            print(f"\n| {runs:,} runs on record | seconds | KiB |\n| --- | ---: | ---: |")
            for name, (taken, size) in reports(config, args.repeat).items():
                print(f"| `{name}` | {taken:.2f} | {size / 1024:,.0f} |")
            sys.stdout.flush()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
