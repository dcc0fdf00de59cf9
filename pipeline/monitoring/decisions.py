"""Decisions on batches, put together from what training, judging and comparing gave."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from pipeline.data.input_files import PendingFile
from pipeline.models.manifest import ModelManifest
from pipeline.monitoring.score_drift import NO_EVIDENCE
from pipeline.registry.releases import Challenge, Release

if TYPE_CHECKING:  # light for those who read decisions only
    from pipeline.monitoring.batch_check import Judgement
    from pipeline.monitoring.gate import Comparison

NOTHING_DEPLOYED = "nothing deployed"
DEPLOYED, KEPT = "deployed", "kept"


@dataclass(frozen=True)
class Decision:
    """What was decided on a batch, and the numbers it was decided on."""

    files: str
    rows: int
    labelled: int
    release: str | None
    deployed_f1: float | None
    new_f1: float | None
    verdict: str
    action: str
    reason: str
    champion_f1: float | None = None
    challenger_f1: float | None = None
    new_release: str | None = None
    drift_test: str | None = None
    gate: str | None = None
    difference_low: float | None = None
    difference_high: float | None = None


def first_release(batch: Sequence[PendingFile], rows: int, release: Release) -> Decision:
    """A release where nothing was live yet; `rows` are all there are."""
    return Decision(
        files=_names(batch),
        rows=rows,
        labelled=release.model.rows,
        release=None,
        deployed_f1=None,
        new_f1=None,
        verdict=NOTHING_DEPLOYED,
        action=DEPLOYED,
        reason=f"trained on {release.model.rows:,} rows and deployed {release.id}",
        new_release=release.id,
    )


def learned(file: PendingFile, model: ModelManifest) -> bool:
    """Whether a model was trained on this file: then it proves nothing about it.

    So it is after a run that was killed between deploying and recording it, and after training
    and deploying by hand. Both signs are asked for, since a history begun anew counts from 1.
    """
    return file.id <= model.last_file and file.recorded_at <= model.trained_at


def all_learned(batch: Sequence[PendingFile], release: Release) -> Decision:
    """A batch of which the live model has learned every file."""
    return Decision(
        files=_names(batch),
        rows=0,
        labelled=0,
        release=release.id,
        deployed_f1=release.f1,
        new_f1=None,
        verdict=NO_EVIDENCE,
        action=KEPT,
        reason=f"release {release.id} was trained on these files already",
    )


def judged(
    batch: Sequence[PendingFile], rows: int, release: Release, found: "Judgement"
) -> Decision:
    """A batch on which the live release was judged, by so many rows it has not learned from."""
    return Decision(
        files=_names(batch),
        rows=rows,
        labelled=found.labelled,
        release=release.id,
        deployed_f1=release.f1,
        new_f1=found.scores.f1 if found.scores else None,
        verdict=found.verdict.verdict,
        action=KEPT,
        reason=found.verdict.reason,
        drift_test=found.verdict.test,
    )


def same_model(found: Decision) -> Decision:
    """A retraining after which nothing is to be compared: it gave the live model again."""
    same = f"{found.reason}; what there is to learn from gives the same model: {found.release}"
    return replace(found, reason=f"{same} stays live")


def challenge(compared: "Comparison", champion: Release, why: str) -> Challenge:
    """Why a comparison was made and what it was, as the manifest of the release tells that won."""
    return Challenge(
        gate=compared.gate,
        champion=champion.id,
        rows=compared.rows,
        champion_f1=compared.champion_f1,
        challenger_f1=compared.challenger_f1,
        low=compared.difference.low,
        high=compared.difference.high,
        reason=f"{why}; {compared.reason}",
    )


def challenged(found: Decision, compared: "Comparison", deployed: Release | None) -> Decision:
    """A batch after which both models were compared, and the release that came of it, if any."""
    outcome = f"deployed {deployed.id}" if deployed else f"{found.release} stays live"
    return replace(
        found,
        action=DEPLOYED if deployed else KEPT,
        reason=f"{found.reason}; {compared.reason}: {outcome}",
        champion_f1=compared.champion_f1,
        challenger_f1=compared.challenger_f1,
        new_release=deployed.id if deployed else None,
        gate=compared.gate,
        difference_low=compared.difference.low,
        difference_high=compared.difference.high,
    )


def decision_object(decision: Decision) -> dict[str, Any]:
    """A decision for a program."""
    return {**asdict(decision), "files": json.loads(decision.files)}


def _names(batch: Sequence[PendingFile]) -> str:
    return json.dumps(list(dict.fromkeys(file.name for file in batch)), ensure_ascii=False)
