"""`finaldata.csv` made anew: from the input folder, or without some of its lines."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from heapq import nsmallest
from itertools import chain, compress
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
from pipeline.observations.master_writer import RowWriter
from pipeline.observations.row_keys import (
    RowKeys,
    firsts,
    keep_rows,
    line_keys,
    lines_of,
    loaded_keys,
    recorded_lines,
    states_by,
)
from pipeline.observations.row_lines import (
    Index,
    client_cell,
    client_of,
    renewer,
    rows_in,
    split,
    write_rows,
)
from pipeline.observations.rules import Lines, More, Outcomes, Places, content_of, more_of, parts_of
from pipeline.observations.sightings import (
    BAD,
    NOBODY,
    Content,
    SightingsLog,
    fresh_places,
    is_about,
    keys_of,
    united,
)
from pipeline.storage.ledger import Former, LogFile, MasterState, Span, file_record

_LATE = np.uint64(1 << 31)  # added to places of lines that count after all others
MAX_NAMED = 5  # clients named of those whose rows go

History = Mapping[str, Sequence[Former]]  # all contents of each file on record, in their order


class Renewal(RowWriter):
    """A new file of rows beside the old one, whose lines keep the places that they had.

    `state` is on record of the old one; `history` has its contents, `before` is the file that has
    their lines, if there is one.
    """

    def __init__(
        self,
        path: Path,
        schema: Schema,
        state: MasterState,
        history: History,
        before: SightingsLog | None,
        check: Callable[[], None] = lambda: None,
        seed: int = 0,
    ) -> None:
        self.path, self._state, self._history, self._before = path, state, history, before
        self._saved = False
        self._carried: dict[tuple[int, int], bytes] = {}  # texts by rows and hashes
        self._log_at: dict[int, int] = {}  # by the number of a content
        self._kept_reports: list[Content] = []  # until all rows are known
        # by the number of a content, with their numbers, and how many lines the file has
        self._report_lines: dict[int, tuple[list[bytes], Index, int]] = {}
        self._log_name = f"{randbits(63):x}"
        super().__init__(files.next_path(path), schema)
        with self._opened as opened:
            check()
            opened.callback(self._discard)
            self._file.truncate(0)
            seed = before.seed if before else seed or randbits(63)
            self._log = SightingsLog(files.log_path(path, self._log_name), seed=seed)
            opened.callback(self._log.close)
            self._opened = opened.pop_all()
        self._keys = RowKeys(seed=seed)
        self._file.write(schema.header.encode() + b"\n")
        self._settle()

    def append(self, lines: Sequence[bytes]) -> None:
        """Add canonical lines of a file, without their line ends."""
        super().append(lines)
        added = self._appended[-1]
        if added.carried:
            hashes = parts_of(added.words[:, 1])[1].tolist()
            pairs = zip(added.rows.tolist(), hashes, strict=True)
            known = (~added.new).tolist()  # those of new rows are in the file
            self._carried |= dict(compress(zip(pairs, added.carried, strict=True), known))

    def accept(
        self,
        number: int,
        name: str,
        sha256: str,
        bad_at: Sequence[int] = (),
        *,
        again: bool = False,
        of: tuple[Index, int] | None = None,
    ) -> Counts:
        """End a file, by the number of its content, or by the one on record if it is that."""
        assert not again  # for none is `waiting`
        start, kept = self._settled[1], self._history.get(name, ())
        clients: tuple[str, ...] = ()
        if kept and kept[-1].sha256 == sha256:
            number = kept[-1].id
        content, _, about = self._content(
            number, bad_at, lambda: states_by(self._lines(), self._schema, self.rows), of
        )
        content = self._renewed(content, name)
        if about and self._reports is not None:
            of = of or (np.flatnonzero(content.good), len(content.words))
            self._report_lines[number] = (self._reports, *of)
            clients = about.names(content.codes[content.good] == NOBODY)
        self._keep(content)
        self._settle()
        return Counts(
            *(number, self.rows - start, 0, 0, start, self.rows, self._log_at.get(number)),
            unknown_clients=clients,
        )

    def _lines(self) -> Lines:
        return lines_of(self._log, self._keys.words())

    def _keep(self, content: Content) -> None:
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
            codes, at = content.codes, np.flatnonzero(content.good)
            codes[is_about(codes) & ~np.isin(keys_of(codes), low)] = BAD
            if content.number in self._report_lines:
                lines, numbers, total = self._report_lines[content.number]
                if (codes == NOBODY).any():
                    states = states_by(self._lines(), self._schema, self.rows)
                    _, words = self._found(lines, states)
                    known = (codes[at] == NOBODY) & is_about(words[:, 1])
                    content.words[at[known]] = words[known]
                    content.places[at[known]] = late + numbers[known].astype("<u8")
                late += np.uint64(total)
            self._log_at[content.number] = base = self._log.append(content, base)

    def _renewed(self, content: Content, name: str) -> Content:
        """A content that stands for all that its file has held, as far as it still holds it."""
        content, kept = replace(content, settled=True), self._history.get(name, ())
        if not (kept and self._before):
            return content
        last = self._before.content(kept[-1].log_at)
        others = [self._before.content(former.log_at) for former in kept[:-1]]
        found = [other.new_lines() for other in others if other.like(content)]
        if last.number == content.number and len(last.words) == len(content.words):
            content.places[:] = last.places  # of the same rows, even where the schema is another
            if content.reports and last.reports:  # they stay with their observations
                stays = last.codes != NOBODY
                content.codes[stays] = last.codes[stays]
            found += [(last.more_words, last.more_places)] if last.like(content) else []
        elif last.like(content):
            content.keep_places(last)
            found.append(last.new_lines())
        if not found:
            return content
        more, more_places = (np.concatenate(parts) for parts in zip(*found, strict=True))
        still = np.isin(replace(content, words=more).identities, content.identities[content.good])
        still &= ~np.isin(more_places, content.places)
        return replace(content, more_words=more[still], more_places=more_places[still])

    def withdraw(self, name: str, *, present: bool, held: int | None = None) -> "Gone":
        """Keep all contents on record but those of a file, of which the last counts if `present`.

        If that is `held` back, it alone goes. Returns the rows that no line has sighted then.
        """
        assert self._before
        left_out = {former.id for former in self._history[name]}
        if present and held is not None:
            left_out, present = {held}, False
        for content in self._before.contents():
            if content.number not in left_out:
                self._keep(content)
        if present:
            last = self._before.content(self._history[name][-1].log_at)
            places = fresh_places(last.number, len(last.words))
            again = Content(last.number, last.words.copy(), places, reports=last.reports)
            self._keep(self._renewed(again, name))
        old = loaded_keys(self.path, self._schema, self._state, self._keys.seed)
        said = self._log.said()
        assert said.reports is not None
        alive = np.isin(keys_of(old), said.rows[~said.reports])
        self._copy(self.path, self._state, alive)
        return _gone(self.path, self._state.bytes, alive)

    def gather(self, sources: Iterable[tuple[Path, MasterState, NDArray[np.bool_]]]) -> None:
        """Add some rows of other files, and the lines about these; what waits for rows still does.

        With each file and what is on record of it there is which of its rows are meant.
        """
        found: dict[int, list[Content]] = {}
        for path, state, alive in sources:
            self._copy(path, state, alive)
            with recorded_lines(path, self._schema, state) as (log, keys):
                for content in log.contents():
                    of = content.about(keys_of(keys[alive]))
                    found.setdefault(content.number, []).append(of)
        for _, parts in sorted(found.items()):
            self._keep(united(parts))

    def _copy(self, path: Path, state: MasterState, alive: NDArray[np.bool_]) -> None:
        """Add those rows on record of a file that are alive; their lines come apart."""
        keys = loaded_keys(path, self._schema, state, self._keys.seed)[alive]
        self._keys.add_keys(keys)
        begin = 0
        for lines in rows_in(path, state.bytes):
            kept = compress(lines, alive[begin : begin + len(lines)].tolist())
            self._file.writelines(line + b"\n" for line in kept)
            begin += len(lines)
        self.rows += len(keys)
        self._settle()

    def rows_gone(self) -> "Gone":
        """The rows on record that are no more; if those have other columns, how many fewer."""
        path, size, schema = self.path, self._state.bytes, self._schema
        if not (self._before and path.is_file() and files.has_columns(path, schema)):
            return Gone(max(self._state.rows - self.rows, 0), ())
        old = line_keys(path, schema, size, self._keys.seed)
        return _gone(path, size, self._keys.find(old) >= 0)

    def save(self) -> tuple[MasterState, dict[int, Span]]:
        """Put the rows in order; returns what is to be put on record, and where rows are.

        The spans are by the numbers of the contents that brought these rows.
        """
        self._sync()
        self._keep_reports()
        self._log.sync()
        lines = self._lines()
        first = firsts(lines)
        order = lines.rows[first][np.argsort(first)]
        numbers = np.empty_like(order)
        numbers[order] = np.arange(len(order))
        lines = replace(lines, rows=numbers[lines.rows])
        states = states_by(lines, self._schema, self.rows)
        outcomes, more = self._written()
        differs, more = states["outcome"] != outcomes[order], more[order] if len(more) else more
        if len(more):
            differs |= more_of(states["day"], states["carried"]) != more
        changed, carried = np.flatnonzero(differs).astype("<u4"), dict[int, bytes]()
        if self._schema.carry:
            hashes = states["carried"][changed].tolist()
            of = zip(changed.tolist(), order[changed].tolist(), hashes, strict=True)
            found = ((row, self._carried.get((old, text))) for row, old, text in of)
            carried = {row: text for row, text in found if text is not None}
            # of what was withdrawn the text before is not kept: the next sighting brings it
            lost = np.setdiff1d(changed, np.array([*carried], np.uint32))
            states["carried"][lost] = parts_of(more[lost])[1]
        path = files.next_path(self.path)
        if len(changed) or not np.array_equal(order, np.arange(len(order))):
            other = path.with_name(f"{path.name}.tmp")
            write_rows(path, other, order, changed, renewer(self._schema, changed, states, carried))
            other.replace(path)
        sync_folder(path.parent)
        log = LogFile(self._log_name, file_record(self._log.path))
        keep_rows(self.path, log, self._keys.words()[order], states)
        record = file_record(path)
        self._saved = True
        state = MasterState(self.rows, record.size, record, log, self._schema.client_names)
        return state, self._spans(np.sort(lines.places[np.sort(first)]))

    def _written(self) -> tuple[Outcomes, More]:
        """What the last cells of all rows are in the file."""
        outcomes, more = [np.zeros(0, np.uint8)], [np.zeros(0, np.uint64)]
        for lines in rows_in(self._table, self.size):
            cut = split(lines, self._schema)
            outcomes.append(cut.outcomes)
            more.append(cut.more)
        return np.concatenate(outcomes), np.concatenate(more)

    def _discard(self) -> None:
        """Remove what is not to be used, which may be as large as all there is."""
        if not self._saved:
            self._table.unlink()
            files.log_path(self.path, self._log_name).unlink(missing_ok=True)

    def _spans(self, places: Places) -> dict[int, Span]:
        """By the places of the first lines of all rows, in order."""
        numbers, counts = np.unique(content_of(places), return_counts=True)
        ends = np.cumsum(counts)
        spans = zip(numbers.tolist(), (ends - counts).tolist(), ends.tolist(), strict=True)
        found = {n: Span(begin, end, self._log_at.get(n)) for n, begin, end in spans}
        return {n: Span(0, 0, at) for n, at in self._log_at.items()} | found


class RowsWouldGo(PipelineError):
    """Rows would be lost, which nobody has agreed to."""

    def __init__(self, option: str, gone: "Gone") -> None:
        super().__init__(f"{option} would take away {gone.text}; nothing is done without --yes")


@dataclass(frozen=True)
class Gone:
    """Observations that are no longer in a file made anew: how many, and whose."""

    rows: int
    clients: tuple[str, ...]  # the first of their names

    def __add__(self, other: "Gone") -> "Gone":
        names = sorted({*self.clients, *other.clients})[:MAX_NAMED]
        return Gone(self.rows + other.rows, tuple(names))

    @property
    def text(self) -> str:
        """How many rows, and whose, for a person."""
        names = f", of {', '.join(self.clients)}" if self.clients else ""
        others = " and others" if len(self.clients) == MAX_NAMED else ""
        return f"{pluralize(self.rows, 'row')} of finaldata.csv{names}{others}"


NOTHING_GONE = Gone(0, ())


def _gone(path: Path, size: int, alive: NDArray[np.bool_]) -> Gone:
    """The rows in so many bytes of a file that are not alive."""
    if alive.all():
        return NOTHING_GONE
    dead = compress(chain.from_iterable(rows_in(path, size)), (~alive).tolist())
    return Gone(int((~alive).sum()), tuple(nsmallest(MAX_NAMED, {*map(client_of, dead)})))


def rows_but_of(
    path: Path, size: int, clients: Collection[str]
) -> tuple[NDArray[np.bool_], set[str]]:
    """Which rows, in so many bytes of a file, are not of these clients, and which clients have any.

    The first has the shape (rows,).
    """
    cells = {csv_line((name,)).encode(errors="surrogatepass"): name for name in clients}
    others, found = [np.zeros(0, np.bool_)], set[bytes]()
    for lines in rows_in(path, size):
        of = [client_cell(line) for line in lines]
        others.append(np.array([cell not in cells for cell in of], np.bool_))
        found |= cells.keys() & {*of}
    return np.concatenate(others), {cells[cell] for cell in found}
