"""`finaldata.csv` made anew: from the input folder, without some lines, or from an earlier form."""

import csv
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import compress, islice
from pathlib import Path
from secrets import randbits

import numpy as np
from numpy.typing import NDArray

from pipeline.core.errors import PipelineError
from pipeline.core.files import sync_folder
from pipeline.core.formatting import pluralize
from pipeline.core.schema import Schema, csv_line
from pipeline.data.loader import Counts
from pipeline.observations import master_files as files
from pipeline.observations.rewriting import line_batches, lines_at, write_changed, write_ordered
from pipeline.observations.row_keys import RowKeys, keep_rows
from pipeline.observations.row_writer import RowWriter, renewer
from pipeline.observations.rules import (
    Lines,
    More,
    Outcomes,
    Places,
    States,
    content_of,
    more_of,
    parts_of,
)
from pipeline.observations.sightings import (
    BAD,
    NOBODY,
    Content,
    SightingsLog,
    Words,
    fresh_places,
    is_about,
    keys_of,
    matched,
)
from pipeline.observations.state_file import firsts, lines_of, states_by
from pipeline.observations.tails import client_cell, split, text_hashes
from pipeline.storage.ledger import Former, LogFile, MasterState, Span, file_record

_LATE = np.uint64(1 << 31)  # added to places of lines that count after all others
COPIED = 1 << 16  # rows at a time
MAX_LOOKED_AT = 100
MAX_NAMED = 5  # clients named of those whose rows go

History = Mapping[str, Sequence[Former]]  # all contents of each file on record, in their order


class Renewal(RowWriter):
    """A new file of rows beside the old one, whose lines keep the places that they had.

    `history` has the contents that are on record, `before` the file that has their lines, if there
    is one.
    """

    def __init__(
        self,
        path: Path,
        schema: Schema,
        history: History,
        before: SightingsLog | None,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        self.path, self._history, self._before = path, history, before
        self._saved = False
        self._written: list[Outcomes] = []  # as they are in the new rows
        self._written_more: list[More] = []
        self._carried: dict[tuple[int, int], bytes] = {}  # texts by rows and hashes
        self._log_at: dict[int, int] = {}  # by the number of a content
        self._kept_reports: list[Content] = []  # until all rows are known
        self._report_lines: dict[int, list[bytes]] = {}  # by the number of a content
        self._log_name = f"{randbits(63):x}"
        self.seed = before.seed if before else randbits(63)
        super().__init__(files.next_path(path), schema)
        with self._opened as opened:
            check()
            opened.callback(self._discard)
            self._file.truncate(0)
            self._log = SightingsLog(files.log_path(path, self._log_name), seed=self.seed)
            opened.callback(self._log.close)
            self._opened = opened.pop_all()
        self._keys = RowKeys(seed=self.seed)
        self._file.write(schema.header.encode() + b"\n")
        self._settle()

    def append(self, lines: Sequence[bytes]) -> None:
        """Add canonical lines of a file, without their line ends."""
        super().append(lines)
        found, cut = self._found[-1], self._split[-1]
        self._written.append(cut.outcomes[found.new])
        self._written_more.append(cut.more[found.new] if len(cut.more) else cut.more)
        if cut.carried:
            hashes = parts_of(cut.more)[1].tolist()
            pairs = zip(found.rows.tolist(), hashes, strict=True)
            known = (~found.new).tolist()  # those of new rows are in the file
            self._carried |= dict(compress(zip(pairs, cut.carried, strict=True), known))

    def take_back(self) -> None:
        """Undo what was appended since the last file."""
        for parts in (self._written, self._written_more):
            del parts[len(parts) - len(self._found) :]
        super().take_back()

    def accept(
        self, number: int, name: str, sha256: str, bad_at: Sequence[int], *, again: bool = False
    ) -> Counts:
        """End a file, by the number of its content, or by the one on record if it is that."""
        assert not again  # for none is `waiting`
        start, kept = self._settled[1], self._history.get(name, ())
        clients: tuple[str, ...] = ()
        if kept and kept[-1].sha256 == sha256:
            number = kept[-1].id
        if self._reports is None:
            self.keep(self._renewed(number, self._words(bad_at)[1], name))
        else:
            found = self._resolved(self._states())
            words = self._report_words(found, bad_at)
            content = self._renewed(number, words, name, reports=True)
            self._report_lines[number] = self._reports
            clients = found.clients(content.codes[content.identities != BAD] == NOBODY)
            self.keep(content)
        self._settle()
        return Counts(
            *(number, self.rows - start, 0, 0, start, self.rows, self._log_at.get(number)),
            unknown_clients=clients,
        )

    def _lines(self) -> Lines:
        return lines_of(self._log, self._keys.words())

    def _states(self) -> States:
        """By the lines so far."""
        return states_by(self._lines(), self._schema, self.rows)

    def keep(self, content: Content) -> None:
        """Add the lines of a content, whose observations are among the rows, or will be."""
        if content.reports:
            self._kept_reports.append(content)
            return
        base = next(reversed(self._log_at.values()), None)
        self._log_at[content.number] = self._log.append(content, base)

    def waiting(self) -> tuple[str, ...]:
        """No files: what waits for rows is looked for again once all are there."""
        return ()

    def _keep_reports(self) -> None:
        """Add the reports; those about observations that are gone are about none from now on."""
        low, base = keys_of(self._keys.words()), None
        last = max((*self._log_at, *(content.number for content in self._kept_reports)), default=0)
        late = fresh_places(last, 1) + _LATE  # none has the place of another
        for content in self._kept_reports:
            codes, at = content.codes, np.flatnonzero(content.identities != BAD)
            codes[is_about(codes) & ~np.isin(keys_of(codes), low)] = BAD
            self._reports = self._report_lines.get(content.number)
            if self._reports is not None and (codes == NOBODY).any():
                words = self._report_words(self._resolved(self._states()), [])
                known = (codes[at] == NOBODY) & is_about(words[:, 1])
                content.words[at[known]] = words[known]
                content.places[at[known]] = late + at[known].astype("<u8")
            late += np.uint64(len(content.words))
            self._log_at[content.number] = base = self._log.append(content, base)

    def _renewed(self, number: int, words: Words, name: str, *, reports: bool = False) -> Content:
        """A content that stands for all that its file has held, as far as it still holds it."""
        places, kept = fresh_places(number, len(words)), self._history.get(name, ())
        content = Content(number, words, places, settled=True, reports=reports)
        if not (kept and self._before):
            return content
        last = self._before.content(kept[-1].log_at)
        others = [self._before.content(former.log_at) for former in kept[:-1]]
        found = [other.new_lines() for other in others if other.like(content)]
        if last.number == number and len(last.words) == len(words):
            places[:] = last.places  # of the same rows, even where the schema is another one
            if reports and last.reports:  # they stay with their observations
                stays = last.codes != NOBODY
                content.codes[stays] = last.codes[stays]
            found += [(last.more_words, last.more_places)] if last.like(content) else []
        elif last.like(content):
            index = matched(content.identities, last.identities)
            stays = index >= 0
            stays[stays] = last.codes[index[stays]] != NOBODY
            places[stays] = last.places[index[stays]]
            words[stays] = last.words[index[stays]]
            found.append(last.new_lines())
        if not found:
            return content
        more, more_places = (np.concatenate(parts) for parts in zip(*found, strict=True))
        held = content.identities
        identities = replace(content, words=more).identities
        still = np.isin(identities, held[held != BAD]) & ~np.isin(more_places, places)
        return replace(content, more_words=more[still], more_places=more_places[still])

    def leave_out(
        self, name: str, old: Words, *, present: bool, held: int | None = None
    ) -> NDArray[np.bool_]:
        """Keep all contents on record but those of a file, of which the last counts if `present`.

        If that is `held` back, it alone goes. Returns which of the old rows are still observations
        of any line.
        """
        assert self._before
        left_out = {former.id for former in self._history[name]}
        if present and held is not None:
            left_out, present = {held}, False
        for content in self._before.contents():
            if content.number not in left_out:
                self.keep(content)
        if present:
            last = self._before.content(self._history[name][-1].log_at)
            self.keep(self._renewed(last.number, last.words.copy(), name, reports=last.reports))
        said = self._log.said()
        return np.isin(keys_of(old), keys_of(said.codes[~said.reports]))

    def leave_out_rows(self, alive: NDArray[np.bool_], old: Words) -> None:
        """Keep all contents on record, without the lines about old rows that are not alive."""
        assert self._before
        dead = keys_of(old[~alive])
        for content in self._before.contents():
            content.words[np.isin(keys_of(content.codes), dead)] = BAD
            more = ~np.isin(keys_of(content.more_words[:, int(content.reports)]), dead)
            more_words, more_places = content.more_words[more], content.more_places[more]
            self.keep(replace(content, more_words=more_words, more_places=more_places))

    def copy_rows(self, alive: NDArray[np.bool_], size: int) -> "Gone":
        """Add those of the rows on record, in so many bytes, that are alive; returns the others."""
        rows = np.flatnonzero(alive).astype("<u4")
        lines = lines_at(self.path, size, rows)
        while batch := [line[:-1] for line in islice(lines, COPIED)]:
            self.append(batch)
            self._settle()
        dead = np.flatnonzero(~alive).astype("<u4")
        gone = (line[:-1] for line in lines_at(self.path, size, dead[:MAX_LOOKED_AT]))
        return Gone(len(dead), tuple(dict.fromkeys(map(client_of, gone)))[:MAX_NAMED])

    def holds(self, lines: Sequence[bytes]) -> NDArray[np.bool_]:
        """Of which of these lines the observations are among its rows."""
        return self._keys.holds(split(lines, self._schema).observations)

    def knows(self, clients: Iterable[bytes]) -> NDArray[np.bool_]:
        """Which of these clients, as cells, have rows."""
        return np.isin(text_hashes(list(clients), self._keys.seed), self._client_rows().clients)

    def save(self) -> tuple[MasterState, dict[int, Span]]:
        """Put the rows in order; returns what is to be put on record, and where rows are.

        The spans are by the numbers of the contents that brought these rows.
        """
        self._sync()
        self._keep_reports()
        self._log.sync()
        if self._before:
            self._before.forget()
        path, lines = files.next_path(self.path), self._lines()
        written = np.concatenate([*self._written, np.zeros(0, np.uint8)])
        more = np.concatenate([*self._written_more, np.zeros(0, np.uint64)])
        first = firsts(lines)
        rows = lines.rows[first]
        order = rows[np.argsort(first)]
        if not np.array_equal(order, np.arange(len(order))):
            numbers = np.empty_like(order)
            numbers[order] = np.arange(len(order))
            lines = replace(lines, rows=numbers[lines.rows])
            self._keys.renumber(numbers)
            written, more = written[order], more[order] if len(more) else more
            self._replace(lambda old, new: write_ordered(old, new, order))
            self._carried = {(int(numbers[row]), h): t for (row, h), t in self._carried.items()}
        states = states_by(lines, self._schema, self.rows)
        differs = states["outcome"] != written
        if len(more):
            differs |= more_of(states["day"], states["carried"]) != more
        changed = np.flatnonzero(differs).astype("<u4")
        if len(changed):
            carried = {}
            if self._carried:
                hashes = states["carried"][changed].tolist()
                pairs = set(zip(changed.tolist(), hashes, strict=True))
                carried = {pair[0]: self._carried[pair] for pair in pairs & self._carried.keys()}
                # of what was withdrawn the text before is not kept: the next sighting brings it
                lost = np.setdiff1d(changed, np.array([*carried], np.uint32))
                states["carried"][lost] = parts_of(more[lost])[1]
            renewed = renewer(self._schema, changed, states, carried)
            self._replace(lambda old, new: write_changed(old, new, changed, renewed))
        sync_folder(path.parent)
        log = LogFile(self._log_name, file_record(self._log.path))
        keep_rows(self.path, log, self._keys.words(), states)
        record = file_record(path)
        self._saved = True
        state = MasterState(self.rows, record.size, record, log, self._schema.client_names)
        return state, self._spans(np.sort(lines.places[np.sort(first)]))

    def _replace(self, write: Callable[[Path, Path], None]) -> None:
        path = files.next_path(self.path)
        other = path.with_name(f"{path.name}.tmp")
        write(path, other)
        other.replace(path)

    def _discard(self) -> None:
        """Remove what is not to be used, which may be as large as all there is."""
        if not self._saved:
            self._table.unlink()
            files.log_path(self.path, self._log_name).unlink(missing_ok=True)

    def _spans(self, places: Places) -> dict[int, Span]:
        """By the places of the first lines of all rows, in order."""
        numbers, starts = np.unique(content_of(places), return_index=True)
        ends = np.append(starts, len(places))[1:]
        spans = {
            int(number): Span(int(start), int(end), self._log_at.get(int(number)))
            for number, start, end in zip(numbers, starts, ends, strict=True)
        }
        return spans | {n: Span(0, 0, at) for n, at in self._log_at.items() if n not in spans}


class RowsWouldGo(PipelineError):
    """Rows would be lost, which nobody has agreed to."""

    def __init__(self, option: str, gone: "Gone") -> None:
        super().__init__(f"{option} would take away {gone.text}; nothing is done without --yes")


@dataclass(frozen=True)
class Gone:
    """Observations that are no longer in a file made anew: how many, and whose."""

    rows: int
    clients: tuple[str, ...]  # some of their names

    @property
    def text(self) -> str:
        """How many rows, and whose, for a person."""
        names = f", of {', '.join(self.clients)}" if self.clients else ""
        others = " and others" if len(self.clients) == MAX_NAMED else ""
        return f"{pluralize(self.rows, 'row')} of finaldata.csv{names}{others}"


def rows_gone(renewal: Renewal, schema: Schema, size: int, rows: int) -> Gone:
    """What so many bytes and rows of the old file have that is no more.

    If its columns are others, rows of clients that are no more, and how many fewer there are.
    """
    count, fewer, clients = 0, 0, dict[str, None]()
    try:
        with renewal.path.open("rb") as file:
            same = (header := file.readline()) == f"{schema.header}\n".encode()
        for lines in line_batches(renewal.path, len(header), size):
            held = renewal.holds(lines) if same else renewal.knows(map(client_cell, lines))
            gone = list(compress(lines, (~held).tolist()))
            count += len(gone)
            clients |= dict.fromkeys(map(client_of, gone[:MAX_LOOKED_AT]))
        fewer = 0 if same else rows - renewal.rows
    except FileNotFoundError:
        fewer = rows - renewal.rows
    return Gone(max(count, fewer), tuple(clients)[:MAX_NAMED])


def rows_but_of(
    path: Path, size: int, clients: Collection[str]
) -> tuple[NDArray[np.bool_], set[str]]:
    """Which rows, in so many bytes of a file, are not of these clients, and which clients have any.

    The first has the shape (rows,).
    """
    cells = {csv_line((name,)).encode(errors="surrogatepass"): name for name in clients}
    others, found = [np.zeros(0, np.bool_)], set[bytes]()
    with path.open("rb") as file:
        start = len(file.readline())
    for lines in line_batches(path, start, size):
        of = [client_cell(line) for line in lines]
        others.append(np.array([cell not in cells for cell in of], np.bool_))
        found |= cells.keys() & {*of}
    return np.concatenate(others), {cells[cell] for cell in found}


def client_of(line: bytes) -> str:
    """The client's name in a line, or in its first cell alone."""
    return next(csv.reader([line.decode(errors="replace")]))[0]
