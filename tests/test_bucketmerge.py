import resource
from collections.abc import Callable
from typing import Any

import needsengine  # noqa: F401
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from bucketworlds import bucket_names, lines_of, task_of
from conftest import Sandbox, client_rows
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_pieces import limited

from pipeline import bucketmerge
from pipeline.bucketledger import Bucket
from pipeline.bucketmerge import GROUP_BYTES, KEY_BYTES, VOID, Merged, MergeTask, Piece, merge
from pipeline.buckets import ORDER
from pipeline.errors import EngineError, HistoryError
from pipeline.pieces import cut

Cut = Callable[..., Piece]


@pytest.fixture
def piece(sandbox: Sandbox) -> Cut:
    """Cuts files of rows into a piece of a single bucket."""
    count = 0

    def made(*files: list[str], positions: tuple[int, ...] = ()) -> Piece:
        nonlocal count
        for path in (sandbox.root / "sourcedata").iterdir():
            path.unlink()
        for rows in files:
            sandbox.write(f"sourcedata/{count:05d}.csv", rows)
            count += 1
        done = cut(task_of(sandbox, buckets=1))
        return Piece(done.piece(0), done.rows[0], positions or tuple(range(len(files))))

    return made


def task(world: Sandbox, *pieces: Piece, **options: Any) -> MergeTask:
    told = {"number": 4, "before": None, "ingestion": 1, "memory": 1 << 40, **options}
    config = world.config
    return MergeTask(pieces=pieces, folder=config.buckets_path, schema=config.schema, **told)


def bucket_of(done: Merged) -> Bucket:
    assert done.bucket
    return done.bucket


def rows_of(world: Sandbox, done: Merged) -> list[str]:
    return lines_of(pq.read_table(bucket_of(done).path), world.config.schema)


def places_of(done: Merged) -> list[tuple[int, ...]]:
    table = pq.read_table(bucket_of(done).path)
    return list(zip(*(table[name].to_pylist() for name in ORDER), strict=True))


def test_each_row_is_kept_once_where_it_was_first_seen(sandbox: Sandbox, piece: Cut) -> None:
    rows = client_rows(0, 10)
    first = piece([*rows[:4], rows[0]], [*rows[2:6], rows[5]])
    second = piece([rows[9], *rows[5:8]], positions=(2,))
    done = merge(task(sandbox, first, second))
    assert rows_of(sandbox, done) == [*rows[:6], rows[9], *rows[6:8]]
    assert done.added == {0: 4, 1: 2, 2: 3}
    assert places_of(done) == [
        *((1, 0, 0), (1, 0, 1), (1, 0, 2), (1, 0, 3)),
        *((1, 1, 2), (1, 1, 3)),
        *((1, 2, 0), (1, 2, 2), (1, 2, 3)),
    ]


def test_what_was_there_before_goes_on_as_it_was(sandbox: Sandbox, piece: Cut) -> None:
    rows = client_rows(0, 10)
    before = merge(task(sandbox, piece(rows[:5])))
    told = bucket_of(before)
    done = merge(task(sandbox, piece(rows[3:8]), before=told, ingestion=2))
    assert rows_of(sandbox, done) == rows[:8]
    assert places_of(done) == places_of(before) + [(2, 0, i) for i in (2, 3, 4)]
    assert bucket_of(done)[2:] == (8, bucket_of(done).path.stat().st_size)
    assert told.path.stat().st_size == told.bytes  # the one on record is as it was


def test_rows_of_refused_files_are_not_data(sandbox: Sandbox, piece: Cut) -> None:
    rows = client_rows(0, 9)
    files = piece(rows[:3], rows[:6], rows[4:9], positions=(VOID, 0, 1))
    done = merge(task(sandbox, files))
    assert rows_of(sandbox, done) == rows
    assert done.added == {0: 6, 1: 3}
    assert [place[:2] for place in places_of(done)] == [(1, 0)] * 6 + [(1, 1)] * 3


@pytest.mark.parametrize("positions", [(VOID,), (0,)])
def test_nothing_new_writes_nothing(
    sandbox: Sandbox, piece: Cut, positions: tuple[int, ...]
) -> None:
    rows = client_rows(0, 5)
    before = bucket_of(merge(task(sandbox, piece(rows))))
    again = piece(rows if positions == (0,) else client_rows(7, 2), positions=positions)
    names = bucket_names(sandbox)
    assert merge(task(sandbox, again, before=before, ingestion=2)) == Merged(None, {})
    assert bucket_names(sandbox) == names


def test_a_second_merge_of_the_same_overwrites_nothing(sandbox: Sandbox, piece: Cut) -> None:
    told = task(sandbox, piece(client_rows(0, 5)))
    first, second = bucket_of(merge(told)), bucket_of(merge(told))
    assert first.path != second.path
    assert first.path.read_bytes() == second.path.read_bytes()
    assert bucket_names(sandbox) == sorted([first.path.name, second.path.name])
    assert first.path.name.startswith("00004-000001-")


def test_too_little_memory_is_one_clear_error(sandbox: Sandbox, piece: Cut) -> None:
    before = Bucket(4, sandbox.root / "unread", 7_000_000, 1)
    told = task(sandbox, piece(client_rows(0, 5)), before=before)
    needed = 7_000_005 * KEY_BYTES + GROUP_BYTES
    with pytest.raises(EngineError) as caught:
        merge(told._replace(memory=needed - 1))
    assert str(caught.value) == (
        "bucket 4 would have up to 7,000,005 rows, for which a worker needs 731 MiB beside its own;"
        ' it has 731 MiB: give workers more memory, or put more "buckets" into config.json and run'
        " `python ingestion.py --rebuild`"
    )
    with pytest.raises(FileNotFoundError):  # with a byte more it begins
        merge(told._replace(memory=needed))


def test_groups_of_pieces_become_groups_of_a_bucket(
    sandbox: Sandbox, piece: Cut, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bucketmerge, "GROUP_ROWS", 8)
    pieces = [piece(client_rows(i * 5, 5), positions=(i,)) for i in range(6)]
    done = merge(task(sandbox, *pieces))
    told = pq.read_metadata(bucket_of(done).path)
    assert [told.row_group(i).num_rows for i in range(told.num_row_groups)] == [8, 8, 8, 6]
    assert rows_of(sandbox, done) == client_rows(0, 30)


def test_without_room_it_names_the_file_and_leaves_nothing(sandbox: Sandbox, piece: Cut) -> None:
    told = task(sandbox, piece(client_rows(0, 400)))
    with limited(resource.RLIMIT_FSIZE, 2_000), pytest.raises(OSError, match="too large") as caught:
        merge(told)
    assert str(caught.value.filename).startswith(f"{sandbox.config.buckets_path}/.00004-000001-")
    assert bucket_names(sandbox) == []
    assert bucket_of(merge(told)).rows == 400


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    batches=st.lists(
        st.lists(st.lists(st.integers(0, 12), min_size=1, max_size=8), min_size=1, max_size=3),
        min_size=1,
        max_size=4,
    ),
    group=st.sampled_from([1, 3, 1 << 17]),
    refused=st.sets(st.tuples(st.integers(0, 3), st.integers(0, 2))),
)
def test_it_keeps_what_a_dict_keeps(
    sandbox: Sandbox,
    piece: Cut,
    monkeypatch: pytest.MonkeyPatch,
    batches: list[list[list[int]]],
    group: int,
    refused: set[tuple[int, int]],
) -> None:
    monkeypatch.setattr(bucketmerge, "GROUP_ROWS", group)
    known: dict[str, tuple[int, int, int]] = {}
    before: Bucket | None = None
    for number, files in enumerate(batches):
        expected: dict[int, int] = {}
        positions = tuple(VOID if (number, i) in refused else i for i in range(len(files)))
        rows = [[f"c{n},{n},2,3,0" for n in numbers] for numbers in files]
        for place, lines in zip(positions, rows, strict=True):
            for row, line in enumerate(lines):
                if place != VOID and line not in known:
                    known[line] = (number, place, row)
                    expected[place] = expected.get(place, 0) + 1
        told = task(sandbox, piece(*rows, positions=positions), before=before, ingestion=number)
        done = merge(told)
        assert done.added == expected
        if not expected:
            assert done.bucket is None
            continue
        before = bucket_of(done)
        assert rows_of(sandbox, done) == list(known)
        assert places_of(done) == list(known.values())
        assert isinstance(pq.read_table(before.path), pa.Table)


def test_a_damaged_bucket_is_named_with_what_to_do(sandbox: Sandbox, piece: Cut) -> None:
    rows = client_rows(0, 500)
    before = bucket_of(merge(task(sandbox, piece(rows))))
    content = before.path.read_bytes()
    for damaged in (content[:4] + bytes(200) + content[204:], content[:-8] + bytes(8)):
        before.path.write_bytes(damaged)
        with pytest.raises(HistoryError) as caught:
            merge(task(sandbox, piece(client_rows(500, 5)), before=before, ingestion=2))
        assert str(caught.value).startswith(f"{before.path} cannot be read (")
        assert str(caught.value).endswith("to make it again from the input folder")
