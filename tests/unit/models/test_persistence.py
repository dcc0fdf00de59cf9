import hashlib
import json
import pickle
import platform
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from modelling import train_model

from pipeline.core.errors import ModelError
from pipeline.core.schema import Schema
from pipeline.data.reference import reference_from_json, reference_of
from pipeline.models.cross_validation import TrainingData
from pipeline.models.estimators import Model, fit_model, predictions_of, risk_of
from pipeline.models.manifest import ModelManifest, Recipe, SelfCheck, to_json
from pipeline.models.persistence import TrainedModel, load_trained, save_model
from pipeline.models.scorer import unwrap_model

SCHEMA = Schema("id", "left", ("age", "spend"))
RECIPE = Recipe(kind="boosting", threshold=0.25, rule="f1", evidence={"brier": 0.1})


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    age = np.arange(40) * 7 % 23
    left = (age < 10).astype(float)
    return pd.DataFrame(
        {"id": age.astype(str), "age": age * 1.0, "spend": -(age**2.0), "left": left}
    )


@pytest.fixture(scope="module")
def model(frame: pd.DataFrame) -> Model:
    return train_model(frame, SCHEMA)


@pytest.fixture
def saved(model: Model, frame: pd.DataFrame, tmp_path: Path) -> TrainedModel:
    return saved_model(model, tmp_path / "models", frame, last_file=3)


def saved_model(
    model: Model, folder: Path, frame: pd.DataFrame, schema: Schema = SCHEMA, *, last_file: int
) -> TrainedModel:
    return save_model(
        model,
        folder,
        data=TrainingData(frame, frame, schema),
        risk=risk_of(model, frame),
        recipe=RECIPE,
        last_file=last_file,
    )


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def put_manifest(folder: Path, manifest: ModelManifest) -> None:
    (folder / "manifest.json").write_text(to_json(asdict(manifest)))


class Bomb:
    """Unpickling it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def test_a_model_is_saved_beside_its_manifest(
    saved: TrainedModel, model: Model, frame: pd.DataFrame, tmp_path: Path
) -> None:
    assert sorted(p.name for p in (tmp_path / "models").iterdir()) == [
        "manifest.json",
        "reference.json",
        "trainedmodel.pkl",
    ]
    assert saved.manifest == ModelManifest(
        sha256=digest(tmp_path / "models/trainedmodel.pkl"),
        trained_at=saved.manifest.trained_at,
        rows=40,
        last_file=3,
        schema=SCHEMA,
        versions={
            "python": platform.python_version(),
            "scikit-learn": version("scikit-learn"),
            "numpy": version("numpy"),
            "pandas": version("pandas"),
        },
        self_check=SelfCheck(
            rows=tuple(frame[["age", "spend"]].head().itertuples(index=False, name=None)),
            risk=tuple(risk_of(model, frame.head())),
        ),
        recipe=RECIPE,
        usual=(frame["age"].median(), frame["spend"].median()),
        left=17,
    )


@pytest.mark.usefixtures("saved")
def test_its_reference_lies_beside_it(model: Model, frame: pd.DataFrame, tmp_path: Path) -> None:
    result = json.loads((tmp_path / "models/reference.json").read_text(encoding="utf-8"))
    assert reference_from_json(json.dumps(result).encode()) == reference_of(
        frame, risk_of(model, frame), SCHEMA, RECIPE.seed
    )


def test_a_model_comes_back_with_its_manifest(
    saved: TrainedModel, frame: pd.DataFrame, tmp_path: Path
) -> None:
    loaded = load_trained(tmp_path / "models", SCHEMA)
    assert loaded.manifest == saved.manifest
    assert np.array_equal(risk_of(loaded.model, frame), risk_of(saved.model, frame))


def test_before_training_there_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(ModelError) as caught:
        load_trained(tmp_path, SCHEMA)
    assert str(caught.value) == (
        f"{tmp_path}/manifest.json is missing: run `python training.py` first"
    )


@pytest.mark.usefixtures("saved")
def test_a_manifest_without_its_model_says_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "models/trainedmodel.pkl"
    path.unlink()
    with pytest.raises(ModelError) as caught:
        load_trained(tmp_path / "models", SCHEMA)
    assert str(caught.value) == f"{path} is missing: run `python training.py` first"


@pytest.mark.usefixtures("saved")
def test_a_single_bit_more_or_less_is_damage(tmp_path: Path) -> None:
    path = tmp_path / "models/trainedmodel.pkl"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(ModelError) as caught:
        load_trained(tmp_path / "models", SCHEMA)
    assert str(caught.value) == (
        f"{path} is not the model that its manifest describes: train again"
    )


def test_what_names_anything_but_the_parts_of_a_model_is_never_unpickled(
    saved: TrainedModel, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "models/trainedmodel.pkl"
    path.write_bytes(pickle.dumps(Bomb(tmp_path / "boom")))
    put_manifest(path.parent, replace(saved.manifest, sha256=digest(path)))
    with pytest.raises(ModelError) as caught:
        load_trained(path.parent, SCHEMA)
    assert str(caught.value).startswith(f"{path} is refused: it names pathlib.")
    assert not (tmp_path / "boom").exists()
    assert caplog.messages == [str(caught.value)]


def test_a_model_of_another_version_is_reported_and_used_if_it_answers_the_same(
    saved: TrainedModel, frame: pd.DataFrame, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "models"
    versions = {**saved.manifest.versions, "scikit-learn": "0.1"}
    put_manifest(folder, replace(saved.manifest, versions=versions))
    loaded = load_trained(folder, SCHEMA)
    assert np.array_equal(risk_of(loaded.model, frame), risk_of(saved.model, frame))
    assert caplog.messages == [
        f"{folder}/trainedmodel.pkl was made by scikit-learn 0.1;"
        f" {version('scikit-learn')} is installed here"
    ]


def test_a_model_that_answers_otherwise_than_when_it_was_made_is_refused(
    saved: TrainedModel, tmp_path: Path
) -> None:
    check = saved.manifest.self_check
    otherwise = replace(check, risk=(check.risk[0] + 1e-3, *check.risk[1:]))
    put_manifest(tmp_path / "models", replace(saved.manifest, self_check=otherwise))
    with pytest.raises(ModelError, match=r"trainedmodel\.pkl fails its self-check: it gives \["):
        load_trained(tmp_path / "models", SCHEMA)


def test_the_last_digits_of_a_self_check_may_differ(saved: TrainedModel, tmp_path: Path) -> None:
    check = saved.manifest.self_check
    almost = replace(check, risk=(check.risk[0] + 1e-7, *check.risk[1:]))
    put_manifest(tmp_path / "models", replace(saved.manifest, self_check=almost))
    load_trained(tmp_path / "models", SCHEMA)


def test_what_is_no_model_or_a_part_of_one_fails_its_self_check(
    saved: TrainedModel, tmp_path: Path
) -> None:
    path, model = tmp_path / "models/trainedmodel.pkl", unwrap_model(saved.model)[0]
    for other in ({"a": 1}, None, [1], slice(1), model[0], model[1]):
        path.write_bytes(pickle.dumps(other, protocol=5))
        put_manifest(path.parent, replace(saved.manifest, sha256=digest(path)))
        with pytest.raises(ModelError, match=r"trainedmodel\.pkl fails its self-check: "):
            load_trained(path.parent, SCHEMA)


def test_a_self_check_of_no_rows_checks_nothing_and_is_refused(
    saved: TrainedModel, tmp_path: Path
) -> None:
    path = tmp_path / "models/manifest.json"
    values = {**json.loads(to_json(asdict(saved.manifest))), "self_check": {"rows": [], "risk": []}}
    path.write_text(json.dumps(values))
    with pytest.raises(ModelError, match="`self_check` does not have one risk per row"):
        load_trained(path.parent, SCHEMA)


def test_a_self_check_may_have_gaps(tmp_path: Path) -> None:
    schema = Schema("id", "left", ("age",), ("land",))
    rows = {"age": [1.0, None, 3.0], "land": ["", "x", "y"], "left": [0.0, 1.0, 0.0]}
    frame = pd.DataFrame({"id": list("abc"), **rows})
    model = train_model(frame, schema)
    saved = saved_model(model, tmp_path, frame, schema, last_file=1)
    assert saved.manifest.self_check.rows == ((1.0, ""), (None, "x"), (3.0, "y"))
    assert load_trained(tmp_path, schema).manifest == saved.manifest


@pytest.mark.usefixtures("saved")
def test_a_model_of_other_features_is_reported(tmp_path: Path) -> None:
    with pytest.raises(ModelError) as caught:
        load_trained(tmp_path / "models", Schema("id", "left", ("age",), ("land",)))
    assert str(caught.value) == (
        f"{tmp_path}/models/trainedmodel.pkl was trained on age, spend;"
        " config.json names age, land: train again"
    )


@pytest.mark.usefixtures("saved")
def test_a_column_that_changed_its_role_is_reported(tmp_path: Path) -> None:
    with pytest.raises(ModelError) as caught:
        load_trained(tmp_path / "models", Schema("id", "left", ("age",), ("spend",)))
    assert str(caught.value) == (
        f"{tmp_path}/models/trainedmodel.pkl was trained when config.json had spend in another"
        " role: train again"
    )


@pytest.mark.usefixtures("saved")
def test_a_client_column_of_another_name_does_not_matter(tmp_path: Path) -> None:
    load_trained(tmp_path / "models", Schema("client", "gone", ("age", "spend")))


def test_risk_is_the_probability_of_leaving(model: Model, frame: pd.DataFrame) -> None:
    risk = risk_of(model, frame)
    assert risk.shape == (40,)
    assert np.array_equal(risk, model.predict_proba(frame[["age", "spend"]])[:, 1])
    assert risk[frame["left"] == 1].min() > 0.5 > risk[frame["left"] == 0].max()


def test_predictions_are_nought_or_one(model: Model, frame: pd.DataFrame) -> None:
    assert np.array_equal(predictions_of(model, frame), frame["left"])


def test_columns_of_a_frame_may_stand_in_any_order(model: Model, frame: pd.DataFrame) -> None:
    mixed = frame[["left", "spend", "id", "age"]].assign(note="x")
    assert np.array_equal(risk_of(model, mixed), risk_of(model, frame))
    assert np.array_equal(predictions_of(model, mixed), predictions_of(model, frame))


def test_of_no_rows_there_are_no_predictions(model: Model, frame: pd.DataFrame) -> None:
    assert risk_of(model, frame[:0]).shape == (0,)
    assert predictions_of(model, frame[:0]).shape == (0,)


@pytest.mark.parametrize("kind", ["logistic", "boosting"])
def test_a_risk_does_not_depend_on_who_else_is_asked_about(kind: str) -> None:
    random = np.random.default_rng(8)
    schema = Schema("id", "left", tuple(f"x{i}" for i in range(17)))
    frame = pd.DataFrame({name: random.normal(size=300) for name in schema.numeric})
    frame["left"] = (frame["x0"] + random.normal(size=300) > 0).astype("float64")
    model = fit_model(kind, frame, schema)
    whole, predicted = risk_of(model, frame), predictions_of(model, frame)
    for rows in (1, 2, 3, 5, 7, 63, 299):
        for first in (0, 1, 290, 299):
            part = frame.iloc[first : first + rows]
            assert np.array_equal(risk_of(model, part), whole[first : first + rows])
            assert np.array_equal(predictions_of(model, part), predicted[first : first + rows])
