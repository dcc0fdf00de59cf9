"""Whether engine, workers, versions and shared folders fit together, in words.

A line each: what is well, what is a warning, what is a problem. With a problem the exit code is 1.
"""

import argparse
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic, time

from pipeline import cli
from pipeline.config import PATH_KEYS, Config
from pipeline.engine import open_engine
from pipeline.engineconfig import DASK, POOL
from pipeline.enginelines import (
    OK,
    PROBLEM,
    WARNING,
    Line,
    clock_lines,
    code_lines,
    folder_lines,
    memory_line,
    mute_line,
    shown_lines,
    some,
    starting,
    version_lines,
    worker_lines,
)
from pipeline.engineprobe import Answer, Place, Question, answer
from pipeline.errors import EngineError

WRITTEN = "output_folder_path"  # the one folder that workers write into


def check(config: Config) -> list[Line]:
    """All that is found of the engine; raises `EngineError` where there is none to ask."""
    if config.engine.kind == DASK:
        return _cluster_lines(config)
    if config.engine.kind == POOL:
        return _pool_lines(config)
    return [Line(OK, "engine", "files: this process does all the work, there is nothing to check")]


def _pool_lines(config: Config) -> list[Line]:
    with open_engine(config) as engine:
        engine.map(abs, range(engine.workers))
        memory = memory_line("each worker", engine.memory)
        return [Line(OK, "engine", f"pool: {some(engine.workers, 'process')} that start"), memory]


def _cluster_lines(config: Config) -> list[Line]:
    from pipeline.cluster import Cluster, connected

    start = monotonic()
    with connected(config.engine) as client:
        address = str(config.engine.address)
        lines = [
            Line(OK, "engine", f"dask: {address}"),
            Line(OK, "scheduler", f"answers within {monotonic() - start:.1f} s"),
        ]
        crew = Cluster(client, address)
        workers = crew.found()
        if not workers:
            text = f"there is none: {starting(address)}"
            return [*lines, Line(PROBLEM, "workers", text)]
        lines += [line for name, found in workers.items() for line in worker_lines(name, found)]
        with _asked(config) as (question, unwritten):
            before, own = time(), answer(question)
            said = crew.asked(answer, question, workers)
            answers = {name: told for name, told in said.items() if isinstance(told, Answer)}
            mute = [
                mute_line(address, name, told)
                for name, told in said.items()
                if not isinstance(told, Answer)
            ]
            if not answers:
                return [*lines, *mute]
            return [
                *lines,
                *mute,
                *version_lines(own, answers),
                *code_lines(own, answers),
                *clock_lines(before, time(), answers),
                *unwritten,
                *folder_lines(config, question, answers),
            ]


@contextmanager
def _asked(config: Config) -> Iterator[tuple[Question, list[Line]]]:
    """A question about the shared folders, with a file in each; and where none could be written.

    Of a folder that is not made yet, the one that it will be made in is asked about.
    """
    name, token = f".enginecheck-{secrets.token_hex(8)}", secrets.token_hex(16)
    places, unwritten = [], []
    for folder in dict.fromkeys(_existing(getattr(config, key)) for key in PATH_KEYS):
        try:
            (folder / name).write_text(token, encoding="ascii")
            places.append(Place(folder, folder == _existing(getattr(config, WRITTEN))))
        except OSError as error:
            text = f"cannot be written here ({error.strerror}): nobody knows what others see"
            unwritten.append(Line(WARNING, config.shown(folder), text))
    try:
        yield Question(name, token, tuple(places)), unwritten
    finally:
        for place in places:
            for path in place.folder.glob(f"{name}*"):
                with suppress(FileNotFoundError):
                    path.unlink()


def _existing(folder: Path) -> Path:
    while not folder.is_dir():
        folder = folder.parent
    return folder


def command(config: Config, args: argparse.Namespace) -> None:  # noqa: ARG001
    """Check, and tell what was found; raises `EngineError` if something does not fit."""
    lines = check(config)
    cli.say(shown_lines(lines))
    if count := sum(line.state == PROBLEM for line in lines):
        raise EngineError(f"the engine has {some(count, 'problem')}, told above")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the check from the command line."""
    parser = cli.stage_parser(__doc__)
    parser.add_argument("--check", action="store_true", required=True, help="check the engine")
    return cli.run(command, parser.parse_args(argv))
