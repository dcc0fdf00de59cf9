"""Run the real commands on small worlds, kill them or take their disk away, and see what is left.

`python tests/support/crashes.py KIND SCENARIO SHARE OF FOLDER` does one share of the cases of a
kind, in the folder, and prints what it found as JSON. The commands run in children that are forked
from this one process, which has imported everything and has one thread.
"""

import ctypes
import gc
import importlib
import json
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from itertools import chain
from pathlib import Path

from recovery import (
    NOTHING_NEW,
    Outcome,
    check_history,
    check_production,
    gone_back,
    recover,
    state_of,
)
from sandbox import PROJECT
from tracing import OPENS, SYNCS, WRITES, Call
from worlds import SCENARIOS, Ended, World, recomputed, without_ids

PAGE = 4096
BLOCK = 16  # kills that one worker does in a row: many of them leave the same state
TWICE = 12  # one in so many is killed again
DISK = 8 << 20
ROOM = (*range(16), *range(18, 60, 3), 1000)  # pages left on the disk
PLACES = ("ingesteddata", "models", "production_deployment", "history.db", "history.db.run", ".")


@dataclass
class Found:
    """What a worker found."""

    scenario: str
    calls: int = 0  # that change or sync something, in the run that is let be
    cases: dict[str, int] = field(default_factory=dict)  # how -> how many
    states: int = 0  # that differ, of those the kills left: recovered from
    looks: int = 0  # of the reader
    seconds: float = 0.0
    skipped: str | None = None  # why
    faults: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Kill:
    """Where a run is killed: before its nth call, in the midst of it, after it, or by the power."""

    nth: int
    how: str
    call: str


class Disk:
    """The content of each file as it was last synced; names and links count as durable at once."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.synced = {path.stat().st_ino: path.read_bytes() for path in self.files()}

    def files(self) -> list[Path]:
        """All files below the root, links left out."""
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


class Bench:
    """One scenario: its world before the run, where it can be killed, and what must come of it."""

    def __init__(self, name: str, folder: Path) -> None:
        self.scenario, self.folder, self.found = SCENARIOS[name], folder, Found(name)
        self.template = World(folder / "template")
        self.template.prepare(self.scenario)
        self.kills: list[Kill] = []
        self.recovered: set[str] = set()
        world = self.fresh()
        self._trace(world)
        self.expected = Outcome.of(world)
        if self.expected.contents["ingesteddata/finaldata.csv"] != recomputed(self.scenario.tables):
            world.faults.append("finaldata.csv is not what pandas makes of the tables")
        self.record(world, "not killed")

    def fresh(self, place: str = "world") -> World:
        """The world before the run."""
        root = self.folder / place
        shutil.rmtree(root, ignore_errors=True)
        shutil.copytree(self.template.root, root, symlinks=True)
        return World(root)

    def _trace(self, world: World) -> None:
        """Run the command to its end, and find out where it can be killed."""
        disk, n, last, cut = Disk(world.root), 0, "", False
        named: set[Path] = set()
        contents = {path: path.read_bytes() for path in disk.files()}

        def before(_: Call) -> None:
            nonlocal cut  # whether the power's failing here leaves what no kill has left
            unsynced = [path for path in disk.unsynced() if path.name != "lock"]
            cut = bool(unsynced) and last not in WRITES

        def after(call: Call) -> None:
            nonlocal n, last
            if call.changes:
                paths = " ".join(str(path.relative_to(world.root)) for path in call.paths)
                kill = Kill(n, "before", without_ids(f"{call.name} {paths}".encode()).decode())
                self.kills.append(kill)
                if call.name in WRITES and call.arguments[2] > PAGE:
                    self.kills.append(replace(kill, how="in the midst of"))
                if cut:
                    self.kills.append(replace(kill, how="power cut before"))
                disk.note(call)
                named.update(call.paths)
                last = call.name
            n += 1

        ended = world.run(*self.scenario.command, before=before, after=after)
        assert ended.code == self.scenario.code, ended.err
        self.kills.append(replace(self.kills[-1], how="after"))
        calls = [kill for kill in self.kills if kill.how == "before"]
        self.found.calls = len(calls)
        self.kills = thinned(calls, self.kills)
        changed = [path for path in disk.files() if path.read_bytes() != contents.get(path)]
        unseen = [path for path in changed if not named & {path, *path.parents}]
        assert not unseen, f"changed by no call that was seen: {unseen}"
        assert world.run("fullprocess") == NOTHING_NEW

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

    def record(self, world: World, case: str) -> None:
        """Keep what was found in a case."""
        self.found.looks += world.looks
        self.found.faults += [f"{self.found.scenario}, {case}: {fault}" for fault in world.faults]


def thinned(calls: list[Kill], kills: list[Kill]) -> list[Kill]:
    """Without the kills that leave what others leave: most of them within SQLite's transactions.

    Of a row of like calls the first and the last stay, of the power cuts within SQLite one of a
    kind.
    """
    rows = zip(calls, calls[1:], calls[2:], strict=False)
    left_out = {here for before, here, after in rows if before.call == here.call == after.call}
    cuts: dict[str, Kill] = {}
    for one in kills:
        in_sqlite = one.call.startswith("fdatasync ") or " history.db" in one.call
        if one.how == "power cut before" and in_sqlite and cuts.setdefault(one.call, one) != one:
            left_out.add(one)
    return [one for one in kills if one not in left_out]


def kill(bench: Bench, case: Kill) -> World:
    """Kill a run where the case says; returns the world it leaves."""
    world, n = bench.fresh(), 0
    disk = Disk(world.root)

    def strike(call: Call, *, after: bool) -> None:
        if n == case.nth and after == (case.how == "after"):
            if case.how == "in the midst of":
                call.tear()
            os.kill(call.thread, signal.SIGKILL)
            if not case.call.startswith(f"{call.name} "):
                world.faults.append(f"the run went another way: {call.name} {call.paths}")

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


def kill_again(bench: Bench, world: World, calls: int) -> None:
    """Kill the next run too, after so many calls, if it makes as many."""

    def count(call: Call) -> None:
        nonlocal calls
        calls -= 1
        if not calls:
            os.kill(call.thread, signal.SIGKILL)

    if not gone_back(world, bench.scenario):
        world.run(*bench.scenario.command, before=count)
        check_production(world)
        bench.count("and again")


# --- the kinds of cases ---


def kill_at_calls(bench: Bench, share: slice) -> None:
    """Kill it just before every call, in the midst of long writes, and where the power matters.

    Now and then the next run is killed too.
    """
    blocks = [bench.kills[i : i + BLOCK] for i in range(0, len(bench.kills), BLOCK)]
    for case in chain.from_iterable(blocks[share]):
        world = kill(bench, case)
        bench.count(case.how)
        if case.nth % TWICE == TWICE - 1:
            kill_again(bench, world, random.randrange(1, bench.found.calls))
        bench.recover_once(world)
        bench.record(world, f"{case.how} {case.call} (call {case.nth})")


def fill_the_disk(bench: Bench, share: slice) -> None:
    """Leave so many pages on a file system of its own; then make room."""
    small = bench.folder / "small"
    small.mkdir()
    with mounted("tmpfs", small, "tmpfs", 0, f"size={DISK}"):
        for pages in ROOM[share]:
            world, filler = bench.fresh("small/world"), small / "filler"
            free = os.statvfs(small).f_bavail - pages
            with filler.open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, free * PAGE)
            check_refused(bench, world, world.run(*bench.scenario.command))
            filler.unlink()
            recover(world, bench.scenario, bench.expected)
            bench.record(world, f"{pages} pages left")


def forbid_to_write(bench: Bench, share: slice) -> None:
    """Make one folder, the history, or all of it read-only; then writable again."""
    places = [place for place in PLACES if (bench.template.root / place).exists()]
    for place in places[share]:
        world = bench.fresh()
        target = world.root / place
        with mounted(target, target, "", MS_BIND), mounted("", target, "", MS_READ_ONLY):
            check_refused(bench, world, world.run(*bench.scenario.command))
        recover(world, bench.scenario, bench.expected)
        bench.record(world, f"{place} is read-only")


def check_refused(bench: Bench, world: World, ended: Ended) -> None:
    """It ended with 1 and one clear line, and the old state serves; or it was not concerned."""
    bench.count("refused" if ended.code else "went through")
    last = (ended.err.splitlines() or [""])[-1]
    clear = last.startswith(f"error: {world.root}") and "Traceback" not in ended.err
    if ended.code and (ended.code != 1 or not clear):
        world.faults.append(f"it ended with {ended.code}: {ended.err}")
    check_production(world)
    if world.history.exists():
        check_history(world, world.history)


# --- mounts, of this process alone ---

_libc = ctypes.CDLL(None, use_errno=True)
MS_BIND, MS_PRIVATE, MS_READ_ONLY = 0x1000, 0x44000, 0x1 | 0x20 | 0x1000  # a bind, remounted
NEW_NAMESPACE, DETACH = 0x20000, 2


def own_mounts() -> str | None:
    """Mount for this process alone from now on; returns why not, where it may not."""
    if _libc.unshare(NEW_NAMESPACE) or _libc.mount(None, b"/", None, MS_PRIVATE, None):
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
        if flags != MS_READ_ONLY:  # that one ends with the mount that it changed
            _libc.umount2(os.fsencode(place), DETACH)


# --- one worker ---

KINDS = {
    "calls": kill_at_calls,
    "full disk": fill_the_disk,
    "read-only": forbid_to_write,
}
SCRIPTS = ("ingestion", "training", "scoring", "deployment", "diagnostics", "reporting")
BEYOND = ("fullprocess", "werkzeug.serving", "http.client", "urllib.request")  # what runs import


def main(argv: list[str]) -> None:
    """Do one share of the cases of one kind and scenario, and print what was found."""
    kind, name, share, of, folder = argv
    started = time.monotonic()
    if kind in ("full disk", "read-only") and (why := own_mounts()):
        print(json.dumps(asdict(Found(name, skipped=why))))
        return
    ours = (PROJECT / "pipeline").rglob("*.py")
    modules = [".".join(path.relative_to(PROJECT).with_suffix("").parts) for path in ours]
    modules = [name for name in modules if not name.startswith("pipeline.spark")]
    for module in (*modules, *SCRIPTS, *BEYOND):  # else every child would import them anew
        importlib.import_module(module.removesuffix(".__init__"))
    gc.collect()
    gc.freeze()
    bench = Bench(name, Path(folder))
    KINDS[kind](bench, slice(int(share), None, int(of)))
    bench.found.seconds = round(time.monotonic() - started, 1)
    print(json.dumps(asdict(bench.found)))


if __name__ == "__main__":
    main(sys.argv[1:])
