import hashlib
import json
import math
import os
import pickle
import platform
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import numpy as np
import pandas as pd
import pytest
from conftest import PROJECT, SHARED, Sandbox, client_rows, needs_shared
from modelling import train_model
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from pipeline.errors import ModelError
from pipeline.estimators import SAMPLE, fit_model, untrained_model
from pipeline.frames import frame_of, frame_of_text
from pipeline.learning import TrainingData
from pipeline.models import load_trained, pickled, predictions_of, risk_of, save_model
from pipeline.recipe import Recipe
from pipeline.sampledata import SEED, clients
from pipeline.schema import DEFAULT_SCHEMA, Schema

FEATURES = list(DEFAULT_SCHEMA.features)
MIXED = Schema("id", "left", ("age", "spend"), ("land", "plan"))

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


def sample(rows: int = 4000) -> pd.DataFrame:
    table = clients(rows, SEED)
    numbers = table[[*FEATURES, "exited"]].astype("float64")
    return pd.concat([table[["corporation"]], numbers], axis=1)


def mixed(rows: int = 400) -> pd.DataFrame:
    rng = np.random.default_rng(4)
    frame = pd.DataFrame(
        {
            "id": [f"c{i}" for i in range(rows)],
            "age": rng.integers(18, 90, rows).astype(float),
            "spend": rng.lognormal(8, 2, rows),
            "land": rng.choice(["France", "Spain", ""], rows),
            "plan": rng.choice(["basic", "plus"], rows),
        }
    )
    leaning = (frame["age"] - 50) / 20 + (frame["land"] == "Spain") - (frame["plan"] == "plus")
    frame["left"] = (leaning + rng.logistic(size=rows) > 0).astype(float)
    frame.loc[::9, "age"] = math.nan
    return frame


def independent_risk(frame: pd.DataFrame) -> np.ndarray:
    """The same model by other means: numpy for the columns, a long lbfgs fit for the rest."""
    raw = frame[FEATURES].to_numpy()
    filled = np.where(np.isnan(raw), np.nanmedian(raw, axis=0), raw)
    scaled = (filled - filled.mean(axis=0)) / filled.std(axis=0)
    lbfgs = LogisticRegression(C=100, solver="lbfgs", tol=1e-10, max_iter=100_000)
    risk: np.ndarray = lbfgs.fit(scaled, frame["exited"]).predict_proba(scaled)[:, 1]
    return risk


def prepared(world: Sandbox, rows: list[str] | None = None) -> Sandbox:
    world.write("sourcedata/a.csv", client_rows(0, 60, noise=10) if rows is None else rows)
    assert world.run("ingestion").code == 0
    return world


def trained_bytes(world: Sandbox) -> bytes:
    result = world.run("training")
    assert result.code == 0, result.err
    return world.config.trainedmodel_path.read_bytes()


# the fit


def test_the_fit_has_converged() -> None:
    frame = sample()
    assert frame[FEATURES].isna().sum().min() > 0
    risk = risk_of(fit_model("logistic", frame, DEFAULT_SCHEMA), frame)
    assert np.abs(risk - independent_risk(frame)).max() < 1e-6


@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_the_fit_converges_whatever_the_units(scale: float) -> None:
    frame = sample()
    scaled = frame.assign(lastmonth_activity=frame["lastmonth_activity"] * scale)
    risk, same = risk_of(train_model(scaled), scaled), risk_of(train_model(frame), frame)
    assert np.abs(risk - same).max() < 1e-9


def test_a_missing_number_stands_at_the_median_of_the_labelled_rows() -> None:
    frame = sample()
    frame.loc[:500, "exited"] = math.nan
    model = train_model(frame)
    median = frame.loc[501:, "number_of_employees"].median()
    rows = frame[FEATURES]
    gap, filled = (rows.assign(number_of_employees=value) for value in (math.nan, median))
    assert np.array_equal(risk_of(model, gap), risk_of(model, filled))


def test_a_column_without_any_value_is_borne() -> None:
    frame = sample(500).assign(lastyear_activity=math.nan)
    assert np.isfinite(risk_of(train_model(frame), frame)).all()


def test_a_column_with_one_value_only_is_borne() -> None:
    frame = sample(500).assign(lastyear_activity=7.0)
    assert np.isfinite(risk_of(train_model(frame), frame)).all()


def test_classes_that_can_be_told_apart_are_borne() -> None:
    frame = frame_of_text(
        "\n".join([*client_rows(0, 60), ""]), DEFAULT_SCHEMA, DEFAULT_SCHEMA.columns
    )
    assert np.array_equal(predictions_of(train_model(frame), frame), frame["exited"])


def test_rows_without_a_known_outcome_are_left_out() -> None:
    frame = sample(500)
    unknown = sample(500).assign(exited=math.nan, number_of_employees=1e6)
    both = pd.concat([unknown[:250], frame, unknown[250:]], ignore_index=True)
    assert pickle.dumps(train_model(both)) == pickle.dumps(train_model(frame))


def test_the_frame_is_left_as_it_was() -> None:
    frame = sample(500)
    before = frame.copy(deep=True)
    train_model(frame)
    pd.testing.assert_frame_equal(frame, before)


def test_categories_are_learned() -> None:
    frame = mixed()
    risk = risk_of(train_model(frame, MIXED), frame.assign(age=50.0, spend=3000.0))
    by_land = pd.Series(risk).groupby(frame["land"]).mean()
    assert by_land["Spain"] > by_land["France"] + 0.1


@pytest.mark.parametrize("roles", [{"numeric": ("age",)}, {"categorical": ("land",)}])
def test_numbers_or_categories_alone_are_enough(roles: dict[str, Any]) -> None:
    frame = mixed()
    schema = Schema("id", "left", **{"numeric": (), "categorical": (), **roles})
    assert np.isfinite(risk_of(train_model(frame, schema), frame)).all()


def test_an_unseen_category_counts_as_none_of_those_seen() -> None:
    frame = mixed()
    model = train_model(frame, MIXED)
    one = frame[["age", "spend", "land", "plan"]].head(1)
    risks = [risk_of(model, one.assign(land=land))[0] for land in ("Spain", "Atlantis", "Mu", "")]
    assert risks[1] == risks[2]
    assert len(set(risks)) == 3


@pytest.mark.parametrize("missing", [None, math.nan, ""])
def test_a_missing_category_is_a_category_of_its_own(missing: object) -> None:
    frame = mixed()
    model = train_model(frame, MIXED)
    rows = frame[["age", "spend", "land", "plan"]].head(2)
    known = risk_of(model, rows.assign(land=["", "Spain"]))
    gap = rows.assign(land=pd.Series([missing, "Spain"], dtype="str"))
    assert np.array_equal(risk_of(model, gap), known)


@pytest.mark.parametrize(
    ("outcomes", "reason"),
    [
        (
            [1, 1, math.nan],
            "the 2 rows with a known outcome there are only clients with exited = 1",
        ),
        ([0, 0, 0], "the 3 rows with a known outcome there are only clients with exited = 0"),
        ([math.nan] * 3, "the 0 rows with a known outcome there are none"),
    ],
)
def test_training_needs_both_outcomes(outcomes: list[float], reason: str) -> None:
    frame = sample(3).assign(exited=outcomes)
    with pytest.raises(ModelError) as caught:
        train_model(frame)
    assert str(caught.value) == (
        f"training needs clients who left and clients who stayed; among {reason}"
    )


# the fit of many rows begins with a sample of them


def by_sklearn(frame: pd.DataFrame, schema: Schema, tol: float = 1e-8) -> Any:
    """The pipeline fitted by its own `fit` on all rows."""
    model = untrained_model("logistic", schema).set_params(logistic__tol=tol)
    return model.fit(frame[list(schema.features)], frame[schema.outcome].astype("int64"))


@pytest.mark.parametrize("numeric", [("age", "spend"), ()])
@pytest.mark.parametrize("categorical", [("land", "plan"), ()])
def test_a_small_table_gives_what_fit_gives_but_for_its_last_step(
    numeric: tuple[str, ...], categorical: tuple[str, ...]
) -> None:
    if not numeric + categorical:
        return
    schema, frame = Schema("id", "left", numeric, categorical), mixed(3001)
    ours, theirs = train_model(frame, schema), by_sklearn(frame, schema)
    minimum = by_sklearn(frame, schema, tol=1e-13)["logistic"]
    found = ours["logistic"]
    assert np.allclose(found.coef_, minimum.coef_, rtol=0, atol=1e-10)
    assert np.allclose(found.intercept_, minimum.intercept_, rtol=0, atol=1e-10)
    # all else is the same, byte for byte
    assert pickled(ours["columns"]) == pickled(theirs["columns"])


def many(kind: str) -> tuple[pd.DataFrame, Schema]:
    """Some table of more rows than the sample has."""
    rows, rng = 2 * SAMPLE + 5000, np.random.default_rng(8)
    if kind == "sample data":
        return sample(rows), DEFAULT_SCHEMA
    frame, schema = mixed(rows), MIXED
    if kind == "one leaver":
        frame["left"] = (np.arange(rows) == 777).astype(float)
    elif kind == "all leavers last":
        frame["left"] = (np.arange(rows) > 0.9 * rows).astype(float)
    elif kind == "separable":
        frame["left"] = (frame["age"] > 50).astype(float)
    elif kind == "a number far off":
        frame.loc[5, "spend"] = 1e12
    elif kind == "heavy tails":
        frame["spend"] = rng.standard_cauchy(rows)
    elif kind == "rare categories":
        frame["land"] = pd.Series([f"L{i % 100}" for i in rng.zipf(1.7, rows)], dtype="str")
    elif kind == "no numbers":
        schema = Schema("id", "left", (), ("land", "plan"))
    return frame, schema


@pytest.mark.parametrize(
    ("kind", "most"),
    [
        ("sample data", 1e-10),
        ("categories", 1e-10),
        ("no numbers", 1e-10),
        ("one leaver", 1e-10),
        ("all leavers last", 1e-10),
        ("separable", 1e-10),
        ("heavy tails", 1e-10),
        ("rare categories", 1e-7),  # at tol 1e-8, `fit` itself is no nearer
    ],
)
def test_many_rows_give_the_model_that_fit_gives(kind: str, most: float) -> None:
    frame, schema = many(kind)
    model, exact = fit_model("logistic", frame, schema), by_sklearn(frame, schema, tol=1e-13)
    assert np.abs(risk_of(model, frame) - risk_of(exact, frame)).max() < most


def test_what_has_no_exact_answer_is_no_worse_than_that_of_fit() -> None:
    frame, schema = many("a number far off")
    model, plain = fit_model("logistic", frame, schema), by_sklearn(frame, schema)
    ours, theirs = (log_loss(frame["left"], risk_of(m, frame)) for m in (model, plain))
    assert ours <= theirs + 1e-12


def test_many_rows_leave_the_same_parts_in_the_model() -> None:
    frame, schema = many("categories")
    ours, theirs = fit_model("logistic", frame, schema), by_sklearn(frame, schema)
    assert shape_of(ours) == shape_of(theirs)


def shape_of(part: Any) -> Any:
    """What an estimator is made of, with the kinds and shapes of what it learned."""
    if isinstance(part, np.ndarray):
        return part.dtype.kind, part.shape
    if isinstance(part, list | tuple):
        return [shape_of(item) for item in part]
    if isinstance(part, dict):
        return {key: shape_of(value) for key, value in part.items()}
    if hasattr(part, "get_params"):
        return type(part).__name__, shape_of(vars(part))
    return type(part).__name__


def test_many_rows_give_the_same_bytes_again() -> None:
    frame, schema = many("sample data")
    assert pickled(train_model(frame, schema)) == pickled(train_model(frame.copy(), schema))


def test_a_model_of_many_rows_is_saved_and_loaded(tmp_path: Path) -> None:
    frame, schema = many("categories")
    model = train_model(frame, schema)
    save_model(
        model,
        tmp_path,
        data=TrainingData(frame, frame, schema),
        risk=risk_of(model, frame),
        recipe=Recipe(),
        last_file=1,
    )
    loaded = load_trained(tmp_path, schema).model
    assert np.array_equal(risk_of(loaded, frame), risk_of(model, frame))


# the stage


def test_it_tells_what_it_trained(source: Sandbox) -> None:
    source.run("ingestion")
    result = source.run("training")
    assert (result.code, result.out) == (
        0,
        "models/trainedmodel.pkl: logistic, trained on 120 labelled rows\n",
    )


def test_the_manifest_tells_what_the_model_is_made_of(source: Sandbox) -> None:
    source.run("ingestion")
    content = trained_bytes(source)
    manifest = json.loads((source.root / "models/manifest.json").read_text())
    rows, risk = manifest.pop("self_check").values()
    model = pickle.loads(content)
    assert risk == model.predict_proba(pd.DataFrame(rows, columns=FEATURES))[:, 1].tolist()
    ((recorded_at,),) = source.query("SELECT at FROM timings WHERE stage = 'training'")
    assert manifest.pop("trained_at")[:16] == recorded_at[:16]
    assert manifest == {
        "sha256": hashlib.sha256(content).hexdigest(),
        "rows": 120,
        "last_file": 2,
        "schema": {
            "client": "corporation",
            "outcome": "exited",
            "numeric": FEATURES,
            "categorical": [],
        },
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
        },
        "usual": [29.5, 344.5, 49.5],
    }


def test_only_labelled_rows_are_counted(sandbox: Sandbox) -> None:
    prepared(sandbox, client_rows(0, 40) + client_rows(40, 20, outcome=""))
    result = sandbox.run("training")
    assert result.out == "models/trainedmodel.pkl: logistic, trained on 40 labelled rows\n"


def test_a_timing_is_recorded(source: Sandbox) -> None:
    source.run("ingestion")
    source.run("training")
    assert source.query("SELECT rows FROM timings WHERE stage = 'training'") == [(120,)]


def test_the_models_folder_holds_the_model_its_manifest_and_its_reference(source: Sandbox) -> None:
    source.run("ingestion")
    source.run("training")
    assert sorted(p.name for p in source.config.output_model_path.iterdir()) == [
        "manifest.json",
        "reference.json",
        "trainedmodel.pkl",
    ]


def test_rows_not_on_record_are_not_learned(source: Sandbox) -> None:
    source.run("ingestion")
    before = trained_bytes(source)
    with source.config.finaldata_path.open("a") as file:
        file.write("torn,99999,99999,99999,1\ntorn,1")
    assert trained_bytes(source) == before


def test_before_the_first_ingestion_there_is_nothing_to_learn(sandbox: Sandbox) -> None:
    result = sandbox.run("training")
    assert (result.code, result.out) == (1, "")
    assert result.err == (
        f"error: {sandbox.config.finaldata_path} has no rows yet: run `python ingestion.py`\n"
    )


def test_one_outcome_only_is_told_and_the_old_model_stays(sandbox: Sandbox) -> None:
    prepared(sandbox)
    trained_bytes(sandbox)
    before = sandbox.files()
    (sandbox.root / "sourcedata/a.csv").unlink()
    sandbox.write("sourcedata/b.csv", client_rows(0, 30, outcome="1"))
    sandbox.run("ingestion", "--rebuild")
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


def test_the_same_data_give_the_same_bytes_again(source: Sandbox) -> None:
    source.run("ingestion")
    assert trained_bytes(source) == trained_bytes(source)


AFTER_A_LOAD = """
import sys
from pipeline.config import load_config
from pipeline.models import load_release
from pipeline.releases import live_release
from training import train
config = load_config(sys.argv[1])
if sys.argv[2:]:
    load_release(live_release(config.prod_deployment_path), config.schema)
train(config)
"""


@pytest.mark.slow
def test_the_same_data_give_the_same_bytes_after_a_model_was_loaded(deployed: Sandbox) -> None:
    models = []
    for told in ([], ["load"]):
        child = [sys.executable, "-c", AFTER_A_LOAD, str(deployed.config.path), *told]
        subprocess.run(child, cwd=PROJECT, check=True, capture_output=True)
        models.append(deployed.config.trainedmodel_path.read_bytes())
    assert models[0] == models[1]


def test_the_same_data_give_the_same_bytes_in_separate_processes(sandbox: Sandbox) -> None:
    frame = mixed()
    (sandbox.root / "sourcedata/a.csv").write_text(frame.to_csv(index=False))
    schema = {"client": "id", "outcome": "left"}
    sandbox.configure(
        schema={**schema, "numeric": ["age", "spend"], "categorical": ["land", "plan"]}
    )
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
        told, error = run.communicate()
        assert run.returncode == 0, error.decode()
        assert told == b"models/trainedmodel.pkl: logistic, trained on 400 labelled rows\n"
    first, second = (
        (root / "models/trainedmodel.pkl").read_bytes() for root in (sandbox.root, twin)
    )
    assert first == second
    assert trained_bytes(sandbox) == first


@pytest.mark.parametrize(
    ("keys", "rows", "made"),
    [
        ({}, 60, "logistic, trained"),
        ({"model": "boosting", "threshold": 0.3}, 90, "boosting, threshold 0.3000, trained"),
        (
            {"model": "boosting", "threshold": "f1"},
            400,
            "boosting, sigmoid calibration, threshold 0.",
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
@pytest.mark.parametrize(
    ("data", "f1"),
    [
        ("testdata", 0.5714285714285714),
        ("sourcedata", 0.6923),
        ("validation_data/no_drift", 1.0),
        ("validation_data/drift", 0.0),
    ],
)
def test_the_original_practice_rows_give_the_reference_f1(
    sandbox: Sandbox, data: str, f1: float
) -> None:
    sandbox.configure(
        input_folder_path=str(SHARED / "original/practicedata"),
        test_data_path=str(SHARED / "original" / data),
    )
    for stage in ("ingestion", "training", "scoring"):
        assert sandbox.run(stage).code == 0
    latest = float(sandbox.config.latestscore_path.read_text())
    assert sandbox.query("SELECT rows FROM timings WHERE stage = 'training'") == [(26,)]
    assert (latest if len(repr(f1)) > 8 else round(latest, 4)) == f1


def fifths(world: Sandbox, table: Path, rows: int) -> pd.DataFrame:
    """A fifth of the rows, drawn by lot, becomes test data; the rest is taken in."""
    frame = pd.read_csv(table, nrows=rows)
    drawn = np.random.default_rng(0).permutation(rows) % 5 == 0  # their order is not by chance
    (world.root / "testdata/testdata.csv").write_text(frame[drawn].to_csv(index=False))
    (world.root / "sourcedata/a.csv").write_text(frame[~drawn].to_csv(index=False))
    return frame


@needs_shared
def test_the_bank_table_works_by_naming_its_columns(sandbox: Sandbox) -> None:
    frame = fifths(sandbox, SHARED / "public/bank_10000.csv", 10_000)
    categorical = ["Geography", "Gender"]
    numeric = [c for c in frame.columns[1:-1] if c not in categorical]
    sandbox.configure(
        schema={
            "client": "CustomerId",
            "outcome": "Exited",
            "numeric": numeric,
            "categorical": categorical,
        }
    )
    for stage in ("ingestion", "training", "scoring", "deployment"):
        result = sandbox.run(stage)
        assert result.code == 0, result.err
    ((rows, auc),) = sandbox.query("SELECT rows, roc_auc FROM scores")
    assert rows == 2000
    assert 0.74 < auc < 0.80
    test = frame_of(
        sandbox.root / "testdata/testdata.csv", sandbox.config.schema, (*numeric, *categorical)
    )
    model = pickle.loads(sandbox.config.trainedmodel_path.read_bytes())
    assert model.predict(test).sum() > 0


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
