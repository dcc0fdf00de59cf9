"""Taking the rows of files into `finaldata.csv`."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from heapq import nlargest
from pathlib import Path
from secrets import randbits

import numpy as np
from numpy.typing import NDArray

from pipeline.core.files import sync_folder
from pipeline.core.schema import Schema
from pipeline.data.loader import Counts
from pipeline.observations import master_files as files
from pipeline.observations.rewriting import write_changed
from pipeline.observations.row_keys import RowKeys, keep_rows, kept_rows, loaded_keys
from pipeline.observations.row_writer import RowWriter, renewer
from pipeline.observations.rules import (
    Changed,
    Lines,
    More,
    Rows,
    States,
    first_lines,
    parts_of,
    states_after_first,
    take_in,
)
from pipeline.observations.sightings import (
    BAD,
    NOBODY,
    Content,
    SightingsLog,
    fresh_places,
    matched,
    outcomes_of,
)
from pipeline.observations.state_file import lines_of, states_by
from pipeline.storage.ledger import Former, LogFile, MasterState, file_record

LOOKED_AT = 8  # of the contents taken in last, to find one that the next is like
NOTHING = MasterState(0, 0)
_AT_ONCE = 100_000  # states worked out at a time: of all of them there would be two


class MasterWriter(RowWriter):
    """`finaldata.csv` and the files beside it, open for taking in files.

    Only what the ledger has committed counts. Opening cuts off what a killed run of ours wrote
    beyond that, and raises `HistoryError` where another program has changed a file. `former` says
    what each file held when it was last taken in. `check` is called before anything is changed; it
    raises if the server's run lock is lost already.
    """

    def __init__(
        self,
        path: Path,
        schema: Schema,
        on_record: MasterState = NOTHING,
        former: Mapping[str, Former] | None = None,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        self.path, self._on_record = path, on_record
        self._former = dict(former or {})
        self._last: dict[bool, Former] = {}  # the content taken in last, by whether it has reports
        self._changed: list[Rows] = [np.zeros(0, np.uint32)]
        self._carried: dict[int, bytes] = {}  # what rows carry now, where that is not written yet
        super().__init__(path, schema)
        with self._opened as opened:
            check()
            files.begin_writing(path, on_record, schema)
            self._cut()
            self._open_files()
            self._opened = opened.pop_all()
        self._file.seek(0, os.SEEK_END)
        if not on_record.bytes:
            self._file.write(schema.header.encode() + b"\n")
        self._settle()

    def _cut(self) -> None:
        if os.fstat(self._file.fileno()).st_size > self._on_record.bytes:
            self._file.truncate(self._on_record.bytes)

    def _open_files(self) -> None:
        log, self.rows = self._on_record.log, self._on_record.rows
        self._log_name, size = (log.id, log.record.size) if log else (f"{randbits(63):x}", 0)
        path = files.log_path(self.path, self._log_name)
        self._log = SightingsLog(path, size, randbits(63))
        self._opened.callback(self._log.close)
        for former in nlargest(LOOKED_AT, self._former.values(), key=lambda content: content.id):
            self._last.setdefault(self._log.has_reports(former.log_at), former)
        schema = self._schema
        if known := kept_rows(self.path, schema, self._on_record):
            words, self._all_states = known[0], np.array(known[1])
        else:
            words = loaded_keys(self.path, schema, self._on_record, self._log.seed)
            self._all_states = states_by(lines_of(self._log, words), schema, self.rows)
        self._known = self.rows  # of which there are states
        self._keys = RowKeys(self._log.seed, words)

    @property
    def _states(self) -> States:
        """The states of all rows, to be changed in place."""
        return self._all_states[: self._known]

    def _learn(self, lines: Lines) -> Changed:
        """Take in lines that follow all others; returns which observations became others by them.

        The first lines of new observations give them their numbers, in order.
        """
        first = first_lines(lines, self._known)
        begin, self._known = self._known, self._known + int(first.sum())
        if self._known > len(self._all_states):
            room = max(self._known, 2 * len(self._all_states))
            grown = np.zeros(room, self._all_states.dtype)
            grown[:begin] = self._all_states[:begin]
            self._all_states = grown
        new = np.flatnonzero(first)
        for at in range(0, len(new), _AT_ONCE):
            some = states_after_first(lines.at(new[at : at + _AT_ONCE]))
            self._all_states[begin + at : begin + at + len(some)] = some
        return take_in(lines.at(~first), self._states)

    def accept(
        self, number: int, name: str, sha256: str, bad_at: Sequence[int], *, again: bool = False
    ) -> Counts | None:
        """End a file, by the number of its content; `bad_at` are its rows that were set aside.

        One that is read `again`, for reports of clients that were not known, is None if none is.
        """
        start, of_report = self._settled[1], None
        if self._reports is None:
            rows, words = self._words(bad_at)
        else:
            of_report = self._resolved(self._states)
            rows, words = of_report.rows.astype(np.uint32), self._report_words(of_report, bad_at)
        content = Content(
            number, words, fresh_places(number, len(words)), reports=of_report is not None
        )
        former, missing = self._former.get(name), 0
        if former:
            missing = _keep(content, self._log.content(former.log_at))
        new = content.places[content.identities != BAD] >= fresh_places(number, 1)
        clients: tuple[str, ...] = ()
        if of_report:
            clients = of_report.clients(new & (of_report.rows < 0) & of_report.says)
            new &= of_report.rows >= 0
        if again and not new.any():
            self._forget()
            return None
        log_at = self._append_to_log(content, former, self.rows - start)
        said = content.said()
        lines = Lines(rows[new], outcomes_of(said.codes), said.places, said.more)
        changed = self._learn(replace(lines, reports=said.reports) if of_report else lines)
        if len(changed.carried):
            self._note_carried(rows[new], said.more, np.flatnonzero(new), changed.carried)
        self._changed += [changed.outcomes, changed.carried]
        self._former[name] = self._last[content.reports] = Former(number, sha256, log_at)
        self._settle()
        return Counts(
            *(number, self.rows - start, len(changed.outcomes), missing, start, self.rows, log_at),
            unknown_clients=clients,
        )

    def _append_to_log(self, content: Content, former: Former | None, added: int) -> int:
        base = former or self._last.get(content.reports)
        if not former and added > len(content.words) // 2:
            base = None  # too different to be kept as a part of another
        return self._log.append(content, base.log_at if base else None, follows=bool(former))

    def waiting(self) -> list[str]:
        """The files with outcomes of clients that are not known yet."""
        contents = self._former.items()
        reports = [(name, at.log_at) for name, at in contents if self._log.has_reports(at.log_at)]
        return [name for name, at in reports if (self._log.content(at).codes == NOBODY).any()]

    def _note_carried(self, rows: Rows, more: More, at: NDArray[np.int64], changed: Rows) -> None:
        """Keep the texts that some rows carry now; `at` has the places of the lines in the file."""
        carried = [text for part in self._split for text in part.carried]
        now = self._states["carried"]
        hashes = parts_of(more)[1]
        for i in np.flatnonzero(np.isin(rows, changed) & (hashes == now[rows])).tolist():
            self._carried[int(rows[i])] = carried[int(at[i])]

    def save(self) -> MasterState:
        """Make what was taken in durable; returns what is to be put on record.

        Where outcomes of earlier lines have changed, a new file is made beside the old one, which
        `master_files.finish` puts in its place.
        """
        self._sync()
        self._log.sync()
        changed, path, before = np.unique(np.concatenate(self._changed)), self.path, None
        if len(changed):
            path = files.next_path(path)
            renewed = renewer(self._schema, changed, self._states, self._carried)
            write_changed(self.path, path, changed, renewed)
        else:
            before = self._on_record.record
        sync_folder(path.parent)
        recorded = self._on_record.log.record if self._on_record.log else None
        log = LogFile(self._log_name, file_record(self._log.path, recorded))
        keep_rows(self.path, log, self._keys.words(), self._states)
        record = file_record(path, before)
        return MasterState(*(self.rows, record.size, record, log, self._schema.client_names))


def _keep(content: Content, before: Content) -> int:
    """Let the lines that a file held before keep their places; returns how many it lacks now.

    Reports of clients that were not known are as new.
    """
    held = int((before.identities != BAD).sum())
    if not before.like(content):
        return held
    index = matched(content.identities, before.identities)
    kept = index >= 0
    missing = held - int((kept & (content.identities != BAD)).sum())
    kept[kept] = before.codes[index[kept]] != NOBODY
    content.places[kept] = before.places[index[kept]]
    content.words[kept] = before.words[index[kept]]
    return missing
