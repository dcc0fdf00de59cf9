"""What it takes to put the risks of a ranking on record, in a file and on a PostgreSQL server.

The server is one of its own on loopback, started for this; without psycopg or PostgreSQL the file
alone is measured. Rankings follow each other: the first, one in which each risk is another, and the
same again. Run it from the project's folder:

    python -m tests.bench.bench_risks [--clients 10000 100000 1000000]
"""

import argparse
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import TYPE_CHECKING

from pipeline.core.database_url import DatabaseUrl
from pipeline.storage.database import History
from pipeline.storage.history import open_history
from pipeline.storage.risk_history import last_changes, record_risks
from tests.bench.measuring import PROJECT, machine, table

sys.path.insert(0, str(PROJECT / "tests/support"))  # where a real server is started
RANKINGS = {"the first": 0, "all others": 1, "the same": 1}

if TYPE_CHECKING:
    from postgres import Server


def microseconds(history: History, clients: int) -> list[float]:
    """Of the clock, a client, for each ranking, and for finding the movers of the last one."""
    taken = []
    for shift in RANKINGS.values():
        risks = {f"client {i:09}": (i + shift) % 101 / 100 for i in range(clients)}
        taken.append(_timed(lambda risks=risks: record_risks(history, "a release", risks)))
    taken.append(_timed(lambda: last_changes(history)))
    return [seconds / clients * 1e6 for seconds in taken]


def _timed(action: Callable[[], object]) -> float:
    started = perf_counter()
    action()
    return perf_counter() - started


@contextmanager
def a_server() -> "Iterator[Server | None]":
    """A server of our own, if there can be one."""
    import postgres

    with nullcontext() if postgres.missing() else postgres.server() as running:
        yield running


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    args = parser.parse_args()
    print(machine(), "\n")
    lines = []
    with TemporaryDirectory(prefix="risks-") as folder, a_server() as server:
        for clients in args.clients:
            places: dict[str, Path | DatabaseUrl] = {"SQLite": Path(folder) / f"{clients}.db"}
            if server:
                server.execute("postgres", f"CREATE DATABASE risks{clients}")
                places["PostgreSQL"] = DatabaseUrl(server.url(f"risks{clients}"))
            for name, place in places.items():
                with open_history(place) as history:
                    taken = microseconds(history, clients)
                lines.append([f"{clients:,}", name, *(f"{each:.1f}" for each in taken)])
    print(table(["clients", "history", *RANKINGS, "movers"], lines))


if __name__ == "__main__":
    main()
