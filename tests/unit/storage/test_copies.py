from pathlib import Path
from threading import Event, Thread

from pipeline.storage.contacts import Contact, add_contacts, contacts
from pipeline.storage.database import History
from pipeline.storage.history import copy_into_file


def test_what_another_has_half_written_is_waited_for(tmp_path: Path) -> None:
    path, copied = tmp_path / "history.db", tmp_path / "copy.db"
    few = [Contact("Acme", "2026-11-22", "api")]
    opened, half_written = Event(), Event()

    def copy() -> None:
        with History(path) as history:
            opened.set()
            half_written.wait()
            copy_into_file(history, copied)

    with History(path) as history:
        with history.transaction():
            add_contacts(history, few)
        path.chmod(0o640)
        copying = Thread(target=copy)
        copying.start()
        opened.wait()
        history.query("PRAGMA cache_size = 1")  # so that pages are written before they count
        history.query("BEGIN IMMEDIATE")
        add_contacts(history, few * 10_000)
        half_written.set()
        copying.join(0.3)
        assert copying.is_alive()
        history.query("ROLLBACK")
        copying.join()

    assert copied.stat().st_mode & 0o777 == 0o640
    with History(copied) as copy_of:
        assert copy_of.tuples("PRAGMA integrity_check") == [("ok",)]
        assert [each.client for each in contacts(copy_of)] == ["Acme"]
