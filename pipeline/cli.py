"""The parser, the results, the logging set-up and the exit codes that every stage shares."""

import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from pipeline.core.config import Config, load_config
from pipeline.core.errors import PipelineError
from pipeline.core.formatting import Printer as Printer
from pipeline.storage.history import run_lock

# What an empty tick does without is imported in the functions that need it: argparse and logging
# would cost it a quarter of its time.
if TYPE_CHECKING:
    import argparse

PROJECT = Path(__file__).resolve().parent.parent
CONFIG = PROJECT / "config.json"
INTERRUPTED = 130

OUR_LOGGERS = (
    "pipeline",
    "ingestion",
    "training",
    "scoring",
    "deployment",
    "diagnostics",
    "reporting",
    "app",
    "apicalls",
    "fullprocess",
)

Command = Callable[[Config, Any], None]  # the arguments are a namespace


def stage_parser(manual: str | None) -> "argparse.ArgumentParser":
    """A parser with the options that every stage takes; `manual` is the stage's docstring."""
    import argparse

    parser = argparse.ArgumentParser(
        description=manual, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--config",
        type=Path,
        default=CONFIG,
        metavar="PATH",
        help="the config.json to go by (default: the one beside the script)",
    )
    parser.add_argument(
        "--practice", action="store_true", help="work on the practice folders, not on production"
    )
    parser.add_argument("-v", "--verbose", action="store_true", help="log every detail")
    return parser


def result_parser(manual: str | None) -> "argparse.ArgumentParser":
    """A `stage_parser` of a stage that has a result, which a program may want as JSON."""
    parser = stage_parser(manual)
    parser.add_argument("--json", action="store_true", help="print the result as one JSON object")
    return parser


def plain_arguments(argv: Sequence[str], *flags: str) -> SimpleNamespace | None:
    """What a parser would make of plain arguments, as cron's are; None where it takes a parser.

    Plain are `--config PATH`, `--practice`, `--verbose`, `--json` and the flags, written in full.
    """
    config, given = CONFIG, dict.fromkeys(("practice", "verbose", "json", *flags), False)
    words = iter(argv)
    for word in words:
        if word == "--config" and not (path := next(words, "-")).startswith("-"):
            config = Path(path)
        elif word.startswith("--") and word[2:] in given:
            given[word[2:]] = True
        else:
            return None
    return SimpleNamespace(config=config, **given)


def print_lines(lines: Iterable[str]) -> None:
    """Print what a person is told."""
    _print("\n".join(lines))


def _print(text: str) -> None:
    """Print a result; a reader who has left (`| head`) does not stop a run half-way."""
    try:
        print(text, flush=True)  # in a log file, results and log keep step
    except BrokenPipeError:
        # nor are what else is told and what Python flushes at its end to fail
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def printer_for(args: Any) -> Printer:
    """How to tell a person what is known so far; a program gets its one object at the end."""
    return (lambda _: None) if args.json else print_lines


def print_result(config: Config, args: Any, result: Any, lines: Iterable[str]) -> None:
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
        from dataclasses import fields  # not needed where nothing is new

        return {field.name: getattr(value, field.name) for field in fields(value)}

    _print(json.dumps(result, default=plain, ensure_ascii=False, allow_nan=False))


def run(command: Command, args: Any, *, log_at_once: bool = True) -> int:
    """Run a command with its config; returns the exit code.

    An expected failure is told in one line; a bug keeps its traceback. A command that may have
    nothing to log can set up the log itself, before it has.
    """
    if log_at_once:
        set_up_logging(args.verbose)
    try:
        config = load_config(args.config, practice=args.practice)
        if args.verbose:
            _log_config(config)
        command(config, args)
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


def _log_config(config: Config) -> None:
    import logging

    where = f"{config.path} (practice)" if config.practice else config.path
    logging.getLogger(__name__).debug("%s: %s", where, config)


def run_alone(name: str, command: Command, args: Any) -> int:
    """`run`, under the run lock and recorded in the history."""
    from pipeline.storage.history import open_history
    from pipeline.storage.records import recorded_run

    def recorded(config: Config, args: Any) -> None:
        with (
            run_lock(config.lock_path),
            open_history(config.history_path) as history,
            recorded_run(history, name),
        ):
            command(config, args)

    return run(recorded, args)


def set_up_logging(verbose: bool) -> None:
    """Log to standard error, one line a fact, in UTC."""
    import logging

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
