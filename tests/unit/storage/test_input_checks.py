import os
import time
from pathlib import Path

import pytest

from pipeline.data.input_files import list_input
from pipeline.storage.database import History
from pipeline.storage.input_checks import ready_files


def ready(history: History, folder: Path) -> list[str]:
    return [file.name for file in ready_files(history, list_input(folder))]


def put(path: Path, text: str, seconds_ahead: float) -> None:
    path.write_text(text)
    os.utime(path, (0, time.time() + seconds_ahead))


@pytest.mark.parametrize(("ahead", "names"), [(-60, ["a.csv"]), (30, ["a.csv"]), (90, [])])
def test_a_file_waits_if_its_time_stamp_is_well_ahead_of_the_clock(
    history: History, tmp_path: Path, ahead: float, names: list[str]
) -> None:
    put(tmp_path / "a.csv", "x", ahead)
    assert ready(history, tmp_path) == names


def test_it_waits_anew_each_time_its_content_has_changed(history: History, tmp_path: Path) -> None:
    found = []
    for content in ("x", "y", "y", "y"):
        put(tmp_path / "a.csv", content, 3600)
        found.append(ready(history, tmp_path))
    assert found == [[], [], ["a.csv"], ["a.csv"]]


def test_it_is_forgotten_when_it_is_gone(history: History, tmp_path: Path) -> None:
    put(tmp_path / "a.csv", "x", 3600)
    ready(history, tmp_path)
    (tmp_path / "a.csv").unlink()
    ready(history, tmp_path)
    assert history.tuples("SELECT name FROM waiting_files") == []
