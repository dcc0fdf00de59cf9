"""Whose risk a ranking changed, and that every ranking that is written leaves it on record."""

from pathlib import Path

import numpy as np
import pandas as pd
from sandbox import Sandbox

from pipeline.data.features import Features
from pipeline.ranking.previous_ranking import Before, Earlier, beside, ranking_before
from pipeline.ranking.rank import Ranking
from pipeline.ranking.riskchanges import changed_risks, record_changes
from pipeline.storage.database import History
from pipeline.storage.risk_history import risk_over_time

OLD, NEW = "000001-20261122T090000Z", "000002-20261122T091000Z"
POINTS = (
    "SELECT ranking_id, client, risk FROM client_risk"
    " JOIN ranked_clients ON ranked_clients.id = client_id ORDER BY ranking_id, client"
)


def ranking(**risks: float) -> Ranking:
    risk = np.array(list(risks.values()), dtype="float64")
    return Ranking(list(risks), risk, risk > 0.5, Features(np.empty((len(risk), 0)), ()))


def before(new: Ranking, stamp: str = "1", **risks: float) -> Before:
    return beside(Earlier(list(risks), np.array(list(risks.values())), OLD, stamp), new.clients)


# --- whose risk changed ---


def test_those_change_whose_percent_is_another_and_who_are_new_or_gone() -> None:
    new = ranking(same=0.5, near=0.504999, above=0.505, below=0.494999, new=0.0, sure=1.0)
    old = before(new, gone=0.3, same=0.5, near=0.495, above=0.504999, below=0.495, sure=0.99)

    assert changed_risks(new, old) == [
        ("above", 0.51),
        ("below", 0.49),
        ("new", 0.0),
        ("sure", 1.0),
        ("gone", None),
    ]


def test_halves_are_rounded_up_however_a_processor_holds_them() -> None:
    halves = {f"{i}": i / 1000 for i in range(5, 1000, 10)}

    found = changed_risks(ranking(**halves), before(ranking(**halves)))

    assert [risk for _, risk in found] == [i / 100 for i in range(1, 101)]


def test_a_risk_is_the_same_whether_computed_or_read_from_the_file(tmp_path: Path) -> None:
    risks = [0.0149999996, 0.0150000004, 0.145, 0.285, 0.575, 0.9949999999, 1 / 3, 0.0, 1.0]
    new = ranking(**{f"c{i}": risk for i, risk in enumerate(risks)})
    lines = [f"1,c{i},{risk:.6f},low,{OLD}" for i, risk in enumerate(risks)]
    (tmp_path / "clientrisk.csv").write_text("\n".join(["rank,client,risk,band,release", *lines]))

    old = ranking_before(tmp_path / "clientrisk.csv", new.clients)

    assert old is not None
    assert changed_risks(new, old) == []


# --- what comes on record ---


def test_of_the_first_ranking_all_clients_come_on_record(history: History) -> None:
    record_changes(history, OLD, ranking(a=0.5, b=0.123), None)

    assert history.tuples(POINTS) == [(1, "a", 0.5), (1, "b", 0.12)]
    assert history.tuples("SELECT release, clients FROM rankings") == [(OLD, 2)]


def test_so_they_do_where_the_ranking_before_is_older_than_the_record(history: History) -> None:
    new = ranking(a=0.5, b=0.123)

    record_changes(history, OLD, new, before(new, a=0.5, b=0.7))

    assert history.tuples(POINTS) == [(1, "a", 0.5), (1, "b", 0.12)]


def test_of_the_next_one_those_whose_risk_changed(history: History) -> None:
    record_changes(history, OLD, ranking(a=0.5, b=0.1, c=0.1), None)
    new = ranking(a=0.5, b=0.2, d=0.3)

    record_changes(history, NEW, new, before(new, a=0.5, b=0.1, c=0.1))

    assert history.tuples(POINTS)[3:] == [(2, "b", 0.2), (2, "c", None), (2, "d", 0.3)]
    assert history.tuples("SELECT release, clients FROM rankings")[1:] == [(NEW, 3)]


def test_without_the_ranking_before_the_record_tells_what_changed(history: History) -> None:
    record_changes(history, OLD, ranking(a=0.5, b=0.1, c=0.1), None)

    record_changes(history, NEW, ranking(a=0.5, b=0.2), None)

    assert history.tuples(POINTS)[3:] == [(2, "b", 0.2), (2, "c", None)]


def test_what_a_killed_run_recorded_is_put_right_by_the_next(history: History) -> None:
    record_changes(history, OLD, ranking(a=0.5, b=0.1), None)
    killed = ranking(a=0.6, c=0.3)
    record_changes(history, NEW, killed, before(killed, stamp="1", a=0.5, b=0.1))
    assert history.tuples(POINTS)[2:] == [(2, "a", 0.6), (2, "b", None), (2, "c", 0.3)]
    new = ranking(a=0.5, b=0.1)

    record_changes(history, OLD, new, before(new, stamp="1", a=0.5, b=0.1))

    assert history.tuples(POINTS)[5:] == [(3, "a", 0.5), (3, "b", 0.1), (3, "c", None)]


def test_where_everybody_left_that_is_on_record(history: History) -> None:
    record_changes(history, OLD, ranking(a=0.5), None)

    record_changes(history, OLD, ranking(), before(ranking(), a=0.5))

    assert [point.risk for point in risk_over_time(history, "a")] == [0.5, None]
    assert history.tuples("SELECT clients FROM rankings") == [(1,), (0,)]


# --- the stage ---


def on_file(world: Sandbox) -> dict[str, float]:
    ranking = pd.read_csv(world.root / "models/clientrisk.csv").set_index("client")["risk"]
    return {client: round(risk, 2) for client, risk in ranking.items()}


def last_points(world: Sandbox) -> dict[str, float | None]:
    return {client: risk for _, client, risk in world.query(POINTS)}


def ranked_again(world: Sandbox, *rows: str) -> list[tuple[str, float | None]]:
    """The points that are added when these rows come in."""
    known = world.query(POINTS)
    world.write("sourcedata/c.csv", list(rows))
    assert world.run("ingestion").code == 0
    assert world.run("reporting").code == 0
    return [(client, risk) for _, client, risk in world.query(POINTS)[len(known) :]]


def test_the_first_ranking_puts_the_risk_of_every_client_on_record(deployed: Sandbox) -> None:
    assert last_points(deployed) == on_file(deployed)
    assert deployed.query("SELECT release, clients FROM rankings") == [
        (deployed.query("SELECT release FROM deployments")[0][0], len(on_file(deployed)))
    ]


def test_the_same_ranking_again_leaves_the_record_as_it_is(deployed: Sandbox) -> None:
    known = deployed.query("SELECT * FROM rankings"), deployed.query(POINTS)

    assert deployed.run("reporting").code == 0
    assert deployed.run("deployment").code == 0  # the same model, as another release
    assert deployed.run("reporting").code == 0

    assert (deployed.query("SELECT * FROM rankings"), deployed.query(POINTS)) == known


def test_clients_whose_rows_changed_that_came_and_that_left_come_on_record(
    deployed: Sandbox,
) -> None:
    first, second, *_, last = on_file(deployed)

    added = ranked_again(
        deployed, f"{last},10,200,5,", f"{first},20,300,70,1", f"{second},20,300,70,", "new,1,1,1,"
    )

    after = on_file(deployed)
    assert added == sorted([(first, None), *((c, after[c]) for c in (second, last, "new"))])
    with History(deployed.config.history_path) as history:
        assert [point.risk for point in risk_over_time(history, "new")] == [after["new"]]


def test_a_ranking_that_failed_and_is_another_the_next_time_is_on_record_as_it_was(
    deployed: Sandbox,
) -> None:
    first, second = list(on_file(deployed))[:2]
    in_the_way = deployed.root / "models/.clientrisk.csv.tmp"
    in_the_way.mkdir()
    deployed.write("sourcedata/c.csv", [f"{first},49,499,94,"])
    assert deployed.run("ingestion").code == 0
    assert deployed.run("reporting").code == 1
    in_the_way.rmdir()
    deployed.write("sourcedata/c.csv", [f"{second},49,499,94,"])
    assert deployed.run("ingestion", "--rebuild").code == 0

    assert deployed.run("reporting").code == 0

    assert last_points(deployed) == on_file(deployed)
    changed = [client for ranking, client, _ in deployed.query(POINTS) if ranking == 3]
    assert changed == sorted([first, second])


def test_a_run_that_fails_before_the_ranking_records_nothing_twice(deployed: Sandbox) -> None:
    first = next(iter(on_file(deployed)))
    in_the_way = deployed.root / "models/.clientrisk.csv.tmp"
    in_the_way.mkdir()
    deployed.write("sourcedata/c.csv", [f"{first},49,499,94,"])
    assert deployed.run("ingestion").code == 0
    assert deployed.run("reporting").code == 1
    in_the_way.rmdir()
    left = deployed.query("SELECT * FROM rankings"), deployed.query(POINTS)
    assert len(left[0]) == 2

    assert deployed.run("reporting").code == 0

    assert (deployed.query("SELECT * FROM rankings"), deployed.query(POINTS)) == left
    assert last_points(deployed) == on_file(deployed)
