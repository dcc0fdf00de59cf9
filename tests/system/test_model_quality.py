"""How good the models are on real tables, as the README's table says."""

import sys

import numpy as np
import pandas as pd
import pytest
from sandbox import PROJECT, SHARED, Sandbox, needs_shared, schema_keys
from sklearn.dummy import DummyClassifier

from pipeline.core.policy import Policy
from pipeline.core.schema import Schema
from pipeline.models.cross_validation import TrainingData
from pipeline.models.manifest import Recipe
from pipeline.models.training import Fitted
from pipeline.monitoring.training_checks import training_warnings

sys.path.insert(0, str(PROJECT))
from tests.bench.bench_models import BANK, DRAWS, TABLES, cut, ours, read_tables, scored

pytestmark = needs_shared


def measured(table: str, model: str) -> dict[str, float]:
    """The scores of a kind of model on a table, by cross-validation."""
    found = {name.split(",")[0]: value for name, value in read_tables(TABLES).items()}
    frame, schema = found[table]
    return scored(frame, schema, ours(Policy(model=model), schema, []), seed=0)


@pytest.mark.slow
@pytest.mark.parametrize(("table", "auc", "lift"), [("bank", 0.86, 4.0), ("telecom", 0.98, 6.0)])
def test_auto_is_as_good_as_reported(table: str, auc: float, lift: float) -> None:
    found = measured(table, "auto")
    print(f"auto on the {table} table: {found}")
    assert found["AUC"] >= auc
    assert found["lift"] >= lift
    assert found["ECE"] <= 0.02


@pytest.mark.slow
def test_where_few_left_auto_is_as_good_as_reported() -> None:
    bank = next(iter(read_tables(TABLES).values()))[0]
    ask = ours(Policy(model="auto"), BANK, [])
    found = [scored(cut(bank, BANK, draw), BANK, ask, seed=0) for draw in range(DRAWS)]
    means = pd.DataFrame(found).mean()
    print(f"auto on the bank's clients cut to 3 % who left: {means.to_dict()}")
    assert means["AUC"] >= 0.83
    assert means["ECE"] <= 0.02


@pytest.mark.slow
@pytest.mark.parametrize(("table", "auc"), [("bank", 0.755), ("telecom", 0.92)])
def test_logistic_regression_is_as_good_as_reported(table: str, auc: float) -> None:
    found = measured(table, "logistic")
    print(f"logistic on the {table} table: {found}")
    assert found["AUC"] >= auc
    assert found["ECE"] <= 0.03


def test_of_these_tables_no_training_warns() -> None:
    sure = Fitted(DummyClassifier(), Recipe(), np.ones(1))
    for frame, schema in read_tables(TABLES).values():
        assert training_warnings(TrainingData(frame, frame, schema), sure) == ()


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
    assert '"kind": "boosting' in (sandbox.root / "models/manifest.json").read_text()
