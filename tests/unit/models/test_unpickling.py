import ast
import functools
import os
import pickle
import subprocess
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
from sklearn.ensemble._hist_gradient_boosting.predictor import TreePredictor
from sklearn.isotonic import IsotonicRegression
from sklearn.model_selection import FixedThresholdClassifier
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.validation import check_array

from pipeline.core.errors import ModelError
from pipeline.core.schema import Schema
from pipeline.models import unpickling
from pipeline.models.unpickling import ALLOWED, unpickle

FRAME = pd.DataFrame(
    {
        "id": list("abcd"),
        "age": [1.0, None, 3.0, 4.0],
        "land": ["x", "", "y", "x"],
        "left": [0, 1] * 2,
    }
)
SCHEMA = Schema("id", "left", ("age",), ("land",))


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
    model = train_model(FRAME, SCHEMA)
    with monkeypatch.context() as other:
        other.setattr(sklearn.base, "__version__", "0.1")
        content = pickle.dumps(model, protocol=5)
    with pytest.warns(sklearn.exceptions.InconsistentVersionWarning):
        again = unpickle(content)
    assert np.array_equal(again.predict(FRAME), model.predict(FRAME))


PLANTED: dict[str, tuple[object, str]] = {
    "a command": (Calls(os.system, "touch boom"), "posix.system"),
    "a process": (Calls(subprocess.Popen, ["touch", "boom"]), "subprocess.Popen"),
    "a process, waited for": (Calls(subprocess.check_output, ["touch"]), "subprocess.check_output"),
    "a spawned process": (Calls(os.posix_spawn, "/bin/touch", ["touch", "boom"], {}), "posix."),
    "eval": (Calls(eval, "open('boom', 'w')"), "builtins.eval"),
    "exec": (Calls(exec, "open('boom', 'w')"), "builtins.exec"),
    "compile": (Calls(compile, "1", "x", "eval"), "builtins.compile"),
    "open": (Calls(open, "boom", "w"), "(_io|io).open"),
    "an import": (Calls(__import__, "antigravity"), "builtins.__import__"),
    "getattr": (Calls(getattr, "x", "upper"), "builtins.getattr"),
    "a method": (Path("boom").touch, "builtins.getattr"),
    "a pickle in a pickle": (Calls(pickle.loads, pickle.dumps(Calls(os.system, "x"))), "_pickle."),
    "joblib": (Calls(joblib.load, "boom"), "joblib.numpy_pickle.load"),
    "pandas": (Calls(pd.read_pickle, "boom"), "pandas"),
    "a frame": (FRAME, "pandas"),
    "numpy that reads": (Calls(np.load, "boom", None, True), "numpy"),
    "numpy that writes": (Calls(np.savetxt, "boom", [1]), "numpy"),
    "numpy that maps": (Calls(np.memmap, "boom", "uint8", "w+", 0, (9,)), "numpy"),
    "another estimator": (DummyClassifier(), "sklearn.dummy.DummyClassifier"),
    "an estimator of functions": (
        FunctionTransformer(os.system),
        "sklearn.preprocessing._function_transformer.FunctionTransformer",
    ),
    "a function with its arguments": (functools.partial(os.system, "x"), "functools.partial"),
    "a check": (Calls(check_array, [[1]]), "sklearn.utils.validation.check_array"),
    "random numbers": (np.random.default_rng(), "numpy.random"),
    "a curve that runs": (
        Calls(IsotonicRegression, Calls(os.system, "touch boom")),
        "posix.system",
    ),
    "a threshold of a command": (
        FixedThresholdClassifier(Calls(os.system, "touch boom")),
        "posix.system",
    ),
    "trees that run": (
        TreePredictor(Calls(os.system, "touch boom"), None, None),
        "posix.system",
    ),
    "an estimator that is a copy": (Calls(sklearn.base.clone, 1), "sklearn.base.clone"),
}


@pytest.mark.parametrize(("planted", "name"), PLANTED.values(), ids=PLANTED)
def test_whatever_else_is_named_is_refused_before_it_runs(
    planted: object, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError, match=rf"^it names {name}\S*, which no model of ours needs$"):
        unpickle(pickle.dumps(planted))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize(("planted", "_"), PLANTED.values(), ids=PLANTED)
def test_it_is_refused_wherever_it_hides(
    planted: object, _: str, protocol: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for hidden in (planted, [1, planted], {"steps": planted}, np.array([planted, 1], dtype=object)):
        with pytest.raises(ModelError, match=r"^it names \S+, which no model of ours needs$"):
            unpickle(pickle.dumps(hidden, protocol))
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


# --- one place only ---

UNPICKLES = {
    "pickle": {"load", "loads", "Unpickler"},
    "_pickle": None,
    "joblib": None,
    "cloudpickle": None,
    "dill": None,
    "shelve": None,
    "marshal": None,
    "yaml": None,
}
RUNS = {"eval", "exec", "compile", "__import__"}
METHODS = {"read_pickle", "find_class", "allow_pickle"}


def unpickling_in(path: Path) -> set[str]:
    """What a file names that makes objects out of bytes."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {a.name for a in node.names if UNPICKLES.get(a.name.split(".")[0], 0) is None}
        elif isinstance(node, ast.ImportFrom) and node.module in UNPICKLES:
            names = {alias.name for alias in node.names}
            found |= names if UNPICKLES[node.module] is None else names & UNPICKLES[node.module]
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if node.attr in (UNPICKLES.get(node.value.id) or ()) or node.attr in METHODS:
                found.add(f"{node.value.id}.{node.attr}")
        elif isinstance(node, ast.keyword) and node.arg in METHODS:
            found.add(node.arg)
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in RUNS:
            found.add(ast.unparse(node.func))
    return found


def test_pickles_of_others_are_read_in_one_place_only() -> None:
    sources = [*PROJECT.glob("*.py"), *(PROJECT / "pipeline").glob("*.py")]
    found = {str(path.relative_to(PROJECT)): unpickling_in(path) for path in sources}
    assert {name: what for name, what in found.items() if what} == {
        "pipeline/models/unpickling.py": {"pickle.Unpickler"},
        "pipeline/overheard.py": {"pickle.loads"},  # what this process says to its own workers
    }


def test_models_are_unpickled_by_one_function_only() -> None:
    sources = [*PROJECT.glob("*.py"), *(PROJECT / "pipeline").glob("*.py")]
    naming = {p.name for p in sources if "unpickle(" in p.read_text() or "unpickling" in p.stem}
    assert naming == {"unpickling.py", "models.py"}
    tree = ast.parse((PROJECT / "pipeline/models/persistence.py").read_text(encoding="utf-8"))
    calls = [ast.unparse(n.func) for n in ast.walk(tree) if isinstance(n, ast.Call)]
    assert (calls.count("unpickle"), calls.count("_unpickled")) == (1, 1)
