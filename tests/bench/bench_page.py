"""How long the server works on the page, and a run on its report, while the history grows.

Runs the chain on the sample data (10,000 clients) in a temporary place, fills its history with as
many runs as asked for, and prints the server's milliseconds for each page: the first answer after
the history has changed, when the charts are drawn anew, and those after. Then the seconds and the
size of `report.html` and `report.pdf`. Run it from the project's folder:

    python -m tests.bench.bench_page [--runs 10 50000] [--repeat 9]
"""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter
from urllib.parse import quote

from pipeline.core.config import Config
from pipeline.ranking.movers import Movers
from pipeline.ranking.ranking_file import read_ranking
from pipeline.reporting.overview import RunResults
from pipeline.stages import reporting
from pipeline.storage.database import History
from pipeline.web.app import create_app
from tests.bench.bench_history import asked, fill
from tests.bench.measuring import first_world, parser_for, table
from tests.support.stagecalls import evaluate_live, live

RUNS = (10, 50_000)


def milliseconds(question: Callable[[], object]) -> float:
    """How long a question takes this once."""
    started = perf_counter()
    question()
    return 1000 * (perf_counter() - started)


def pages(config: Config, repeat: int) -> Iterator[tuple[str, tuple[float, float]]]:
    """Each page, and median milliseconds of the first answer after a change and of the next."""
    client = create_app(config).test_client()
    name = asked(client, "/risk?limit=1").get_json()["clients"][0]["client"]
    shown = {
        "/": "/",
        "/clients?q=…": "/clients?q=12",
        "/model": "/model",
        "/operations": "/operations",
        "/client?name=…": f"/client?name={quote(name)}",
        "/docs": "/docs",
    }
    for label, path in shown.items():
        asked(client, path)  # what Python does once in a process is not asked for
        first, later = [], []
        for _ in range(repeat):
            os.utime(config.history_path)  # as if a run had written into it
            first.append(milliseconds(partial(asked, client, path)))
            later.append(milliseconds(partial(asked, client, path)))
        yield label, (median(first), median(later))


def reports(config: Config, repeat: int) -> Iterator[tuple[str, float, int]]:
    """Each form of the report, the median seconds it takes, and its bytes."""
    release, ranking = live(config).release, read_ranking(config.clientrisk_path)
    results = RunResults(release, evaluate_live(config), ranking, Movers(None, release.id))
    for kind in ("html", "pdf"):
        one = replace(config, report_formats=(kind,))
        with History(config.history_path) as history:
            work = partial(reporting.write_report, one, history, results, with_pdf=True)
            work()
            taken = median(milliseconds(work) for _ in range(repeat)) / 1000
        name = f"report.{kind}"
        yield name, taken, (config.output_model_path / name).stat().st_size


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print the tables."""
    parser = parser_for(__doc__, repeat=9)
    parser.add_argument("--runs", type=int, nargs="+", default=RUNS, metavar="N")
    args = parser.parse_args(argv)
    with TemporaryDirectory(prefix="page-") as folder:
        config = first_world(Path(folder))
        done = 0
        for runs in sorted(args.runs):
            with History(config.history_path) as history:
                fill(history, runs - done)
            done = runs
            shown = [
                [page, *(f"{ms:.1f}" for ms in both)] for page, both in pages(config, args.repeat)
            ]
            print(table([f"{runs:,} runs on record", "first, ms", "after, ms"], shown), "\n")
            made = [
                [name, f"{seconds:.2f}", f"{size / 1024:,.0f}"]
                for name, seconds, size in reports(config, args.repeat)
            ]
            print(table([f"{runs:,} runs on record", "seconds", "KiB"], made), "\n", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
