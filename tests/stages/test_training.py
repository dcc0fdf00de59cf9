import hashlib
import json
import os
import pickle
import platform
import shutil
import subprocess
import sys
from dataclasses import asdict
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import numpy as np
import pandas as pd
import pytest
from modelling import MIXED, random_table
from sandbox import PROJECT, SHARED, SIMPLE, Sandbox, client_rows, needs_shared, schema_keys

from pipeline.core.files import utc_now
from pipeline.core.schema import DEFAULT_SCHEMA

FEATURES = list(DEFAULT_SCHEMA.features)

PREDICT_ELSEWHERE = """
import json, pickle, sys
import pandas as pd
with open(sys.argv[1], "rb") as file:
    model = pickle.load(file)
frame = pd.read_json(sys.stdin, orient="split", dtype=False)
print(json.dumps({
    "predict": model.predict(frame).tolist(),
    "predict_proba": model.predict_proba(frame)[:, 1].tolist(),
    "ours": sorted(name for name in sys.modules if name.startswith(("pipeline", "training"))),
}))
"""


def prepared(world: Sandbox, rows: list[str] | None = None) -> Sandbox:
    world.write("sourcedata/a.csv", client_rows(0, 60, noise=10) if rows is None else rows)
    assert world.run("ingestion").code == 0
    return world


def trained_bytes(world: Sandbox) -> bytes:
    result = world.run("training")
    assert result.code == 0, result.err
    return world.config.trainedmodel_path.read_bytes()


def test_the_manifest_tells_what_the_model_is_made_of(source: Sandbox) -> None:
    source.run("ingestion")
    began = utc_now()
    content = trained_bytes(source)
    manifest = json.loads((source.root / "models/manifest.json").read_text())
    rows, risk = manifest.pop("self_check").values()
    model = pickle.loads(content)
    assert risk == model.predict_proba(pd.DataFrame(rows, columns=FEATURES))[:, 1].tolist()
    ((recorded_at,),) = source.query("SELECT at FROM timings WHERE stage = 'training'")
    assert began <= manifest.pop("trained_at") <= recorded_at
    written = max(path.stat().st_mtime for path in (source.root / "sourcedata").iterdir())
    assert manifest.pop("data_until") == date.fromtimestamp(written).isoformat()
    assert manifest == {
        "sha256": hashlib.sha256(content).hexdigest(),
        "rows": 120,
        "last_file": 2,
        "schema": json.loads(json.dumps(asdict(DEFAULT_SCHEMA))),
        "versions": {
            "python": platform.python_version(),
            "scikit-learn": version("scikit-learn"),
            "numpy": version("numpy"),
            "pandas": version("pandas"),
        },
        "recipe": {
            "kind": "logistic",
            "calibration": "none",
            "threshold": 0.5,
            "rule": "fixed",
            "seed": 0,
            "evidence": {"brier": ANY, "brier_sigmoid": ANY},
            "chosen_since": "",
            "recent": False,
        },
        "usual": [29.5, 344.5, 49.5],
        "left": 56,
        "warnings": [
            "the test data hold 26 rows of clients who left: scores on fewer than 30 are largely"
            " chance"
        ],
        "drawn_from": 0,
        "contacts": [],
    }


def test_only_labelled_rows_are_counted(sandbox: Sandbox) -> None:
    prepared(sandbox, client_rows(0, 40) + client_rows(40, 20, outcome=""))
    result = sandbox.run("training")
    assert result.out == "models/trainedmodel.pkl: logistic, trained on 40 labelled rows\n"


def test_rows_not_on_record_are_not_learned(source: Sandbox) -> None:
    source.run("ingestion")
    trained_bytes(source)
    with source.config.finaldata_path.open("a") as file:
        file.write("torn,99999,99999,99999,1\ntorn,1")
    result = source.run("training")
    assert result.code == 1
    assert "finaldata.csv has 2,980 bytes where 2,949 are on record: another" in result.err


def test_before_the_first_ingestion_there_is_nothing_to_learn(sandbox: Sandbox) -> None:
    result = sandbox.run("training")
    assert (result.code, result.out) == (1, "")
    assert result.err == (
        f"error: {sandbox.config.finaldata_path} has no rows yet: run `python ingestion.py`\n"
    )


def test_one_outcome_only_is_reported_and_the_old_model_stays(sandbox: Sandbox) -> None:
    prepared(sandbox)
    trained_bytes(sandbox)
    before = sandbox.files()
    (sandbox.root / "sourcedata/a.csv").unlink()
    sandbox.write("sourcedata/b.csv", client_rows(0, 30, outcome="1"))
    sandbox.run("ingestion", "--rebuild", "--yes")
    result = sandbox.run("training")
    assert (result.code, result.out) == (1, "")
    assert result.err == (
        "error: training needs clients who left and clients who stayed; among the 30 rows with a"
        " known outcome there are only clients with exited = 1\n"
    )
    assert {name: sandbox.files()[name] for name in before if name.startswith("models/")} == {
        name: content for name, content in before.items() if name.startswith("models/")
    }


def test_a_huge_number_does_not_stop_training(sandbox: Sandbox) -> None:
    prepared(sandbox, [*client_rows(0, 60), "huge,1e300,1,1,1"])
    assert sandbox.run("training").code == 0


AFTER_A_LOAD = """
import sys
from pipeline.core.config import load_config
from pipeline.registry.live_model import load_release
from pipeline.registry.releases import live_release
from pathlib import Path
sys.path.append("tests/support")
from stagecalls import train
config = load_config(sys.argv[1])
if sys.argv[2:]:
    load_release(live_release(config.prod_deployment_path), config.schema)
train(config)
"""


@pytest.mark.slow
def test_the_same_data_give_the_same_bytes_after_a_model_was_loaded(deployed: Sandbox) -> None:
    models = []
    for result in ([], ["load"]):
        child = [sys.executable, "-c", AFTER_A_LOAD, str(deployed.config.path), *result]
        subprocess.run(child, cwd=PROJECT, check=True, capture_output=True)
        models.append(deployed.config.trainedmodel_path.read_bytes())
    assert models[0] == models[1]


@pytest.mark.slow
def test_the_same_data_give_the_same_bytes_in_separate_processes(sandbox: Sandbox) -> None:
    (sandbox.root / "sourcedata/a.csv").write_text(random_table(MIXED).to_csv(index=False))
    sandbox.configure(schema=schema_keys(MIXED))
    sandbox.run("ingestion")
    twin = sandbox.root.parent / f"{sandbox.root.name}-twin"
    shutil.copytree(sandbox.root, twin)
    runs = [
        subprocess.Popen(
            [sys.executable, "training.py", "--config", str(root / "config.json")],
            cwd=PROJECT,
            env={**os.environ, "PYTHONHASHSEED": seed},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for root, seed in ((sandbox.root, "1"), (twin, "2"))
    ]
    for run in runs:
        result, error = run.communicate()
        assert run.returncode == 0, error.decode()
        assert result.endswith(b", trained on 400 labelled rows\n")
    first, second = (
        (root / "models/trainedmodel.pkl").read_bytes() for root in (sandbox.root, twin)
    )
    assert first == second
    assert trained_bytes(sandbox) == first


@pytest.mark.parametrize(
    ("keys", "rows", "made"),
    [
        ({}, 60, "logistic, trained"),
        pytest.param(
            {"model": "boosting", "threshold": 0.3},
            90,
            "boosting, threshold 0.3000, trained",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            {"model": "boosting", "threshold": "f1"},
            400,
            "boosting, sigmoid calibration, threshold 0.",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_the_model_loads_and_predicts_without_this_projects_code(
    sandbox: Sandbox,
    tmp_path_factory: pytest.TempPathFactory,
    keys: dict[str, Any],
    rows: int,
    made: str,
) -> None:
    sandbox.configure(**keys)
    prepared(sandbox, client_rows(0, rows, noise=3))
    assert f"trainedmodel.pkl: {made}" in sandbox.run("training").out
    model = pickle.loads(trained_bytes(sandbox))
    frame = pd.DataFrame(
        [[10, None, 5], [None, 300, 80], [3, 4, 50]], columns=FEATURES, dtype=float
    )
    # isolated: neither the folder, nor PYTHONPATH, nor the user's packages are looked at
    python = (sys.executable, "-I", "-W", "error")
    done = subprocess.run(
        [*python, "-c", PREDICT_ELSEWHERE, str(sandbox.config.trainedmodel_path)],
        cwd=tmp_path_factory.mktemp("elsewhere"),
        input=frame.to_json(orient="split"),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "predict": model.predict(frame).tolist(),
        "predict_proba": model.predict_proba(frame)[:, 1].tolist(),
        "ours": [],
    }


# real tables


@needs_shared
def test_a_leak_is_named_once_by_a_run_and_by_training_alone(sandbox: Sandbox) -> None:
    for name in ("config.json", "in/a.csv", "test/test.csv"):
        sandbox.write(name, (SHARED.parent / "cases/38-leak" / name).read_text())
    leak = "WARNING training: ExitReason alone tells who left (AUC 1.000): likely a leak"
    few = "WARNING training: the test data hold 26 rows of clients who left"
    result = sandbox.run("fullprocess")
    assert result.code == 0, result.err
    assert (result.err.count(leak), result.err.count(few)) == (1, 1)
    assert (
        "| warning | ExitReason alone" in (sandbox.root / "prod/current/modelcard.md").read_text()
    )
    sandbox.configure(test_data_path="nowhere")
    result = sandbox.run("training")
    assert (result.code, result.err.count(leak), result.err.count(few)) == (0, 1, 0)


@needs_shared
def test_the_original_practice_rows_give_the_reference_f1(sandbox: Sandbox) -> None:
    # the defaults, which do not count for so few rows
    sandbox.configure(
        **dict.fromkeys(SIMPLE), input_folder_path=str(SHARED / "original/practicedata")
    )
    for stage in ("ingestion", "training"):
        assert sandbox.run(stage).code == 0
    assert sandbox.query("SELECT rows FROM timings WHERE stage = 'training'") == [(26,)]
    found = {}
    for data in ("testdata", "sourcedata", "validation_data/no_drift", "validation_data/drift"):
        sandbox.configure(test_data_path=str(SHARED / "original" / data))
        assert sandbox.run("scoring").code == 0
        found[data] = float(sandbox.config.latestscore_path.read_text())
    assert found == {
        "testdata": 0.5714285714285714,
        "sourcedata": pytest.approx(0.6923, abs=5e-5),
        "validation_data/no_drift": 1.0,
        "validation_data/drift": 0.0,
    }


def fifths(world: Sandbox, table: Path, rows: int) -> pd.DataFrame:
    """A fifth of the rows, drawn at random, becomes test data; the rest is taken in."""
    frame = pd.read_csv(table, nrows=rows)
    drawn = np.random.default_rng(0).permutation(rows) % 5 == 0  # their order is not random
    (world.root / "testdata/testdata.csv").write_text(frame[drawn].to_csv(index=False))
    (world.root / "sourcedata/a.csv").write_text(frame[~drawn].to_csv(index=False))
    return frame


@needs_shared
def test_the_telecom_table_works_by_naming_its_columns(sandbox: Sandbox) -> None:
    frame = fifths(sandbox, SHARED / "public/telecom_3150.csv", 3150)
    sandbox.configure(
        schema={"client": "client", "outcome": "churn", "numeric": list(frame.columns[1:-1])}
    )
    for stage in ("ingestion", "training", "scoring"):
        result = sandbox.run(stage)
        assert result.code == 0, result.err
    ((rows, auc),) = sandbox.query("SELECT rows, roc_auc FROM scores")
    assert rows == 630
    assert 0.90 < auc < 0.96
