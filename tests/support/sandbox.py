"""One `Sandbox` gives a test a whole world: folders, a config, client files, stages to run."""

import importlib
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pipeline.core.config import Config, load_config
from pipeline.core.limits import time_limit
from pipeline.core.schema import Schema
from pipeline.storage.history import open_history

PROJECT = Path(__file__).resolve().parents[2]
SHARED = PROJECT.parent / "shared" / "data"
HEADER = "corporation,lastmonth_activity,lastyear_activity,number_of_employees,exited"

needs_shared = pytest.mark.skipif(
    not SHARED.is_dir(), reason="the original and public tables are not beside this project"
)

# the test data: small clients leave, but for one in ten, so that a good model has an F1 below 1
NOISE = 10
# what most tests do with, as it is quick and plain to follow
SIMPLE = {"model": "logistic", "threshold": 0.5, "drift_test": "raw", "gate": "not_worse"}


def client_rows(
    first: int, count: int, *, noise: int = 0, flipped: bool = False, outcome: str | None = None
) -> list[str]:
    """Rows of clients `first` and on: those with under 50 employees leave.

    With `noise`, every so many-th does the opposite; `flipped`, all do. `outcome` overrides it.
    """
    rows = []
    for i in range(first, first + count):
        employees = 5 + (i * 37) % 90
        leaves = (employees < 50) ^ flipped ^ bool(noise and i % noise == 0)
        said = str(int(leaves)) if outcome is None else outcome
        rows.append(f"client{i:05d},{10 + (i * 13) % 40},{200 + (i * 29) % 300},{employees},{said}")
    return rows


def schema_keys(schema: Schema) -> dict[str, Any]:
    """What the key `schema` of a config.json holds for this schema."""
    names = ("client", "outcome", "numeric", "categorical", "date", "left_on", "carry")
    return {name: value for name in names if (value := getattr(schema, name))}


@dataclass(frozen=True)
class Result:
    """What a stage run in process left: exit code, standard output, standard error."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Sandbox:
    """A project folder of its own, with its own config."""

    root: Path
    capsys: pytest.CaptureFixture[str]

    @property
    def config(self) -> Config:
        return load_config(self.root / "config.json")

    @property
    def practice(self) -> Config:
        return load_config(self.root / "config.json", practice=True)

    def configure(self, **keys: Any) -> None:
        """Set keys of config.json; None removes one."""
        path = self.root / "config.json"
        result = {**json.loads(path.read_text()), **keys}
        path.write_text(json.dumps({k: v for k, v in result.items() if v is not None}))

    def write(self, name: str, rows: list[str] | str, header: str = HEADER) -> Path:
        """Write a file below the root: rows under a header, or a text as it is."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        text = rows if isinstance(rows, str) else "\n".join([header, *rows]) + "\n"
        path.write_text(text, encoding="utf-8")
        return path

    def run(self, stage: str, *args: str) -> Result:
        """Run a stage's `main` in this process, on this sandbox's config."""
        self.capsys.readouterr()
        main = importlib.import_module(stage).main
        code = main(["--config", str(self.root / "config.json"), *args])
        captured = self.capsys.readouterr()
        return Result(code, captured.out, captured.err)

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Rows of the history."""
        with open_history(self.config.history_path) as history:
            return history.tuples(sql)

    def files(self) -> dict[str, bytes]:
        """Every file and link below the root with its content."""
        return {
            str(path.relative_to(self.root)): str(path.readlink()).encode()
            if path.is_symlink()
            else path.read_bytes()
            for path in sorted(self.root.rglob("*"))
            if path.is_symlink() or path.is_file()
        }

    def stamps(self) -> dict[str, int]:
        """Every file and link below the root with its time of change in nanoseconds."""
        return {name: (self.root / name).lstat().st_mtime_ns for name in self.files()}


def today() -> date:
    """The day in UTC; one that is about to end is waited for, so that it lasts through a test."""
    while (now := datetime.now(UTC)) + timedelta(seconds=20) > now.replace(
        hour=23, minute=59, second=59
    ):
        time.sleep(1)
    return now.date()


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Fail what takes longer, even if it is blocked in a system call."""
    with time_limit(seconds, pytest.fail.Exception(f"not done within {seconds} seconds")):
        yield
