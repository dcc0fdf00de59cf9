"""A URL in `history_path`: what is one, which two are the same place, who sees its password."""

import json
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
from sandbox import PROJECT, Sandbox

from pipeline.core.database_url import FORM, DatabaseUrl
from pipeline.core.errors import ConfigError

SECRET = "s3cret"
URL = f"postgresql://risk:{SECRET}@db.example:5433/history"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://db/history", "postgresql://db/history"),
        ("postgres://risk@db/history", "postgresql://risk@db/history"),
        (URL, "postgresql://risk@db.example:5433/history"),
        (f"postgresql://:{SECRET}@[::1]:5432/h", "postgresql://[::1]:5432/h"),
        (f"postgresql://risk:{SECRET}@a,b:5433/h", "postgresql://risk@a,b:5433/h"),
        (f"postgresql:///h?host=/run/x&password={SECRET}", "postgresql:///h?host=%2Frun%2Fx"),
        (f"postgresql://db/h?sslpassword={SECRET}", "postgresql://db/h"),
        (f"postgresql://risk:{SECRET}%40%3A%2F%25@db/h", "postgresql://risk@db/h"),
    ],
)
def test_it_shows_itself_without_its_password(url: str, shown: str) -> None:
    found = DatabaseUrl(url)

    assert (str(found), repr(found)) == (shown, f"DatabaseUrl({shown!r})")
    assert found.with_password == url


@pytest.mark.parametrize(
    "url",
    [
        *(f"{scheme}://risk:{SECRET}@db/h" for scheme in ("mysql", "sqlite", "postgress", "http")),
        f"postgresql://risk:{SECRET}@db",  # no database
        f"postgresql://risk:{SECRET}@db/",
        f"postgresql://risk:{SECRET}/x@db/h",
        f"postgresql://risk:{SECRET}@x@db/h",
        f"postgresql://risk:{SECRET}%@db/h",
        f"postgresql://risk:{SECRET}%00@db/h",
        f"postgresql://risk:{SECRET}@db:port/h",
        f"postgresql://db/h?password{SECRET}",
        f"postgresql:risk:{SECRET}@db/h",
        f"postgresql://risk:{SECRET} @db/h",
    ],
)
def test_what_is_none_is_refused_without_repeating_it(sandbox: Sandbox, url: str) -> None:
    sandbox.configure(history_path=url)

    with pytest.raises(ConfigError) as caught:
        sandbox.config  # noqa: B018
    result = f'"history_path" must be a path or a database\'s URL: expected {FORM}'
    assert str(caught.value) == f"{sandbox.root / 'config.json'}: {result}"


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("postgresql://db/h", "postgres://other:x@DB:5432/h?sslmode=require", True),
        ("postgresql://db/h", "postgresql://db/%68", True),
        ("postgresql://db/h", "postgresql:///x?host=db&dbname=h", True),
        ("postgresql://db/h", "postgresql://db/practice", False),
        ("postgresql://db/h", "postgresql://db:5433/h", False),
        ("postgresql://db/h", "postgresql://db2/h", False),
        ("postgresql://db/h", "postgresql://db/h?options=-csearch_path%3Dpractice", False),
    ],
)
def test_two_are_the_same_where_they_name_the_same_place(one: str, other: str, same: bool) -> None:
    first, second = DatabaseUrl(one), DatabaseUrl(other)

    assert (first == second) is same
    if same:
        assert hash(first) == hash(second)
    assert first != one


def test_practice_has_a_file_of_its_own(sandbox: Sandbox) -> None:
    sandbox.configure(history_path=URL)

    assert sandbox.config.history_path == sandbox.config.lock_path == DatabaseUrl(URL)
    assert sandbox.practice.history_path == sandbox.root / "practicemodels/history.db"
    assert isinstance(sandbox.practice.lock_path, Path)


def test_practice_in_the_database_of_production_is_refused(sandbox: Sandbox) -> None:
    sandbox.configure(
        history_path=URL,
        practice={"history_path": f"postgres://trial:{SECRET}@db.example:5433/history"},
    )

    with pytest.raises(ConfigError) as caught:
        sandbox.config  # noqa: B018
    assert str(caught.value).endswith(
        '"practice.history_path" is the same as "history_path": it would touch production'
    )


def test_a_config_shows_no_password(sandbox: Sandbox) -> None:
    sandbox.configure(history_path=URL)

    assert SECRET not in f"{sandbox.config} {sandbox.config!r} {sandbox.config.history_path}"
    assert "postgresql://risk@db.example:5433/history" in repr(sandbox.config)


def test_it_is_not_sent_to_a_worker_nor_written_down(sandbox: Sandbox) -> None:
    sandbox.configure(history_path=URL)

    for thing in (sandbox.config, sandbox.config.history_path):
        with pytest.raises(TypeError, match="stays in its process"):
            pickle.dumps(thing)


WITHOUT_PSYCOPG = """
import sys
sys.modules["psycopg"] = None  # as if it were not installed
import fullprocess
raise SystemExit(fullprocess.main(sys.argv[1:]))
"""


@pytest.mark.parametrize("args", [(), ("--status",)])
def test_without_psycopg_it_says_what_to_install(source: Sandbox, args: tuple[str, ...]) -> None:
    source.configure(history_path=URL)

    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_PSYCOPG, "--config", f"{source.root}/config.json", *args],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "error: a history on a PostgreSQL server needs psycopg (import of psycopg halted; None in"
        " sys.modules): pip install -r pipeline/requirements-postgres.txt\n"
    )
    assert (PROJECT / "pipeline/requirements-postgres.txt").read_text().startswith("psycopg")


def test_a_history_in_a_file_needs_nothing_of_it(settled: Sandbox) -> None:
    child = "import fullprocess, json, sys; fullprocess.main(sys.argv[1:]);"
    child += "print(json.dumps([name for name in sys.modules if name.startswith('pipeline.')]))"

    out = subprocess.run(
        [sys.executable, "-c", child, "--config", f"{settled.root}/config.json"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout

    imported = json.loads(out.splitlines()[-1])
    ours = {"core.database_url", "storage.postgres"}
    assert "pipeline.storage.database" in imported
    assert {f"pipeline.{name}" for name in ours}.isdisjoint(imported)
