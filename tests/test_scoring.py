import math
import pickle

import numpy as np
import pandas as pd
import pytest
from conftest import NOISE, Sandbox, client_rows
from sklearn.metrics import f1_score

from pipeline.errors import DataError
from pipeline.evaluation import score_model, score_predictions
from pipeline.history import Scores
from pipeline.schema import Schema
from scoring import score_lines

SCHEMA = Schema("id", "left", ("risk",))


class Oracle:
    """A model whose probability of leaving is the one feature."""

    feature_names_in_ = ("risk",)

    def predict(self, frame: pd.DataFrame) -> np.ndarray:
        return (frame["risk"] >= 0.5).to_numpy().astype("int64")

    def predict_proba(self, frame: pd.DataFrame) -> np.ndarray:
        risk = frame["risk"].to_numpy()
        return np.column_stack([1 - risk, risk])


def frame_of(risk: list[float], left: list[float]) -> pd.DataFrame:
    return pd.DataFrame({"id": list("abcdefgh")[: len(risk)], "risk": risk, "left": left})


def scored(outcomes: list[int], risk: list[float]) -> Scores:
    predicted = (np.array(risk) >= 0.5).astype("int64")
    return score_predictions(np.array(outcomes), predicted, np.array(risk))


# the scores


def test_all_scores_of_a_small_example() -> None:
    # 2 of 3 leavers are found, 1 of 2 others is taken for one
    scores = scored([1, 1, 1, 0, 0], [0.9, 0.8, 0.3, 0.6, 0.1])
    assert vars(scores) == pytest.approx(
        {
            "rows": 5,
            "f1": 2 / 3,
            "accuracy": 3 / 5,
            "precision": 2 / 3,
            "recall": 2 / 3,
            "roc_auc": 5 / 6,  # of 6 pairs, 0.3 < 0.6 is the wrong way round
            "average_precision": (1 + 1 + 3 / 4) / 3,
            "log_loss": -sum(map(math.log, (0.9, 0.8, 0.3, 1 - 0.6, 1 - 0.1))) / 5,
            "brier": (0.1**2 + 0.2**2 + 0.7**2 + 0.6**2 + 0.1**2) / 5,
        },
        abs=1e-12,
    )


def test_where_nobody_left_and_nobody_was_predicted_to_there_is_no_f1() -> None:
    scores = scored([0, 0], [0.1, 0.2])
    assert scores == Scores(
        rows=2,
        f1=None,
        accuracy=1.0,
        precision=None,
        recall=None,
        roc_auc=None,
        average_precision=None,
        log_loss=scores.log_loss,
        brier=scores.brier,
    )
    assert scores.brier == pytest.approx(0.025)
    assert scores.log_loss == pytest.approx(-(math.log(0.9) + math.log(0.8)) / 2)


@pytest.mark.parametrize(
    ("outcomes", "risk", "f1", "precision", "recall", "roc_auc"),
    [
        ([0, 0], [0.1, 0.9], 0.0, 0.0, None, None),
        ([1, 1], [0.9, 0.8], 1.0, 1.0, 1.0, None),
        ([1, 1], [0.1, 0.2], 0.0, None, 0.0, None),
        ([0, 1], [0.1, 0.2], 0.0, None, 0.0, 1.0),
        ([1], [0.9], 1.0, 1.0, 1.0, None),
    ],
)
def test_what_the_rows_leave_undefined_is_none(
    outcomes: list[int],
    risk: list[float],
    f1: float | None,
    precision: float | None,
    recall: float | None,
    roc_auc: float | None,
) -> None:
    scores = scored(outcomes, risk)
    assert (scores.f1, scores.precision, scores.recall) == (f1, precision, recall)
    assert (scores.roc_auc, scores.average_precision) == (roc_auc, roc_auc)


def test_a_certain_and_wrong_prediction_has_a_finite_log_loss() -> None:
    assert math.isfinite(scored([1, 0], [0.0, 1.0]).log_loss)


def test_of_no_rows_there_is_nothing_to_score() -> None:
    with pytest.raises(DataError) as caught:
        scored([], [])
    assert str(caught.value) == "no row has a known outcome: there is nothing to score"


def test_rows_without_a_known_outcome_are_left_out() -> None:
    frame = frame_of([0.9, 0.8, 0.3, 0.6, 0.1, 0.7], [1, 1, 1, 0, 0, math.nan])
    assert score_model(Oracle(), frame, SCHEMA) == scored(
        [1, 1, 1, 0, 0], [0.9, 0.8, 0.3, 0.6, 0.1]
    )


def test_a_frame_without_any_known_outcome_is_refused() -> None:
    with pytest.raises(DataError, match="no row has a known outcome"):
        score_model(Oracle(), frame_of([0.9], [math.nan]), SCHEMA)


def test_scoring_a_frame_leaves_it_as_it_was() -> None:
    frame = frame_of([0.9, 0.1], [1, math.nan])
    before = frame.copy(deep=True)
    score_model(Oracle(), frame, SCHEMA)
    pd.testing.assert_frame_equal(frame, before)


def test_scores_are_told_as_a_table() -> None:
    scores = Scores(5, 2 / 3, 0.6, None, 1.0, 0.75, 0.5, 12.3456, 0.1)
    assert score_lines(scores) == [
        "F1                    0.6667",
        "accuracy              0.6000",
        "precision          undefined",
        "recall                1.0000",
        "ROC AUC               0.7500",
        "average precision     0.5000",
        "log loss             12.3456",
        "Brier score           0.1000",
    ]


# the stage


def test_latestscore_is_one_number_the_f1_on_the_test_data(trained: Sandbox) -> None:
    assert trained.run("scoring").code == 0
    test = pd.read_csv(trained.root / "testdata/testdata.csv")
    model = pickle.loads(trained.config.trainedmodel_path.read_bytes())
    features = test[["lastmonth_activity", "lastyear_activity", "number_of_employees"]]
    f1 = float(f1_score(test["exited"], model.predict(features)))
    assert 0.5 < f1 < 1
    assert trained.config.latestscore_path.read_text() == f"{f1}\n"


def test_it_tells_the_scores(trained: Sandbox) -> None:
    result = trained.run("scoring")
    f1 = float(trained.config.latestscore_path.read_text())
    first, *table = result.out.splitlines()
    assert first == f"models/latestscore.txt: F1 {f1} on 60 rows"
    assert [line.rsplit(maxsplit=1)[0].strip() for line in table] == [
        "F1",
        "accuracy",
        "precision",
        "recall",
        "ROC AUC",
        "average precision",
        "log loss",
        "Brier score",
    ]


def test_all_scores_are_recorded_with_the_model(trained: Sandbox) -> None:
    trained.run("scoring")
    (row,) = trained.query(
        "SELECT data, rows, f1, accuracy, precision, recall, roc_auc, average_precision, log_loss,"
        " brier FROM scores"
    )
    assert row[:3] == ("test data", 60, float(trained.config.latestscore_path.read_text()))
    assert all(0 < value < 2 for value in row[3:])
    ((recorded,),) = trained.query("SELECT model_sha256 FROM scores")
    assert recorded in (trained.root / "models/manifest.json").read_text()


def test_every_csv_of_the_test_folder_counts(trained: Sandbox) -> None:
    trained.write("testdata/more.csv", client_rows(95_000, 30, noise=NOISE))
    trained.write("testdata/notes.txt", "no table")
    trained.write("testdata/.hidden.csv", "no table")
    assert " on 90 rows\n" in trained.run("scoring").out


def test_test_rows_without_a_known_outcome_are_left_out(trained: Sandbox) -> None:
    trained.run("scoring")
    before = trained.config.latestscore_path.read_text()
    trained.write("testdata/unknown.csv", client_rows(95_000, 30, outcome=""))
    assert " on 60 rows\n" in trained.run("scoring").out
    assert trained.config.latestscore_path.read_text() == before


def test_a_bad_test_row_is_left_out_with_a_warning(trained: Sandbox) -> None:
    path = trained.root / "testdata/testdata.csv"
    path.write_text(path.read_text() + "x,1,2,3,7\n")
    result = trained.run("scoring")
    assert " on 60 rows\n" in result.out
    assert (
        f"{path}: line 62 is left out: exited '7' is not an outcome (0, 1 or empty)" in result.err
    )


def test_scoring_again_writes_the_same(trained: Sandbox) -> None:
    trained.run("scoring")
    before = trained.config.latestscore_path.read_bytes()
    trained.run("scoring")
    assert trained.config.latestscore_path.read_bytes() == before


def test_before_training_there_is_nothing_to_score(source: Sandbox) -> None:
    result = source.run("scoring")
    assert (result.code, result.out) == (1, "")
    assert result.err == (
        f"error: {source.root}/models/manifest.json is missing: run `python training.py` first\n"
    )


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, ": holds no .csv file"),
        ("", "/testdata.csv is empty; expected a header line and rows"),
        ([], "/testdata.csv has a header and no rows below it"),
    ],
)
def test_test_data_that_cannot_be_used_are_told_and_the_score_stays(
    trained: Sandbox, content: str | list[str] | None, reason: str
) -> None:
    trained.run("scoring")
    before = trained.config.latestscore_path.read_bytes()
    (trained.root / "testdata/testdata.csv").unlink()
    if content is not None:
        trained.write("testdata/testdata.csv", content)
    result = trained.run("scoring")
    assert (result.code, result.out) == (1, "")
    assert result.err == f"error: {trained.root}/testdata{reason}\n"
    assert trained.config.latestscore_path.read_bytes() == before
    assert len(trained.query("SELECT id FROM scores")) == 1


def test_test_data_of_unknown_outcome_are_told(trained: Sandbox) -> None:
    trained.write("testdata/testdata.csv", client_rows(90_000, 30, outcome=""))
    result = trained.run("scoring")
    assert result.code == 1
    folder = trained.config.test_data_path
    assert result.err == f"error: {folder}: no row has a known outcome to score against\n"


def test_test_data_that_leave_f1_undefined_are_told(trained: Sandbox) -> None:
    large = [f"c{i},20,300,900,0" for i in range(20)]
    trained.write("testdata/testdata.csv", large)
    result = trained.run("scoring")
    assert result.code == 1
    assert result.err == (
        f"error: {trained.root}/testdata: F1 is undefined: nobody left, and nobody was predicted"
        " to\n"
    )
    assert not trained.config.latestscore_path.exists()


def test_a_damaged_model_is_not_scored(trained: Sandbox) -> None:
    path = trained.config.trainedmodel_path
    path.write_bytes(path.read_bytes()[:-1])
    result = trained.run("scoring")
    assert result.code == 1
    assert result.err == (
        f"error: {path} is not the model that its manifest describes: train again\n"
    )
