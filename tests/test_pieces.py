import os
import resource
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import needsengine  # noqa: F401
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from bucketworlds import lines_of, task_of
from conftest import HEADER, Sandbox, client_rows

from pipeline import intake
from pipeline.buckets import EXACT, ORDER, bucket_of, client_hashes, order_of
from pipeline.errors import EngineError
from pipeline.inbox import UNREAD
from pipeline.ledger import BadRow
from pipeline.pieces import OPEN_FILES, Pieces, PieceTask, cut, finished


def pieces_of(done: Pieces) -> pa.Table:
    """The rows of all pieces, in order."""
    table = pa.concat_tables(pq.read_table(done.piece(bucket)) for bucket in done.rows)
    return table.take(pa.array(order_of(table)))


@contextmanager
def limited(kind: int, soft: int) -> Iterator[None]:
    """Let this process have no more of something, for as long as the context lasts."""
    before = resource.getrlimit(kind)
    resource.setrlimit(kind, (soft, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(kind, before)


def test_rows_are_divided_by_client_with_file_and_row(source: Sandbox) -> None:
    source.write("sourcedata/b.csv", [*client_rows(0, 3), "bad,x,1,2,0", *client_rows(60, 40)])
    done = cut(task_of(source, buckets=5))
    for bucket, rows in done.rows.items():
        piece = pq.read_table(done.piece(bucket))
        assert len(piece) == rows
        hashes = client_hashes(piece["corporation"])
        assert set(bucket_of(hashes, 5).tolist()) == {bucket}
    table = pieces_of(done)
    assert table[ORDER[1]].to_pylist() == [0] * 60 + [1] * 43
    assert table[ORDER[2]].to_pylist() == [*range(60), *range(43)]  # a bad row has no number
    assert lines_of(table, source.config.schema) == [
        *client_rows(0, 60, noise=10),
        *client_rows(0, 3),
        *client_rows(60, 40),
    ]


def test_what_is_missing_is_null_and_texts_are_never(sandbox: Sandbox) -> None:
    sandbox.configure(
        schema={"client": "who", "outcome": "left", "numeric": ["n"], "categorical": ["kind"]}
    )
    rows = ["NULL,,,", "nan,1.5,nan ,1", "x,na,a b,0"]
    sandbox.write("sourcedata/a.csv", rows, header="who,n,kind,left")
    table = pieces_of(cut(task_of(sandbox)))
    told = table.select(["who", "n", "kind", "left"]).to_pylist()
    assert [tuple(row.values()) for row in told] == [
        ("NULL", None, "", None),
        ("nan", 1.5, "nan", 1),
        ("x", None, "a b", 0),
    ]


def test_rows_whose_numbers_no_double_holds_keep_their_line(sandbox: Sandbox) -> None:
    whole = [2**53 - 1, 2**53 + 1, -(2**53) - 1, 10**17 + 1]
    rows = [f"c{i},{number},2,3,0" for i, number in enumerate(whole)]
    sandbox.write("sourcedata/a.csv", [*rows, "d,1e50,2,3,0", "e,0.1,2,3,0"])
    table = pieces_of(cut(task_of(sandbox)))
    assert table[EXACT].to_pylist() == [None, *rows[1:], "d,1e+50,2,3,0", None]
    assert lines_of(table, sandbox.config.schema)[:4] == rows


@pytest.mark.parametrize(
    "client", ["\ufeffmark", "#", "##", "'", 'say "hi"', "a,b", "株式会社", "שלום", "e\u0301", " é"]
)
def test_a_name_is_read_as_it_is_written(sandbox: Sandbox, client: str) -> None:
    quoted = '"' + client.replace('"', '""') + '"'
    sandbox.write("sourcedata/a.csv", [f"{quoted},1,2,3,0", f"{quoted},1,2,4,0"])
    table = pieces_of(cut(task_of(sandbox)))
    assert table["corporation"].to_pylist() == [client.strip()] * 2


def test_a_task_that_is_finished_is_taken_as_it_is(source: Sandbox) -> None:
    first = cut(task_of(source))
    stamps = source.stamps()
    assert cut(task_of(source)) == first
    assert finished(task_of(source)) == first
    assert source.stamps() == stamps


def other_size(world: Sandbox) -> dict[str, Any]:
    world.write("sourcedata/a.csv", client_rows(0, 61))
    return {}


def other_time(world: Sandbox) -> dict[str, Any]:
    os.utime(world.root / "sourcedata/a.csv", (0, 1))
    return {}


def other_role(world: Sandbox) -> dict[str, Any]:
    roles = {"client": "corporation", "outcome": "exited", "categorical": ["number_of_employees"]}
    world.configure(schema={**roles, "numeric": ["lastmonth_activity", "lastyear_activity"]})
    return {}


def fewer_files(world: Sandbox) -> dict[str, Any]:
    (world.root / "sourcedata/b.csv").unlink()
    return {}


def other_buckets(_: Sandbox) -> dict[str, Any]:
    return {"buckets": 4}


def other_keys(_: Sandbox) -> dict[str, Any]:
    return {"seed": 8}


@pytest.mark.parametrize(
    "change", [other_size, other_time, other_role, fewer_files, other_buckets, other_keys]
)
def test_another_task_is_not_taken_for_it(source: Sandbox, change: Any) -> None:
    cut(task_of(source))
    assert finished(task_of(source, **change(source))) is None


def test_what_is_not_whole_is_not_taken_for_finished(source: Sandbox) -> None:
    task = task_of(source)
    done = cut(task)
    task.finished.rename(task.folder / f".{task.name}.1.abcd.tmp")
    assert finished(task) is None
    assert cut(task) == done


def test_two_workers_at_the_same_task_leave_it_once(source: Sandbox) -> None:
    task = task_of(source)
    with ThreadPoolExecutor(4) as workers:
        first, *others = workers.map(cut, [task] * 4)
    assert all(done == first for done in others)
    assert [path.name for path in task.folder.iterdir()] == [task.name]
    assert len(pieces_of(first)) == 120


def test_the_name_of_a_client_file_is_told_as_it_is_on_record(sandbox: Sandbox) -> None:
    sandbox.write("sourcedata/größe 🙂\n.csv", client_rows(0, 3))
    odd = sandbox.write("sourcedata/odd.csv", client_rows(3, 3))
    odd.rename(odd.with_name(os.fsdecode(b"M\xfcller.csv")))
    cut(task_of(sandbox))
    done = finished(task_of(sandbox))
    assert done
    assert [file.name for file in done.files if file] == ["M\\xfcller.csv", "größe 🙂\\u000a.csv"]


def test_rows_of_a_file_that_is_refused_at_its_end_are_told_by_its_place(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "BATCH_BYTES", 500)
    bad = ["bad,x,1,2,0"] * 40
    sandbox.write("sourcedata/a.csv", client_rows(0, 5))
    sandbox.write("sourcedata/b.csv", [*client_rows(5, 90), *bad])
    sandbox.write("sourcedata/c.csv", client_rows(200, 5))
    done = cut(task_of(sandbox))
    assert [file.reason is None for file in done.files if file] == [True, False, True]
    places = pieces_of(done)[ORDER[1]].to_pylist()
    assert (places.count(0), places.count(2)) == (5, 5)
    assert 0 < places.count(1) <= 90
    assert sum(done.rows.values()) == len(places)


def test_a_file_that_has_to_wait_is_none_and_leaves_the_task_unsettled(source: Sandbox) -> None:
    assert cut(task_of(source)).settled
    source.write("sourcedata/b.csv", f"{HEADER}\na,1,2,3,0")
    done = cut(task_of(source))
    assert [file is None for file in done.files] == [False, True]
    assert not done.settled
    os.utime(source.root / "sourcedata/b.csv", (0, time.time() - 3600))
    assert cut(task_of(source)).settled


def test_a_file_that_cannot_be_read_leaves_the_task_unsettled(source: Sandbox) -> None:
    (source.root / "sourcedata/link.csv").symlink_to(source.root / "sourcedata/a.csv")
    done = cut(task_of(source))
    assert [file.sha256 == UNREAD for file in done.files if file] == [False, False, True]
    assert not done.settled


def test_a_task_without_a_single_row_has_no_piece(sandbox: Sandbox) -> None:
    sandbox.write("sourcedata/a.csv", "no table\n")
    done = cut(task_of(sandbox))
    assert done.rows == {}
    assert [path.name for path in done.folder.iterdir()] == ["task.json"]


def test_without_room_it_says_where_and_leaves_nothing(source: Sandbox) -> None:
    task = task_of(source)
    with limited(resource.RLIMIT_FSIZE, 2_000), pytest.raises(OSError, match="too large") as caught:
        cut(task)
    assert caught.value.filename == str(task.folder)
    assert list(task.folder.iterdir()) == []
    assert len(pieces_of(cut(task))) == 120


def test_more_buckets_than_open_files_are_allowed_at_first(sandbox: Sandbox) -> None:
    sandbox.write("sourcedata/a.csv", client_rows(0, 1000))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 300 + OPEN_FILES:
        pytest.skip(f"no more than {hard} files may be open here")
    with limited(resource.RLIMIT_NOFILE, 150):
        done = cut(task_of(sandbox, buckets=300))
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == (soft, hard)
    assert len(done.rows) > 250


def test_more_buckets_than_may_ever_be_open_are_a_clear_error(
    source: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1024, 4096))
    with pytest.raises(EngineError) as caught:
        cut(task_of(source, buckets=10_000))
    assert str(caught.value) == (
        "10,000 buckets take 10,200 open files, and a process may have 4,096 here: allow more"
        ' (ulimit -n), or put fewer "buckets" into config.json'
    )
    assert not (source.config.output_folder_path / ".pieces").exists()


def test_a_folder_that_cannot_be_made_is_named(source: Sandbox) -> None:
    source.write("ingesteddata", "a file is in its place")
    with pytest.raises(NotADirectoryError) as caught:
        cut(task_of(source))
    assert str(caught.value.filename).startswith(str(source.root / "ingesteddata"))


def test_a_file_that_is_gone_waits(source: Sandbox) -> None:
    task: PieceTask = task_of(source)
    gone = replaced_file(task, Path("sourcedata/never.csv"))
    done = cut(gone)
    assert [file is None for file in done.files] == [True, False]


def replaced_file(task: PieceTask, path: Path) -> PieceTask:
    """The task with another path for its first file."""
    return task._replace(files=(task.files[0]._replace(path=path), *task.files[1:]))


def test_a_bad_row_is_told_as_it_was_found(sandbox: Sandbox) -> None:
    sandbox.write("sourcedata/a.csv", [*client_rows(0, 20), 'b,"x ""y""",1,2,0'])
    cut(task_of(sandbox))
    done = finished(task_of(sandbox))
    assert done
    assert done.files[0]
    (bad,) = done.files[0].bad_rows
    reason = """lastmonth_activity 'x "y"' is not a number"""
    assert bad == BadRow(22, reason, 'b,"x ""y""",1,2,0')
