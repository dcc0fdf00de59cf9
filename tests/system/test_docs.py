"""README.md and docs/: every command, key, endpoint, example and link they show is true."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from sandbox import PROJECT, SHARED, Sandbox, needs_shared
from werkzeug.serving import make_server

from pipeline.core.config import OPTIONAL_KEYS, PATH_KEYS, load_config
from pipeline.core.policy import POLICY_KEYS
from pipeline.core.schema import DEFAULT_SCHEMA
from pipeline.web.app import create_app
from pipeline.web.pages import TYPES

PAGES = {
    path.name: path.read_text(encoding="utf-8")
    for path in (PROJECT / "README.md", *sorted((PROJECT / "docs").glob("*.md")))
}
README = PAGES["README.md"]
API = PAGES["api.md"]
RELEASE = re.compile(r"\d{6}-\d{8}T\d{6}Z")
MADE = (
    "ingesteddata",
    "models",
    "practicemodels",
    "production_deployment",
    "*.db",
    "*.run",
    "*.log",
)


def blocks(text: str, language: str) -> list[str]:
    """The code blocks of a language, without the spaces of a list they are in."""
    found = re.findall(rf"^( *)```{language}\n(.*?)^ *```$", text, flags=re.MULTILINE | re.DOTALL)
    return [re.sub(rf"^{indent}", "", block, flags=re.MULTILINE) for indent, block in found]


def block_after(text: str, start: str, language: str = "text") -> str:
    return blocks(text.split(start, 1)[1], language)[0]


def shell_lines(text: str, *starts: str) -> list[str]:
    lines = [line for block in blocks(text, "sh") for line in block.splitlines()]
    return [line for line in lines if line.startswith(starts)]


def table_under(text: str, heading: str) -> dict[str, list[str]]:
    """The rows of the tables under a heading, by their first cell."""
    section = re.split(rf"^#+ {re.escape(heading)}\n", text, flags=re.MULTILINE)[1]
    section = re.split(r"^#+ ", section, flags=re.MULTILINE)[0]
    rows = [line.strip("| ").split(" | ") for line in section.splitlines() if line[:1] == "|"]
    return {row[0]: row[1:] for row in rows[2:]}


def slug(heading: str) -> str:
    """The anchor that a heading has on GitHub."""
    return re.sub(r"[^\w -]", "", heading.replace("`", "").lower()).replace(" ", "-")


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is committed, copied to a folder of its own, for commands to run in."""
    place = tmp_path_factory.mktemp("checkout") / "project"
    everywhere = shutil.ignore_patterns(".*", "__pycache__")
    at_the_top = shutil.ignore_patterns(*MADE)  # pipeline/models is not made

    def ignored(folder: str, names: list[str]) -> set[str]:
        left_out = everywhere(folder, names)
        return left_out | (at_the_top(folder, names) if Path(folder) == PROJECT else set())

    shutil.copytree(PROJECT, place, ignore=ignored)
    return place


def run(place: Path, command: str) -> str:
    """Run a line of the documentation in a checkout, with this test's Python."""
    words = [sys.executable if word.endswith("python") else word for word in shlex.split(command)]
    environment = {**os.environ, "PYTHONWARNINGS": "error"}
    done = subprocess.run(words, cwd=place, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


# --- commands ---


@pytest.mark.slow
def test_the_quick_start_and_the_drift_example_print_what_the_readme_shows(
    checkout: Path, tmp_path: Path
) -> None:
    place = Path(shutil.copytree(checkout, tmp_path / "own"))
    quick_start = next(
        line for line in shell_lines(README, "python3 -m venv") if "fullprocess" in line
    )
    first = run(place, quick_start.split(" && ")[-1])
    shown = block_after(README, "It ends, after its log")
    assert RELEASE.sub("ID", first) == RELEASE.sub("ID", shown)

    again = re.findall(r"Run it again \(`(.*?)`\): it says `(.*?)`", README)[0]
    assert run(place, again[0]) == again[1] + "\n"

    as_json = re.findall(r"Of `(.*?)`, where nothing is new", README)[0]
    assert run(place, as_json) == block_after(README, "where nothing is new", "json")

    section = README.split("\n## Drift and redeployment\n", 1)[1]
    drift, full, list_releases, rollback = shell_lines(section, "python ")[:4]
    run(place, drift)
    shown = blocks(section, "text")[0]
    assert RELEASE.sub("ID", run(place, full)).startswith(RELEASE.sub("ID", shown))
    assert "* 000002" in run(place, list_releases)
    assert "000001" in run(place, rollback)


@pytest.mark.slow
@needs_shared
def test_the_five_steps_rank_the_clients_of_a_public_table(checkout: Path, tmp_path: Path) -> None:
    place = Path(shutil.copytree(checkout, tmp_path / "own"))
    shutil.copy(SHARED / "public/bank_10000.csv", place / "clients.csv")
    section = README.split("\n## Your own data in five steps\n", 1)[1].split("\n## ", 1)[0]
    config = json.loads((place / "config.json").read_text())
    config |= json.loads("{" + blocks(section, "json")[0] + "}")
    (place / "config.json").write_text(json.dumps(config))
    look, split, chain = shell_lines(section, "python ")[:3]
    assert "clients.csv: 10,001 rows, 1 would be set aside\n" in run(place, look)
    (remove,) = shell_lines(section, "rm ")
    subprocess.run(["bash", "-euc", remove], cwd=place, check=True)
    assert "testdata: 2,009 rows\n" in run(place, split)
    said = run(place, chain)
    assert "clients.csv: 7,991 new of 7,991 rows\n" in said
    (shown,) = re.findall(r"an F1 of (\S+):", section)
    assert f", F1 {shown}" in said


def test_the_test_command_installs_both_lists_of_requirements() -> None:
    command = next(line for line in shell_lines(README, "python3 -m venv") if "pytest" in line)
    assert "-r requirements.txt -r tests/requirements.txt" in command
    for name in ("requirements.txt", "tests/requirements.txt"):
        assert (PROJECT / name).is_file()


def test_every_stage_command_names_a_script_and_options_it_has() -> None:
    lines = [line.split("#")[0] for page in PAGES.values() for line in shell_lines(page, "python ")]
    assert len(lines) >= 20
    shared = (PROJECT / "pipeline/cli.py").read_text(encoding="utf-8")
    for line in lines:
        _, script, *options = shlex.split(line.split("<<")[0])
        if script == "-m":
            script = options.pop(0).replace(".", "/") + ".py"
        if script in ("-", "pytest.py"):
            continue
        source = shared + (PROJECT / script).read_text(encoding="utf-8")
        for option in options:
            assert not option.startswith("-") or f'"{option}"' in source, line


def test_both_pages_have_the_same_cron_command() -> None:
    command, also = (shell_lines(PAGES[n], "(crontab")[0] for n in ("README.md", "operations.md"))
    assert command == also


# --- configuration and data ---


def test_every_config_key_is_documented_with_its_default(sandbox: Sandbox) -> None:
    sandbox.configure(api_url=None)
    config = load_config(PROJECT / "config.json")
    table = table_under(PAGES["configuration.md"], "Keys")
    assert sorted(key.strip("`") for key in table) == sorted([*PATH_KEYS, *OPTIONAL_KEYS])
    shown = {key.strip("`"): row[0].strip("`") for key, row in table.items()}
    assert {shown[key] for key in PATH_KEYS} == {"required"}
    assert shown["history_path"] == config.history_path.name
    assert int(shown["keep_releases"]) == config.keep_releases
    assert int(shown["keep_history_days"]) == config.keep_history_days
    assert tuple(json.loads(shown["report_formats"])) == config.report_formats
    assert (shown["heartbeat_url"], config.heartbeat_url) == ("null", None)
    assert json.loads(shown["risk_bands"]) == asdict(config.risk_bands)
    assert shown["api_url"] == config.api_url
    assert json.loads(shown["client_names"]) == config.schema.client_names
    policy = asdict(config.policy) | asdict(config.policy.worth)
    assert {key: json.loads(shown[key]) for key in POLICY_KEYS} == {
        key: policy[key] for key in POLICY_KEYS
    }
    practice = json.loads(shown["practice"])
    assert practice == json.loads((PROJECT / "config.json").read_text())["practice"]
    assert {key: sandbox.root / value for key, value in practice.items()} == {
        key: getattr(sandbox.practice, key) for key in practice
    }


@pytest.mark.parametrize("name", PAGES)
def test_every_piece_of_a_config_loads(name: str, sandbox: Sandbox) -> None:
    for example in blocks(PAGES[name], "json"):
        if example.startswith('"'):
            sandbox.configure(**json.loads("{" + example + "}"))
            assert sandbox.config


def test_the_sample_columns_are_the_default_schema() -> None:
    names = re.findall(r"`(\w+)`", " ".join(table_under(PAGES["data.md"], "Client files")))
    assert tuple(names) == DEFAULT_SCHEMA.columns


def test_every_table_of_the_history_is_documented(deployed: Sandbox) -> None:
    tables = {
        row[0]
        for row in deployed.query(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
        )
    }
    shown = table_under(PAGES["data.md"], "Tables of the history")
    assert set(re.findall(r"`(\w+)`", " ".join(shown))) == tables


# --- the files of the project ---


def test_the_readme_has_at_most_300_lines() -> None:
    assert len(README.splitlines()) <= 300


def test_the_file_tree_is_the_top_level() -> None:
    tree = block_after(README, "## Files")
    named = re.findall(r"[\w.]+/?(?=  |$|\n)", "\n".join(line[:22] for line in tree.splitlines()))
    there = {p.name + "/" * p.is_dir() for p in PROJECT.iterdir() if p.name[0] not in "._"}
    made = {"ingesteddata/", "models/", "practicemodels/", "production_deployment/"}
    made |= {"history.db", "history.db.run/", "fullprocess.log"}
    assert set(named) == there - made


def test_every_requirement_has_its_reason() -> None:
    lines = (PROJECT / "requirements.txt").read_text().splitlines()
    reasons = table_under(PAGES["architecture.md"], "Dependencies")
    assert list(reasons) == [re.split(r"[=<>~]", line)[0] for line in lines]
    assert all(row[0] for row in reasons.values())


@pytest.mark.parametrize("name", PAGES)
def test_every_link_leads_somewhere(name: str) -> None:
    folder = PROJECT if name == "README.md" else PROJECT / "docs"
    for link in re.findall(r"\]\(([^)]+)\)", PAGES[name]):
        if link.startswith("http"):
            continue
        file, _, anchor = link.partition("#")
        assert not file or (folder / file).is_file(), link
        if anchor:
            target = PAGES[Path(file).name if file else name]
            assert anchor in map(slug, re.findall(r"^#+ (.+)$", target, flags=re.MULTILINE)), link


@pytest.mark.parametrize("name", PAGES)
def test_every_file_that_is_named_exists(name: str) -> None:
    named = re.findall(r"`((?:pipeline|tests)/[\w./]+)`", PAGES[name])
    assert [path for path in named if not (PROJECT / path).exists()] == []
    for module in re.findall(r"python -m ((?:pipeline|tests)\.[\w.]+)", PAGES[name]):
        assert (PROJECT / f"{module.replace('.', '/')}.py").is_file()


def test_the_table_of_layers_names_every_package_and_its_modules() -> None:
    layers = table_under(PAGES["architecture.md"], "Layers")
    packages = {path.parent for path in (PROJECT / "pipeline").glob("*/__init__.py")}
    assert {PROJECT / name.strip("`") for name in layers} == packages
    for package, row in layers.items():
        folder = PROJECT / package.strip("`")
        named = re.findall(r"`([\w./]+)`", row[-1])
        assert [name for name in named if not (folder / name).exists()] == [], package
        modules = {path.name for path in folder.glob("*.py")} - {"__init__.py"}
        assert modules - {*named} == set(), package
    here = table_under(PAGES["architecture.md"], "The stage scripts")
    modules = {path.name for path in (PROJECT / "pipeline").glob("*.py")} - {"__init__.py"}
    assert {name.strip("`") for name in here} == modules


def test_what_the_table_of_changes_names_is_in_the_files_beside_it() -> None:
    for change, row in table_under(PAGES["architecture.md"], "Where to change what").items():
        quoted = re.findall(r"`([^`]+)`", " ".join(row))
        files = [PROJECT / name for name in quoted if (PROJECT / name).is_file()]
        text = "".join(path.read_text(encoding="utf-8") for path in files)
        names = [name for name in quoted if name.isidentifier() and name not in OPTIONAL_KEYS]
        assert files, change
        assert [name for name in names if name not in text] == [], change


# --- the API ---


@pytest.fixture(scope="module")
def server(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    place = Path(shutil.copytree(checkout, tmp_path_factory.mktemp("served") / "project"))
    run(place, "python fullprocess.py")
    served = make_server("127.0.0.1", 0, create_app(load_config(place / "config.json")))
    thread = threading.Thread(target=served.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{served.server_port}"
    served.shutdown()
    thread.join()
    served.server_close()


CURLS = shell_lines(API, "curl ")
TIME = re.compile(r"\d{4}-\d\d-\d\d(T\d\d:\d\d:\d\d(\.\d+)?Z)?")
VARYING = ("seconds", "packages")


def alike(found: Any, shown: Any) -> bool:
    """Whether an answer is as shown, but for the last digits, and for what varies by machine."""
    if isinstance(shown, dict):
        same = (key in VARYING or alike(found[key], shown[key]) for key in shown if key in found)
        return set(found) == set(shown) and all(same)
    if isinstance(shown, list):
        return len(found) == len(shown) and all(map(alike, found, shown))
    return bool(found == (pytest.approx(shown) if isinstance(shown, float) else shown))


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")
@pytest.mark.parametrize("line", CURLS)
def test_every_curl_line_gets_the_answer_shown_below_it(
    line: str, server: str, checkout: Path
) -> None:
    words = shlex.split(line.replace("http://127.0.0.1:8000", server))
    answer = subprocess.run(words, cwd=checkout, capture_output=True, text=True, check=True).stdout
    if line.endswith("/metrics"):
        shown = block_after(API, line).splitlines()
        assert {metric.split()[0] for metric in shown} < {
            metric.split()[0] for metric in answer.splitlines()
        }
        return
    found, example = (
        json.loads(TIME.sub("TIME", RELEASE.sub("ID", text)))
        for text in (answer, block_after(API, line, "json"))
    )
    if "testdata.csv" in line or "openapi" in line:  # shown shortened
        assert set(found) == set(example)
    else:
        assert alike(found, example)


def test_every_endpoint_has_a_curl_line_or_is_a_page(sandbox: Sandbox) -> None:
    rules = {rule.rule.split("/<")[0] for rule in create_app(sandbox.config).url_map.iter_rules()}
    asked = {re.sub(r"[?'].*", "", line.split(":8000")[1].split()[0]) for line in CURLS}
    endpoints = {re.sub(r"^(/[\w.]+).*", r"\1", path) for path in asked}
    pages = {
        page for cell in table_under(API, "The page") for page in re.findall(r"`(/[\w./]*)", cell)
    }
    assert rules - {f"/{name}" for name in TYPES} == pages | endpoints
    for text, heading in ((README, "The API"), (API, "API and page")):
        listed = " ".join(table_under(text, heading))
        assert set(re.findall(r"`(/[\w.]+)", listed)) == endpoints
