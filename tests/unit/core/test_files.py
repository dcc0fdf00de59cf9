import re
import subprocess
import sys
from pathlib import Path
from threading import Event, Thread

import pytest
from sandbox import PROJECT

from pipeline.core.files import (
    errors_with_path,
    sha256_of,
    utc_now,
    write_atomic,
    write_if_changed,
)

FULL_DISK = """
import resource, sys
from pathlib import Path
from pipeline.core.files import write_atomic
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    write_atomic(Path(sys.argv[1]), "new" * 1000)
except OSError:
    raise SystemExit(7)
"""


def started(program: str, *args: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", program, *map(str, args)],
        cwd=PROJECT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_text_is_written_as_utf8_into_a_folder_that_is_made(tmp_path: Path) -> None:
    write_atomic(tmp_path / "a/b/file.txt", "größer\n")
    assert (tmp_path / "a/b/file.txt").read_bytes() == "größer\n".encode()


def test_nothing_but_the_file_is_left(tmp_path: Path) -> None:
    write_atomic(tmp_path / "file", "old")
    write_atomic(tmp_path / "file", "new")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_who_has_the_old_file_open_reads_on_in_it(tmp_path: Path) -> None:
    write_atomic(tmp_path / "file", "old content")
    with (tmp_path / "file").open() as reader:
        assert reader.read(3) == "old"
        write_atomic(tmp_path / "file", "new content")
        assert reader.read() == " content"


def test_a_reader_sees_the_old_content_or_the_new(tmp_path: Path) -> None:
    contents = [b"a" * 300_000, b"b" * 200_000]
    path = tmp_path / "file"
    write_atomic(path, contents[0])
    done = Event()

    def keep_writing() -> None:
        for i in range(60):
            write_atomic(path, contents[i % 2])
        done.set()

    writer = Thread(target=keep_writing)
    writer.start()
    seen = set()
    while not done.is_set():
        seen.add(path.read_bytes())
    writer.join()
    assert seen <= set(contents)


def test_a_write_that_fails_leaves_the_old_content(tmp_path: Path) -> None:
    write_atomic(tmp_path / "file", "old")
    with started(FULL_DISK, tmp_path / "file") as writer:
        assert writer.wait() == 7
    assert (tmp_path / "file").read_text() == "old"


def test_what_a_failed_write_left_is_written_over(tmp_path: Path) -> None:
    with started(FULL_DISK, tmp_path / "file") as writer:
        assert writer.wait() == 7
    write_atomic(tmp_path / "file", "new")
    assert {p.name: p.read_text() for p in tmp_path.iterdir()} == {"file": "new"}


def test_where_a_folder_is_in_the_way_it_is_named_and_nothing_is_left(tmp_path: Path) -> None:
    (tmp_path / "file").mkdir()
    with pytest.raises(IsADirectoryError) as caught:
        write_atomic(tmp_path / "file", "new")
    assert caught.value.filename == str(tmp_path / "file")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_an_error_names_the_file_unless_it_says_by_itself_what_is_wrong(tmp_path: Path) -> None:
    bare, named, words = OSError(28, "full"), OSError(2, "gone", "/other/file"), OSError("damaged")
    result = []
    for error in (bare, named, words):
        with pytest.raises(OSError) as caught, errors_with_path(tmp_path):  # noqa: PT011
            raise error
        result.append(str(caught.value))

    assert result == [f"[Errno 28] full: '{tmp_path}'", "[Errno 2] gone: '/other/file'", "damaged"]


def test_the_same_content_is_not_written_again(tmp_path: Path) -> None:
    write_if_changed(tmp_path / "file", "same")
    before = (tmp_path / "file").stat()
    write_if_changed(tmp_path / "file", "same")
    after = (tmp_path / "file").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_a_digest_is_the_sha256_of_the_content(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"abc")
    assert sha256_of(tmp_path / "file") == (
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    )


def test_now_is_reported_in_utc_to_the_millisecond() -> None:
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", utc_now())
