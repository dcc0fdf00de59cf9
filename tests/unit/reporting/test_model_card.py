"""The model card: whole texts of small ones."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from modelling import train_model
from sandbox import Sandbox

from pipeline.core.policy import Policy
from pipeline.core.schema import Schema
from pipeline.models.estimators import Model, untrained_model
from pipeline.models.manifest import ModelManifest, Recipe, SelfCheck
from pipeline.monitoring import metrics
from pipeline.monitoring.bootstrap import Interval
from pipeline.monitoring.decisions import Scores
from pipeline.monitoring.metrics import CalibrationBin, Evaluation, Segment
from pipeline.registry.releases import Challenge, Release, live_release
from pipeline.reporting.model_card import Card, card_text, release_grid
from pipeline.storage.ledger import Period
from pipeline.storage.trends import Check

SCHEMA = Schema("client", "left", ("age", "a|b"), ("place",))
SCORES = Scores(1200, 2 / 3, 0.75, 0.5, 1.0, None, 0.625, 0.3, 0.1)
MANIFEST = ModelManifest(
    sha256="abc",
    trained_at="2026-01-02T00:00:00.000Z",
    rows=8400,
    last_file=3,
    schema=SCHEMA,
    versions={},
    self_check=SelfCheck(((40.0, 1.0, "south"),), (0.5,)),
    recipe=Recipe("logistic", "isotonic", 0.25, "f1", 7, {"brier": 0.125, "brier_isotonic": 0.1}),
    usual=(None, 1234567.0, "x\\|y"),
)
RELEASE = Release(
    id="000002-20260102T000100Z",
    path=Path("nowhere"),
    deployed_at="2026-01-02T00:01:00.000Z",
    f1=2 / 3,
    previous=None,
    files={},
    model=MANIFEST,
    challenge=Challenge("not_worse", "000001-x", 9, 0.5, 0.75, 0.125, 0.5, "it is better"),
)
NOBODY = metrics.Tested(*(np.zeros(0) for _ in range(3)), risk=np.zeros(0))
EVALUATION = Evaluation(
    tested=NOBODY,
    scores=SCORES,
    intervals={"f1": Interval(0.5, 0.75)},
    bins=(CalibrationBin(1100, 0.0516, 0.05), CalibrationBin(100, 0.95, 0.94)),
    calibration_error=0.01234,
    lift=4.5,
    segments=(Segment("place\r\nof\rwork\n", "", SCORES, 0.25, 0.015),),
)
PERIOD = Period(3, "2026-01-01T00:00:00.000Z", "2026-01-02T00:00:00.000Z")
FIRST = Check(
    "2026-01-01T00:00:00Z", 8400, 8400, None, None, None, "drift", 0, "deployed", "000001-x"
)

WHOLE = """\
# Model card of release 000002-20260102T000100Z

## The release

| what | how |
| --- | --- |
| release | 000002-20260102T000100Z, deployed 2 January 2026 |
| why it went live | in place of 000001-x: it is better |
| model | logistic regression on scaled numbers and one-hot categories |
| learned from | 8,400 rows with a known outcome, 2 January 2026 |
| features | age, a\\|b, place |
| calibration | isotonic, fitted on out-of-fold scores |
| threshold | 0.25: the highest F1 on out-of-fold predictions |
| SHA-256 of the model | abc |
| data | 3 files, ingested from 2026-01-01T00:00:00.000Z to 2026-01-02T00:00:00.000Z |
| seed | 7 |
| parameters | C=100, max_iter=1000, solver=newton-cholesky, tol=1e-08 |
| cross-validated Brier score, uncalibrated | 0.12500 |
| cross-validated Brier score, isotonic calibration | 0.10000 |

## Features

| feature | kind | usual (median or most frequent) |
| --- | --- | --- |
| age | number | unknown |
| a\\|b | number | 1.23457e+06 |
| place | category | x\\\\\\|y |

## Scores on 1,200 rows of the test data

| score | value | 95 % interval |
| --- | --- | --- |
| F1 | 0.667 | 0.500 to 0.750 |
| accuracy | 0.750 |  |
| precision | 0.500 |  |
| recall | 1.000 |  |
| ROC AUC | undefined |  |
| average precision | 0.625 |  |
| log loss | 0.300 |  |
| Brier score | 0.100 |  |
| lift of the tenth at the highest risk | 4.500 |  |
| expected calibration error | 0.012 |  |

## Calibration on the test data

| clients | predicted to leave | left |
| --- | --- | --- |
| 1,100 | 5.2 % | 5.0 % |
| 100 | 95.0 % | 94.0 % |

## Segments (where rows are few, scores differ by chance)

| column | category | rows | left | predicted | F1 | precision | recall | ROC AUC |
| --- | --- | --- | --- | --- | --- | --- | --- | --- |
| place of work | (missing) | 1,200 | 25.0 % | 1.5 % | 0.667 | 0.500 | 1.000 | undefined |

## Drift checks before this release

| when (UTC) | release | rows | outcomes known | deployed F1 | F1 | drifted features \
| verdict | action |
| --- | --- | --- | --- | --- | --- | --- | --- | --- |
| 2026-01-01 00:00 | - | 8,400 | 8,400 | - | - | 0 | drift | deployed 1 |

## What it must not be used for

- Choosing whom to contact for"""


def rows_of_two_places(rows: int = 60) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "client": [f"c{i}" for i in range(rows)],
            "age": [20.0 + i * 7 % 50 for i in range(rows)],
            "a|b": [1000.0 + i * 13 % 90 for i in range(rows)],
            "place": pd.Series(["north" if i % 3 else "south" for i in range(rows)], dtype="str"),
            "left": [float(i % 5 < 2) for i in range(rows)],
        }
    )


@pytest.fixture(scope="module")
def logistic() -> Model:
    # with a threshold of its own, so that the regression is two layers down
    return train_model(rows_of_two_places(), SCHEMA, Policy(threshold=0.25))


def test_a_whole_card_whose_texts_stay_in_their_cells(logistic: Model) -> None:
    text = card_text(RELEASE, Card(logistic, EVALUATION, PERIOD, [FIRST]))
    assert text[: len(WHOLE)] == WHOLE


HOSTILE = (
    "<script>alert(1)</script>&lt;img src=x>![p](http://x/p.png)`<b>`*a* ~b~ _c_ d_e | </pre><!--"
)


def test_values_and_names_are_texts_in_markdown_and_html(logistic: Model) -> None:
    schema = replace(SCHEMA, numeric=("age", HOSTILE))
    manifest = replace(MANIFEST, schema=schema, usual=(1.0, 2.0, HOSTILE), warnings=(HOSTILE,))
    challenge = Challenge("not_worse", HOSTILE, 9, 0.5, 0.75, 0.125, 0.5, HOSTILE)
    release = replace(RELEASE, model=manifest, challenge=challenge)
    segments = (Segment(HOSTILE, HOSTILE, SCORES, 0.25, 0.015),)

    text = card_text(release, Card(logistic, replace(EVALUATION, segments=segments), PERIOD, []))

    cell = (
        r"&lt;script&gt;alert(1)&lt;/script&gt;&amp;lt;img src=x&gt;!\[p](http://x/p.png)"
        r"\`&lt;b&gt;\`\*a\* \~b\~ \_c\_ d_e \| &lt;/pre&gt;&lt;!--"
    )
    assert text.count(cell) == 8
    assert "<" not in text
    assert [line for line in text.splitlines() if cell in line and line[:2] != "| "] == []


def test_what_is_not_known_is_said_to_be_so() -> None:
    boosting = untrained_model("boosting", rows_of_two_places(), SCHEMA, seed=4)
    manifest = replace(MANIFEST, usual=(), recipe=Recipe("boosting", seed=4))
    evaluation = replace(EVALUATION, segments=(), lift=None)
    release = replace(RELEASE, model=manifest, challenge=None)

    text = card_text(release, Card(boosting, evaluation, PERIOD, []))

    assert "| why it went live | the first release, or deployed by hand |" in text
    assert "| threshold | 0.5: as config.json says |" in text
    assert (
        "parameters | categorical_features=\\[0], early_stopping=False, learning_rate=0.05" in text
    )
    assert "| age | number |  |" in text
    assert "| lift of the tenth at the highest risk | undefined |  |" in text
    assert "There are no category columns to break the scores down by." in text
    assert "## Drift checks before this release\n\nNone yet.\n" in text


def test_choices_by_time_say_so() -> None:
    by_time = replace(MANIFEST, recipe=replace(MANIFEST.recipe, chosen_since="2025-12-01"))
    rows = dict(release_grid(replace(RELEASE, model=by_time)).rows)
    assert rows["chosen"] == "by time: on rows from 2025-12-01 on, by models of older rows"
    assert "chosen" not in dict(release_grid(RELEASE).rows)


def test_the_card_of_a_release_has_its_own_score(deployed: Sandbox) -> None:
    release = live_release(deployed.config.prod_deployment_path)
    text = (release.path / "modelcard.md").read_text(encoding="utf-8")
    assert f"| F1 | {release.f1:.3f} | " in text
