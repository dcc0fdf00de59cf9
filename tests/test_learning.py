"""Learning from one file and from buckets: the same model, manifest, comparison and timings."""

# ruff: noqa: I001, the first import decides whether there are others
import needsengine  # noqa: F401

import json
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from threading import Event, Thread
from typing import Any

import numpy as np
import pandas as pd
import pytest
from conftest import SHARED, Sandbox, client_rows, needs_shared
from modelling import MIXED, fitted
from sklearn.metrics import f1_score
from storeworlds import kept_rows, messy_table, opened, train_here

import diagnostics
from pipeline import bucketdata
from pipeline.config import Config
from pipeline.errors import ModelError
from pipeline.frames import read_folder
from pipeline.gate import Comparison, compare
from pipeline.history import History
from pipeline.ledger import unjudged
from pipeline.models import Model, TrainedModel, predictions_of, risk_of
from pipeline.schema import DEFAULT_SCHEMA, Schema
from training import fit_without

POOL = {"kind": "pool", "workers": 2, "buckets": 3}
MAKES = [
    {},
    {"model": "logistic", "threshold": "f1"},
    pytest.param({"model": "boosting", "threshold": "f1"}, marks=pytest.mark.slow),
    pytest.param({"model": "boosting", "threshold": 0.3}, marks=pytest.mark.slow),
]


def both_trained(
    root: Path, frame: pd.DataFrame, schema: Schema, **keys: Any
) -> list[tuple[Config, TrainedModel]]:
    """Trained on the rows in one file, and in four buckets."""
    files = [frame[: len(frame) // 3], frame[len(frame) // 3 :]]
    configs = [kept_rows(root / str(n), files, schema, n, **keys) for n in (0, 4)]
    return [(config, train_here(config)) for config in configs]


@pytest.mark.parametrize("keys", MAKES, ids=str)
def test_model_manifest_and_reference_are_the_same(tmp_path: Path, keys: dict[str, Any]) -> None:
    frame = messy_table(600)
    (one, expected), (other, found) = both_trained(tmp_path, frame, MIXED, **keys)
    assert np.abs(risk_of(found.model, frame) - risk_of(expected.model, frame)).max() < 1e-12
    assert np.array_equal(predictions_of(found.model, frame), predictions_of(expected.model, frame))
    check, same = found.manifest.self_check, expected.manifest.self_check
    assert check.rows == same.rows
    assert check.risk == pytest.approx(same.risk, rel=1e-12)
    assert found.manifest == replace(
        expected.manifest,
        sha256=found.manifest.sha256,
        trained_at=found.manifest.trained_at,
        self_check=check,
    )
    assert reference_in(other) == reference_in(one)
    if found.manifest.recipe.kind == "boosting":
        assert model_in(other) == model_in(one)


def reference_in(config: Config) -> bytes:
    return (config.output_model_path / "reference.json").read_bytes()


def model_in(config: Config) -> bytes:
    return config.trainedmodel_path.read_bytes()


def test_the_same_rows_give_the_same_bytes_again(tmp_path: Path) -> None:
    made = []
    for name in "ab":
        config = kept_rows(tmp_path / name, [messy_table(200)], MIXED, 4)
        train_here(config)
        made.append((model_in(config), reference_in(config)))
    assert made[0] == made[1]


def test_of_more_rows_than_are_checked_the_model_is_still_that_of_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("pipeline.bucketdata", "pipeline.learning", "pipeline.filestore"):
        monkeypatch.setattr(f"{module}.MOST_CHECKED", 200)
    frame = messy_table(900)
    keys = {"model": "logistic", "threshold": 0.4}
    (_, expected), (_, found) = both_trained(tmp_path, frame, MIXED, **keys)
    cores = [linear_weights(trained.model) for trained in (found, expected)]
    assert cores[0] == pytest.approx(cores[1], rel=1e-8, abs=1e-8)
    assert found.manifest.rows == expected.manifest.rows
    assert found.manifest.usual == expected.manifest.usual


def linear_weights(model: Model) -> np.ndarray:
    from pipeline.anatomy import anatomy_of

    logistic = anatomy_of(model).core[-1]
    return np.append(logistic.coef_[0], logistic.intercept_)


# the gate


def compared(config: Config) -> Comparison:
    """A champion of other rows against the challenger, on test data and the second file."""
    with History(config.history_path) as history:
        fresh = unjudged(history)[1:]
    challenger = train_here(config).model
    with opened(config) as store:
        return compare(
            fitted(MIXED),
            challenger,
            partial(fit_without, store, config.policy),
            gate="not_worse",
            seed=3,
            schema=config.schema,
            test=messy_table(200, seed=9),
            new=store.new_rows(fresh),
        )


@pytest.mark.parametrize("model", ["logistic", pytest.param("boosting", marks=pytest.mark.slow)])
def test_the_gate_compares_the_same(tmp_path: Path, model: str) -> None:
    frame = messy_table(400)
    expected, found = (
        compared(kept_rows(tmp_path / str(n), [frame[:300], frame[300:]], MIXED, n, model=model))
        for n in (0, 3)
    )
    assert found == expected
    assert found.rows > 200


def test_without_some_clients_nothing_or_one_outcome_may_be_left(tmp_path: Path) -> None:
    frame = messy_table(60)
    frame["left"] = np.where(frame["client"] == "c0", 1.0, 0.0)
    frame.loc[frame["client"] == "c7", "left"] = np.nan
    for buckets in (0, 3):
        config = kept_rows(tmp_path / str(buckets), [frame], MIXED, buckets)
        clients = set(frame["client"])
        with opened(config) as store:
            nothing = fit_without(store, config.policy, clients)
            unlabelled = fit_without(store, config.policy, clients - {"c7"})
            stays = fit_without(store, config.policy, ["c0"])
            leaves = fit_without(store, config.policy, clients - {"c0"})
        assert nothing is None
        assert unlabelled is None
        assert stays is not None
        assert leaves is not None
        assert set(predictions_of(stays, frame)) == {0}
        assert set(predictions_of(leaves, frame)) == {1}


@pytest.mark.parametrize(
    ("outcome", "reason"),
    [
        (1.0, "the 40 rows with a known outcome there are only clients with left = 1"),
        (0.0, "the 40 rows with a known outcome there are only clients with left = 0"),
        (np.nan, "the 0 rows with a known outcome there are none"),
    ],
)
def test_training_needs_both_outcomes(tmp_path: Path, outcome: float, reason: str) -> None:
    config = kept_rows(tmp_path / "a", [messy_table(40).assign(left=outcome)], MIXED, 3)
    with pytest.raises(ModelError) as caught:
        train_here(config)
    assert str(caught.value).endswith(f"among {reason}")


# what comes of the stage


LOAD_ELSEWHERE = """
import json, pickle, sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"pyarrow", "dask", "distributed", "pipeline", "training"}:
            raise ImportError(name)

sys.meta_path.insert(0, Absent())
import pandas as pd
with open(sys.argv[1], "rb") as file:
    model = pickle.load(file)
frame = pd.read_json(sys.stdin, orient="split", dtype=False)
print(json.dumps(model.predict_proba(frame)[:, 1].tolist()))
"""


@pytest.mark.slow
def test_workers_make_the_model_that_one_process_makes(tmp_path: Path, sandbox: Sandbox) -> None:
    frame = messy_table(300)
    config = kept_rows(tmp_path / "a", [frame[:100], frame[100:]], MIXED, 3, model="logistic")
    train_here(config)
    expected = model_in(config), reference_in(config)
    config.trainedmodel_path.unlink()
    result = replace(sandbox, root=tmp_path / "a").run("training")
    assert result.code == 0, result.err
    assert (model_in(config), reference_in(config)) == expected


@pytest.mark.parametrize("kind", ["logistic", "boosting"])
def test_the_model_loads_where_no_engine_is_installed(kind: str, tmp_path: Path) -> None:
    frame = messy_table(200)
    config = kept_rows(tmp_path / "a", [frame], MIXED, 3, model=kind)
    trained = train_here(config)
    assert b"pyarrow" not in model_in(config)
    features = frame[list(MIXED.features)].head(9)
    done = subprocess.run(
        [sys.executable, "-I", "-W", "error", "-c", LOAD_ELSEWHERE, str(config.trainedmodel_path)],
        cwd=tmp_path,
        input=features.to_json(orient="split"),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told == pytest.approx(risk_of(trained.model, features), rel=1e-12)


@pytest.mark.slow
def test_trees_of_a_sample_are_told_as_such(
    source: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bucketdata, "MOST_BOOSTED", 90)
    source.configure(engine=POOL, model="boosting", threshold=0.5)
    assert source.run("ingestion").code == 0
    result = source.run("training")
    assert result.code == 0, result.err
    assert "trained on 90 of 120 labelled rows" in result.out
    assert "boosted trees learn from 90 of 120 labelled rows, a sample stratified" in result.err
    manifest = json.loads((source.config.output_model_path / "manifest.json").read_text())
    assert manifest["rows"] == 120
    assert manifest["recipe"]["evidence"]["rows_learned"] == 90
    for stage in ("scoring", "deployment"):
        assert source.run(stage).code == 0
    card = source.config.prod_deployment_path / "current" / "modelcard.md"
    told = "| learned from | 90 of 120 rows, drawn with the outcomes in proportion |"
    assert told in card.read_text(encoding="utf-8").splitlines()


@pytest.mark.slow
def test_timings_are_taken_in_a_hidden_place_beside_the_outputs(source: Sandbox) -> None:
    source.configure(engine=POOL, output_folder_path="out/ingesteddata")
    before, seen = source.files(), set[str]()
    ended = Event()

    def watch() -> None:
        while not ended.wait(0.005):
            seen.update(path.name for path in source.root.glob("out/*"))

    watcher = Thread(target=watch)
    watcher.start()
    try:
        timings = diagnostics.execution_time(source.config)
    finally:
        ended.set()
        watcher.join()
    assert timings.ingestion > 0
    assert timings.training > 0
    (place,) = seen
    assert place.startswith(".timing-")
    assert source.files() == before
    assert list(source.root.glob("out/*")) == []


@pytest.mark.slow
def test_nothing_is_left_of_timings_that_fail(source: Sandbox) -> None:
    source.configure(engine=POOL)
    for name in "ab":
        source.write(f"sourcedata/{name}.csv", client_rows(0, 30, outcome="0"))
    before = sorted(source.root.iterdir())
    with pytest.raises(ModelError, match="training needs clients who left"):
        diagnostics.execution_time(source.config)
    assert sorted(source.root.iterdir()) == before


# real tables


@needs_shared
def test_the_original_practice_rows_give_the_reference_f1(sandbox: Sandbox) -> None:
    original = SHARED / "original"
    frames = [pd.read_csv(path) for path in sorted((original / "practicedata").glob("*.csv"))]
    for buckets in (1, 8):
        config = kept_rows(sandbox.root / str(buckets), frames, DEFAULT_SCHEMA, buckets)
        trained = train_here(config)
        assert trained.manifest.rows == 26
        for data, f1 in (
            ("testdata", 0.5714285714285714),
            ("sourcedata", 0.6923),
            ("validation_data/no_drift", 1.0),
            ("validation_data/drift", 0.0),
        ):
            rows = read_folder(original / data, DEFAULT_SCHEMA)
            found = f1_score(rows["exited"], predictions_of(trained.model, rows), zero_division=0)
            assert (found if len(repr(f1)) > 8 else round(found, 4)) == f1


@needs_shared
@pytest.mark.slow
@pytest.mark.parametrize("model", ["logistic", "boosting"])
@pytest.mark.parametrize(
    ("table", "client", "outcome", "words"),
    [
        ("bank_10000.csv", "CustomerId", "Exited", ("Geography", "Gender")),
        ("telecom_3150.csv", "client", "churn", ()),
    ],
)
def test_real_tables_give_the_model_of_one_process(
    tmp_path: Path, table: str, client: str, outcome: str, words: tuple[str, ...], model: str
) -> None:
    frame = pd.read_csv(SHARED / "public" / table)
    frame = frame[frame[outcome] <= 1]  # one row is no client
    numbers = tuple(c for c in frame.columns if c not in {client, outcome, *words})
    schema = Schema(client, outcome, numbers, words)
    (_, expected), (_, found) = both_trained(tmp_path, frame, schema, model=model)
    risks = [risk_of(trained.model, frame) for trained in (found, expected)]
    assert risks[0] == pytest.approx(risks[1], rel=1e-8, abs=1e-8)
    assert found.manifest.recipe == expected.manifest.recipe
