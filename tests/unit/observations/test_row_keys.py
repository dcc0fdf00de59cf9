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


Known = dict[tuple[int, int], int]  # the row of each key


def added(keys: RowKeys, batch: list[tuple[int, int]]) -> list[tuple[int, bool]]:
    """The row of each key, and whether it is new."""
    found = keys._add_keys(*words(batch))
    assert found.low.tolist() == [low for _, low in batch]
    return list(zip(found.rows.tolist(), found.new.tolist(), strict=True))


def expected(known: Known, batch: list[tuple[int, int]]) -> list[tuple[int, bool]]:
    """The same, as a dict of them tells."""
    result = []
    for key in batch:
        new = key not in known
        result.append((known.setdefault(key, len(known)), new))
    return result


@settings(max_examples=100)
@given(st.lists(KEYS, max_size=8))
def test_it_tells_what_a_dict_tells(batches: list[list[tuple[int, int]]]) -> None:
    keys, known = RowKeys(), Known()
    for batch in batches:
        assert added(keys, batch) == expected(known, batch)
        assert len(keys) == len(known)
    assert keys.low_words().tolist() == [low for _, low in known]


@given(st.lists(st.tuples(KEYS, st.booleans()), max_size=6))
def test_what_is_taken_back_counts_no_more(files: list[tuple[list[tuple[int, int]], bool]]) -> None:
    keys, known = RowKeys(), Known()
    for file, kept in files:
        mark, before = keys.settle(), known.copy()
        for half in (file[::2], file[1::2]):
            assert added(keys, half) == expected(known, half)
        if not kept:
            keys.take_back(mark)
            known = before
        assert len(keys) == len(known)


@given(st.lists(KEYS, max_size=6))
def test_what_was_saved_is_known(
    tmp_path_factory: pytest.TempPathFactory, batches: list[list[tuple[int, int]]]
) -> None:
    path = tmp_path_factory.mktemp("keys") / "keys"
    keys, known = RowKeys(), Known()
    for batch in batches:
        assert added(keys, batch) == expected(known, batch)
        if on_record := keys.save(path):
            loaded = RowKeys.load(path, on_record, len(known))
            assert loaded is not None
            keys = loaded


def rows(begin: int, end: int) -> list[bytes]:
    return [b"row %d" % i for i in range(begin, end)]


def test_a_hundred_thousand_rows_are_distinguished() -> None:
    keys = RowKeys()
    for begin in range(0, 100_000, 10_000):
        assert keys.add(rows(begin, begin + 10_000)).new.all()
    again = keys.add(rows(0, 100_000))
    assert not again.new.any()
    assert again.rows.tolist() == list(range(100_000))
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
    assert not keys.add(rows(0, 3 * MAX_RUNS)).new.any()


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
    run = Run(
        *words([(1, 9), (5, 4), (5, 1), (5, 7), (8, 0)]), np.array([3, 0, 4, 1, 2], np.uint32)
    )
    found = np.full(8, -1)
    run.find(*words([(0, 0), (5, 0), (5, 1), (5, 4), (5, 7), (5, 8), (8, 0), (9, 9)]), found)
    assert found.tolist() == [-1, -1, 4, 0, 1, -1, 2, -1]


def test_rows_may_be_numbered_anew() -> None:
    keys = RowKeys()
    keys.add(rows(0, 3))
    keys.renumber(np.array([2, 0, 1], np.uint32))
    assert keys.add(rows(0, 4)).rows.tolist() == [2, 0, 1, 3]
    assert keys.holds([b"row 3", b"row 9", b"row 0"]).tolist() == [True, False, True]
