"""What a pickle may name, call, hold and be put together of."""

import ast
import copy
import functools
import os
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from struct import pack
from typing import Any

import numpy as np
import pandas as pd
import pytest
import sklearn.base
from modelling import MAKES, MIXED, made, random_table, train_model
from modelling import SCHEMAS as TABLES
from sandbox import PROJECT
from sklearn.compose import ColumnTransformer
from sklearn.dummy import DummyClassifier
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from pipeline.core.errors import ModelError
from pipeline.core.schema import Schema
from pipeline.models import unpickling
from pipeline.models.persistence import pickled
from pipeline.models.unpickling import ALLOWED, RefusedError, unpickle

GAPS = pd.DataFrame(
    {
        "id": list("abcd"),
        "age": [1.0, None, 3.0, 4.0],
        "land": ["x", "", "y", "x"],
        "left": [0, 1] * 2,
    }
)
LANDS = Schema("id", "left", ("age",), ("land",))


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
    model = train_model(GAPS, LANDS)
    with monkeypatch.context() as other:
        other.setattr(sklearn.base, "__version__", "0.1")
        content = pickle.dumps(model, protocol=5)
    with pytest.warns(sklearn.exceptions.InconsistentVersionWarning):
        again = unpickle(content)
    assert np.array_equal(again.predict(GAPS), model.predict(GAPS))


PLANTED: dict[str, tuple[object, str]] = {
    "a command": (Calls(os.system, "touch boom"), "posix.system"),
    "eval": (Calls(eval, "open('boom', 'w')"), "builtins.eval"),
    "open": (Calls(open, "boom", "w"), "(_io|io).open"),
    "an import": (Calls(__import__, "antigravity"), "builtins.__import__"),
    "getattr": (Calls(getattr, "x", "upper"), "builtins.getattr"),
    "a method": (Path("boom").touch, "builtins.getattr"),
    "a pickle in a pickle": (Calls(pickle.loads, pickle.dumps(Calls(os.system, "x"))), "_pickle."),
    "numpy that reads": (Calls(np.load, "boom", None, True), "numpy"),
    "another estimator": (DummyClassifier(), "sklearn.dummy.DummyClassifier"),
    "an estimator of functions": (
        FunctionTransformer(os.system),
        "posix.system",
    ),
    "an estimator of functions that runs what it is given": (
        FunctionTransformer(np.apply_along_axis, kw_args={"func1d": os.system}),
        "numpy.apply_along_axis",
    ),
    "numbers that are clipped by a command": (
        Calls(np.clip, Calls(os.system, "x")),
        "posix.system",
    ),
    "gaps that run": (Calls(MissingIndicator, Calls(os.system, "touch boom")), "posix.system"),
    "a function with its arguments": (functools.partial(os.system, "x"), "functools.partial"),
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
            assert refusal(pickle.dumps(hidden, protocol))
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
        ("builtins", "slice.__class__"),
        ("sklearn.pipeline", "Pipeline.__init__.__globals__"),
        ("sklearn.pipeline", "Pipeline.fit"),
        ("sklearn", "pipeline.Pipeline"),  # all of it is allowed, put together in another way
        ("numpy._core", "multiarray.scalar"),
        ("numpy", "prod._implementation.__globals__"),
        ("sklearn.preprocessing._function_transformer", "FunctionTransformer._transform"),
        ("sklearn.preprocessing._function_transformer", "np"),
        ("sklearn.calibration", "clone"),
        ("sklearn.model_selection", "_classification_threshold.FixedThresholdClassifier"),
        ("sklearn.ensemble._hist_gradient_boosting.predictor", "np"),
        ("os", "system"),
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


# --- what it is put together of ---


def planted(kind: str, method: str, edit: Callable[[Any], object]) -> bytes:
    """A model of ours whose core, or curve, was changed."""
    model: Any = copy.deepcopy(made(MIXED, kind, method, 0.3))
    curved = model.estimator
    edit(curved if method == "none" else curved.calibrated_classifiers_[0].calibrators[0])
    return pickled(model)


def splits(**values: int) -> Callable[[Any], None]:
    """Let the nodes of each tree that split have these values."""

    def edit(core: Any) -> None:
        for (tree,) in core["boosting"]._predictors:
            tree.nodes = tree.nodes.copy()
            for name, value in values.items():
                tree.nodes[name][tree.nodes["is_leaf"] == 0] = value

    return edit


def trees(**values: Any) -> Callable[[Any], None]:
    def edit(core: Any) -> None:
        for (tree,) in core["boosting"]._predictors:
            vars(tree).update(values)

    return edit


def part(name: str, **values: Any) -> Callable[[Any], None]:
    return lambda core: vars(core[name]).update(values)


def encoder(**values: Any) -> Callable[[Any], None]:
    return lambda core: vars(core["columns"].named_transformers_["categories"]["encode"]).update(
        values
    )


def wider(*steps: Any) -> Callable[[Any], None]:
    """Let steps follow that make more columns of each row."""
    return lambda core: core.steps.extend(("", step) for step in steps)


def take(**values: Any) -> FunctionTransformer:
    return FunctionTransformer(np.take, kw_args={"indices": [[0, 0]], "axis": 1} | values)


def columns(number: int) -> ColumnTransformer:
    """The columns of a row so many times."""
    parts = [(str(i), StandardScaler(), slice(0, None)) for i in range(number)]
    return ColumnTransformer(parts).fit(np.ones((2, 2)))


MANY = 10**9
UNSOUND: dict[str, tuple[str, str, Callable[[Any], object]]] = {
    "nodes in a circle": ("boosting", "none", splits(left=0)),
    "a node that leads to itself": ("boosting", "none", splits(right=0)),
    "a node that leads outside": ("boosting", "none", splits(left=2**31)),
    "a feature there is not": ("boosting", "none", splits(feature_idx=2**40)),
    "a feature before the first": ("boosting", "none", splits(feature_idx=-(2**40))),
    "a bit set there is not": ("boosting", "none", splits(is_categorical=1, bitset_idx=MANY)),
    "a number as a category": (
        *("boosting", "none"),
        splits(is_categorical=1, bitset_idx=0, feature_idx=3),
    ),
    "a tree without nodes": ("boosting", "none", trees(nodes=np.empty(0, "V56"))),
    "short bit sets": ("boosting", "none", trees(raw_left_cat_bitsets=np.zeros((1, 1), "u4"))),
    "many trees at once": ("boosting", "none", part("boosting", n_trees_per_iteration_=MANY)),
    "binned rows": ("boosting", "none", part("boosting", _in_fit=True)),
    "fewer columns than categories": ("logistic", "none", encoder(_n_features_outs=[1, 1])),
    "gigantic columns": ("logistic", "none", encoder(_n_features_outs=[10**11, 3])),
    "categories in far columns": (
        *("logistic", "none"),
        encoder(_default_to_infrequent_mappings=[np.array([MANY] * 13), None]),
    ),
    "many processes": ("logistic", "none", part("columns", n_jobs=5000)),
    "many coefficients": ("logistic", "none", part("logistic", coef_=np.zeros((20_000, 9)))),
    "more than a row": ("logistic", "none", part("logistic", intercept_=np.zeros((9, 1, 1)))),
    "lists of lists of lists": ("logistic", "none", part("columns", x=[[[1.0]]] * 9)),
    "columns many times": ("logistic", "none", wider(columns(5))),
    "columns of columns": ("logistic", "none", wider(*[columns(2)] * 4)),
    "pairs of pairs": ("logistic", "none", wider(*[take()] * 4)),
    "columns taken many times": ("logistic", "none", wider(take(indices=[[0] * 999]))),
    "rows taken many times": ("logistic", "none", wider(take(axis=0))),
    "products as wide as before": (
        *("logistic", "none"),
        wider(FunctionTransformer(np.prod, kw_args={"axis": 2, "keepdims": True})),
    ),
    "an array as a step": (
        *("logistic", "none"),
        wider(FunctionTransformer(np.ndarray, kw_args={"dtype": "f8"})),
    ),
    "gaps of gaps": (
        *("logistic", "none"),
        wider(SimpleImputer(add_indicator=True).fit([[np.nan, 1.0], [1.0, 1.0]])),
    ),
    "a curve of many": ("logistic", "sigmoid", lambda curve: setattr(curve, "a_", np.ones((9, 1)))),
}


@pytest.mark.parametrize(("kind", "method", "edit"), UNSOUND.values(), ids=UNSOUND)
def test_what_would_lead_compiled_code_astray_is_refused(
    kind: str, method: str, edit: Callable[[Any], object]
) -> None:
    with pytest.raises(
        ModelError, match=r"^(its \w+ is none that|it has more steps than any that|it cannot be un)"
    ):
        unpickle(planted(kind, method, edit))


def test_without_a_number_of_features_trees_are_not_looked_at_by_anybody() -> None:
    def edit(core: Any) -> None:
        del core["boosting"].n_features_in_

    with pytest.raises(ModelError, match="n_features_in_"):
        unpickle(planted("boosting", "none", edit))


def named(module: str, name: str) -> bytes:
    return stack_global(module, name)[2:-1]


def dtype(name: str) -> bytes:
    text = name.encode()
    return named("numpy", "dtype") + b"\x8c" + bytes([len(text)]) + text + b"\x89\x88\x87R"


def array(shape: bytes, kind: str, values: bytes) -> bytes:
    made_by = named("numpy._core.multiarray", "_reconstruct") + named("numpy", "ndarray")
    state = b"(K\x01" + shape + dtype(kind) + b"\x89" + values + b"tb"
    return made_by + b"K\x00\x85C\x01b\x87R" + state


def number(value: int) -> bytes:
    return b"\x8a\x08" + pack("<q", value)


DEEP = b")" + b"\x85" * 200_000  # a tuple in a tuple in ...
SHARED = b"".join(b"]\x94(" + (b"h" + bytes([i])) * 50 + b"e" for i in range(20))
FIELDS = (
    b"(K\x03\x8c\x01|N\x8c\x01a\x85}\x8c\x01a"
    + dtype("O8")
    + number(MANY)
    + b"\x86sK\x08K\x01K\x10tb"
)
CURVE = named("sklearn.isotonic", "IsotonicRegression") + b")\x81}(\x8c\x0dX_thresholds_h\x14"
GIGANTIC = {
    "an array that is called": named("numpy", "ndarray") + number(MANY) + b"\x85R",
    "an array that is made": named("numpy", "ndarray") + number(MANY) + b"\x85\x81",
    "objects": array(number(MANY) + b"\x85", "O8", b"]"),
    "numbers": array(number(MANY) + b"\x85", "f8", b"C\x00"),
    "less than nothing": array(number(-1) + number(-5) + b"\x86", "O8", b"](NNNNNe"),
    "bytes": b"\x96" + pack("<Q", 2 * 10**10) + b"abc",
    "fields beyond their array": dtype("V8") + FIELDS,
    "deep keys": b"}" + DEEP + b"Ns",
    "deep sets": b"\x8f(" + DEEP + b"\x90",
    "a deep call": DEEP + b")R",
    "a deep state": dtype("f8") + DEEP + b"b",
    "keys that collide": b"}("
    + b"".join(b"\x8a\x10" + ((2**61 - 1) * i).to_bytes(16, "little") + b"N" for i in range(60_000))
    + b"u",
    "lists in lists": b"]\x94" + SHARED,
    "a list in itself": b"]\x94h\x00a",
    "a curve of lists in lists": b"]\x94" + SHARED + CURVE + b"\x8c\x0dy_thresholds_h\x14ub",
    "numbers that are taken": named("numpy", "take") + b"]K\x00\x86R",
}


@pytest.mark.parametrize("content", GIGANTIC.values(), ids=GIGANTIC)
def test_what_is_far_larger_than_its_pickle_is_never_made(content: bytes) -> None:
    with pytest.raises(
        ModelError,
        match=r"^it (cannot be unpickled here \(|holds something in its)|^its list is none",
    ):
        unpickle(b"\x80\x05" + content + b".")


def test_what_is_unsound_is_no_matter_of_versions() -> None:
    for content in (
        planted(*UNSOUND["nodes in a circle"]),
        b"\x80\x05" + GIGANTIC["objects"] + b".",
    ):
        with pytest.raises(RefusedError):
            unpickle(content)


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
