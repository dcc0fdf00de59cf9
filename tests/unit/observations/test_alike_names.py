"""Warnings of names that hardly differ."""

from pathlib import Path

import pytest

from pipeline.core.schema import Schema
from pipeline.observations import master_writer as alike_names
from pipeline.observations.master_writer import warn_of_alike

SCHEMA = Schema("client", "left", ("age",))


def said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, before: int, *names: str
) -> list[str | None]:
    path = tmp_path / "finaldata.csv"
    path.write_text(
        f"{SCHEMA.header}\n" + "".join(f"{name},{i},\n" for i, name in enumerate(names))
    )
    warn_of_alike(path, SCHEMA, before)
    return [record.getMessage().split(";")[0] for record in caplog.records]


def test_new_names_are_counted_by_what_they_differ_in(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    found = said(tmp_path, caplog, 4, "001", "1", "Acme", "Acme", "2", "02", "1.0", "ACME", "New")
    start = "new names of clients that differ from known ones only in"
    assert found == [
        f"{start} leading zeros: 1, such as '02' beside '2'",
        f"{start} .0: 1, such as '1.0' beside '1'",
        f"{start} case: 1, such as 'ACME' beside 'Acme'",
    ]


def test_known_names_are_not_warned_of_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert said(tmp_path, caplog, 2, "001", "1", "1", "001", "New") == []


def test_of_a_large_file_the_names_are_not_read(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alike_names, "MAX_BYTES", 10)
    assert said(tmp_path, caplog, 1, "1", "01") == []
