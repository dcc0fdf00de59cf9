import os
from pathlib import Path

import pytest

from pipeline.core.errors import DataError
from pipeline.core.files import sha256_of
from pipeline.data import input_files
from pipeline.data.input_files import UNREAD
from pipeline.data.loader import TakenFile
from pipeline.storage import ledger
from pipeline.storage.database import History
from pipeline.storage.ledger import MasterState


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    return tmp_path / "in"


def record(history: History, *files: TakenFile) -> None:
    ledger.record_files(history, list(files), MasterState(7, 90))


def record_as_found(history: History, path: Path) -> None:
    stat = path.stat()
    record(history, TakenFile(path.name, stat.st_size, stat.st_mtime_ns, sha256_of(path), None))


def new_names(history: History, folder: Path) -> list[str]:
    """What is new by both ways to ask, which must agree."""
    listed = ledger.new_files(history, input_files.list_input(folder), remember=False)
    assert ledger.new_in(folder, history) == listed
    return [file.name for file in listed]


def test_csv_files_are_found_in_order_of_name(folder: Path) -> None:
    for name in ("b.csv", "a.CSV", "ä 1.csv", "10.csv", ",.csv"):
        (folder / name).write_text("x")
    found = [file.name for file in input_files.list_input(folder)]
    assert found == [",.csv", "10.csv", "a.CSV", "b.csv", "ä 1.csv"]


def test_a_found_file_has_its_size_and_time(folder: Path) -> None:
    (folder / "a.csv").write_text("12345")
    os.utime(folder / "a.csv", ns=(1, 123_456_789))
    (file,) = input_files.list_input(folder)
    assert (file.path, file.size, file.mtime_ns) == (folder / "a.csv", 5, 123_456_789)


def test_stray_things_are_not_found(folder: Path) -> None:
    (folder / "x.csv").mkdir()
    (folder / "x.csv/inner.csv").write_text("x")
    for name in (".hidden.csv", ".~lock.a.csv#", "notes.txt", "a.csv.part", "a.csv~", "csv"):
        (folder / name).write_text("x")
    assert input_files.list_input(folder) == []


def test_links_and_pipes_are_found_as_what_they_are(folder: Path) -> None:
    (folder / "plain.csv").write_text("x")
    (folder / "link.csv").symlink_to("plain.csv")
    (folder / "dangling.csv").symlink_to("nowhere.csv")
    os.mkfifo(folder / "pipe.csv")
    assert {file.name: file.regular for file in input_files.list_input(folder)} == {
        "dangling.csv": False,
        "link.csv": False,
        "pipe.csv": False,
        "plain.csv": True,
    }


def test_a_link_to_a_folder_is_no_folder(folder: Path) -> None:
    (folder / "x.csv").symlink_to(folder.parent)
    assert [(file.name, file.regular) for file in input_files.list_input(folder)] == [
        ("x.csv", False)
    ]


def test_a_name_that_is_not_utf8_is_escaped(folder: Path) -> None:
    os.close(os.open(os.fsencode(folder) + b"/M\xfcller.csv", os.O_CREAT))
    (file,) = input_files.list_input(folder)
    assert file.name == "M\\xfcller.csv"
    assert file.path.exists()


def test_a_folder_that_is_not_there_is_told(folder: Path) -> None:
    with pytest.raises(DataError) as caught:
        input_files.list_input(folder / "none")
    assert str(caught.value) == (
        f"{folder / 'none'}: there is no such folder to take client files from"
    )


def test_a_file_in_place_of_the_folder_is_told(folder: Path) -> None:
    (folder / "file").write_text("x")
    with pytest.raises(DataError) as caught:
        input_files.list_input(folder / "file")
    assert str(caught.value) == f"{folder / 'file'}: is a file; expected a folder of client files"


def test_an_unknown_name_is_new(history: History, folder: Path) -> None:
    (folder / "a.csv").write_text("x")
    assert new_names(history, folder) == ["a.csv"]


def test_a_recorded_file_is_not_new(history: History, folder: Path) -> None:
    (folder / "a.csv").write_text("x")
    record_as_found(history, folder / "a.csv")
    assert new_names(history, folder) == []


def test_a_rejected_file_is_not_new(history: History, folder: Path) -> None:
    (folder / "a.csv").write_text("x")
    stat = (folder / "a.csv").stat()
    record(history, TakenFile("a.csv", 1, stat.st_mtime_ns, "any", "is empty"))
    assert new_names(history, folder) == []


@pytest.mark.parametrize("content", ["y", "longer", ""])
def test_a_file_whose_content_changed_is_new(history: History, folder: Path, content: str) -> None:
    (folder / "a.csv").write_text("x")
    record_as_found(history, folder / "a.csv")
    (folder / "a.csv").write_text(content)
    os.utime(folder / "a.csv", ns=(1, 1))
    assert new_names(history, folder) == ["a.csv"]


def test_a_touched_file_with_the_same_content_is_not_new(history: History, folder: Path) -> None:
    (folder / "a.csv").write_text("x")
    record_as_found(history, folder / "a.csv")
    os.utime(folder / "a.csv", ns=(1, 1))
    assert new_names(history, folder) == []


def test_a_touched_file_is_read_only_once(history: History, folder: Path) -> None:
    (folder / "a.csv").write_text("x")
    record_as_found(history, folder / "a.csv")
    os.utime(folder / "a.csv", ns=(1, 1))
    new_names(history, folder)
    assert history.query("SELECT mtime_ns FROM files")[0]["mtime_ns"] == 1


@pytest.mark.parametrize("name", ["a\\.csv", "a\n.csv", "ä.csv", os.fsdecode(b"\xe4.csv")])
def test_a_file_of_any_name_is_new_until_it_is_recorded(
    history: History, folder: Path, name: str
) -> None:
    (folder / name).write_text("x")
    (file,) = input_files.list_input(folder)
    assert new_names(history, folder) == [file.name]
    record(history, TakenFile(file.name, file.size, file.mtime_ns, sha256_of(file.path), None))
    assert new_names(history, folder) == []


def test_a_name_is_not_taken_for_another_that_is_recorded_as_it_reads(
    history: History, folder: Path
) -> None:
    (folder / "a\n.csv").write_text("x")
    (file,) = input_files.list_input(folder)
    record(history, TakenFile(file.name, file.size, file.mtime_ns, sha256_of(file.path), None))
    (folder / file.name).write_text("x")
    os.utime(folder / file.name, ns=(file.mtime_ns, file.mtime_ns))
    assert new_names(history, folder) == ["a\\\\u000a.csv"]


def test_what_could_not_be_read_is_not_new_as_long_as_it_cannot_be(
    history: History, folder: Path
) -> None:
    (folder / "a.csv").symlink_to("b.csvx")
    size = (folder / "a.csv").lstat().st_size
    record(history, TakenFile("a.csv", size, 1, UNREAD, "is a link"))
    assert new_names(history, folder) == []
    (folder / "a.csv").unlink()
    (folder / "a.csv").write_text("x" * size)
    assert new_names(history, folder) == ["a.csv"]


def test_a_known_content_under_another_name_is_new(history: History, folder: Path) -> None:
    (folder / "a.csv").write_text("x")
    record_as_found(history, folder / "a.csv")
    (folder / "a.csv").rename(folder / "b.csv")
    assert new_names(history, folder) == ["b.csv"]
