"""Publish model, score and record as one release, or go back to one."""

import logging
from contextlib import suppress
from functools import partial
from pathlib import Path

from pipeline.core.config import Config
from pipeline.core.errors import ModelError, ReleaseError
from pipeline.data.reference import reference_from_json
from pipeline.models.manifest import MODEL, RECORD, REFERENCE, SCORE, ModelManifest
from pipeline.models.persistence import TrainedModel, load_trained
from pipeline.monitoring import sentences
from pipeline.monitoring.metrics import Evaluation, evaluate
from pipeline.observations.rows import read_test_data
from pipeline.registry.live_model import Live, load_release
from pipeline.registry.release_store import (
    clear,
    hide,
    make_release,
    prune,
    put_live,
    release_before,
)
from pipeline.registry.releases import (
    Challenge,
    Release,
    live_id,
    live_release,
    read_release,
    release_ids,
)
from pipeline.reporting.model_card import Card, card_text
from pipeline.storage.database import History
from pipeline.storage.ledger import ingested_period, unsettled_since
from pipeline.storage.records import (
    deployed_releases,
    held_challenger,
    record_deployment,
)
from pipeline.storage.trends import last_checks

log = logging.getLogger("deployment")


def deploy(
    config: Config,
    history: History,
    trained: TrainedModel,
    evaluation: Evaluation,
    challenge: Challenge | None = None,
) -> Live:
    """Make a release of a trained model, its score and the record of files, and put it live.

    `evaluation` is the model's on the test data, `challenge` the comparison that it won, if there
    was one. Raises `ModelError` if a file is damaged or the score does not describe the model.
    """
    production, manifest = config.prod_deployment_path, trained.manifest
    sources = {
        MODEL: config.trainedmodel_path,
        SCORE: config.latestscore_path,
        RECORD: config.ingestedfiles_path,
        REFERENCE: config.output_model_path / REFERENCE,
    }
    for source in sources.values():
        if not source.is_file():
            raise ReleaseError(f"{source} is missing: run ingestion, training and scoring first")
    _check_reference(sources[REFERENCE], manifest)
    f1 = _checked_score(sources[SCORE], evaluation.scores.f1)
    period = ingested_period(history, manifest.last_file)
    card = Card(trained.model, evaluation, period, last_checks(history, 20))
    history.check_lock()
    release = make_release(
        production,
        sources,
        model=manifest,
        f1=f1,
        challenge=challenge,
        card=partial(card_text, card=card),
    )
    live = load_release(release, config.schema)  # what cannot be read back does not go live
    history.check_lock()
    put_live(production, release.id)
    prune(production, config.keep_releases)
    record_deployment(history, release.id, "deploy", f1)  # last: then nothing is left to do
    log.info("release %s is live, F1 %.4f", release.id, f1)
    return live


def trained_and_evaluated(config: Config, history: History) -> tuple[TrainedModel, Evaluation]:
    """The model that was trained last, and how it does on the test data."""
    trained = load_trained(config.output_model_path, config.schema)
    test = read_test_data(config.test_data_path, config.finaldata_path, config.schema, history)
    seed = trained.manifest.recipe.seed
    return trained, evaluate(trained.model, test, config.schema, seed)


def promote(config: Config, history: History) -> Live:
    """Put the challenger live that the gate "manual" held.

    Raises `ModelError` if none is held, or another model was trained since.
    """
    held = held_challenger(history, live_id(config.prod_deployment_path))
    if held is None:
        raise ModelError(
            'no challenger is held, or another model was trained or deployed since: with "gate":'
            ' "manual" the next challenge holds one'
        )
    trained, evaluation = trained_and_evaluated(config, history)
    if trained.manifest.sha256 != held.challenger:
        raise ModelError(f"{config.trainedmodel_path} is not the challenger held at {held.at}")
    won = Challenge(
        gate=held.gate,
        champion=held.release,
        rows=trained.manifest.rows,
        champion_f1=held.champion_f1,
        challenger_f1=held.challenger_f1,
        low=held.difference_low,
        high=held.difference_high,
        reason=sentences.PROMOTED.format(
            reason=held.reason.removesuffix(f": {sentences.WAITS.format(champion=held.release)}")
        ),
        numbers=held.compared,
    )
    return deploy(config, history, trained, evaluation, won)


def rollback(config: Config, history: History, release_id: str | None = None) -> Release:
    """Put an earlier release live again: the one before the live one, if none is named.

    Raises `ReleaseError` or `ModelError`, and changes nothing, if it is missing or damaged.
    """
    production = config.prod_deployment_path
    release_id = release_id or release_before(production, live_release(production))
    release = read_release(production, release_id)
    load_release(release, config.schema)
    if release.id != (left := live_id(production)):
        history.check_lock()
        put_live(production, release.id)
        record_deployment(history, release.id, "rollback", release.f1)
        log.info("rolled back from %s to %s, F1 %.4f", left, release.id, release.f1)
    return release


def recover_interrupted(config: Config, history: History) -> str | None:
    """Record or clear away what a killed or failed run left in production.

    A release that it put live is recorded, one that it only made is deleted. Returns what was
    recorded, `deploy` or `rollback`, or None. To be called under the run lock.
    """
    production = config.prod_deployment_path
    recorded, live = deployed_releases(history), live_id(production)
    since = unsettled_since(history)
    for newest in release_ids(production)[-1:]:
        if since and newest not in (*recorded, live) and _made_since(production, newest, since):
            hide(production, newest)
    clear(production)
    if live is None or live in recorded[-1:]:
        return None
    try:
        f1 = live_release(production).f1
    except ReleaseError as error:  # it can still be left
        log.warning("the release that is live is not on record: %s", error)
        return None
    action = "rollback" if live in recorded else "deploy"
    if action == "deploy":
        prune(production, config.keep_releases)
    record_deployment(history, live, action, f1)
    log.info("release %s is live, which the run that put it there did not record", live)
    return action


def _made_since(production: Path, release_id: str, since: str) -> bool:
    with suppress(ReleaseError):
        return read_release(production, release_id).deployed_at >= since
    return False


def _checked_score(path: Path, f1: float | None) -> float:
    """The score beside a model, which must be its own, on the test data of now."""
    text = path.read_text(encoding="utf-8", errors="replace").strip()
    if f1 is None or text != str(f1):
        raise ModelError(
            f"{path} says {text[:40]!r}, but the F1 of the model beside it, on the test data of"
            f" now, is {f1}: run `python scoring.py` first"
        )
    return f1


def _check_reference(path: Path, manifest: ModelManifest) -> None:
    """Every drift check will ask it: what cannot be read does not go live."""
    schema = manifest.schema
    try:
        reference = reference_from_json(path.read_bytes())
        found = set(reference.numbers), set(reference.categories)
        if found != (set(schema.numeric), set(schema.categorical)):
            raise ValueError("it does not fit the model")
    except ValueError as error:
        raise ModelError(f"{path} is damaged ({error}): run `python training.py`") from None
