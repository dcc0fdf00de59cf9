import os
from pathlib import Path

import pytest

from pipeline.core.errors import DataError
from pipeline.data import input_files


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    return tmp_path / "in"


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


@pytest.mark.parametrize("sign", [1, -1])
def test_a_time_beyond_what_the_ledger_can_hold_is_the_last_that_it_can(sign: int) -> None:
    status = os.stat_result((0,) * 10, {"st_mtime_ns": sign * 10**23})  # tmpfs and XFS have such
    assert input_files.mtime_of(status) == sign * (2**63 - 1)


def test_stray_things_are_not_found(folder: Path) -> None:
    (folder / "x.csv").mkdir()
    (folder / "x.csv/inner.csv").write_text("x")
    for name in (".hidden.csv", ".~lock.a.csv#", "notes.md", "a.csv.part", "a.csv~", "csv"):
        (folder / name).write_text("x")
    assert input_files.list_input(folder) == []


def test_files_in_folders_are_named_by_their_path(folder: Path) -> None:
    (folder / "2026/ä\n").mkdir(parents=True)
    (folder / "2026/.hidden").mkdir()
    for name in ("b.csv", "2026/a.xlsx", "2026/ä\n/a.csv", "2026/.hidden/a.csv", "2026/x.pdf"):
        (folder / name).write_text("x")
    passed: dict[str, str] = {}
    found = input_files.list_input(folder, subfolders=True, passed=passed)
    assert [file.name for file in found] == ["2026/a.xlsx", r"2026/ä\u000a/a.csv", "b.csv"]
    assert found[0].path == folder / "2026/a.xlsx"
    assert passed == {"2026/x.pdf": input_files.NO_TABLE}
    passed.clear()
    assert len(input_files.list_input(folder, passed=passed)) == 1
    assert passed == {"2026": input_files.A_FOLDER}


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


def test_a_folder_that_is_not_there_is_reported(folder: Path) -> None:
    with pytest.raises(DataError) as caught:
        input_files.list_input(folder / "none")
    assert str(caught.value) == (f"{folder / 'none'}: there is no such folder to take files from")


def test_a_file_in_place_of_the_folder_is_reported(folder: Path) -> None:
    (folder / "file").write_text("x")
    with pytest.raises(DataError) as caught:
        input_files.list_input(folder / "file")
    assert str(caught.value) == f"{folder / 'file'}: is a file; expected a folder of files"


def test_numbers_in_names_sort_as_people_count() -> None:
    names = ["clients_10.csv", "clients_9.csv", "b.csv", "2026-01-10.csv", "2026-01-9.csv", "a²"]
    assert sorted(names, key=input_files.natural) == [
        *("2026-01-9.csv", "2026-01-10.csv", "a²", "b.csv", "clients_9.csv", "clients_10.csv")
    ]
