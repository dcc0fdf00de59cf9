"""Random histories of a folder of client files, for hypothesis: few clients, few values.

States return, outcomes come late, change or are taken back; files are new, grown, rewritten,
reverted, sent again under another name, and go.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st
from truth import File, file_of

NAMES = ("f_9.csv", "f_10.csv", "f_10b.csv", "g_2.csv")

KEYS = ["a,1,20,5", "a,2,20,5", "a,,20,5", "b,1,20,5"]
LINES = st.sampled_from([f"{key},{outcome}" for key in KEYS for outcome in ("", "", "0", "1")])
CHANGES = ["new", "new", "grown", "filled", "edited", "shortened", "reverted", "re-sent", "gone"]

Draw = Callable[[st.SearchStrategy[Any]], Any]
Folder = dict[str, File]


@dataclass(frozen=True)
class Step:
    """The folder as a run finds it, and what somebody does after that run."""

    folder: Folder
    withdrawn: str | None = None  # a file whose former content is withdrawn
    rebuilt: bool = False


@dataclass(frozen=True)
class History:
    """What became of a folder, run by run."""

    steps: tuple[Step, ...]

    @property
    def complete(self) -> bool:
        """Whether each file is there and holds every line of it that was not withdrawn."""
        held: dict[str, set[str]] = {}
        for step in self.steps:
            present = {name: set(file.lines) for name, file in step.folder.items()}
            for name in held.keys() | present:
                of_file = held.setdefault(name, set())
                if step.rebuilt or step.withdrawn == name:
                    of_file.clear()
                of_file |= present.get(name, set())
        return all(lines <= present.get(name, set()) for name, lines in held.items())


@st.composite
def histories(draw: Draw, max_steps: int = 8) -> History:
    """One to so many runs, with up to four changes before each."""
    folder: Folder = {}
    former: dict[str, list[list[str]]] = {name: [] for name in NAMES}
    taken: set[str] = set()  # files that are on record
    steps = []
    for _ in range(draw(st.integers(1, max_steps))):
        for _ in range(draw(st.integers(1, 4))):
            _change(draw, folder, former)
        taken |= folder.keys()
        after = draw(st.sampled_from(["nothing"] * 3 + ["withdraw", "rebuild"]))
        withdrawn = draw(st.sampled_from(sorted(taken))) if after == "withdraw" else None
        if after != "nothing":
            taken -= ({withdrawn} if withdrawn else taken) - folder.keys()
        steps.append(Step(dict(folder), withdrawn, after == "rebuild"))
    return History(tuple(steps))


def _change(draw: Draw, folder: Folder, former: dict[str, list[list[str]]]) -> None:
    """Let one thing happen in the folder."""
    kind = draw(st.sampled_from(CHANGES if folder else ["new"]))
    if kind == "gone" and len(folder) > 1:
        del folder[draw(st.sampled_from(sorted(folder)))]
        return
    names = {"new": NAMES, "re-sent": NAMES, "reverted": [n for n in NAMES if former[n]]}
    name = draw(st.sampled_from(names.get(kind, sorted(folder))))
    lines = folder[name].lines if name in folder else []
    at = draw(st.integers(0, len(lines) - 1)) if lines else 0
    match kind:
        case "filled":  # its unknown outcomes, in place
            lines = [line + draw(st.sampled_from("01")) * line.endswith(",") for line in lines]
        case "edited":
            lines = [*lines[:at], draw(LINES), *lines[at + 1 :]]
        case "shortened" if len(lines) > 1:
            lines = lines[:at] + lines[at + 1 :]
        case "reverted":
            lines = draw(st.sampled_from(former[name]))
        case "re-sent":
            lines = draw(st.sampled_from([file.lines for file in folder.values()]))
        case "new":
            lines = draw(st.lists(LINES, min_size=1, max_size=3))
        case _:  # grown; and where nothing may be left out
            lines = lines + draw(st.lists(LINES, min_size=1, max_size=2))
    former[name].append(lines)
    folder[name] = file_of(draw(st.integers(0, 2)), lines)
