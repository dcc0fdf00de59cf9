"""`finaldata.csv`: unique rows in the order first seen; checked against the ledger, and read."""

import csv
import io
import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.core.errors import HistoryError
from pipeline.core.schema import Schema
from pipeline.data.frames import frame_of
from pipeline.data.input_files import PendingFile
from pipeline.data.outcomes import NO_DAY, FullList, days_of, learned_outcomes, matured, newest_day
from pipeline.models.cross_validation import (
    TrainingData,
    labelled_rows,
    repeated,
    subsample,
)
from pipeline.observations.contacted import Marked, Marks, mark, read_marks
from pipeline.observations.lists import (
    Believed,
    believed,
    in_part,
    lists_by_date,
    lists_by_file,
    renumbered,
    rows_by_key,
)
from pipeline.observations.master_files import check_columns, check_rows, current_path
from pipeline.observations.row_keys import (
    lines_of,
    places_at,
    recorded_lines,
    recorded_states,
    states_without,
)
from pipeline.observations.row_lines import lines_of_client, renewer
from pipeline.observations.rules import UNKNOWN, Lines, States, content_of, present_rows
from pipeline.storage.database import History
from pipeline.storage.held_files import NOTHING_LEFT_OUT, LeftOut, held_contents, left_out
from pipeline.storage.ledger import ListedFile, MasterState, listed_files, master_state

log = logging.getLogger("ranking")

MAX_CLIENT_ROWS = 100


@dataclass(frozen=True)
class Master:
    """The rows of `finaldata.csv` that are on record, and what is known of their clients.

    What only contents that are left out say of them is not known: rows that nothing else has
    brought are in no frame.
    """

    path: Path
    schema: Schema
    on_record: MasterState
    files: tuple[ListedFile, ...] = ()  # those that full lists are made of
    left_out: LeftOut = NOTHING_LEFT_OUT
    marks: Marks | None = None  # if anybody was contacted

    def without(self, others: LeftOut) -> "Master":
        """The same rows, where other contents are left out than here."""
        other = replace(self, left_out=others)
        # what is read from the files is the same
        other.__dict__.update({name: getattr(self, name) for name in ("_all_rows", "_lines")})
        return other

    @property
    def drawn_from(self) -> int:
        """How many rows there are, if these are a sample of them; else 0."""
        return 0

    @property
    def rows(self) -> int:
        """How many there are."""
        return self.on_record.rows

    @cached_property
    def frame(self) -> pd.DataFrame:
        """All rows that are known of, in order, with the columns of the schema."""
        if self._heard is None:
            return self._all_rows
        schema, outcomes = self.schema, self.states["outcome"]
        frame = self._all_rows.iloc[self._heard].reset_index(drop=True)
        known = np.where(outcomes == UNKNOWN, np.nan, outcomes)
        frame = frame.assign(**{schema.outcome: known})
        if schema.left_on:
            days, of = np.unique(self.states["day"], return_inverse=True)
            texts = [date.fromordinal(day).isoformat() if day else "" for day in days.tolist()]
            frame[schema.left_on] = np.array(texts, object)[of]
        return frame

    @cached_property
    def _all_rows(self) -> pd.DataFrame:
        path = current_path(self.path, self.on_record)
        size = self.on_record.bytes  # what is beyond them does not count
        text = path if path.stat().st_size == size else io.BytesIO(path.read_bytes()[:size])
        return frame_of(text, self.schema, self.schema.columns)

    @cached_property
    def states(self) -> States:
        """What is known of the observation of each row of `frame`: shape (rows,).

        Where contents are left out, `sighted` is 0 of those that are only reported.
        """
        return self.all_states if self._heard is None else self.all_states[self._heard]

    @cached_property
    def all_states(self) -> States:
        """What is known of all rows on record."""
        states = recorded_states(self.path, self.schema, self.on_record)
        if not self.left_out.contents:
            return states
        renewed = places_at(self.path, self.on_record, self._in_log(self.left_out.renewed))
        late = states["late"] == 1
        return states_without(self._lines, late, self.left_out, renewed, self.schema)

    def _in_log(self, contents: Sequence[int]) -> Sequence[int]:
        """Where contents are in the file of sightings, by what the ledger has of it."""
        return contents

    @cached_property
    def _lines(self) -> Lines:
        """All lines on record."""
        with recorded_lines(self.path, self.schema, self.on_record) as lines:
            return lines_of(*lines)

    @cached_property
    def _heard(self) -> NDArray[np.int64] | None:
        """The rows of which something is known; None where that is all of them."""
        if not self.left_out.contents:
            return None
        names = ("sighted", "left", "known")
        return np.flatnonzero(np.any([self.all_states[name] > 0 for name in names], axis=0))

    @property
    def _counts(self) -> NDArray[np.bool_]:
        """Which rows of `frame` were sighted, and not only reported: shape (rows,)."""
        counts: NDArray[np.bool_] = self.states["sighted"] > 0
        return counts

    def _span(self, file: PendingFile) -> tuple[int, int]:
        """Where the rows that a file brought are in `frame`."""
        if self._heard is None:
            return file.span
        begin, end = self._heard.searchsorted(file.span).tolist()
        return begin, end

    @cached_property
    def lists(self) -> Believed:
        """The full lists, if client files are such."""
        if not self.schema.snapshots:
            return Believed()
        return believed(self._all_lists(len(self.frame)), self.frame[self.schema.client])

    def _all_lists(self, rows: int, before: int | None = None) -> list[FullList]:
        """The lists of the first rows, and of the contents numbered below `before`."""
        held = self.left_out.contents
        if self.schema.date:
            lists = lists_by_date(self.frame[:rows], self.schema)
            if not held:
                return lists
            unheld = self.all_states["sighted"] > 0
            return in_part(lists, self._counts, self._all_rows[self.schema.date][~unheld])
        files = [file for file in self.files if before is None or file.id < before]
        # like a file that was rejected: any client may be in it
        files = [replace(file, log_at=None) if file.id in held else file for file in files]
        lists = self._lists_of(files)
        return lists if self._heard is None else renumbered(lists, self._heard)

    def _lists_of(self, files: Sequence[ListedFile]) -> list[FullList]:
        """The lists that files make, of all rows on record."""
        with recorded_lines(self.path, self.schema, self.on_record) as lines:
            return lists_by_file(files, rows_by_key(*lines))

    @cached_property
    def learned(self) -> pd.DataFrame:
        """All rows with the outcomes that they teach: NaN where they teach none."""
        if not self.schema.derives and not self.left_out.contents and not self.marked:
            return self.frame
        outcomes = self._taught[0].copy()
        if self.marked:
            outcomes[self.marked.replaced] = float("nan")
        return self.frame.assign(**{self.schema.outcome: outcomes})

    @cached_property
    def _taught(self) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """What each row would teach if nobody had been contacted, and since which day, if any."""
        outcomes = self.frame[self.schema.outcome].to_numpy("float64", copy=True)
        since = np.full(len(outcomes), NO_DAY)
        if self.schema.derives:
            order, lists = self.states["sighted"], self.lists.lists
            outcomes, since = learned_outcomes(self.frame, self.schema, order=order, lists=lists)
        if self.left_out.contents:
            outcomes[~self._counts] = float("nan")
        return outcomes, since

    @cached_property
    def marked(self) -> Marked | None:
        """What contacts may have changed, and how often rows count; None if there are none."""
        if not self.marks:
            return None
        schema, states, files = self.schema, self.states, self.marks.files
        begins = self._taught[1]
        ends = begins + schema.horizon_days
        if not schema.horizon_days:
            begins = self.days(np.arange(len(states)), files)
            heard = np.where(states["late"] == 1, _days_of_contents(states["known"], files), begins)
            ends = np.maximum(begins, heard) + 1  # a late outcome formed until then
            if schema.derives:  # it may become another at any time
                ends = np.full(len(begins), np.iinfo(np.int64).max)
        days = schema.horizon_days or self.marks.campaign_days
        return mark(self.marks, self.frame[schema.client], begins, ends, days)

    @property
    def contacted(self) -> tuple[int, int, int]:
        """How many labelled rows contacts leave out, and of the control group count for them.

        And how many a contact may have changed that count for want of a control group.
        """
        if not (marked := self.marked):
            return 0, 0, 0
        known = self._taught[0] >= 0
        left_out, control, counted = (
            int((known & kind).sum()) for kind in (marked.replaced, marked.times > 1, marked.others)
        )
        return left_out, control, counted

    def _taught_by(self, files: Sequence[PendingFile]) -> NDArray[np.bool_]:
        """The rows that teach something since these files, the last ones: shape (rows,)."""
        if not files:
            return np.zeros(len(self.frame), np.bool_)
        spans = [self._span(file) for file in files if file.span[1] > file.span[0]]
        begin = min((begin for begin, _ in spans), default=len(self.frame))
        frame, order = self.frame[:begin], self.states["sighted"][:begin]
        found = self._all_lists(begin, min(file.id for file in files)) if self.lists.lists else []
        lists = believed(found, frame[self.schema.client]).lists
        now = self.learned[self.schema.outcome].to_numpy()
        before = np.full(len(now), np.nan)
        before[:begin], _ = learned_outcomes(frame, self.schema, order=order, lists=lists)
        taught: NDArray[np.bool_] = ~np.isnan(now) & (now != before)
        return taught

    @property
    def newest_day(self) -> int:
        """The newest day of its rows and lists."""
        return newest_day(self.frame, self.schema, self.lists.lists)

    def current(self) -> pd.DataFrame:
        """Of each client that has not left its present row, as `present` has it.

        Warns where the newest list is not believed.
        """
        self.tell_doubt()
        present = self.present
        self.__dict__.pop("present")  # of many clients it is large, and who ranks keeps less
        return present

    def tell_doubt(self) -> None:
        """Warn where the newest list is not believed."""
        if self.lists.doubt:
            log.warning(self.lists.doubt)

    @cached_property
    def present(self) -> pd.DataFrame:
        """Of each client that has not left its present row: that of its latest sighting.

        Of full lists, only those on the newest. The index has the rows' places in `frame`.
        """
        clients, schema = self.frame[self.schema.client], self.schema
        dates = days_of(self.frame[schema.date]) if schema.date else None
        rows, left = present_rows(clients, self.states, dates)
        rows = rows[~left]
        if self.lists.lists:
            listed = clients.iloc[self.lists.lists[-1].rows]
            rows = rows[clients.iloc[rows].isin(listed).to_numpy()]
        return self.frame.iloc[rows]

    def brought_by(
        self, files: Sequence[PendingFile], but: Sequence[PendingFile] = ()
    ) -> pd.DataFrame:
        """The rows that these files brought, or the outcomes of which, in order, by their numbers.

        Without those of the files `but`, the last ones.
        """
        found = self._brought(files)
        if but:
            found &= ~self._brought(but)
        return self.learned[found]

    def _brought(self, files: Sequence[PendingFile]) -> NDArray[np.bool_]:
        found = self._named_by(files)
        return found | (self._taught_by(files) & self._counts) if self.schema.derives else found

    def sample_of(self, files: Sequence[PendingFile], most: int) -> pd.DataFrame:
        """At most so many of the rows that these files brought or reported on, evenly spaced."""
        rows = self._named_by(files).nonzero()[0]
        return self.frame.iloc[rows[:: max(1, -(-len(rows) // most))]]

    def _named_by(self, files: Sequence[PendingFile]) -> NDArray[np.bool_]:
        """The rows that these files brought, or reported the outcome of: shape (rows,)."""
        found: NDArray[np.bool_] = np.isin(self.states["known"], [file.id for file in files])
        for file in files:
            found[slice(*self._span(file))] = True
        return found & self._counts

    def of_client(self, client: str) -> tuple[list[bytes], States]:
        """The lines of a client's rows, which alone are read, and what is known of each."""
        current = current_path(self.path, self.on_record)
        found = dict(lines_of_client(client, current, self.on_record.bytes))
        rows, lines = np.array([*found], np.uint32), [*found.values()]
        if self.left_out.contents:  # what they said of rows is in the file
            as_known = renewer(self.schema, rows, self.all_states, {})
            lines = [as_known(i, line) for i, line in enumerate(lines)]
        return lines, self.all_states[rows]

    def by_age(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """The numbers of some rows, oldest first: by their dates, if any, and latest sighting."""
        keys = [self.states["sighted"][rows]]
        if self.schema.date:
            keys.append(self.frame[self.schema.date].to_numpy()[rows].astype("U10"))
        return rows[np.lexsort(keys)]

    def summary(self) -> pd.DataFrame:
        """`mean`, `median` and `std` (of a sample) of each number column, a row a column."""
        return self.frame[list(self.schema.numeric)].agg(["mean", "median", "std"]).T

    def missing(self) -> dict[str, float]:
        """Column -> percent missing."""
        frame = self.frame
        return {
            column: float((frame[column].isna() | (frame[column] == "")).mean() * 100)
            for column in self.schema.columns
        }

    def days(self, rows: NDArray[np.int64], files: dict[int, int]) -> NDArray[np.int64]:
        """The day of each of some rows: its date, if any, or that of the file that sighted it."""
        if self.schema.date:
            return days_of(self.frame[self.schema.date].iloc[rows])
        return _days_of_contents(content_of(self.states["sighted"][rows]), files)

    def labelled(self) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """The numbers of the rows that teach an outcome, oldest first, and their outcomes.

        Of a horizon, without the newest ones, of which only leavers are known yet.
        """
        outcomes = self.learned[self.schema.outcome].to_numpy("float64")
        rows = self.by_age(np.flatnonzero(~np.isnan(outcomes)))
        rows = rows[: matured(outcomes[rows], self.schema)]
        return rows, outcomes[rows]

    def training_data(
        self, of: NDArray[np.int64] | None = None, without: Collection[str] = ()
    ) -> TrainingData:
        """The rows whose outcome is known, of some rows, but for those of some clients.

        Each is there as often as it counts.
        """
        frame = self.learned if of is None else self.learned.iloc[np.sort(of)]
        if without:
            frame = frame[~frame[self.schema.client].isin(list(without))]
        labelled = labelled_rows(frame, self.schema)
        sample = subsample(labelled, self.schema)
        if self.marked:
            times = self.marked.times
            labelled, sample = (repeated(each, times[each.index]) for each in (labelled, sample))
        return TrainingData(labelled, sample, self.schema)


def _days_of_contents(contents: NDArray[np.uint32], files: dict[int, int]) -> NDArray[np.int64]:
    numbers, which = np.unique(contents, return_inverse=True)
    return np.array([files.get(number, 0) for number in numbers.tolist()], np.int64)[which]


def open_master(
    path: Path, schema: Schema, history: History, campaign_days: int | None = None
) -> Master:
    """The rows of `finaldata.csv` that are on record, without what is held back.

    With the length of a campaign they are marked by contacts, as they must be to learn from them.
    Raises `HistoryError` if the file is not what the ledger says, or has no rows yet.
    """
    state = master_state(history)
    if not state.rows:
        raise HistoryError(f"{path} has no rows yet: run `python ingestion.py`")
    check_rows(path, history)
    check_columns(current_path(path, state), schema, state)
    files = listed_files(history) if schema.snapshots and not schema.date else []
    out, marks = left_out(history, held_contents(history)), read_marks(history, campaign_days)
    return Master(path, schema, state, tuple(files), out, marks)


# --- the rows of one client ---


@dataclass(frozen=True)
class RowsOfClient:
    """A client's last rows, that of the latest sighting last, as texts of the columns."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    total: int  # of all its rows
    left: bool  # whether it has left


def rows_of_client(master: Master, client: str, limit: int = MAX_CLIENT_ROWS) -> RowsOfClient:
    """The rows of a client that were sighted last; the others are not parsed."""
    lines, states = master.of_client(client)
    rows = list(csv.reader(line.decode() for line in lines))
    dates = [row[1] if master.schema.date else "" for row in rows]
    every = sorted(zip(dates, states["sighted"].tolist(), rows, strict=True))
    seen = [each for each in every if each[1]]
    gone = [each for each in zip(dates, states["left"].tolist(), strict=True) if each[1]]
    has_left = bool(seen and gone) and max(gone) >= seen[-1][:2]
    last = tuple(tuple(row) for *_, row in seen[-limit:])
    return RowsOfClient(master.schema.columns, last, len(seen), has_left)
