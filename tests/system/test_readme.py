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

import pytest
from sandbox import PROJECT, Sandbox
from werkzeug.serving import make_server

from app import create_app
from pipeline.core.config import OPTIONAL_KEYS, PATH_KEYS, load_config
from pipeline.core.policy import POLICY_KEYS
from pipeline.core.schema import DEFAULT_SCHEMA
from pipeline.web.pages import TYPES

README = (PROJECT / "README.md").read_text(encoding="utf-8")
RELEASE = re.compile(r"\d{6}-\d{8}T\d{6}Z")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, flags=re.MULTILINE | re.DOTALL)


def block_after(text: str, language: str = "text") -> str:
    return re.findall(rf"```{language}\n(.*?)```", README.split(text, 1)[1], flags=re.DOTALL)[0]


def shell_lines(*starts: str) -> list[str]:
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    return [line for line in lines if line.startswith(starts)]


def table_under(heading: str) -> dict[str, list[str]]:
    section = README.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    rows = [line.strip("| ").split(" | ") for line in section.splitlines() if line[:1] == "|"]
    return {row[0]: row[1:] for row in rows[2:]}


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is committed, copied to a folder of its own, for commands to run in."""
    place = tmp_path_factory.mktemp("checkout") / "project"
    made = [
        "ingesteddata",
        "models",
        "practicemodels",
        "production_deployment",
        "*.db",
        "*.run",
        "*.log",
    ]
    shutil.copytree(
        PROJECT, place, ignore=shutil.ignore_patterns(".git", ".*", "__pycache__", *made)
    )
    return place


def run(place: Path, command: str) -> str:
    """Run a README line in a checkout, with this test's Python; returns its standard output."""
    words = [sys.executable if word.endswith("python") else word for word in shlex.split(command)]
    environment = {**os.environ, "PYTHONWARNINGS": "error"}
    done = subprocess.run(words, cwd=place, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_quick_start_and_the_drift_walk_through_print_what_the_readme_shows(
    checkout: Path,
) -> None:
    quick_start = next(line for line in shell_lines("python3 -m venv") if "fullprocess" in line)
    first = run(checkout, quick_start.split(" && ")[-1])
    assert RELEASE.sub("ID", first) == RELEASE.sub("ID", block_after("It ends, after its log"))

    again = re.findall(r"Run again \(`(.*?)`\), it says `(.*?)`", README)[0]
    assert run(checkout, again[0]) == again[1] + "\n"

    (as_json,) = shell_lines("python fullprocess.py --json")
    assert run(checkout, as_json) == block_after("whether anything was new", "json")

    lines = shell_lines("python ", "echo")
    at = next(i for i, line in enumerate(lines) if "--drift" in line)
    drift, full, *later = lines[at : at + 4]
    run(checkout, drift)
    shown = block_after("## Drift, walked through")
    assert RELEASE.sub("ID", run(checkout, full)).startswith(RELEASE.sub("ID", shown))
    assert "* 000002" in run(checkout, later[0])
    assert "000001" in run(checkout, later[1])


def test_the_test_command_installs_both_lists_of_requirements() -> None:
    command = next(line for line in shell_lines("python3 -m venv") if "pytest" in line)
    assert "-r requirements.txt -r tests/requirements.txt" in command
    for name in ("requirements.txt", "tests/requirements.txt"):
        assert (PROJECT / name).is_file()


def test_every_stage_command_names_a_script_and_options_it_has() -> None:
    stages = [line.split("#")[0] for line in shell_lines("python ")]
    assert len(stages) >= 15
    shared = (PROJECT / "pipeline/cli.py").read_text(encoding="utf-8")
    for line in stages:
        _, script, *options = shlex.split(line)
        if script != "-m":
            source = shared + (PROJECT / script).read_text(encoding="utf-8")
            for option in options:
                assert f'"{option}"' in source, line


def test_every_config_key_is_told_with_its_default(sandbox: Sandbox) -> None:
    sandbox.configure(api_url=None)
    config = load_config(PROJECT / "config.json")
    table = table_under("Configuration")
    assert [key.strip("`") for key in table] == [*PATH_KEYS, *OPTIONAL_KEYS]
    told = {key.strip("`"): row[0].strip("`") for key, row in table.items()}
    assert {told[key] for key in PATH_KEYS} == {"required"}
    assert told["history_path"] == config.history_path.name
    assert int(told["keep_releases"]) == config.keep_releases
    assert int(told["keep_history_days"]) == config.keep_history_days
    assert tuple(json.loads(told["report_formats"])) == config.report_formats
    assert (told["heartbeat_url"], config.heartbeat_url) == ("null", None)
    assert json.loads(told["risk_bands"]) == asdict(config.risk_bands)
    assert told["api_url"] == config.api_url
    policy = {**asdict(config.policy), **asdict(config.policy.worth)}
    assert {key: json.loads(told[key]) for key in POLICY_KEYS} == {
        key: policy[key] for key in POLICY_KEYS
    }
    practice = json.loads(told["practice"])
    assert practice == json.loads((PROJECT / "config.json").read_text())["practice"]


def test_the_practice_default_is_as_told(sandbox: Sandbox) -> None:
    told = json.loads(table_under("Configuration")["`practice`"][0].strip("`"))
    assert {key: sandbox.root / value for key, value in told.items()} == {
        key: getattr(sandbox.practice, key) for key in told
    }


def test_the_sample_columns_are_the_default_schema() -> None:
    names = re.findall(r"`(\w+)`", " ".join(table_under("Your own data")))
    assert tuple(names) == DEFAULT_SCHEMA.columns


def test_the_schema_example_is_one_that_loads(sandbox: Sandbox) -> None:
    example = next(block for block in blocks("json") if block.startswith('"schema"'))
    sandbox.configure(**json.loads("{" + example + "}"))
    assert sandbox.config.schema.categorical == ("Geography", "Gender")


def test_the_file_tree_is_the_top_level() -> None:
    tree = block_after("## What lies where")
    named = re.findall(r"[\w.]+/?(?=  |$|\n)", "\n".join(line[:22] for line in tree.splitlines()))
    there = {p.name + "/" * p.is_dir() for p in PROJECT.iterdir() if p.name[0] not in "._"}
    made = {"ingesteddata/", "models/", "practicemodels/", "production_deployment/"}
    made |= {"history.db", "history.db.run/", "fullprocess.log"}
    assert set(named) == there - made


def test_every_requirement_has_its_reason() -> None:
    lines = (PROJECT / "requirements.txt").read_text().splitlines()
    reasons = table_under("What it stands on")
    assert list(reasons) == [re.split(r"[=<>~]", line)[0] for line in lines]
    assert all(row[0] for row in reasons.values())


def test_every_table_of_the_history_is_named(deployed: Sandbox) -> None:
    tables = {
        row[0]
        for row in deployed.query(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
        )
    }
    told = table_under("What the output files hold")["`history.db`"][0]
    assert set(re.findall(r"`(\w+)`", told)) == tables


@pytest.fixture(scope="module")
def server(checkout: Path) -> Iterator[str]:
    if not (checkout / "models/clientrisk.csv").exists():
        run(checkout, "python fullprocess.py")
    served = make_server("127.0.0.1", 0, create_app(load_config(checkout / "config.json")))
    thread = threading.Thread(target=served.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{served.server_port}"
    served.shutdown()
    thread.join()
    served.server_close()


CURLS = shell_lines("curl ")


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")
@pytest.mark.parametrize("line", CURLS)
def test_every_curl_line_gets_the_answer_shown_below_it(
    line: str, server: str, checkout: Path
) -> None:
    words = shlex.split(line.replace("http://127.0.0.1:8000", server))
    answer = subprocess.run(words, cwd=checkout, capture_output=True, text=True, check=True).stdout
    if line.endswith("/metrics"):
        shown = block_after(line).splitlines()
        assert {told.split()[0] for told in shown} < {
            told.split()[0] for told in answer.splitlines()
        }
    else:
        told, shown = json.loads(answer), json.loads(block_after(line, "json"))
        assert set(told) == set(shown)
        if "openapi" not in shown:  # a list that is shown empty is empty
            assert {k for k, v in told.items() if v == []} == {k for k in shown if shown[k] == []}


def test_every_endpoint_has_a_curl_line_or_is_a_page(sandbox: Sandbox) -> None:
    rules = {rule.rule.split("/<")[0] for rule in create_app(sandbox.config).url_map.iter_rules()}
    told = {re.sub(r"[?'].*", "", line.split(":8000")[1].split()[0]) for line in CURLS}
    pages = {page for cell in table_under("The page") for page in re.findall(r"`(/[\w.]*)", cell)}
    assert rules - {f"/{name}" for name in TYPES} == pages | {
        re.sub(r"^(/[\w.]+).*", r"\1", path) for path in told
    }


def test_the_cron_command_puts_the_folder_into_the_line(tmp_path: Path) -> None:
    command = next(line for line in shell_lines("(crontab"))
    sed = re.findall(r"sed .* cronjob.txt", command)[0]
    shutil.copy(PROJECT / "cronjob.txt", tmp_path)
    done = subprocess.run(["bash", "-c", sed], cwd=tmp_path, capture_output=True, text=True)
    *comments, line = done.stdout.splitlines()
    assert all(comment.startswith("#") for comment in comments)
    assert line == (
        f'*/10 * * * * cd "{tmp_path}" && .venv/bin/python fullprocess.py >> fullprocess.log 2>&1'
    )
