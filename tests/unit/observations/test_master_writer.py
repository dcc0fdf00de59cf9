import os
import subprocess
import sys
from pathlib import Path

import pytest
from sandbox import HEADER, PROJECT, client_rows

from pipeline.core.errors import HistoryError, LockHeldError
from pipeline.core.schema import DEFAULT_SCHEMA
from pipeline.observations.master_writer import NOTHING, MasterWriter, key_path
from pipeline.storage.ledger import KeyFile, MasterState

REBUILD = "run `python ingestion.py --rebuild` to rebuild it from the input folder"
A, B, C = "a,1,2,3,0", "b,1,2,3,1", "c,,,,"


def opened(path: Path, on_record: MasterState = NOTHING) -> MasterWriter:
    return MasterWriter(path, DEFAULT_SCHEMA, on_record)


def append(master: MasterWriter, *rows: str) -> int:
    return master.append([row.encode() for row in rows])


def text(*rows: str) -> str:
    return "".join(f"{line}\n" for line in (HEADER, *rows))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "out/finaldata.csv"


def test_a_new_master_has_the_header_only(path: Path) -> None:
    with opened(path) as master:
        assert (master.rows, master.size) == (0, len(HEADER) + 1)
    assert path.read_text() == text()


def test_rows_are_written_in_the_order_they_come(path: Path) -> None:
    with opened(path) as master:
        assert append(master, B, A) == 2
        assert append(master, C) == 1
        assert (master.rows, master.size) == (3, len(text(A, B, C)))
    assert path.read_text() == text(B, A, C)


def test_the_same_row_is_written_once(path: Path) -> None:
    with opened(path) as master:
        assert append(master, A, B, A, A) == 2
        assert append(master, B, A) == 0
        assert append(master) == 0
        assert master.rows == 2
    assert path.read_text() == text(A, B)


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
        assert master.save() == state
    assert path.read_text() == text(A, B, C)


def damaged(path: Path, how: str, on_record: MasterState) -> MasterState:
    """Damage the file of row keys, or what is on record of it."""
    keys = key_path(path)
    if how == "gone":
        keys.unlink()
    elif how == "cut off":
        os.truncate(keys, keys.stat().st_size - 8)
    elif how == "of another state":
        saved(path.with_name("other.csv"), *client_rows(0, on_record.rows))
        key_path(path.with_name("other.csv")).replace(keys)
    elif how == "of fewer rows":
        return MasterState(on_record.rows, on_record.bytes, KeyFile(on_record.keys.id, 24))
    elif how == "not on record":
        return MasterState(on_record.rows, on_record.bytes)
    elif how == "no keys at all":
        keys.write_bytes(b"x" * on_record.keys.bytes)
    return on_record


DAMAGES = [
    *("gone", "cut off", "of another state", "of fewer rows", "not on record"),
    "no keys at all",
]


@pytest.mark.parametrize("how", DAMAGES)
def test_keys_that_do_not_fit_are_made_again_from_the_rows(path: Path, how: str) -> None:
    state = saved(path, A, B)
    with opened(path, damaged(path, how, state)) as master:
        assert append(master, B, C, A) == 1
        state = master.save()
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
    assert state.keys is not None
    assert key_path(path).stat().st_size == state.keys.bytes
    assert path.read_text() == text(*client_rows(0, 10), A, B)
    with opened(path, state) as master:
        assert append(master, A, B) == 0


def test_many_small_appends_are_known(path: Path) -> None:
    state, rows = saved(path, A), client_rows(0, 100)
    for row in rows:  # each in a run of its own: now and then they are merged
        with opened(path, state) as master:
            assert append(master, row) == 1
            state = master.save()
    with opened(path, state) as master:
        assert append(master, *reversed(rows), A) == 0
    assert path.read_text() == text(A, *rows)
    assert state.keys is not None
    assert key_path(path).stat().st_size == state.keys.bytes
    assert len(rows) * 16 < state.keys.bytes < len(rows) * 32


def test_a_torn_tail_is_cut_off(path: Path) -> None:
    path.parent.mkdir()
    path.write_text(text(A, B) + "c,1,2")
    with opened(path, MasterState(1, len(text(A)))) as master:
        assert (master.rows, master.size) == (1, len(text(A)))
        assert append(master, B) == 1
    assert path.read_text() == text(A, B)


def test_without_anything_on_record_it_begins_anew(path: Path) -> None:
    path.parent.mkdir()
    path.write_text("whatever a killed run left\n" * 10)
    with opened(path) as master:
        append(master, A)
    assert path.read_text() == text(A)


def test_what_is_taken_back_can_come_again(path: Path) -> None:
    with opened(path) as master:
        append(master, A)
        mark = master.mark()
        append(master, B)
        append(master, A, C)
        master.take_back(mark)
        assert (master.rows, master.size) == (1, len(text(A)))
        assert append(master, A, C) == 1
    assert path.read_text() == text(A, C)


def test_a_master_that_is_too_short_is_reported_and_left_alone(path: Path) -> None:
    path.parent.mkdir()
    path.write_text(text(A))
    with pytest.raises(HistoryError) as caught:
        opened(path, MasterState(9, 1234))
    assert str(caught.value) == (
        f"{path} has {len(text(A))} bytes where 1,234 are on record; {REBUILD}"
    )
    assert path.read_text() == text(A)


def test_a_master_with_other_rows_than_on_record_is_reported(path: Path) -> None:
    path.parent.mkdir()
    path.write_text(text(A, B))
    with pytest.raises(HistoryError) as caught:
        opened(path, MasterState(3, len(text(A, B))))
    assert str(caught.value) == f"{path} has 2 rows where 3 are on record; {REBUILD}"


def test_a_long_name_of_any_characters_is_one_row(path: Path) -> None:
    rows = [f"line{c}break {'x' * 5000},1,2,3,0" for c in "\u2028\u2029\x85\x0b\x0c\x1c\t"]
    state = saved(path, *rows)
    key_path(path).unlink()  # they are made again from the lines of the file
    with opened(path, state) as master:
        assert master.rows == len(rows)
        assert append(master, *rows) == 0


def test_nobody_else_writes_meanwhile(path: Path) -> None:
    on_record = MasterState(1, len(text(A)))
    path.parent.mkdir()
    path.write_text(text(A))
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


def test_a_writer_that_was_killed_is_in_nobodys_way(path: Path) -> None:
    program = (
        "import sys, time\nfrom pathlib import Path\n"
        "from pipeline.core.file_lock import open_alone\n"
        "file = open_alone(Path(sys.argv[1]))\nprint(flush=True)\ntime.sleep(60)"
    )
    path.parent.mkdir()
    command = [sys.executable, "-c", program, str(path)]
    with subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE) as writer:
        assert writer.stdout
        writer.stdout.readline()
        with pytest.raises(LockHeldError):
            opened(path)
        writer.kill()
        writer.wait()
    with opened(path) as master:
        append(master, A)
    assert path.read_text() == text(A)


def test_without_the_run_lock_nothing_is_changed(path: Path) -> None:
    path.parent.mkdir()
    path.write_text(text(A, B))

    def lost() -> None:
        raise HistoryError("the run lock was lost")

    with pytest.raises(HistoryError, match="the run lock was lost"):
        MasterWriter(path, DEFAULT_SCHEMA, MasterState(1, len(text(A))), lost)

    assert path.read_text() == text(A, B)
    with opened(path, MasterState(2, len(text(A, B)))) as master:  # it was let go
        assert append(master, C) == 1
