"""The model card: whole texts of small ones."""

import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from modelling import train_model
from sandbox import Sandbox, client_rows

from pipeline.core.policy import Policy
from pipeline.core.schema import Schema
from pipeline.models.estimators import Model, untrained_model
from pipeline.models.manifest import ModelManifest, Recipe, SelfCheck
from pipeline.monitoring import metrics
from pipeline.monitoring.bootstrap import Interval
from pipeline.monitoring.decisions import Decision
from pipeline.monitoring.metrics import CalibrationBin, Evaluation, Segment
from pipeline.monitoring.scores import Scores
from pipeline.registry.releases import Challenge, Release, live_release
from pipeline.reporting.model_card import Card, card_text
from pipeline.storage.database import History
from pipeline.storage.ledger import Period
from pipeline.storage.records import last_decisions, record_decision

SCHEMA = Schema("client", "left", ("age", "balance"), ("place",))
SCORES = Scores(1200, 2 / 3, 0.75, 0.5, 1.0, 0.875, 0.625, 0.3, 0.1)
UNDEFINED = Scores(20, None, 1.0, None, None, None, None, 0.1, 0.01)
MANIFEST = ModelManifest(
    sha256="abc",
    trained_at="2026-01-02T00:00:00.000Z",
    rows=8400,
    last_file=3,
    schema=SCHEMA,
    versions={},
    self_check=SelfCheck(((40.0, 1.0, "south"),), (0.5,)),
    recipe=Recipe("logistic", "isotonic", 0.25, "f1", 7, {"brier": 0.125, "brier_isotonic": 0.1}),
    usual=(39.5, 1234567.0, "south"),
)
RELEASE = Release(
    id="000002-20260102T000100Z",
    path=Path("nowhere"),
    deployed_at="2026-01-02T00:01:00.000Z",
    f1=2 / 3,
    previous=None,
    files={},
    model=MANIFEST,
)
NOBODY = metrics.Tested(*(np.zeros(0) for _ in range(3)), risk=np.zeros(0))
EVALUATION = Evaluation(
    tested=NOBODY,
    scores=SCORES,
    intervals={
        "f1": Interval(0.5, 0.75),
        "accuracy": Interval(0.7, 0.8),
        "precision": Interval(0.4, 0.6),
        "recall": Interval(1.0, 1.0),
        "roc_auc": Interval(0.8, 0.95),
        "average_precision": Interval(0.5, 0.7),
        "log_loss": Interval(0.25, 0.35),
        "brier": Interval(0.05, 0.15),
    },
    bins=(CalibrationBin(1100, 0.0516, 0.05), CalibrationBin(100, 0.95, 0.94)),
    calibration_error=0.01234,
    lift=4.5,
    segments=(
        Segment("place", "", UNDEFINED, 0.0, 0.015),
        Segment("place", "south", replace(SCORES, rows=1180), 0.25, 0.26),
    ),
)
PERIOD = Period(3, "2026-01-01T00:00:00.000Z", "2026-01-02T00:00:00.000Z")
FIRST = Decision(
    files="[]",
    rows=8400,
    labelled=8400,
    release=None,
    deployed_f1=None,
    new_f1=None,
    verdict="nothing deployed",
    action="deployed",
    reason="",
)
SECOND = Decision(
    files="[]",
    rows=60,
    labelled=60,
    release="000001-x",
    deployed_f1=0.75,
    new_f1=0.5,
    verdict="drift",
    action="kept",
    reason="",
)

WHOLE = """\
# Model card of release 000002-20260102T000100Z

Deployed 2026-01-02T00:01:00.000Z without a comparison: the first release, or by hand.

## Data

8,400 rows with a known outcome, of 3 files ingested from 2026-01-01T00:00:00.000Z to \
2026-01-02T00:00:00.000Z; trained 2026-01-02T00:00:00.000Z.

| feature | kind | usual (median or most frequent) |
| --- | --- | --- |
| age | number | 39.5 |
| balance | number | 1.23457e+06 |
| place | category | south |

## Model

| what | how |
| --- | --- |
| model | logistic regression on scaled numbers and one-hot categories |
| learned from | all 8,400 rows |
| calibration | isotonic, fitted on out-of-fold scores |
| threshold | 0.25: the highest F1 on out-of-fold predictions |
| seed | 7 |
| parameters | C=100, max_iter=1000, solver=newton-cholesky, tol=1e-08 |
| cross-validated Brier score, uncalibrated | 0.12500 |
| cross-validated Brier score, isotonic calibration | 0.10000 |

## Scores on the test data

1,200 rows with a known outcome.

| score | value | 95 % interval |
| --- | --- | --- |
| F1 | 0.6667 | 0.5000 to 0.7500 |
| accuracy | 0.7500 | 0.7000 to 0.8000 |
| precision | 0.5000 | 0.4000 to 0.6000 |
| recall | 1.0000 | 1.0000 to 1.0000 |
| ROC AUC | 0.8750 | 0.8000 to 0.9500 |
| average precision | 0.6250 | 0.5000 to 0.7000 |
| log loss | 0.3000 | 0.2500 to 0.3500 |
| Brier score | 0.1000 | 0.0500 to 0.1500 |
| lift of the tenth at the highest risk | 4.5000 |  |

## Calibration on the test data

Expected calibration error 0.0123.

| rows | predicted to leave | left |
| --- | --- | --- |
| 1,100 | 5.2 % | 5.0 % |
| 100 | 95.0 % | 94.0 % |

## Segments

Unequal errors show here; in segments of few rows, scores differ by chance.

| column | category | rows | left | predicted | F1 | precision | recall | AUC |
| --- | --- | --- | --- | --- | --- | --- | --- | --- |
| place | (missing) | 20 | 0.0 % | 1.5 % | undefined | undefined | undefined | undefined |
| place | south | 1,180 | 25.0 % | 26.0 % | 0.6667 | 0.5000 | 1.0000 | 0.8750 |

## Drift checks before this release

| when | live then | new rows | F1 on them | verdict | action |
| --- | --- | --- | --- | --- | --- |
| 2026-01-02T00:00:00.000Z | 000001-x | 60 | 0.5000 | drift | kept |
| 2026-01-01T00:00:00.000Z |  | 8,400 | undefined | nothing deployed | deployed |

## What it must not be used for

- Choosing whom to contact for the greatest effect: a high risk says who is likely to leave, not who
  would stay if asked (Ascarza, Journal of Marketing Research 55(1), 2018). To learn that, leave a
  random control group alone and compare.
- Prices, credit, contracts or other decisions about a client: it was not checked for them.
- Explaining why clients leave: reasons are what moves this model, not what moves clients.
- Clients unlike those it learned from: the input drift in `python diagnostics.py` shows them.
"""


def rows_of_two_places(rows: int = 60) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "client": [f"c{i}" for i in range(rows)],
            "age": [20.0 + i * 7 % 50 for i in range(rows)],
            "balance": [1000.0 + i * 13 % 90 for i in range(rows)],
            "place": pd.Series(["north" if i % 3 else "south" for i in range(rows)], dtype="str"),
            "left": [float(i % 5 < 2) for i in range(rows)],
        }
    )


@pytest.fixture(scope="module")
def logistic() -> Model:
    # with a threshold of its own, so that the regression is two layers down
    return train_model(rows_of_two_places(), SCHEMA, Policy(threshold=0.25))


@pytest.fixture
def decisions(tmp_path: Path) -> Iterator[list[sqlite3.Row]]:
    with History(tmp_path / "history.db") as history:
        for day, decision in enumerate((FIRST, SECOND), start=1):
            made = record_decision(history, decision)
            at = f"2026-01-0{day}T00:00:00.000Z"
            history.query("UPDATE decisions SET at = ? WHERE id = ?", at, made)
        yield last_decisions(history)


def section(text: str, title: str) -> list[str]:
    """The lines of a section that are not blank."""
    part = text.split(f"\n## {title}\n\n")[1].split("\n## ")[0]
    return [line for line in part.splitlines() if line]


def test_a_whole_card(logistic: Model, decisions: list[sqlite3.Row]) -> None:
    assert card_text(RELEASE, Card(logistic, EVALUATION, PERIOD, decisions)) == WHOLE


def test_a_challenger_s_card_tells_what_it_replaced_and_why(logistic: Model) -> None:
    challenge = Challenge("not_worse", "000001-x", 9, 0.5, 0.75, 0.125, 0.5, "it is better")
    release = replace(RELEASE, challenge=challenge)
    text = card_text(release, Card(logistic, EVALUATION, PERIOD, []))
    assert text.splitlines()[2] == (
        "Deployed 2026-01-02T00:01:00.000Z in place of 000001-x: it is better."
    )


def test_before_any_check_there_is_none_to_tell(logistic: Model) -> None:
    text = card_text(RELEASE, Card(logistic, EVALUATION, PERIOD, []))
    assert section(text, "Drift checks before this release") == ["None yet."]


def test_without_categories_it_says_so(logistic: Model) -> None:
    evaluation = replace(EVALUATION, segments=())
    text = card_text(RELEASE, Card(logistic, evaluation, PERIOD, []))
    assert section(text, "Segments") == [
        "There are no category columns to break the scores down by."
    ]


def test_undefined_scores_have_no_interval(logistic: Model) -> None:
    evaluation = replace(
        EVALUATION,
        scores=UNDEFINED,
        intervals={
            **dict.fromkeys(("f1", "precision", "recall", "roc_auc", "average_precision")),
            "accuracy": Interval(1.0, 1.0),
            "log_loss": Interval(0.05, 0.15),
            "brier": Interval(0.005, 0.015),
        },
        lift=None,
    )
    text = card_text(RELEASE, Card(logistic, evaluation, PERIOD, []))
    assert section(text, "Scores on the test data") == [
        "20 rows with a known outcome.",
        "| score | value | 95 % interval |",
        "| --- | --- | --- |",
        "| F1 | undefined |  |",
        "| accuracy | 1.0000 | 1.0000 to 1.0000 |",
        "| precision | undefined |  |",
        "| recall | undefined |  |",
        "| ROC AUC | undefined |  |",
        "| average precision | undefined |  |",
        "| log loss | 0.1000 | 0.0500 to 0.1500 |",
        "| Brier score | 0.0100 | 0.0050 to 0.0150 |",
        "| lift of the tenth at the highest risk | undefined |  |",
    ]


def test_names_and_categories_stay_in_their_cells(logistic: Model) -> None:
    schema = Schema("client", "left", ("a|b", "balance"), ("place",))
    manifest = replace(MANIFEST, schema=schema, usual=(None, 1.5, "x\\|y"))
    evaluation = replace(
        EVALUATION, segments=(Segment("place\r\nof\rwork\n", "x\\|y", SCORES, 0.25, 0.26),)
    )
    text = card_text(replace(RELEASE, model=manifest), Card(logistic, evaluation, PERIOD, []))
    assert section(text, "Data")[3:] == [
        "| a\\|b | number | unknown |",
        "| balance | number | 1.5 |",
        "| place | category | x\\\\\\|y |",
    ]
    assert section(text, "Segments")[3:] == [
        "| place of work | x\\\\\\|y | 1,200 | 25.0 % | 26.0 %"
        " | 0.6667 | 0.5000 | 1.0000 | 0.8750 |"
    ]


def test_of_a_model_of_an_older_version_what_is_usual_is_not_told(logistic: Model) -> None:
    release = replace(RELEASE, model=replace(MANIFEST, usual=(), recipe=Recipe()))
    text = card_text(release, Card(logistic, EVALUATION, PERIOD, []))
    assert section(text, "Data")[3:] == [
        "| age | number |  |",
        "| balance | number |  |",
        "| place | category |  |",
    ]
    assert section(text, "Model")[2:] == [
        "| model | logistic regression on scaled numbers and one-hot categories |",
        "| learned from | all 8,400 rows |",
        "| calibration | none: it did not lower the cross-validated Brier score,"
        " or the rows were too few |",
        "| threshold | 0.5: as config.json says |",
        "| seed | 0 |",
        "| parameters | C=100, max_iter=1000, solver=newton-cholesky, tol=1e-08 |",
    ]


def test_boosting_tells_its_own_parameters() -> None:
    boosting = untrained_model("boosting", SCHEMA, seed=4)
    recipe = Recipe("boosting", seed=4, evidence={"log_loss_standard_error": 0.25})
    release = replace(RELEASE, model=replace(MANIFEST, recipe=recipe))
    text = card_text(release, Card(boosting, EVALUATION, PERIOD, []))
    assert section(text, "Model")[2:] == [
        "| model | histogram gradient boosting of trees |",
        "| learned from | all 8,400 rows |",
        "| calibration | none: it did not lower the cross-validated Brier score,"
        " or the rows were too few |",
        "| threshold | 0.5: as config.json says |",
        "| seed | 4 |",
        "| parameters | categorical_features=[0], early_stopping=False, learning_rate=0.05,"
        " max_iter=200, max_leaf_nodes=15, random_state=4 |",
        "| cross-validated log loss, standard error of the difference | 0.25000 |",
    ]


def test_the_card_of_a_release_tells_what_is_on_record(deployed: Sandbox) -> None:
    deployed.write("sourcedata/c.csv", client_rows(500, 30))
    for stage in ("ingestion", "training", "scoring", "deployment"):
        assert deployed.run(stage).code == 0
    release = live_release(deployed.config.prod_deployment_path)

    text = (release.path / "modelcard.md").read_text(encoding="utf-8")

    taken = [at for (at,) in deployed.query("SELECT recorded_at FROM files ORDER BY id")]
    assert text.startswith(f"# Model card of release {release.id}\n")
    assert section(text, "Data")[0] == (
        f"150 rows with a known outcome, of 3 files ingested from {taken[0]} to {taken[2]};"
        f" trained {release.model.trained_at}."
    )
    assert section(text, "Scores on the test data")[3].startswith(f"| F1 | {release.f1:.4f} | ")
