"""Models fitted on tables of random numbers and words, and rows of all kinds to ask them."""

import math
from functools import cache
from itertools import product

import numpy as np
import pandas as pd
from hypothesis import strategies as st
from sklearn.pipeline import Pipeline
from threadpoolctl import threadpool_limits

from pipeline.core.policy import DriftTest, Gate, Policy
from pipeline.core.schema import DEFAULT_SCHEMA, LARGEST_NUMBER, Schema
from pipeline.data.frames import Features
from pipeline.models.calibration import Calibration, fitted_calibrator, with_threshold
from pipeline.models.cross_validation import TrainingData, labelled_rows, subsample
from pipeline.models.estimators import Model, fit_model
from pipeline.models.scorer import Scorer
from pipeline.models.training import fit

MIXED = Schema("client", "left", ("age", "balance"), ("place", "kind"))
WORDS = Schema("client", "left", (), ("place", "kind"))
DEFAULT_POLICY = Policy("logistic", 0.5, drift_test=DriftTest.RAW, gate=Gate.NOT_WORSE)
SCHEMAS = {"numbers": DEFAULT_SCHEMA, "mixed": MIXED, "words": WORDS}
PLACES, KINDS = ["north", "south", "", "Zürich", "NA"], ["a", "b"]
# what models may be made of: the kind, its calibration, its threshold
MAKES = [
    *product(("logistic", "boosting"), ("none", "sigmoid", "isotonic"), (0.3,)),
    *product(("logistic", "boosting"), ("none",), (0.5,)),
    ("logistic", "isotonic", 0.5),
]

# Threads wait for each other at every tree of a booster: beside other work, a hundred times as long
# as the trees take.
threadpool_limits(1, "openmp")


def random_table(schema: Schema, rows: int = 400, seed: int = 7) -> pd.DataFrame:
    """Labelled rows: each column says something of the outcome, some values miss or are rare."""
    random = np.random.default_rng(seed)
    columns: dict[str, object] = {schema.client: [f"c{i}" for i in range(rows)]}
    odds = random.standard_normal(rows)
    for i, name in enumerate(schema.numeric):
        values = random.gamma(2, 50 * 10**i, rows)
        odds += (1 - i) * (values - values.mean()) / values.std()
        values[random.random(rows) < 0.2] = np.nan
        columns[name] = values
    for name, words in zip(schema.categorical, (PLACES, KINDS), strict=False):
        picked = random.integers(len(words), size=rows)
        odds += picked - picked.mean()
        columns[name] = pd.Series([words[i] for i in picked], dtype="str")
        columns[name][2::50] = [f"rare {i}" for i in range(2, rows, 50)]
    columns[schema.outcome] = (odds > 0).astype("float64")
    return pd.DataFrame(columns)


def train_model(
    frame: pd.DataFrame, schema: Schema = DEFAULT_SCHEMA, policy: Policy = DEFAULT_POLICY
) -> Model:
    """The model that training makes of the labelled rows of a frame with the schema's columns."""
    labelled = labelled_rows(frame, schema)
    return fit(TrainingData(labelled, subsample(labelled, schema), schema), policy).model


@cache
def core_of(schema: Schema, kind: str = "boosting") -> Pipeline:
    """What scores in a model of a kind."""
    return fit_model(kind, random_table(schema), schema)


@cache
def made(schema: Schema, kind: str, method: str = "none", threshold: float = 0.5) -> Model:
    """A model put together as training does; its curve is fitted on other rows than its core."""
    core = core_of(schema, kind)
    calibrator = None
    if method != "none":
        other = random_table(schema, rows=600, seed=8)
        scores = core.decision_function(other[list(schema.features)])
        calibrator = fitted_calibrator(method, scores, other[schema.outcome].to_numpy())
    model = Calibration(method, calibrator, np.empty(0), {}).apply(core)
    return with_threshold(model, threshold)


NUMBERS = st.one_of(
    st.just(math.nan),
    st.floats(-1000, 1000),
    st.floats(-LARGEST_NUMBER, LARGEST_NUMBER),
    st.sampled_from([0.0, -0.0, LARGEST_NUMBER, -LARGEST_NUMBER, 5e-324, 1e15]),
)
TEXTS = st.one_of(st.sampled_from([*PLACES, *KINDS]), st.text(max_size=5))


@st.composite
def rows_of(draw: st.DrawFn, schema: Schema) -> Features:
    """A few rows with any values: missing, unknown, huge."""
    count = draw(st.integers(1, 6))
    values = draw(st.lists(NUMBERS, min_size=count * len(schema.numeric), max_size=count * 9))
    numbers = np.array(values[: count * len(schema.numeric)], dtype="float64")
    texts = [draw(st.lists(TEXTS, min_size=count, max_size=count)) for _ in schema.categorical]
    return Features(numbers.reshape(count, len(schema.numeric)), tuple(texts))


def client_frame(*rows: tuple[str, float, float, float, float | None]) -> pd.DataFrame:
    """Client rows of the default schema: client, three numbers, outcome."""
    features = list(DEFAULT_SCHEMA.features)
    frame = pd.DataFrame(rows, columns=["corporation", *features, "exited"])
    return frame.astype(dict.fromkeys([*features, "exited"], "float64"))


class GivenRisk:
    """A model that gives each row the risk and the log-odds in its first two numbers."""

    feature_names_in_ = DEFAULT_SCHEMA.features

    def predict_proba(self, frame: pd.DataFrame) -> np.ndarray:
        risk = frame["lastmonth_activity"]
        return np.column_stack([1 - risk, risk])

    def decision_function(self, frame: pd.DataFrame) -> np.ndarray:
        return frame["lastyear_activity"].to_numpy()

    def predict(self, frame: pd.DataFrame) -> np.ndarray:
        return self.predict_proba(frame)[:, 1].round()


GIVEN_RISK = Scorer(GivenRisk(), DEFAULT_SCHEMA)
