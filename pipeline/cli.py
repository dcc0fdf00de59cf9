"""The parser, the logging set-up and the exit codes that every stage shares."""

import argparse
import io
import logging
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from pipeline.config import Config, load_config
from pipeline.errors import PipelineError
from pipeline.files import run_lock
from pipeline.history import History, recorded_run

log = logging.getLogger(__name__)

PROJECT = Path(__file__).resolve().parent.parent
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

Command = Callable[[Config, argparse.Namespace], None]


def stage_parser(manual: str | None) -> argparse.ArgumentParser:
    """A parser with the options that every stage takes; `manual` is the stage's docstring."""
    parser = argparse.ArgumentParser(
        description=manual, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--config",
        type=Path,
        default=PROJECT / "config.json",
        metavar="PATH",
        help="the config.json to go by (default: the one beside the script)",
    )
    parser.add_argument(
        "--practice", action="store_true", help="work on the practice folders, not on production"
    )
    parser.add_argument("-v", "--verbose", action="store_true", help="log every detail")
    return parser


def run(command: Command, args: argparse.Namespace) -> int:
    """Run a command with its config; returns the exit code.

    An expected failure is told in one line; a bug keeps its traceback.
    """
    set_up_logging(args.verbose)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)  # in a log file, results and log keep step
    try:
        config = load_config(args.config, practice=args.practice)
        log.debug("%s%s: %s", config.path, " (practice)" if config.practice else "", config)
        command(config, args)
        sys.stdout.flush()
    except PipelineError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:
        # the reader of our output has left (`| head`): end quietly, as other tools do
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        print(f"error: {error.filename or 'system'}: {error.strerror or error}", file=sys.stderr)
        return PipelineError.exit_code
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    return 0


def run_alone(name: str, command: Command, args: argparse.Namespace) -> int:
    """`run`, under the run lock and recorded in the history."""

    def recorded(config: Config, args: argparse.Namespace) -> None:
        with (
            run_lock(config.lock_path),
            History(config.history_path) as history,
            recorded_run(history, name),
        ):
            command(config, args)

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
