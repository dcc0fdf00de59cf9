"""Sorted runs on disk, merged as a stream, against sorting all at once."""

import errno
import resource
import secrets
from pathlib import Path
from tempfile import TemporaryDirectory

import needsengine  # noqa: F401
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from test_pieces import limited

from pipeline.features import Features
from pipeline.lossplaces import LossPlaces
from pipeline.ranking import Ranking, highest_first
from pipeline.sortedmerge import (
    LEAST,
    MOST,
    POOL_ROWS,
    batch_rows,
    batches,
    merged,
    runs_folder,
    text_of,
    write_run,
)

SCHEMA = pa.schema([("number", pa.int64()), ("name", pa.large_string())])
Row = tuple[int, str]


def run(folder: Path, name: str, rows: list[Row], size: int) -> Path:
    numbers, names = [number for number, _ in rows], [name for _, name in rows]
    return write_run(folder / name, [pa.table([numbers, names], schema=SCHEMA)], SCHEMA, size)


def by_both(table: pa.Table) -> np.ndarray:
    rows = [*zip(table["number"].to_pylist(), table["name"].to_pylist(), strict=True)]
    return np.array(sorted(range(len(rows)), key=rows.__getitem__), "int64")


def rows_of(tables: list[pa.Table]) -> list[Row]:
    return [(row["number"], row["name"]) for table in tables for row in table.to_pylist()]


ROWS = st.lists(st.tuples(st.integers(0, 5), st.text("ab\u00e9\U0001f600\uffff", max_size=3)))


@settings(max_examples=200, deadline=None)
@given(st.lists(ROWS, max_size=6), st.integers(1, 4))
@example([[], []], 1)
@example([[(0, "")] * 3, [(0, "")] * 2], 1)
@example([[(0, "\uffff"), (0, "\U0001f600")], []], 1)  # in UTF-16 the other way round
def test_what_comes_is_what_sorting_all_at_once_gives(parts: list[list[Row]], size: int) -> None:
    with TemporaryDirectory() as folder:
        paths = [run(Path(folder), f"{i}", sorted(rows), size) for i, rows in enumerate(parts)]

        found = rows_of([*merged(paths, by_both)])

    assert found == sorted(row for rows in parts for row in rows)


def test_no_more_than_two_batches_of_each_run_are_in_memory(tmp_path: Path) -> None:
    held = []

    def order(table: pa.Table) -> np.ndarray:
        held.append(len(table))
        return by_both(table)

    # all of one run comes before all of another: the worst there is
    paths = [
        run(tmp_path, f"{i}", [(n, "") for n in range(i * 100, i * 100 + 100)], 5) for i in range(8)
    ]
    found = rows_of([*merged(paths, order)])

    assert [number for number, _ in found] == [*range(800)]
    assert max(held) <= 2 * 5 * 8


def test_of_one_run_each_batch_comes_as_it_is(tmp_path: Path) -> None:
    path = run(tmp_path, "a", [(n, "x") for n in range(10)], 4)

    assert [len(table) for table in merged([path], by_both)] == [4, 4, 2]
    assert [table.column_names for table in batches(path, ("name",))] == [["name"]] * 3
    assert [*merged([], by_both)] == []


def test_the_more_runs_there_are_the_smaller_are_their_batches() -> None:
    sizes = [batch_rows(runs) for runs in (0, 1, 16, 300, 10_000)]

    assert sizes[0] == sizes[1] == MOST
    assert sizes == sorted(sizes, reverse=True)
    assert 300 * sizes[3] <= POOL_ROWS
    assert sizes[4] == LEAST


def test_what_a_killed_run_left_is_deleted_and_never_read(tmp_path: Path) -> None:
    left = tmp_path / ".runs/0123/00000.lines"
    left.parent.mkdir(parents=True)
    left.write_text("half a ru")

    with runs_folder(tmp_path / ".runs") as folder:
        assert [*folder.iterdir()] == []
        assert [*(tmp_path / ".runs").iterdir()] == [folder]
        run(folder, "a", [(1, "a")], 1)
        assert [path.name for path in folder.iterdir()] == ["a"]

    assert [*tmp_path.iterdir()] == []


def test_a_worker_that_is_still_at_what_a_killed_run_asked_for_makes_nothing(
    tmp_path: Path,
) -> None:
    with runs_folder(tmp_path / ".runs") as folder:
        pass

    with pytest.raises(OSError, match="No such file"):
        run(folder, "a", [(1, "a")], 1)
    assert [*tmp_path.iterdir()] == []


def test_texts_lie_one_after_the_other() -> None:
    texts = pa.array(["a", "", "b\u00e9", "c"], pa.large_string())

    assert bytes(text_of(texts)) == "ab\u00e9c".encode()
    assert bytes(text_of(texts.slice(1, 2))) == "b\u00e9".encode()
    assert bytes(text_of(texts.slice(0, 0))) == b""


# --- the places by loss ---


LOSSES = st.lists(st.sampled_from([np.nan, 0.0, 0.01, 5.0, -3.0, 1e9]), max_size=40)


@settings(max_examples=200, deadline=None)
@given(LOSSES, st.integers(1, 7))
def test_places_by_loss_are_those_of_the_whole_ranking(losses: list[float], size: int) -> None:
    loss = np.array(losses, "float64")
    rows = Features(np.empty((len(loss), 0)), ())
    whole = Ranking([""] * len(loss), loss, loss > 0, rows, loss)

    places = LossPlaces(np.random.default_rng(0).permutation(loss))
    found = [places.of(loss[i : i + size]).tolist() for i in range(0, len(loss), size)]

    assert [place for part in found for place in part] == whole.loss_rank.tolist()


# --- the order ---


@given(
    st.lists(
        st.tuples(
            st.sampled_from([0.0, 0.5, 1.0]), st.sampled_from([-0.0, 0.0, 1.5, -2.0]), st.text()
        ),
        unique_by=lambda row: row[2],
    )
)
def test_highest_first_is_by_risk_then_decision_then_name(
    rows: list[tuple[float, float, str]],
) -> None:
    risk, decision = np.array([r[0] for r in rows]), np.array([r[1] for r in rows])

    order = highest_first(risk, decision, lambda places: [rows[i][2] for i in places])

    expected = sorted(range(len(rows)), key=lambda i: (-risk[i], -decision[i], rows[i][2]))
    assert order.tolist() == expected


def test_a_run_for_which_there_is_no_room_is_named(tmp_path: Path) -> None:
    table = pa.table({"name": [secrets.token_hex(20) for _ in range(9_000)]})
    path = tmp_path / "run"

    with limited(resource.RLIMIT_FSIZE, 100_000), pytest.raises(OSError, match="large") as caught:
        write_run(path, [table], table.schema, 1_000)

    assert (caught.value.errno, caught.value.filename) == (errno.EFBIG, str(path))
    assert not list(tmp_path.iterdir())
