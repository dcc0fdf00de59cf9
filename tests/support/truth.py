"""What the rules for observations and sightings make of the files: said plainly, to compare with.

The model keeps every line that ever counted, in order, and reads all of them again for each
answer. Tables are plain CSV in canonical form, the columns in the order of the schema; those with
no feature report outcomes. Places are indexes into the lines.
"""

import csv
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import NamedTuple

from pipeline.core.schema import DEFAULT_SCHEMA, Schema, csv_line

HEADER = DEFAULT_SCHEMA.header
NEVER = -1
START = 1_700_000_000  # seconds; the files' times of change are hours after it


class Said(NamedTuple):
    """What a line says; what its file lacks is empty."""

    client: str
    date: str
    features: tuple[str, ...]  # none in a report of outcomes
    outcome: str
    left_on: str
    carried: tuple[str, ...]

    @property
    def known(self) -> bool:
        """Whether it says what became of the client."""
        return bool(self.outcome or self.left_on)

    @property
    def gone(self) -> bool:
        """Whether it says that the client has left."""
        return self.outcome == "1" or bool(self.left_on)


class File(NamedTuple):
    """A file of the input folder: its time of change, in hours, and its text."""

    mtime: float
    text: str

    @property
    def header(self) -> str:
        """Its first line."""
        return self.text.splitlines()[0]

    @property
    def lines(self) -> list[str]:
        """Its lines without the header."""
        return self.text.splitlines()[1:]

    @property
    def day(self) -> str:
        """The local day of its time of change."""
        return datetime.fromtimestamp(START + self.mtime * 3600).date().isoformat()

    def said(self, schema: Schema) -> list[Said]:
        """What its lines say."""
        return [_said(self.header, line, schema) for line in self.lines]


def file_of(mtime: float, lines: Iterable[str], header: str = HEADER) -> File:
    """A file with these lines under the header."""
    return File(mtime, "\n".join([header, *lines]) + "\n")


def _said(header: str, line: str, schema: Schema) -> Said:
    cells = dict(zip(header.split(","), next(csv.reader([line])), strict=True))
    report = schema.features[0] not in cells
    outcome, left_on = cells.get(schema.outcome, ""), cells.get(schema.left_on, "")
    if report and not schema.has_outcome and not left_on:
        outcome = "0"  # nothing else could say so
    return Said(
        cells[schema.client],
        cells.get(schema.date, ""),
        () if report else tuple(cells[column] for column in schema.features),
        outcome,
        left_on,
        () if report else tuple(cells[column] for column in schema.carry),
    )


class Line(NamedTuple):
    """A line that counts, the file that brought it, and the observation that it tells of."""

    file: str
    said: Said
    key: str  # client, date and features; of a report on a client never seen: empty
    carried: tuple[str, ...]


class Content(NamedTuple):
    """What a client file held when it was taken in."""

    file: str
    day: str
    rows: list[Said]


@dataclass
class Observation:
    """What became of one client with these features."""

    client: str
    date: str  # empty where there are none
    came_unknown: bool
    outcome: str = ""
    left_on: str = ""
    carried: tuple[str, ...] = ()
    sighted: int = NEVER  # place of its latest sighting
    left: int = NEVER  # place of the latest line by which the client left

    @property
    def gone(self) -> bool:
        """Whether the client has left, by what is known last of it."""
        return self.outcome == "1" or bool(self.left_on)


@dataclass
class Truth:
    """All lines that count, and the present content of each file."""

    schema: Schema = DEFAULT_SCHEMA
    lines: list[Line] = field(default_factory=list)
    held: dict[str, list[Said]] = field(default_factory=dict)
    mtimes: dict[str, float] = field(default_factory=dict)
    contents: list[Content] = field(default_factory=list)  # of client files: all, former too

    # --- what happens to files ---

    def take(self, folder: Mapping[str, File]) -> None:
        """A run that finds these files; those known, unchanged or gone bring nothing."""
        for name in sorted(folder, key=lambda name: (folder[name].mtime, natural(name))):
            file = folder[name]
            rows = file.said(self.schema)
            if rows == self.held.get(name) and file.mtime == self.mtimes.get(name):
                continue
            waiting = [line for line in self.lines if line.file == name and line.key == ""]
            self.lines = [line for line in self.lines if line not in waiting]  # they are as new
            held = Counter(self.held.get(name, [])) - Counter(line.said for line in waiting)
            seen = {} if rows[0].features else self._seen()
            for said in rows:
                if held[said] > 0:  # it was there just before and keeps its place
                    held[said] -= 1
                else:
                    self.lines.append(Line(name, said, self._told_of(said, seen), said.carried))
            self.held[name], self.mtimes[name] = rows, file.mtime
            if rows[0].features:  # the next list, even where it says the same
                self.contents.append(Content(name, file.day, rows))
        self._tell_again(folder)

    def _tell_again(self, folder: Mapping[str, File]) -> None:
        """Reports of clients that were not known and are now count, if their file has them."""
        for name in sorted(folder, key=lambda name: (folder[name].mtime, natural(name))):
            seen = self._seen()
            waiting = [line for line in self.lines if line.file == name and line.key == ""]
            for line in [line for line in waiting if line.said in self.held[name]]:
                if key := self._told_of(line.said, seen):
                    self.lines.remove(line)
                    self.lines.append(line._replace(key=key))

    def withdraw(self, name: str, folder: Collection[str]) -> None:
        """Take back what only former contents of a file brought, or all of it if it is gone.

        What is carried stays until the next sighting.
        """
        carried = {key: known.carried for key, known in self.observations().items()}
        self._take_back(name, folder)
        self._forget_lost()
        for key, known in self.observations().items():
            latest = self.lines[known.sighted]
            self.lines[known.sighted] = latest._replace(carried=carried.get(key, known.carried))

    def rebuild(self, folder: Collection[str]) -> None:
        """Take back what no present content of its file holds; all else keeps its place."""
        for name in list(self.held):
            self._take_back(name, folder)
        self._forget_lost()
        self.lines = [line._replace(carried=line.said.carried) for line in self.lines]

    def _take_back(self, name: str, folder: Collection[str]) -> None:
        if name not in folder:
            self.held.pop(name, None)
        present = self.held.get(name, [])
        self.lines = [line for line in self.lines if line.file != name or line.said in present]
        last = next((c for c in reversed(self.contents) if c.file == name and present), None)
        self.contents = [c for c in self.contents if c.file != name or c is last]

    def _forget_lost(self) -> None:
        """Reports about observations that are gone are about none from now on."""
        kept = {line.key for line in self.lines if line.said.features}
        self.lines = [
            line if line.key in kept or not line.key else line._replace(key="gone")
            for line in self.lines
        ]

    def _key(self, said: Said) -> str:
        date = [said.date] if self.schema.date else []
        return csv_line([said.client, *date, *said.features])

    def _seen(self) -> dict[str, list[tuple[str, int, str]]]:
        """Each client's observations: their date, place of the latest sighting, and key."""
        result: dict[str, list[tuple[str, int, str]]] = {}
        for key, known in self.observations().items():
            result.setdefault(known.client, []).append((known.date, known.sighted, key))
        return result

    def _told_of(self, said: Said, seen: dict[str, list[tuple[str, int, str]]]) -> str:
        """The observation that a line tells of; a report: that of its date, or the latest."""
        if said.features:
            return self._key(said)
        of_client = seen.get(said.client, [])
        of_date = [candidate for candidate in of_client if candidate[0] == said.date]
        return max(of_date or of_client, default=("", NEVER, ""))[2]

    # --- what comes of them ---

    def observations(self) -> dict[str, Observation]:
        """Client, date and features -> what became of it, in order of the first line."""
        result: dict[str, Observation] = {}
        for _, said, key, _ in self.lines:
            if said.features and key not in result:
                result[key] = Observation(said.client, said.date, not said.known)
        for place, (_, said, key, carried) in enumerate(self.lines):
            known = result.get(key)
            if known is None:  # of a client never seen, or seen only in what was withdrawn
                continue
            new = said.outcome or known.outcome, said.left_on
            if not said.features and said.outcome == "1" and not said.left_on:
                new = "1", known.left_on  # that it left; when is as it was known
            if said.features and not (known.came_unknown and said.known):  # a sighting
                known.sighted, known.carried = place, carried
                if said.gone:
                    known.left = place
            elif not said.known:
                continue
            elif new != (known.outcome, known.left_on):  # a report that says something new
                known.left = place if said.gone else NEVER
            known.outcome, known.left_on = new
        return result

    @property
    def rows(self) -> int:
        """How many observations there are."""
        return len(self.observations())

    def finaldata(self) -> str:
        """The text of `finaldata.csv`."""
        left_on = bool(self.schema.left_on)
        rows = [
            ",".join([key, known.outcome, *[known.left_on] * left_on, *known.carried])
            for key, known in self.observations().items()
        ]
        return "\n".join([self.schema.header, *rows]) + "\n"

    def ranked(self) -> dict[str, str]:
        """Each client to rank -> itself, the date and its features, as latest sighted."""
        lists = self.believed()
        listed = lists[-1].clients if lists else set()
        return {
            client: key
            for client, (key, sighted, left) in self._clients().items()
            if left < sighted and (client in listed or not self.schema.snapshots)
        }

    def left(self) -> set[str]:
        """The clients that count as left: not sighted since the line by which they left."""
        return {name for name, (_, sighted, left) in self._clients().items() if left >= sighted}

    def _clients(self) -> dict[str, tuple[str, "Moment", "Moment"]]:
        """Each client with its present observation, when sighted, and when it last left."""
        never = ("", NEVER)
        clients: dict[str, tuple[str, Moment, Moment]] = {}
        for key, known in self.observations().items():
            present, sighted, left = clients.get(known.client, ("", never, never))
            if (known.date, known.sighted) > sighted:
                present, sighted = key, (known.date, known.sighted)
            if known.left != NEVER:
                left = max(left, (known.date, known.left))
            clients[known.client] = present, sighted, left
        return clients

    # --- full lists ---

    def lists(self) -> list["FullList"]:
        """The lists of all clients, in order; none where files are no such lists."""
        if not self.schema.snapshots:
            return []
        if self.schema.date:
            dates: dict[str, set[str]] = {}
            for key, known in self.observations().items():
                dates.setdefault(known.date, set()).add(key)
            return [FullList(day, dates[day]) for day in sorted(dates)]
        days: dict[str, list[dict[str, set[str]]]] = {}  # day -> its lists: file -> observations
        for name, day, rows in self.contents:
            lists = days.setdefault(day, [{}])
            if name in lists[-1]:  # overwritten: the day's next list, with its other files
                lists.append({**lists[-1]})
            lists[-1][name] = {self._key(said) for said in rows}
        return [
            FullList(day, set().union(*files.values()))
            for day in sorted(days)
            for files in days[day]
        ]

    def believed(self) -> list["FullList"]:
        """The lists without those that suddenly lack most clients, unless the next agrees."""
        result: list[FullList] = []
        doubted: FullList | None = None
        for full in self.lists():
            lacks_most = bool(result) and full.lacks_most_of(result[-1])
            if lacks_most and (doubted is None or full.lacks_most_of(doubted)):
                doubted = full
            else:
                result.append(full)
                doubted = None
        return result


Moment = tuple[str, int]  # a date, or "", and a place


@dataclass(frozen=True)
class FullList:
    """All observations on a list of all clients."""

    day: str
    keys: set[str]

    @cached_property
    def clients(self) -> set[str]:
        """The clients on it."""
        return {cells[0] for cells in csv.reader(self.keys)}

    def lacks_most_of(self, other: "FullList") -> bool:
        """Whether more than half of the clients of another list are not on this one."""
        return len(other.clients - self.clients) * 2 > len(other.clients)


def natural(name: str) -> tuple[list[str | int], str]:
    """By which names are sorted: digits in them count as a number; `_9` before `_10`."""
    parts = re.split("([0-9]+)", name)  # text and digits by turns
    return [int(part) if i % 2 else part for i, part in enumerate(parts)], name
