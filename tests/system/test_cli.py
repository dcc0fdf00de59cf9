"""What all stages share on the command line: options, exit codes, and what goes to which stream."""

import importlib
import json
import logging
import os
import re
import signal
import subprocess
import sys
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event

import pytest
from sandbox import PROJECT, Sandbox, client_rows
from servers import foreign, interruptible

from pipeline import cli
from pipeline.core.config import Config
from pipeline.core.errors import DataError, LockHeldError
from pipeline.core.files import utc_now

STAGES = ["ingestion", "training", "scoring", "deployment", "diagnostics", "reporting"]
ALONE = [*STAGES, "fullprocess"]  # those that hold the lock
SCRIPTS = [*ALONE, "app", "apicalls"]
LOG_LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ (DEBUG|INFO|WARNING|ERROR) [\w.]+: .+")


def arguments(world: Sandbox, *more: str) -> Namespace:
    given = ["--config", str(world.root / "config.json"), *more]
    return cli.stage_parser("a stage of a test").parse_args(given)


# --- options ---


@pytest.mark.parametrize("script", SCRIPTS)
def test_help_is_the_manual_of_the_script(script: str, capsys: pytest.CaptureFixture[str]) -> None:
    module = importlib.import_module(script)

    with pytest.raises(SystemExit) as stopped:
        module.main(["--help"])

    said = capsys.readouterr().out
    assert stopped.value.code == 0
    assert module.__doc__.strip() in said
    for option in ("--config PATH", "--practice", "-v, --verbose", "-h, --help"):
        assert option in said


@pytest.mark.parametrize("script", SCRIPTS)
def test_an_unknown_option_is_a_usage_error(
    script: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        importlib.import_module(script).main(["--no-such-option"])

    captured = capsys.readouterr()
    assert (stopped.value.code, captured.out) == (2, "")
    assert captured.err.endswith("error: unrecognized arguments: --no-such-option\n")


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_config_that_is_not_there_is_one_clear_line(
    script: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "nowhere.json"

    code = importlib.import_module(script).main(["--config", str(path)])

    captured = capsys.readouterr()
    assert (code, captured.out) == (1, "")
    assert captured.err == f"error: {path}: there is no such file (name one with --config)\n"
    assert list(tmp_path.iterdir()) == []


def test_the_config_beside_the_scripts_is_the_default() -> None:
    assert cli.stage_parser("").parse_args([]).config == PROJECT / "config.json"


# --- exit codes ---


def test_a_command_that_is_done_returns_0_and_gets_its_config(sandbox: Sandbox) -> None:
    given: list[tuple[Config, Namespace]] = []
    args = arguments(sandbox, "--practice")

    code = cli.run(lambda config, args: given.append((config, args)), args)

    assert (code, given) == (0, [(sandbox.practice, args)])


@pytest.mark.parametrize(
    ("failure", "code", "line"),
    [
        (DataError("a.csv: is no table"), 1, "error: a.csv: is no table\n"),
        (FileNotFoundError(2, "No such file", "/x/y"), 1, "error: /x/y: No such file\n"),
        (LockHeldError("another run is at work"), 75, "error: another run is at work\n"),
        (KeyboardInterrupt(), 130, "interrupted\n"),
    ],
)
def test_a_failure_that_is_expected_is_one_line_and_its_own_code(
    sandbox: Sandbox, failure: BaseException, code: int, line: str
) -> None:
    def command(*_: object) -> None:
        raise failure

    assert cli.run(command, arguments(sandbox)) == code
    captured = sandbox.capsys.readouterr()
    assert (captured.out, captured.err) == ("", line)


def test_a_bug_keeps_its_traceback(sandbox: Sandbox) -> None:
    def command(*_: object) -> None:
        raise ZeroDivisionError("a bug")

    with pytest.raises(ZeroDivisionError, match="a bug"):
        cli.run(command, arguments(sandbox))


ODD = "Gr\u00f6\u00dfe \u682a \udcff"  # what few encodings have, and a byte of a file's name
SAY_ODD = f"""
import logging
from pipeline import cli
from pipeline.core.errors import DataError

def command(config, args):
    cli.print_result(config, args, {{"file": {ODD!a}}}, [{ODD!a}])
    logging.getLogger("pipeline").warning({ODD!a})
    raise DataError({ODD!a})

raise SystemExit(cli.run(command, cli.result_parser({ODD!a}).parse_args()))
"""


@pytest.mark.parametrize(
    "environment",
    [
        {"PYTHONIOENCODING": "ascii"},
        {"PYTHONIOENCODING": "latin-1"},
        {"PYTHONIOENCODING": "utf-8"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    ],
)
def test_what_an_output_cannot_encode_is_escaped(
    sandbox: Sandbox, environment: dict[str, str]
) -> None:
    def said(*args: str) -> tuple[int, str, str]:
        child = [sys.executable, "-c", SAY_ODD, "--config", str(sandbox.root / "config.json")]
        done = subprocess.run(
            [*child, *args], cwd=PROJECT, capture_output=True, env={**os.environ, **environment}
        )
        encoding = environment.get("PYTHONIOENCODING", "ascii")
        return done.returncode, done.stdout.decode(encoding), done.stderr.decode(encoding)

    encoding = environment.get("PYTHONIOENCODING", "ascii")
    escaped = ODD.encode(encoding, "backslashreplace").decode(encoding)
    code, out, err = said()
    assert (code, out) == (1, f"{escaped}\n")
    assert (err.count(escaped), err.count("\n"), "Traceback" in err) == (2, 2, False)
    code, out, err = said("--json")
    assert (code, json.loads(out)) == (1, {"file": ODD})
    code, out, err = said("--help")
    assert (code, escaped in out, err) == (0, True, "")


MANY_LINES = """
import sys
from pipeline import cli

def command(config, args):
    for number in range(100_000):
        cli.print_lines([str(number)])
    print("the end", file=sys.stderr)

raise SystemExit(cli.run(command, cli.stage_parser("").parse_args()))
"""


def test_a_reader_that_leaves_early_is_no_failure(sandbox: Sandbox) -> None:
    command = [sys.executable, "-c", MANY_LINES, "--config", str(sandbox.root / "config.json")]
    with subprocess.Popen(
        command,
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as child:
        assert child.stdout
        assert child.stderr
        assert child.stdout.readline() == "0\n"
        child.stdout.close()
        log = child.stderr.read()

    assert (child.returncode, log) == (0, "the end\n")


@contextmanager
def reader_gone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Standard output is a pipe that nobody reads."""
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as pipe, monkeypatch.context() as patched:
        patched.setattr(sys, "stdout", pipe)
        yield


@pytest.mark.parametrize("args", [["fullprocess"], ["fullprocess", "--json"], ["reporting"]])
def test_a_run_without_a_reader_goes_on_to_its_end(
    settled: Sandbox, monkeypatch: pytest.MonkeyPatch, args: list[str]
) -> None:
    settled.write("sourcedata/c.csv", client_rows(200, 60))

    with reader_gone(monkeypatch):
        main = importlib.import_module(args[0]).main
        code = main(["--config", str(settled.root / "config.json"), *args[1:]])

    assert code == 0
    last = "SELECT command, outcome FROM runs ORDER BY id DESC LIMIT 1"
    assert settled.query(last) == [(args[0], "done")]
    judged = settled.query("SELECT count(*) FROM decisions")
    assert judged == [(2 if args[0] == "fullprocess" else 1,)]


def test_an_interrupted_script_ends_with_130(deployed: Sandbox) -> None:
    reached, over = Event(), Event()

    def answer(_: object) -> None:
        reached.set()
        over.wait(600)

    with foreign(answer) as (url, _):
        config = str(deployed.root / "config.json")
        with interruptible():
            child = subprocess.Popen(
                [sys.executable, str(PROJECT / "apicalls.py"), "--config", config, "--url", url],
                text=True,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
        assert reached.wait(600)
        child.send_signal(signal.SIGINT)
        out, err = child.communicate(timeout=600)
        over.set()

    assert (child.returncode, out, err) == (130, "", "interrupted\n")


# --- the history of runs ---


def test_each_run_is_recorded_with_how_it_ended(sandbox: Sandbox) -> None:
    assert sandbox.run("ingestion").code == 0
    assert sandbox.run("training").code == 1

    final = sandbox.root / "ingesteddata/finaldata.csv"
    assert sandbox.query("SELECT command, outcome, detail FROM runs ORDER BY id") == [
        ("ingestion", "done", None),
        ("training", "failed", f"HistoryError: {final} has no rows yet: run `python ingestion.py`"),
    ]


# --- streams ---


def test_results_go_to_standard_output_and_the_log_to_standard_error(source: Sandbox) -> None:
    result = source.run("ingestion")

    assert result.out.splitlines() == [
        "a.csv: 60 new of 60 rows",
        "b.csv: 60 new of 60 rows",
        "ingesteddata/finaldata.csv: 120 rows",
    ]
    logged = result.err.splitlines()
    assert [line.split(": ", 1)[1] for line in logged] == [
        "a.csv: 60 rows: 60 new, 0 already known, 0 set aside",
        "b.csv: 60 rows: 60 new, 0 already known, 0 set aside",
    ]
    assert all(LOG_LINE.fullmatch(line) for line in logged)


def test_a_script_works_from_any_folder_and_logs_in_utc(source: Sandbox, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    began = utc_now()
    child = subprocess.run(
        [sys.executable, str(PROJECT / "ingestion.py"), "--config", "../config.json"],
        cwd=elsewhere,
        env={**os.environ, "TZ": "Asia/Tokyo"},
        capture_output=True,
        text=True,
        check=True,
    )

    assert child.stdout.endswith("ingesteddata/finaldata.csv: 120 rows\n")
    assert list(elsewhere.iterdir()) == []
    (recorded,) = source.query("SELECT started_at FROM runs")[0]
    assert began <= recorded <= utc_now()
    assert recorded[:19] <= child.stderr[:19] <= utc_now()


@pytest.mark.parametrize(("verbose", "result"), [(False, ["fact"]), (True, ["detail", "fact"])])
def test_verbose_logs_the_details_of_ours_only(
    sandbox: Sandbox, verbose: bool, result: list[str]
) -> None:
    cli.set_up_logging(verbose)
    for name in ("ingestion", "urllib3"):
        logging.getLogger(name).debug("detail")
        logging.getLogger(name).info("fact")

    lines = sandbox.capsys.readouterr().err.splitlines()
    assert [line.split(": ", 1)[1] for line in lines] == result
