"""Fixtures: worlds in several states, run once and copied; histories in a file and on a server."""

import json
import logging
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import postgres
import pytest
from hypothesis import settings
from keeping import made_once
from sandbox import NOISE, SIMPLE, Sandbox, client_rows

from pipeline.storage.database import History

# one thread each: pytest's workers and what they start share the cores already
THREADS = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
THREADS["OMP_WAIT_POLICY"] = "passive"  # who asks for more than one is not to wait busily

# Chosen by count, never by time: a busy machine is no failure.
settings.register_profile("everyday", deadline=None, derandomize=True, max_examples=50)
settings.load_profile("everyday")


def pytest_configure() -> None:
    """Before numpy is imported, here or in a worker."""
    os.environ.update(THREADS)


@pytest.fixture(scope="session", autouse=True)
def no_pip(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No run asks a package index: the pip it finds gives up at once."""
    place = tmp_path_factory.mktemp("no_pip")
    (place / "pip.py").write_text("raise SystemExit('no index is asked')\n")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("PYTHONPATH", str(place))
        yield


@pytest.fixture(autouse=True)
def logging_restored() -> Iterator[None]:
    """Stages set up logging for their process; give pytest its own back."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture(scope="session")
def postgresql() -> Iterator[postgres.Server]:
    """A PostgreSQL server of this worker's own, started when a test first asks for it."""
    if why := postgres.missing():
        (pytest.fail if postgres.REQUIRED else pytest.skip)(why)
    with postgres.server() as started:
        for name in ("emptied", "bared"):
            started.execute("postgres", f"CREATE DATABASE {name} {postgres.ENGLISH}")
        postgres.opened(started.url("emptied")).close()
        yield started


@pytest.fixture
def database(postgresql: postgres.Server) -> str:
    """The URL of a database in which nothing has been made yet."""
    return postgresql.bare("bared")


@pytest.fixture(params=postgres.kinds())
def history(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[History]:
    """An open history with nothing in it, in a file and, where there is one, on a server."""
    if request.param == "sqlite":
        with History(tmp_path / "history.db") as history:
            yield history
        return
    server = request.getfixturevalue("postgresql")
    with postgres.opened(server.empty("emptied")) as history:
        yield history


@pytest.fixture
def sandbox(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Sandbox:
    """An empty project with test data and no client files yet."""
    world = Sandbox(tmp_path, capsys)
    world.write(
        "config.json",
        json.dumps(
            {
                "input_folder_path": "sourcedata",
                "output_folder_path": "ingesteddata",
                "test_data_path": "testdata",
                "output_model_path": "models",
                "prod_deployment_path": "production_deployment",
                "api_url": None,
                "report_formats": [],  # they take a second; their own tests ask for them
                **SIMPLE,
            }
        ),
    )
    world.write("testdata/testdata.csv", client_rows(90_000, 60, noise=NOISE))
    (tmp_path / "sourcedata").mkdir()
    return world


@pytest.fixture
def source(sandbox: Sandbox) -> Sandbox:
    """A project with two client files, nothing run yet."""
    sandbox.write("sourcedata/a.csv", client_rows(0, 60, noise=NOISE))
    sandbox.write("sourcedata/b.csv", client_rows(60, 60, noise=NOISE))
    return sandbox


@pytest.fixture(scope="session")
def kept_worlds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of finished worlds: what many tests begin with is run once and copied.

    All workers of pytest share it.
    """
    own = tmp_path_factory.getbasetemp()
    place = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "worlds"
    place.mkdir(exist_ok=True)
    return place


def _run_once(world: Sandbox, kept: Path, *stages: str) -> Sandbox:
    def run() -> None:
        for stage in stages:
            result = world.run(stage)
            assert result.code == 0, result.err

    return made_once(world, kept, run)


@pytest.fixture
def trained(source: Sandbox, kept_worlds: Path) -> Sandbox:
    """A project whose first model is trained, not scored yet."""
    return _run_once(source, kept_worlds / "trained", "ingestion", "training")


@pytest.fixture
def scored(source: Sandbox, kept_worlds: Path) -> Sandbox:
    """A project whose first model is trained and scored, nothing deployed yet."""
    return _run_once(source, kept_worlds / "scored", "ingestion", "training", "scoring")


@pytest.fixture
def deployed(source: Sandbox, kept_worlds: Path) -> Sandbox:
    """A project whose first release is live."""
    stages = ("ingestion", "training", "scoring", "deployment", "reporting")
    return _run_once(source, kept_worlds / "deployed", *stages)


@pytest.fixture
def settled(source: Sandbox, kept_worlds: Path) -> Sandbox:
    """A project whose first run of the whole chain is done: nothing is new, nothing pending."""
    return _run_once(source, kept_worlds / "settled", "fullprocess")


@pytest.fixture
def lived(source: Sandbox, kept_worlds: Path) -> Sandbox:
    """A project with a harmless batch, drift of input and score, and a refused file behind it."""

    def live() -> None:
        assert source.run("fullprocess").code == 0
        source.write("sourcedata/c.csv", client_rows(200, 60))
        assert source.run("fullprocess").code == 0
        drifted = [row.replace(",", ",9", 1) for row in client_rows(300, 400, flipped=True)]
        source.write("sourcedata/d.csv", [*drifted, "Bad Ltd,x,1,1,0"])
        source.write("sourcedata/e.csv", "who,what\nAcme,1\n")
        assert source.run("fullprocess").code == 0

    return made_once(source, kept_worlds / "lived", live)


@pytest.fixture
def shared(source: Sandbox, database: str) -> Sandbox:
    """A project with two client files, whose history is to lie on the server."""
    source.configure(history_path=database)
    return source


@pytest.fixture
def live(
    shared: Sandbox, postgresql: postgres.Server, tmp_path_factory: pytest.TempPathFactory
) -> Sandbox:
    """Such a project whose first run of the whole chain is done; run once a server and copied."""
    kept = tmp_path_factory.getbasetemp() / "on a server"
    if not kept.exists():
        result = shared.run("fullprocess")
        assert result.code == 0, result.err
        shutil.copytree(shared.root, kept, symlinks=True)
        postgresql.execute("postgres", "CREATE DATABASE settled TEMPLATE bared")
        return shared
    shutil.copytree(kept, shared.root, symlinks=True, dirs_exist_ok=True)
    postgresql.execute("postgres", "DROP DATABASE bared WITH (FORCE)")
    postgresql.execute("postgres", "CREATE DATABASE bared TEMPLATE settled")
    return shared
