"""Backups: written while others read and write, put back elsewhere, and refused where damaged."""

import json
import random
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from hashlib import sha256
from pathlib import Path
from threading import Event, Thread
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile, ZipInfo

import pytest
import requests
from sandbox import PROJECT, Sandbox, client_rows
from servers import answers, free_port, wait_until
from worlds import without_ids

from pipeline.stages.backup import delete_backup, known_backups
from pipeline.storage.history import open_history, run_lock

NOTHING_NEW = "nothing new in sourcedata\n"
SAME = ("ingesteddata/finaldata.csv", "models/clientrisk.csv", "models/latestscore.txt")

# writes contacts in pairs, each pair at once, and says how many there are, until told to end
CONTACTS = """
import sys
from hashlib import sha256
from pathlib import Path
from threading import Thread
from pipeline.storage.contacts import Contact, add_contacts
from pipeline.storage.history import open_history

told = Thread(target=sys.stdin.read)
told.start()
pairs = 0
with open_history(Path(sys.argv[1])) as history:
    while told.is_alive():
        with history.transaction():
            for which in "ab":
                add_contacts(history, [Contact(f"{which}{pairs}", "2026-11-22", "api")])
        pairs += 1
        print(pairs, flush=True)
"""

# the chain, which may write no byte of a file beyond a limit: it is then killed, or told so
LIMITED = """
import resource, signal, sys
import fullprocess

resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2)
if sys.argv[2] == "killed":
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
raise SystemExit(fullprocess.main(sys.argv[3:]))
"""


@contextmanager
def contacts_written(history: Path) -> Iterator[Callable[[], int]]:
    """Another process that writes contacts; to be asked how many pairs there are next."""
    command = [sys.executable, "-c", CONTACTS, str(history)]
    with subprocess.Popen(
        command, cwd=PROJECT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout
        lines = child.stdout
        yield lambda: int(lines.readline())
        child.communicate()
    assert child.returncode == 0


@contextmanager
def server_asked(world: Sandbox) -> Iterator[list[int]]:
    """A server that is asked for the ranking all the time, and what it answered."""
    port, done, found = free_port(), Event(), []
    url = f"http://127.0.0.1:{port}"
    config = ["--config", str(world.root / "config.json"), "--port", str(port)]

    def ask() -> None:
        while not done.is_set():
            found.append(requests.get(f"{url}/risk?limit=5", timeout=600).status_code)

    with subprocess.Popen(
        [sys.executable, "app.py", *config], cwd=PROJECT, stderr=subprocess.DEVNULL
    ) as child:
        wait_until(lambda: answers(f"{url}/health"))
        asking = Thread(target=ask)
        asking.start()
        try:
            wait_until(lambda: found)
            yield found
        finally:
            done.set()
            asking.join()
            child.terminate()


def limited(world: Sandbox, most: int, how: str, *args: str) -> subprocess.CompletedProcess[str]:
    config = ["--config", str(world.root / "config.json"), *args]
    command = [sys.executable, "-c", LIMITED, str(most), how, *config]
    return subprocess.run(command, cwd=PROJECT, capture_output=True, text=True)


@pytest.fixture
def target(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a backup is to be."""
    return tmp_path_factory.mktemp("backups") / "b.zip"


@pytest.fixture
def place(tmp_path_factory: pytest.TempPathFactory, settled: Sandbox) -> Sandbox:
    """Another place, which has the client files and test data alone."""
    other = Sandbox(tmp_path_factory.mktemp("place"), settled.capsys)
    copy_files(settled, other)
    return other


def copy_files(world: Sandbox, other: Sandbox) -> None:
    for folder in ("sourcedata", "testdata"):
        for path in (world.root / folder).iterdir():
            other.write(f"{folder}/{path.name}", path.read_text())


@pytest.fixture
def backup(settled: Sandbox, target: Path) -> Path:
    result = settled.run("fullprocess", "--backup", str(target))
    assert (result.code, result.err) == (0, "")
    return target


@pytest.mark.slow
def test_a_life_goes_on_in_another_place(
    lived: Sandbox, target: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = Sandbox(tmp_path_factory.mktemp("place"), lived.capsys)
    with server_asked(lived) as answered, contacts_written(lived.config.history_path) as pairs:
        before, asked = pairs(), len(answered)
        assert lived.run("fullprocess", "--backup", str(target)).code == 0
        after = pairs()
        wait_until(lambda: len(answered) > asked)
    assert {*answered} == {200}
    copy_files(lived, other)

    assert other.run("fullprocess", "--restore", str(target)).code == 0

    counted = "SELECT count(*), count(DISTINCT substr(client, 2)), max(id) FROM contacts"
    ((contacts, found, last),) = other.query(counted)
    assert contacts == last == 2 * found
    assert 0 < before <= found
    assert after > before
    assert other.query("PRAGMA integrity_check") == [("ok",)]
    restored = other.files()
    differ = {name for name, data in lived.files().items() if restored.get(name) != data}
    assert differ == {"history.db", "models/.history", "production_deployment/.history"}
    assert other.run("fullprocess").out == NOTHING_NEW
    rows = [world.config.finaldata_path.stat().st_mtime_ns for world in (lived, other)]
    assert rows[0] == rows[1]  # or every tick would read them
    for world in (lived, other):
        world.write("sourcedata/f.csv", client_rows(800, 400))
        assert world.run("fullprocess").code == 0
    for name in SAME:
        ours, theirs = ((world.root / name).read_bytes() for world in (lived, other))
        assert without_ids(ours) == without_ids(theirs), name
    assert [len(world.query("SELECT 1 FROM deployments")) for world in (lived, other)] == [3, 3]


def test_it_is_private_and_refuses_what_it_would_overwrite_or_back_up(
    settled: Sandbox, backup: Path
) -> None:
    assert backup.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in backup.parent.iterdir()] == ["b.zip"]
    before = backup.read_bytes()
    for path, message in (
        (backup, f"{backup} is there already: name another file, or delete it"),
        (backup.parent / "no/b.zip", f"{backup.parent}/no is no folder"),
        (settled.root / "models/b.zip", "name a file outside of the data's folders"),
        (settled.root / "sourcedata/b.zip", "name a file outside of the data's folders"),
    ):
        result = settled.run("fullprocess", "--backup", str(path))
        assert (result.code, result.out) == (1, "")
        assert message in result.err
    assert backup.read_bytes() == before


def test_beside_a_run_neither_does_anything(settled: Sandbox, backup: Path) -> None:
    with run_lock(settled.config.lock_path):
        for args in (("--backup", f"{backup}2"), ("--restore", str(backup))):
            result = settled.run("fullprocess", *args)
            assert (result.code, result.out) == (75, "")
    assert [path.name for path in backup.parent.iterdir()] == ["b.zip"]


def test_a_killed_backup_is_none(settled: Sandbox, target: Path, place: Sandbox) -> None:
    noise = random.Random(0).randbytes(4_000_000)
    (settled.root / "models/noise").write_bytes(noise)
    for most in (1_000, 100_000, 1_000_000, 3_000_000, 3_000_000):
        done = limited(settled, most, "killed", "--backup", str(target))
        assert done.returncode == -signal.SIGXFSZ, done.stderr
        assert not target.exists()
        assert settled.run("fullprocess").out == NOTHING_NEW
        left = sorted(path.name for path in target.parent.iterdir())
        assert left == [".b.zip.copies", ".b.zip.tmp"] * (most > 100_000)
        if most == 1_000_000:  # the others are overwritten
            assert (delete_backup(target), delete_backup(target)) == (True, False)
            assert [*target.parent.iterdir()] == []
    with open_history(settled.config.history_path) as history:
        assert [*known_backups(history)] == [target]

    assert settled.run("fullprocess", "--backup", str(target)).code == 0

    assert [path.name for path in target.parent.iterdir()] == ["b.zip"]
    assert place.run("fullprocess", "--restore", str(target)).code == 0
    assert (place.root / "models/noise").read_bytes() == noise


def test_a_failed_restore_leaves_the_place_empty(place: Sandbox, backup: Path) -> None:
    before = place.files()

    done = limited(place, 20_000, "told", "--restore", str(backup))

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.endswith(": File too large\n")
    assert place.files() == before
    assert place.run("fullprocess", "--restore", str(backup)).code == 0
    assert place.run("fullprocess").out == NOTHING_NEW


def test_what_is_there_already_is_named_and_left_alone(settled: Sandbox, backup: Path) -> None:
    before, stamps = settled.files(), settled.stamps()

    result = settled.run("fullprocess", "--restore", str(backup))

    assert (result.code, result.out) == (1, "")
    assert f"there already: {settled.root}/history.db, " in result.err
    assert (settled.files(), settled.stamps()) == (before, stamps)
    (settled.root / "history.db").unlink()
    assert "finaldata.csv" in settled.run("fullprocess", "--restore", str(backup)).err
    assert not (settled.root / "history.db").exists()


def test_a_config_that_is_there_says_where_to(
    settled: Sandbox, place: Sandbox, target: Path
) -> None:
    elsewhere = settled.root / "elsewhere"
    settled.configure(output_model_path=str(elsewhere))  # absolute, and the same for both
    assert settled.run("reporting").code == 0
    assert settled.run("fullprocess", "--backup", str(target)).code == 0
    result = place.run("fullprocess", "--restore", str(target))
    assert (result.code, f"there already: {elsewhere}/" in result.err) == (1, True)
    assert not (place.root / "config.json").exists()

    config = json.loads((settled.root / "config.json").read_text())
    given = {**config, "output_model_path": "other", "history_path": "other/history.db"}
    place.write("config.json", json.dumps(given))
    assert place.run("fullprocess", "--restore", str(target)).code == 0
    assert place.run("fullprocess").out == NOTHING_NEW
    assert place.run("ingestion").code == 0  # the folders are this history's
    assert (place.root / "other/clientrisk.csv").is_file()


Change = Callable[[dict[str, bytes]], dict[str, bytes]]


def manifest_with(**keys: object) -> Change:
    def change(members: dict[str, bytes]) -> dict[str, bytes]:
        manifest = {**json.loads(members["manifest.json"]), **keys}
        return {**members, "manifest.json": json.dumps(manifest).encode()}

    return change


def listed(name: str) -> Change:
    """Another member, with all that the manifest needs to have of it."""

    def change(members: dict[str, bytes]) -> dict[str, bytes]:
        files = json.loads(members["manifest.json"])["files"]
        files[name] = files["config.json"]
        return manifest_with(files=files)({name: members["config.json"], **members})

    return change


def no_config(members: dict[str, bytes]) -> dict[str, bytes]:
    files = json.loads(members["manifest.json"])["files"]
    files["config.json"] |= {"size": 1, "sha256": sha256(b"{").hexdigest()}
    return manifest_with(files=files)({**members, "config.json": b"{"})


def without(name: str) -> Change:
    return lambda members: {each: members[each] for each in members if each != name}


TAMPERED: dict[str, Change] = {
    "a changed member": lambda members: {**members, "history.db": members["history.db"][::-1]},
    "a lacking member": without("ingesteddata/finaldata.csv"),
    "no manifest": without("manifest.json"),
    "one too many": lambda members: {"models/more": b"", **members},
    "a way out": listed("models/../../evil"),
    "an absolute path": listed("/evil"),
    "a way out of the folder": listed("../evil"),
    "another folder": listed("pipeline/evil.py"),
    "no such release": manifest_with(live="../../evil"),
    "another form": manifest_with(format=2),
    "a newer history": manifest_with(migrations=1_000),
    "no config": no_config,
    "no list": manifest_with(files=[]),
}


@pytest.mark.parametrize("how", [*TAMPERED, "a link", "twice", "stored", "no archive"])
def test_a_tampered_or_foreign_archive_is_refused(backup: Path, place: Sandbox, how: str) -> None:
    with ZipFile(backup) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members = TAMPERED.get(how, lambda same: same)(members)
    stored = ZIP_STORED if how == "stored" else ZIP_DEFLATED
    with ZipFile(backup, "w", stored) as archive:
        for name, content in members.items():
            info = ZipInfo(name)
            info.compress_type = stored
            link = how == "a link" and name == "models/movers.csv"
            info.external_attr = (0o120777 if link else 0o100644) << 16
            archive.writestr(info, content)
            if how == "twice" and name == "config.json":
                with pytest.warns(UserWarning, match="Duplicate name"):
                    archive.writestr(info, content)
    if how == "no archive":
        backup.write_text("client,risk\n")
    refused(place, backup)


def refused(place: Sandbox, backup: Path) -> None:
    before = place.files()
    result = place.run("fullprocess", "--restore", str(backup))
    assert (result.code, result.out) == (1, "")
    assert result.err.startswith(f"error: {backup} is no backup of ours, or damaged: ")
    assert result.err.count("\n") == 1
    assert place.files() == before
    assert not [path for path in place.root.parent.rglob("evil*") if path.exists()]


def test_a_truncated_archive_is_refused(backup: Path, place: Sandbox) -> None:
    content = backup.read_bytes()
    for length in (0, 1, 100, len(content) // 2, len(content) - 100, len(content) - 1):
        backup.write_bytes(content[:length])
        refused(place, backup)


def test_a_damaged_byte_is_refused_or_does_not_matter(backup: Path, place: Sandbox) -> None:
    content, lot = backup.read_bytes(), random.Random(0)
    directory = content.index(b"PK\x01\x02")
    assert place.run("fullprocess", "--restore", str(backup)).code == 0
    whole, kept = place.files(), {"sourcedata", "testdata"}
    before = {name: whole[name] for name in whole if name.split("/")[0] in kept}
    for _ in range(40):  # a quarter of them in what is read first
        at = lot.randrange(lot.choice([0, 0, 0, directory]), len(content))
        damaged = bytes([content[at] ^ lot.randrange(1, 256)])
        backup.write_bytes(content[:at] + damaged + content[at + 1 :])
        for name in place.files().keys() - before.keys():
            (place.root / name).unlink()

        result = place.run("fullprocess", "--restore", str(backup))

        assert (result.code, result.err.count("\n")) in ((0, 0), (1, 1)), (at, result.err)
        assert place.files() == (before if result.code else whole), at


def test_practice_has_backups_of_its_own(sandbox: Sandbox, target: Path) -> None:
    sandbox.write("practicedata/a.csv", client_rows(0, 60))
    assert sandbox.run("fullprocess", "--practice").code == 0
    assert sandbox.run("fullprocess", "--practice", "--backup", str(target)).code == 0
    before = {name: data for name, data in sandbox.files().items() if "practicemodels" in name}
    (sandbox.root / "practicemodels").rename(sandbox.root / "away")

    assert sandbox.run("fullprocess", "--practice", "--restore", str(target)).code == 0

    found = sandbox.files()
    assert {n: found[n] for n in before if "history" not in n} == {
        n: data for n, data in before.items() if "history" not in n
    }
    assert sandbox.run("fullprocess", "--practice").out == "nothing new in practicedata\n"
    assert not (sandbox.root / "history.db").exists()


def test_where_nothing_is_recorded_there_is_nothing_to_back_up(
    sandbox: Sandbox, target: Path
) -> None:
    result = sandbox.run("fullprocess", "--backup", str(target))
    assert (result.code, result.err) == (1, "error: nothing has been recorded yet\n")
    assert not target.exists()


def test_each_backup_is_on_record_also_in_itself(settled: Sandbox, target: Path) -> None:
    second = target.with_name("second.zip")
    for path in (target, second):
        made = json.loads(settled.run("fullprocess", "--backup", str(path), "--json").out)
    with open_history(settled.config.history_path) as history:
        assert [*known_backups(history)] == [target, second]
    with ZipFile(target) as archive:
        archive.extract("history.db", target.parent)
    with closing(sqlite3.connect(target.parent / "history.db")) as copy:
        assert copy.execute("SELECT path FROM backups").fetchall() == [(str(target),)]
    with ZipFile(second) as archive:
        assert json.loads(archive.read("manifest.json")) == made
