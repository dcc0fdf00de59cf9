"""The parser, the results, the logging set-up and the exit codes that every stage shares."""

import argparse
import io
import json
import logging
import os
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import fields
from pathlib import Path
from typing import Any

from pipeline.core.config import Config, load_config
from pipeline.core.errors import ConfigError, PipelineError
from pipeline.core.formatting import Printer
from pipeline.places import claim, hand_over, rights_of
from pipeline.storage.database import History
from pipeline.storage.history import open_history, run_lock

log = logging.getLogger(__name__)

CONFIG = Path(__file__).resolve().parent.parent / "config.json"
INTERRUPTED = 130
# "pipeline", and the names under which the stages log
OUR_LOGGERS = (
    *("pipeline", "ingestion", "training", "scoring", "deployment", "diagnostics", "reporting"),
    *("app", "apicalls", "fullprocess"),
)

# within single quotes of sh, for every cron: some leave the backslash before a %, some take one of
# two that follow each other
_QUOTED = str.maketrans({"'": "'\"'\"'", "%": "'\\%'", "\\": "\\''"})

Command = Callable[[Config, argparse.Namespace], None]
StageCommand = Callable[[Config, History, argparse.Namespace], None]


def stage_parser(manual: str | None) -> argparse.ArgumentParser:
    """A parser with the options that every stage takes; `manual` is the stage's docstring."""
    escape_output()
    parser = argparse.ArgumentParser(
        description=manual, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--config",
        type=Path,
        default=CONFIG,
        metavar="PATH",
        help="the config.json to use (default: the one beside the script)",
    )
    parser.add_argument(
        "--practice", action="store_true", help="work on the practice folders, not on production"
    )
    parser.add_argument("-v", "--verbose", action="store_true", help="log every detail")
    return parser


def result_parser(manual: str | None) -> argparse.ArgumentParser:
    """A `stage_parser` of a stage that has a result, which a program may want as JSON."""
    parser = stage_parser(manual)
    parser.add_argument("--json", action="store_true", help="print the result as one JSON object")
    return parser


def escape_output() -> None:
    """Let what an output's encoding has no letters for be escaped, and end no run."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def print_lines(lines: Iterable[str]) -> None:
    """Print lines for a person."""
    _print("\n".join(lines))


def _print(text: str) -> None:
    """Print a result; a reader who has left (`| head`) does not stop a run half-way."""
    try:
        print(text, flush=True)  # in a log file, results and log keep step
    except BrokenPipeError:
        # what is printed later, and Python's own flush at exit, must not fail either
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
    except OSError as error:
        raise OSError(error.errno, error.strerror, "standard output") from error


def printer_for(args: argparse.Namespace) -> Printer:
    """Prints lines for a person; with `--json` nothing, as one object is printed at the end."""
    return (lambda _: None) if args.json else print_lines


def print_result(
    config: Config, args: argparse.Namespace, result: Any, lines: Iterable[str]
) -> None:
    """Print a result: as JSON where that is asked for, else in lines for a person."""
    if args.json:
        print_json(config, result)
    else:
        print_lines(lines)


def print_json(config: Config, result: Any) -> None:
    """Print a result, a dataclass or a mapping, as one line of JSON; paths as messages show them.

    Raises `ValueError` for a number that JSON does not have.
    """

    def plain(value: Any) -> Any:
        if isinstance(value, Path):
            return config.shown(value)
        return {field.name: getattr(value, field.name) for field in fields(value)}

    text = json.dumps(result, default=plain, ensure_ascii=False, allow_nan=False)
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "utf-8")  # it may be closed
    except UnicodeEncodeError:  # JSON knows other escapes than Python
        text = json.dumps(result, default=plain, allow_nan=False)
    _print(text)


def run(command: Command, args: argparse.Namespace) -> int:
    """Run a command with its config; returns the exit code.

    An expected failure is one line on standard error; a bug keeps its traceback.
    """

    def configured(args: argparse.Namespace) -> None:
        config = load_config(args.config, practice=args.practice)
        log.debug("%s%s: %s", config.path, " (practice)" if config.practice else "", config)
        try:
            command(config, args)
        finally:
            hand_over(config)

    return run_without_config(configured, args)


def run_without_config(command: Callable[[argparse.Namespace], None], args: Any) -> int:
    """`run`, of a command that needs no config."""
    set_up_logging(args.verbose)
    try:
        with rights_of(args.config.absolute().parent):
            command(args)
    except PipelineError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except OSError as error:
        print(f"error: {error.filename or 'system'}: {error.strerror or error}", file=sys.stderr)
        return PipelineError.exit_code
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    return 0


def run_stage(name: str, command: StageCommand, args: argparse.Namespace) -> int:
    """`run`, under the run lock, with the history open and the run recorded in it."""
    from pipeline.storage.records import recorded_run  # not for a tick that finds nothing new

    def recorded(config: Config, args: argparse.Namespace) -> None:
        with (
            run_lock(config.lock_path),
            open_history(config.history_path) as history,
            recorded_run(history, name),
        ):
            claim(config)
            command(config, history, args)

    return run(recorded, args)


def set_up_logging(verbose: bool) -> None:
    """Log to standard error, one line a fact, in UTC."""
    handler = logging.StreamHandler()
    formatter = logging.Formatter("%(asctime)sZ %(levelname)s %(name)s: %(message)s")
    formatter.converter = time.gmtime
    formatter.default_time_format = "%Y-%m-%dT%H:%M:%S"
    formatter.default_msec_format = ""
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)  # libraries speak up only where something is wrong
    for ours in OUR_LOGGERS:
        logging.getLogger(ours).setLevel(logging.DEBUG if verbose else logging.INFO)


def crontab_line(project: Path, options: Iterable[str] = (), python: str = sys.executable) -> str:
    """The line, whose whole output goes into the project's log; raises `ConfigError`."""
    words = " ".join(["fullprocess.py", *(_quoted(option) for option in options)])
    command = f"cd {_quoted(str(project))} && {_quoted(python)} {words}"
    line = f"*/10 * * * * {{ {command}; }} >> {_quoted(str(project / 'fullprocess.log'))} 2>&1"
    if "\n" in line:
        raise ConfigError(f"cron can run nothing whose path has a line break: {line!r}")
    return line


def _quoted(text: str) -> str:
    return f"'{text.translate(_QUOTED)}'"
