"""A tick that finds nothing new: what it imports, lists, opens and writes.

`python -m tests.bench.bench_tick` measures what that takes, beside a bare Python.
"""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from sandbox import PROJECT, Sandbox

# Runs a script as `python script` does, and tells on standard error what happened meanwhile.
WATCHED = """
import json, runpy, sys

events, modules = [], set(sys.modules)

def watch(event, args):
    if event in ("open", "os.scandir", "os.listdir", "sqlite3.connect"):
        path = args[0] if isinstance(args[0], (str, bytes)) else str(args[0])
        flags = args[2] if event == "open" else 0
        events.append((event, path if isinstance(path, str) else path.decode(), flags))

sys.path.insert(0, sys.argv[1].rpartition("/")[0])
del sys.argv[0]
sys.addaudithook(watch)
try:
    runpy.run_path(sys.argv[0], run_name="__main__")
except SystemExit as end:
    code = end.code
seen, imported = list(events), {
    name: getattr(module, "__file__", None) or ""
    for name, module in sys.modules.items() if name not in modules
}
json.dump({"code": code, "events": seen, "imported": imported}, sys.stderr)
"""


@dataclass(frozen=True)
class Watched:
    """What a child said, imported and did."""

    out: str
    imported: dict[str, str]  # module -> its file
    events: list[tuple[str, Path, int]]  # audit event, path, flags of `open`

    def of(self, event: str, folder: Path) -> list[str]:
        """The paths of events of a kind in a folder or on it, counted from it."""
        return [
            str(path.relative_to(folder))
            for kind, path, _ in self.events
            if kind == event and path.is_relative_to(folder)
        ]


def watched(world: Sandbox, *args: str) -> Watched:
    child = [sys.executable, "-c", WATCHED, str(PROJECT / "fullprocess.py")]
    done = subprocess.run(
        [*child, "--config", str(world.root / "config.json"), *args],
        capture_output=True,
        text=True,
        check=True,
    )
    result = json.loads(done.stderr)
    assert result["code"] == 0
    events = [(event, Path(path), flags) for event, path, flags in result["events"]]
    return Watched(done.stdout, result["imported"], events)


@pytest.fixture
def unchanged(settled: Sandbox) -> Sandbox:
    """A world where all is taken in, of files that are plain and of such as are not."""
    settled.write("sourcedata/refused.csv", "no table\n")
    settled.write("sourcedata/with \\ and \n in it, ü.csv", "no table\n")
    assert settled.run("fullprocess").code == 1
    settled.write("sourcedata/.hidden.csv", "x")
    settled.write("sourcedata/notes.md", "x")
    settled.write("sourcedata/folder.csv/inside.csv", "x")
    assert settled.run("fullprocess").code == 0  # which says what it passes over
    return settled


@pytest.mark.parametrize("args", [(), ("--json",)])
def test_it_imports_the_standard_library_and_this_project_only(
    unchanged: Sandbox, args: tuple[str, ...]
) -> None:
    seen = watched(unchanged, *args)

    assert seen.out.startswith('{"outcome": "nothing new"' if args else "nothing new in sourcedata")
    ours = {name for name, file in seen.imported.items() if file.startswith(f"{PROJECT}/pipeline")}
    assert "pipeline.data.input_files" in ours
    theirs = {name.partition(".")[0] for name in seen.imported.keys() - ours}
    assert theirs - sys.stdlib_module_names == set()


def test_it_asks_no_database_before_its_time(settled: Sandbox) -> None:
    place, select = "postgresql://u@127.0.0.1:1/d", "SELECT 1"
    fresh = {"name": "a", "url": place, "select": select, "every_hours": 24}  # as a.csv is
    settled.configure(queries=[fresh])

    seen = watched(settled)

    assert seen.out == "nothing new in sourcedata\n"
    assert "pipeline.data.queries" in seen.imported
    theirs = {name.partition(".")[0] for name in seen.imported} - sys.stdlib_module_names
    assert theirs == {"pipeline"}


def test_with_alerts_it_imports_and_writes_no_more(unchanged: Sandbox) -> None:
    target = {"address": "json://127.0.0.1:1", "events": ["failed"], "digest": "daily"}
    unchanged.configure(alerts=[target], expect_files_every_days=7, expect_outcomes_every_days=7)
    watched(unchanged)  # from when on events are looked for
    stamps = unchanged.stamps()

    seen = watched(unchanged)

    theirs = {name.partition(".")[0] for name in seen.imported} - sys.stdlib_module_names
    assert theirs == {"pipeline"}
    assert "pipeline.action.delivery" not in seen.imported
    assert seen.of("sqlite3.connect", unchanged.root) == ["history.db"]
    assert unchanged.stamps() == stamps


def test_it_lists_the_input_folder_once_and_opens_no_client_file(unchanged: Sandbox) -> None:
    seen = watched(unchanged)

    folder = unchanged.config.input_folder_path
    assert seen.of("os.scandir", folder) + seen.of("os.listdir", folder) == ["."]
    assert set(seen.of("open", folder)) <= {"."}  # to ask for what lies within
    assert [name for name in seen.of("open", unchanged.root) if name.endswith(".csv")] == []
    assert seen.of("open", unchanged.root).count("config.json") == 1


def test_it_opens_a_client_file_of_another_inode_time_once(unchanged: Sandbox) -> None:
    (unchanged.root / "sourcedata/a.csv").chmod(0o600)

    first, second = watched(unchanged), watched(unchanged)

    opened = [seen.of("open", unchanged.config.input_folder_path) for seen in (first, second)]
    assert ["a.csv" in names for names in opened] == [True, False]
    assert first.out == second.out == "nothing new in sourcedata\n"


def test_it_opens_the_history_once(unchanged: Sandbox) -> None:
    seen = watched(unchanged)

    assert seen.of("sqlite3.connect", unchanged.root) == ["history.db"]


def test_it_writes_into_its_lock_only(unchanged: Sandbox) -> None:
    files, stamps = unchanged.files(), unchanged.stamps()

    seen = watched(unchanged)

    written = [path for _, path, flags in seen.events if flags & (os.O_WRONLY | os.O_RDWR)]
    ours = [path for path in written if path.is_relative_to(unchanged.root)]
    assert ours == [unchanged.config.lock_path]
    assert (unchanged.files(), unchanged.stamps()) == (files, stamps)
    assert not unchanged.config.lock_path.exists()
