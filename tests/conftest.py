"""One `Sandbox` gives a test a whole world: folders, a config, client files, stages to run."""

import importlib
import json
import logging
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import postgres
import pytest

from pipeline.config import Config, load_config
from pipeline.database import History, open_history

PROJECT = Path(__file__).resolve().parent.parent
SHARED = PROJECT.parent / "shared" / "data"
HEADER = "corporation,lastmonth_activity,lastyear_activity,number_of_employees,exited"

needs_shared = pytest.mark.skipif(
    not SHARED.is_dir(), reason="the original and public tables are not beside this project"
)

# the test data: small clients leave, but for one in ten, so that a good model has an F1 below 1
NOISE = 10


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
        told = {**json.loads(path.read_text()), **keys}
        path.write_text(json.dumps({k: v for k, v in told.items() if v is not None}))

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
            return [tuple(row) for row in history.query(sql)]

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


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """pip finds no index, so that no test waits for one; those that ask for it set it back."""
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/")
    monkeypatch.setenv("PIP_NO_INDEX", "1")


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
    """A PostgreSQL server, started when a test first asks for it."""
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
    """A folder of finished worlds: what many tests begin with is run once and copied."""
    return tmp_path_factory.mktemp("worlds")


def _run_once(world: Sandbox, kept: Path, *stages: str) -> Sandbox:
    """Run stages on a world, or lay over it what the same stages left of the same world before."""
    if kept.exists():
        shutil.copytree(kept, world.root, symlinks=True, dirs_exist_ok=True)
        return world
    for stage in stages:
        result = world.run(stage)
        assert result.code == 0, result.err
    shutil.copytree(world.root, kept, symlinks=True)
    return world


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
def shared(source: Sandbox, database: str) -> Sandbox:
    """A project with two client files, whose history is to lie on the server."""
    source.configure(history_path=database)
    return source


@pytest.fixture
def live(shared: Sandbox, postgresql: postgres.Server, kept_worlds: Path) -> Sandbox:
    """Such a project whose first run of the whole chain is done; run once and copied."""
    kept = kept_worlds / "on a server"
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


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Fail what takes longer, even if it is blocked in a system call."""

    def stop(*_: object) -> None:
        pytest.fail(f"not done within {seconds} seconds")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
