import ast
import functools
import hashlib
import json
import os
import pickle
import platform
import re
import subprocess
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
import sklearn.base
from modelling import MAKES, made, random_table, train_model
from modelling import SCHEMAS as TABLES
from sandbox import PROJECT
from sklearn.dummy import DummyClassifier
from sklearn.impute import MissingIndicator
from sklearn.isotonic import IsotonicRegression
from sklearn.preprocessing import FunctionTransformer

from pipeline.core.errors import ModelError
from pipeline.core.schema import Schema
from pipeline.data.reference import reference_from_json, reference_of
from pipeline.models import unpickling
from pipeline.models.cross_validation import TrainingData
from pipeline.models.estimators import Model, fit_model, predictions_of, risk_of
from pipeline.models.manifest import ModelManifest, Recipe, SelfCheck, to_json
from pipeline.models.persistence import TrainedModel, load_trained, save_model
from pipeline.models.scorer import unwrap_model
from pipeline.models.unpickling import ALLOWED, unpickle

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


@pytest.mark.usefixtures("saved")
def test_what_is_not_as_described_is_never_unpickled(tmp_path: Path) -> None:
    (tmp_path / "models/trainedmodel.pkl").write_bytes(pickle.dumps(Bomb(tmp_path / "boom")))
    with pytest.raises(ModelError):
        load_trained(tmp_path / "models", SCHEMA)
    assert not (tmp_path / "boom").exists()


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
    path, model = tmp_path / "models/trainedmodel.pkl", unwrap_model(saved.model).core
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


# unpickling


GAPS = pd.DataFrame(
    {
        "id": list("abcd"),
        "age": [1.0, None, 3.0, 4.0],
        "land": ["x", "", "y", "x"],
        "left": [0, 1] * 2,
    }
)
MIXED = Schema("id", "left", ("age",), ("land",))


@pytest.fixture(scope="module")
def pickles() -> list[bytes]:
    """A model of ours of each make, for each kind of schema."""
    models = [made(schema, *make) for schema in TABLES.values() for make in MAKES]
    return [pickle.dumps(model, protocol=5) for model in models]


class Calls:
    """Unpickling it calls a function."""

    def __init__(self, function: Any, *args: Any) -> None:
        self.called = function, args

    def __reduce__(self) -> Any:
        return self.called


@pytest.mark.parametrize("make", MAKES, ids=str)
@pytest.mark.parametrize("schema", TABLES.values(), ids=TABLES)
def test_every_model_of_ours_comes_back(schema: Schema, make: tuple[str, str, float]) -> None:
    model = made(schema, *make)
    again = unpickle(pickle.dumps(model, protocol=5))
    features = random_table(schema)[list(schema.features)]
    assert np.array_equal(again.predict_proba(features), model.predict_proba(features))
    assert np.array_equal(again.predict(features), model.predict(features))


@pytest.mark.parametrize("entry", sorted(ALLOWED))
def test_every_name_that_is_allowed_is_needed_by_a_model_of_ours(
    entry: str, pickles: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unpickling, "ALLOWED", ALLOWED - {entry})
    said = [refusal(content) for content in pickles]
    assert set(said) - {""} == {f"it names {entry}, which no model of ours needs"}


def refusal(content: bytes) -> str:
    try:
        unpickle(content)
    except ModelError as error:
        return str(error)
    return ""


def test_a_model_of_another_version_of_scikit_learn_comes_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = train_model(GAPS, MIXED)
    with monkeypatch.context() as other:
        other.setattr(sklearn.base, "__version__", "0.1")
        content = pickle.dumps(model, protocol=5)
    with pytest.warns(sklearn.exceptions.InconsistentVersionWarning):
        again = unpickle(content)
    assert np.array_equal(again.predict(GAPS), model.predict(GAPS))


PLANTED: dict[str, tuple[object, str]] = {
    "a command": (Calls(os.system, "touch boom"), "posix.system"),
    "a process": (Calls(subprocess.Popen, ["touch", "boom"]), "subprocess.Popen"),
    "eval": (Calls(eval, "open('boom', 'w')"), "builtins.eval"),
    "exec": (Calls(exec, "open('boom', 'w')"), "builtins.exec"),
    "open": (Calls(open, "boom", "w"), "(_io|io).open"),
    "an import": (Calls(__import__, "antigravity"), "builtins.__import__"),
    "getattr": (Calls(getattr, "x", "upper"), "builtins.getattr"),
    "a method": (Path("boom").touch, "builtins.getattr"),
    "a pickle in a pickle": (Calls(pickle.loads, pickle.dumps(Calls(os.system, "x"))), "_pickle."),
    "joblib": (Calls(joblib.load, "boom"), "joblib.numpy_pickle.load"),
    "pandas": (Calls(pd.read_pickle, "boom"), "pandas"),
    "numpy that reads": (Calls(np.load, "boom", None, True), "numpy"),
    "another estimator": (DummyClassifier(), "sklearn.dummy.DummyClassifier"),
    "an estimator of functions": (
        FunctionTransformer(os.system),
        "posix.system",
    ),
    "an estimator of functions, backwards": (
        FunctionTransformer(np.clip, inverse_func=os.system),
        "posix.system",
    ),
    "an estimator of functions that reads": (FunctionTransformer(np.load), "numpy.load"),
    "an estimator of functions that runs what it is given": (
        FunctionTransformer(np.apply_along_axis, kw_args={"func1d": os.system}),
        "numpy.apply_along_axis",
    ),
    "numbers that are clipped by a command": (
        Calls(np.clip, Calls(os.system, "x")),
        "posix.system",
    ),
    "numbers that are taken by a command": (Calls(np.take, Calls(os.system, "x")), "posix.system"),
    "a product of commands": (Calls(np.prod, Calls(os.system, "touch boom")), "posix.system"),
    "gaps that run": (Calls(MissingIndicator, Calls(os.system, "touch boom")), "posix.system"),
    "a function with its arguments": (functools.partial(os.system, "x"), "functools.partial"),
    "random numbers": (np.random.default_rng(), "numpy.random"),
    "a curve that runs": (
        Calls(IsotonicRegression, Calls(os.system, "touch boom")),
        "posix.system",
    ),
}


@pytest.mark.parametrize(("planted", "name"), PLANTED.values(), ids=PLANTED)
def test_whatever_else_is_named_is_refused_before_it_runs(
    planted: object, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    said = refusal(pickle.dumps(planted))
    assert re.fullmatch(rf"it names {name}\S*, which no model of ours needs", said)
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        for hidden in (planted, {"steps": planted}, np.array([planted, 1], dtype=object)):
            assert refusal(pickle.dumps(hidden, protocol)).endswith("which no model of ours needs")
    assert list(tmp_path.iterdir()) == []


def stack_global(module: str, name: str) -> bytes:
    """A pickle of protocol 4 that names this, whose name may lead on with dots."""
    texts = [b"\x8c" + bytes([len(text)]) + text.encode() for text in (module, name)]
    return b"\x80\x04" + b"".join(texts) + b"\x93."


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("numpy", "dtype.__class__"),
        ("numpy", "ndarray.tofile"),
        ("numpy", "dtype.__class__.__subclasses__"),
        ("builtins", "slice.__class__"),
        ("builtins", "slice.__init_subclass__"),
        ("sklearn.pipeline", "Pipeline.__init__.__globals__"),
        ("sklearn.pipeline", "Pipeline.fit"),
        ("sklearn", "pipeline.Pipeline"),  # all of it is allowed, put together in another way
        ("numpy._core", "multiarray.scalar"),
        ("numpy", "_core.numeric._frombuffer"),
        ("numpy", "clip.__globals__"),
        ("numpy", "take.__wrapped__"),
        ("numpy", "prod._implementation.__globals__"),
        ("numpy._core.fromnumeric", "clip"),
        ("sklearn.impute._base", "MissingIndicator.fit"),
        ("sklearn.preprocessing._function_transformer", "FunctionTransformer._transform"),
        ("sklearn.preprocessing._function_transformer", "np"),
        ("numpy._core.numeric", "_frombuffer.__globals__"),
        ("sklearn.isotonic", "IsotonicRegression.predict"),
        ("sklearn.calibration", "_CalibratedClassifier.__init__.__globals__"),
        ("sklearn.calibration", "clone"),
        ("sklearn.model_selection", "_classification_threshold.FixedThresholdClassifier"),
        ("sklearn._loss.loss", "HalfBinomialLoss.__init__.__globals__"),
        ("sklearn._loss._loss", "CyHalfBinomialLoss.loss"),
        ("sklearn.ensemble._hist_gradient_boosting.predictor", "np"),
        ("os", "system"),
        ("posix", "system"),
        ("", "numpy.dtype"),
        ("numpy.dtype", ""),
    ],
)
def test_a_name_leads_no_further_than_what_is_allowed(module: str, name: str) -> None:
    with pytest.raises(ModelError) as caught:
        unpickle(stack_global(module, name))
    assert str(caught.value) == f"it names {module}.{name}, which no model of ours needs"


OPCODES = {
    "GLOBAL": (b"cposix\nsystem\n(S'touch boom'\ntR.", "posix.system"),
    "INST": (b"(S'touch boom'\niposix\nsystem\n.", "posix.system"),
    "OBJ": (b"(cposix\nsystem\nS'touch boom'\no.", "posix.system"),
    "a chain of getattr": (
        b"cbuiltins\ngetattr\n(cbuiltins\n__import__\n(S'os'\ntRS'system'\ntR(S'touch boom'\ntR.",
        "builtins.getattr",
    ),
    "an attribute for a class": (
        b"\x80\x04cnumpy\nndarray\nN}\x8c\x03dotcposix\nsystem\ns\x86b.",
        "posix.system",
    ),
}


@pytest.mark.parametrize(("content", "name"), OPCODES.values(), ids=OPCODES)
def test_there_is_no_other_way_to_name_a_function(
    content: bytes, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert refusal(content) == f"it names {name}, which no model of ours needs"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["numpy.ndarray", "builtins.slice", "sklearn.pipeline.Pipeline"])
def test_what_is_allowed_cannot_be_changed_for_everybody(name: str) -> None:
    module, _, attribute = name.rpartition(".")
    change = f"c{module}\n{attribute}\nN}}\x8c\x07predict".encode("latin-1")
    change += b"cnumpy\nfloat64\ns\x86b."
    assert refusal(b"\x80\x04" + change).startswith("it cannot be unpickled here (")


NO_PICKLES = {
    "empty": b"",
    "a text": b"no pickle",
    "a number of another protocol": b"\x80\x63.",
    "no end": b"\x80\x05",
    "nothing on the stack": b"\x80\x05.",
    "an extension": b"\x80\x02\x82\x01.",
    "a persistent id": b"Pboom\n.",
    "a buffer of elsewhere": b"\x80\x05\x97.",
    "more than there is": b"\x80\x05\x8e\xff\xff\xff\xff\xff\xff\xff\x7f",
    "a class that is no class": b"\x80\x02cnumpy\nnothing\n.",
}


@pytest.mark.parametrize("content", NO_PICKLES.values(), ids=NO_PICKLES)
def test_what_is_no_pickle_of_ours_is_refused(content: bytes) -> None:
    with pytest.raises(ModelError, match=r"^it (cannot be unpickled here \(|names numpy\.nothing)"):
        unpickle(content)


def test_every_cut_model_is_refused(pickles: list[bytes]) -> None:
    content = pickles[0]
    for length in range(0, len(content), 7):
        with pytest.raises(ModelError):
            unpickle(content[:length])


def test_a_pickle_cannot_forge_the_log() -> None:
    content = stack_global("os\n2026-01-01T00:00:00Z INFO app: all is well", "x" * 250)
    with pytest.raises(ModelError) as caught:
        unpickle(content)
    assert str(caught.value).startswith(r"it names os\n2026-01-01T00:00:00Z INFO app: all is well.")
    assert len(str(caught.value)) < 300


def unpickling_in(path: Path) -> set[str]:
    """The names in a file by which bytes could become objects or run."""
    tree = [*ast.walk(ast.parse(path.read_text(encoding="utf-8")))]
    imports = {
        name.partition(".")[0]
        for node in tree
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in [getattr(node, "module", None) or "", *(alias.name for alias in node.names)]
    }
    calls = {
        ast.unparse(node.func).rpartition(".")[2] for node in tree if isinstance(node, ast.Call)
    }
    unpicklers = {"pickle", "_pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib", "yaml"}
    return imports & unpicklers | calls & {"eval", "exec", "__import__", "read_pickle"}


UNPICKLING = {"pickle._Unpickler", "pickle.UnpicklingError"}


def test_pickles_are_read_in_one_place_only() -> None:
    sources = [*PROJECT.glob("*.py"), *(PROJECT / "pipeline").rglob("*.py")]
    found = {path.name: unpickling_in(path) for path in sources}
    pickling = {"persistence.py": {"pickle"}, "unpickling.py": {"pickle"}}
    assert {name: what for name, what in found.items() if what} == pickling
    for name, used in (("persistence", {"pickle.Pickler"}), ("unpickling", UNPICKLING)):
        tree = ast.parse((PROJECT / f"pipeline/models/{name}.py").read_text(encoding="utf-8"))
        names = [ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute)]
        assert {n for n in names if re.fullmatch(r"pickle\.\w*[a-z]\w*", n)} == used
