"""Small worlds for the crash harness, runs of the real commands on them, and a reader meanwhile."""

import hashlib
import importlib
import io
import json
import os
import re
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
from sandbox import HEADER, NOISE, SIMPLE, client_rows
from tracing import Call, follow, fork

from pipeline.core.config import Config, load_config
from pipeline.models.manifest import CARD, MODEL, RECORD, REFERENCE, SCORE
from pipeline.registry.releases import live_id

# how a complete file ends: a pickle, a picture, and else a line
ENDS = {".pkl": b".", ".html": b"</html>\n", ".png": b"IEND\xaeB`\x82"}
LINKED = (MODEL, SCORE, RECORD)  # what production shows of a release without its folder
SECONDS = 600  # within which every run must end, or it hangs
RELEASE = re.compile(rb"(\d{6})-\d{8}T\d{6}Z")
SIGHTINGS = re.compile(rb"[0-9a-f]+\.sightings")


def table(rows: list[str], header: str = HEADER) -> str:
    return "\n".join([header, *rows]) + "\n"


A = table(client_rows(0, 60, noise=NOISE))
B = table(client_rows(50, 70, noise=NOISE))  # ten of its rows are in A
STABLE = table([*client_rows(300, 60), "Bad Ltd,many,300,50,0", *client_rows(0, 5, noise=NOISE)])
DRIFTED = table(client_rows(300, 400, flipped=True))
UNKNOWN = table(client_rows(300, 30, outcome=""))  # in STABLE with their outcomes
FEWER = table(client_rows(305, 25, outcome=""))
KNOWN = table(client_rows(300, 30))
REPORTED = table(
    [f"{row.split(',')[0]},{row[-1]}" for row in client_rows(300, 30)], "corporation,exited"
)
CORRECTED = table(client_rows(60, 30, noise=NOISE))  # a part of B
REFUSED = table(client_rows(300, 60), header="who,what")

ERASED = table(["client00310,1,500,3,"])
NAMING = "<html>client00310</html>\n"

FIRST = (("a.csv", A), ("b.csv", B))


@dataclass(frozen=True)
class Scenario:
    """A command, how the world comes to be on which it runs, and what it must leave."""

    command: tuple[str, ...]
    before: tuple[str | tuple[str, str | None], ...]  # stages to run, (file, text) to write
    tables: tuple[str, ...]  # whose rows are in finaldata.csv at the end
    code: int = 0  # with which the command ends
    keep_releases: int = 5
    report_formats: tuple[str, ...] = ()  # of those for people, which take most of a run's time
    input: str = "increments"
    again: int = 0  # with which it may end where it is repeated
    erased: tuple[str, ...] = ()  # who is to be named nowhere at the end

    @property
    def goes_back(self) -> bool:
        """Whether it is a rollback, which done twice goes back twice."""
        return "--rollback" in self.command


SCENARIOS = {
    "cold start": Scenario(("fullprocess",), FIRST, (A, B)),
    "no drift": Scenario(
        ("fullprocess",),
        (*FIRST, ("c.csv", UNKNOWN), "fullprocess", ("d.csv", STABLE)),
        (A, B, STABLE),
    ),
    "reports": Scenario(
        ("reporting",),
        (*FIRST, "fullprocess"),
        (A, B),
        report_formats=("html",),
    ),
    "drift": Scenario(
        ("fullprocess",),
        (*FIRST, "fullprocess", "deployment", ("c.csv", DRIFTED)),
        (A, B, DRIFTED),
        keep_releases=1,  # so that the first one goes
    ),
    "rejected": Scenario(
        ("fullprocess",),
        (*FIRST, ("c.csv", STABLE), "fullprocess", ("c.csv", REFUSED)),
        (A, B, STABLE),
        code=1,
    ),
    "rebuild": Scenario(
        ("ingestion", "--rebuild", "--yes"),
        (*FIRST, ("c.csv", STABLE), "fullprocess", ("b.csv", None)),
        (A, STABLE),
    ),
    "lists and outcomes": Scenario(
        ("fullprocess",),
        (*FIRST, ("c.csv", UNKNOWN), "fullprocess", ("c.csv", FEWER), ("d.csv", REPORTED)),
        (A, B, KNOWN),
        input="snapshots",
    ),
    "withdrawal": Scenario(
        ("ingestion", "--withdraw", "b.csv", "--yes"),
        (*FIRST, ("c.csv", STABLE), "fullprocess", ("b.csv", CORRECTED), "fullprocess"),
        (A, CORRECTED, STABLE),
    ),
    "erasure": Scenario(
        ("ingestion", "--erase", "client00310", "--erase", "Bad Ltd"),
        (
            *(*FIRST, ("c.csv", STABLE), "fullprocess", ("d.csv", ERASED), "fullprocess"),
            *(("../models/report.html", NAMING), ("../models/report.pdf", NAMING)),
        ),
        (A, B, STABLE.replace("client00310,40,490,45,1\n", "")),
        again=1,
        erased=("client00310", "Bad Ltd"),
    ),
    "rollback": Scenario(
        ("deployment", "--rollback"),
        (*FIRST, "fullprocess", ("c.csv", DRIFTED), "fullprocess"),
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


@dataclass(frozen=True)
class Ended:
    """How a run ended, and what it said."""

    code: int
    out: str
    err: str


@dataclass
class World:
    """A project folder of its own, and what was found wrong with it."""

    root: Path
    faults: list[str] = field(default_factory=list)
    looks: int = 0  # of the reader

    @property
    def config(self) -> Config:
        return load_config(self.root / "config.json")

    @property
    def history(self) -> Path:
        return self.root / "history.db"

    def prepare(self, scenario: Scenario) -> None:
        """Make the folders and do what comes before the command."""
        for name in ("sourcedata", "testdata"):
            (self.root / name).mkdir(parents=True)
        config = {
            "input_folder_path": "sourcedata",
            "output_folder_path": "ingesteddata",
            "test_data_path": "testdata",
            "output_model_path": "models",
            "prod_deployment_path": "production_deployment",
            "keep_releases": scenario.keep_releases,
            "api_url": None,
            **SIMPLE,
            "report_formats": scenario.report_formats,
            "input": scenario.input,
        }
        (self.root / "config.json").write_text(json.dumps(config))
        rows = client_rows(90_000, 60, noise=NOISE)
        (self.root / "testdata/testdata.csv").write_text(table(rows))
        for step in scenario.before:
            if isinstance(step, str):
                ended = self.run(step)
                assert ended.code == 0, ended.err
            elif step[1] is None:
                (self.root / "sourcedata" / step[0]).unlink()
            else:
                (self.root / "sourcedata" / step[0]).write_text(step[1])
        assert not self.faults, self.faults[:3]

    def run(
        self,
        *command: str,
        before: Callable[[Call], None] = lambda _: None,
        after: Callable[[Call], None] = lambda _: None,
    ) -> Ended:
        """Run a stage in a child; the reader looks after each call that changes production."""
        reader = Reader(self)

        def returned(call: Call) -> None:
            after(call)
            for path in call.paths:
                if path.is_relative_to(reader.production):
                    reader.look()
                elif not whole(path):
                    self.faults.append(f"{path.name} is half-written after {call.name}")

        with piped() as (out, err):
            child = fork(lambda: self._main(command, out, err), traced=True)
            code = follow(child, self.root, before, returned)
        reader.end()
        return Ended(code, out.text, err.text)

    def _main(self, command: tuple[str, ...], out: "Pipe", err: "Pipe") -> int:
        os.dup2(out.writing, 1)
        os.dup2(err.writing, 2)
        signal.alarm(SECONDS)
        sys.executable = shutil.which("false") or ""  # pip gives no answer
        stage, *options = command
        main = importlib.import_module(stage).main
        code: int = main(["--config", str(self.root / "config.json"), *options])
        return code

    def tree(self) -> list[str]:
        """Every name below the root, the ids of releases without their times."""
        names = sorted(str(path.relative_to(self.root)) for path in self.root.rglob("*"))
        return [without_ids(os.fsencode(name)).decode() for name in names]

    def stamps(self) -> dict[Path, tuple[int, int]]:
        """When each file, link and folder changed, but for the folder of the lock."""
        paths = [path for path in self.root.rglob("*") if path.name != "history.db.run"]
        return {path: (path.lstat().st_mtime_ns, path.lstat().st_ino) for path in paths}


@dataclass
class Pipe:
    """What a child says, kept by the kernel until it has ended."""

    reading: int
    writing: int
    text: str = ""


@contextmanager
def piped() -> Iterator[tuple[Pipe, Pipe]]:
    """Two pipes for a child; what it said is reported at the end."""
    pipes = Pipe(*os.pipe()), Pipe(*os.pipe())
    try:
        yield pipes
    finally:
        for pipe in pipes:
            os.close(pipe.writing)
            with os.fdopen(pipe.reading, "rb") as file:
                pipe.text = file.read().decode(errors="replace")


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
            linked = self._digests(self.production, LINKED, "linked")
            if self._resolved() == now and linked != self._digests(now, LINKED, "live"):
                self._fault(f"the links do not show {now.name}")
        elif self.last:
            self._fault("nothing is live any more")
        self.first, self.last = self.first or now, now

    def end(self) -> None:
        """Look once more, and read what was live first."""
        self.look()
        if self.first:
            self._read(self.first, "live first")

    def _resolved(self) -> Path | None:
        live = live_id(self.production)
        return self.production / "releases" / live if live else None

    def _read(self, folder: Path, what: str) -> None:
        try:
            result = json.loads((folder / "manifest.json").read_bytes())["files"]
            card = (folder / CARD).read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            self._fault(f"{what}: {folder.name}: {error!r}")
        else:
            if self._digests(folder, (*LINKED, REFERENCE), what) != result:
                self._fault(f"{what}: {folder.name} is a mixed set")
            heading = f"# Model card of release {folder.name}\n"
            if not (card.startswith(heading) and card.endswith(".\n")):
                self._fault(f"{what}: {folder.name} has not its own card, whole")

    def _digests(self, folder: Path, names: tuple[str, ...], what: str) -> dict[str, str]:
        digests = {}
        for name in names:
            try:
                digests[name] = hashlib.sha256((folder / name).read_bytes()).hexdigest()
            except OSError as error:
                self._fault(f"{what}: {folder.name}: {error!r}")
        return digests

    def _fault(self, result: str) -> None:
        self.world.faults.append(f"a reader saw: {result}")


def whole(path: Path) -> bool:
    """Whether a file is complete, if it is one that others read and that does not grow."""
    passed_over = path.name.startswith((".", "history.db", "finaldata.csv")) or path.name == "lock"
    if passed_over or not path.is_file():
        return True
    content = path.read_bytes()
    return content.endswith(ENDS.get(path.suffix, b"\n")) and content != b"\n"


def without_ids(content: bytes) -> bytes:
    """A content without the ids of files of sightings, and the times in those of releases."""
    return SIGHTINGS.sub(b"sightings", RELEASE.sub(rb"\1", content))
