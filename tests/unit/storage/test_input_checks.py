import os
import time
from pathlib import Path

import pytest

from pipeline.data.input_files import list_input
from pipeline.storage.database import History
from pipeline.storage.input_checks import MAX_TOLD, list_and_tell, ready_files, tell_once


def ready(history: History, folder: Path) -> list[str]:
    return [file.name for file in ready_files(history, list_input(folder))]


def put(path: Path, text: str, seconds_ahead: float) -> None:
    path.write_text(text)
    os.utime(path, (0, time.time() + seconds_ahead))


def test_what_is_passed_over_is_said_once_and_anew_after_it_was_gone(
    history: History, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def told() -> list[str]:
        caplog.clear()
        list_and_tell(history, folder, subfolders=False)
        return [message.split(" ")[0] for message in caplog.messages]

    folder = tmp_path / "in"
    (folder / "folder").mkdir(parents=True)
    (folder / "x.pdf").touch()
    assert (told(), told()) == (["folder", "x.pdf"], [])
    (folder / "x.pdf").unlink()
    (folder / "y.pdf").touch()
    assert (told(), told()) == (["y.pdf"], [])
    (folder / "x.pdf").touch()
    assert told() == ["x.pdf"]


def test_kinds_do_not_mix_and_of_many_names_some_are_said(
    history: History, caplog: pytest.LogCaptureFixture
) -> None:
    tell_once(history, {"a.csv": "waits"}, "waits")
    names = ["a.csv", *(f"{i:02}.pdf" for i in range(MAX_TOLD + 2))]
    tell_once(history, dict.fromkeys(names, "is no table"), "passed over")
    assert len(caplog.messages) == 1 + MAX_TOLD + 1
    assert caplog.messages[-1] == "and 3 more"
    caplog.clear()
    tell_once(history, {"a.csv": "waits"}, "waits")
    assert caplog.messages == []


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
    assert history.tuples("SELECT name FROM told") == []
