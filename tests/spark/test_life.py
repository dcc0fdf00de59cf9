"""The same life, in one process and on Spark: what is kept, decided and written is the same."""

import re
import time

import pytest
from sandbox import Sandbox
from sparkworlds import (
    DAY,
    HEADER,
    SCHEMA,
    START,
    TESTED,
    Worlds,
    answers,
    assert_alike,
    both,
    live,
    put,
    shown,
    table,
)

from pipeline.observations.rows import open_rows
from pipeline.storage.history import open_history

pytestmark = [
    pytest.mark.spark,
    pytest.mark.filterwarnings("ignore:PySpark does not yet fully support pandas:FutureWarning"),
]


def gone_clients(world: Sandbox) -> set[str]:
    """The clients that are known to have left."""
    config = world.config
    with open_history(config.history_path) as history:
        frame = open_rows(config.finaldata_path, config.schema, history).frame
    return {*frame["corporation"][frame["exited"] == 1]}


def test_three_weeks(worlds: Worlds) -> None:
    for world in worlds:
        put(world, "week1.csv", [*table(1, range(700), known=True), "x,many,1,1,a,1,"], 0)
        put(world, "nothing.csv", ["1,2"], 0, "what,ever")
    live(worlds)
    for world in worlds:
        put(world, "week2.csv", table(2, range(100, 900), known=False), 7)
    live(worlds)
    for world in worlds:
        late = [f"client{i:04d},{int(5 + (i * 37) % 90 < 50)}" for i in range(701, 860) if i % 11]
        put(world, "late.csv", [*late, "nobody,1"], 10, "corporation,exited")
        put(world, "week2.csv", table(2, range(150, 950), known=False), 10)
    live(worlds)
    for world in worlds:
        rows = [*table(3, range(400, 1000), known=True), "nobody,5,6,7,a,,m1"]
        put(world, "week3.csv", rows, 14)
    live(worlds)
    for world in worlds:  # nothing that is not known
        put(world, "again.csv", table(2, range(150, 950), known=False), 15)
    live(worlds)


def test_withdrawn_and_rebuilt(worlds: Worlds) -> None:
    for world in worlds:
        put(world, "a.csv", table(1, range(300), known=True), 0)
        put(world, "b.csv", table(2, range(200, 400), known=False), 1)
        reports = ["client0250,1", "client0901,0", "client0950,1", "client0250,0"]
        put(world, "r.csv", reports, 2, "corporation,exited")
    both(worlds, "ingestion")
    for world in worlds:
        put(world, "a.csv", table(1, range(100, 350), known=True)[::-1], 3)
        put(world, "c.csv", table(4, range(880, 920), known=False), 4)
    both(worlds, "ingestion")
    assert "nothing is done without --yes" in both(
        worlds, "ingestion", "--withdraw", "a.csv", code=1
    )
    both(worlds, "ingestion", "--withdraw", "a.csv", "--yes")
    both(worlds, "ingestion", "--rebuild")
    for world in worlds:
        (world.root / "sourcedata/b.csv").unlink()
        put(world, "d.csv", table(4, range(940, 960), known=False), 0.5)
        put(world, "e.csv", table(4, range(970, 980), known=False), 7)
        more = [*reports, "client0945,1"]  # and those that wait for it, of the same line
        put(world, "r.csv", [*more, "client0975,1"], 5, "corporation,exited")
        put(world, "late.csv", [*more, "client0976,1"], 6, "corporation,exited")
    assert "nothing is done without --yes" in both(worlds, "ingestion", "--rebuild", code=1)
    both(worlds, "ingestion", "--rebuild", "--yes")
    left = gone_clients(worlds[1])
    assert {"client0975", "client0976"} <= left
    for world in worlds:
        (world.root / "sourcedata/r.csv").unlink()
    both(worlds, "ingestion", "--withdraw", "r.csv", "--yes")
    assert gone_clients(worlds[1]) == left - {"client0975"}
    both(worlds, "ingestion", "--rebuild", "--yes")
    for name in ("a.csv", "c.csv", "d.csv", "late.csv"):
        for world in worlds:
            (world.root / "sourcedata" / name).unlink()
        both(worlds, "ingestion", "--withdraw", name, "--yes")
    for world in worlds:  # and nothing is left
        (world.root / "sourcedata/e.csv").unlink()
        assert ": 0 rows" in world.run("ingestion", "--withdraw", "e.csv", "--yes").out
        assert world.run("fullprocess").code == 0


def test_a_broken_feed_is_held_back_accepted_and_answered_for(
    worlds: Worlds,
) -> None:
    paths = ("/risk?limit=500", "/movers", "/summarystats", "/risk/client0002")
    for world in worlds:
        world.configure(client_value="number_of_employees", contact_cost=1, save_rate=0.2)
        rows = [*table(1, range(600), known=True), "of no value,5,6,,a,0,m1"]
        put(world, "week1.csv", rows, 0)
    live(worlds)
    for world in worlds:
        rows = table(1, range(600), known=True)
        broken = [re.sub(r",(\d+),(\d+),", r",\g<1>000,\2,", row, count=1) for row in rows]
        put(world, "week2.csv", broken, 7)
    assert "held back" in live(worlds)
    one, other = (answers(world, *paths) for world in worlds)
    assert other == one
    pages = ["/client?name=client0007", "/client?name=B%C3%B6%2C+11+%22x%22"]
    for page in pages:
        assert shown(worlds[1], page) == shown(worlds[0], page)
    for world in worlds:
        put(world, "week3.csv", table(3, range(200, 700), known=True), 14)
    live(worlds)
    both(worlds, "ingestion", "--accept", "week2.csv")
    live(worlds)
    both(worlds, "ingestion", "--withdraw", "week2.csv", "--yes")
    live(worlds)
    for page in pages:
        assert shown(worlds[1], page) == shown(worlds[0], page)


@pytest.mark.parametrize("dated", [False, True])
def test_full_lists(worlds: Worlds, *, dated: bool) -> None:
    keys: dict[str, object] = {"input": "snapshots", "absent": "left"}
    for world in worlds:
        world.configure(
            **keys,
            horizon_days=None if dated else 10,
            schema=SCHEMA | ({"date": "day"} if dated else {}),
        )
        for week in range(6):
            on = [i for i in range(500 + 10 * week) if not (i % 9 == week and i < 300)]
            rows = table(week, on, known=False)
            day = time.strftime("%Y-%m-%d", time.localtime(START + 7 * week * DAY))
            header = HEADER
            if dated:
                rows = [re.sub(r'^("(?:[^"]|"")*"|[^,]*),', rf"\1,{day},", row) for row in rows]
                header = HEADER.replace(",", ",day,", 1)
            if week == 5:
                rows[3] = "x,y"
            put(world, f"week{week}.csv", rows, 7 * week, header)
        if dated:
            rows = [row.replace(",", ",2026-06-01,", 1) for row in table(0, TESTED, known=True)]
            world.write("testdata/testdata.csv", [r for r in rows if '"' not in r], header)
    live(worlds)


def test_a_backup_is_put_back_elsewhere(
    worlds: Worlds, tmp_path_factory: pytest.TempPathFactory
) -> None:
    world = worlds[1]
    put(world, "week1.csv", table(1, range(300), known=True), 0)
    assert world.run("fullprocess").code == 0
    folder = tmp_path_factory.mktemp("elsewhere")
    assert world.run("fullprocess", "--backup", str(folder / "b.zip")).code == 0
    other = Sandbox(folder, world.capsys)
    for name in ("sourcedata/week1.csv", "testdata/testdata.csv"):
        other.write(name, (world.root / name).read_text())

    assert other.run("fullprocess", "--restore", str(folder / "b.zip")).code == 0

    assert other.run("fullprocess").out == "nothing new in sourcedata\n"
    assert answers(other, "/risk/client0002") == answers(world, "/risk/client0002")
    for each in (world, other):
        put(each, "week2.csv", table(2, range(100, 400), known=False), 7)
        assert each.run("fullprocess").code == 0
    assert_alike((world, other))
