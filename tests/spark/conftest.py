"""A real Spark, and worlds that one process and Spark work on."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sandbox import Sandbox
from spark_cluster import Cluster, cluster_in
from sparkworlds import HEADER, SCHEMA, TESTED, Worlds, table


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Started when a test first asks for it."""
    with cluster_in(tmp_path_factory.mktemp("cluster")) as started:
        yield started


@pytest.fixture
def worlds(
    sandbox: Sandbox, tmp_path: Path, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> Worlds:
    """The same world twice: worked on by one process, and on Spark."""
    from pipeline.spark import ranking, store

    for module in (ranking, store):  # so few rows as a test has are in several parts, too
        monkeypatch.setattr(module, "PART_ROWS", 200)
    monkeypatch.setattr(store, "MIN_PARTS", 3)
    sandbox.configure(schema=SCHEMA, api_url=None)
    sandbox.write("testdata/testdata.csv", table(0, TESTED, known=True), HEADER)
    other = Sandbox(tmp_path / "spark", sandbox.capsys)
    other.root.mkdir()
    for name in ("sourcedata", "testdata"):
        (other.root / name).mkdir()
    (other.root / "config.json").write_bytes((sandbox.root / "config.json").read_bytes())
    other.write("testdata/testdata.csv", table(0, TESTED, known=True), HEADER)
    other.configure(engine=cluster.engine)
    return sandbox, other
