"""What only Spark has: the sample, rows that are counted on their way, the check of a cluster."""

import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sandbox import Sandbox
from sparkworlds import Worlds, assert_alike, live, put, table

from pipeline.observations.master import Master
from pipeline.observations.rows import open_rows
from pipeline.ranking.risk_files import read_note, risk_points, write_note
from pipeline.storage.history import open_history

pytestmark = [
    pytest.mark.spark,
    pytest.mark.filterwarnings("ignore:PySpark does not yet fully support pandas:FutureWarning"),
]


def rows_of(world: Sandbox) -> Master:
    config = world.config
    with open_history(config.history_path) as history:
        return open_rows(config.finaldata_path, config.schema, history)


def test_of_many_rows_whole_clients_are_drawn_half_of_them_of_new_files(
    worlds: Worlds, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipeline.spark import store

    monkeypatch.setattr(store, "MAX_ROWS", 900)
    for world in worlds:
        put(world, "week1.csv", table(1, range(1500), known=True), 0)
    worlds[0].run("ingestion")
    assert "1,500 labelled rows" not in (first := worlds[1].run("fullprocess")).err
    assert first.code == 0, first.err
    for world in worlds:
        put(world, "week2.csv", table(2, range(500, 2000), known=False), 7)
    worlds[0].run("ingestion")
    assert worlds[1].run("fullprocess").code == 0
    whole, sample = rows_of(worlds[0]), rows_of(worlds[1])
    assert (whole.drawn_from, sample.drawn_from) == (0, whole.rows)
    frame, every = sample.frame, whole.frame
    assert 800 < len(frame) < 1000
    drawn = frame["corporation"].value_counts()
    assert drawn.tolist() == every["corporation"].value_counts()[drawn.index].tolist()
    new = frame["corporation"].isin(every["corporation"][1500:])  # clients of the second file
    assert 0.4 < new.mean() < 0.6
    old = every[~every["corporation"].isin(every["corporation"][1500:])]
    shares = [(part["exited"] == 1).mean() for part in (frame[~new], old)]
    assert shares[0] == pytest.approx(shares[1], abs=0.02)
    release = worlds[1].root / "production_deployment/current"
    assert "of a sample, by client, of all 1,500 rows" in (release / "modelcard.md").read_text()
    assert "these are of the sample" in first.err
    ranked = (worlds[1].root / "models/clientrisk.csv").read_text().splitlines()
    assert len(ranked) - 1 == len(whole.present)


def test_a_run_in_which_rows_are_lost_fails_and_the_next_one_does_it_anew(
    worlds: Worlds, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipeline.spark import store

    for world in worlds:
        put(world, "week1.csv", table(1, range(300), known=True), 0)
    in_buckets = store.in_buckets
    with monkeypatch.context() as patch:
        patch.setattr(
            store, "in_buckets", lambda *args: in_buckets(*args).where("client <> 'client0001'")
        )
        lost = worlds[1].run("fullprocess")
    assert lost.code == 1
    assert "Spark was to hand over 300 lines of files and handed over 299" in lost.err
    assert worlds[1].query("SELECT count(*) FROM files") == [(0,)]
    for world in worlds:
        assert world.run("fullprocess").code == 0
    assert_alike(worlds)


def test_a_cluster_is_looked_at(worlds: Worlds) -> None:
    found = worlds[1].run("fullprocess", "--check-engine")
    assert (found.code, len(found.out.splitlines())) == (0, 3), found
    assert found.out.startswith("Spark 4.")
    none = worlds[0].run("fullprocess", "--check-engine")
    assert none.out == '"engine" is not set: one process does all, and needs nothing more\n'


def test_where_all_have_left_nobody_is_ranked(worlds: Worlds) -> None:
    for world in worlds:
        put(world, "week1.csv", table(1, range(300), known=True), 0)
    live(worlds)
    for world in worlds:
        rows = [re.sub(",[01],(m.)$", r",1,\1", row) for row in table(2, range(300), known=True)]
        put(world, "week2.csv", rows, 7)
    live(worlds)
    assert len((worlds[1].root / "models/clientrisk.csv").read_text().splitlines()) == 1
    for world in worlds:
        put(world, "week3.csv", table(3, range(100), known=False), 14)
    live(worlds)


def test_rows_that_the_history_does_not_know_stay_and_what_a_switch_would_lose_is_asked(
    worlds: Worlds,
) -> None:
    world = worlds[1]
    engine = json.loads((world.root / "config.json").read_text())["engine"]
    (world.root / "config.json").write_text((worlds[0].root / "config.json").read_text())
    for name, clients in (("a.csv", range(200)), ("b.csv", range(200, 300))):
        put(world, name, table(1, clients, known=True), 0)
    assert world.run("ingestion").code == 0
    for gone, key in (("b.csv", engine), ("a.csv", None)):  # there, and back
        world.configure(engine=key)
        assert "--rebuild" in world.run("ingestion").err
        put(world, "c.csv", table(1, range(300, 350), known=True), 0)
        (world.root / "sourcedata" / gone).unlink()
        asked = world.run("ingestion", "--rebuild")
        assert (asked.code, "nothing is done without --yes" in asked.err) == (1, True)
        assert world.run("ingestion", "--rebuild", "--yes").code == 0
    world.configure(engine=engine)
    assert world.run("ingestion", "--rebuild", "--yes").code == 0
    (world.root / "history.db").unlink()
    unknown = world.run("ingestion")
    assert (unknown.code, "knows nothing of" in unknown.err) == (1, True)
    assert [*(world.root / "ingesteddata/finaldata.parquet").glob("part-*")]


def test_of_risks_that_are_long_past_the_one_that_still_held_is_kept(worlds: Worlds) -> None:
    world = worlds[1]
    folder = world.root / "models/clientrisk.parquet"

    def batch(week: int, clients: range) -> None:
        put(world, f"week{week}.csv", table(week, clients, known=True), 7 * week)
        assert world.run("fullprocess").code == 0

    batch(1, range(300))
    batch(2, range(300))
    note = read_note(folder)
    assert [*note.rankings] == [1, 2]
    lines = (world.root / "models/clientrisk.csv").read_text().splitlines()[1:]
    names = [line.split(",")[1] for line in lines]
    changed = {name for name in names if len(risk_points(folder, name)) == 2}
    before = {name: risk_points(folder, name)[-1].risk for name in changed}
    past = {number: ("2020-01-01T00:00:00Z", of) for number, (_, of) in note.rankings.items()}
    write_note(folder, replace(note, rankings=past))
    with open_history(world.config.history_path) as history:
        for month in range(1, 14):  # what is forgotten goes by the days of runs
            at = f"{datetime.now(UTC) - timedelta(days=30 * month):%FT%TZ}"
            history.insert("runs", command="training", started_at=at, outcome="done")
    batch(3, range(300))
    after = {name: [point.risk for point in risk_points(folder, name)] for name in changed}
    assert changed
    assert {name: points[0] for name, points in after.items()} == before
    assert {len(points) for points in after.values()} <= {1, 2}
