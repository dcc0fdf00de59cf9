import ast
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from replaced_files import REPLACED

from pipeline.core.files import sha256_of
from pipeline.core.schema import DEFAULT_SCHEMA, Schema
from pipeline.data.csv_reader import BadRow
from pipeline.data.input_files import UNREAD, PendingFile, list_input
from pipeline.data.loader import TakenFile
from pipeline.storage import ledger
from pipeline.storage.database import History
from pipeline.storage.ledger import Former, MasterState, Period, Span

TAKEN = TakenFile(
    id=1,
    name="a.csv",
    size=100,
    mtime_ns=5,
    sha256="abc",
    reason=None,
    rows=10,
    added=7,
    duplicates=2,
    start_row=20,
    end_row=90,
    log_at=16,
    bad_rows=(BadRow(4, "exited '2' is not an outcome (0, 1 or empty)", "x,1,2,3,2"),),
    ctime_ns=6,
)
REJECTED = TakenFile(2, "bad.csv", 3, 5, "def", "is empty; expected a header line and rows")


def taken(name: str, sha256: str = "abc") -> TakenFile:
    return replace(TAKEN, name=name, sha256=sha256, bad_rows=())


def record(history: History, *files: TakenFile) -> None:
    next_id = ledger.last_file(history) + 1
    numbered = [replace(file, id=next_id + i) for i, file in enumerate(files)]
    ledger.record_files(history, numbered, MasterState(7, 90))


def pending_names(files: list[PendingFile]) -> list[str]:
    return [file.name for file in files]


def test_what_was_taken_in_is_recorded_whole(history: History) -> None:
    assert (ledger.master_state(history), ledger.last_file(history)) == (MasterState(0, 0), 0)
    record(history, TAKEN)
    assert (ledger.master_state(history), ledger.last_file(history)) == (MasterState(7, 90), 1)
    (row,) = history.query("SELECT * FROM files")
    assert {**row, "recorded_at": "now"} == {
        "id": 1,
        "name": "a.csv",
        "size": 100,
        "mtime_ns": 5,
        "sha256": "abc",
        "status": "ingested",
        "reason": None,
        "rows": 10,
        "added": 7,
        "duplicates": 2,
        "rejected": 1,
        "start_row": 20,
        "end_row": 90,
        "log_at": 16,
        "recorded_at": "now",
        "judged_at": None,
        "scored_at": None,
        "reported_at": None,
        "current": 1,
        "ctime_ns": 6,
        "schema": None,
        "feed": None,
        "held": None,
        "accepted_at": None,
    }


def test_a_rejected_file_is_recorded_with_its_reason_and_leaves_nothing_to_judge(
    history: History,
) -> None:
    record(history, REJECTED)
    (row,) = history.tuples("SELECT status, reason, judged_at = recorded_at FROM files")
    assert row == ("rejected", "is empty; expected a header line and rows", 1)
    assert ledger.unreported(history) == []


def test_rejected_files_are_reported_the_latest_first_until_they_are_mended(
    history: History,
) -> None:
    record(history, REJECTED, replace(REJECTED, name="worse.csv", reason="is UTF-16"))
    record(history, replace(REJECTED, name="mended.csv"), taken("fine.csv"))
    record(history, taken("mended.csv"))
    assert ledger.rejected_files(history) == [
        ("worse.csv", "is UTF-16"),
        ("bad.csv", "is empty; expected a header line and rows"),
    ]


def test_a_file_waits_to_be_judged_and_then_for_its_reports(history: History) -> None:
    record(history, TAKEN)
    (at,) = history.column("SELECT recorded_at FROM files")
    expected = [PendingFile(1, "a.csv", at, (20, 90))]
    assert ledger.unjudged(history) == ledger.unreported(history) == expected
    record(history, taken("b.csv"), taken("a.csv", "new"))
    ledger.mark(history, ledger.unjudged(history)[:1], "judged")
    assert pending_names(ledger.unjudged(history)) == ["b.csv", "a.csv"]
    assert pending_names(ledger.unreported(history)) == ["a.csv", "b.csv", "a.csv"]
    ledger.mark(history, ledger.unreported(history)[:2], "reported")
    assert pending_names(ledger.unjudged(history)) == ["a.csv"]
    assert pending_names(ledger.unreported(history)) == ["a.csv"]


def test_names_stand_once_in_order_of_first_ingestion(history: History) -> None:
    record(history, taken("b.csv"), taken("c.csv"))
    record(history, taken("a.csv"), taken("b.csv", "new"), REJECTED)
    assert ledger.ingested_names(history) == ["b.csv", "c.csv", "a.csv"]


def test_the_record_is_a_python_list_too(history: History) -> None:
    names = ["it's.csv", 'quo"te.csv', "back\\slash.csv", "new\nline.csv", "größe.csv", "🙂.csv"]
    record(history, *map(taken, names))
    text = ledger.ingestedfiles_text(history)
    assert text.startswith('[\n "it\'s.csv",\n "quo')
    assert ast.literal_eval(text) == json.loads(text) == names


def test_of_a_file_the_rows_of_its_newest_content_are_kept(history: History) -> None:
    record(history, TAKEN, replace(TAKEN, name="b.csv"))
    for sha256 in ("other", "another"):
        record(history, replace(TAKEN, sha256=sha256))
    found = history.tuples("SELECT file_id FROM rejected_rows ORDER BY file_id")
    assert found == [(2,), (4,)]
    record(history, taken("a.csv", "mended"))
    assert ledger.rejected_rows(history) == [("b.csv", TAKEN.bad_rows[0])]


def test_the_contents_whose_lines_are_on_record_are_told_by_file(history: History) -> None:
    record(history, taken("b.csv", "old"), taken("a.csv"), REJECTED)
    record(history, taken("b.csv", "new"))
    assert ledger.kept_contents(history) == {
        "a.csv": [Former(2, "abc", 16)],
        "b.csv": [Former(1, "old", 16), Former(4, "new", 16)],
    }


def renew(history: History, *files: TakenFile, gone: Sequence[str] = ()) -> None:
    spans = {file.id: Span(0, 3, 16) for file in files if not file.reason}
    ledger.renew_files(history, list(files), gone, spans, MasterState(3, 30))


def test_what_was_judged_stays_judged_after_a_rebuild_and_keeps_its_time(history: History) -> None:
    record(history, TAKEN, taken("b.csv"))
    ledger.mark(history, ledger.unjudged(history)[:1], "judged")
    sql = "SELECT id, name, recorded_at, judged_at FROM files ORDER BY id"
    before = history.tuples(sql)
    renew(history, TAKEN, replace(taken("b.csv"), id=2))
    assert history.tuples(sql) == before
    assert pending_names(ledger.unjudged(history)) == ["b.csv"]
    assert ledger.rejected_rows(history) == [("a.csv", TAKEN.bad_rows[0])]
    assert ledger.master_state(history) == MasterState(3, 30)


def test_a_file_that_changed_meanwhile_is_pending_after_a_rebuild(history: History) -> None:
    record(history, taken("a.csv", "old"), taken("b.csv"))
    ledger.mark(history, ledger.unjudged(history), "judged")
    ledger.mark(history, ledger.unreported(history), "reported")
    renew(history, replace(taken("a.csv", "new"), id=3), replace(taken("b.csv"), id=2))
    assert pending_names(ledger.unjudged(history)) == ["a.csv"]
    assert ledger.ingested_names(history) == ["a.csv", "b.csv"]  # in the order of always


def test_rows_that_are_elsewhere_now_are_found_there(history: History) -> None:
    record(history, taken("a.csv", "old"), taken("a.csv", "new"), taken("b.csv"))
    spans = {1: Span(5, 9), 3: Span(0, 5, 24)}
    ledger.renew_files(history, [], [], spans, MasterState(9, 30))
    assert [file.span for file in ledger.unjudged(history)] == [(5, 9), (0, 0), (0, 5)]
    assert ledger.kept_contents(history) == {"b.csv": [Former(3, "abc", 24)]}


def test_a_file_that_is_gone_is_forgotten_but_not_its_id(history: History) -> None:
    record(history, taken("a.csv"), taken("b.csv"))
    renew(history, TAKEN, gone=["b.csv"])
    assert ledger.ingested_names(history) == ["a.csv"]
    assert ledger.last_file(history) == 2


def test_the_period_is_that_of_the_files_up_to_one_each_name_counted_once(history: History) -> None:
    assert ledger.ingested_period(history, 1) == Period(0, "", "")
    record(history, taken("a.csv"), REJECTED)
    record(history, taken("a.csv", "changed"), taken("b.csv"))
    record(history, taken("c.csv"))
    for number in range(1, 6):
        history.query("UPDATE files SET recorded_at = ? WHERE id = ?", f"day {number}", number)
    assert ledger.ingested_period(history, 4) == Period(2, "day 1", "day 4")


# --- what is new ---


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    return tmp_path / "in"


def record_as_found(history: History, path: Path, **known: Any) -> None:
    (file,) = (file for file in list_input(path.parent) if file.path == path)
    number = ledger.last_file(history) + 1
    found = TakenFile(number, file.name, file.size, file.mtime_ns, sha256_of(path), None)
    record(history, replace(found, **{"ctime_ns": file.ctime_ns} | known))


def new_names(
    history: History, folder: Path, schema: Schema = DEFAULT_SCHEMA, *, remember: bool = True
) -> list[str]:
    found = ledger.new_files(history, list_input(folder), schema, remember=remember)
    return [file.name for file in found]


@pytest.mark.parametrize(
    ("schema", "new"),
    [
        (DEFAULT_SCHEMA, []),
        (Schema(client="who"), ["a.csv"]),
        (
            Schema(numeric=DEFAULT_SCHEMA.numeric[:2], categorical=DEFAULT_SCHEMA.numeric[2:]),
            ["a.csv"],
        ),
    ],
)
def test_a_rejected_file_is_new_to_another_schema_only(
    history: History, folder: Path, schema: Schema, new: list[str]
) -> None:
    (folder / "a.csv").write_text("x")
    (folder / "b.csv").write_text("y")
    record_as_found(history, folder / "a.csv", reason="is bad", schema=DEFAULT_SCHEMA.text)
    record_as_found(history, folder / "b.csv")
    assert new_names(history, folder, schema) == new


def test_a_file_that_an_earlier_version_rejected_is_new(history: History, folder: Path) -> None:
    (folder / "a.csv").write_text("x")
    record_as_found(history, folder / "a.csv", reason="is bad")
    assert new_names(history, folder) == ["a.csv"]


def test_what_could_not_be_read_is_not_new_to_another_schema(
    history: History, folder: Path
) -> None:
    (folder / "a.csv").symlink_to("b.csvx")
    size = (folder / "a.csv").lstat().st_size
    record(history, TakenFile(1, "a.csv", size, 1, UNREAD, "is a link", schema=DEFAULT_SCHEMA.text))
    assert new_names(history, folder, Schema(client="who")) == []


@pytest.mark.parametrize("content", ["y", "longer", ""])
def test_a_file_whose_content_changed_is_new(history: History, folder: Path, content: str) -> None:
    (folder / "a.csv").write_text("x")
    record_as_found(history, folder / "a.csv")
    (folder / "a.csv").write_text(content)
    os.utime(folder / "a.csv", ns=(1, 1))
    assert new_names(history, folder) == ["a.csv"]


def test_a_content_that_changed_under_the_same_size_and_time_stamp_is_new(
    history: History, folder: Path
) -> None:
    (folder / "a.csv").write_text("x")
    before = (folder / "a.csv").stat().st_mtime_ns
    record_as_found(history, folder / "a.csv")
    while time_of_inode(folder / "a.csv") == time_on_record(history):  # until the clock has ticked
        (folder / "a.csv").write_text("y")
        os.utime(folder / "a.csv", ns=(before, before))
    assert new_names(history, folder) == ["a.csv"]


def time_of_inode(path: Path) -> int:
    return path.stat().st_ctime_ns


def time_on_record(history: History) -> int | None:
    ((ctime_ns,),) = history.tuples("SELECT ctime_ns FROM files")
    return ctime_ns


def touch(path: Path) -> None:
    os.utime(path, ns=(1, 1))


def chmod(path: Path) -> None:
    path.chmod(0o600)


def move(path: Path) -> None:
    path.rename(path.with_name("moved")).rename(path)


@pytest.mark.parametrize("change", [touch, chmod, move])
@pytest.mark.parametrize("known", [{}, {"ctime_ns": None}], ids=["ours", "an earlier version's"])
def test_a_file_whose_times_alone_changed_is_not_new_and_read_only_once(
    history: History, folder: Path, change: Callable[[Path], None], known: dict[str, Any]
) -> None:
    path = folder / "a.csv"
    path.write_text("x")
    record_as_found(history, path, **known)
    change(path)
    before = history.tuples("SELECT mtime_ns, ctime_ns FROM files")
    assert new_names(history, folder, remember=False) == []
    assert history.tuples("SELECT mtime_ns, ctime_ns FROM files") == before
    assert new_names(history, folder) == []
    now = path.stat()
    assert history.tuples("SELECT mtime_ns, ctime_ns FROM files") == [
        (now.st_mtime_ns, now.st_ctime_ns)
    ]


@pytest.mark.parametrize("name", ["a\\.csv", "a\n.csv", "ä.csv", os.fsdecode(b"\xe4.csv")])
def test_a_file_of_any_name_is_new_until_it_is_recorded(
    history: History, folder: Path, name: str
) -> None:
    (folder / name).write_text("x")
    (file,) = list_input(folder)
    assert new_names(history, folder) == [file.name]
    record_as_found(history, file.path)
    assert new_names(history, folder) == []


def test_a_name_is_not_taken_for_another_that_is_recorded_as_it_reads(
    history: History, folder: Path
) -> None:
    (folder / "a\n.csv").write_text("x")
    (file,) = list_input(folder)
    record_as_found(history, file.path)
    (folder / file.name).write_text("x")
    os.utime(folder / file.name, ns=(file.mtime_ns, file.mtime_ns))
    assert new_names(history, folder) == ["a\\\\u000a.csv"]


def test_what_could_not_be_read_is_not_new_as_long_as_it_cannot_be(
    history: History, folder: Path
) -> None:
    (folder / "a.csv").symlink_to("b.csvx")
    size = (folder / "a.csv").lstat().st_size
    record(history, TakenFile(0, "a.csv", size, 1, UNREAD, "is a link"))
    assert new_names(history, folder) == []
    (folder / "a.csv").unlink()
    (folder / "a.csv").write_text("x" * size)
    assert new_names(history, folder) == ["a.csv"]


@pytest.mark.parametrize("change", [change for change, _ in REPLACED.values()], ids=REPLACED)
def test_a_known_file_that_is_replaced_after_it_was_listed_counts_as_new(
    history: History, folder: Path, change: Callable[[Path], None]
) -> None:
    path = folder / "a.csv"
    path.write_text("x")
    record_as_found(history, path)
    os.utime(path, ns=(1, 1))
    found = list_input(folder)
    path.unlink()
    change(path)
    assert ledger.new_files(history, found, DEFAULT_SCHEMA) == found


def test_a_known_content_under_another_name_is_new(history: History, folder: Path) -> None:
    (folder / "a.csv").write_text("x")
    record_as_found(history, folder / "a.csv")
    (folder / "a.csv").rename(folder / "b.csv")
    assert new_names(history, folder) == ["b.csv"]


# --- recent batches ---


def test_the_batches_judged_last_are_recent_small_ones_together(history: History) -> None:
    assert ledger.recent_batches(history) == []
    sizes = [(300,), (250,), (150, 150), (200,), (10,), (199,), (1_000,)]
    for number, batch in enumerate(sizes):
        names = [f"{number}{letter}.csv" for letter in "ab"[: len(batch)]]
        spans = [{"start_row": 0, "end_row": rows} for rows in batch]
        files = [replace(taken(name), **s) for name, s in zip(names, spans, strict=True)]
        record(history, *files, REJECTED)
        ledger.mark(history, ledger.unjudged(history), "judged")
        # so that batches within a millisecond are told apart
        for name in names:
            history.query("UPDATE files SET judged_at = ? WHERE name = ?", f"0{number}", name)
    record(history, taken("unjudged.csv"))

    found = ledger.recent_batches(history)

    assert [pending_names(files) for files in found] == [
        ["6a.csv"],
        ["5a.csv", "4a.csv"],
        ["3a.csv"],
        ["2b.csv", "2a.csv"],
    ]
    assert found[0][0].span == (0, 1_000)
