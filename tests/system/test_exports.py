"""From an export that nobody cleaned to a ranking: look at it, copy what is proposed, run."""

import csv
import json
import os
from collections.abc import Callable
from typing import Any

import pytest
from exports import EXPORTS, Export
from sandbox import Sandbox

DAY = 86_400
START = 1_790_000_000


def put(world: Sandbox, folder: str, name: str, content: bytes, day: int) -> None:
    path = world.root / folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    os.utime(path, (START + DAY * day,) * 2)


def proposed(world: Sandbox) -> dict[str, Any]:
    """What is proposed for the files of a folder."""
    done = world.run("ingestion", "--check", str(world.root / "exports"), "--json")
    assert (done.code, done.err) == (0, ""), done
    found = json.loads(done.out)["files"]
    assert all(not check["fault"] and check["proposed"] == found[0]["proposed"] for check in found)
    return dict(found[0]["proposed"])


@pytest.mark.parametrize("make", EXPORTS, ids=lambda make: make.__name__)
def test_an_export_becomes_a_ranking_with_two_edits_of_the_config(
    sandbox: Sandbox, make: Callable[[], Export]
) -> None:
    export = make()
    for day, (name, content) in enumerate(export.files.items()):
        put(sandbox, "exports", name, content, day * 20)
    for path in (sandbox.root / "testdata").iterdir():
        path.unlink()
    first = proposed(sandbox)
    assert len(first) <= 2
    sandbox.configure(**first, **export.keys, api_url=None, report_formats=[])
    for day, (name, content) in enumerate(export.files.items()):
        if export.keys:  # lists: who left is found out; test data are of their own
            put(sandbox, "sourcedata", name, content, day * 20)
        else:
            split = sandbox.run("ingestion", "--split", str(sandbox.root / "exports" / name))
            assert split.code == 0, split
    if export.keys:
        rows = [f"T{i},{'basic' if i % 2 else 'pro'},{i}.5,{i},1,{i % 2}" for i in range(60)]
        header = "CUST_NO,PLAN,MRR,TENURE,OPEN_TICKETS,has_left"
        sandbox.write("testdata/clients.csv", rows, header)
    done = sandbox.run("fullprocess")
    assert done.code == 0, done
    with (sandbox.root / "models/clientrisk.csv").open() as file:
        ranked = {row["client"] for row in csv.DictReader(file)}
    tested = (sandbox.root / "testdata").glob("*.csv")
    known = {line.split(",")[0] for path in tested for line in path.read_text().split("\n")}
    with sandbox.config.finaldata_path.open() as file:
        known |= {row[0] for row in csv.reader(file)}
    assert {*export.names} <= known
    assert export.clients / 4 < len(ranked) < export.clients
    assert not {"Summe", "Total"} & known
