"""Who moved: the ranking before against the one to come, whatever the file before is like."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sandbox import Sandbox

from pipeline.core.errors import HistoryError
from pipeline.data.features import Features
from pipeline.ranking.movers import movers_between, update_movers
from pipeline.ranking.previous_ranking import earlier_ranking, ranking_before
from pipeline.ranking.rank import Ranking
from pipeline.ranking.rankingreader import read_movers

HEADER = "client,before,risk,change,release_before,release\n"
OLD, NEW = "000001-20261122T090000Z", "000002-20261122T091000Z"


def ranking(**risks: float) -> Ranking:
    return of(list(risks), list(risks.values()))


def of(clients: list[str], risks: list[float]) -> Ranking:
    risk = np.array(risks, dtype="float64")
    return Ranking(clients, risk, risk > 0.5, Features(np.empty((len(risk), 0)), ()))


def written(folder: Path, *lines: str, header: str = "rank,client,risk,band,release") -> Path:
    path = folder / "clientrisk.csv"
    path.write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    return path


def line(client: str, risk: float, release: str = OLD) -> str:
    return f'1,{client},{risk:.6f},low,{release},yes,"activity 3, usual 41"'


FULL = "rank,client,risk,band,release,contact,reasons"


def updated(folder: Path, new: Ranking, release: str = NEW) -> tuple[str, str]:
    """What is said of the movers, and their file."""
    before = ranking_before(folder / "clientrisk.csv", new.clients)
    said = update_movers(folder / "movers.csv", before, new, release)
    return said, (folder / "movers.csv").read_text(encoding="utf-8")


# --- who moved ---


def test_those_who_rose_come_first_and_the_largest_change_of_each(tmp_path: Path) -> None:
    lines = [line(name, 0.5) for name in "abcdef"]
    written(tmp_path, *lines, header=FULL)

    said, text = updated(tmp_path, ranking(d=0.9, b=0.7, c=0.5, e=0.45, a=0.2, f=0.509))

    assert said == "2 clients rose, 2 fell by 0.01 or more"
    assert text == (
        f"{HEADER}d,0.500000,0.900000,0.400000,{OLD},{NEW}\n"
        f"b,0.500000,0.700000,0.200000,{OLD},{NEW}\n"
        f"a,0.500000,0.200000,-0.300000,{OLD},{NEW}\n"
        f"e,0.500000,0.450000,-0.050000,{OLD},{NEW}\n"
    )


def test_a_change_of_a_hundredth_counts_and_one_below_does_not() -> None:
    before = np.array([0.59, 0.590001, 0.3, 0.299999])

    found = movers_between(before, ranking(a=0.6, b=0.6, c=0.29, d=0.29))

    assert [m.client for m in found.rose] == ["a"]
    assert [m.client for m in found.fell] == ["c"]


def test_clients_that_are_new_or_gone_did_not_move(tmp_path: Path) -> None:
    written(tmp_path, line("stays", 0.5), line("leaves", 0.9), header=FULL)

    said, text = updated(tmp_path, ranking(new=0.9, stays=0.5))

    assert (said, text) == ("0 clients rose, 0 fell by 0.01 or more", HEADER)


def test_of_many_the_fifty_that_moved_most_are_told_of_equal_ones_the_first_by_name() -> None:
    names = [f"c{i:03}" for i in range(120)]
    risks = [0.9] * 40 + [0.7] * 40 + [0.5] * 40  # by name the last ones first
    new = of(names[::-1], risks)

    found = movers_between(np.full(120, 0.5), new)

    assert [m.client for m in found.rose] == [*sorted(names[80:]), *sorted(names[40:80])[:10]]
    assert (found.all_rose, found.fell) == (80, [])


def test_one_client_is_no_plural(tmp_path: Path) -> None:
    written(tmp_path, line("a", 0.5), header=FULL)

    assert updated(tmp_path, ranking(a=0.8))[0] == "1 client rose, 0 fell by 0.01 or more"


@pytest.mark.parametrize("name", ["=1+1", "'=1", "Smith, Jones", 'The "Best"', "007", "NA", "株式"])
def test_names_of_all_kinds_are_found_again_and_none_is_a_formula(
    tmp_path: Path, name: str
) -> None:
    cell = {"=1+1": "'=1+1", "'=1": "''=1", "Smith, Jones": '"Smith, Jones"'}.get(name, name)
    cell = '"The ""Best"""' if "Best" in name else cell
    written(tmp_path, line(cell, 0.5), header=FULL)

    _, text = updated(tmp_path, of([name], [0.8]))

    assert text == f"{HEADER}{cell},0.500000,0.800000,0.300000,{OLD},{NEW}\n"
    assert read_movers(tmp_path / "movers.csv")["rose"] == [
        {"client": name, "before": 0.5, "risk": 0.8, "change": 0.3}
    ]


# --- the ranking before ---


def test_of_the_first_ranking_there_is_a_header_only(tmp_path: Path) -> None:
    said, text = updated(tmp_path, ranking(a=0.8))

    assert (said, text) == ("no ranking before to compare with", HEADER)


def test_a_ranking_of_the_older_form_is_compared_with_too(tmp_path: Path) -> None:
    written(tmp_path, f"1,a,0.500000,medium,{OLD}")

    assert updated(tmp_path, ranking(a=0.8))[1].splitlines()[1].startswith("a,0.500000,0.800000")


EDITED = {
    "empty": "",
    "other columns": "client;risk;release\na;0,5;x\n",
    "no risk": f"rank,client,risk,band,release\n1,a,unknown,low,{OLD}\n",
    "percent": f"rank,client,risk,band,release\n1,a,50,low,{OLD}\n",
    "missing": f"rank,client,risk,band,release\n1,a,,low,{OLD}\n",
    "two releases": f"rank,client,risk,band,release\n1,a,0.5,low,{OLD}\n2,b,0.5,low,{NEW}\n",
    "a quote": 'rank,client,risk,band,release\n1,"a,0.5,low,x\n',
    "a comma more": f"rank,client,risk,band,release\n1,a,0.5,low,{OLD},\n2,b,0.4,low,{OLD},\n",
    "more fields": f"rank,client,risk,band,release\n1,a,0.5,low,{OLD},,,\n2,b,0.5\n",
}


def test_a_ranking_of_nobody_is_nothing_to_warn_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "clientrisk.csv").write_text("rank,client,risk,band,release\n")

    assert updated(tmp_path, ranking(a=0.8)) == ("no ranking before to compare with", HEADER)
    assert caplog.messages == []


@pytest.mark.parametrize("content", [*EDITED.values(), b"\xff\xfe\x00r", "\0\0"], ids=repr)
def test_what_people_made_of_it_is_told_in_the_log_and_breaks_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, content: str | bytes
) -> None:
    path = tmp_path / "clientrisk.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)

    said, text = updated(tmp_path, ranking(a=0.8))

    assert (said, text) == ("no ranking before to compare with", HEADER)
    (message,) = caplog.messages
    assert message.startswith(f"{path} is no ranking of ours, nothing to compare with: ")


def test_a_folder_in_its_place_breaks_nothing_here(tmp_path: Path) -> None:
    (tmp_path / "clientrisk.csv").mkdir()

    assert updated(tmp_path, ranking(a=0.8))[1] == HEADER


def test_one_that_a_spreadsheet_saved_again_in_another_order_is_compared_with(
    tmp_path: Path,
) -> None:
    text = f"\ufeffclient,rank,risk,release\r\nb,2,0.4,{OLD}\r\na,1,0.5,{OLD}\r\n"
    (tmp_path / "clientrisk.csv").write_bytes(text.encode())

    found = earlier_ranking(tmp_path / "clientrisk.csv")

    assert found is not None
    assert (found.clients, found.risk.tolist(), found.release) == (["b", "a"], [0.4, 0.5], OLD)


# --- the same ranking again ---


def test_the_same_ranking_again_leaves_the_movers_as_they_are(tmp_path: Path) -> None:
    written(tmp_path, line("a", 0.1234565, NEW), line("b", 0.1, NEW), header=FULL)
    (tmp_path / "movers.csv").write_text("as they are")

    said, text = updated(tmp_path, ranking(a=0.1234565, b=0.1))

    assert (said, text) == ("as before, no risk has changed", "as they are")


@pytest.mark.parametrize(
    ("new", "release"),
    [
        (ranking(a=0.5, b=0.1), OLD),
        (ranking(a=0.5), NEW),
        (ranking(a=0.5, c=0.1), NEW),
        (ranking(a=0.5, b=0.10001), NEW),
        (ranking(a=0.5, b=0.1, c=0.1), NEW),
    ],
    ids=["another release", "one is gone", "one for another", "another risk", "one more"],
)
def test_another_ranking_has_movers_of_its_own(tmp_path: Path, new: Ranking, release: str) -> None:
    written(tmp_path, line("a", 0.5, NEW), line("b", 0.1, NEW), header=FULL)
    (tmp_path / "movers.csv").write_text("as they were")

    assert updated(tmp_path, new, release)[1] == HEADER


def test_the_same_ranking_without_its_movers_gets_them(tmp_path: Path) -> None:
    written(tmp_path, line("a", 0.5, NEW), header=FULL)

    assert updated(tmp_path, ranking(a=0.5))[1] == HEADER


# --- the stage ---


def moved(world: Sandbox) -> pd.DataFrame:
    return pd.read_csv(world.root / "models/movers.csv")


def test_a_run_compares_with_the_ranking_before(deployed: Sandbox) -> None:
    before = pd.read_csv(deployed.root / "models/clientrisk.csv").set_index("client")["risk"]
    first, last = before.index[0], before.index[-1]
    deployed.write("sourcedata/c.csv", [f"{first},49,499,94,", f"{last},10,200,5,"])
    assert deployed.run("ingestion").code == 0

    result = deployed.run("reporting")

    after = pd.read_csv(deployed.root / "models/clientrisk.csv").set_index("client")["risk"]
    change = (after - before).round(6)
    assert moved(deployed).set_index("client")["change"].to_dict() == {
        last: change[last],
        first: change[first],
    }
    told = "models/movers.csv: 1 client rose, 1 fell by 0.01 or more"
    assert told in result.out.splitlines()


def test_a_run_that_fails_before_the_ranking_compares_with_the_old_one_again(
    deployed: Sandbox,
) -> None:
    first = pd.read_csv(deployed.root / "models/clientrisk.csv")["client"][0]
    deployed.write("sourcedata/c.csv", [f"{first},49,499,94,"])
    assert deployed.run("ingestion").code == 0
    in_the_way = deployed.root / "models/.clientrisk.csv.tmp"
    in_the_way.mkdir()
    assert deployed.run("reporting").code == 1
    in_the_way.rmdir()
    left = (deployed.root / "models/movers.csv").read_bytes()

    assert deployed.run("reporting").code == 0

    assert (deployed.root / "models/movers.csv").read_bytes() == left
    assert moved(deployed)["client"].tolist() == [first]


# --- reading them back ---


def test_where_nobody_moved_there_is_no_release(tmp_path: Path) -> None:
    (tmp_path / "movers.csv").write_text(HEADER)

    assert read_movers(tmp_path / "movers.csv") == {
        "release_before": None,
        "release": None,
        "rose": [],
        "fell": [],
    }


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "no movers have been written yet"),
        ("", "holds no movers of ours"),
        ("client;change\n", "holds no movers of ours"),
        (f"{HEADER}a,0.5,0.6,more,x,y\n", "holds no movers of ours"),
    ],
)
def test_what_holds_no_movers_is_refused(tmp_path: Path, content: str | None, told: str) -> None:
    if content is not None:
        (tmp_path / "movers.csv").write_text(content)

    with pytest.raises(HistoryError, match=told):
        read_movers(tmp_path / "movers.csv")
