"""Judging a batch: how the live model does on it, and whether it looks like the training data."""

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.core.errors import ReleaseError
from pipeline.core.policy import Policy, RetrainOn
from pipeline.core.schema import Schema
from pipeline.data.input_files import PendingFile
from pipeline.data.reference import Reference, reference_from_json
from pipeline.models.manifest import REFERENCE, ModelManifest
from pipeline.monitoring import sentences
from pipeline.monitoring.bootstrap import Predictions
from pipeline.monitoring.decisions import Action, Decision, FeatureDrift, ScoreDrift, Verdict
from pipeline.monitoring.input_drift import compare_input
from pipeline.monitoring.metrics import PredictedRows
from pipeline.monitoring.score_drift import Evidence, check_scores
from pipeline.monitoring.scores import Scores
from pipeline.registry.releases import Release

log = logging.getLogger("fullprocess")


@dataclass(frozen=True)
class Judgement:
    """The results of all drift checks of a batch.

    `verdict` is that of the drift test that decides by the config; `labelled` counts the rows with
    a known outcome, and `scores` are those of these rows, if there are any.
    """

    verdict: ScoreDrift
    labelled: int
    scores: Scores | None
    by_score: tuple[ScoreDrift, ...]
    by_input: tuple[FeatureDrift, ...]

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
        if retrain_on == RetrainOn.NEW_DATA and self.labelled:
            return sentences.NEW_OUTCOMES.format(reason=reason, rows=self.labelled)
        return None


def judge_batch(
    release: Release,
    new: PredictedRows,
    test: Predictions,
    *,
    earlier: Sequence[float],
    policy: Policy,
    schema: Schema,
) -> Judgement:
    """Check a batch by its scores, where outcomes are known, and by its input.

    `new` are the rows that the live model was not trained on, `test` the labelled test data, both
    as it predicts them; `earlier` is its F1 on earlier batches.
    """
    scores = new.tested.scores if len(new.labelled) else None
    evidence = Evidence(
        new=new.tested,
        new_f1=scores.f1 if scores else None,
        deployed_f1=release.f1,
        earlier=[release.f1, *earlier],
        test=test,
    )
    by_score = check_scores(evidence, policy.seed)
    reference = read_reference(release)
    if reference is None:
        log.warning("%s", sentences.NO_REFERENCE.format(release=release.id, name=REFERENCE))
    judged = Judgement(
        verdict=next(found for found in by_score if found.test == policy.drift_test),
        labelled=len(new.labelled),
        scores=scores,
        by_score=by_score,
        by_input=compare_input(reference, new.frame, new.risk, schema) if reference else (),
    )
    for found in judged.drifted:
        log.warning("input drift: %s: %s", found.name, found.reason)
    return judged


def read_reference(release: Release) -> Reference | None:
    """The profile of a release's training data; None for a release of an older version."""
    path = release.path / REFERENCE
    if REFERENCE not in release.files:
        return None
    try:
        return reference_from_json(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ReleaseError(f"release {release.id} is damaged: {REFERENCE}: {error}") from error


def first_release(batch: Sequence[PendingFile], rows: int, release: Release) -> Decision:
    """The first release, or the first of this meaning; `rows` are all there are."""
    former = release.previous
    reason = sentences.FIRST_RELEASE.format(rows=release.model.rows, release=release.id)
    if former:
        reason = sentences.OTHER_MEANING.format(former=former, reason=reason)
    return Decision(
        files=_names(batch),
        rows=rows,
        labelled=release.model.rows,
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


def judged(batch: Sequence[PendingFile], rows: int, release: Release, found: Judgement) -> Decision:
    """A batch that was judged by this number of rows, before any challenge."""
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
    )


def _names(batch: Sequence[PendingFile]) -> str:
    return json.dumps(list(dict.fromkeys(file.name for file in batch)), ensure_ascii=False)
