"""Random histories of a folder of client files, for hypothesis: few clients, few values.

States return, outcomes come late, change or are taken back; files are new, grown, rewritten,
reverted, sent again under another name, and go. Under a schema that knows more than the default
one, rows have dates, days of leaving and columns that are carried along; outcomes come in files of
their own too; and files may be full lists, with one day or several before each run.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

from hypothesis import strategies as st
from truth import File, Said, file_of

from pipeline.core.schema import DEFAULT_SCHEMA, Schema
from pipeline.core.schema_reader import UNNAMED_OUTCOME

NAMES = ("f_9.csv", "f_10.csv", "f_10b.csv", "g_2.csv")
OF_OUTCOMES = ("f_9o.csv", "o_1.csv")

DATES = ("2023-03-30", "2023-04-01", "2023-04-02", "2023-04-04", "2023-04-09")
LEFT_ON = ("", "", "", "2023-03-31", "2023-04-02", "2023-04-03", "2023-04-10")
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

    schema: Schema
    steps: tuple[Step, ...]

    @property
    def complete(self) -> bool:
        """Whether each file is there and holds every line of it that was not withdrawn."""
        held: dict[str, set[Said]] = {}
        for step in self.steps:
            present = {name: set(file.said(self.schema)) for name, file in step.folder.items()}
            for name in held.keys() | present:
                of_file = held.setdefault(name, set())
                if step.rebuilt or step.withdrawn == name:
                    of_file.clear()
                of_file |= present.get(name, set())
        return all(lines <= present.get(name, set()) for name, lines in held.items())


@st.composite
def schemas(draw: Draw) -> Schema:
    """A schema that knows more than the default one."""
    date, left_on, snapshots = draw(st.sampled_from(_KINDS))
    absent = snapshots and draw(st.booleans())
    has_outcome = not (left_on or absent) or draw(st.booleans())
    return Schema(
        outcome="exited" if has_outcome else UNNAMED_OUTCOME,
        date="as_of" if date else "",
        left_on="left_on" if left_on else "",
        carry=("manager",) if draw(st.booleans()) else (),
        has_outcome=has_outcome,
        horizon_days=draw(st.sampled_from([0, 1, 3])) if date or snapshots else 0,
        snapshots=snapshots,
        absent_left=absent,
    )


_KINDS = [kind for kind in product((True, False), repeat=3) if any(kind)]


@st.composite
def histories(draw: Draw, schema: Schema = DEFAULT_SCHEMA, max_steps: int = 8) -> History:
    """One to so many runs, with up to four changes before each."""
    world = _World(draw, schema)
    taken: set[str] = set()  # files that are on record
    steps = []
    for _ in range(draw(st.integers(1, max_steps))):
        world.today += draw(st.integers(0, 2))
        for _ in range(draw(st.integers(1, 4))):
            world.change()
        folder = dict(world.folder)
        taken |= folder.keys()
        after = draw(st.sampled_from(["nothing"] * 3 + ["withdraw", "rebuild"]))
        withdrawn = draw(st.sampled_from(sorted(taken))) if after == "withdraw" else None
        if after != "nothing":
            taken -= ({withdrawn} if withdrawn else taken) - folder.keys()
        steps.append(Step(folder, withdrawn, after == "rebuild"))
    return History(schema, tuple(steps))


@dataclass
class _World:
    """The folder, and what was in it before."""

    draw: Draw
    schema: Schema
    folder: Folder = field(default_factory=dict)
    former: dict[str, list[File]] = field(default_factory=dict)
    today: int = 0
    of_outcomes: str = ""  # the header of all files of outcomes alone

    def change(self) -> None:
        """Let one thing happen in the folder."""
        names: Sequence[str] = NAMES
        if self.folder and self._told and self._pick([False, False, False, True, True]):
            names = OF_OUTCOMES
        present = [name for name in names if name in self.folder]
        kinds = CHANGES + ["re-sent"] * (2 if names is OF_OUTCOMES else 0)
        kind = self._pick(kinds if present else ["new"])
        if kind == "gone" and len(self.folder) > 1:
            del self.folder[self._pick(present)]
            return
        known = {"new": names, "re-sent": names, "reverted": [n for n in names if n in self.former]}
        name = self._pick(known.get(kind, present))
        if kind == "reverted":
            before = self._pick(self.former[name])
        elif kind == "re-sent":
            before = self.folder[self._pick([n for n in present if n != name] or present)]
        else:
            before = self.folder.get(name) or file_of(0, [], self._header(names))
        header, lines = before.header, before.lines
        if kind == "new":
            header, lines = self._header(names), []
        at = self.draw(st.integers(0, len(lines) - 1)) if lines else 0
        match kind:
            case "filled":  # its unknown outcomes, in place
                lines = [self._filled(header, line) for line in lines]
            case "edited":
                lines = [*lines[:at], self.draw(self._line(header)), *lines[at + 1 :]]
            case "shortened" if len(lines) > 1:
                lines = lines[:at] + lines[at + 1 :]
            case "reverted" | "re-sent":
                pass
            case _:  # new and grown; and where nothing may be left out
                most = (5 if self.schema.snapshots else 3) if kind == "new" else 2
                lines = lines + self.draw(st.lists(self._line(header), min_size=1, max_size=most))
        self.folder[name] = file_of(self._time(name), lines, header)
        self.former.setdefault(name, []).append(self.folder[name])

    def _pick(self, values: Sequence[Any]) -> Any:
        return self.draw(st.sampled_from(values))

    @property
    def _told(self) -> list[str]:
        """The columns that say what became of a client, of files of outcomes alone."""
        if self.schema == DEFAULT_SCHEMA:
            return []
        return [self.schema.outcome] * self.schema.has_outcome + self._named(self.schema.left_on)

    def _named(self, column: str) -> list[str]:
        return [column] if column else []

    def _header(self, names: Sequence[str]) -> str:
        """Of a client file, or of one of outcomes alone, which may lack some of its columns."""
        schema = self.schema
        if names is OF_OUTCOMES:
            if not self.of_outcomes:
                told = self._pick([self._told, self._told[:1], self._told[-1:]])
                date = self._pick([[], self._named(schema.date)])
                self.of_outcomes = ",".join([schema.client, *date, *told])
            return self.of_outcomes
        left_out = [] if schema.has_outcome else [schema.outcome]
        return ",".join(column for column in schema.columns if column not in left_out)

    def _values(self, column: str) -> Sequence[str]:
        """What may be in a cell of a column."""
        schema = self.schema
        values: dict[str, Sequence[str]] = {
            schema.date: DATES,
            schema.client: "abcd" if schema.snapshots else "aaab",
            schema.outcome: ("", "", "0", "1"),
            schema.left_on: LEFT_ON,
            "manager": "xy",
            "lastmonth_activity": ("1", "2", ""),
            "lastyear_activity": ("20",),
            "number_of_employees": ("5",),
        }
        return values[column]

    def _line(self, header: str) -> st.SearchStrategy[str]:
        cells = [st.sampled_from(self._values(column)) for column in header.split(",")]
        return st.tuples(*cells).map(",".join)

    def _filled(self, header: str, line: str) -> str:
        cells = dict(zip(header.split(","), line.split(","), strict=True))
        for column in (self.schema.outcome, self.schema.left_on):
            if cells.get(column) == "":
                cells[column] = self._pick(self._values(column)[-2:])
        return ",".join(cells.values())

    def _time(self, name: str) -> int:
        """When a file is written: lists of a day on that day, seldom on the one before."""
        if not self.schema.snapshots:
            return int(self._pick([0, 1, 2]))
        hour: int = (self.today - self._pick([0, 0, 0, 1])) * 24 + self._pick([0, 1])
        return max([hour, *(file.mtime for file in self.former.get(name, []))])
