"""`fullprocess.py --check-engine`: whether a cluster fits what a run asks of it, in words."""

import platform
import sys
from collections.abc import Iterator, Sequence
from importlib.metadata import distributions
from pathlib import Path
from secrets import token_hex

import pandas as pd

from pipeline.core.config import Config
from pipeline.spark.session import EngineError, spark_session

PACKAGES = ("numpy", "pandas", "pyarrow", "scikit-learn", "xxhash", "msgspec", "python-calamine")
FOLDERS = ("input_folder_path", "output_folder_path", "output_model_path")
TASKS = 16  # so many that each executor gets one, as a rule


def check_engine(config: Config) -> list[str]:
    """What was looked at, a line each; raises `EngineError`, which names all that does not fit."""
    assert config.engine
    spark = spark_session(config.engine)
    marks = {key: getattr(config, key) / f".engine-{token_hex(8)}" for key in FOLDERS}
    paths = [str(mark) for mark in marks.values()]

    def look(frames: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        for _ in frames:
            found = [(platform.node(), *each) for each in _here(paths)]
            yield pd.DataFrame(found, columns=["host", "what", "found"]).astype(object)

    try:
        for mark in marks.values():
            mark.parent.mkdir(parents=True, exist_ok=True)
            mark.touch()
        tasks = spark.range(0, TASKS, 1, TASKS)
        rows = tasks.mapInPandas(look, "host string, what string, found string").distinct()
        theirs = {(row.host, row.what): row.found for row in rows.collect()}
    finally:
        for mark in marks.values():
            mark.unlink(missing_ok=True)
    ours, wrong = dict(_here([])), []
    for (host, what), found in sorted(theirs.items()):
        if what in ours and found != ours[what]:
            wrong.append(f"{host} has {what} {found or 'not at all'}; this machine {ours[what]}")
        elif what not in ours and not found:
            wrong.append(
                f"{host} does not see what this machine writes to {Path(what).parent}: all machines"
                " have to share that folder, under the same path"
            )
    if wrong:
        raise EngineError("the cluster does not fit:\n" + "\n".join(wrong))
    return [
        f"Spark {spark.version} at {config.engine.connect or config.engine.master}, executors on"
        f" {', '.join(sorted({host for host, _ in theirs}))}",
        "the same there as here: " + ", ".join(f"{name} {found}" for name, found in ours.items()),
        "shared: " + ", ".join(config.shown(mark.parent) for mark in marks.values()),
    ]


def _here(paths: Sequence[str]) -> Iterator[tuple[str, str]]:
    """What is on this machine: the version of Python and of packages, and which paths are there."""
    found = {each.name: each.version for each in distributions()}
    yield "Python", ".".join(map(str, sys.version_info[:2]))
    yield from ((name, found.get(name, "")) for name in PACKAGES)
    yield from ((path, "seen" if Path(path).exists() else "") for path in paths)
