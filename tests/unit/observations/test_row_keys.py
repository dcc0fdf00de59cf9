from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.observations.row_keys import MAX_RATIO, RowKeys

WORD = st.one_of(st.integers(0, 3), st.integers(2**64 - 2, 2**64 - 1), st.integers(0, 2**64 - 1))
KEYS = st.lists(WORD, max_size=30)
Known = dict[int, int]  # the row of each key


def added(keys: RowKeys, batch: list[int]) -> list[tuple[int, bool]]:
    """The row of each key, and whether it is new."""
    found = keys.add_keys(np.array(batch, np.uint64))
    assert found.keys.tolist() == batch
    return list(zip(found.rows.tolist(), found.new.tolist(), strict=True))


def expected(known: Known, batch: list[int]) -> list[tuple[int, bool]]:
    """The same, as a dict of them tells."""
    result = []
    for key in batch:
        new = key not in known
        result.append((known.setdefault(key, len(known)), new))
    return result


@settings(max_examples=100)
@given(st.lists(KEYS, max_size=8))
def test_it_tells_what_a_dict_tells(batches: list[list[int]]) -> None:
    keys, known = RowKeys(), Known()
    for batch in batches:
        assert added(keys, batch) == expected(known, batch)
        assert len(keys) == len(known)
    assert keys.words().tolist() == [*known]
    again = RowKeys(words=keys.words())
    assert added(again, [*known]) == expected(known, [*known])


@given(st.lists(st.tuples(KEYS, st.booleans()), max_size=6))
def test_what_is_taken_back_counts_no_more(files: list[tuple[list[int], bool]]) -> None:
    keys, known = RowKeys(), Known()
    for file, kept in files:
        before = known.copy()
        for half in (file[::2], file[1::2]):
            assert added(keys, half) == expected(known, half)
        if not kept:
            keys.take_back(len(before))
            known = before
        assert len(keys) == len(known)


def rows(begin: int, end: int) -> list[bytes]:
    return [b"row %d" % i for i in range(begin, end)]


def test_runs_of_like_size_are_merged() -> None:
    keys = RowKeys()
    for begin in range(0, 6_400, 100):
        assert keys.add(rows(begin, begin + 100)).new.all()
    lengths = [len(run.keys) for run in keys._runs]
    assert all(MAX_RATIO * short < long for long, short in pairwise(lengths))
    assert keys.add(rows(0, 6_400)).rows.tolist() == list(range(6_400))


def test_each_set_hashes_in_its_own_way() -> None:
    assert RowKeys().add([b"row"]).keys[0] != RowKeys().add([b"row"]).keys[0]
