"""Which lines each content of each file had: `.finaldata.csv.<id>.sightings`.

A line is a code of 64 bits: 62 of its observation's key, two of its outcome. Most contents repeat
most of another one (last night's file, or what the file held before), so a content is kept as runs
of lines of that one and the codes of its others. A line keeps its place as long as its file holds
it; places are kept as runs, too.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.core.files import errors_with_path
from pipeline.observations.rules import LINE_BITS, Outcomes, Places, content_of

Codes = NDArray[np.uint64]
Index = NDArray[np.int64]

MAGIC = int.from_bytes(b"sighted1", "little")
FILE_HEAD = 2  # words at the beginning of the file: magic, and the seed of the keys
MAX_DEPTH = 64  # of contents kept as parts of others
BAD = np.uint64(2**64 - 1)  # the code of a row that was set aside
_OUTCOME = np.uint64(3)  # the bits of a code that hold the outcome
_WORD = np.dtype("<u8")
_NONE = np.zeros(0, _WORD)
_FOLLOWS, _SETTLED = 1, 2  # kinds of contents
_HEAD = 8  # words before a content: how many it takes, its number, kind, base, depth, counts


@dataclass(frozen=True)
class Content:
    """The rows of one content of a file: their codes and places, of shape (rows,).

    `settled`: also sightings of its lines in contents before it, which are no longer kept
    themselves, count by this one: `more_codes` and `more_places`.
    """

    number: int
    codes: Codes
    places: Places
    settled: bool = False
    more_codes: Codes = field(default_factory=lambda: _NONE)
    more_places: Places = field(default_factory=lambda: _NONE)

    def sightings(self) -> tuple[Codes, Places]:
        """The lines that were new in it."""
        new = self.codes != BAD
        if not self.settled:
            new &= content_of(self.places) == self.number
        codes = np.concatenate([self.codes[new], self.more_codes])
        return codes, np.concatenate([self.places[new], self.more_places])


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

    def append(self, content: Content, base: int | None = None, *, follows: bool = False) -> int:
        """Add a content, as it differs from the one at `base`; returns where it is.

        `follows`: lines that it shares with that one have their places.
        """
        depth, known = 0, _NONE
        if base is not None and (other := self._content(base))[1] < MAX_DEPTH:
            depth, known = other[1] + 1, other[0].codes
        index = matched(content.codes, known) if depth else np.full(len(content.codes), -1)
        other_codes = content.codes[index < 0]
        index[index < 0] = len(known) + np.arange(len(other_codes))
        follows = follows and depth > 0
        codes, places = _runs(index), _runs(content.places.view(np.int64)[: 0 if follows else None])
        more = len(content.more_codes)
        words = _HEAD + codes.size + len(other_codes) + places.size + 2 * more
        kind = _SETTLED if content.settled else _FOLLOWS if follows else 0
        head = [words, content.number, kind, base if depth else 0, depth]
        sizes = [codes.size // 2, len(other_codes), places.size // 2]
        parts = [np.array(head + sizes), codes, other_codes, places]
        at = self.size
        with errors_with_path(self.path):
            self._file.seek(at)
            for part in (*parts, content.more_codes, content.more_places):
                self._file.write(np.ascontiguousarray(part).view(_WORD).data)
            self.size = self._file.tell()
        self._kept = (at, content, depth)
        return at

    def take_back(self, size: int) -> None:
        """Undo the appends beyond this size."""
        self.size, self._kept = size, None

    def forget(self) -> None:
        """Let go of the content that was read last, which is kept for the next one."""
        self._kept = None

    def content(self, at: int) -> Content:
        """The content that was appended there."""
        return self._content(at)[0]

    def contents(self) -> Iterator[Content]:
        """All contents, in the order in which they were appended."""
        at = FILE_HEAD * _WORD.itemsize
        while at < self.size:
            yield self.content(at)
            at += int(self._read(at, 1)[0]) * _WORD.itemsize

    def sightings(self) -> tuple[Codes, Places]:
        """The lines that were new in their contents: codes and places, in no order."""
        found = [(_NONE, _NONE), *(content.sightings() for content in self.contents())]
        self.forget()
        codes, places = (np.concatenate(parts) for parts in zip(*found, strict=True))
        return codes, places

    def _content(self, at: int) -> tuple[Content, int]:
        if self._kept and self._kept[0] == at:
            return self._kept[1], self._kept[2]
        # from the one that is kept whole, or was the last one read, to the one asked for
        chain, codes, places = [at], _NONE, _NONE
        while base := self._head(chain[-1])[3]:
            if self._kept and self._kept[0] == base:
                codes, places = self._kept[1].codes, self._kept[1].places
                break
            chain.append(base)
        for start in reversed(chain):
            words, number, kind, _, depth, runs, others, placed = self._head(start)
            rest = self._read(start + _HEAD * _WORD.itemsize, words - _HEAD)
            parts = np.split(rest, np.cumsum([2 * runs, others, 2 * placed]))
            index = _expanded(parts[0])
            if kind == _FOLLOWS:
                known = index < len(codes)
                of_base, places = places, fresh_places(number, len(index))
                places[known] = of_base[index[known]]
            else:
                places = _expanded(parts[2]).view(_WORD)
            codes = np.concatenate([codes, parts[1]])[index]
        settled, more = kind == _SETTLED, len(parts[3]) // 2
        content = Content(number, codes, places, settled, parts[3][:more], parts[3][more:])
        self._kept = (at, content, depth)
        return content, depth

    def _head(self, at: int) -> list[int]:
        head: list[int] = self._read(at, _HEAD).tolist()
        return head

    def _read(self, at: int, words: int) -> NDArray[np.uint64]:
        self._file.seek(at)
        return np.frombuffer(self._file.read(words * _WORD.itemsize), _WORD)


def _runs(values: Index) -> Index:
    """Values as runs that rise by one: the first of each, then how many each has."""
    begins = np.flatnonzero(np.concatenate([values[:1] == values[:1], np.diff(values) != 1]))
    return np.concatenate([values[begins], np.diff(np.append(begins, len(values)))])


def _expanded(runs: NDArray[np.uint64]) -> Index:
    """The values that `_runs` made these of."""
    first, counts = runs.view(np.int64).reshape(2, -1)
    before = np.cumsum(counts) - counts
    return np.repeat(first - before, counts) + np.arange(counts.sum())
