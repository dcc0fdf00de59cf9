import os
from collections.abc import Sequence
from dataclasses import replace
from itertools import count, pairwise
from pathlib import Path

import pytest
from sandbox import HEADER, client_rows

from pipeline.core.errors import HistoryError, LockHeldError
from pipeline.core.schema import DEFAULT_SCHEMA
from pipeline.data.loader import Counts
from pipeline.observations.master_files import (
    current_path,
    finish,
    mark_path,
    state_path,
)
from pipeline.observations.master_writer import NOTHING, MasterWriter
from pipeline.observations.row_keys import recorded_states
from pipeline.storage.ledger import Former, MasterState

REBUILD = "run `python ingestion.py --rebuild` to rebuild it from the input folder"
A, B, C = "a,1,2,3,0", "b,1,2,3,1", "c,,,,"


def opened(path: Path, on_record: MasterState = NOTHING) -> MasterWriter:
    return MasterWriter(path, DEFAULT_SCHEMA, on_record)


NUMBERS = count(1)


def append(master: MasterWriter, *rows: str) -> int:
    """Take in a file of these rows; returns how many are new."""
    master.append([row.encode() for row in rows])
    number = next(NUMBERS)
    return master.accept(number, f"{number}.csv", "", []).added


def text(*rows: str) -> str:
    return "".join(f"{line}\n" for line in (HEADER, *rows))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "out/finaldata.csv"


def saved(path: Path, *rows: str) -> MasterState:
    with opened(path) as master:
        append(master, *rows)
        return master.save()


def test_a_row_of_an_earlier_run_is_known(path: Path) -> None:
    state = saved(path, A, B)
    assert (state.rows, state.bytes) == (2, len(text(A, B)))
    with opened(path, state) as master:
        assert append(master, B, C, A) == 1
        state = master.save()
    with opened(path, state) as master:
        assert append(master, B, C, A) == 0
        again = master.save()
    assert replace(again, log=state.log) == state
    assert path.read_text() == text(A, B, C)


DAMAGES = ["gone", "cut off", "of another state", "none of ours"]


@pytest.mark.parametrize("how", DAMAGES)
def test_keys_and_states_that_do_not_fit_are_made_again(path: Path, how: str) -> None:
    state = saved(path, "a,1,2,3,", B)
    expected = recorded_states(path, DEFAULT_SCHEMA, state).tolist()
    kept = state_path(path)
    if how == "gone":
        kept.unlink()
    elif how == "cut off":
        os.truncate(kept, kept.stat().st_size - 8)
    elif how == "of another state":
        saved(path.with_name("other.csv"), *client_rows(0, 2))
        state_path(path.with_name("other.csv")).replace(kept)
    else:
        kept.write_bytes(b"x" * kept.stat().st_size)
    assert recorded_states(path, DEFAULT_SCHEMA, state).tolist() == expected
    with opened(path, state) as master:
        assert append(master, B, C, A) == 1
        finish(path, state := master.save())
    with opened(path, state) as master:
        assert append(master, A, B, C) == 0
    assert path.read_text() == text(A, B, C)


def test_keys_beyond_those_on_record_do_not_count(path: Path) -> None:
    state = saved(path, *client_rows(0, 10))
    with opened(path, state) as master:
        append(master, A, C)
        master.save()  # and killed before the ledger knows
    with opened(path, state) as master:
        assert append(master, A) == 1
        assert append(master, B) == 1
        state = master.save()
    assert path.read_text() == text(*client_rows(0, 10), A, B)
    with opened(path, state) as master:
        assert append(master, A, B) == 0


def test_a_torn_tail_is_cut_off(path: Path) -> None:
    state = saved(path, A)
    with opened(path, state):
        path.write_text(text(A, B) + "c,1,2")  # by a run that is killed
    with opened(path, state) as master:
        assert (master.rows, master.size) == (1, len(text(A)))
        assert append(master, B) == 1
    assert path.read_text() == text(A, B)


def test_rows_that_nothing_is_on_record_of_are_left_alone(path: Path) -> None:
    saved(path, A)
    mark_path(path).unlink()
    with pytest.raises(HistoryError) as caught:
        opened(path)
    assert str(caught.value) == (
        f"{path} has rows that the history knows nothing of: if that was moved or lost, move"
        f" {path.parent} away too; what the input folder has is taken in again"
    )
    assert path.read_text() == text(A)


def test_rows_of_a_first_run_that_was_killed_are_begun_anew(path: Path) -> None:
    saved(path, A)  # and killed before the ledger knows
    with opened(path) as master:
        append(master, B)
    assert path.read_text() == text(B)


def test_what_is_taken_back_can_come_again(path: Path) -> None:
    with opened(path) as master:
        append(master, A)
        master.append([B.encode()])
        master.append([A.encode(), C.encode()])
        master.take_back()
        assert (master.rows, master.size) == (1, len(text(A)))
        assert append(master, A, C) == 1
    assert path.read_text() == text(A, C)


# --- what files say of observations that are known ---


def take(
    master: MasterWriter, number: int, name: str, *rows: str, bad_at: Sequence[int] = ()
) -> Counts:
    master.append([row.encode() for row in rows])
    return master.accept(number, name, "", bad_at)


def test_an_outcome_that_is_known_later_is_written_into_its_line_once_it_is_on_record(
    path: Path,
) -> None:
    with opened(path) as master:
        take(master, 1, "a.csv", "a,1,2,3,", B)
        before = master.save()
        finish(path, before)
    with opened(path, before) as master:
        counts = take(master, 2, "b.csv", A, C, C)
        assert (counts.added, counts.changed, counts.start_row, counts.end_row) == (1, 1, 2, 3)
        state = master.save()
    assert path.read_text() == text("a,1,2,3,", B, C)  # as far as it is on record
    assert current_path(path, before) == path
    assert current_path(path, state).read_text() == text(A, B, C)
    finish(path, state)
    assert path.read_text() == text(A, B, C)
    assert sorted(file.name for file in path.parent.iterdir()) == [
        f".finaldata.csv.{state.log.id}.sightings",
        ".finaldata.csv.states",
        "finaldata.csv",
    ]


def test_lines_that_a_file_holds_no_more_are_counted(path: Path) -> None:
    with opened(path) as master:
        first = take(master, 1, "a.csv", A, B, B, bad_at=[1])
        finish(path, state := master.save())
    former = {"a.csv": Former(1, "", first.log_at)}
    with MasterWriter(path, DEFAULT_SCHEMA, state, former) as master:
        # two of three good lines are left, and one that was set aside came
        counts = take(master, 2, "a.csv", B, C, A, bad_at=[0, 3])
    assert (counts.added, counts.missing) == (1, 1)


def test_a_master_with_other_rows_than_on_record_is_reported(path: Path) -> None:
    state = saved(path, A, B)
    state_path(path).unlink()
    with pytest.raises(HistoryError) as caught:
        opened(path, replace(state, rows=3))
    assert str(caught.value) == f"{path} has 2 rows where 3 are on record; {REBUILD}"


def test_a_long_name_of_any_characters_is_one_row(path: Path) -> None:
    rows = [f"line{c}break {'x' * 5000},1,2,3,0" for c in "\u2028\u2029\x85\x0b\x0c\x1c\t"]
    state = saved(path, *rows)
    state_path(path).unlink()  # they are made again from the lines of the file
    with opened(path, state) as master:
        assert master.rows == len(rows)
        assert append(master, *rows) == 0


def test_nobody_else_writes_meanwhile(path: Path) -> None:
    on_record = saved(path, A)
    with opened(path, on_record) as master:
        append(master, B)
        master.save()
        for state in (on_record, NOTHING):
            with pytest.raises(LockHeldError) as caught:
                opened(path, state)
            assert str(caught.value) == f"another run is still writing {path}"
        assert path.read_text() == text(A, B)
    with opened(path, on_record):
        pass


def test_without_the_run_lock_nothing_is_changed(path: Path) -> None:
    state = saved(path, A, B)
    with opened(path, state):
        path.write_text(text(A, B, C))  # by a run that is killed

    def lost() -> None:
        raise HistoryError("the run lock was lost")

    with pytest.raises(HistoryError, match="the run lock was lost"):
        MasterWriter(path, DEFAULT_SCHEMA, state, check=lost)

    assert path.read_text() == text(A, B, C)
    with opened(path, state) as master:  # it was let go
        assert append(master, C) == 1


def test_lists_and_outcomes_in_turn_are_kept_as_what_differs(path: Path) -> None:
    night = [f"{client},1,2,3,".encode() for client in range(5_000)]
    state, former, sizes = NOTHING, dict[str, Former](), []
    for number in range(1, 9):
        name = f"{number}.csv"
        with MasterWriter(path, DEFAULT_SCHEMA, state, former) as master:
            if number % 2:
                master.append(night)
            else:
                master.report([b"1,1", b"2,0"])
            log_at = master.accept(number, name, "", []).log_at
            state = master.save()
            finish(path, state)
        assert state.log
        assert log_at is not None
        former[name] = Former(number, "", log_at)
        sizes.append(state.log.record.size)
    assert max(after - before for before, after in pairwise(sizes)) < 500
