"""Reading the pickle of a model that somebody else may have written.

A pickle may name any function to be called. Ours may name nothing but the parts of our estimators,
call nothing but what makes arrays of the bytes that it holds, and what comes of it is looked
through before it is used: compiled code follows the numbers in it unchecked. Python's own form of
the unpickler takes 40 ms more for a booster, and each of its steps can be looked at.
"""

import io
import math
import pickle
from collections import Counter
from collections.abc import Callable, Iterator
from struct import unpack
from typing import Any, ClassVar

import numpy as np
from numpy._core import numeric
from numpy._core.multiarray import _reconstruct, scalar
from sklearn._loss._loss import CyHalfBinomialLoss
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.ensemble._hist_gradient_boosting.common import PREDICTOR_RECORD_DTYPE
from sklearn.impute import SimpleImputer
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder

from pipeline.core.errors import ModelError

# What a pickle may name. In code, never beside the artefact that it protects against.
ALLOWED = frozenset(
    f"{module}.{name}"
    for module, names in {
        "builtins": ["slice"],
        "numpy": ["clip", "dtype", "float64", "ndarray", "prod", "take"],
        "numpy._core.multiarray": ["_reconstruct", "scalar"],
        "numpy._core.numeric": ["_frombuffer"],
        "sklearn._loss._loss": ["CyHalfBinomialLoss"],
        "sklearn._loss.link": ["Interval", "LogitLink"],
        "sklearn._loss.loss": ["HalfBinomialLoss"],
        "sklearn.calibration": [
            "CalibratedClassifierCV",
            "_CalibratedClassifier",
            "_SigmoidCalibration",
        ],
        "sklearn.compose._column_transformer": ["ColumnTransformer"],
        "sklearn.ensemble._hist_gradient_boosting.binning": ["_BinMapper"],
        "sklearn.ensemble._hist_gradient_boosting.gradient_boosting": [
            "HistGradientBoostingClassifier"
        ],
        "sklearn.ensemble._hist_gradient_boosting.predictor": ["TreePredictor"],
        "sklearn.impute._base": ["MissingIndicator", "SimpleImputer"],
        "sklearn.isotonic": ["IsotonicRegression"],
        "sklearn.linear_model._logistic": ["LogisticRegression"],
        "sklearn.model_selection._classification_threshold": ["FixedThresholdClassifier"],
        "sklearn.pipeline": ["Pipeline"],
        "sklearn.preprocessing._data": ["StandardScaler"],
        "sklearn.preprocessing._encoders": ["OneHotEncoder", "OrdinalEncoder"],
        "sklearn.preprocessing._function_transformer": ["FunctionTransformer"],
    }.items()
    for name in names
)
_TYPES = [np.dtype(code) for code in ("b1", "u1", "i4", "u4", "i8", "u8", "f4", "f8", "O")]
# by the name that a pickle makes one by, what it then says of it
_TYPE_STATES = {
    made_by[0]: state
    for _, made_by, state in [found.__reduce__() for found in [*_TYPES, PREDICTOR_RECORD_DTYPE]]
}
_frombuffer: Any = vars(numeric)["_frombuffer"]
# what no pickle of ours has: other ways to call, and to hash what may take forever to be hashed
_REFUSED = {
    *(pickle.INST[0], pickle.OBJ[0], pickle.NEWOBJ_EX[0]),
    *(pickle.DICT[0], pickle.EMPTY_SET[0], pickle.FROZENSET[0], pickle.ADDITEMS[0]),
}


# of a step that makes more columns of a row, in a model, the estimator that it is made of included:
# each takes few bytes, and what they make is multiplied
_MOST = 4


class RefusedError(ModelError):
    """A pickle holds what no model of ours does, by whatever versions it was made."""


def unpickle(content: bytes) -> Any:
    """The object in a pickle of ours, looked through.

    Raises `RefusedError` if there is anything in it that training never makes, and `ModelError` if
    it cannot be read with the packages installed here.
    """
    try:
        model = _Unpickler(io.BytesIO(content)).load()
        _look_through(model, len(content))
        return model
    except ModelError:
        raise
    except Exception as error:  # a pickle of other versions may fail in any way
        kind = RefusedError if isinstance(error, pickle.UnpicklingError) else ModelError
        text = f"it cannot be unpickled here ({type(error).__name__}: {_printable(str(error))})"
        raise kind(text) from error


def _printable(text: str) -> str:
    """Text from a pickle, which may hold anything, on one line."""
    return repr(text[:200])[1:-1]


class _Unpickler(pickle._Unpickler):
    stack: list[Any]
    read: Callable[[int], bytes]
    append: Callable[[Any], None]
    pop_mark: Callable[[], list[Any]]
    dispatch: ClassVar[dict[int, Callable[[Any], None]]] = {
        code: load for code, load in pickle._Unpickler.dispatch.items() if code not in _REFUSED
    }

    def find_class(self, module: str, name: str) -> Any:
        # a name with dots leads on from what is allowed to its attributes
        if "." in name or f"{module}.{name}" not in ALLOWED:
            # those of other versions are elsewhere
            ours = module.partition(".")[0] in ("numpy", "sklearn")
            raise (ModelError if ours else RefusedError)(
                f"it names {_printable(f'{module}.{name}')}, which no model of ours needs"
            )
        return super().find_class(module, name)

    def _reduce(self) -> None:
        args = self.stack.pop()
        self.append(_call(self.stack.pop(), args))

    def _newobj(self) -> None:
        args, kind = self.stack.pop(), self.stack.pop()
        if not (isinstance(kind, type) and _is_sklearns(kind) and args == ()):
            raise pickle.UnpicklingError("it makes what no model of ours needs")
        self.append(object.__new__(kind))

    def _build(self) -> None:
        state, made = self.stack.pop(), self.stack[-1]
        if isinstance(made, np.dtype):
            if state != _TYPE_STATES[made.__reduce__()[1][0]]:
                raise ValueError("its arrays are of another type")
        elif not (_is_array(made, state) or _is_part(made, state)):
            raise pickle.UnpicklingError("it changes what no model of ours does, or to no end")
        if hasattr(made, "__setstate__"):
            made.__setstate__(state)
        else:
            vars(made).update(state)

    def _setitems(self) -> None:
        self._set(self.pop_mark())

    def _setitem(self) -> None:
        items = self.stack[-2:]
        del self.stack[-2:]
        self._set(items)

    def _set(self, items: list[Any]) -> None:
        if type(self.stack[-1]) is not dict or {*map(type, items[::2])} != {str}:
            raise pickle.UnpicklingError("it names things by something else than texts")
        self.stack[-1].update(zip(items[::2], items[1::2], strict=True))

    def _bytearray8(self) -> None:  # of no more bytes than there are
        self.append(bytearray(self.read(unpack("<Q", self.read(8))[0])))

    dispatch |= {
        pickle.REDUCE[0]: _reduce,
        pickle.NEWOBJ[0]: _newobj,
        pickle.BUILD[0]: _build,
        pickle.SETITEM[0]: _setitem,
        pickle.SETITEMS[0]: _setitems,
        pickle.BYTEARRAY8[0]: _bytearray8,
    }


def _call(called: Any, args: Any) -> Any:
    """What comes of a call, if one of our models makes it so."""
    if (
        (called is slice)
        or (called is CyHalfBinomialLoss and args == ())
        or (called is np.dtype and args[1:] == (False, True) and args[0] in [*_TYPE_STATES])
        or (called is _reconstruct and args == (np.ndarray, (0,), b"b"))
        or (called is scalar and isinstance(args[0], np.dtype) and args[0].kind in "biuf")
        or (
            called is _frombuffer
            and type(args[0]) in (bytes, bytearray)
            and isinstance(args[1], np.dtype)
        )
    ):
        return called(*args)
    raise pickle.UnpicklingError("it calls what no model of ours does")


def _is_sklearns(kind: type) -> bool:
    return kind.__module__.startswith("sklearn.")


def _is_list(values: Any) -> bool:
    return isinstance(values, np.ndarray) and values.ndim == 1 and values.dtype == "f8"


def _is_array(made: Any, state: Any) -> bool:
    """Whether an array is to be as large as what it is to hold."""
    if not isinstance(made, np.ndarray):
        return False
    _, shape, kind, _, values = state
    objects = kind == "O" and type(values) is list and len(values) == math.prod(shape)
    return min(shape, default=0) >= 0 and (objects or type(values) is bytes)


def _is_part(made: Any, state: Any) -> bool:
    """Whether it is one of scikit-learn's; a curve computes as soon as it has its numbers."""
    curve = ["X_thresholds_", "y_thresholds_"] if isinstance(made, IsotonicRegression) else []
    return (
        _is_sklearns(type(made))
        and type(state) is dict
        and all(_is_list(state[name]) for name in curve)
    )


# --- what comes of it ---


def _look_through(model: Any, size: int) -> None:
    """Raise `RefusedError` unless what is computed by the model's numbers stays within it.

    `size` is that of its pickle, in bytes.
    """
    widening: Counter[Any] = Counter()
    for part in _parts(model, size):
        if isinstance(part, ColumnTransformer | FunctionTransformer):
            widening[getattr(part, "func", ColumnTransformer)] += 1
        computes, is_sound = _CHECKS.get(type(part), ("", bool))
        if (hasattr(part, computes) and not is_sound(part)) or getattr(part, "n_jobs", None):
            raise RefusedError(f"its {type(part).__name__} is none that training makes")
    if max(widening.values(), default=0) > _MOST:
        raise RefusedError("it has more steps than any that training makes")


def _parts(model: Any, size: int) -> Iterator[Any]:
    """All that a model is made of; each takes a byte of its pickle, or it is there many times."""
    waiting = [model]
    while waiting:
        part, inner = waiting.pop(), list[Any]()
        if isinstance(part, np.ndarray):
            inner = part.tolist() if part.dtype == "O" else []
            size -= part.size if part.dtype == "O" else part.nbytes
        elif isinstance(part, dict):
            inner = [*part.values()]
        elif isinstance(part, list | tuple):
            inner = [*part]
        elif _is_sklearns(type(part)):
            inner = [*getattr(part, "__dict__", {}).values()]
        size -= 1
        if len(waiting) + len(inner) > size:
            raise RefusedError("it holds something in itself, or many times")
        waiting += inner
        yield part


def _is_sound_array(array: np.ndarray) -> bool:
    """Whether arrays computed from it and a row each are no larger: of one row, or bit sets."""
    if array.dtype == "O":
        return array.ndim == 1 and all(isinstance(v, str | float | int | None) for v in array)
    return array.ndim < 2 or (array.ndim == 2 and (len(array) == 1 or array.shape[1] == 8))


def _are_sound_trees(model: HistGradientBoostingClassifier) -> bool:
    """Whether all nodes lead to later ones of their tree, and ask for what there is."""
    trees = [tree for (tree,) in model._predictors]
    if any(tree.nodes.dtype != PREDICTOR_RECORD_DTYPE or not len(tree.nodes) for tree in trees):
        return False
    nodes = np.concatenate([tree.nodes for tree in trees])
    sizes = np.array([len(tree.nodes) for tree in trees])
    sets = np.repeat([len(tree.raw_left_cat_bitsets) for tree in trees], sizes)
    places = np.arange(len(nodes)) - np.repeat(sizes.cumsum() - sizes, sizes)
    ends = np.repeat(sizes, sizes)
    leads, splits = nodes["is_leaf"] == 0, (nodes["is_leaf"] == 0) & (nodes["is_categorical"] != 0)
    feature, categorical = nodes["feature_idx"], model._bin_mapper.is_categorical_
    return bool(
        model.n_trees_per_iteration_ == 1
        and model._preprocessor is None
        and not hasattr(model, "_in_fit")
        and categorical.shape == (model.n_features_in_,)
        and all(tree.raw_left_cat_bitsets.shape[1:] == (8,) for tree in trees)
        and all(
            ((places < nodes[side]) & (nodes[side] < ends))[leads].all()
            for side in ("left", "right")
        )
        and ((feature >= 0) & (feature < model.n_features_in_))[leads].all()
        and categorical[feature[splits]].all()
        and (nodes["bitset_idx"] < sets)[splits].all()
    )


def _is_sound_encoder(encoder: OneHotEncoder) -> bool:
    """Whether its columns are as many as the categories, the rare ones of each being one."""
    sizes = [len(categories) for categories in encoder.categories_]
    if encoder._infrequent_enabled:
        for place, column in enumerate(encoder._default_to_infrequent_mappings):
            if column is not None:  # the number of each category
                if len(column) != sizes[place] or column.min() < 0:
                    return False
                sizes[place] = int(column.max()) + 1
    return sizes == encoder._n_features_outs and encoder._drop_idx_after_grouping is None


def _is_sound_function(step: FunctionTransformer) -> bool:
    """Whether it is one of the three that training makes: limits, pairs, and their products."""
    asked = step.kw_args
    if step.func is np.take:
        pairs = all(type(p) is list and [*map(type, p)] == [int, int] for p in asked["indices"])
        return pairs and {**asked, "indices": 0} == {"indices": 0, "axis": 1}
    return asked == {"axis": 2} if step.func is np.prod else {*asked} == {"a_min", "a_max"}


def _is_sound_list(values: list[Any] | tuple[Any, ...]) -> bool:
    """Whether it is no array of three dimensions."""
    inner = [v for value in values if isinstance(value, list | tuple) for v in value]
    return not any(isinstance(v, list | tuple) and not {*map(type, v)} <= {str} for v in inner)


def _is_sound_regression(model: LogisticRegression) -> bool:
    return bool(model.coef_.shape == (1, model.n_features_in_) and model.intercept_.shape == (1,))


# what each computes with, which it has once it is fitted, and whether that is sound
_CHECKS: dict[type, tuple[str, Callable[[Any], bool]]] = {
    list: ("count", _is_sound_list),
    tuple: ("count", _is_sound_list),
    np.ndarray: ("shape", _is_sound_array),
    HistGradientBoostingClassifier: ("_predictors", _are_sound_trees),
    OneHotEncoder: ("_n_features_outs", _is_sound_encoder),
    LogisticRegression: ("coef_", _is_sound_regression),
    FunctionTransformer: ("func", _is_sound_function),
    ColumnTransformer: ("transformers_", lambda columns: len(columns.transformers_) <= _MOST),
    SimpleImputer: ("statistics_", lambda imputer: not imputer.add_indicator),
}
