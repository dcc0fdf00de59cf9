"""The line for cron: run by sh as cron gives it on, in folders of any name."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from sandbox import PROJECT

import fullprocess
from pipeline.cli import crontab_line
from pipeline.core.errors import ConfigError

TIMES = "*/10 * * * * "
NAMES = (
    *("plain", "a project", "R&D", "100%", "%d %%", "a|b", "it's", 'say "no"', "$HOME", "`pwd`"),
    *("back\\slash", "two\\\\", "\\%", "\\\\%\\\\\\", "a;b", "#1", "*", "(a)", "-n", "~", "Büro\t"),
)


def by_debian(line: str) -> str:
    """What cron gives to sh: up to the first bare `%`, after a backslash `%` and backslash bare."""
    command, rest = "", line.removeprefix(TIMES)
    while rest and rest[0] != "%":
        taken = 2 if rest[:2] in ("\\%", "\\\\") else 1
        command, rest = command + rest[:taken][-1], rest[taken:]
    return command


def by_others(line: str) -> str:
    """What a cron gives to sh that leaves all backslashes, as that of BSD did."""
    return line.removeprefix(TIMES)


def run_stub(project: Path, command: str) -> str:
    """Run the command where a stub stands in for the chain; returns the log."""
    (project / "fullprocess.py").write_text(
        "import json, os, sys\nprint(json.dumps([os.getcwd(), *sys.argv[1:]]))\n"
    )
    done = subprocess.run(
        ["/bin/sh", "-c", command], cwd="/", capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("", "")
    return (project / "fullprocess.log").read_text()


@pytest.mark.parametrize("given_on", [by_debian, by_others])
@pytest.mark.parametrize("name", NAMES)
def test_it_runs_in_a_folder_of_any_name(
    name: str, given_on: Callable[[str], str], tmp_path: Path
) -> None:
    project = tmp_path / name
    project.mkdir()
    python = project / "python"
    python.symlink_to(sys.executable)

    line = crontab_line(project, ["--config", f"{project}/c.json"], str(python))

    assert line.startswith(TIMES)
    log = run_stub(project, given_on(line))
    assert json.loads(log) == [str(project), "--config", f"{project}/c.json"]


@pytest.mark.parametrize("wrong", ["cd ", "python'"])
def test_what_fails_before_the_run_is_in_the_log(wrong: str, tmp_path: Path) -> None:
    command = by_debian(crontab_line(tmp_path, (), f"{tmp_path}/python"))

    log = run_stub(tmp_path, command.replace(wrong, f"{wrong}/not/there", 1))

    assert "/not/there" in log


def test_a_line_break_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cron can run nothing whose path has a line break"):
        crontab_line(tmp_path / "a\nb")


def test_the_line_shown_is_the_one_printed() -> None:
    *comments, line = (PROJECT / "cronjob.txt").read_text().splitlines()
    home = Path("/home/you/clientrisk")

    assert all(comment.startswith("#") for comment in comments)
    assert line == crontab_line(home, (), f"{home}/.venv/bin/python")


def test_it_is_printed_with_what_was_given(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.json").write_bytes((PROJECT / "config.json").read_bytes())

    assert fullprocess.main(["--crontab"]) == 0
    assert capsys.readouterr().out == crontab_line(PROJECT) + "\n"
    config = ["--config", f"{tmp_path}/mine.json"]
    assert fullprocess.main(["--crontab", "--practice", *config]) == 0
    assert capsys.readouterr().out == crontab_line(PROJECT, [*config, "--practice"]) + "\n"
