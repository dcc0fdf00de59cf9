"""Whether engine, workers, versions and shared folders fit together, in words.

A line each: what is well, what is a warning, what is a problem. With a problem the exit code is 1.
"""

import argparse
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic, time
from typing import Any, NamedTuple

from pipeline import cli
from pipeline.config import PATH_KEYS, Config
from pipeline.engine import open_engine
from pipeline.engineconfig import DASK, POOL
from pipeline.engineprobe import Answer, Place, Question, answer
from pipeline.errors import EngineError

OK, WARNING, PROBLEM = "ok", "warning", "problem"
LEAST_MEMORY = 512 << 20  # bytes a thread, below which parts of a usual size do not fit
CLOCK_SECONDS = 2.0  # by which clocks may differ: files' times of change are compared
WRITTEN = "output_folder_path"  # the one folder that workers write into


class Line(NamedTuple):
    """What was found of something."""

    state: str
    subject: str
    text: str


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
        memory = _memory_line("each worker", engine.memory)
        return [Line(OK, "engine", f"pool: {_some(engine.workers, 'process')} that start"), memory]


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
        lines += [line for name, found in workers.items() for line in _worker_lines(name, found)]
        with _asked(config) as (question, unwritten):
            before, own = time(), answer(question)
            said = crew.asked(answer, question)
            answers = {name: told for name, told in said.items() if isinstance(told, Answer)}
            mute = [
                _mute(address, name, told)
                for name, told in said.items()
                if not isinstance(told, Answer)
            ]
            return [
                *lines,
                *mute,
                *_version_lines(own, answers),
                *_code_lines(own, answers),
                *_clock_lines(before, time(), answers),
                *unwritten,
                *_folder_lines(config, question, answers),
            ]


def starting(address: str) -> str:
    """How workers are started."""
    return f"in this project's folder, start `python -m dask worker {address} --nthreads 1`"


def _worker_lines(name: str, worker: dict[str, Any]) -> Iterator[Line]:
    threads, limit = worker["nthreads"], int(worker["memory_limit"] or 0)
    if threads > 1:
        # tasks do not disturb each other, so it is right, but slow
        text = f"{threads} threads share one lock of Python: as many workers of one do more"
        yield Line(WARNING, name, text)
    if limit:
        yield _memory_line(name, limit // threads, _some(threads, "thread"))
    else:
        yield Line(OK, name, f"{_some(threads, 'thread')}, memory without a limit")


def _memory_line(subject: str, memory: int, of: str = "") -> Line:
    text = f"{of}{', ' if of else ''}{memory / (1 << 30):.1f} GiB of memory{' each' if of else ''}"
    if memory < LEAST_MEMORY:
        return Line(WARNING, subject, f"{text}: parts may not fit, from 0.5 GiB on they do")
    return Line(OK, subject, text)


def _mute(address: str, name: str, error: Any) -> Line:
    """What keeps a worker from answering."""
    if isinstance(error, ModuleNotFoundError):
        return Line(PROBLEM, name, f"cannot import {error.name}: {starting(address)}")
    return Line(PROBLEM, name, f"cannot answer: {type(error).__name__}: {error}")


def _version_lines(own: Answer, answers: dict[str, Answer]) -> list[Line]:
    found = [
        Line(PROBLEM, name, f"has {package} {told or 'not at all'}; here it is {version}")
        for name, there in answers.items()
        for package, version in own.versions.items()
        if (told := there.versions.get(package)) != version
    ]
    versions = ", ".join(f"{package} {version}" for package, version in own.versions.items())
    return found or [Line(OK, "versions", versions)]


def _code_lines(own: Answer, answers: dict[str, Answer]) -> list[Line]:
    found = []
    for name, there in answers.items():
        if there.code != own.code:
            found.append(Line(PROBLEM, name, "has other code of this project than there is here"))
        elif there.changed > there.started:
            text = "was started before this project's code changed: start it again"
            found.append(Line(PROBLEM, name, text))
    return found or [Line(OK, "code", "this project is the same everywhere")]


def _clock_lines(before: float, after: float, answers: dict[str, Answer]) -> list[Line]:
    """Clocks are compared as closely as one can: an answer came between two looks at ours."""
    wrong = {
        name: there.now - (after if there.now > after else before)
        for name, there in answers.items()
        if not before - CLOCK_SECONDS <= there.now <= after + CLOCK_SECONDS
    }
    found = [
        Line(PROBLEM, name, f"has a clock that is {abs(by):.0f} s {'fast' if by > 0 else 'slow'}")
        for name, by in wrong.items()
    ]
    return found or [Line(OK, "clocks", f"within {CLOCK_SECONDS:.0f} s")]


def _folder_lines(config: Config, question: Question, answers: dict[str, Answer]) -> list[Line]:
    lines = []
    for place in question.places:
        shown = config.shown(place.folder) if place.folder != config.root else str(config.root)
        found = [
            Line(PROBLEM, name, f"{shown} {text}")
            for name, there in answers.items()
            if (text := there.problems.get(place.folder) or _unseen(place, question, there))
        ]
        means = "write and read" if place.written else "read"
        lines += found or [Line(OK, shown, f"is the same place for all, who can {means} there")]
    return lines


def _unseen(place: Place, question: Question, there: Answer) -> str | None:
    """Why a file that a worker wrote is not seen here; None if it is, or if it wrote none."""
    path = there.left.get(place.folder)
    try:
        if not path or path.read_text(encoding="ascii") == question.token:
            return None
    except OSError:
        pass
    return f"does not show here what is written there ({path})"


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


def _some(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 'es' if what.endswith('s') else 's'}"


def shown_lines(lines: Sequence[Line]) -> list[str]:
    """The lines, aligned."""
    width = max(len(line.subject) for line in lines)
    return [f"{line.state:<7}  {line.subject:<{width}}  {line.text}" for line in lines]


def command(config: Config, args: argparse.Namespace) -> None:  # noqa: ARG001
    """Check, and tell what was found; raises `EngineError` if something does not fit."""
    lines = check(config)
    cli.say(shown_lines(lines))
    if count := sum(line.state == PROBLEM for line in lines):
        raise EngineError(f"the engine has {_some(count, 'problem')}, told above")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the check from the command line."""
    parser = cli.stage_parser(__doc__)
    parser.add_argument("--check", action="store_true", required=True, help="check the engine")
    return cli.run(command, parser.parse_args(argv))
