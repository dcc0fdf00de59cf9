"""What is worked out of each client alone: the functions that Spark calls with some clients' rows.

They are those of one process, by the rules of `pipeline/observations/rules.py`.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self, cast

import numpy as np
import pandas as pd

from pipeline.core.schema import Schema
from pipeline.data.frames import frame_of_text
from pipeline.observations.row_keys import states_by, states_without
from pipeline.observations.row_lines import ClientRows, client_cell, joined, reports, split
from pipeline.observations.rules import (
    LINE_BITS,
    OUTCOME_TEXTS,
    Changed,
    Lines,
    Places,
    States,
    first_lines,
    more_of,
    state_type,
    states_after_first,
    take_in,
)
from pipeline.storage.held_files import NOTHING_LEFT_OUT, LeftOut

PLACE = 1 << int(LINE_BITS)  # places of a content's lines begin at its number times this
LATE = 1 << 31  # added to places of lines that count after all others
NOBODY = ""  # the observation of a report that is about none for good; null: it waits for one


@dataclass(eq=False)
class Part:
    """The observations of some clients, in the order in which they were first sighted.

    `rows` has the place of each among them, `first` that of its first sighting: (observations,).
    """

    schema: Schema
    states: States
    first: Places
    rows: dict[bytes, int] = field(default_factory=dict)
    carried: list[bytes] = field(default_factory=list)

    @classmethod
    def of(cls, frame: pd.DataFrame, schema: Schema) -> Self:
        """Read what `frame` wrote, in any order."""
        frame = frame.sort_values("first")
        states = np.zeros(len(frame), state_type(schema))
        for name in states.dtype.names or ():
            states[name] = frame[name].to_numpy()
        rows = {text.encode(): row for row, text in enumerate(frame["observation"])}
        carried = [text.encode() for text in frame["travels"]]
        return cls(schema, states, frame["first"].to_numpy(np.uint64), rows, carried)

    @classmethod
    def none(cls, schema: Schema) -> Self:
        """No observations yet."""
        return cls(schema, np.zeros(0, state_type(schema)), np.zeros(0, np.uint64))

    def frame(self) -> pd.DataFrame:
        """A row an observation: its client's cell, its text, its state and what travels with it."""
        columns: dict[str, object] = {
            "client": _texts(client_cell(text + b",") for text in self.rows),
            "observation": _texts(self.rows),
            "first": self.first.astype(np.int64),
            **dict.fromkeys(("day", "carried"), 0),
        }
        for name in self.states.dtype.names or ():
            columns[name] = self.states[name].astype(np.int64)
        return pd.DataFrame(columns | {"travels": _texts(self.carried)})

    @property
    def lines(self) -> Iterator[bytes]:
        """The rows as `finaldata.csv` would have them, with their line ends."""
        states = self.states
        days = states["day"].tolist() if len(self.schema.tail) > 1 else [0] * len(states)
        for text, outcome, day, travels in zip(
            self.rows, states["outcome"].tolist(), days, self.carried, strict=True
        ):
            yield joined(text, OUTCOME_TEXTS[outcome], day, travels, self.schema) + b"\n"

    def table(self) -> pd.DataFrame:
        """The rows as a frame of the schema's columns."""
        text = b"".join(self.lines).decode()
        return frame_of_text(text, self.schema, self.schema.columns)

    def sight(self, texts: Sequence[bytes], places: Places) -> Changed:
        """Take in lines of a content that follow all others."""
        cut, known = split(texts, self.schema), len(self.rows)
        found = [self.rows.setdefault(text, len(self.rows)) for text in cut.observations]
        lines = Lines(np.array(found, np.uint32), cut.outcomes, places, cut.more)
        first = first_lines(lines, known)
        if first.any():  # of none the states would lack what the schema has more
            self.states = np.concatenate([self.states, states_after_first(lines.at(first))])
        self.first = np.concatenate([self.first, places[first]])
        changed = take_in(lines.at(~first), self.states)
        self.carried += [b""] * (len(self.rows) - known)
        self._carry(found, places, cut.carried)
        return changed

    def _carry(self, rows: Sequence[int], places: Places, texts: Sequence[bytes]) -> None:
        if texts:
            latest = self.states["sighted"][list(rows)] == places
            for i in np.flatnonzero(latest).tolist():
                self.carried[rows[i]] = texts[i]

    def look_up(
        self, texts: Sequence[bytes], sighted: Places
    ) -> tuple[list[str | None], list[bytes]]:
        """The observation that each line of a file of outcomes is about; and all clients' cells.

        `sighted` has the places of the latest sightings: (observations,).
        """
        known = ClientRows(self.schema, seed=0)
        names = list(self.rows)
        known.add([[text + b"," for text in names]])
        found = known.resolve(texts, sighted)
        about: list[str | None] = []
        for row, says in zip(found.rows.tolist(), found.says.tolist(), strict=True):
            about.append(names[row].decode() if row >= 0 else None if says else NOBODY)
        return about, found.cells


def _texts(values: Iterable[bytes]) -> "pd.Series[str]":
    """Texts as Arrow takes them from pandas."""
    return pd.Series([value.decode() for value in values], dtype=object)


def report_lines(
    part: Part, texts: Sequence[bytes], about: Sequence[str | None], places: Places
) -> Lines:
    """Lines of files of outcomes alone whose observations are among those of a part."""
    said = reports(texts, part.schema)
    rows = np.array([part.rows.get(text.encode(), -1) if text else -1 for text in about], np.int64)
    wide = len(part.schema.tail) > 1
    more = more_of(said.days, np.zeros(len(texts), np.uint32)) if wide else np.zeros(0, np.uint64)
    lines = Lines(
        rows.astype(np.uint32), said.outcomes, places, more, np.ones(len(texts), np.bool_)
    )
    return lines.at(rows >= 0)


@dataclass(frozen=True)
class Taken:
    """What new contents came to for some clients; by the number of each content."""

    added: dict[int, int] = field(default_factory=dict)
    changed: dict[int, int] = field(default_factory=dict)
    unknown: dict[int, dict[str, int]] = field(default_factory=dict)  # clients, and their lines
    about: dict[int, str | None] = field(default_factory=dict)  # of reports, by their places

    @property
    def reports(self) -> pd.DataFrame:
        """The reports: `first` and `sighted` have the place of each."""
        places = np.array([*self.about], np.int64)
        about = np.array([*self.about.values()], object)
        return pd.DataFrame({"first": places, "sighted": places, "observation": about})


def grow(part: Part, lines: pd.DataFrame) -> Taken:
    """Take the new lines of contents into the observations of their clients, in order."""
    taken = Taken()
    lines = lines.sort_values("place")
    for number, of_one in lines.groupby(lines["place"] // PLACE):
        texts = [text.encode() for text in of_one["text"]]
        places = of_one["place"].to_numpy(np.uint64)
        before, content = len(part.rows), int(cast("int", number))
        if of_one["report"].iloc[0]:
            about, cells = part.look_up(texts, part.states["sighted"])
            changed = take_in(report_lines(part, texts, about, places), part.states)
            taken.about.update(zip(places.tolist(), about, strict=True))
            taken.unknown[content] = _unknown(about, cells, places.tolist())
        else:
            changed = part.sight(texts, places)
        taken.added[content] = len(part.rows) - before
        taken.changed[content] = len(changed.outcomes)
    return taken


def _unknown(
    about: Sequence[str | None], cells: Sequence[bytes], places: Iterable[int]
) -> dict[str, int]:
    """The clients of reports that are about none, each with the place of its first line."""
    every = reversed([*zip(cells, places, about, strict=True)])
    return {cell.decode(): int(place) for cell, place, each in every if each is None}


def lines_of(lines: pd.DataFrame, part: Part) -> Lines:
    """All lines of some clients in order; adds their observations to the part, without states.

    Reports about observations that there are no more are left out.
    """
    lines = lines.sort_values("place")
    report = lines["report"].to_numpy(np.bool_)
    sighted, reported = lines[~report], lines[report]
    texts = [text.encode() for text in sighted["text"]]
    cut, places = split(texts, part.schema), sighted["place"].to_numpy(np.uint64)
    found = [part.rows.setdefault(text, len(part.rows)) for text in cut.observations]
    rows = np.array(found, np.uint32)
    _, first = np.unique(rows, return_index=True)
    part.first = places[first]
    seen = Lines(rows, cut.outcomes, places, cut.more, np.zeros(len(rows), np.bool_))
    if not len(reported):
        return Lines(rows, cut.outcomes, places, cut.more)
    said = report_lines(
        part,
        [text.encode() for text in reported["text"]],
        reported["about"].fillna(NOBODY).tolist(),
        reported["place"].to_numpy(np.uint64),
    )
    both = [(getattr(seen, name), getattr(said, name)) for name in Lines.__dataclass_fields__]
    joint = Lines(*(np.concatenate(columns) for columns in both))
    return joint.at(np.argsort(joint.places))


def remade(lines: pd.DataFrame, schema: Schema, left_out: LeftOut = NOTHING_LEFT_OUT) -> Part:
    """The observations of some clients by all lines on record, without those of some contents.

    Those count all the same that the column `renewed` has a value for.
    """
    part = Part.none(schema)
    every = lines_of(lines, part)
    part.states = states_by(every, schema, len(part.rows))
    part.carried = [b""] * len(part.rows)
    if schema.carry:  # also what contents say that are left out
        sighted = lines[~lines["report"].to_numpy(np.bool_)].sort_values("place")
        cut = split([text.encode() for text in sighted["text"]], schema)
        rows = [part.rows[text] for text in cut.observations]
        part._carry(rows, sighted["place"].to_numpy(np.uint64), cut.carried)
    if left_out.contents:
        renewed = lines["place"][lines["renewed"].notna()].to_numpy(np.uint64)
        part.states = states_without(every, part.states["late"] == 1, left_out, renewed, schema)
    return part


def renew(
    lines: pd.DataFrame, schema: Schema, late: Mapping[int, int]
) -> tuple[Part, Taken, pd.DataFrame]:
    """The observations of some clients by all lines there are, whose contents count anew.

    Reports that wait are looked up where they have a `turn`: by the files before theirs, then by
    all, which moves them to `late`: the place of the first, by turn. What is taken is by turns.
    Returns also the reports that are about others than before: `first` and `sighted` have their
    places before and now.
    """
    taken = Taken()
    lines = lines.sort_values("place", ignore_index=True)
    seen, about = (
        ~lines["report"],
        lines["about"].astype(object).where(lines["about"].notna(), None),
    )
    asks, place = lines["report"] & about.isna() & lines["turn"].notna(), lines["place"].copy()
    for turn in [*sorted({*lines["turn"][asks]}), np.inf]:
        now = asks & about.isna() & ((lines["turn"] == turn) | (turn == np.inf))
        if now.any():
            part = remade(lines[seen & (lines["turn"] < turn)], schema)
            texts = [text.encode() for text in lines["text"][now]]
            found, cells = part.look_up(texts, part.states["sighted"])
            about[now] = pd.Series(found, place.index[now], dtype=object)
            if turn < np.inf:
                taken.unknown[int(turn)] = _unknown(found, cells, place[now])
            else:
                moved = now & about.notna()
                place[moved] = lines["turn"][moved].map(late) + lines["place"][moved] % PLACE
    whole = remade(lines[seen], schema)
    cut = split([text.encode() for text in lines["text"][seen]], schema)
    turns = lines["turn"][seen].groupby([whole.rows[text] for text in cut.observations]).min()
    numbers, counts = np.unique(turns.dropna(), return_counts=True)
    taken.added.update(zip(numbers.astype(int).tolist(), counts.tolist(), strict=True))
    known = {text.decode() for text in whole.rows}
    about[about.notna() & ~about.isin(known)] = NOBODY
    differs = lines["report"] & (
        (about != lines["about"]) & ~(about.isna() & lines["about"].isna())
    )
    changed = pd.DataFrame({"first": lines["place"], "sighted": place, "observation": about})
    return remade(lines.assign(about=about, place=place), schema), taken, changed[differs]


# What is worked out by bucket: rows of observations, of reports and what they are about, and counts
WORKED = (
    "kind string, bucket int, client string, observation string, first long, sighted long"
    ", left long, known long, outcome long, late long, day long, carried long, travels string"
)


def grown_bucket(seen: pd.DataFrame, lines: pd.DataFrame, schema: Schema) -> pd.DataFrame:
    """What new lines make of the observations of a bucket of clients, as `WORKED` has it."""
    part = Part.of(seen, schema)
    taken = grow(part, lines)
    counts = {"seen": len(seen), "lines": len(lines)}
    bucket = (lines if len(lines) else seen)["bucket"].iloc[0]
    return _worked(part, taken, taken.reports, counts, bucket)


def renewed_bucket(lines: pd.DataFrame, schema: Schema, late: Mapping[int, int]) -> pd.DataFrame:
    """What all lines of a bucket of clients come to, as `WORKED` has it."""
    part, taken, reports = renew(lines, schema, late)
    return _worked(part, taken, reports, {"lines": len(lines)}, lines["bucket"].iloc[0])


def _worked(
    part: Part, taken: Taken, reports: pd.DataFrame, counts: dict[str, Any], bucket: int
) -> pd.DataFrame:
    counts |= {name: getattr(taken, name) for name in ("added", "changed", "unknown")}
    summary = json.dumps({**counts, "rows": len(part.rows)})
    every = [
        part.frame().assign(kind="observation"),
        reports.assign(kind="report"),
        pd.DataFrame({"observation": [summary], "kind": "counts"}),
    ]
    return for_arrow(pd.concat(every).assign(bucket=bucket), WORKED)


def totals(number: int, sums: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What a content came to in all buckets, by its number or turn."""
    unknown: dict[str, int] = {}
    for each in sums:
        unknown |= each["unknown"].get(str(number), {})
    return {
        "added": sum(each["added"].get(str(number), 0) for each in sums),
        "changed": sum(each["changed"].get(str(number), 0) for each in sums),
        "unknown_clients": tuple(sorted(unknown, key=lambda client: unknown[client])),
    }


def for_arrow(frame: pd.DataFrame, schema: str) -> pd.DataFrame:
    """A frame with the columns of a schema of Spark, in forms that Arrow takes from pandas."""
    types = dict(column.split() for column in schema.split(", "))
    frame = frame.reindex(columns=list(types))
    for name, kind in types.items():
        if kind == "string":
            frame[name] = frame[name].astype(object).where(frame[name].notna(), None)
        elif kind in ("int", "long"):
            frame[name] = frame[name].astype("Int64")
    return frame


def bucket_of(cell: str, buckets: int) -> int:
    """The bucket of a client: that of Spark's `pmod(xxhash64(cell), buckets)`."""
    from xxhash import xxh64_intdigest

    value = xxh64_intdigest(cell.encode(), seed=42)
    return (value - (1 << 64) * (value >> 63)) % buckets
