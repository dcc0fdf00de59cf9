"""The house as it was planned: who imports whom, what an import does, what the top level holds."""

import ast
import json
import os
import re
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
from sandbox import PROJECT

SCRIPTS = {
    *("ingestion", "training", "scoring", "deployment", "diagnostics", "reporting"),
    *("app", "wsgi", "apicalls", "fullprocess"),
}
# Each package imports only what stands before it; the modules directly in `pipeline` come last.
LAYERS = (
    *("core", "data", "models", "registry", "monitoring", "storage", "observations", "ranking"),
    *("action", "spark", "reporting", "web", "stages"),
)
TOP_LEVEL = {
    *["README.md", "LICENSE", "config.json", "requirements.txt", "cronjob.txt"],
    *[f"{name}.py" for name in SCRIPTS],
    *["practicedata", "sourcedata", "testdata", "tests", "pipeline", "docs"],
}


def module_name(path: Path) -> str:
    parts = path.relative_to(PROJECT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(path: Path) -> set[str]:
    """The modules that a file imports, also within functions and for type checkers only."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            modules = {name for name in names if name in MODULES}
            found |= modules or {node.module or ""}
    return found


MODULES = {module_name(path): path for path in (PROJECT / "pipeline").rglob("*.py")}
IMPORTS = {name: imports_of(path) for name, path in MODULES.items()}


def layer(module: str) -> int:
    """The place of a module's layer; those directly in `pipeline` stand above all."""
    package = module.split(".")[1] if module.count(".") > 1 or module in PACKAGES else ""
    return LAYERS.index(package) if package else len(LAYERS)


PACKAGES = {f"pipeline.{name}" for name in LAYERS}


def test_every_package_is_a_layer() -> None:
    folders = {path.parent.name for path in (PROJECT / "pipeline").glob("*/__init__.py")}
    assert folders <= set(LAYERS)


def test_each_layer_imports_only_what_stands_below_it() -> None:
    wrong = [
        f"{name} imports {other}"
        for name, imported in sorted(IMPORTS.items())
        for other in sorted(imported)
        if other.startswith("pipeline.") and name != "pipeline" and layer(other) > layer(name)
    ]
    assert wrong == []


def test_no_imports_go_in_circles() -> None:
    graph = {
        name: {other for other in found if other in MODULES} for name, found in IMPORTS.items()
    }
    TopologicalSorter(graph).prepare()  # raises `CycleError`, which names the circle


def test_one_package_alone_imports_spark() -> None:
    found = {
        name.split(".")[1]
        for name, imported in IMPORTS.items()
        if any(other.split(".")[0] in ("pyspark", "py4j") for other in imported)
    }
    assert found == {"spark"}


def test_the_library_imports_no_script() -> None:
    assert [name for name, found in IMPORTS.items() if found & SCRIPTS] == []


def test_scripts_import_no_other_script_but_wsgi_the_app() -> None:
    for name in sorted(SCRIPTS):
        found = imports_of(PROJECT / f"{name}.py") & SCRIPTS
        assert found <= ({"app"} if name == "wsgi" else set()), name


def test_every_script_at_the_top_level_is_named_here() -> None:
    assert {path.stem for path in PROJECT.glob("*.py")} == SCRIPTS


def test_nothing_calls_a_shell() -> None:
    for path in [*MODULES.values(), *PROJECT.glob("*.py")]:
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
        if re.search(r"\?[0-9]", text := path.read_text(encoding="utf-8"))
        for node in ast.walk(ast.parse(text))
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
    names = sorted(SCRIPTS - {"wsgi"})
    done = subprocess.run(
        [sys.executable, "-c", IMPORT_ALL, str(PROJECT), *names],
        cwd=here,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    result = json.loads(done.stdout)
    return {
        "opened": [path for path, _ in result["opened"]],
        "written": [path for path, flags in result["opened"] if flags & (os.O_WRONLY | os.O_RDWR)],
        "databases": result["databases"],
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
