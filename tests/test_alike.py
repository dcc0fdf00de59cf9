"""Every engine gives the same: rows, model, decisions, ranking, reports, answers."""

import json
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from conftest import NOISE, SHARED, Sandbox, client_rows, needs_shared
from engines import Cluster, dask_cluster, needs_engine
from worlds import DRIFTED, STABLE

from app import create_app
from pipeline.anatomy import anatomy_of
from pipeline.linear import linear_of
from pipeline.models import Model, load_release
from pipeline.releases import live_release

pytestmark = needs_engine

RELEASE = re.compile(r"\d{6}-\d{8}T\d{6}Z")


Clusters = Callable[[int], Cluster]


@pytest.fixture(scope="module")
def clusters() -> Iterator[Clusters]:
    """A cluster of so many workers, the same one for all tests."""
    with ExitStack() as running:
        yield cache(lambda workers: running.enter_context(dask_cluster(workers)))


def engine(kind: str, clusters: Clusters, buckets: int, workers: int = 2) -> dict[str, Any]:
    told = {"kind": kind, "buckets": buckets}
    own = {"address": clusters(workers).address} if kind == "dask" else {"workers": workers}
    return told | own


def run_weeks(world: Sandbox) -> None:
    """A cold start, a batch without drift and with a bad row, a batch with drift."""
    world.write("sourcedata/a.csv", client_rows(0, 60, noise=NOISE))
    world.write("sourcedata/b.csv", client_rows(50, 70, noise=NOISE))
    world.write("sourcedata/refused.csv", client_rows(0, 3), header="who,what")
    for name, text in (("", ""), ("c.csv", STABLE), ("d.csv", DRIFTED)):
        if name:
            world.write(f"sourcedata/{name}", text)
        result = world.run("fullprocess")
        assert result.code == 0, result.err


def without_times(text: str) -> str:
    return RELEASE.sub("RELEASE", text)


def live_model(world: Sandbox) -> Model:
    return load_release(live_release(world.config.prod_deployment_path), world.config.schema)


def linear(world: Sandbox) -> np.ndarray:
    """All numbers of the live model."""
    found = linear_of(anatomy_of(live_model(world)).core)
    assert found
    parts = (found.medians, found.means, found.scales, found.weights, [found.intercept])
    return np.concatenate(parts)


def ranking(world: Sandbox) -> pd.DataFrame:
    table = pd.read_csv(world.config.clientrisk_path)
    return table.drop(columns=["release"])


DECISIONS = (
    "SELECT files, rows, labelled, verdict, action, deployed_f1, new_f1, champion_f1,"
    " challenger_f1, difference_low, difference_high, substr(release, 1, 6),"
    " substr(new_release, 1, 6) FROM decisions ORDER BY id"
)
FILES = "SELECT id, name, status, rows, added, duplicates, rejected, reason FROM files ORDER BY id"
RECORDS = (
    DECISIONS,
    FILES,
    "SELECT line, reason, row FROM rejected_rows ORDER BY file_id, line",
    "SELECT rows FROM master",
    "SELECT action, f1, substr(release, 1, 6) FROM deployments ORDER BY id",
    "SELECT data, rows, f1, accuracy, precision, recall, roc_auc, average_precision"
    " FROM scores ORDER BY id",
    "SELECT client, risk FROM client_risk JOIN ranked_clients ON ranked_clients.id = client_id"
    " ORDER BY client, ranking_id",
    "SELECT test, verdict FROM score_drift",
    "SELECT feature, kind, rows, verdict FROM input_drift",
)


@pytest.fixture(scope="module")
def by_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the world of one process and one file is kept."""
    return tmp_path_factory.mktemp("alike") / "files"


@pytest.fixture
def plain(sandbox: Sandbox, by_files: Path) -> Sandbox:
    """The world that one process makes of one file."""
    world = Sandbox(by_files, sandbox.capsys)
    if not by_files.exists():
        shutil.copytree(sandbox.root, by_files)
        run_weeks(world)
    return world


@pytest.mark.parametrize(
    ("kind", "buckets", "workers"),
    [
        ("pool", 3, 2),
        ("dask", 5, 2),
        *(
            pytest.param(*case, marks=pytest.mark.slow)
            for case in (("pool", 1, 1), ("pool", 16, 3), ("dask", 1, 1), ("dask", 16, 3))
        ),
    ],
)
def test_weeks_end_alike(
    kind: str, buckets: int, workers: int, sandbox: Sandbox, plain: Sandbox, clusters: Clusters
) -> None:
    sandbox.configure(engine=engine(kind, clusters, buckets, workers))
    run_weeks(sandbox)

    exported = sandbox.root / "rows.csv"
    assert sandbox.run("ingestion", "--export", str(exported)).code == 0
    assert exported.read_bytes() == plain.config.finaldata_path.read_bytes()
    np.testing.assert_allclose(linear(sandbox), linear(plain), rtol=0, atol=1e-8)
    np.testing.assert_allclose(linear(sandbox), linear(plain), rtol=1e-8)
    tested = pd.read_csv(plain.root / "testdata/testdata.csv")
    ours, theirs = (live_model(world).predict(tested) for world in (sandbox, plain))
    assert ours.tolist() == theirs.tolist()
    pd.testing.assert_frame_equal(ranking(sandbox), ranking(plain))
    for question in RECORDS:
        assert sandbox.query(question) == [pytest.approx(row) for row in plain.query(question)]
    for name in ("movers.csv", "latestscore.txt"):
        ours, theirs = (world.config.output_model_path / name for world in (sandbox, plain))
        assert without_times(ours.read_text()) == without_times(theirs.read_text())
    for name in ("ingestedfiles.txt", "rejectedrows.csv"):
        ours, theirs = (world.config.output_folder_path / name for world in (sandbox, plain))
        assert ours.read_bytes() == theirs.read_bytes()


@pytest.mark.parametrize("kind", ["pool", "dask"])
def test_answers_are_alike(kind: str, sandbox: Sandbox, plain: Sandbox, clusters: Clusters) -> None:
    sandbox.configure(engine=engine(kind, clusters, 3))
    run_weeks(sandbox)

    ours, theirs = (create_app(world.config).test_client() for world in (sandbox, plain))
    for path in ("/summarystats", "/scoring", "/risk?limit=1000", "/risk/client00001", "/movers"):
        found, expected = (client.get(path).get_json() for client in (ours, theirs))
        assert approximate(found) == approximate(expected), path
    assert ours.get("/client?name=client00050", headers={"Accept": "text/html"}).status_code == 200
    page, other = (
        client.get("/client?name=client00050", headers={"Accept": "text/html"}).get_data(True)
        for client in (ours, theirs)
    )
    assert page.count("<td>client00050</td>") == other.count("<td>client00050</td>")


def approximate(told: Any) -> Any:
    """Numbers to ten digits, and no release."""
    return json.loads(
        RELEASE.sub("RELEASE", json.dumps(told)), parse_float=lambda text: f"{float(text):.10g}"
    )


@pytest.mark.parametrize("kind", ["pool", "dask"])
def test_with_nothing_new_every_file_stays_as_it_was(
    kind: str, sandbox: Sandbox, clusters: Clusters
) -> None:
    sandbox.configure(engine=engine(kind, clusters, 3))
    sandbox.write("sourcedata/a.csv", client_rows(0, 60, noise=NOISE))
    assert sandbox.run("fullprocess").code == 0
    before, stamps = sandbox.files(), sandbox.stamps()

    result = sandbox.run("fullprocess")

    assert (result.code, result.out) == (0, "nothing new in sourcedata\n")
    assert (sandbox.files(), sandbox.stamps()) == (before, stamps)


def test_status_diagnostics_and_rollback_work_on_buckets(sandbox: Sandbox) -> None:
    sandbox.configure(engine={"kind": "pool", "workers": 2, "buckets": 3})
    run_weeks(sandbox)
    for stage, *args in (
        ("fullprocess", "--status"),
        ("diagnostics",),
        ("deployment", "--rollback"),
        ("reporting",),
        ("ingestion", "--rebuild"),
        ("fullprocess", "--json"),
    ):
        result = sandbox.run(stage, *args)
        assert result.code == 0, result.err
    assert not list(sandbox.root.rglob("*.tmp"))


@needs_shared
@pytest.mark.slow
@pytest.mark.parametrize("model", ["logistic", "boosting", "auto"])
def test_the_bank_s_table_is_alike(model: str, tmp_path: Path, sandbox: Sandbox) -> None:
    numeric = ["CreditScore", "Age", "Tenure", "Balance", "NumOfProducts", "EstimatedSalary"]
    schema = {
        "client": "CustomerId",
        "outcome": "Exited",
        "numeric": numeric,
        "categorical": ["Geography", "Gender"],
    }
    shutil.copy(SHARED / "public/bank_10000.csv", sandbox.root / "sourcedata/bank.csv")
    lines = (SHARED / "public/bank_10000.csv").read_text().splitlines()
    (sandbox.root / "testdata/testdata.csv").write_text("\n".join(lines[:2001]) + "\n")
    sandbox.configure(schema=schema, model=model, threshold="f1")
    other = Sandbox(tmp_path / "other", sandbox.capsys)
    shutil.copytree(sandbox.root, other.root, ignore=lambda *_: ["other"])
    other.configure(engine={"kind": "pool", "workers": 2, "buckets": 4})
    for world in (sandbox, other):
        result = world.run("fullprocess")
        assert result.code == 0, result.err

    pd.testing.assert_frame_equal(ranking(other), ranking(sandbox), rtol=1e-6)
    assert other.query("SELECT f1 FROM deployments") == sandbox.query("SELECT f1 FROM deployments")
