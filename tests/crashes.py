"""Run the real commands on small worlds, kill them or take their disk away, and see what is left.

`python tests/crashes.py KIND SCENARIO SHARE OF FOLDER` does every OF-th case of a kind from number
SHARE on, in the folder, and prints what it found as JSON. The commands run in children forked from
this one process, which has imported everything and has one thread.
"""

import ctypes
import gc
import hashlib
import importlib
import io
import json
import os
import pickle
import random
import re
import resource
import shutil
import signal
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from itertools import chain
from pathlib import Path

import pandas as pd
from conftest import HEADER, NOISE, client_rows
from tracing import OPENS, SYNCS, WRITES, Call, follow, fork

from pipeline.config import Config, load_config
from pipeline.errors import PipelineError
from pipeline.frames import read_folder
from pipeline.models import load_release, predictions_of
from pipeline.releases import MODEL, RECORD, SCORE, live_id, live_release

NOTHING_NEW = "nothing new in sourcedata\n"
RELEASE = re.compile(rb"(\d{6})-\d{8}T\d{6}Z")
SECONDS = 60  # within which every run must end
PAGE = 4096
BLOCK = 16  # kills that one worker does in a row: many of them leave the same state
MOMENTS = 34  # at which each scenario is killed at random
SIZES = (0, 1, 64, 200, 512, 1_000, 2_000, 2_900, 3_000, 4_096, 4_608, 6_000, 8_192, 8_720, 10_000)
SIZES += (12_288, 16_000, 20_480, 30_000, 45_056, 61_440, 65_536, 73_728, 90_112, 98_304, 200_000)
DISK = 8 << 20
ROOM = (*range(16), *range(18, 60, 3), 1000)  # pages left on the disk
PLACES = ("ingesteddata", "models", "production_deployment", "history.db", "history.db.run", ".")


# --- the worlds and what is run on them ---


def table(rows: list[str], header: str = HEADER) -> str:
    return "\n".join([header, *rows]) + "\n"


A = table(client_rows(0, 60, noise=NOISE))
B = table(client_rows(50, 70, noise=NOISE))  # ten of its rows are in A
STABLE = table([*client_rows(300, 60), "Bad Ltd,many,300,50,0", *client_rows(0, 5, noise=NOISE)])
DRIFTED = table(client_rows(300, 400, flipped=True))
REFUSED = table(client_rows(300, 60), header="who,what")


@dataclass(frozen=True)
class Scenario:
    """A command, the world it runs on, and the tables whose rows it must leave in the master."""

    command: tuple[str, ...]
    before: tuple[str | tuple[str, str | None], ...]  # stages to run, (file, text) to write
    tables: tuple[str, ...]
    keep_releases: int = 5


SCENARIOS = {
    "cold start": Scenario(("fullprocess",), (), (A, B)),
    "no drift": Scenario(("fullprocess",), ("fullprocess", ("c.csv", STABLE)), (A, B, STABLE)),
    "drift": Scenario(
        ("fullprocess",),
        ("fullprocess", "deployment", ("c.csv", DRIFTED)),
        (A, B, DRIFTED),
        keep_releases=1,  # so that the first one goes
    ),
    "rejected": Scenario(
        ("fullprocess",),
        (("c.csv", STABLE), "fullprocess", ("c.csv", REFUSED)),
        (A, B, STABLE),
    ),
    "rebuild": Scenario(
        ("ingestion", "--rebuild"),
        (("c.csv", STABLE), "fullprocess", ("b.csv", None)),
        (A, STABLE),
    ),
    "rollback": Scenario(
        ("deployment", "--rollback"),
        ("fullprocess", ("c.csv", DRIFTED), "fullprocess"),
        (A, B, DRIFTED),
    ),
}


def recomputed(tables: tuple[str, ...]) -> bytes:
    """What `finaldata.csv` must hold, by nothing but pandas."""
    every = pd.concat(
        [pd.read_csv(io.StringIO(text), dtype=str, keep_default_na=False) for text in tables]
    )
    numbers = every.iloc[:, 1:].apply(pd.to_numeric, errors="coerce")
    text: str = every[numbers.notna().all(axis=1)].drop_duplicates().to_csv(index=False)
    return text.encode()


# --- running ---


@dataclass(frozen=True)
class Ended:
    """How a run ended, and what it said."""

    code: int
    out: str
    err: str


@dataclass
class World:
    """A project folder of its own, and the program that reads its production meanwhile."""

    root: Path
    faults: list[str] = field(default_factory=list)
    looks: int = 0

    @property
    def config(self) -> Config:
        return load_config(self.root / "config.json")

    @property
    def history(self) -> Path:
        return self.root / "history.db"

    def run(
        self,
        *command: str,
        before: Callable[[Call], None] = lambda _: None,
        after: Callable[[Call], None] = lambda _: None,
        limit: Callable[[], None] = lambda: None,
    ) -> Ended:
        """Run a stage in a child; the reader looks at production after each call that changes it."""
        reader = Reader(self)

        def returned(call: Call) -> None:
            after(call)
            if any(path.is_relative_to(reader.production) for path in call.paths):
                reader.look()

        with piped() as (out, err):
            child = fork(lambda: self._main(command, out, err, limit), traced=True)
            code = follow(child, self.root, before, returned)
        reader.end()
        return Ended(code, out.text(), err.text())

    def run_until(self, moment: float, *command: str) -> Ended:
        """Run a stage in a child and kill it after so many seconds, reading production all along."""
        reader = Reader(self)
        with piped() as (out, err):
            child = fork(lambda: self._main(command, out, err, lambda: None))
            end = time.monotonic() + moment
            while not os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                reader.look()
                if time.monotonic() >= end:
                    os.kill(child, signal.SIGKILL)
                time.sleep(0.0005)
            _, status = os.waitpid(child, 0)
        reader.end()
        return Ended(os.waitstatus_to_exitcode(status), out.text(), err.text())

    def _main(
        self, command: tuple[str, ...], out: "Pipe", err: "Pipe", limit: Callable[[], None]
    ) -> int:
        os.dup2(out.writing, 1)
        os.dup2(err.writing, 2)
        signal.alarm(SECONDS)
        sys.executable = shutil.which("false") or ""  # pip gives no answer
        limit()
        stage, *options = command
        main = importlib.import_module(stage).main
        code: int = main(["--config", str(self.root / "config.json"), *options])
        return code

    def tree(self) -> list[str]:
        """Every name below the root, the ids of releases without their times."""
        names = sorted(str(path.relative_to(self.root)) for path in self.root.rglob("*"))
        return [normal(os.fsencode(name)).decode() for name in names]

    def stamps(self) -> dict[Path, tuple[int, int]]:
        """When each file, link and folder changed, but for the lock's folder."""
        told = {
            path: path.lstat() for path in self.root.rglob("*") if path.name != "history.db.run"
        }
        return {path: (stat.st_mtime_ns, stat.st_ino) for path, stat in told.items()}


@dataclass
class Pipe:
    """What a child says, kept by the kernel until it is read."""

    reading: int
    writing: int
    content: bytes = b""

    def text(self) -> str:
        return self.content.decode(errors="replace")


@contextmanager
def piped() -> Iterator[tuple[Pipe, Pipe]]:
    """Two pipes for a child; what it said can be told afterwards."""
    pipes = Pipe(*os.pipe()), Pipe(*os.pipe())
    try:
        yield pipes
    finally:
        for pipe in pipes:
            os.close(pipe.writing)
            with open(pipe.reading, "rb") as file:
                pipe.content = file.read()


class Reader:
    """Another program, which reads what is live: through `current` once, and through the links."""

    def __init__(self, world: World) -> None:
        self.world, self.production = world, world.config.prod_deployment_path
        self.first = self.last = self._resolved()

    def look(self) -> None:
        """Read the release resolved at the last look, then what is live now."""
        self.world.looks += 1
        if self.last:
            self._read(self.last, "resolved before")
        now = self._resolved()
        if now:
            self._read(now, "live")
            linked = self._digests(self.production, "linked")
            if self._resolved() == now and linked != self._digests(now, "live"):
                self._fault(f"the links do not show {now.name}")
            self.first = self.first or now
        elif self.last:
            self._fault("nothing is live any more")
        self.last = now

    def end(self) -> None:
        """Look once more, and read what was live at the start."""
        self.look()
        if self.first:
            self._read(self.first, "live at the start")

    def _resolved(self) -> Path | None:
        live = live_id(self.production)
        return self.production / "releases" / live if live else None

    def _read(self, folder: Path, what: str) -> None:
        try:
            told = json.loads((folder / "manifest.json").read_bytes())["files"]
        except (OSError, ValueError) as error:
            self._fault(f"{what}: {folder.name}: {error!r}")
        else:
            if self._digests(folder, what) != told:
                self._fault(f"{what}: {folder.name} is a mixed set")

    def _digests(self, folder: Path, what: str) -> dict[str, str]:
        digests = {}
        for name in (MODEL, SCORE, RECORD):
            try:
                digests[name] = hashlib.sha256((folder / name).read_bytes()).hexdigest()
            except OSError as error:
                self._fault(f"{what}: {folder.name}: {error!r}")
        return digests

    def _fault(self, told: str) -> None:
        self.world.faults.append(f"a reader saw: {told}")


def normal(content: bytes) -> bytes:
    """A content with the times left out of the ids of releases."""
    return RELEASE.sub(rb"\1", content)


# --- what must hold ---

SAME = (
    "ingesteddata/finaldata.csv",
    "ingesteddata/ingestedfiles.txt",
    "ingesteddata/rejectedrows.csv",
    "models/trainedmodel.pkl",
    "models/latestscore.txt",
    "models/clientrisk.csv",
    "production_deployment/trainedmodel.pkl",
    "production_deployment/latestscore.txt",
    "production_deployment/ingestedfiles.txt",
)
LEDGER = (
    "SELECT name, size, sha256, status, reason, rows, added, duplicates, rejected, start_byte,"
    " end_byte, current, judged_at IS NULL, reported_at IS NULL FROM files ORDER BY id"
)


def query(history: Path, sql: str) -> list[tuple[object, ...]]:
    """Rows of a history, without the project's code."""
    connection = sqlite3.connect(history)
    try:
        return connection.execute(sql).fetchall()
    finally:
        connection.close()


@dataclass(frozen=True)
class Outcome:
    """A finished world, times left out: to be the same whether its run was killed or not."""

    tree: list[str]
    contents: dict[str, bytes]
    ledger: list[tuple[object, ...]]
    master: list[tuple[object, ...]]
    judged: list[str]  # the files of all decisions
    deployments: list[tuple[str, str]]

    @classmethod
    def of(cls, world: World) -> "Outcome":
        files = [world.root / name for name in SAME]
        history = world.history
        decided = query(history, "SELECT files FROM decisions ORDER BY id")
        deployed = query(history, "SELECT release, action FROM deployments ORDER BY id")
        return cls(
            tree=world.tree(),
            contents={
                str(path.relative_to(world.root)): content_of(world, path)
                for path in files
                if path.exists()
            },
            ledger=query(history, LEDGER),
            master=query(history, "SELECT bytes, rows, rebuilding FROM master"),
            judged=sorted(name for (names,) in decided for name in json.loads(str(names))),
            deployments=[(str(release)[:6], str(action)) for release, action in deployed],
        )


def content_of(world: World, path: Path) -> bytes:
    """What a file says; of a model, what it answers: its bytes depend on what was loaded before."""
    if path.suffix != ".pkl":
        return normal(path.read_bytes())
    model = pickle.loads(path.read_bytes())
    rows = pd.read_csv(world.root / "testdata/testdata.csv")
    answers: bytes = model.predict_proba(rows[list(model.feature_names_in_)]).tobytes()
    return answers


def check_production(world: World) -> None:
    """Nothing is live, or one complete release whose digests hold, which loads and predicts."""
    config = world.config
    if live_id(config.prod_deployment_path) is None:
        return
    try:
        release = live_release(config.prod_deployment_path)
        model = load_release(release, config.schema)
        rows = read_folder(config.test_data_path, config.schema)
        assert set(predictions_of(model, rows)) == {0, 1}
    except (PipelineError, AssertionError) as error:
        world.faults.append(f"production: {error!r}")


def check_history(path: Path, world: World) -> None:
    """The history is one that SQLite finds nothing wrong with."""
    for pragma in ("integrity_check", "foreign_key_check"):
        if (told := query(path, f"PRAGMA {pragma}")) not in ([("ok",)], []):
            world.faults.append(f"history: {pragma}: {told}")


def state_of(world: World) -> str:
    """A digest of all that a kill left, but for times: where it is the same, so is what follows.

    Of the history it is what SQLite makes of it, asked on a copy so that its journal stays.
    """
    told = hashlib.sha256()
    for path in sorted(world.root.rglob("*")):
        told.update(normal(os.fsencode(path.relative_to(world.root))))
        if path.is_symlink():
            told.update(normal(os.fsencode(path.readlink())))
        elif path.is_file() and not path.name.startswith(("history.db", "lock")):
            told.update(without_times(path.read_bytes()))
    copy = world.root.with_name("copy")
    shutil.rmtree(copy, ignore_errors=True)
    copy.mkdir()
    for path in world.root.glob("history.db*"):
        if path.is_file():
            shutil.copy(path, copy)
    if (copy / "history.db").exists():
        check_history(copy / "history.db", world)
        connection = sqlite3.connect(copy / "history.db")
        for line in connection.iterdump():
            if not line.startswith('INSERT INTO "timings"'):
                told.update(without_times(line.encode()))
        connection.close()
        told.update(b"journal" * (copy / "history.db-journal").exists())
    return told.hexdigest()


def without_times(content: bytes) -> bytes:
    """A content without times, and without the digests of what holds times."""
    return re.sub(rb"\d{4}-\d\d-\d\dT[\d:.]+Z|:\d{5}/|[0-9a-f]{64}", b"", normal(content))


def check_outcome(world: World, expected: Outcome) -> None:
    """The world is as it would be without the kill, and its reports are of what is live."""
    found = Outcome.of(world)
    for part, value in vars(expected).items():
        if (other := getattr(found, part)) != value:
            world.faults.append(f"{part}: {differences(value, other)}")
    live = live_id(world.config.prod_deployment_path) or ""
    recorded = query(world.history, "SELECT release FROM deployments ORDER BY id DESC LIMIT 1")
    if recorded != [(live,)]:
        world.faults.append(f"{live} is live, recorded is {recorded}")
    for name in ("clientrisk.csv", "apireturns2.txt", "confusionmatrix2.png"):
        if not (world.root / "models" / name).is_file():
            world.faults.append(f"there is no {name}")


def differences(expected: object, found: object) -> str:
    if isinstance(expected, list) and isinstance(found, list):
        gone = [item for item in expected if item not in found]
        more = [item for item in found if item not in expected]
        return f"missing {gone}, too much {more}" if gone or more else f"{expected} became {found}"
    if isinstance(expected, dict) and isinstance(found, dict):
        names = expected.keys() | found.keys()
        return f"differ: {sorted(n for n in names if expected.get(n) != found.get(n))}"
    return f"{expected!r} became {found!r}"


def recover(world: World, scenario: Scenario, expected: Outcome) -> None:
    """Run the command again, then as cron does until nothing is new; all must be as expected."""
    runs = (
        [("fullprocess",)] if rolled_back(world, scenario) else [scenario.command, ("fullprocess",)]
    )
    for command in runs:
        ended = world.run(*command)
        if ended.code or "Traceback" in ended.err:
            told = ended.err.strip().splitlines()[-1:]
            world.faults.append(f"the next {' '.join(command)} ended with {ended.code}: {told}")
    before = world.stamps()
    ended = world.run("fullprocess")
    if (ended.code, ended.out, ended.err) != (0, NOTHING_NEW, ""):
        world.faults.append(f"the last run ended with {ended}")
    if world.stamps() != before:
        world.faults.append("the last run changed something")
    check_production(world)
    check_history(world.history, world)
    check_outcome(world, expected)


def rolled_back(world: World, scenario: Scenario) -> bool:
    """Whether the rollback was done and recorded: then to repeat it would go back further."""
    if scenario.command != ("deployment", "--rollback"):
        return False
    return query(world.history, "SELECT action FROM deployments ORDER BY id DESC LIMIT 1") == [
        ("rollback",)
    ]


# --- what of the files outlasts a power cut ---


class Disk:
    """The content of each file as it was last synced; names and links count as durable at once."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.synced = {path.stat().st_ino: path.read_bytes() for path in self.files()}

    def files(self) -> list[Path]:
        return [p for p in self.root.rglob("*") if p.is_file() and not p.is_symlink()]

    def note(self, call: Call) -> None:
        """Note what a call has made durable."""
        if call.name in OPENS and call.creates:
            self.synced[call.descriptor.stat().st_ino] = b""
        elif call.name in SYNCS and call.descriptor.is_file():
            self.synced[call.descriptor.stat().st_ino] = call.descriptor.read_bytes()

    def unsynced(self) -> dict[Path, bytes]:
        """The files that hold something else than what was synced, with that."""
        synced = {path: self.synced.get(path.stat().st_ino, b"") for path in self.files()}
        return {path: content for path, content in synced.items() if path.read_bytes() != content}

    def cut(self) -> None:
        """Let every file lose what was not synced."""
        for path, content in self.unsynced().items():
            path.write_bytes(content)


# --- the cases ---


@dataclass
class Found:
    """What a worker found."""

    scenario: str
    calls: int = 0  # that change something, in the run that is not killed
    cases: dict[str, int] = field(default_factory=dict)  # how -> how many
    states: int = 0  # that differ, of those the kills left, and were recovered from
    looks: int = 0
    seconds: float = 0.0
    skipped: str | None = None  # why
    faults: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Kill:
    """Where a run is killed: before its nth call, in the midst of it, after it, or by a power cut."""

    nth: int
    how: str
    call: str


class Bench:
    """One scenario: its world as it is before the run, and as a run leaves it that is let be."""

    def __init__(self, name: str, folder: Path) -> None:
        self.scenario, self.folder, self.found = SCENARIOS[name], folder, Found(name)
        self.template = folder / "template"
        self._prepare()
        self.kills: list[Kill] = []
        self.recovered: set[str] = set()
        world = self.fresh()
        self._trace(world)
        self.expected = Outcome.of(world)
        if self.expected.contents["ingesteddata/finaldata.csv"] != recomputed(self.scenario.tables):
            self.found.faults.append("finaldata.csv is not what pandas makes of the tables")

    def _prepare(self) -> None:
        world = World(self.template)
        for name in ("sourcedata", "testdata"):
            (world.root / name).mkdir(parents=True)
        config = {
            "input_folder_path": "sourcedata",
            "output_folder_path": "ingesteddata",
            "test_data_path": "testdata",
            "output_model_path": "models",
            "prod_deployment_path": "production_deployment",
            "keep_releases": self.scenario.keep_releases,
            "api_url": None,
        }
        (world.root / "config.json").write_text(json.dumps(config))
        rows = client_rows(90_000, 60, noise=NOISE)
        (world.root / "testdata/testdata.csv").write_text(table(rows))
        for step in (("a.csv", A), ("b.csv", B), *self.scenario.before):
            if isinstance(step, str):
                ended = world.run(step)
                assert ended.code == 0, ended.err
            elif step[1] is None:
                (world.root / "sourcedata" / step[0]).unlink()
            else:
                (world.root / "sourcedata" / step[0]).write_text(step[1])
        assert world.faults == []

    def fresh(self, place: str = "world") -> World:
        """The world before the run."""
        root = self.folder / place
        shutil.rmtree(root, ignore_errors=True)
        shutil.copytree(self.template, root, symlinks=True)
        return World(root)

    def _trace(self, world: World) -> None:
        """Run the command unkilled, and find out where it can be killed."""
        disk, n, last, power = Disk(world.root), 0, "", False
        named: set[Path] = set()
        contents = {path: path.read_bytes() for path in disk.files()}

        def before(call: Call) -> None:
            nonlocal power  # whether a cut here leaves something else than a cut before
            power = last not in WRITES and any(
                "history.db.run" not in p.parts for p in disk.unsynced()
            )

        def after(call: Call) -> None:
            nonlocal n, last
            if call.changes:
                told = f"{call.name} {' '.join(str(p.relative_to(world.root)) for p in call.paths)}"
                told = normal(told.encode()).decode()
                self.kills.append(Kill(n, "before", told))
                if call.name in WRITES and call.arguments[2] > PAGE:
                    self.kills.append(Kill(n, "in the midst of", told))
                if power:
                    self.kills.append(Kill(n, "power cut before", told))
                disk.note(call)
                named.update(call.paths)
                last = call.name
            n += 1

        ended = world.run(*self.scenario.command, before=before, after=after)
        assert ended.code == 0, ended.err
        self.kills.append(replace(self.kills[-1], how="after"))
        self.found.calls = sum(kill.how == "before" for kill in self.kills)
        changed = [p for p in disk.files() if p.read_bytes() != contents.get(p)]
        unseen = [p for p in changed if not named & {p, *p.parents}]
        assert not unseen, f"changed by no call that was seen: {unseen}"
        quiet = world.run("fullprocess")
        assert quiet.out == NOTHING_NEW, quiet
        self.found.faults += world.faults

    def recover_once(self, world: World) -> None:
        """Recover, unless it did from the same state before."""
        state = state_of(world)
        if state not in self.recovered:
            self.recovered.add(state)
            self.found.states += 1
            recover(world, self.scenario, self.expected)

    def count(self, how: str) -> None:
        """Count a case."""
        self.found.cases[how] = self.found.cases.get(how, 0) + 1

    def told(self, world: World, case: str) -> None:
        """Keep what a case found."""
        self.found.looks += world.looks
        self.found.faults += [f"{self.found.scenario}, {case}: {fault}" for fault in world.faults]


def kill(bench: Bench, case: Kill) -> World:
    """Kill a run where the case says; returns the world it leaves."""
    world, n = bench.fresh(), 0
    disk = Disk(world.root)

    def strike(call: Call, *, after: bool) -> None:
        if n == case.nth and after == (case.how == "after"):
            if case.how == "in the midst of":
                call.tear()
            os.kill(call.thread, signal.SIGKILL)
            if not case.call.startswith(call.name):
                world.faults.append(f"the run went another way: {call}")

    def after(call: Call) -> None:
        nonlocal n
        strike(call, after=True)
        if call.changes:
            disk.note(call)
        n += 1

    ended = world.run(
        *bench.scenario.command, before=lambda call: strike(call, after=False), after=after
    )
    if ended.code != -signal.SIGKILL:
        world.faults.append(f"it was not killed: {ended}")
    if case.how == "power cut before":
        disk.cut()
    check_production(world)
    return world


def kill_at_every_call(bench: Bench, share: slice) -> None:
    """Kill it just before every call, in the midst of long writes, and cut the power."""
    blocks = [bench.kills[i : i + BLOCK] for i in range(0, len(bench.kills), BLOCK)]
    for case in chain.from_iterable(blocks[share]):
        world = kill(bench, case)
        bench.recover_once(world)
        bench.count(case.how)
        bench.told(world, f"{case.how} {case.call} (call {case.nth})")


def kill_at_random(bench: Bench, share: slice) -> None:
    """Kill it at random moments, spread over the time that it takes."""
    seconds = []
    for _ in range(3):
        started = time.monotonic()
        assert bench.fresh().run_until(SECONDS, *bench.scenario.command).code == 0
        seconds.append(time.monotonic() - started)
    for i in range(MOMENTS)[share]:
        moment = (i + random.random()) / MOMENTS * sorted(seconds)[1]
        world = bench.fresh()
        world.run_until(moment, *bench.scenario.command)
        check_production(world)
        bench.recover_once(world)
        bench.count("at a random moment")
        bench.told(world, f"after {moment:.4f} s")


def refuse_long_files(bench: Bench, share: slice) -> None:
    """Let no file grow beyond a size, as a quota or a file system may; then take the limit away."""

    def limited(size: int) -> Callable[[], None]:
        return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    for size in SIZES[share]:
        world = bench.fresh()
        check_refused(world, bench, world.run(*bench.scenario.command, limit=limited(size)))
        recover(world, bench.scenario, bench.expected)
        bench.told(world, f"files up to {size} bytes")


def fill_the_disk(bench: Bench, share: slice) -> None:
    """Leave a file system of its own so many pages; then make room."""
    small = bench.folder / "small"
    small.mkdir()
    with mounted("tmpfs", small, "tmpfs", 0, f"size={DISK}"):
        for pages in ROOM[share]:
            world, filler = bench.fresh("small/world"), small / "filler"
            free = os.statvfs(small).f_bavail - pages
            with filler.open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, free * PAGE)
            check_refused(world, bench, world.run(*bench.scenario.command))
            filler.unlink()
            recover(world, bench.scenario, bench.expected)
            bench.told(world, f"{pages} pages left")


def forbid_to_write(bench: Bench, share: slice) -> None:
    """Make one folder, the history, or all of it read-only; then writable again."""
    places = [place for place in PLACES if (bench.template / place).exists()]
    for place in places[share]:
        world = bench.fresh()
        target = world.root / place
        with mounted(target, target, "", MS_BIND), mounted("", target, "", MS_READ_ONLY):
            check_refused(world, bench, world.run(*bench.scenario.command))
        recover(world, bench.scenario, bench.expected)
        bench.told(world, f"{place} is read-only")


def check_refused(world: World, bench: Bench, ended: Ended) -> None:
    """It ended with 1 and one clear line, and the old state serves; or it needed no more room."""
    bench.count("refused" if ended.code else "went through")
    last = (ended.err.splitlines() or [""])[-1]
    clear = last.startswith("error: ") and str(world.root) in last and "Traceback" not in ended.err
    if ended.code and (ended.code != 1 or not clear):
        world.faults.append(f"it ended with {ended.code}: {ended.err}")
    check_production(world)
    if world.history.exists():
        check_history(world.history, world)


_libc = ctypes.CDLL(None, use_errno=True)
MS_BIND, MS_PRIVATE, MS_READ_ONLY = 0x1000, 0x44000, 0x1 | 0x20 | 0x1000  # a bind, remounted
NEW_NAMESPACE, DETACH = 0x20000, 2


def own_mounts() -> str | None:
    """Mount in a namespace of this process alone from now on; returns why not, where it may not."""
    for done in (
        _libc.unshare(NEW_NAMESPACE),
        _libc.mount(None, b"/", None, MS_PRIVATE, None),
    ):
        if done:
            return f"this user may not mount: {os.strerror(ctypes.get_errno())}"
    return None


@contextmanager
def mounted(what: Path | str, place: Path, kind: str, flags: int, data: str = "") -> Iterator[None]:
    """Mount something for as long as the context lasts."""
    texts = [os.fsencode(text) for text in (what, place, kind)]
    if _libc.mount(*texts, flags, data.encode()):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(place))
    try:
        yield
    finally:
        if flags != MS_READ_ONLY:  # that one ends with the mount it changed
            _libc.umount2(os.fsencode(place), DETACH)


KINDS = {
    "calls": kill_at_every_call,
    "moments": kill_at_random,
    "long files": refuse_long_files,
    "full disk": fill_the_disk,
    "read-only": forbid_to_write,
}


def main(argv: list[str]) -> None:
    """Do one share of the cases of one kind and scenario, and print what was found."""
    kind, name, share, of, folder = argv
    started = time.monotonic()
    if kind in ("full disk", "read-only") and (why := own_mounts()):
        print(json.dumps(asdict(Found(name, skipped=why))))
        return
    warm_up(Path(folder))
    bench = Bench(name, Path(folder))
    KINDS[kind](bench, slice(int(share), None, int(of)))
    bench.found.seconds = time.monotonic() - started
    print(json.dumps(asdict(bench.found)))


def warm_up(folder: Path) -> None:
    """Do once in this process what would else be done anew in every child."""
    for stage in ("fullprocess", "ingestion", "training", "scoring", "deployment", "diagnostics"):
        importlib.import_module(stage)
    for module in ("reporting", "app", "apicalls", "werkzeug.serving", "pipeline.gate"):
        importlib.import_module(module)
    gc.collect()
    gc.freeze()


if __name__ == "__main__":
    main(sys.argv[1:])
