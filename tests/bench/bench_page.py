"""How long the server works on each page while the history grows.

Runs the chain on the sample data (10,000 clients) in a temporary place, fills its history with as
many runs as asked for, and prints the processor's milliseconds for each page: the first answer
after another run was recorded, when charts are drawn anew, and those after. A page that takes
longer than its bound is an error. Run it from the project's folder:

    python -m tests.bench.bench_page [--runs 10 50000] [--repeat 9]
"""

from collections.abc import Iterator, Sequence
from operator import gt
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import process_time
from urllib.parse import quote

from flask.testing import FlaskClient

from pipeline.core.config import Config
from pipeline.storage.database import History
from pipeline.web.app import create_app
from tests.bench.history import asked, fill
from tests.bench.measuring import first_world, parser_for, table

RUNS = (10, 50_000)
BOUNDS = (100.0, 5.0)  # milliseconds, of the first answer and of the others


def milliseconds(client: FlaskClient, path: str) -> float:
    """How long the processor works on an answer this once."""
    started = process_time()
    asked(client, path)
    return 1000 * (process_time() - started)


def pages(config: Config, repeat: int) -> Iterator[tuple[str, tuple[float, float]]]:
    """Each page, and median milliseconds of the first answer after a run and of the next."""
    client = create_app(config).test_client()
    highest, next_one = asked(client, "/risk?limit=2").get_json()["clients"]
    name, other = (quote(one["client"]) for one in (highest, next_one))
    shown = {
        "/": "/",
        "/clients?q=…": "/clients?q=12",
        "/model": "/model",
        "/operations": "/operations",
        "/client?name=…": f"/client?name={name}",
    }
    for label, path in shown.items():
        asked(client, path)  # what Python does once in a process is not asked for
        first, later = [], []
        for _ in range(repeat):
            with History(config.history_path) as history:
                fill(history, 1)
            first.append(milliseconds(client, path))
            asked(client, path.replace(name, other))  # what is kept of one client serves no other
            later.append(milliseconds(client, path))
        yield label, (median(first), median(later))


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print the tables, and say which pages take too long."""
    parser = parser_for(__doc__, repeat=9)
    parser.add_argument("--runs", type=int, nargs="+", default=RUNS, metavar="N")
    args = parser.parse_args(argv)
    slow = []
    with TemporaryDirectory(prefix="page-") as folder:
        config = first_world(Path(folder))
        done = 0
        for runs in sorted(args.runs):
            with History(config.history_path) as history:
                fill(history, runs - done)
            done = runs
            found = dict(pages(config, args.repeat))
            header = [f"{runs:,} runs on record", "first, ms", "after, ms"]
            shown = [[page, *(f"{ms:.1f}" for ms in taken)] for page, taken in found.items()]
            print(table(header, shown), "\n", flush=True)
            slow += [page for page, taken in found.items() if any(map(gt, taken, BOUNDS))]
    if slow:
        print(f"too slow: {', '.join(slow)}")
    return 1 if slow else 0


if __name__ == "__main__":
    raise SystemExit(main())
