"""Judging a batch: how the live model does on it, and whether it looks like the training data."""

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date

from pipeline.core.errors import ReleaseError
from pipeline.core.policy import Policy, RetrainOn
from pipeline.core.schema import Schema
from pipeline.data.input_files import PendingFile
from pipeline.data.reference import Reference, reference_from_json
from pipeline.models.manifest import REFERENCE, ModelManifest
from pipeline.monitoring import sentences
from pipeline.monitoring.decisions import (
    Action,
    Decision,
    FeatureDrift,
    News,
    ScoreDrift,
    Scores,
    Verdict,
)
from pipeline.monitoring.expected_scores import ExpectedOfBatch, expected_of_batch
from pipeline.monitoring.input_drift import compare_input, with_news
from pipeline.monitoring.metrics import PredictedRows, Tested
from pipeline.monitoring.score_drift import Evidence, check_scores
from pipeline.registry.live_model import Live
from pipeline.registry.releases import Release

log = logging.getLogger("fullprocess")


@dataclass(frozen=True)
class Judgement:
    """The results of all drift checks of a batch.

    `verdict` is that of the drift test that decides by the config; `labelled` counts the rows with
    a known outcome on which there was no verdict before, and `scores` are those of these rows, if
    there are any; `new_labelled` counts those of the batch. `expected` are the scores that the
    risks let expect.
    """

    verdict: ScoreDrift
    labelled: int
    new_labelled: int
    scores: Scores | None
    by_score: tuple[ScoreDrift, ...]
    by_input: tuple[FeatureDrift, ...]
    expected: tuple[ExpectedOfBatch, ...] = ()

    @property
    def drifted(self) -> tuple[FeatureDrift, ...]:
        """The features whose input has drifted."""
        return tuple(found for found in self.by_input if found.verdict == Verdict.DRIFT)

    def why_retrain(self, retrain_on: RetrainOn) -> str | None:
        """Why the live model is to be challenged; None if it is not."""
        reason = self.verdict.reason
        if self.verdict.verdict == Verdict.DRIFT:
            return reason
        if retrain_on == RetrainOn.INPUT and self.drifted:
            return sentences.INPUT_DRIFT.format(
                reason=reason, features=", ".join(found.name for found in self.drifted)
            )
        if retrain_on == RetrainOn.NEW_DATA and self.new_labelled:
            return sentences.NEW_OUTCOMES.format(reason=reason, rows=self.new_labelled)
        return None


@dataclass(frozen=True)
class Known:
    """The rows with a known outcome that a model is judged by: it has learned from none.

    `waiting` are the labelled rows on which there was no verdict yet, those of the batch among
    them; `earlier` those on which there was one, and `test` the test data. `f1s` are the F1 on
    earlier batches.
    """

    waiting: PredictedRows
    earlier: PredictedRows
    test: Tested
    f1s: Sequence[float]
    files: tuple[PendingFile, ...] = ()  # that brought these rows
    contacted: bool = False  # whether rows are left out whose outcome a contact may have changed


def judge_batch(
    release: Release, new: PredictedRows, known: Known, *, policy: Policy, schema: Schema
) -> Judgement:
    """Check a batch by scores, where outcomes are known, and by its input.

    `new` are the rows of the batch that the live model was not trained on, as it predicts them.
    """
    waiting = known.waiting
    scores = waiting.tested.scores if len(waiting.labelled) else None
    evidence = Evidence(
        new=waiting.tested,
        new_f1=scores.f1 if scores else None,
        deployed_f1=release.f1,
        earlier=[release.f1, *known.f1s],
        test=known.test,
        before=known.test.with_others(known.earlier.tested),
        contacted=known.contacted,
    )
    by_score = check_scores(evidence, policy.seed)
    reference = read_reference(release)
    if reference is None:
        log.warning("%s", sentences.NO_REFERENCE.format(release=release.id, name=REFERENCE))
    return Judgement(
        verdict=next(found for found in by_score if found.test == policy.drift_test),
        labelled=waiting.tested.rows,
        new_labelled=len(new.labelled),
        scores=scores,
        by_score=by_score,
        by_input=compare_input(reference, new.frame, new.risk, schema) if reference else (),
        expected=expected_of_batch(
            *(new.risk, new.tested.risk, new.tested.scores if len(new.labelled) else None),
            *(release.model.recipe.threshold, policy.seed),
        ),
    )


def tell_news(
    found: Judgement,
    new: PredictedRows,
    recent: Sequence[Reference],
    live: Live,
    *,
    policy: Policy,
    schema: Schema,
) -> Judgement:
    """The judgement of a batch with what is news of its input, which is logged as warnings.

    `recent` are profiles of recent batches; without any, all that has drifted is new.
    """
    reference = None if recent else read_reference(live.release)
    before = [reference] if reference else recent
    by_input = with_news(found.by_input, new, before, live.model, schema, policy.seed)
    for one in by_input:
        if one.news == News.TOLD:
            log.warning("input drift: %s: %s", one.name, sentences.told(one))
    return replace(found, by_input=by_input)


def read_reference(release: Release) -> Reference | None:
    """The profile of a release's training data; None for a release of an older version."""
    path = release.path / REFERENCE
    if REFERENCE not in release.files:
        return None
    try:
        return reference_from_json(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ReleaseError(f"release {release.id} is damaged: {REFERENCE}: {error}") from error


def first_release(
    batch: Sequence[PendingFile], rows: int, labelled: int, release: Release, why: str
) -> Decision:
    """The first release, or `why` a former one was no champion; so many rows are labelled."""
    former = release.previous
    reason = sentences.FIRST_RELEASE.format(rows=release.model.rows, release=release.id)
    if former:
        reason = why.format(former=former, reason=reason)
    return Decision(
        files=_names(batch),
        rows=rows,
        labelled=labelled,
        release=former,
        verdict=Verdict.NO_EVIDENCE if former else Verdict.NOTHING_DEPLOYED,
        action=Action.DEPLOYED,
        reason=reason,
        new_release=release.id,
    )


def learned(file: PendingFile, model: ModelManifest) -> bool:
    """Whether a model was trained on this file, which then is no evidence about it.

    That is so after a run that was killed between deploying and recording it, and after training
    and deploying by hand. Both conditions are needed, since a new history counts from 1 again.
    """
    return file.id <= model.last_file and file.recorded_at <= model.trained_at


def all_learned(batch: Sequence[PendingFile], release: Release) -> Decision:
    """A batch of which the live model was trained on every file."""
    return Decision(
        files=_names(batch),
        release=release.id,
        deployed_f1=release.f1,
        verdict=Verdict.NO_EVIDENCE,
        action=Action.KEPT,
        reason=sentences.ALREADY_TRAINED.format(release=release.id),
    )


def held_back(batch: Sequence[PendingFile], release: Release, reason: str) -> Decision:
    """A batch all of whose files look like a broken feed."""
    return Decision(
        files=_names(batch),
        release=release.id,
        deployed_f1=release.f1,
        verdict=Verdict.HELD,
        action=Action.KEPT,
        reason=reason,
    )


def why_due(
    model: ModelManifest,
    policy: Policy,
    *,
    today: date,
    challenged: str,
    leavers: int,
    reason: str,
) -> str | None:
    """Why a model is to be challenged whatever the verdict: it is old, or much is new.

    `today` is the newest day of the data, `challenged` that when it was challenged last, if it was;
    `leavers` counts those since then, or since it was trained.
    """
    since = (today - date.fromisoformat(challenged)).days if challenged else age(model, today)
    if since >= policy.retrain_after_days:
        return sentences.OLD_MODEL.format(reason=reason, days=policy.retrain_after_days)
    if model.left and leavers * 2 >= model.left:
        return sentences.NEW_LEAVERS.format(reason=reason, new=leavers, learned=model.left)
    return None


def age(model: ModelManifest, today: date) -> int:
    """How many days the newest data are newer than those it learned from."""
    return (today - date.fromisoformat((model.data_until or model.trained_at)[:10])).days


def judged(
    batch: Sequence[PendingFile],
    rows: int,
    release: Release,
    found: Judgement,
    waiting: Sequence[PendingFile],
) -> Decision:
    """A batch that was judged by this number of rows, before any challenge.

    `waiting` are the files whose rows its scores are of.
    """
    return Decision(
        files=_names(batch),
        rows=rows,
        labelled=found.labelled,
        release=release.id,
        deployed_f1=release.f1,
        new_f1=found.scores.f1 if found.scores else None,
        verdict=found.verdict.verdict,
        action=Action.KEPT,
        reason=found.verdict.reason,
        drift_test=found.verdict.test,
        first_file=min(file.id for file in waiting),
        last_file=max(file.id for file in waiting),
    )


def _names(batch: Sequence[PendingFile]) -> str:
    return json.dumps(list(dict.fromkeys(file.name for file in batch)), ensure_ascii=False)
