import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.dummy import DummyClassifier

from pipeline.errors import ModelError
from pipeline.schema import Schema
from pipeline.unpickling import unpickle
from training import train_model

FRAME = pd.DataFrame(
    {
        "id": list("abcd"),
        "age": [1.0, None, 3.0, 4.0],
        "land": ["x", "", "y", "x"],
        "left": [0, 1] * 2,
    }
)


class Calls:
    """Unpickling it calls a function."""

    def __init__(self, function: Any, *args: Any) -> None:
        self.called = function, args

    def __reduce__(self) -> Any:
        return self.called


@pytest.mark.parametrize("roles", [(("age",), ()), ((), ("land",)), (("age",), ("land",))])
def test_every_model_of_ours_comes_back(roles: tuple[tuple[str, ...], tuple[str, ...]]) -> None:
    schema = Schema("id", "left", *roles)
    model = train_model(FRAME, schema)
    again = unpickle(pickle.dumps(model, protocol=5))
    features = FRAME[list(schema.features)]
    assert np.array_equal(again.predict_proba(features), model.predict_proba(features))


@pytest.mark.parametrize(
    ("planted", "name"),
    [
        (Calls(os.system, "touch boom"), "posix.system"),
        (Calls(eval, "open('boom', 'w')"), "builtins.eval"),
        (Calls(getattr, "x", "upper"), "builtins.getattr"),
        ([DummyClassifier()], "sklearn.dummy.DummyClassifier"),
        (FRAME, "pandas.DataFrame"),
    ],
)
def test_whatever_else_is_named_is_refused_before_it_runs(
    planted: object, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError, match=rf"^it names {name}\S*, which no model of ours needs$"):
        unpickle(pickle.dumps(planted))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"no pickle", b"\x80\x05.", b"\x80\x63"])
def test_what_is_no_pickle_is_refused(content: bytes) -> None:
    with pytest.raises(ModelError, match=r"^it cannot be unpickled here \("):
        unpickle(content)
