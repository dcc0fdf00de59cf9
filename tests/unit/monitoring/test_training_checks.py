"""What a training warns of."""

import numpy as np
import pandas as pd
import pytest
from modelling import GivenRisk, client_frame

from pipeline.core.schema import DEFAULT_SCHEMA, Schema
from pipeline.models.cross_validation import TrainingData
from pipeline.models.manifest import Recipe
from pipeline.models.training import Fitted
from pipeline.monitoring.training_checks import training_warnings

NUMBERS = ("age", "days_since_notice", "score", "calls")
WORDS = ("plan", "exit_reason", "joined")
SCHEMA = Schema("client", "left", NUMBERS, WORDS)


def fitted(threshold: float = 0.5) -> Fitted:
    """A model of which the risks are known, 0.5 at the highest in training."""
    return Fitted(GivenRisk(), Recipe(threshold=threshold), np.array([0.1, 0.5]))


def told(frame: pd.DataFrame, schema: Schema = SCHEMA) -> tuple[str, ...]:
    return training_warnings(TrainingData(frame, frame, schema), fitted())


def leaking(rows: int, share: float = 0.3) -> pd.DataFrame:
    """Clients of whom two numbers and a category tell who left, each in another way."""
    random = np.random.default_rng(1)
    left = random.random(rows) < share
    day = pd.Timestamp("2024-01-01") + pd.to_timedelta(random.integers(0, 300, rows), "D")
    return pd.DataFrame(
        {
            "client": [f"c{i}" for i in range(rows)],
            "age": random.normal(40 - 5 * left, 10),
            "days_since_notice": np.where(left, random.integers(1, 90, rows), np.nan),
            "score": -2.0 * left + random.random(rows),
            "calls": np.where(random.random(rows) < 0.5, np.nan, random.poisson(3, rows)),
            "plan": random.choice(["basic", "plus", ""], rows),
            "exit_reason": np.where(left, random.choice(["price", "moved"], rows), ""),
            "joined": np.where(random.random(rows) < 0.05, "", day.strftime("%d.%m.%Y")),
            "left": left.astype("float64"),
        }
    )


def test_features_that_alone_tell_who_left_are_named() -> None:
    found = [text.split(" ")[0] for text in told(leaking(300)) if "likely a leak" in text]
    assert found == ["days_since_notice", "score", "exit_reason"]


@pytest.mark.parametrize(("rows", "share"), [(99, 0.3), (400, 0.04), (400, 0.97)])
def test_few_rows_tell_nothing_of_leaks(rows: int, share: float) -> None:
    assert not [text for text in told(leaking(rows, share)) if "leak" in text]


@pytest.mark.parametrize("client", ["c1", "c2", "eve"])
def test_of_one_client_s_rows_no_category_is_a_leak(client: str) -> None:
    assert not any("exit_reason" in text for text in told(leaking(300).assign(client=client)))


@pytest.mark.parametrize(
    ("days", "dates"),
    [
        (["2024-01-31", "2024-02-29", "", ""], True),
        (["2024-01-31T10:00:00", "2024-02-29 11:30:00"], True),
        (["1/31/2024", "2/29/2024"], True),
        (["31.01.2024 10:00", "29.02.2024 11:00"], True),
        ([f"2024-01-{day:02}" for day in range(1, 20)] + ["soon"], True),
        (["2024-01-31", "2024-02-29", "soon"], False),
        (["20001", "1.2.3", "2024"], False),
        (["", ""], False),
    ],
)
def test_dates_among_the_categories_are_told(days: list[str], dates: bool) -> None:
    frame = leaking(60).head(len(days)).assign(joined=days)
    assert any("joined is among the categories" in text for text in told(frame)) == dates


def test_what_is_wrong_with_test_data_is_told() -> None:
    learned = client_frame(("Ada", 0, 0, 1, 1), ("Bo", 0, 0, 1, 0))
    test = client_frame(("Bo", 0.2, 0, 1, 0), ("Bo", 0.2, 0, 2, 1), ("Cy", 0.3, 0, 1, 0))
    data = TrainingData(learned, learned, DEFAULT_SCHEMA)
    assert training_warnings(data, fitted(0.4), test) == (
        "the test data hold 1 row of clients who left: scores on fewer than 30 are largely chance",
        "1 of the 2 clients in the test data are in the training data too: scores on them are"
        " better than on others",
        "the threshold 0.4 names nobody: the highest risk in the test data is 0.3",
    )
    many = client_frame(*[(f"T{i}", 0.4, 0, 1, 1) for i in range(30)])
    assert training_warnings(data, fitted(0.4), many) == ()


def test_without_test_data_a_threshold_is_held_against_the_risks_of_training() -> None:
    rows = client_frame(("Ada", 0, 0, 1, 1), ("Bo", 0, 0, 1, 0))
    data = TrainingData(rows, rows, DEFAULT_SCHEMA)
    assert training_warnings(data, fitted(0.5)) == ()
    (text,) = training_warnings(data, fitted(0.501))
    assert text == "the threshold 0.501 names nobody: the highest risk in the training data is 0.5"
