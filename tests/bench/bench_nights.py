"""What a year of nightly exports costs: the first night, the last, and what is stored by then.

Run it from the project's folder; it takes a minute:

    python -m tests.bench.bench_nights [--clients 10000] [--nights 365] [--changed 0.01]

Each night one in so many clients has changed. The exports have a name of their own each night, or
are written over that of the night before.
"""

import argparse
import json
import os
import random
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import process_time

from pipeline.core.config import load_config
from pipeline.core.schema import DEFAULT_SCHEMA
from tests.bench.measuring import PROJECT, machine, table
from tests.support.stagecalls import ingest

START = 1_700_000_000  # of the first night, in seconds since 1970
ENDS = 10  # nights at either end, of which the median is shown


def nights(place: Path, args: argparse.Namespace, *, one_name: bool) -> list[str]:
    """The line of the table for a year of exports."""
    keys = json.loads((PROJECT / "config.json").read_text()) | {"input_folder_path": "in"}
    (place / "in").mkdir(parents=True)
    (place / "config.json").write_text(json.dumps(keys))
    config, dice = load_config(place / "config.json"), random.Random(1)
    rows = [[f"client{i:05d}", *_numbers(dice), ""] for i in range(args.clients)]
    seconds = []
    for night in range(args.nights):
        for row in dice.sample(rows, int(args.clients * args.changed)):
            row[1:4] = _numbers(dice)
        path = place / "in" / ("export.csv" if one_name else f"export_{night}.csv")
        path.write_text("\n".join([DEFAULT_SCHEMA.header, *map(",".join, rows), ""]))
        os.utime(path, (START + night * 86_400,) * 2)
        began = process_time()
        ingest(config)
        seconds.append(process_time() - began)
    first, last = median(seconds[:ENDS]), median(seconds[-ENDS:])
    sizes = {path.suffix: path.stat().st_size for path in config.output_folder_path.iterdir()}
    beside = sum(sizes[suffix] for suffix in (".states", ".sightings"))
    return [
        "written over" if one_name else "a name each night",
        *(f"{first:.3f}", f"{last:.3f}", f"{last / first:.2f}"),
        *(f"{size / 1e6:.1f}" for size in (sizes[".csv"], beside)),
    ]


def _numbers(dice: random.Random) -> list[str]:
    return [str(dice.randint(0, 9_999)) for _ in range(3)]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clients", type=int, default=10_000)
    parser.add_argument("--nights", type=int, default=365)
    parser.add_argument("--changed", type=float, default=0.01)
    args = parser.parse_args()
    head = ["exports", "first nights, CPU s", "last nights", "ratio", "finaldata, MB", "beside, MB"]
    lines = []
    for one_name in (False, True):
        with TemporaryDirectory() as folder:
            lines.append(nights(Path(folder), args, one_name=one_name))
    print(table(head, lines))
    print(machine())


if __name__ == "__main__":
    main()
