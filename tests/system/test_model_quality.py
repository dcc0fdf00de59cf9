"""How good the models are on real tables, as the README's table says."""

import sys

import pandas as pd
import pytest
from sandbox import PROJECT, SHARED, Sandbox, needs_shared, schema_keys

from pipeline.core.policy import Policy
from pipeline.core.schema import Schema

sys.path.insert(0, str(PROJECT))
from tests.bench.bench_models import BANK, TABLES, ours, read_tables, scored

pytestmark = needs_shared


def measured(table: str, model: str) -> dict[str, float]:
    """The scores of a kind of model on a table, by cross-validation."""
    found = {name.split(",")[0]: value for name, value in read_tables(TABLES).items()}
    frame, schema = found[table]
    result = scored(frame, schema, ours(Policy(model=model), schema, []), seed=0)
    return dict(zip(("auc", "lift", "ece"), map(float, result[:3]), strict=True))


@pytest.mark.slow
@pytest.mark.parametrize(("table", "auc", "lift"), [("bank", 0.86, 4.0), ("telecom", 0.97, 6.0)])
def test_boosting_is_as_good_as_reported(table: str, auc: float, lift: float) -> None:
    found = measured(table, "boosting")
    print(f"boosting on the {table} table: {found}")
    assert found["auc"] >= auc
    assert found["lift"] >= lift
    assert found["ece"] <= 0.03


@pytest.mark.slow
@pytest.mark.parametrize(("table", "auc"), [("bank", 0.755), ("telecom", 0.92)])
def test_logistic_regression_is_as_good_as_reported(table: str, auc: float) -> None:
    found = measured(table, "logistic")
    print(f"logistic on the {table} table: {found}")
    assert found["auc"] >= auc
    assert found["ece"] <= 0.03


def bank(world: Sandbox, **keys: object) -> None:
    """A project on the bank's table: 8,000 clients to learn from, 1,000 to score on."""
    header, *rows = (SHARED / "public/bank_10000.csv").read_text().splitlines()
    world.write("sourcedata/a.csv", rows[:8000], header)
    world.write("testdata/testdata.csv", rows[9000:10_000], header)
    world.configure(schema=schema_keys(BANK), **keys)


@pytest.mark.slow
def test_every_choice_at_once_on_a_bank_s_table(sandbox: Sandbox) -> None:
    bank(
        sandbox,
        model="boosting",
        threshold="value",
        client_value="Balance",
        contact_cost=1000,
        save_rate=0.2,
        drift_test="bootstrap",
        retrain_on="input",
        gate="better",
        seed=3,
    )
    assert sandbox.run("fullprocess").code == 0
    header, *rows = (SHARED / "public/bank_10000.csv").read_text().splitlines()
    germans = [row for row in rows[8000:9000] if ",Germany," in row]
    sandbox.write("sourcedata/b.csv", germans, header)
    result = sandbox.run("fullprocess")
    assert result.code == 0, result.err
    drifted = sandbox.query("SELECT feature FROM input_drift WHERE verdict = 'drift'")
    assert ("Geography",) in drifted
    assert ("Tenure",) not in drifted
    ranking = pd.read_csv(sandbox.config.clientrisk_path)
    assert {"contact", "reasons", "expected_loss", "loss_rank"} <= set(ranking.columns)
    worth = ranking["expected_loss"] * 0.2 > 1000
    assert ((ranking["contact"] == "yes") == worth).mean() > 0.999  # a loss is rounded to the cent


@pytest.mark.slow
def test_a_schema_is_any_table(sandbox: Sandbox) -> None:
    header, *rows = (SHARED / "public/telecom_3150.csv").read_text().splitlines()
    sandbox.write("sourcedata/a.csv", rows[::2], header)
    sandbox.write("testdata/testdata.csv", rows[1::2], header)
    numeric = header.split(",")[1:-1]
    sandbox.configure(schema=schema_keys(Schema("client", "churn", tuple(numeric))), model="auto")
    result = sandbox.run("fullprocess")
    assert result.code == 0, result.err
    ((kind,),) = sandbox.query("SELECT count(*) FROM deployments")
    assert kind == 1
    assert "auto" not in (sandbox.root / "models/manifest.json").read_text()
    assert '"kind": "boosting"' in (sandbox.root / "models/manifest.json").read_text()
