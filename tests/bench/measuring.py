"""What the benchmarks share: a world of so many clients, interleaved medians, peak memory."""

import argparse
import json
import logging
import os
import platform
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from statistics import median

from pipeline import sample_data
from pipeline.core.config import Config, load_config
from tests.bench import processes
from tests.bench.processes import Cost
from tests.support.stagecalls import ingest

PROJECT = Path(__file__).resolve().parents[2]


def parser_for(manual: str | None, repeat: int) -> argparse.ArgumentParser:
    """A parser whose manual is the benchmark's docstring; nothing is logged from here on."""
    logging.disable(logging.INFO)
    parser = argparse.ArgumentParser(
        description=manual, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeat", type=int, default=repeat, metavar="N")
    return parser


def first_world(place: Path, **keys: str) -> Config:
    """A project folder after the first run of the chain on the sample data.

    The config is the project's, with these keys.
    """
    for name in ("sourcedata", "testdata"):
        shutil.copytree(PROJECT / name, place / name)
    settings = json.loads((PROJECT / "config.json").read_text())
    (place / "config.json").write_text(json.dumps({**settings, **keys}))
    run("fullprocess.py", "--config", str(place / "config.json"))
    return load_config(place / "config.json")


def world(place: Path, clients: int) -> Config:
    """A project folder whose finaldata.csv has so many sample clients, a row each."""
    place.mkdir()
    shutil.copy(PROJECT / "config.json", place)
    config = load_config(place / "config.json")
    sample_data.write(
        config.input_folder_path / "a.csv", sample_data.bulk(clients, sample_data.SEED)
    )
    ingest(config)
    return config


def costs_of(commands: Sequence[Sequence[str]], repeat: int) -> list[list[Cost]]:
    """The costs of Python with each of these words, run A B C A B C from the project's folder.

    Compiled modules are kept, as they are for cron's runs, and no package index is asked.
    """
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(
        [sys.executable, processes.__file__],
        input=json.dumps([[[sys.executable, *words] for words in commands], repeat]),
        cwd=PROJECT,
        env={**environment, "PIP_PYTHON": "/nowhere"},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return [[Cost(*cost) for cost in costs] for costs in json.loads(done.stdout)]


def run(*words: str) -> Cost:
    """The cost of Python with these words."""
    return costs_of([words], 1)[0][0]


def medians(costs: Sequence[Cost]) -> Cost:
    """The median of each cost."""
    return Cost(*(median(values) for values in zip(*costs, strict=True)))


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table: the first column to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    lines = [
        [cell.ljust(width) if not i else cell.rjust(width) for i, (cell, width) in enumerate(pairs)]
        for pairs in (list(zip(row, widths, strict=True)) for row in (header, rule, *rows))
    ]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def machine() -> str:
    """What it was measured with and on."""
    names = ("numpy", "pandas", "scikit-learn", "xxhash", "flask", "gunicorn")
    info = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    models = [line.split(":")[1].strip() for line in info if line.startswith("model name")]
    packages = ", ".join(f"{name} {version(name)}" for name in names)
    return (
        f"{len(models)} cores of {models[0] if models else platform.processor()}, Python"
        f" {platform.python_version()}, SQLite {sqlite3.sqlite_version}, {packages}"
    )
