import pickle

import pandas as pd
import pytest
from sandbox import NOISE, Sandbox, client_rows
from sklearn.metrics import f1_score

from pipeline.monitoring.decisions import Scores
from pipeline.stages.training import score_lines


def test_scores_are_reported_as_a_table() -> None:
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
    trained.write("testdata/notes.md", "no table")
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
        (None, ": holds no table, such as a .csv file"),
        ("", "/testdata.csv is empty; expected a header line and rows"),
        ([], "/testdata.csv has a header and no rows below it"),
    ],
)
def test_test_data_that_cannot_be_used_are_reported_and_the_score_stays(
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


def test_test_data_of_unknown_outcome_are_reported(trained: Sandbox) -> None:
    trained.write("testdata/testdata.csv", client_rows(90_000, 30, outcome=""))
    result = trained.run("scoring")
    assert result.code == 1
    folder = trained.config.test_data_path
    assert result.err == f"error: {folder}: no row has a known outcome to score against\n"


def test_test_data_that_leave_f1_undefined_are_reported(trained: Sandbox) -> None:
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
