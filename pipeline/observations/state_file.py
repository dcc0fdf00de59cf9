"""The states of all observations: as they are kept, or made anew from the sightings."""

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.core.schema import Schema
from pipeline.observations.master_files import log_path
from pipeline.observations.row_keys import Words, kept_rows, loaded_keys
from pipeline.observations.rules import (
    UNKNOWN,
    UNSAID,
    Lines,
    Places,
    States,
    content_of,
    parts_of,
    state_type,
    states_after,
    states_after_first,
)
from pipeline.observations.sightings import SightingsLog, keys_of, outcomes_of
from pipeline.storage.held_files import LeftOut
from pipeline.storage.ledger import MasterState

_AT_ONCE = 100_000  # states worked out at a time: of all of them there would be two


def recorded_states(path: Path, schema: Schema, on_record: MasterState) -> States:
    """The states of the rows of `finaldata.csv`, for those who read them."""
    if known := kept_rows(path, schema, on_record):
        return known[1]
    with recorded_lines(path, schema, on_record) as (sightings, words):
        return states_by(lines_of(sightings, words), schema, on_record.rows)


def states_without(
    lines: Lines,
    late: NDArray[np.bool_],
    left_out: LeftOut,
    renewed: Places,
    schema: Schema,
) -> States:
    """The states by all lines but those of some contents; `renewed` are places that count all the
    same. `late` says of each observation whether it first came unknown, by all lines there are.

    An observation that only lines left out have sighted has not been sighted: `sighted` is 0. What
    reports it stays a report.
    """
    out = np.isin(content_of(lines.places), list(left_out.contents))
    out &= ~np.isin(lines.places, renewed)
    lines = lines.at(~out)
    said = lines.outcomes != UNKNOWN
    if len(lines.more):
        days, _ = parts_of(lines.more)
        said |= (days > 0) & (days != UNSAID)
    reports = said & late[lines.rows]
    if lines.reports is not None:
        reports |= lines.reports
    return states_by(replace(lines, reports=reports), schema, len(late))


@contextmanager
def recorded_lines(
    path: Path, schema: Schema, on_record: MasterState
) -> Iterator[tuple[SightingsLog, Words]]:
    """The lines on record, and the keys of the rows of `finaldata.csv`."""
    log = on_record.log
    assert log
    sightings = SightingsLog(log_path(path, log.id), log.record.size, read_only=True)
    with closing(sightings):
        yield sightings, loaded_keys(path, schema, on_record, sightings.seed)


def places_at(path: Path, on_record: MasterState, contents: Sequence[int]) -> Places:
    """The places of all lines of some contents, by where these are in the file of sightings."""
    log = on_record.log
    assert log
    found = [np.zeros(0, np.uint64)]
    if contents:
        sightings = SightingsLog(log_path(path, log.id), log.record.size, read_only=True)
        with closing(sightings):
            found += [sightings.content(at).places for at in contents]
    return np.concatenate(found)


def lines_of(log: SightingsLog, words: Words) -> Lines:
    """All sightings and reports, in their order, with their observations' rows.

    `words` has the key of each row. Reports about observations that there are no more are left out.
    """
    low = keys_of(words)
    order, said = np.argsort(low), log.said()
    asked = keys_of(said.codes)
    at, by = np.empty(len(asked), np.int64), np.argsort(asked)
    at[by] = np.searchsorted(low[order], asked[by])  # in order, which is quicker by far
    if said.reports.any():
        found = at < len(low)
        found[found] = low[order[at[found]]] == asked[found]
        said, at = said.at(found), at[found]
    rows = order[at].astype("<u4")
    reports = said.reports if said.reports.any() else None
    lines = Lines(rows, outcomes_of(said.codes), said.places, said.more, reports)
    places = said.places
    return lines if (places[1:] >= places[:-1]).all() else lines.at(np.argsort(places))


def firsts(lines: Lines) -> NDArray[np.int64]:
    """Where the first sighting of each observation is, in order of rows."""
    if lines.reports is None:
        return np.unique(lines.rows, return_index=True)[1]
    seen = np.flatnonzero(~lines.reports)
    found: NDArray[np.int64] = seen[np.unique(lines.rows[seen], return_index=True)[1]]
    return found


def states_by(lines: Lines, schema: Schema, rows: int) -> States:
    """The states of so many observations by all lines there are, in order."""
    states = np.zeros(rows, state_type(schema))
    states["outcome"] = UNKNOWN
    if not len(lines):
        return states
    first = firsts(lines)
    rest = np.ones(len(lines), np.bool_)
    rest[first] = False
    for start in range(0, len(first), _AT_ONCE):
        part = first[start : start + _AT_ONCE]
        states[lines.rows[part]] = states_after_first(lines.at(part))
    if lines.reports is not None:
        # of an observation whose first sighting was taken back there may be reports before the next
        early = lines.places < states["sighted"][lines.rows]
        rest &= ~early
        early &= (states["outcome"][lines.rows] == UNKNOWN) & (lines.outcomes != UNKNOWN)
        states["outcome"][lines.rows[early]] = lines.outcomes[early]
        states["known"][lines.rows[early]] = content_of(lines.places[early])
    again, after = states_after(lines.at(rest), states.__getitem__)
    states[again] = after
    return states
