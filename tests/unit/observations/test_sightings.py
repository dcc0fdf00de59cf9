from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.observations.sightings import (
    BAD,
    MAX_DEPTH,
    Codes,
    Content,
    SightingsLog,
    Words,
    codes_of,
    fresh_places,
    keys_of,
    matched,
    outcomes_of,
)

LINES = st.lists(st.integers(0, 5), max_size=12)


def coded(lines: list[int]) -> Codes:
    return np.array(lines, np.uint64)


def worded(lines: list[int]) -> Words:
    return coded(lines)[:, None]


@pytest.fixture
def log(tmp_path: Path) -> Iterator[SightingsLog]:
    with closing(SightingsLog(tmp_path / "sightings", seed=7)) as opened:
        yield opened


@contextmanager
def reopened(log: SightingsLog) -> Iterator[SightingsLog]:
    log.sync()
    with closing(SightingsLog(log.path, log.size, read_only=True)) as opened:
        yield opened


def assert_equal(found: Content, expected: Content) -> None:
    assert (found.number, found.settled) == (expected.number, expected.settled)
    for name in ("words", "places", "more_words", "more_places"):
        assert getattr(found, name).tolist() == getattr(expected, name).tolist(), name


def test_a_code_holds_its_key_and_its_outcome() -> None:
    keys = np.array([2**64 - 1, 0, 8], np.uint64)
    codes = codes_of(keys, np.array([2, 1, 0], np.uint8))
    assert outcomes_of(codes).tolist() == [2, 1, 0]
    assert keys_of(codes).tolist() == [2**64 - 4, 0, 8]
    assert BAD not in codes  # no outcome is 3


@pytest.mark.parametrize(
    ("new", "old", "expected"),
    [
        ([1, 2, 3], [1, 2], [0, 1, -1]),  # grown
        ([1, 2], [1, 2, 3], [0, 1]),  # cut
        ([2, 3], [1, 2, 3], [1, 2]),
        ([3, 1, 2], [1, 2, 3], [2, 0, 1]),  # in another order
        ([5, 1, 1, 1], [1, 5, 1], [1, 0, 2, -1]),  # counted as often as it occurs
        ([1, 2], [], [-1, -1]),
        ([], [1], []),
    ],
)
def test_lines_that_a_file_held_before_are_found(
    new: list[int], old: list[int], expected: list[int]
) -> None:
    assert matched(coded(new), coded(old)).tolist() == expected


@given(LINES, LINES)
def test_each_line_is_matched_with_one_of_its_like_as_long_as_there_are_some(
    new: list[int], old: list[int]
) -> None:
    index = matched(coded(new), coded(old))
    found = index[index >= 0]
    assert len(set(found.tolist())) == len(found)
    assert [old[i] for i in found] == [line for line, i in zip(new, index, strict=True) if i >= 0]
    for line in set(new):
        of_line = index[coded(new) == line]
        assert (of_line >= 0).sum() == min(new.count(line), old.count(line))
        assert np.all(np.diff(of_line[of_line >= 0]) > 0)  # in order


@given(st.lists(st.tuples(LINES, st.booleans(), st.booleans()), max_size=6))
def test_contents_come_back_as_they_were_added(
    tmp_path_factory: pytest.TempPathFactory, files: list[tuple[list[int], bool, bool]]
) -> None:
    added: dict[int, Content] = {}
    at, last = None, None
    log = SightingsLog(tmp_path_factory.mktemp("log") / "sightings")
    for number, (lines, based, follows) in enumerate(files, 1):
        codes = coded(lines)
        places = fresh_places(number, len(codes))
        if last is not None and follows:
            index = matched(codes, last.codes)
            places[index >= 0] = last.places[index[index >= 0]]
        last = Content(number, worded(lines), places)
        at = log.append(last, at if based or follows else None)
        added[at] = last
    with closing(log), reopened(log) as other:
        for each in (log, other):
            for start in [*added, *reversed(added)]:
                assert_equal(each.content(start), added[start])
        for found, expected in zip(other.contents(), added.values(), strict=True):
            assert_equal(found, expected)


def test_a_settled_content_keeps_sightings_of_those_before_it(log: SightingsLog) -> None:
    more = worded([4, 8]), fresh_places(1, 2)
    content = Content(5, worded([4, 8]), fresh_places(3, 2), True, *more)
    at = log.append(content)
    with reopened(log) as other:
        assert_equal(other.content(at), content)
    said = log.said()
    assert codes_of(said.rows, said.outcomes).tolist() == [4, 8, 4, 8]
    assert said.places.tolist() == [*fresh_places(3, 2).tolist(), *fresh_places(1, 2).tolist()]


def test_lines_that_keep_their_places_are_no_new_sightings(log: SightingsLog) -> None:
    first = Content(1, worded([4, int(BAD), 8]), fresh_places(1, 3))
    places = np.concatenate([first.places[:1], fresh_places(2, 2)[1:]])
    log.append(Content(2, worded([4, 12]), places), log.append(first))
    said = log.said()
    assert codes_of(said.rows, said.outcomes).tolist() == [4, 8, 12]  # what was set aside is none
    assert said.places.tolist() == [*first.places[[0, 2]].tolist(), int(fresh_places(2, 2)[1])]


def test_a_content_takes_what_differs_from_its_base(log: SightingsLog) -> None:
    night = coded(list(range(0, 40_000, 4)))
    at = log.append(Content(1, night[:, None], fresh_places(1, len(night))))
    before = log.size
    changed = night.copy()
    changed[5_000] += np.uint64(40_000)
    log.append(Content(2, changed[:, None], fresh_places(2, len(night))), at)
    assert log.size - before < 300


def test_no_content_is_kept_as_a_part_of_very_many_others(log: SightingsLog) -> None:
    at, depths = None, []
    for number in range(1, 2 * MAX_DEPTH):
        last = Content(number, worded([4, 8]), fresh_places(number, 2))
        at = log.append(last, at)
        depths.append(log._content(at)[1])
    assert max(depths) == MAX_DEPTH
    assert at
    with reopened(log) as other:
        assert_equal(other.content(at), last)


def test_what_is_beyond_the_size_on_record_is_cut_off(log: SightingsLog) -> None:
    size, first = log.size, Content(1, worded([4]), fresh_places(1, 1))
    log.append(first)
    log.sync()
    with closing(SightingsLog(log.path, size)) as again:
        assert (again.seed, [*again.contents()]) == (7, [])
    assert log.path.stat().st_size == size
