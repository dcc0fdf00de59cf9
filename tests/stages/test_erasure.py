"""`ingestion.py --erase`: what is left of a client, and of the others."""

import csv
import html
import json
import os
import random
import re
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import pytest
from keeping import made_once
from pypdf import PdfReader
from sandbox import HEADER, NOISE, Sandbox, client_rows

from app import create_app
from pipeline.core.formatting import truncate
from pipeline.core.names import NamesInText
from pipeline.core.schema import csv_line
from pipeline.observations.master import Master, open_master
from pipeline.storage.contacts import (
    Assignment,
    Contact,
    add_contacts,
    kept_out,
    record_assignments,
    remove_contact,
)
from pipeline.storage.database import History

PLAIN, ODD = "Zebulon Quux-47", """O'Neil & "Söhne" <x>"""
THEIRS = ("sourcedata/", "testdata/", "contacts/")


def rows_of(*values: str, names: tuple[str, ...] = (PLAIN, ODD)) -> list[str]:
    return [f"{csv_line((name,))},{value}" for name in names for value in values]


def forms(name: str) -> set[bytes]:
    """The bytes by which files may name it."""
    texts = {
        *(
            name,
            html.escape(name),
            html.escape(name, quote=False),
            name.replace('"', '""'),
            name.replace('"', 4 * '"'),
        ),
        *(html.escape(name).replace("&#x27;", "&#39;").replace("&quot;", "&#34;"),),
        *(json.dumps(name)[1:-1], json.dumps(name, ensure_ascii=False)[1:-1], repr(name)[1:-1]),
    }
    return {text.encode() for text in texts}


def naming(world: Sandbox, name: str) -> set[str]:
    """All files and cells of the history that have a name, but for what others have put there."""
    looked_for = forms(name)
    found = set()
    for path, content in world.files().items():
        if path.endswith(".pdf"):
            pages = PdfReader(world.root / path).pages
            text = "".join(page.extract_text() for page in pages)
            content += re.sub(r"\s", "", text).encode()
            if re.sub(r"\s", "", name).encode() in content:
                found.add(path)
        if any(form in content for form in looked_for) and not path.startswith(THEIRS):
            found.add(path)
    with closing(sqlite3.connect(world.root / "history.db")) as connection:
        tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        for (table,) in tables.fetchall():
            for row in connection.execute(f"SELECT * FROM {table}"):
                cells = " ".join(map(str, row)).encode()
                if any(form in cells for form in looked_for):
                    found.add(table)
    return found


def master(world: Sandbox) -> Master:
    with History(world.config.history_path) as history:
        return open_master(world.config.finaldata_path, world.config.schema, history)


def states(world: Sandbox) -> dict[bytes, tuple[int, ...]]:
    """What is known of each row, by its line."""
    found = master(world)
    lines = world.config.finaldata_path.read_bytes().splitlines()[1:]
    return dict(zip(lines, found.states.tolist(), strict=True))


def known_of(world: Sandbox, clients: bytes) -> list[tuple[object, ...]]:
    """The rows of some clients, and what is known of each: when it was is told by order alone."""
    found = {line: row for line, row in states(world).items() if line[:1] in clients}
    places = sorted({place for row in found.values() for place in row[:2]})
    return [(line, *map(places.index, row[:2]), *row[3:]) for line, row in found.items()]


def ranking(world: Sandbox) -> list[list[str]]:
    """The ranking without the ranks, and without the two clients."""
    with world.config.clientrisk_path.open(encoding="utf-8") as file:
        rows = [*csv.reader(file)]
    assert [row[0] for row in rows[1:]] == [str(i) for i in range(1, len(rows))]
    return [row[1:] for row in rows if row[1] not in (PLAIN, ODD)]


def client_of(line: bytes) -> str:
    return next(csv.reader([line.decode()]))[0]


@pytest.fixture
def named(source: Sandbox, kept_worlds: Path) -> Sandbox:
    """A project in which every kind of record names the two clients."""
    return made_once(source, kept_worlds / "named", lambda: name_everywhere(source))


def name_everywhere(world: Sandbox) -> None:
    world.configure(report_formats=["html", "pdf"], contacts_path="contacts", drift_test="raw")
    world.write("sourcedata/a.csv", [*rows_of("10,400,5,"), *client_rows(0, 60, noise=NOISE)])
    assert world.run("fullprocess").code == 0
    world.write("sourcedata/c.csv", [*rows_of("1,500,3,", "2,500,4,0"), *client_rows(200, 60)])
    faults = [*rows_of("many,1,1,0"), f'{PLAIN},"1,1,1,0', """O'Neil & "Söhne" <x>,1,1,1,0"""]
    world.write("sourcedata/d.csv", [*client_rows(300, 60), *faults])
    assert world.run("fullprocess").code == 0
    late = [f"{csv_line((name,))},1" for name in (PLAIN, "client00200")]
    world.write("sourcedata/late.csv", late, header="corporation,exited")
    world.write("sourcedata/e.csv", rows_of("39,210,60,"))  # ranked again, with another risk
    assert world.run("fullprocess").code == 0
    (world.root / "sourcedata/c.csv").rename(world.root / "hidden.csv")
    refused = world.run("ingestion", "--withdraw", "c.csv")  # which names whose rows would go
    assert refused.code == 1
    (world.root / "hidden.csv").rename(world.root / "sourcedata/c.csv")
    world.write("models/apireturns.txt", json.dumps({"clients": [PLAIN, ODD]}) + "\n")
    world.write("contacts/c.csv", [f"{PLAIN},2026-01-31"], header="client,date")
    world.write("contacts/d.csv", ["client00001,2026-01-31"], header="client,date")
    assert world.run("fullprocess").code == 0  # which takes in the contacts
    (world.root / "models/.clientrisk.csv.tmp").write_text(f"{PLAIN} {html.escape(ODD)}")
    with History(world.config.history_path) as history:
        history.query("PRAGMA secure_delete = OFF")  # as where SQLite was built without
        add_contacts(history, [Contact(ODD, PLAIN, "page", note=9_000 * "x")])
        ((last,),) = history.tuples("SELECT max(id) FROM contacts")
        assert remove_contact(history, last, ODD)
    with History(world.config.history_path) as history, history.transaction():
        for name in (PLAIN, ODD):
            about = Contact("client00001", "2026-01-31", "page", note=f"knows {name} well")
            add_contacts(history, [Contact(name, "2026-01-31", "page"), about])
            record_assignments(
                history,
                [Assignment(name, "2026-01-01", "2026-01-02", False, 0.1, "high", 0.9)],
            )
            text = f"{name} and 3 others"
            values = {"about": f"run {len(name)}", "title": text, "body": json.dumps(text)}
            history.insert("alerts", at="2026-01-31", event="failed", **values)
            history.query("UPDATE decisions SET reason = reason || ? WHERE id = 1", f"; {name!r}")
            problem = f"line 2: {name} has left"
            columns = {"size": 1, "mtime_ns": 1, "sha256": "", "problem": problem}
            history.insert("contact_files", name=f"{len(name)}.csv", **columns)
            history.insert("told", kind="waits", name=f"{len(name)}", what=f"has {name} twice")


@pytest.mark.slow
@pytest.mark.parametrize(("name", "other"), [(PLAIN, ODD), (ODD, PLAIN)])
def test_no_file_and_no_table_names_who_was_erased(named: Sandbox, name: str, other: str) -> None:
    before, known, ranked = naming(named, name), states(named), ranking(named)
    assert before >= {
        *("ingesteddata/finaldata.csv", "ingesteddata/rejectedrows.csv", "history.db"),
        *("models/clientrisk.csv", "models/movers.csv", "models/report.html", "models/report.json"),
        *("models/apireturns.txt", "models/.clientrisk.csv.tmp"),
        *("ranked_clients", "rejected_rows", "contacts", "assignments", "alerts", "decisions"),
        *("told", "runs", "contact_files"),
    }
    backup = named.root / "backup.zip"
    assert named.run("fullprocess", "--backup", str(backup)).code == 0
    result = named.run("ingestion", "--erase", f"  {name} ")
    assert result.code == 0, result.err
    assert naming(named, name) == set()
    assert not backup.exists()
    assert named.query("SELECT * FROM backups") == []
    # the others are as they were
    gone = [line for line in known if client_of(line) == name]
    assert states(named) == {line: known[line] for line in known if line not in gone}
    assert ranking(named) == ranked
    assert {"ranked_clients", "rejected_rows", "contacts", "assignments"} <= naming(named, other)
    assert named.query("SELECT count(*) FROM erasures") == [(1,)]
    # the files of other people are named, and what follows goes on
    held = [line.split(":")[0] for line in result.out.splitlines() if "yours" in line]
    assert held == [
        *("sourcedata/a.csv", "sourcedata/c.csv", "sourcedata/d.csv", "sourcedata/e.csv"),
        *(["sourcedata/late.csv", "contacts/c.csv"] if name == PLAIN else []),
    ]
    assert "backup.zip: deleted" in result.out.splitlines()
    assert named.run("fullprocess").out == "nothing new in sourcedata\n"
    server = create_app(named.config).test_client()
    for address, status in ((name, 404), ("client00000", 200)):
        assert server.get(f"/risk/{quote(address)}").status_code == status
        assert server.get("/client", query_string={"name": address}).status_code == status


def test_of_an_unknown_name_only_that_is_said_and_nothing_goes(named: Sandbox) -> None:
    before = named.files()
    result = named.run("ingestion", "--erase", "Zebulon")  # a part of a name is none
    assert result.code == 1
    assert result.err.splitlines()[-1] == "error: no client of that name is on record"
    after = named.files()
    gone = {name for name in before if before[name] != after.get(name)}
    # but a row that is no CSV and names it
    assert gone == {"history.db", "ingesteddata/rejectedrows.csv"}
    assert named.query("SELECT count(*) FROM erasures") == [(0,)]
    assert "Zebulon" not in named.query("SELECT detail FROM runs ORDER BY id DESC LIMIT 1")[0][0]


@pytest.mark.parametrize("seed", range(4))
def test_what_follows_is_for_the_others_as_if_nobody_had_been_erased(
    sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory, seed: int
) -> None:
    """Files are new, are rewritten or withdrawn, and report outcomes, before and after."""
    rng = random.Random(seed)
    other = Sandbox(tmp_path_factory.mktemp("other"), sandbox.capsys)
    steps = rng.randrange(2, 6)
    for step in range(10):
        if step == steps:
            shutil.copytree(sandbox.root, other.root, dirs_exist_ok=True)
            assert sandbox.run("ingestion", "--erase", "a", "--erase", "d").code in (0, 1)
        name, reports = rng.choice(["f.csv", "g.csv", "h.csv"]), rng.random() < 0.3
        clients = [rng.choice("abcd") for _ in range(rng.randrange(1, 7))]
        lines = [f"{c},{rng.randrange(3)},2,3,{rng.choice(['', '0', '1'])}" for c in clients]
        if reports:
            name, lines = f"o_{name}", [f"{line[0]},{line[-1]}" for line in lines]
        args = ["--withdraw", name, "--yes"] if rng.random() < 0.3 else []
        for world in [sandbox, other] if step >= steps else [sandbox]:
            header = "corporation,exited" if reports else HEADER
            path = world.write(f"sourcedata/{name}", lines, header=header)
            os.utime(path, ns=(10**18 + step, 10**18 + step))
            world.run("ingestion")
            world.run("ingestion", *args)
    assert known_of(sandbox, b"bc") == known_of(other, b"bc") != []


def test_who_is_kept_out_is_not_taken_in_again_nor_named(sandbox: Sandbox) -> None:
    sandbox.write("sourcedata/a.csv", [*rows_of("1,2,3,0"), "b,1,2,3,0"])
    assert sandbox.run("ingestion").code == 0
    names = sandbox.write("names.txt", f"\ufeff{PLAIN}\n\n {ODD}\n")
    erased = sandbox.run("ingestion", "--erase-file", str(names), "--keep-out")
    assert erased.code == 0, erased.err
    names.unlink()
    spaced = PLAIN.replace(" ", "  ")
    faults = [f'{PLAIN},"1,2,3,0', f"{spaced},many,2,3,0", *client_rows(0, 40)]
    sandbox.write("sourcedata/b.csv", [*rows_of("9,2,3,0", "8,2,3,1"), *faults])
    late = [f"{csv_line((name,))},1" for name in (PLAIN, ODD, "b")]
    sandbox.write("sourcedata/late.csv", late, header="corporation,exited")
    taken = sandbox.run("ingestion")
    assert "b.csv: 40 new of 46 rows, 6 set aside\n" in taken.out
    assert [naming(sandbox, name) for name in (PLAIN, ODD)] == [set(), set()]
    assert sandbox.query("SELECT DISTINCT reason, row FROM rejected_rows") == [
        ("the client is kept out", "")
    ]
    # who is left out by intent is none of whom a full list may not say that it is there
    assert sandbox.query("SELECT sum(rejected) FROM files") == [(0,)]
    with History(sandbox.config.history_path) as history, history.transaction():
        add_contacts(history, [Contact(name, "2026-01-31", "file c.csv") for name in (PLAIN, "b")])
    assert sandbox.query("SELECT client FROM contacts") == [("b",)]
    rebuilt = sandbox.run("ingestion", "--rebuild", "--yes")
    assert "2 clients were erased, the last on " in rebuilt.err
    assert [naming(sandbox, name) for name in (PLAIN, ODD)] == [set(), set()]
    with History(sandbox.config.history_path) as history:
        kept, ((hashes, keys),) = kept_out(history), history.tuples(KEPT)
    assert {kept.hash(PLAIN), kept.hash(ODD)} == kept.hashes
    assert (hashes, keys) == (2, 64)


def test_where_spark_keeps_the_rows_nobody_is_erased_or_kept_out(sandbox: Sandbox) -> None:
    assert sandbox.run("ingestion", "--erase", PLAIN, "--keep-out").code == 1  # unknown
    sandbox.configure(engine={"kind": "spark"})
    for args, said in ((["--erase", PLAIN], "cannot erase clients"), ([], "clients are kept out")):
        result = sandbox.run("ingestion", *args)
        assert (result.code, result.err.count("\n")) == (1, 1)
        assert said in result.err


KEPT = "SELECT (SELECT count(*) FROM kept_out), length(kept_out_key) FROM master"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("risk of A1 rose", {"A1"}),
        ("risk of A10 rose", set()),
        ("the  A&B\nLtd (x)", {"A&B Ltd (x)"}),
        (json.dumps(['a "b" ü']), {'a "b" ü'}),
        (csv_line(('a "b" ü', "1")), {'a "b" ü'}),
        ("'" + 41 * "y" + "'", set()),
        (truncate(60 * "y", 41), {60 * "y"}),
        ("§ 3", {"§"}),
    ],
)
def test_names_are_found_however_they_are_written(text: str, found: set[str]) -> None:
    search = NamesInText(["A1", "A&B Ltd (x)", 'a "b" ü', 60 * "y", "§"])
    assert search.found(text) == found
    assert search.found(search.without(text)) == set()
    assert search.without("of A1, A10") == "of (erased), A10"


def test_outcomes_that_wait_for_their_clients_wait_on(sandbox: Sandbox) -> None:
    sandbox.write("sourcedata/a.csv", ["first,1,2,3,0", "second,1,2,3,0"])
    sandbox.write("sourcedata/late.csv", ["who comes later,1"], "corporation,exited")
    assert sandbox.run("ingestion").code == 0
    assert sandbox.run("ingestion", "--erase", "first").code == 0
    sandbox.write("sourcedata/b.csv", ["who comes later,1,2,3,"])
    assert sandbox.run("ingestion").code == 0
    assert sandbox.config.finaldata_path.read_text().splitlines()[-1] == "who comes later,1,2,3,1"
