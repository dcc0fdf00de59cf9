"""The house as it was planned: who imports whom, what an import does, what the top level holds."""

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import PROJECT

STAGES = {"ingestion", "training", "scoring", "deployment", "diagnostics"}
ABOVE = {"reporting", "app", "apicalls", "fullprocess", "wsgi"}
OURS = STAGES | ABOVE | {"pipeline"}

# Who may import whom. Diagnostics times an ingestion and a training, so it has to know both.
MAY_IMPORT = {
    "pipeline": set(),
    "ingestion": {"pipeline"},
    "training": {"pipeline"},
    "scoring": {"pipeline"},
    "deployment": {"pipeline"},
    "diagnostics": {"pipeline", "ingestion", "training"},
    "reporting": {"pipeline", *STAGES},
    "app": {"pipeline", *STAGES},
    "apicalls": {"pipeline"},
    "fullprocess": {"pipeline", *STAGES, "reporting", "apicalls", "app"},
    "wsgi": {"pipeline", "app"},
}
TOP_LEVEL = {
    *["README.md", "LICENSE", "config.json", "requirements.txt", "cronjob.txt"],
    *[f"{name}.py" for name in STAGES | ABOVE],
    *["practicedata", "sourcedata", "testdata", "tests", "pipeline", "docs"],
}


def sources(name: str) -> list[Path]:
    """The files of a stage, or of the whole of `pipeline`."""
    if name == "pipeline":
        return sorted((PROJECT / "pipeline").rglob("*.py"))
    return [PROJECT / f"{name}.py"]


def imported(path: Path, *, module_level_only: bool = False) -> set[str]:
    """The first parts of the names that a file imports, also within functions unless told not to.

    What only a type checker sees is left out.
    """
    found: set[str] = set()
    pending: list[ast.AST] = [ast.parse(path.read_text(encoding="utf-8"))]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found.add((node.module or "").partition(".")[0])
        elif module_level_only and isinstance(node, ast.FunctionDef | ast.ClassDef):
            continue
        elif isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            pending += node.orelse
        else:
            pending += ast.iter_child_nodes(node)
    return found


def test_every_script_at_the_top_level_is_named_here() -> None:
    assert {path.stem for path in PROJECT.glob("*.py")} == OURS - {"pipeline"}


@pytest.mark.parametrize("name", sorted(OURS))
def test_it_imports_only_what_it_may(name: str) -> None:
    found = set().union(*(imported(path) for path in sources(name))) & OURS

    assert found - {name} <= MAY_IMPORT[name]


def test_the_chain_takes_the_api_in_only_when_it_needs_it() -> None:
    found = imported(PROJECT / "fullprocess.py", module_level_only=True)

    assert found & {"app", "wsgi"} == set()


def test_the_chain_stands_on_the_standard_library_until_there_is_work() -> None:
    found = imported(PROJECT / "fullprocess.py", module_level_only=True)

    assert found - sys.stdlib_module_names == {"pipeline"}


def test_apicalls_knows_http_only() -> None:
    found = imported(PROJECT / "apicalls.py") - sys.stdlib_module_names

    assert found == {"requests", "pipeline"}


@pytest.mark.parametrize("name", sorted(OURS))
def test_nothing_calls_a_shell(name: str) -> None:
    for path in sources(name):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                assert ast.unparse(node.func) not in ("os.system", "os.popen"), path
                assert "shell" not in {keyword.arg for keyword in node.keywords}, path


def test_no_placeholder_of_sql_is_numbered() -> None:
    """Python 3.12 warns of them where values come in a sequence, and 3.14 refuses."""
    numbered = [
        (path.name, node.value)
        for folder in ("pipeline", "tests")
        for path in (PROJECT / folder).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and re.search(r"\b(SELECT|DELETE|WHERE|VALUES)\b.*\?[0-9]", node.value, re.DOTALL)
    ]
    assert numbered == []


IMPORT_ALL = """
import importlib, json, sys

project, *names = sys.argv[1:]
sys.path.insert(0, project)
opened, databases = [], []

def watch(event, args):
    if event == "open" and isinstance(args[0], str):
        opened.append((args[0], args[2]))
    elif event == "sqlite3.connect":
        databases.append(str(args[0]))

sys.addaudithook(watch)
for name in names:
    for ours in [m for m in sys.modules if m.partition(".")[0] in {"pipeline", *names}]:
        del sys.modules[ours]  # each finds the others not yet imported
    importlib.import_module(name)
print(json.dumps({"opened": opened, "databases": databases}))
"""


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """What happened while every stage was imported in an empty folder, in a process of its own."""
    here = tmp_path_factory.mktemp("empty")
    names = sorted(OURS - {"pipeline", "wsgi"})
    done = subprocess.run(
        [sys.executable, "-c", IMPORT_ALL, str(PROJECT), *names],
        cwd=here,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    told = json.loads(done.stdout)
    return {
        "opened": [path for path, _ in told["opened"]],
        "written": [path for path, flags in told["opened"] if flags & (os.O_WRONLY | os.O_RDWR)],
        "databases": told["databases"],
        "left": [str(path) for path in here.iterdir()],
    }


def test_an_import_reads_no_config(seen: dict[str, list[str]]) -> None:
    assert [path for path in seen["opened"] if path.endswith("config.json")] == []
    assert any(Path(path).name.startswith("fullprocess.") for path in seen["opened"])


def test_an_import_makes_no_file(seen: dict[str, list[str]]) -> None:
    assert seen["left"] == []
    assert [path for path in seen["written"] if path.startswith(str(PROJECT))] == []


def test_an_import_opens_no_database(seen: dict[str, list[str]]) -> None:
    assert seen["databases"] == []


def test_the_top_level_holds_only_what_was_planned() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=PROJECT, capture_output=True, text=True, check=False
    )
    if listed.returncode:
        pytest.skip("this is no git checkout")

    names = {name.partition("/")[0] for name in listed.stdout.split("\0") if name}
    assert {name for name in names if not name.startswith(".")} - TOP_LEVEL == set()
