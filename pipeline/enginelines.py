"""What is told of an engine, in lines: what is well, what is a warning, what is a problem."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from pipeline.config import Config
from pipeline.engineprobe import Answer, Place, Question

OK, WARNING, PROBLEM = "ok", "warning", "problem"
LEAST_MEMORY = 512 << 20  # bytes a thread, below which parts of a usual size do not fit
CLOCK_SECONDS = 2.0  # by which clocks may differ: files' times of change are compared


class Line(NamedTuple):
    """What was found of something."""

    state: str
    subject: str
    text: str


def shown_lines(lines: Sequence[Line]) -> list[str]:
    """The lines, aligned."""
    width = max(len(line.subject) for line in lines)
    return [f"{line.state:<7}  {line.subject:<{width}}  {line.text}" for line in lines]


def starting(address: str) -> str:
    """How workers are started."""
    command = f"PYTHONPATH=$PWD python -m dask worker {address} --nthreads 1"
    return f"in this project's folder, start `{command}`"


def worker_lines(name: str, worker: dict[str, Any]) -> Iterator[Line]:
    """What the scheduler knows of a worker."""
    threads, limit = worker["nthreads"], int(worker["memory_limit"] or 0)
    if threads > 1:
        # tasks do not disturb each other, so it is right, but slow
        text = f"{threads} threads share one lock of Python: as many workers of one do more"
        yield Line(WARNING, name, text)
    if limit:
        yield memory_line(name, limit // threads, some(threads, "thread"))
    else:
        yield Line(OK, name, f"{some(threads, 'thread')}, memory without a limit")


def memory_line(subject: str, memory: int, of: str = "") -> Line:
    """Whether so many bytes are enough."""
    text = f"{of}{', ' if of else ''}{memory / (1 << 30):.1f} GiB of memory{' each' if of else ''}"
    if memory < LEAST_MEMORY:
        return Line(WARNING, subject, f"{text}: parts may not fit, from 0.5 GiB on they do")
    return Line(OK, subject, text)


def mute_line(address: str, name: str, error: Any) -> Line:
    """What keeps a worker from answering."""
    if isinstance(error, TimeoutError):
        return Line(PROBLEM, name, f"is hung, or its machine is: {error}")
    if isinstance(error, ModuleNotFoundError):
        return Line(PROBLEM, name, f"cannot import {error.name}: {starting(address)}")
    return Line(PROBLEM, name, f"cannot answer: {type(error).__name__}: {error}")


def version_lines(own: Answer, answers: Mapping[str, Answer]) -> list[Line]:
    """Whether packages are the same everywhere."""
    found = [
        Line(PROBLEM, name, f"has {package} {told or 'not at all'}; here it is {version}")
        for name, there in answers.items()
        for package, version in own.versions.items()
        if (told := there.versions.get(package)) != version
    ]
    versions = ", ".join(f"{package} {version}" for package, version in own.versions.items())
    return found or [Line(OK, "versions", versions)]


def code_lines(own: Answer, answers: Mapping[str, Answer]) -> list[Line]:
    """Whether this project is the same everywhere, and no worker has an older one in memory."""
    found = []
    for name, there in answers.items():
        if there.code != own.code:
            found.append(Line(PROBLEM, name, "has other code of this project than there is here"))
        elif there.changed > there.started:
            text = "was started before this project's code changed: start it again"
            found.append(Line(PROBLEM, name, text))
    return found or [Line(OK, "code", "this project is the same everywhere")]


def clock_lines(before: float, after: float, answers: Mapping[str, Answer]) -> list[Line]:
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


def folder_lines(config: Config, question: Question, answers: Mapping[str, Answer]) -> list[Line]:
    """Whether a folder is the same place for all, who can do there what they have to."""
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


def some(count: int, what: str) -> str:
    """A number of things, in words."""
    return f"{count} {what}{'' if count == 1 else 'es' if what.endswith('s') else 's'}"
