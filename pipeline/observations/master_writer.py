"""Taking the rows of files into `finaldata.csv`, each observation once."""

import logging
import os
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from heapq import nlargest
from itertools import compress
from pathlib import Path
from secrets import randbits
from typing import BinaryIO, Self

import numpy as np
from numpy.typing import NDArray

from pipeline.core.file_lock import open_alone
from pipeline.core.files import errors_with_path, sync_folder
from pipeline.core.names import folded, why_alike
from pipeline.core.schema import Schema
from pipeline.data.loader import Counts
from pipeline.observations import master_files as files
from pipeline.observations.row_keys import (
    AT_ONCE,
    RowKeys,
    keep_rows,
    kept_rows,
    lines_of,
    loaded_keys,
    states_by,
)
from pipeline.observations.row_lines import (
    ClientRows,
    Index,
    Reports,
    line_batches,
    renewer,
    split,
    text_hashes,
    write_rows,
)
from pipeline.observations.rules import (
    Changed,
    Lines,
    Rows,
    States,
    first_lines,
    more_of,
    parts_of,
    states_after_first,
    take_in,
)
from pipeline.observations.sightings import (
    BAD,
    NOBODY,
    Content,
    SightingsLog,
    Words,
    codes_of,
    fresh_places,
)
from pipeline.storage.ledger import Former, LogFile, MasterState, file_record

log = logging.getLogger("ingestion")

LOOKED_AT = 8  # of the contents taken in last, to find one that the next is like
NOTHING = MasterState(0, 0)
MAX_BYTES = 64 << 20  # of finaldata.csv; of a larger one, to read all names would take a second


@dataclass(frozen=True)
class Appended:
    """Lines of a file: the row of each, its words, what travels, and whether it made a new row."""

    rows: Rows
    words: Words
    carried: list[bytes]
    new: NDArray[np.bool_]


class RowWriter:
    """A file of rows, open for appending: locked, as another run may still be writing it.

    Opening raises `LockHeldError` then.
    """

    def __init__(self, path: Path, schema: Schema) -> None:
        self._table, self._schema, self.rows, self._keys = path, schema, 0, RowKeys()
        self._appended: list[Appended] = []
        self._reports: list[bytes] | None = None
        self._clients: tuple[ClientRows, int] | None = None  # of so many bytes, once asked for
        path.parent.mkdir(parents=True, exist_ok=True)
        self._opened = ExitStack()
        self._file: BinaryIO = self._opened.enter_context(open_alone(path))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with errors_with_path(self._table):
            self._opened.close()

    @property
    def size(self) -> int:
        """Bytes written so far, the header included."""
        return self._file.tell()

    def append(self, lines: Sequence[bytes]) -> None:
        """Add canonical lines of a file, without their line ends."""
        cut = split(lines, self._schema)
        found = self._keys.add(cut.observations)
        words = codes_of(found.keys, cut.outcomes)[:, None]
        if len(self._schema.tail) > 1:
            words = np.column_stack([words, cut.more])
        self._appended.append(Appended(found.rows, words, cut.carried, found.new))
        added = list(compress(lines, found.new.tolist()))
        if added:
            with errors_with_path(self._table):
                self._file.write(b"\n".join(added) + b"\n")
        self.rows += len(added)

    def report(self, lines: Sequence[bytes]) -> None:
        """Add canonical lines of a file of outcomes alone, without their line ends."""
        self._reports = [*(self._reports or []), *lines]

    def take_back(self) -> None:
        """Undo what was appended since the last file."""
        size, self.rows = self._settled
        with errors_with_path(self._table):
            self._file.seek(size)
            self._file.truncate()
        self._keys.take_back(self.rows)
        self._forget()

    def _settle(self) -> None:
        """Let what was appended stay."""
        self._forget()
        self._settled = self.size, self.rows

    def _forget(self) -> None:
        self._appended, self._reports = [], None

    def _content(
        self,
        number: int,
        bad_at: Sequence[int],
        states: Callable[[], States],
        of: tuple[Index, int] | None,
    ) -> tuple[Content, Rows, Reports | None]:
        """What was appended as a content of this number; the rows of its good lines.

        If they are reports, whom they are about, by the states of all rows.
        """
        about = None
        if self._reports is None:
            self.append([])  # so that there is something
            rows = np.concatenate([part.rows for part in self._appended])
            words = np.concatenate([part.words for part in self._appended])
        else:
            about, words = self._found(self._reports, states())
            rows = about.rows.astype(np.uint32)
        if bad_at:
            at = np.array(bad_at) - np.arange(len(bad_at))
            words = np.insert(words, at, BAD, axis=0)
        places = fresh_places(number, len(words))
        if of:
            places = places[:1] + of[0].astype("<u8")
        return Content(number, words, places, reports=about is not None), rows, about

    def _found(self, lines: Sequence[bytes], states: States) -> tuple[Reports, Words]:
        """Reports, by what is known of all rows so far, and their words."""
        self._file.flush()
        known, read = self._clients or (ClientRows(self._schema, self._keys.seed), 0)
        read = read or len(self._schema.header) + 1
        known.add(line_batches(self._table, read, self.size))
        self._clients = known, self.size
        about = known.find(lines, states["sighted"])
        codes, found = np.where(about.says, NOBODY, BAD), about.rows >= 0
        codes[found] = codes_of(self._keys.words()[about.rows[found]], about.outcomes[found])
        columns = [text_hashes(lines, self._keys.seed), codes]
        if len(self._schema.tail) > 1:
            columns.append(more_of(about.days, np.zeros(len(codes), np.uint32)))
        return about, np.column_stack(columns)

    def _sync(self) -> None:
        with errors_with_path(self._table):
            self._file.flush()
            os.fsync(self._file.fileno())


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
        seed: int = 0,
    ) -> None:
        self.path, self._on_record, self._seed = path, on_record, seed or randbits(63)
        self._former = dict(former or {})
        self._last: dict[bool, Former] = {}  # the content taken in last, by whether it has reports
        self._changed: list[Rows] = [np.zeros(0, np.uint32)]
        self._carried: dict[int, bytes] = {}  # what rows carry now, where that is not written yet
        super().__init__(path, schema)
        with self._opened as opened:
            check()
            files.begin_writing(path, on_record, schema)
            if os.fstat(self._file.fileno()).st_size > on_record.bytes:
                self._file.truncate(on_record.bytes)
            self._open_files()
            self._opened = opened.pop_all()
        self._file.seek(0, os.SEEK_END)
        if not on_record.bytes:
            self._file.write(schema.header.encode() + b"\n")
        self._settle()

    def _open_files(self) -> None:
        log, self.rows = self._on_record.log, self._on_record.rows
        self._log_name, size = (log.id, log.record.size) if log else (f"{randbits(63):x}", 0)
        path = files.log_path(self.path, self._log_name)
        self._log = SightingsLog(path, size, self._seed)
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
        for at in range(0, len(new), AT_ONCE):
            some = states_after_first(lines.at(new[at : at + AT_ONCE]))
            self._all_states[begin + at : begin + at + len(some)] = some
        return take_in(lines.at(~first), self._states)

    def accept(
        self,
        number: int,
        name: str,
        sha256: str,
        bad_at: Sequence[int] = (),
        *,
        again: bool = False,
        of: tuple[Index, int] | None = None,
    ) -> Counts | None:
        """End a file, by the number of its content; `bad_at` are its rows that were set aside.

        One that is read `again`, for reports of clients that were not known, is None if none is.
        Where its lines are only some `of` a file's, their numbers, and how many that has.
        """
        start = self._settled[1]
        content, rows, about = self._content(number, bad_at, lambda: self._states, of)
        former, missing = self._former.get(name), 0
        if former:
            before = self._log.content(former.log_at)
            missing = int(before.good.sum()) - content.keep_places(before)
        new = content.places[content.good] >= fresh_places(number, 1)
        clients: tuple[str, ...] = ()
        if about:
            clients = about.names(new & (about.rows < 0) & about.says)
            new &= about.rows >= 0
        if again and not new.any():
            self._forget()
            return None
        base = former or self._last.get(content.reports)
        if not former and self.rows - start > len(content.words) // 2:
            base = None  # too different to be kept as a part of another
        log_at = self._log.append(content, base.log_at if base else None)
        lines = replace(content.said(), rows=rows[new])
        changed = self._learn(lines)
        if len(changed.carried):
            self._note_carried(lines, np.flatnonzero(new), changed.carried)
        self._changed += [changed.outcomes, changed.carried]
        self._former[name] = self._last[content.reports] = Former(number, sha256, log_at)
        self._settle()
        return Counts(
            *(number, self.rows - start, len(changed.outcomes), missing, start, self.rows, log_at),
            unknown_clients=clients,
        )

    def waiting(self) -> list[str]:
        """The files with outcomes of clients that are not known yet."""
        contents = self._former.items()
        reports = [(name, at.log_at) for name, at in contents if self._log.has_reports(at.log_at)]
        return [name for name, at in reports if (self._log.content(at).codes == NOBODY).any()]

    def _note_carried(self, lines: Lines, at: NDArray[np.int64], changed: Rows) -> None:
        """Keep the texts that some rows carry now; `at` has the places of the lines in the file."""
        carried = [text for part in self._appended for text in part.carried]
        now = parts_of(lines.more)[1] == self._states["carried"][lines.rows]
        for i in np.flatnonzero(np.isin(lines.rows, changed) & now).tolist():
            self._carried[int(lines.rows[i])] = carried[int(at[i])]

    def save(self) -> MasterState:
        """Make what was taken in durable; returns what is to be put on record.

        Where outcomes of earlier lines have changed, a new file is made beside the old one, which
        `master_files.finish` puts in its place.
        """
        self._sync()
        self._log.sync()
        changed, path = np.unique(np.concatenate(self._changed)), self.path
        if len(changed):
            path = files.next_path(path)
            renewed = renewer(self._schema, changed, self._states, self._carried)
            write_rows(self.path, path, None, changed, renewed)
        sync_folder(path.parent)
        log = LogFile(self._log_name, file_record(self._log.path))
        keep_rows(self.path, log, self._keys.words(), self._states)
        record = file_record(path)
        return MasterState(self.rows, record.size, record, log, self._schema.client_names)


def warn_of_alike(path: Path, schema: Schema, before: int) -> None:
    """Warn of names that hardly differ from known ones: an export has changed its form.

    They are those that came with the rows from the one numbered `before` on.
    """
    if path.stat().st_size > MAX_BYTES:
        return
    import pandas as pd  # only where rows are new

    clients = pd.read_csv(path, usecols=[schema.client], dtype="str", keep_default_na=False)
    names = clients[schema.client].drop_duplicates()
    known: dict[str, list[str]] = defaultdict(list)
    for name in names[names.index < before]:
        known[folded(name)].append(name)
    found: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for name in names[names.index >= before]:
        alike = known[folded(name)]
        if alike:  # that it differs least from
            ways = ((why_alike(name, other), other) for other in alike)
            way, other = min(ways, key=lambda found: found[0].count(" and "))
            found[way].append((name, other))
        alike.append(name)
    for way, pairs in found.items():
        log.warning(
            "new names of clients that differ from known ones only in %s: %s, such as %r beside %r;"
            " if they are the same clients, correct the export%s",
            *(way, f"{len(pairs):,}", *pairs[0]),
            "" if "case" in way else ', or set "client_names": "digits"',
        )
