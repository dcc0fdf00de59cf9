"""The ranking of clients in buckets: byte for byte what one process makes of the same rows."""

from pathlib import Path

import needsengine  # noqa: F401
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import rankworlds
from conftest import Sandbox, client_rows
from test_movers import EDITED
from test_riskchanges import POINTS

from pipeline import bucketparts, sortedmerge
from pipeline.bucketparts import divided
from pipeline.curves import Isotonic
from pipeline.history import History
from pipeline.linear import Linear
from pipeline.models import load_release
from pipeline.releases import live_release
from pipeline.schema import csv_line
from pipeline.scorers import ByEstimator, ByNumbers, Scorer
from reporting import write_ranking

BY_NAME = POINTS.replace("ORDER BY ranking_id, client", "ORDER BY client, ranking_id")
RISKS, MOVERS = "models/clientrisk.csv", "models/movers.csv"


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """So few rows in a part, and so few in a batch, that there are several of each."""
    monkeypatch.setattr(bucketparts, "PART_ROWS", 15)
    monkeypatch.setattr(bucketparts, "PASS_BYTES", 2_000)
    monkeypatch.setattr(sortedmerge, "MOST", 3)
    monkeypatch.setattr(sortedmerge, "LEAST", 2)


class Twins:
    """The same world twice: its rows in one file, and in buckets."""

    def __init__(self, world: Sandbox, place: Path, buckets: int) -> None:
        self.file, self.buckets = world, rankworlds.in_buckets(world, place, buckets)

    def write(self, name: str, rows: list[str] | str) -> None:
        for world in (self.file, self.buckets):
            world.write(name, rows)

    def take_in(self, *, rebuilt: bool = False) -> None:
        assert self.file.run("ingestion", *["--rebuild"] * rebuilt).code == 0
        rankworlds.take_in(self.buckets, rebuilt=rebuilt)

    def rank(self, scorer: Scorer | None = None) -> str:
        """Rank both by the live release, or another scorer; both must say and leave the same."""
        config = self.file.config
        release = live_release(config.prod_deployment_path)
        by_release = ByEstimator(load_release(release, config.schema), config.schema)
        told = write_ranking(config, release, scorer or by_release)
        assert rankworlds.rank(self.buckets, scorer or by_release) == told
        self.compare()
        return told.moved

    def compare(self) -> None:
        for name in (RISKS, MOVERS):
            assert (self.buckets.root / name).read_bytes() == (self.file.root / name).read_bytes()
        for sql in (BY_NAME, "SELECT id, release, clients FROM rankings"):
            assert self.buckets.query(sql) == self.file.query(sql)
        assert [path.name for path in (self.buckets.root / "models").glob(".*")] == []

    def lines(self) -> list[str]:
        return (self.file.root / RISKS).read_text().splitlines()


@pytest.fixture(params=[3])
def twins(
    deployed: Sandbox, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Twins:
    (deployed.root / RISKS).unlink()
    (deployed.root / MOVERS).unlink()
    with History(deployed.config.history_path) as history:
        for table in ("client_risk", "rankings", "ranked_clients"):
            history.query(f"DELETE FROM {table}")
    return Twins(deployed, tmp_path_factory.mktemp("twin") / "world", request.param)


# a few levels, as isotonic calibration leaves them, of log-odds that many clients share
LEVELS = ByNumbers(
    Linear(
        medians=np.array([25.0, 350.0, 50.0]),
        means=np.zeros(3),
        scales=np.array([1.0, 1.0, 30.0]),
        weights=np.array([0.0, 0.0, -1.0]),
        categories=(),
        intercept=1.0,
    ),
    Isotonic(np.array([-2.0, -1.0, -0.5, 0.5]), np.array([0.1, 0.1, 0.6, 0.6])),
)


@pytest.mark.parametrize("twins", [1, 3, 16], indirect=True)
def test_ranking_after_ranking_is_the_same(twins: Twins) -> None:
    assert twins.rank() == "no ranking before to compare with"
    assert len(twins.lines()) > 50
    names = twins.buckets.query("SELECT client FROM ranked_clients ORDER BY id")
    assert names == sorted(names)  # in any other order the history takes far longer

    # new clients, others' new rows, some that left, some that are back
    changed = [row.replace("client000", "client001") for row in client_rows(0, 50, flipped=True)]
    twins.write("sourcedata/c.csv", [*changed, *client_rows(60, 20, outcome="")])
    twins.take_in()
    assert twins.rank().endswith(" fell by 0.01 or more")
    assert (twins.file.root / MOVERS).read_text().count("\n") > 5

    assert twins.rank(LEVELS).endswith(" fell by 0.01 or more")

    known = twins.buckets.query("SELECT count(*) FROM client_risk")
    movers = (twins.buckets.root / MOVERS).stat().st_mtime_ns
    assert twins.rank(LEVELS) == "as before, no risk has changed"
    assert twins.buckets.query("SELECT count(*) FROM client_risk") == known
    assert (twins.buckets.root / MOVERS).stat().st_mtime_ns == movers


def test_of_equal_risks_and_log_odds_the_name_counts(twins: Twins) -> None:
    names = ["\U0001f600", "\uffff", "\u00e9", "e", "E", "zz", "z", "10", "9", "株式"]
    twins.write(
        "sourcedata/c.csv", [f"{name},1,2,{5 + i % 2 * 30}," for i, name in enumerate(names)]
    )
    twins.take_in()

    twins.rank(LEVELS)

    found = [line.split(",")[1] for line in twins.lines()]
    assert [name for name in found if name in names[::2]] == sorted(names[::2])
    assert len({line.split(",")[2] for line in twins.lines()[1:]}) < 20


@pytest.mark.parametrize("twins", [1, 3, 16], indirect=True)
def test_hostile_names_and_losses_are_the_same(twins: Twins) -> None:
    names = ["=1+1", "'=1", "-a", "@b", 'The "Best", Ltd', ",", '"', ";=c", "a;b", "%s", "%d%%"]
    names += ["two\nlines", "x\r\ny", "a\u2028b", "\ufeffbom", "NA", "007", "1e5", "nan", "é" * 300]
    quoted = ['"' + name.replace('"', '""') + '"' for name in names]
    values = ["", "10", "10", "-7.5", "0", "1e9", "12.345"]
    rows = [f"{n},{i},{values[i % 7]},{9 * i % 40},0" for i, n in enumerate(quoted)]
    twins.write("sourcedata/c.csv", rows)
    twins.take_in()
    for world in (twins.file, twins.buckets):
        world.configure(client_value="lastyear_activity")

    twins.rank(LEVELS)
    for world in (twins.file, twins.buckets):
        world.configure(threshold="value", contact_cost=5, save_rate=0.5)
    twins.rank()

    assert twins.lines()[0].endswith(",expected_loss,loss_rank")
    assert sum(line.endswith(",,") for line in twins.lines()) >= 3  # those without a value
    text = "\n".join(twins.lines())
    assert csv_line(('The "Best", Ltd',)) in text
    assert "two lines" in text


@pytest.mark.parametrize("twins", [1, 3, 16], indirect=True)
def test_clients_that_are_gone_are_on_record_as_gone(twins: Twins) -> None:
    twins.rank()
    for world in (twins.file, twins.buckets):
        (world.root / "sourcedata/a.csv").unlink()
    twins.write("sourcedata/b.csv", client_rows(0, 3, outcome="0"))
    twins.take_in(rebuilt=True)  # most buckets are empty now

    twins.rank()

    assert len(twins.lines()) == 4
    assert len(twins.buckets.query("SELECT 1 FROM client_risk WHERE risk IS NULL")) > 50


def test_where_everybody_left_the_ranking_is_empty(twins: Twins) -> None:
    twins.rank()
    twins.write("sourcedata/c.csv", client_rows(0, 130, outcome="1"))
    twins.take_in()

    twins.rank()
    assert len(twins.lines()) == 1
    assert twins.rank() == "no ranking before to compare with"


def test_without_the_ranking_before_the_record_tells_what_changed(twins: Twins) -> None:
    twins.rank()
    twins.write(
        "sourcedata/c.csv", [*client_rows(0, 9, outcome="1"), *client_rows(9, 9, outcome="")]
    )
    twins.take_in()
    for world in (twins.file, twins.buckets):
        (world.root / RISKS).unlink()

    twins.rank(LEVELS)

    assert len(twins.buckets.query("SELECT 1 FROM client_risk WHERE risk IS NULL")) > 2


def test_so_it_does_after_a_run_that_recorded_and_wrote_no_ranking(twins: Twins) -> None:
    twins.rank()
    before = {world: (world.root / RISKS) for world in (twins.file, twins.buckets)}
    for path in before.values():
        path.with_name("kept").hardlink_to(path)
    twins.rank(LEVELS)
    for path in before.values():  # as if the run had been killed just before
        path.with_name("kept").replace(path)
    twins.write("sourcedata/c.csv", client_rows(0, 9, outcome="1"))
    twins.take_in()

    twins.rank()

    assert twins.buckets.query("SELECT count(*) FROM rankings") == [(3,)]


@pytest.mark.parametrize("content", EDITED.values(), ids=EDITED)
def test_what_people_made_of_the_ranking_before_is_told_in_the_same_words(
    twins: Twins, caplog: pytest.LogCaptureFixture, content: str
) -> None:
    twins.write(RISKS, content)

    assert twins.rank() == "no ranking before to compare with"

    here, there = [text for _, _, text in caplog.record_tuples if "no ranking of ours" in text]
    assert there == here.replace(str(twins.file.root), str(twins.buckets.root))


def test_a_ranking_before_with_clients_named_twice_counts_as_in_one_process(twins: Twins) -> None:
    twins.rank()
    lines = twins.lines()
    text = "\n".join([*lines, *(line.replace(",0.", ",0.0") for line in lines[1:40:3])]) + "\n"
    twins.write(RISKS, text)

    twins.rank()


def test_what_a_killed_run_left_is_not_read_and_is_gone(twins: Twins) -> None:
    for name in ("00000-00000.lines", "before/00000.arrow", "0123/00000-00000.lines"):
        twins.buckets.write(f"models/.ranking/{name}", "half a ru")

    twins.rank()


def test_a_run_that_fails_leaves_the_ranking_and_nothing_beside_it(twins: Twins) -> None:
    twins.rank()
    before = (twins.buckets.root / RISKS).read_bytes()
    in_the_way = twins.buckets.root / "models/.clientrisk.csv.tmp"
    in_the_way.mkdir()

    with pytest.raises(OSError, match="clientrisk"):
        rankworlds.rank(twins.buckets, LEVELS)

    in_the_way.rmdir()
    assert (twins.buckets.root / RISKS).read_bytes() == before
    assert [path.name for path in (twins.buckets.root / "models").glob(".*")] == []


# --- the parts of a bucket ---


def test_a_part_has_all_rows_of_its_clients_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [(f"c{i % 40}", float(i)) for i in range(500)]
    table = pa.table({"##who": [name for name, _ in rows], "n": [number for _, number in rows]})
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=70)
    found = {}

    for size in (1 << 30, 3_000, 1):  # of a pass: all at once, some, one part
        monkeypatch.setattr(bucketparts, "PASS_BYTES", size)
        parts = divided(tmp_path / "a.parquet", "#who", ("#who", "n"), 16, 7)
        told = [[(row["##who"], row["n"]) for row in part.to_pylist()] for part in parts]
        found[size] = told
        assert len(told) == 7
        clients = [{name for name, _ in part} for part in told]
        assert sum(map(len, clients)) == 40
        for part, names in zip(told, clients, strict=True):
            assert part == [row for row in rows if row[0] in names]

    assert found[1] == found[3_000] == found[1 << 30]
    assert max(map(len, found[1])) < 250


# --- by the stage, in a pool ---


def test_a_pool_writes_what_the_stage_writes_of_one_file(twins: Twins) -> None:
    for rows in (None, client_rows(100, 60, noise=3)):
        if rows:
            twins.write("sourcedata/c.csv", rows)
        for world in (twins.file, twins.buckets):
            assert world.run("ingestion").code == 0
            result = world.run("reporting", "--json")
            assert result.code == 0, result.err
        twins.compare()


def test_a_calibrated_model_of_categories_in_a_pool(
    sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory
) -> None:
    sandbox.configure(
        schema={
            "client": "who",
            "outcome": "gone",
            "numeric": ["size"],
            "categorical": ["#place", "kind"],
        },
        model="boosting",
        client_value="size",
    )
    kinds = ["=a", 'b"c', "d,e", "", "f;g"]
    rows = []
    for i in range(1_500):
        gone = int((i * 7919) % 100 < 20 + 60 * (i % 5 == 1))
        place = csv_line((kinds[i % 5],))
        rows.append(f"client {i % 1_300},{i % 7 or ''},{place},{'xy'[i % 2]},{gone}")
    header = "who,size,#place,kind,gone"
    sandbox.write("sourcedata/a.csv", rows, header=header)
    sandbox.write("testdata/testdata.csv", rows[:200], header=header)
    for stage in ("ingestion", "training", "scoring", "deployment"):
        assert sandbox.run(stage).code == 0
    twins = Twins(sandbox, tmp_path_factory.mktemp("twin") / "world", 3)

    for world in (twins.file, twins.buckets):
        assert world.run("reporting").code == 0

    twins.compare()
    risks = [line.split(",")[2] for line in twins.lines()[1:]]
    assert len(set(risks)) < len(risks) / 10
