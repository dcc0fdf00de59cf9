"""Taking the rows of files into `finaldata.csv`."""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from secrets import randbits

import numpy as np

from pipeline.core.files import sync_folder
from pipeline.core.schema import Schema
from pipeline.data.loader import Counts
from pipeline.observations import master_files as files
from pipeline.observations.rewriting import write_outcomes
from pipeline.observations.row_keys import loaded_keys
from pipeline.observations.row_writer import RowWriter
from pipeline.observations.rules import Lines, Rows
from pipeline.observations.sightings import (
    BAD,
    Content,
    SightingsLog,
    fresh_places,
    matched,
    outcomes_of,
)
from pipeline.observations.state_file import StateFile, lines_of, states_by
from pipeline.storage.file_record import file_record
from pipeline.storage.ledger import Former, LogFile, MasterState

NOTHING = MasterState(0, 0)


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
        self.path, self._on_record, self._client_names = path, on_record, schema.client_names
        self._former = dict(former or {})
        self._last = max(self._former.values(), key=lambda content: content.id, default=None)
        self._changed: list[Rows] = [np.zeros(0, np.uint32)]
        super().__init__(path)
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
        self._keys = loaded_keys(self.path, self._on_record, self._log.seed)
        states = files.state_path(self.path)
        found = StateFile.opened(states, self._log_name, size, self.rows) if size else None
        if found is None:
            found = StateFile(states, states_by(lines_of(self._log, self._keys), self.rows))
        self._states = found
        self._opened.callback(found.close)

    def accept(self, number: int, name: str, sha256: str, bad_at: Sequence[int]) -> Counts:
        """End a file, by the number of its content; `bad_at` are its rows that were set aside."""
        start = self._settled[1]
        rows, codes = self._codes(bad_at)
        places = fresh_places(number, len(codes))
        former, missing, base = self._former.get(name), 0, self._last
        if former:
            before = self._log.content(former.log_at)
            index = matched(codes, before.codes)
            kept = index >= 0
            places[kept] = before.places[index[kept]]
            base, missing = former, int((before.codes != BAD).sum() - (codes[kept] != BAD).sum())
        elif self.rows - start > len(codes) // 2:
            base = None  # too different to be kept as a part of another
        log_at = self._log.append(
            Content(number, codes, places),
            base.log_at if base else None,
            follows=former is not None,
        )
        good = codes != BAD
        codes, places = codes[good], places[good]
        new = places >= fresh_places(number, 1)
        changed = self._states.add(Lines(rows, outcomes_of(codes), places).at(new))
        self._changed.append(changed)
        self._former[name] = self._last = Former(number, sha256, log_at)
        self._settle()
        return Counts(number, self.rows - start, len(changed), missing, start, self.rows, log_at)

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
            write_outcomes(self.path, path, changed, self._states.outcomes(changed))
        else:
            before = self._on_record.record
        sync_folder(path.parent)
        recorded = self._on_record.log.record if self._on_record.log else None
        log = LogFile(self._log_name, file_record(self._log.path, recorded))
        self._states.save(self._log_name, log.record.size)
        keys = self._keys.save(files.key_path(self.path))
        record = file_record(path, before)
        return MasterState(self.rows, record.size, keys, record, log, self._client_names)
