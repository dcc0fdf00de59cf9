"""The connection to Spark, whether a cluster fits, and how frames are read, written and counted."""

import atexit
import os
import platform
import re
import shutil
import sys
from collections.abc import Iterator, Sequence
from functools import lru_cache
from importlib.metadata import distributions
from pathlib import Path
from secrets import token_hex
from tempfile import TemporaryFile, mkdtemp
from zipfile import ZipFile

import pandas as pd
from py4j.protocol import Py4JError
from pyspark.errors import PySparkException, PythonException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from pipeline.core.config import Config
from pipeline.core.connections import Engine
from pipeline.core.errors import PipelineError

# What `conf` of the config says comes after these.
DEFAULTS = {
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.log.level": "OFF",
}


class EngineError(PipelineError):
    """Spark does not do what it has to."""


@lru_cache(maxsize=1)
def spark_session(engine: Engine) -> SparkSession:
    """The session, begun when it is first asked for; executors get this project's code by it.

    Raises `EngineError` if it cannot be reached.
    """
    master, connect = engine.master, engine.connect
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    builder = SparkSession.builder.appName("clients about to leave")
    builder = builder.remote(connect) if connect else builder.master(master)
    for key, value in {**DEFAULTS, **dict(engine.conf)}.items():
        builder = builder.config(key, value)
    with TemporaryFile() as said:  # what Java says on standard error as it begins, and later
        before = os.dup(2)
        os.dup2(said.fileno(), 2)
        try:
            session = builder.getOrCreate()
            _send_code(session)
        except (PySparkException, Py4JError, RuntimeError, OSError) as error:
            said.seek(0)
            why = _why(f"{said.read().decode()}\n{error}")
            raise EngineError(
                f"Spark at {connect or master} cannot be used: {why}; see whether it runs there"
            ) from error
        finally:
            os.dup2(before, 2)
            os.close(before)
    return session


def _why(said: str) -> str:
    """The line that tells most of what Java says of a fault."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    faults = [line for line in lines if "Exception: " in line or "Error: " in line]
    return (faults or lines or ["it does not say why"])[-1]


def _send_code(session: SparkSession) -> None:
    """Give executors the package `pipeline`, which they fetch when they begin."""
    package, folder = Path(__file__).parent.parent, Path(mkdtemp())
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    archive = folder / "clients_pipeline.zip"
    with ZipFile(archive, "w") as target:
        for path in sorted(package.rglob("*.py")):
            target.write(path, path.relative_to(package.parent))
    session.addArtifacts(str(archive), pyfile=True)


def read(session: SparkSession, folders: Sequence[Path], schema: str = "") -> DataFrame:
    """What was written to folders; where that may be nothing, with the columns of a schema."""
    if not folders:
        return session.createDataFrame([], schema)
    # Spark takes a path for a pattern
    places = [re.sub(r"([][{}*?\\])", r"\\\1", f"file://{folder}") for folder in folders]
    return (session.read.schema(schema) if schema else session.read).parquet(*places)


def write(frame: DataFrame, folder: Path, *by: str) -> None:
    """Write a frame as Parquet, in folders by these columns; it is there whole or not at all."""
    begun = folder.with_name(f".{folder.name}")
    try:
        frame.write.partitionBy(*by).parquet(f"file://{begun}")
    except PythonException:  # a fault of ours, with its traceback
        raise
    except (PySparkException, Py4JError) as error:
        raise EngineError(f"Spark could not write {folder}: {_why(str(error))}") from error
    begun.rename(folder)


def in_buckets(frame: DataFrame, buckets: int) -> DataFrame:
    """A frame with the bucket of each row's client."""
    bucket = F.pmod(F.xxhash64("client"), F.lit(buckets).cast("long"))
    return frame.withColumn("bucket", bucket.cast("int"))


def check_count(what: str, found: int, expected: int) -> None:
    """Raise `EngineError` if rows were lost, or came twice, on their way."""
    if found != expected:
        raise EngineError(
            f"Spark was to hand over {expected:,} {what} and handed over {found:,}: nothing of"
            " this run counts, the next one does it anew"
        )


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
