"""Judging a batch: how the live model does on it, and whether it looks like the training data."""

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from pipeline.core.config import Config
from pipeline.core.errors import ReleaseError
from pipeline.data.frames import read_folder
from pipeline.data.reference import Reference, reference_from
from pipeline.models.estimators import (
    Model,
    predictions_of,
    risk_of,
)
from pipeline.models.manifest import REFERENCE
from pipeline.monitoring.bootstrap import Predictions
from pipeline.monitoring.input_drift import FeatureDrift, compare_input
from pipeline.monitoring.metrics import score_predictions
from pipeline.monitoring.score_drift import DRIFT, Evidence, Verdict, check_scores
from pipeline.monitoring.scores import Scores
from pipeline.registry.releases import Release

log = logging.getLogger("fullprocess")


@dataclass(frozen=True)
class Judgement:
    """What all drift checks say of a batch.

    `verdict` is the one that the config's drift test gives; `labelled` counts the rows with a known
    outcome, of which `scores` tells, if there are any.
    """

    verdict: Verdict
    labelled: int
    scores: Scores | None
    by_score: tuple[Verdict, ...]
    by_input: tuple[FeatureDrift, ...]

    @property
    def drifted(self) -> tuple[FeatureDrift, ...]:
        """The features whose input has drifted."""
        return tuple(found for found in self.by_input if found.verdict == DRIFT)

    def why_retrain(self, retrain_on: str) -> str | None:
        """Why the live model is to be challenged; None if it is not."""
        if self.verdict.verdict == DRIFT:
            return self.verdict.reason
        if retrain_on == "input" and self.drifted:
            names = ", ".join(found.name for found in self.drifted)
            return f"{self.verdict.reason}; input drift in {names}"
        if retrain_on == "new_data" and self.labelled:
            return f"{self.verdict.reason}; {self.labelled:,} new rows with a known outcome"
        return None


def judge_batch(
    config: Config, release: Release, model: Model, rows: pd.DataFrame, earlier: Sequence[float]
) -> Judgement:
    """Check a batch by its scores, where outcomes are known, and by its input.

    `rows` are those that the live model has not learned from; `earlier` its F1 on earlier batches.
    """
    new = _predictions(config, model, rows)
    scores = _scores(config, model, rows, new)
    evidence = Evidence(
        new=new,
        new_f1=scores.f1 if scores else None,
        deployed_f1=release.f1,
        earlier=[release.f1, *earlier],
        test=_predictions(config, model, read_folder(config.test_data_path, config.schema)),
    )
    verdicts = check_scores(evidence, config.policy.seed)
    judged = Judgement(
        verdict=next(v for v in verdicts if v.test == config.policy.drift_test),
        labelled=len(new.outcomes),
        scores=scores,
        by_score=verdicts,
        by_input=_by_input(config, release, model, rows),
    )
    for found in judged.drifted:
        log.warning("input drift: %s: %s", found.name, found.reason)
    return judged


def _scores(config: Config, model: Model, rows: pd.DataFrame, said: Predictions) -> Scores | None:
    if not len(said.outcomes):
        return None
    labelled = rows[rows[config.schema.outcome].notna()]
    return score_predictions(said.outcomes, said.predicted, risk_of(model, labelled))


def _predictions(config: Config, model: Model, frame: pd.DataFrame) -> Predictions:
    labelled = frame[frame[config.schema.outcome].notna()]
    return Predictions(
        outcomes=labelled[config.schema.outcome].to_numpy().astype("int64"),
        predicted=predictions_of(model, labelled),
        clients=labelled[config.schema.client].to_numpy(dtype=object),
    )


def _by_input(
    config: Config, release: Release, model: Model, rows: pd.DataFrame
) -> tuple[FeatureDrift, ...]:
    reference = read_reference(release)
    if reference is None:
        log.warning("release %s has no %s: its input is not compared", release.id, REFERENCE)
        return ()
    return compare_input(reference, rows, risk_of(model, rows), config.schema)


def read_reference(release: Release) -> Reference | None:
    """What the training data of a release were like; None for one of an older version."""
    path = release.path / REFERENCE
    if REFERENCE not in release.files:
        return None
    try:
        return reference_from(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise ReleaseError(f"release {release.id} is damaged: {REFERENCE}: {error}") from error
