import os
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.storage.ledger import BLOCK, FileRecord, file_fault, file_record


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "finaldata.csv"


def test_the_order_of_blocks_counts(path: Path) -> None:
    path.write_bytes(b"a" * BLOCK + b"b" * BLOCK)
    record = file_record(path)
    path.write_bytes(b"b" * BLOCK + b"a" * BLOCK)
    os.utime(path, ns=(1, 1))
    assert file_fault(path, record) == "has other content than is on record"


def write(text: str) -> Callable[[Path], None]:
    """What writes other content, at another time."""

    def change(path: Path) -> None:
        path.write_text(text)
        os.utime(path, ns=(1, 1))

    return change


@pytest.mark.parametrize(
    ("change", "fault", "if_longer"),
    [
        (write("abc"), None, None),  # touched
        (write("abcd"), "has 4 bytes where 3 are on record", None),
        (write("abxd"), "has 4 bytes where 3 are on record", "has other content than is on record"),
        (write("abx"), *["has other content than is on record"] * 2),
        (write("ab"), *["has 2 bytes where 3 are on record"] * 2),
        (Path.unlink, *["is gone, though 3 bytes of it are on record"] * 2),
    ],
)
def test_a_file_is_what_is_on_record_or_not(
    path: Path, change: Callable[[Path], None], fault: str | None, if_longer: str | None
) -> None:
    path.write_text("abc")
    record = file_record(path)
    assert file_fault(path, record) is None
    change(path)
    assert file_fault(path, record) == fault
    assert file_fault(path, record, longer=True) == if_longer


def test_a_file_of_the_same_size_and_time_is_not_read(path: Path) -> None:
    path.write_text("abc")
    assert file_fault(path, FileRecord(3, path.stat().st_mtime_ns, "any")) is None
