"""Who moved since the ranking before, and what of a ranking comes on record."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sandbox import Sandbox

from pipeline.data.frames import Features
from pipeline.ranking.movers import Mover, Movers, movers_on_record, update_movers, whole_percents
from pipeline.ranking.rank import Ranking
from pipeline.storage.database import History

HEADER = "client,before,risk,change,release_before,release\n"
OLD, NEW = "000001-20261122T090000Z", "000002-20261122T091000Z"
AS_BEFORE, FIRST = "as before, no risk has changed", "no ranking before to compare with"
POINTS = (
    "SELECT ranking_id, client, risk FROM client_risk"
    " JOIN ranked_clients ON ranked_clients.id = client_id ORDER BY ranking_id, client"
)


class Ranked:
    """Rankings that follow each other, in one history and one folder."""

    def __init__(self, history: History, path: Path) -> None:
        self.history = history
        self.path = path

    def __call__(self, release: str = NEW, **risks: float) -> str:
        """Rank these clients; what is said of those who moved."""
        risk = np.array(list(risks.values()), dtype="float64")
        ranking = Ranking(list(risks), risk, risk > 0.5, Features(np.empty((len(risk), 0)), ()))
        self.movers, said = update_movers(self.history, self.path, ranking, release)
        return said

    @property
    def text(self) -> str:
        return self.path.read_text(encoding="utf-8")


@pytest.fixture
def rank(history: History, tmp_path: Path) -> Ranked:
    return Ranked(history, tmp_path / "movers.csv")


# --- whole percents ---


def test_risks_are_recorded_in_whole_percents_halves_up() -> None:
    halves = np.arange(5, 1000, 10) / 1000

    assert whole_percents(halves).tolist() == [i / 100 for i in range(1, 101)]
    assert whole_percents(np.array([0.0, 0.004999, 0.504999, 1.0])).tolist() == [0, 0, 0.5, 1]


def test_a_risk_has_the_same_percent_in_the_record_and_in_the_file() -> None:
    risks = np.array([0.0149999996, 0.0150000004, 0.145, 0.285, 0.575, 0.9949999999, 1 / 3])

    assert whole_percents(risks).tolist() == whole_percents(risks.round(6)).tolist()


# --- who moved ---


def test_those_who_rose_come_first_and_the_largest_change_of_each(rank: Ranked) -> None:
    rank(OLD, **dict.fromkeys("abcdef", 0.5))

    said = rank(d=0.9, b=0.7, c=0.5, e=0.45, a=0.2, f=0.504)

    assert said == "2 clients rose, 2 fell by 0.01 or more"
    assert rank.text == (
        f"{HEADER}d,0.50,0.90,0.40,{OLD},{NEW}\nb,0.50,0.70,0.20,{OLD},{NEW}\n"
        f"a,0.50,0.20,-0.30,{OLD},{NEW}\ne,0.50,0.45,-0.05,{OLD},{NEW}\n"
    )
    assert rank.movers == movers_on_record(rank.history)


def test_clients_that_are_new_or_gone_did_not_move(rank: Ranked) -> None:
    rank(OLD, stays=0.5, leaves=0.9)

    assert rank(new=0.9, stays=0.5) == "0 clients rose, 0 fell by 0.01 or more"
    assert rank.text == HEADER
    assert rank(leaves=0.1, stays=0.5) == "0 clients rose, 0 fell by 0.01 or more"


def test_the_risk_before_may_have_been_recorded_long_ago(rank: Ranked) -> None:
    rank(OLD, a=0.5, b=0.1)
    rank(OLD, a=0.5, b=0.2)
    rank(a=0.4, b=0.2)

    assert rank.movers == Movers(OLD, NEW, (), (Mover("a", 0.5, 0.4, -0.1),), 0, 1)


def test_of_many_the_fifty_that_moved_most_are_kept_of_equal_ones_the_first_by_name(
    rank: Ranked,
) -> None:
    names = [f"c{i:03}" for i in range(120)]
    rank(OLD, **dict.fromkeys(names, 0.5))

    risks = [0.9] * 40 + [0.7] * 40 + [0.5] * 40  # by name the last ones first
    said = rank(**dict(zip(names[::-1], risks, strict=True)))

    rose = [mover.client for mover in rank.movers.rose]
    assert rose == [*sorted(names[80:]), *sorted(names[40:80])[:10]]
    assert said.startswith("80 clients rose, 0 fell")


@pytest.mark.parametrize(
    ("name", "cell"),
    [
        *[("=1+1", "'=1+1"), ("'=1", "''=1"), ("Smith, Jones", '"Smith, Jones"')],
        *[('The "Best"', '"The ""Best"""'), ("007", "007"), ("NA", "NA"), ("株式", "株式")],
    ],
)
def test_no_name_is_a_formula(rank: Ranked, name: str, cell: str) -> None:
    rank(OLD, **{name: 0.5})
    rank(**{name: 0.8})

    assert rank.text == f"{HEADER}{cell},0.50,0.80,0.30,{OLD},{NEW}\n"
    assert [mover.client for mover in rank.movers.rose] == [name]


# --- the first ranking, and the same one again ---


def test_the_first_ranking_has_none_before(rank: Ranked) -> None:
    assert (rank(a=0.8), rank.text) == (FIRST, HEADER)
    assert rank.movers == Movers(None, NEW)


def test_where_no_risk_changed_the_movers_stay(rank: Ranked) -> None:
    rank(OLD, a=0.5)
    rank(OLD, a=0.8)
    movers, text = rank.movers, rank.text

    assert rank(NEW, a=0.8) == AS_BEFORE
    assert (rank.movers, rank.text) == (movers, text)


def test_a_run_that_was_killed_before_it_wrote_them_finds_the_same_again(rank: Ranked) -> None:
    rank(OLD, a=0.5)
    said, text = rank(a=0.8), rank.text
    rank.path.write_text(HEADER)

    assert (rank(a=0.8), rank.text) == (said, text)
    assert rank(a=0.8) == AS_BEFORE


# --- the stage ---


def on_file(world: Sandbox) -> dict[str, float]:
    ranking = pd.read_csv(world.root / "models/clientrisk.csv").set_index("client")["risk"]
    return {client: round(risk, 2) for client, risk in ranking.items()}


def test_a_run_records_the_risks_in_its_file_and_compares_with_those_on_record(
    deployed: Sandbox,
) -> None:
    before = on_file(deployed)
    assert {client: risk for _, client, risk in deployed.query(POINTS)} == before
    first, second, *_, last = before
    rows = [f"{first},20,300,70,1", f"{second},49,499,94,", f"{last},10,200,5,", "new,1,1,1,"]
    deployed.write("sourcedata/c.csv", rows)
    assert deployed.run("ingestion").code == 0

    result = deployed.run("reporting")

    after = on_file(deployed)
    points = [(client, risk) for ranking, client, risk in deployed.query(POINTS) if ranking == 2]
    assert points == sorted([(first, None), *((c, after[c]) for c in (second, last, "new"))])
    movers = pd.read_csv(deployed.root / "models/movers.csv").set_index("client")["change"]
    assert movers.to_dict() == {c: round(after[c] - before[c], 2) for c in (last, second)}
    assert "models/movers.csv: 1 client rose, 1 fell by 0.01 or more" in result.out.splitlines()


def test_a_run_that_fails_before_the_ranking_leaves_the_next_one_the_same_movers(
    deployed: Sandbox,
) -> None:
    first = next(iter(on_file(deployed)))
    deployed.write("sourcedata/c.csv", [f"{first},49,499,94,"])
    assert deployed.run("ingestion").code == 0
    in_the_way = deployed.root / "models/.clientrisk.csv.tmp"
    in_the_way.mkdir()
    assert deployed.run("reporting").code == 1
    in_the_way.rmdir()
    left = (deployed.root / "models/movers.csv").read_bytes(), deployed.query(POINTS)

    assert deployed.run("reporting").code == 0

    assert ((deployed.root / "models/movers.csv").read_bytes(), deployed.query(POINTS)) == left
    assert first in left[0].decode()
