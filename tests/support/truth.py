"""What the rules for observations and sightings make of the files: said plainly, to compare with.

The model keeps every line that ever counted, in order, and reads all of them again for each
answer. Tables are plain CSV in canonical form: the client first, the outcome last, the features
(and the date, where there is one) between; nothing quoted. Places are indexes into the lines.
"""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

HEADER = "corporation,lastmonth_activity,lastyear_activity,number_of_employees,exited"
NEVER = -1


class File(NamedTuple):
    """A file of the input folder: its time of change, in any unit, and its text."""

    mtime: int
    text: str

    @property
    def lines(self) -> list[str]:
        """Its lines without the header."""
        return self.text.splitlines()[1:]


def file_of(mtime: int, lines: Iterable[str]) -> File:
    """A file with these lines under the header."""
    return File(mtime, "\n".join([HEADER, *lines]) + "\n")


class Line(NamedTuple):
    """A line that counts, and the file that brought it."""

    file: str
    key: str  # client and features
    outcome: str


@dataclass
class Observation:
    """What became of one client with these features."""

    came_unknown: bool
    outcome: str
    sighted: int  # place of its latest sighting
    left: int  # place of the latest line that gave it outcome 1


@dataclass
class Truth:
    """All lines that count, and the present content of each file."""

    lines: list[Line] = field(default_factory=list)
    contents: dict[str, list[str]] = field(default_factory=dict)

    # --- what happens to files ---

    def take(self, folder: Mapping[str, File]) -> None:
        """A run that finds these files; those known, unchanged or gone bring nothing."""
        for name in sorted(folder, key=lambda name: (folder[name].mtime, natural(name))):
            lines = folder[name].lines
            held = Counter(self.contents.get(name, []))
            for line in lines:
                if held[line] > 0:  # it was there just before and keeps its place
                    held[line] -= 1
                else:
                    self.lines.append(Line(name, *line.rsplit(",", 1)))
            self.contents[name] = lines

    def withdraw(self, name: str, folder: Collection[str]) -> None:
        """Take back what only former contents of a file brought, or all of it if it is gone."""
        if name not in folder:
            self.contents.pop(name, None)
        present = self.contents.get(name, [])
        self.lines = [
            line
            for line in self.lines
            if line.file != name or f"{line.key},{line.outcome}" in present
        ]

    def rebuild(self, folder: Collection[str]) -> None:
        """Take back what no present content of its file holds; all else keeps its place."""
        for name in list(self.contents):
            self.withdraw(name, folder)

    # --- what comes of them ---

    def observations(self) -> dict[str, Observation]:
        """Client and features -> what became of it, in order of the first line."""
        result: dict[str, Observation] = {}
        for place, (_, key, outcome) in enumerate(self.lines):
            if key not in result:
                left = place if outcome == "1" else NEVER
                result[key] = Observation(outcome == "", outcome, place, left)
                continue
            known = result[key]
            if not known.came_unknown or outcome == "":  # a sighting
                known.sighted = place
                if outcome == "1":
                    known.left = place
            elif outcome != known.outcome:  # a report that says something new
                known.left = place if outcome == "1" else NEVER
            known.outcome = outcome or known.outcome
        return result

    @property
    def rows(self) -> int:
        """How many observations there are."""
        return len(self.observations())

    def finaldata(self) -> str:
        """The text of `finaldata.csv`."""
        rows = [f"{key},{known.outcome}" for key, known in self.observations().items()]
        return "\n".join([HEADER, *rows]) + "\n"

    def ranked(self) -> dict[str, str]:
        """Each client to rank -> itself and its features, as latest sighted."""
        return {name: key for name, (key, sighted, left) in self._clients() if left < sighted}

    def left(self) -> set[str]:
        """The clients that count as left: not sighted since they were given outcome 1."""
        return {name for name, (_, sighted, left) in self._clients() if left >= sighted}

    def _clients(self) -> Iterable[tuple[str, tuple[str, int, int]]]:
        """Each client with its present observation, when sighted, and when last given 1."""
        clients: dict[str, tuple[str, int, int]] = {}
        for key, known in self.observations().items():
            name = key.split(",")[0]
            present, sighted, left = clients.get(name, ("", NEVER, NEVER))
            if known.sighted > sighted:
                present, sighted = key, known.sighted
            clients[name] = present, sighted, max(left, known.left)
        return clients.items()


def natural(name: str) -> tuple[list[str | int], str]:
    """By which names are sorted: digits in them count as a number; `_9` before `_10`."""
    parts = re.split("([0-9]+)", name)  # text and digits by turns
    return [int(part) if i % 2 else part for i, part in enumerate(parts)], name
