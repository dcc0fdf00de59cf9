"""What files that are not canonical cost to take in, beside the same rows as they should be.

Run it from the project's folder; it needs some 500 MB of disk:

    python -m tests.bench.bench_formats [--rows 1000000]

Whole processes, each on a folder of its own; CPU seconds without those of a run on one row.
"""

import argparse
import gzip
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from tests.bench.measuring import machine, run, table

HEADER = ("id", "age", "balance", "tenure", "plan", "left")
Row = Sequence[str]


def rows_of(count: int) -> list[Row]:
    """Rows as files should have them."""
    lot = np.random.default_rng(0)
    numbers = [
        lot.integers(18, 90, count),
        lot.uniform(0, 9_000, count),
        lot.integers(0, 60, count),
    ]
    plans, left = lot.integers(0, 3, count), lot.integers(0, 2, count)
    columns = zip(*(column.tolist() for column in (*numbers, plans, left)), strict=True)
    return [
        (f"C{i:07d}", str(age), f"{balance:.1f}5", str(tenure), "abc"[plan], str(out))
        for i, (age, balance, tenure, plan, out) in enumerate(columns)
    ]


def joined(rows: Sequence[Row], mark: str) -> str:
    """Rows as lines."""
    return "".join(f"{mark.join(row)}\n" for row in (HEADER, *rows))


def changed(rows: Sequence[Row], change: Callable[[str], str]) -> list[Row]:
    """Rows with another way to write balances."""
    return [(*row[:2], change(row[2]), *row[3:]) for row in rows]


def money(text: str) -> str:
    """An amount as spreadsheets of the United States show it."""
    return f'"${float(text):,.2f}"'


WAYS: dict[str, Callable[[Sequence[Row]], bytes]] = {
    "as it should be": lambda rows: joined(rows, ",").encode(),
    "semicolons": lambda rows: joined(rows, ";").encode(),
    "semicolons, decimal comma": lambda rows: joined(
        changed(rows, lambda text: text.replace(".", ",")), ";"
    ).encode(),
    "all quoted": lambda rows: joined([[f'"{t}"' for t in row] for row in rows], ",").encode(),
    "money": lambda rows: joined(changed(rows, money), ",").encode(),
    "UTF-16, tabs": lambda rows: joined(rows, "\t").encode("utf-16"),
    "gzip": lambda rows: gzip.compress(joined(rows, ",").encode(), 1),
}


def cost(content: bytes) -> float:
    """The CPU seconds of taking in a file of this content."""
    with TemporaryDirectory() as folder:
        place = Path(folder)
        (place / "in").mkdir()
        (place / "in/clients.csv").write_bytes(content)
        os.utime(place / "in/clients.csv", (1.7e9, 1.7e9))  # or it may still be being written
        schema = {
            **{"client": "id", "outcome": "left", "numeric": ["age", "balance", "tenure"]},
            "categorical": ["plan"],
        }
        paths = ("output_folder_path", "test_data_path", "output_model_path")
        keys = {key: key for key in (*paths, "prod_deployment_path")}
        config = place / "config.json"
        config.write_text(json.dumps({"input_folder_path": "in", "schema": schema, **keys}))
        return run("ingestion.py", "--config", str(config)).cpu


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=1_000_000)
    args = parser.parse_args()
    rows = rows_of(args.rows)
    print(machine())
    start = min(cost(WAYS["as it should be"](rows[:1])) for _ in range(3))
    plain, lines = 0.0, []
    for name, way in WAYS.items():
        spent = min(cost(way(rows)) for _ in range(2)) - start
        plain = plain or spent
        lines.append((name, f"{spent / args.rows * 1e6:.2f}", f"{spent / plain:.1f}"))
    print(table((f"{args.rows:,} rows", "CPU, µs a row", "times"), lines))


if __name__ == "__main__":
    main()
