from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.observations.row_keys import MAX_RATIO, MAX_RUNS, RowKeys, Run, Words

WORD = st.one_of(st.integers(0, 3), st.integers(2**64 - 2, 2**64 - 1), st.integers(0, 2**64 - 1))
KEYS = st.lists(st.tuples(WORD, WORD), max_size=30)


def words(keys: list[tuple[int, int]]) -> tuple[Words, Words]:
    pairs = np.array(keys, np.uint64).reshape(-1, 2)
    return pairs[:, 0].copy(), pairs[:, 1].copy()


def new_of(known: set[tuple[int, int]], keys: list[tuple[int, int]]) -> list[bool]:
    """Which keys are new, as a set of them tells."""
    new = []
    for key in keys:
        new.append(key not in known)
        known.add(key)
    return new


@settings(max_examples=300)
@given(st.lists(KEYS, max_size=8))
def test_it_tells_what_a_set_tells(batches: list[list[tuple[int, int]]]) -> None:
    keys, known = RowKeys(), set[tuple[int, int]]()
    for batch in batches:
        assert keys._add_keys(*words(batch)).tolist() == new_of(known, batch)
        assert len(keys) == len(known)


@settings(max_examples=200)
@given(st.lists(st.tuples(KEYS, st.booleans()), max_size=6))
def test_what_is_taken_back_counts_no_more(files: list[tuple[list[tuple[int, int]], bool]]) -> None:
    keys, known = RowKeys(), set[tuple[int, int]]()
    for file, kept in files:
        mark, before = keys.settle(), known.copy()
        for half in (file[::2], file[1::2]):
            assert keys._add_keys(*words(half)).tolist() == new_of(known, half)
        if not kept:
            keys.take_back(mark)
            known = before
        assert len(keys) == len(known)


@settings(max_examples=60)
@given(st.lists(KEYS, max_size=6))
def test_what_was_saved_is_known(
    tmp_path_factory: pytest.TempPathFactory, batches: list[list[tuple[int, int]]]
) -> None:
    path = tmp_path_factory.mktemp("keys") / "keys"
    keys, known = RowKeys(), set[tuple[int, int]]()
    for batch in batches:
        assert keys._add_keys(*words(batch)).tolist() == new_of(known, batch)
        if on_record := keys.save(path):
            loaded = RowKeys.load(path, on_record, len(known))
            assert loaded is not None
            keys = loaded


def rows(begin: int, end: int) -> list[bytes]:
    return [b"row %d" % i for i in range(begin, end)]


def test_a_hundred_thousand_rows_are_distinguished() -> None:
    keys = RowKeys()
    for begin in range(0, 100_000, 10_000):
        assert keys.add(rows(begin, begin + 10_000)).all()
    assert not keys.add(rows(0, 100_000)).any()
    assert len(keys) == 100_000


def test_runs_of_like_size_are_merged() -> None:
    keys = RowKeys()
    for begin in range(0, 6_400, 100):
        keys.add(rows(begin, begin + 100))
    lengths = [len(run) for run in keys._runs]
    assert all(MAX_RATIO * short < long for long, short in pairwise(lengths))


def test_each_set_hashes_in_its_own_way() -> None:
    first, second = RowKeys(), RowKeys()
    first.add([b"row"])
    second.add([b"row"])
    assert first._runs[0].high[0] != second._runs[0].high[0]


def test_a_file_has_never_many_more_runs_than_the_most(tmp_path: Path) -> None:
    path, keys = tmp_path / "keys", RowKeys()
    for i in range(3 * MAX_RUNS):
        keys.add(rows(i, i + 1))
        on_record = keys.save(path)
        assert on_record
        loaded = RowKeys.load(path, on_record, i + 1)
        assert loaded
        assert len(loaded._runs) <= MAX_RUNS
        keys = loaded
    assert not keys.add(rows(0, 3 * MAX_RUNS)).any()


def test_nothing_new_writes_nothing(tmp_path: Path) -> None:
    path, keys = tmp_path / "keys", RowKeys()
    assert keys.save(path) is None
    assert not path.exists()
    keys.add(rows(0, 10))
    on_record = keys.save(path)
    before = path.stat()
    keys.add(rows(0, 10))
    assert keys.save(path) == on_record
    assert path.stat().st_mtime_ns == before.st_mtime_ns


def test_a_run_finds_keys_that_share_their_high_word() -> None:
    run = Run(*words([(1, 9), (5, 4), (5, 1), (5, 7), (8, 0)]))
    held = run.holds(*words([(0, 0), (5, 0), (5, 1), (5, 4), (5, 7), (5, 8), (8, 0), (9, 9)]))
    assert held.tolist() == [False, False, True, True, True, False, True, False]
