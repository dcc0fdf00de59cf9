"""What the checks of a batch say together, and which of them counts."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from datetime import date

import pandas as pd
import pytest
from modelling import DEFAULT_POLICY
from sandbox import Sandbox, client_rows

from pipeline.core.errors import ReleaseError
from pipeline.core.policy import DriftTest, Policy, RetrainOn
from pipeline.core.schema import DEFAULT_SCHEMA
from pipeline.data.frames import read_folder
from pipeline.data.reference import reference_from_json, reference_of
from pipeline.monitoring import sentences
from pipeline.monitoring.batch_check import (
    Judgement,
    Known,
    judge_batch,
    read_reference,
    tell_news,
    why_due,
)
from pipeline.monitoring.bootstrap import Predictions
from pipeline.monitoring.decisions import FeatureDrift, ScoreDrift
from pipeline.monitoring.input_drift import compare_input
from pipeline.monitoring.metrics import PredictedRows, predict_rows
from pipeline.monitoring.score_drift import Evidence, check_scores
from pipeline.registry.live_model import load_live, load_release
from pipeline.registry.releases import Release, live_release

# worse than the test data, but by no more than chance may do
NOISY = client_rows(300, 60, noise=5)
# one that was far off makes the mean and deviation blind, and not the quartiles
EARLIER = [0.9, 0.9, 0.91, 0.2]
SHIFTED = [f"other{i},{500 + i},{300 + i},{5 + (i * 37) % 90},{i % 2}" for i in range(60)]


def batch(world: Sandbox, rows: list[str]) -> pd.DataFrame:
    world.write("batch/batch.csv", rows)
    return read_folder(world.root / "batch", world.config.schema)


def live(world: Sandbox) -> Release:
    return live_release(world.config.prod_deployment_path)


def predicted(world: Sandbox, rows: pd.DataFrame) -> PredictedRows:
    return predict_rows(load_release(live(world), DEFAULT_SCHEMA).model, rows, DEFAULT_SCHEMA)


def on_test_data(world: Sandbox) -> Predictions:
    return predicted(world, read_folder(world.config.test_data_path, DEFAULT_SCHEMA)).tested


def judged(
    world: Sandbox,
    rows: list[str] | pd.DataFrame,
    earlier: Sequence[float] = (),
    release: Release | None = None,
    policy: Policy = DEFAULT_POLICY,
) -> Judgement:
    frame = batch(world, rows) if isinstance(rows, list) else rows
    new, test = predicted(world, frame), on_test_data(world)
    known = Known(waiting=new, earlier=predicted(world, frame[:0]), test=test, f1s=earlier)
    return judge_batch(release or live(world), new, known, policy=policy, schema=DEFAULT_SCHEMA)


def test_a_judgement_holds_scores_and_every_verdict(deployed: Sandbox) -> None:
    release, new = live(deployed), predicted(deployed, batch(deployed, NOISY))
    evidence = Evidence(
        new=new.tested,
        new_f1=new.tested.scores.f1,
        deployed_f1=release.f1,
        earlier=[release.f1, *EARLIER],
        test=on_test_data(deployed),
        before=on_test_data(deployed),
    )
    verdicts = check_scores(evidence, 3)
    reference = reference_from_json((release.path / "reference.json").read_bytes())
    assert judged(deployed, new.frame, EARLIER, policy=Policy(seed=3)) == Judgement(
        verdict=verdicts[-1],
        labelled=60,
        new_labelled=60,
        scores=new.tested.scores,
        by_score=verdicts,
        by_input=compare_input(reference, new.frame, new.risk, DEFAULT_SCHEMA),
    )


@pytest.mark.parametrize(
    ("drift_test", "place", "verdict"),
    [
        (DriftTest.RAW, 0, "drift"),
        (DriftTest.PARAMETRIC, 1, "no drift"),
        (DriftTest.NONPARAMETRIC, 2, "drift"),
        (DriftTest.BOOTSTRAP, 3, "no drift"),
    ],
)
def test_the_config_s_drift_test_decides(
    deployed: Sandbox, drift_test: DriftTest, place: int, verdict: str
) -> None:
    found = judged(deployed, NOISY, EARLIER, policy=Policy(drift_test=drift_test))
    assert found.verdict == found.by_score[place]
    assert (found.verdict.test, found.verdict.verdict) == (drift_test, verdict)


def test_the_score_of_the_deployment_is_the_first_of_the_earlier_ones(deployed: Sandbox) -> None:
    earlier = [v.numbers.get("earlier") for v in judged(deployed, NOISY).by_score]
    assert earlier == [None, 1.0, 1.0, None, None]
    numbers = judged(deployed, NOISY, [0.5] * 4).by_score[1].numbers
    assert numbers["mean"] == pytest.approx((live(deployed).f1 + 4 * 0.5) / 5)


def test_rows_of_unknown_outcome_are_left_to_the_input(deployed: Sandbox) -> None:
    unknown = [f"{row[:-1]}" for row in SHIFTED]
    known = judged(deployed, NOISY)
    mixed = judged(deployed, [*NOISY, *unknown])
    assert (mixed.labelled, mixed.scores, mixed.by_score) == (60, known.scores, known.by_score)
    assert {found.rows for found in mixed.by_input} == {120}


def test_without_any_known_outcome_the_input_alone_is_judged(deployed: Sandbox) -> None:
    found = judged(deployed, [row[:-1] for row in SHIFTED])
    assert (found.labelled, found.scores) == (0, None)
    assert {verdict.verdict for verdict in found.by_score} == {"not enough evidence"}
    assert [(one.feature, one.verdict) for one in found.by_input] == [
        ("lastmonth_activity", "drift"),
        ("lastyear_activity", "drift"),
        ("number_of_employees", "no drift"),
        ("risk", "no drift"),  # it goes by the employees
    ]


def test_of_no_rows_nothing_is_said(deployed: Sandbox) -> None:
    found = judged(deployed, batch(deployed, NOISY)[:0], EARLIER)
    assert (found.labelled, found.scores) == (0, None)
    result = {one.verdict for one in (*found.by_score, *found.by_input)}
    assert result == {"not enough evidence"}


@pytest.mark.parametrize("known", [False, True])
def test_what_is_news_of_the_input_is_logged(
    deployed: Sandbox, caplog: pytest.LogCaptureFixture, known: bool
) -> None:
    config = deployed.config
    release = load_live(config.prod_deployment_path, DEFAULT_SCHEMA)
    smaller = [
        f"other{i},{10 + i % 40},{200 + (i * 29) % 300},{5 + i % 9},{i % 2}" for i in range(60)
    ]
    new = predicted(deployed, batch(deployed, smaller))
    # without recent batches, what is unlike the training data is new
    recent = [reference_of(new.frame, new.risk, DEFAULT_SCHEMA, seed=1)] if known else []
    found = tell_news(
        *(judged(deployed, smaller), new, recent, release),
        policy=config.policy,
        schema=DEFAULT_SCHEMA,
    )
    names = ["number_of_employees", "risk"]
    assert [one.feature for one in found.drifted] == names
    told = [one for one in found.drifted if one.news == "told"]
    assert bool(told) is not known
    result = [record.getMessage() for record in caplog.records if record.name == "fullprocess"]
    assert result == [f"input drift: {one.name}: {sentences.told(one)}" for one in told]


# the reference


def test_without_a_reference_the_input_is_not_compared(
    deployed: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    release = live(deployed)
    files = {name: text for name, text in release.files.items() if name != "reference.json"}
    with caplog.at_level(logging.WARNING, "fullprocess"):
        found = judged(deployed, SHIFTED, release=replace(release, files=files))
    assert (len(found.by_score), found.by_input) == (5, ())
    assert [record.getMessage() for record in caplog.records] == [
        f"release {release.id} has no reference.json: its input is not compared"
    ]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("{", "Input data was truncated"),
        ("{}", "Object missing required field `numbers`"),
    ],
)
def test_a_damaged_reference_is_reported(deployed: Sandbox, text: str, fault: str) -> None:
    release = live(deployed)
    (release.path / "reference.json").write_text(text)
    with pytest.raises(ReleaseError) as caught:
        read_reference(release)
    assert str(caught.value) == f"release {release.id} is damaged: reference.json: {fault}"


# why to retrain


def judgement(verdict: str, labelled: int, *drifted: str) -> Judgement:
    result = ScoreDrift("raw", verdict, "the scores say so", {})
    names = ("age", "place", "risk")
    by_input = tuple(
        FeatureDrift(
            *(name, "number", 60, "ks", 0.0, 0.0),
            verdict="drift" if name in drifted else "no drift",
        )
        for name in names
    )
    return Judgement(result, labelled, labelled, None, (result,), by_input)


@pytest.mark.parametrize(
    ("found", "score", "input_", "new_data"),
    [
        (judgement("drift", 9), *["the scores say so"] * 3),
        (judgement("drift", 9, "age"), *["the scores say so"] * 3),
        (judgement("no drift", 0), None, None, None),
        (
            judgement("no drift", 1234),
            *(None, None, "the scores say so; 1,234 new rows with a known outcome"),
        ),
        (
            judgement("not enough evidence", 0, "age", "risk"),
            *(None, "the scores say so; input drift in age, risk", None),
        ),
        (
            judgement("not enough evidence", 4, "place"),
            None,
            "the scores say so; input drift in place",
            "the scores say so; 4 new rows with a known outcome",
        ),
    ],
)
def test_retrain_on_says_what_calls_for_a_challenger(
    found: Judgement, score: str | None, input_: str | None, new_data: str | None
) -> None:
    result = [found.why_retrain(retrain_on) for retrain_on in RetrainOn]
    assert result == [score, input_, new_data]


@pytest.mark.parametrize(
    ("today", "challenged", "leavers", "why"),
    [
        ("2026-03-31", "", 49, None),
        (
            "2026-04-01",
            "",
            0,
            "no drift; the newest data are 90 days or more after those that were learned from",
        ),
        ("2026-06-29", "2026-04-01", 49, None),  # a challenge was lost: it is let alone as long
        (
            "2026-06-30",
            "2026-04-01",
            0,
            "no drift; the newest data are 90 days or more after those that were learned from",
        ),
        ("2026-01-02", "", 50, "no drift; 50 clients have left since, it learned from 100"),
        ("2026-01-02", "2026-01-01", 49, None),
    ],
)
def test_a_model_is_due_when_it_is_old_or_half_as_many_left(
    deployed: Sandbox, today: str, challenged: str, leavers: int, why: str | None
) -> None:
    model = replace(live(deployed).model, data_until="2026-01-01", left=100)
    found = why_due(
        *(model, Policy()),
        today=date.fromisoformat(today),
        challenged=challenged,
        leavers=leavers,
        reason="no drift",
    )
    assert found == why
