"""Files of contacts: taken in once, anew when they change, and never in the way of a run."""

import errno
import logging
import os
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest

from pipeline.action.contacts import contact_of, take_contact_files
from pipeline.core.schema import DEFAULT_SCHEMA, Format
from pipeline.storage.contacts import Contact, contacts
from pipeline.storage.database import History

_open = os.open


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "contacts").mkdir()
    return tmp_path / "contacts"


def take(place: Path, schema: object = DEFAULT_SCHEMA) -> list[Contact]:
    with History(place.parent / "history.db") as history:
        take_contact_files(history, place, schema)  # type: ignore[arg-type]
        return [replace(each, id=0, recorded_at="") for each in contacts(history)]


def test_files_as_people_have_them(place: Path) -> None:
    (place / "a.csv").write_text('Client;Date;Note;By\nMüller;24.11.2026;"a; b";Ann\n', "cp1252")
    (place / "b.csv").write_text("date,client\n2026-11-23, Bo \n")
    schema = replace(DEFAULT_SCHEMA, format=Format(date="%d.%m.%Y"))

    assert take(place, schema) == [
        Contact("Müller", "2026-11-24", "file a.csv", note="a; b", by_whom="Ann"),
        Contact("Bo", "2026-11-23", "file b.csv"),
    ]


def test_a_file_counts_as_it_is_now_and_stays_when_it_is_gone(place: Path) -> None:
    path = place / "a.csv"
    path.write_text("client,date,channel\nA,2026-11-01,mail\nB,2026-11-02,mail\n")
    assert [each.client for each in take(place)] == ["B", "A"]
    os.utime(path, (1, 1))
    assert len(take(place)) == 2

    path.write_text("client,date,channel\nB,2026-11-03,phone\n")
    expected = [Contact("B", "2026-11-03", "file a.csv", channel="phone")]
    assert take(place) == expected
    path.write_text("something else\n1\n")
    assert take(place) == expected
    path.unlink()
    assert take(place) == expected
    path.write_text("client,date\n")
    assert take(place) == []


def test_what_is_wrong_is_said_once_and_the_rest_is_taken_in(
    place: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tomorrow = (date.today() + timedelta(1)).isoformat()
    rows = ["A,2026-11-01", "B,1.11.2026", f"C,{tomorrow}", ",2026-11-01"]
    (place / "a.csv").write_text("\n".join(["client,date", *rows]) + "\n")
    (place / "b.csv").write_text("name,when\nA,2026-11-01\n")
    (place / "notes.doc").write_text("x")
    caplog.set_level(logging.WARNING)

    for _ in range(2):
        assert [each.client for each in take(place)] == ["A"]
        said = [record.getMessage() for record in caplog.records]
        assert len(said) == 3
        assert "a.csv has 3 rows that are no contacts and left out; line 3: date" in said[0]
        assert said[1].startswith("b.csv holds no contacts that can be read: ")
        assert said[2].startswith("notes.doc is no table by its name")


def test_texts_keep_what_else_ends_lines(place: Path) -> None:
    notes = [f"one{end}two" for end in "\v\f\x1c\x85\u2028"]
    rows = [f'A,2026-11-01,"{note}"\n' for note in notes]
    (place / "a.csv").write_text("".join(["client,date,note\n", *rows]), encoding="utf-8")

    assert [each.note for each in reversed(take(place))] == notes


def test_a_file_that_cannot_be_read_is_said_and_tried_again(
    place: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    (place / "a.csv").write_text("client,date\nA,2026-11-01\n")
    (place / "b.csv").symlink_to(place / "a.csv")

    with monkeypatch.context() as forbidden:
        forbidden.setattr("os.open", _no_permission)
        assert take(place) == []
    said = [record.getMessage() for record in caplog.records]
    assert [text.partition(" ")[0] for text in said] == ["a.csv", "b.csv"]
    assert "Permission denied" in said[0]

    assert [each.client for each in take(place)] == ["A"]


def _no_permission(path: str, *rest: int) -> int:
    if str(path).endswith(".csv"):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))
    return _open(path, *rest)


def test_clients_whom_no_ranking_ever_had_are_said(
    place: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with History(place.parent / "history.db") as history:
        history.insert("ranked_clients", client="A")
    (place / "a.csv").write_text("client,date\nA,2026-11-01\na,2026-11-01\na,2026-11-02\n")
    (place / "b.csv").write_text("client,date\nA,2026-11-03\n")
    caplog.set_level(logging.INFO)

    assert [len(take(place)) for _ in range(2)] == [4, 4]

    assert [record.getMessage() for record in caplog.records] == [
        "a.csv: 3 contacts",
        "a.csv: no ranking ever had 1 client, such as a: are names as in the client files?",
        "b.csv: 1 contact",
    ]


def test_a_folder_that_is_not_there_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(2):
        assert take(tmp_path / "nosuch") == []
        assert [r.getMessage() for r in caplog.records if "contacts_path" in r.getMessage()] == [
            f'"contacts_path" {tmp_path}/nosuch: there is no such folder to take files from'
        ]


def test_a_folder_that_cannot_be_listed_fails_no_run(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "loop").symlink_to("loop")

    assert take(tmp_path / "loop") == []
    assert "Too many levels of symbolic links" in caplog.text


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "client is empty; expected a name"),
        ({"client": "n/a"}, "client is no client but a word for a missing one; expected a name"),
        ({"client": "A", "date": "soon"}, "date is not a date; expected YYYY-MM-DD"),
        ({"client": "A", "date": "2190-01-01"}, "date is in the future"),
        ({"client": "A", "by": "\ud800"}, "by has a character that is none of a text"),
        ({"client": "A", "note": "x" * 1001}, "note is longer than 1,000 characters"),
    ],
)
def test_what_is_no_contact_is_refused(given: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        contact_of(given, DEFAULT_SCHEMA, "api")
