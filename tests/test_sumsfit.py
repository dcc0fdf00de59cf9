"""The fit by sums over buckets beside that of one process on the same rows: the same model."""

# ruff: noqa: I001, the first import decides whether there are others
import needsengine  # noqa: F401

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest
from modelling import MIXED, random_table
from scipy.optimize import check_grad
from sklearn.pipeline import Pipeline
from storeworlds import kept_rows, messy_table, opened

from pipeline import bucketdata, slopes, sumsfit
from pipeline.bucketstore import BucketStore
from pipeline.bucketdata import BucketData
from pipeline.config import Config
from pipeline.engine import InProcess
from pipeline.newton import Minimum
from pipeline.errors import ModelError
from pipeline.estimators import fit_model, untrained_model
from pipeline.learning import labelled_rows
from pipeline.models import risk_of
from pipeline.schema import Schema
from pipeline.slopes import Encoding, Place, Slope, slope

WORDS = Schema("client", "left", (), ("place", "kind"))
NUMBERS = Schema("client", "left", ("age", "balance"))
NAMES = {"client": "#c", "age": "#row", "place": "##x", "left": "#left"}
HASHED = Schema("#c", "#left", ("#row", "balance"), ("##x", "kind"))


def table_of(kind: str) -> tuple[pd.DataFrame, Schema]:
    """A table of 1,500 rows that is hard in one way."""
    frame, rng = messy_table(1500).drop_duplicates(), np.random.default_rng(5)
    rows, first = len(frame), frame.index[frame["left"] == 1][3]
    schemas = {"no numbers": WORDS, "no categories": NUMBERS, "names like ours": HASHED}
    if kind == "names like ours":
        frame = frame.rename(columns=NAMES)
    elif kind == "huge and tiny":
        frame["age"], frame["balance"] = frame["age"] * 1e97, frame["balance"] * 1e-155
    elif kind == "a number far off":
        frame.loc[first, "age"] = 1e100
    elif kind == "far from zero":
        frame["age"] = 1e9 + frame["age"] * 1e-5
    elif kind == "constant":
        frame["age"] = 0.1
    elif kind == "never known":
        frame["age"] = np.nan
    elif kind == "known of one client":
        frame["age"] = frame["age"].where(frame["client"] == frame.loc[first, "client"])
    elif kind == "collinear":
        frame["balance"] = 3 * frame["age"] + 1
    elif kind == "heavy tails":
        frame["age"] = np.exp(rng.normal(0, 40, rows))
    elif kind == "separable":
        frame["left"] = (frame["balance"] > 1000).astype("float64")
    elif kind == "one leaver":
        frame["left"] = (frame.index == first).astype("float64")
    elif kind == "seen once":
        frame.loc[first, "place"] = 'Ω, "once"'
        frame.loc[frame.index[frame["left"].isna()][0], "kind"] = "only where nothing is known"
    elif kind == "many categories":
        frame["place"] = [f"p{i % 150}" for i in rng.zipf(1.5, rows)]
    schema = schemas.get(kind, MIXED)
    return frame[list(schema.columns)].drop_duplicates(), schema


KINDS = [
    *("mixed", "no numbers", "no categories", "names like ours", "huge and tiny"),
    *("a number far off", "far from zero", "constant", "never known", "known of one client"),
    *("collinear", "heavy tails", "separable", "one leaver", "seen once", "many categories"),
]


def fitted(config: Any) -> Pipeline:
    with opened(config) as store:
        return store.training_data().fit("logistic", 0)


@pytest.mark.parametrize("sample", [10_000, 150])
@pytest.mark.parametrize("kind", KINDS)
def test_the_model_is_that_of_one_process(
    kind: str, sample: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beginning at a fit on all rows, and at one on a tenth of them."""
    monkeypatch.setattr(bucketdata, "MOST_CHECKED", sample)
    frame, schema = table_of(kind)
    found = fitted(kept_rows(tmp_path / "a", [frame[:400], frame[400:]], schema, 5))
    labelled = labelled_rows(frame, schema)
    expected = fit_model("logistic", labelled, schema)
    assert weights(found) == pytest.approx(weights(expected), rel=1e-9, abs=1e-9)
    assert np.abs(risk_of(found, frame) - risk_of(expected, frame)).max() < 1e-12
    assert_same_parts(found, expected)


def weights(model: Pipeline) -> np.ndarray:
    return np.append(model["logistic"].coef_[0], model["logistic"].intercept_)


def assert_same_parts(found: Any, expected: Any) -> None:
    """Two estimators are made of the same parts, numbers in them alike to 1e-8."""
    assert type(found) is type(expected)
    if isinstance(found, np.ndarray) and found.dtype.kind in "if":
        assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
        assert found == pytest.approx(expected, rel=1e-8, abs=1e-8, nan_ok=True)
    elif isinstance(found, np.ndarray):
        assert found.dtype == expected.dtype
        assert_same_parts(found.tolist(), expected.tolist())
    elif isinstance(found, list | tuple):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            assert_same_parts(one, other)
    elif isinstance(found, dict):
        assert_same_parts(list(found.items()), list(expected.items()))
    elif hasattr(found, "get_params"):
        attributes = vars(found) | {"n_iter_": 0}, vars(expected) | {"n_iter_": 0}
        assert_same_parts(*attributes)
    elif isinstance(found, float | np.floating):
        assert found == pytest.approx(expected, rel=1e-8, abs=1e-8, nan_ok=True)
    else:
        assert found == expected


def test_texts_in_the_model_are_those_of_python(tmp_path: Path) -> None:
    model = fitted(kept_rows(tmp_path / "a", [messy_table(300)], MIXED, 2))
    (encoder,) = [
        part["encode"] for name, part, _ in model["columns"].transformers_ if name == "categories"
    ]
    texts = [text for known in encoder.categories_ for text in known.tolist()]
    assert {type(text) for text in texts} == {str}
    assert all(known.dtype == object for known in encoder.categories_)
    assert sorted(texts) == sorted(["", "NA", "Zürich", "north", "south", "a", "b"])


@pytest.mark.parametrize(
    ("module", "name", "least"),
    [(slopes, "BLOCK_CELLS", 1), (slopes, "BLOCK", 7), (sumsfit, "SLOPES_BYTES", 1)],
)
def test_the_model_is_the_same_however_little_memory_is_taken(
    module: ModuleType, name: str, least: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = kept_rows(tmp_path / "a", [messy_table(300)], MIXED, 4)
    expected = fitted(config)
    monkeypatch.setattr(module, name, least)
    assert weights(fitted(config)) == pytest.approx(weights(expected), rel=0, abs=1e-12)


def test_slopes_are_gathered_in_as_many_shares_as_there_is_room_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    parts = list(range(10))
    assert sumsfit._shares(parts, 5) == [(part,) for part in parts]
    monkeypatch.setattr(sumsfit, "SLOPES_BYTES", 8 * 5**2 * 3)
    shares = sumsfit._shares(parts, 5)
    assert len(shares) == 3
    assert sorted(part for share in shares for part in share) == parts


@pytest.mark.parametrize("least", [1, slopes.BLOCK_CELLS])
def test_gradient_and_hessian_are_those_of_the_loss(
    least: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slopes, "BLOCK_CELLS", least)
    frame = random_table(MIXED, 60)
    words = tuple(tuple(sorted(set(frame[column]))) for column in MIXED.categorical)
    encoding = Encoding((100.0, 900.0), (90.0, 1000.0), (70.0, 700.0), words)
    with opened(kept_rows(tmp_path / "a", [frame], MIXED, 2)) as store:
        assert isinstance(store, BucketStore)
        parts = tuple(store.rows(labelled=True))
    start = np.linspace(-0.5, 0.5, encoding.width)

    def at(weights: np.ndarray) -> Slope:
        return slope(Place(parts, encoding, tuple(weights.tolist())))

    assert check_grad(lambda w: at(w).loss, lambda w: at(w).gradient, start) < 1e-4
    for i in range(encoding.width):
        row = check_grad(lambda w, i=i: at(w).gradient[i], lambda w, i=i: at(w).hessian[i], start)
        assert row < 1e-4
    assert at(start).loss == pytest.approx(sum(at_one(part, encoding, start) for part in parts))


def at_one(part: Any, encoding: Encoding, weights: np.ndarray) -> float:
    return slope(Place((part,), encoding, tuple(weights.tolist()))).loss


def test_the_number_of_buckets_changes_the_last_digits_only(tmp_path: Path) -> None:
    frame = messy_table(600)
    models = [fitted(kept_rows(tmp_path / str(n), [frame], MIXED, n)) for n in (1, 3, 50)]
    for model in models[1:]:
        assert weights(model) == pytest.approx(weights(models[0]), rel=1e-10, abs=1e-10)


@pytest.mark.parametrize("far", [0.0, 3.0, -1000.0])
def test_from_a_start_far_off_it_finds_the_same(far: float, tmp_path: Path) -> None:
    config = kept_rows(tmp_path / "a", [messy_table(300)], MIXED, 2)
    minimum = minimum_from(far, config)
    assert minimum is not None
    assert minimum.weights == pytest.approx(weights(fitted(config)), rel=1e-9, abs=1e-9)


def test_where_the_loss_shows_no_difference_any_more_the_gradient_does(tmp_path: Path) -> None:
    config = kept_rows(tmp_path / "a", [messy_table(300)], MIXED, 2)
    for tol in (1e-11, 1e-13):
        assert minimum_from(0.0, config, tol) is not None


def minimum_from(far: float, config: Config, tol: float = 1e-8) -> Minimum | None:
    with opened(config) as store:
        assert isinstance(store, BucketStore)
        data, model = store.training_data(), untrained_model("logistic", MIXED)
        model["logistic"].set_params(tol=tol)
        encoding = sumsfit._fit_columns(model, MIXED, data._sums, data._medians)
        parts, start = store.rows(labelled=True), np.full(encoding.width, far)
        return sumsfit._minimum(InProcess(), parts, encoding, start, data.rows, model["logistic"])


def test_where_it_is_not_found_that_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = kept_rows(tmp_path / "a", [messy_table(300)], MIXED, 2)
    assert minimum_from(50.0, config) is None  # all risks are certain there: nothing leads away
    monkeypatch.setattr(bucketdata, "MOST_CHECKED", 50)
    monkeypatch.setattr(sumsfit, "MOST_STEPS", 1)
    with pytest.raises(ModelError, match="the logistic regression did not converge"):
        fitted(config)


def test_a_sample_that_leads_astray_is_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sumsfit, "MOST_HALVINGS", 1)
    config = kept_rows(tmp_path / "a", [messy_table(600)], MIXED, 3)
    expected = weights(fitted(config))
    with opened(config) as store:
        data = store.training_data()
        assert isinstance(data, BucketData)
        # as if the numbers of the sample were others': where it leads, most risks are certain
        data.sample = data.sample.assign(age=100 - 3 * data.sample["left"])
        assert weights(data.fit("logistic", 0)) == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_a_sample_of_one_outcome_is_a_start_too(tmp_path: Path) -> None:
    frame = messy_table(600)
    config = kept_rows(tmp_path / "a", [frame], MIXED, 3)
    expected = weights(fitted(config))
    with opened(config) as store:
        assert isinstance(store, BucketStore)
        data = store.training_data()
        data.sample = data.sample[data.sample["left"] == 0]
        assert weights(data.fit("logistic", 0)) == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_of_weights_that_nothing_tells_apart_the_shortest_step_is_taken() -> None:
    flat = Slope(0.0, np.array([2.0, 2.0]), np.ones((2, 2)))
    assert sumsfit._step(flat) == pytest.approx([1.0, 1.0])
