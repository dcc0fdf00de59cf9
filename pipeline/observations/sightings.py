"""Which lines each content of each file had: `.finaldata.csv.<id>.sightings`.

A line is a code of 64 bits: 62 of its observation's key, two of its outcome. Most contents repeat
most of another one (last night's file, or what the file held before), so a content is kept as runs
of lines of that one and the codes of its others. A line keeps its place as long as its file holds
it; places are kept as runs, too.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.core.files import errors_with_path
from pipeline.observations.rules import LINE_BITS, Lines, Outcomes, Places, content_of

Codes = NDArray[np.uint64]
Words = NDArray[np.uint64]  # of rows: a column each
Index = NDArray[np.int64]

MAGIC = int.from_bytes(b"sighted1", "little")
FILE_HEAD = 2  # words at the beginning of the file: magic, and the seed of the keys
MAX_DEPTH = 64  # of contents kept as parts of others
BAD = np.uint64(2**64 - 1)  # the code of a row that was set aside
NOBODY = BAD ^ np.uint64(4)  # that of a report of a client that is not known yet
_OUTCOME = np.uint64(3)  # the bits of a code that hold the outcome
_WORD = np.dtype("<u8")
_NONE = np.zeros(0, _WORD)
_MIXES = np.uint64(0x9E3779B97F4A7C15)  # odd, with its bits spread: 2^64 by the golden ratio
_FOLLOWS, _SETTLED, _REPORTS, _WORDS = 1, 2, 4, 8  # of a content's kind; words of a row, times 8
_HEAD = 8  # words before a content: how many it takes, its number, kind, base, depth, counts


@dataclass(frozen=True)
class Content:
    """The rows of one content of a file: `words` of shape (rows, words), `places` of (rows,).

    The words of a row are its code and, where the schema has it, `more`. Those of `reports`, of
    outcomes alone, begin with a hash of their text, by which they are told from each other; their
    code is the one of the observation that they are about; `NOBODY` where their client is not known
    yet, `BAD` where there is none for good.

    `settled`: also sightings of its lines in contents before it, which are no longer kept
    themselves, count by this one: `more_words` and `more_places`.
    """

    number: int
    words: Words
    places: Places
    settled: bool = False
    more_words: Words = field(default_factory=lambda: np.zeros((0, 1), _WORD))
    more_places: Places = field(default_factory=lambda: _NONE)
    reports: bool = False

    @property
    def codes(self) -> Codes:
        """The codes of its rows."""
        return self.words[:, int(self.reports)]

    @property
    def identities(self) -> Codes:
        """A word for each row, by which it is told whether it is another's."""
        return self.words[:, 0] if self.reports else mixed(self.words)

    @property
    def good(self) -> NDArray[np.bool_]:
        """Which of its rows were not set aside."""
        return np.not_equal(self.identities, BAD)

    def like(self, other: "Content") -> bool:
        """Whether its rows are of the same form as those of another one."""
        count = self.words.shape[1]
        return (self.reports, count) == (other.reports, other.words.shape[1])

    def keep_places(self, former: "Content") -> int:
        """Let the rows that a former content had stay where it has them; returns how many it had.

        Reports of clients that were not known say something again.
        """
        if not self.like(former):
            return 0
        index = matched(self.identities, former.identities)
        stays = index >= 0
        count = int((stays & self.good).sum())
        stays[stays] = former.codes[index[stays]] != NOBODY
        self.places[stays] = former.places[index[stays]]
        self.words[stays] = former.words[index[stays]]
        return count

    def about(self, keys: Codes) -> "Content":
        """Its lines about those observations alone, and what waits for others."""
        here = np.isin(keys_of(self.codes), keys) | (self.codes == NOBODY)
        more = np.isin(keys_of(self.more_words[:, int(self.reports)]), keys)
        return Content(
            *(self.number, self.words[here], self.places[here], self.settled),
            *(self.more_words[more], self.more_places[more], self.reports),
        )

    def new_lines(self) -> tuple[Words, Places]:
        """The lines that were new in it."""
        new = self.good
        if not self.settled:
            new &= content_of(self.places) == self.number
        words, places = self.words[new], self.places[new]
        if not len(self.more_words):
            return words, places
        return np.concatenate([words, self.more_words]), np.concatenate([places, self.more_places])

    def said(self) -> Lines:
        """What the lines say that were new in it; reports without an observation say nothing.

        In place of rows are the keys of their observations.
        """
        words, places = self.new_lines()
        at = int(self.reports)
        codes, more = words[:, at], words[:, at + 1] if words.shape[1] > at + 1 else _NONE
        reports = np.full(len(words), self.reports)
        said = Lines(keys_of(codes), outcomes_of(codes), places, more, reports)
        return said.at(is_about(codes)) if self.reports else said


def united(parts: Sequence[Content]) -> Content:
    """What is kept of one content in several files, in order of places."""
    first, places = parts[0], np.concatenate([part.places for part in parts])
    order = np.argsort(places)
    words = np.concatenate([part.words for part in parts])[order]
    more_words = np.concatenate([part.more_words for part in parts])
    more_places = np.concatenate([part.more_places for part in parts])
    return Content(
        *(first.number, words, places[order], first.settled, more_words, more_places, first.reports)
    )


def is_about(codes: Codes) -> NDArray[np.bool_]:
    """Which codes are of an observation."""
    return np.not_equal(codes, BAD) & np.not_equal(codes, NOBODY)


def mixed(words: Words) -> Codes:
    """One word for all of each row; rows that were set aside keep theirs."""
    found = words[:, 0]
    for column in words.T[1:]:
        found = np.where(words[:, 0] == BAD, BAD, (found * _MIXES) ^ column)
    return found


def codes_of(keys: Codes, outcomes: Outcomes) -> Codes:
    """The codes of lines, by the low words of their keys and their outcomes."""
    return (keys & ~_OUTCOME) | outcomes


def outcomes_of(codes: Codes) -> Outcomes:
    """The outcomes that codes hold."""
    return (codes & _OUTCOME).astype("u1")


def keys_of(codes: Codes) -> Codes:
    """What codes hold of their keys' low words."""
    return codes & ~_OUTCOME


def fresh_places(number: int, rows: int) -> Places:
    """The places of the rows of a content that has none of its file's former lines."""
    return (np.uint64(number) << LINE_BITS) + np.arange(rows, dtype=_WORD)


def matched(new: Codes, old: Codes) -> Index:
    """For each line the index of the old one that it is, or -1; of like ones in order."""
    same = min(len(new), len(old))
    if np.array_equal(new[:same], old[:same]):  # it has grown, or was cut
        return np.where(np.arange(len(new)) < same, np.arange(len(new)), -1)
    by_old, by_new = np.argsort(old, kind="stable"), np.argsort(new, kind="stable")
    olds, news = old[by_old], new[by_new]
    first = np.searchsorted(news, news)  # where the like of each begin
    at = np.searchsorted(olds, news) + np.arange(len(news)) - first
    found = at < len(olds)
    found[found] = olds[at[found]] == news[found]
    index = np.full(len(new), -1)
    index[by_new[found]] = by_old[at[found]]
    return index


class SightingsLog:
    """The file, open; only `size` bytes of it count, and a new one has this seed."""

    def __init__(self, path: Path, size: int = 0, seed: int = 0, *, read_only: bool = False):
        self.path = path
        if not size:
            path.write_bytes(np.array([MAGIC, seed], _WORD).tobytes())
        self._file = path.open("rb" if read_only else "r+b")
        if size and not read_only and path.stat().st_size > size:
            self._file.truncate(size)
        head = self._read(0, FILE_HEAD)
        self.seed = int(head[1]) if len(head) == FILE_HEAD and head[0] == MAGIC else 0
        self.size = size or FILE_HEAD * _WORD.itemsize
        self._kept: tuple[int, Content, int] | None = None

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def sync(self) -> None:
        """Make what was appended durable."""
        with errors_with_path(self.path):
            self._file.flush()
            os.fsync(self._file.fileno())

    def append(self, content: Content, base: int | None = None) -> int:
        """Add a content, as it differs from the one at `base`; returns where it is."""
        depth, other = 0, None
        if base is not None:
            other, depth = self._content(base)
            depth += 1
            if depth > MAX_DEPTH or not content.like(other):
                depth, other = 0, None
        known = mixed(other.words) if other else _NONE
        index = matched(mixed(content.words), known)
        others = content.words[index < 0]
        index[index < 0] = len(known) + np.arange(len(others))
        follows = other and np.array_equal(content.places, _followed(content.number, index, other))
        rows, places = _runs(index), _runs(content.places.view(np.int64)[: 0 if follows else None])
        size = _HEAD + rows.size + others.size + places.size
        size += content.more_words.size + len(content.more_places)
        kind = _FOLLOWS * bool(follows) + _SETTLED * content.settled + _REPORTS * content.reports
        kind += _WORDS * content.words.shape[1]
        head = [size, content.number, kind, base if other else 0, depth]
        sizes = [rows.size // 2, len(others), places.size // 2]
        parts = [np.array(head + sizes), rows, others, places, content.more_words]
        at = self.size
        with errors_with_path(self.path):
            self._file.seek(at)
            for part in (*parts, content.more_places):
                self._file.write(np.ascontiguousarray(part).view(_WORD).data)
            self.size = self._file.tell()
        self._kept = (at, content, depth)
        return at

    def content(self, at: int) -> Content:
        """The content that was appended there."""
        return self._content(at)[0]

    def has_reports(self, at: int) -> bool:
        """Whether the content that was appended there has outcomes alone."""
        return bool(self._head(at)[2] % _WORDS & _REPORTS)

    def numbers(self) -> dict[int, int]:
        """Where each content is, by its number, in the order in which they were appended."""
        at, found = FILE_HEAD * _WORD.itemsize, {}
        while at < self.size:
            size, number, *_ = self._head(at)
            found[number] = at
            at += size * _WORD.itemsize
        return found

    def contents(self) -> Iterator[Content]:
        """All contents, in the order in which they were appended."""
        for at in self.numbers().values():
            yield self.content(at)
        self._kept = None  # it may be large

    def said(self) -> Lines:
        """The lines that were new in their contents, in no order, as `Content.said` has them."""
        none = Content(0, np.zeros((0, 1), _WORD), _NONE)
        found = [none.said(), *(content.said() for content in self.contents())]
        columns = ([getattr(each, name) for each in found] for name in Lines.__dataclass_fields__)
        return Lines(*map(np.concatenate, columns))

    def _content(self, at: int) -> tuple[Content, int]:
        if self._kept and self._kept[0] == at:
            return self._kept[1], self._kept[2]
        # from the one that is kept whole, or was the last one read, to the one asked for
        chain, content, depth = [at], None, 0
        while base := self._head(chain[-1])[3]:
            if self._kept and self._kept[0] == base:
                content = self._kept[1]
                break
            chain.append(base)
        for start in reversed(chain):
            size, number, kind, _, depth, runs, others, placed = self._head(start)
            kind, count = kind % _WORDS, kind // _WORDS
            rest = self._read(start + _HEAD * _WORD.itemsize, size - _HEAD)
            parts = np.split(rest, np.cumsum([2 * runs, others * count, 2 * placed]))
            index, words = _expanded(parts[0]), parts[1].reshape(-1, count)
            if content and kind & _FOLLOWS:
                places = _followed(number, index, content)
            else:
                places = _expanded(parts[2]).view(_WORD)
            words = (np.concatenate([content.words, words]) if content else words)[index]
            more = len(parts[3]) // (count + 1)
            more_words, more_places = np.split(parts[3], [more * count])
            content = Content(
                *(number, words, places, bool(kind & _SETTLED)),
                *(more_words.reshape(-1, count), more_places, bool(kind & _REPORTS)),
            )
        assert content
        self._kept = (at, content, depth)
        return content, depth

    def _head(self, at: int) -> list[int]:
        head: list[int] = self._read(at, _HEAD).tolist()
        return head

    def _read(self, at: int, words: int) -> NDArray[np.uint64]:
        self._file.seek(at)
        return np.frombuffer(self._file.read(words * _WORD.itemsize), _WORD)


def _followed(number: int, index: Index, base: Content) -> Places:
    """The places of rows that stay where the base has them; `index` tells those of new ones."""
    places, known = fresh_places(number, len(index)), index < len(base.places)
    places[known] = base.places[index[known]]
    return places


def _runs(values: Index) -> Index:
    """Values as runs that rise by one: the first of each, then how many each has."""
    begins = np.flatnonzero(np.concatenate([values[:1] == values[:1], np.diff(values) != 1]))
    return np.concatenate([values[begins], np.diff(np.append(begins, len(values)))])


def _expanded(runs: NDArray[np.uint64]) -> Index:
    """The values that `_runs` made these of."""
    first, counts = runs.view(np.int64).reshape(2, -1)
    before = np.cumsum(counts) - counts
    return np.repeat(first - before, counts) + np.arange(counts.sum())
