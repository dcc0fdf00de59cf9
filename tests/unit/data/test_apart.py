"""A file that is read apart from those who put rows together."""

import os
from pathlib import Path

import pytest

from pipeline.core.schema import Schema
from pipeline.data import loader
from pipeline.data.input_files import list_input
from pipeline.data.loader import read_apart

SCHEMA = Schema("id", "left", ("n",))


def test_a_file_that_is_read_twice_hands_on_its_rows_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loader, "BATCH_ROWS", 2)
    (tmp_path / "a.csv").write_text("id,n,left\n" + "x,1.5,0\n" * 5 + 'y,"1,234.5",1\n')
    os.utime(tmp_path / "a.csv", (1e9, 1e9))
    (file,) = list_input(tmp_path)
    with read_apart(file, SCHEMA) as (read, lines):
        assert read.file
        assert read.file.rows == 6
        handed = [line for _, batch in lines.batches() for line in batch]
    assert handed == [b"x,1.5,0"] * 5 + [b"y,1234.5,1"]
