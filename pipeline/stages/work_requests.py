"""Carry out what people asked for on the page, by the functions that the commands call."""

import logging

from pipeline.core.config import Config
from pipeline.core.errors import DataError, HistoryError, ModelError, PipelineError
from pipeline.core.formatting import format_release_number, pluralize
from pipeline.registry.releases import live_id, live_release
from pipeline.stages import deployment, ingestion
from pipeline.storage.database import History
from pipeline.storage.held_files import held_files
from pipeline.storage.records import held_challenger
from pipeline.storage.work_requests import Action, WorkRequest, begin, finish, waiting_requests

log = logging.getLogger("fullprocess")


def carry_out(config: Config, history: History) -> list[str]:
    """Do what was asked for and not undone; returns a line for each.

    What cannot be done is logged, and its outcome says why; it fails no run. To be called under
    the run lock, after what an interrupted run left was recovered.
    """
    lines = []
    for one in waiting_requests(history):
        if not begin(history, one.id):
            continue
        try:
            outcome = _done(config, history, one)
        except HistoryError:  # nor can this be recorded
            raise
        except (PipelineError, OSError) as error:
            outcome = f"not done: {error}".replace(f"{config.root}/", "")
            log.error("%s %s, asked for on the page: %s", one.action, one.what, outcome)
        finish(history, one.id, outcome)
        lines.append(f"{one.action} {one.what}, asked for on the page: {outcome}")
    return lines


def _done(config: Config, history: History, one: WorkRequest) -> str:
    """Do it, unless a run did that was killed before it could say so; returns what came of it."""
    if one.action == Action.PROMOTE:
        return _promoted(config, history, one)
    held = next((file for file in held_files(history) if file.name == one.what), None)
    if held and held.recorded_at > one.at:
        raise DataError(f"{one.what} has held something else since it was asked for")
    if one.action == Action.ACCEPT:
        if held or not one.begun:
            ingestion.accept(history, one.what)
        return "accepted"
    if not held:
        if one.begun:
            return "forgotten"
        raise DataError(f"{one.what} is not held back any more")
    gone = ingestion.withdraw(config, history, one.what, yes=True).rows_gone
    return f"forgotten: {pluralize(gone, 'row')} less on record"


def _promoted(config: Config, history: History, one: WorkRequest) -> str:
    live = live_id(config.prod_deployment_path)
    if one.begun and live and live_release(config.prod_deployment_path).model.sha256 == one.what:
        return f"release {format_release_number(live)} is live"
    held = held_challenger(history, live)
    if held is None or held.challenger != one.what:
        raise ModelError("this challenger does not wait any more")
    release = deployment.promote(config, history).release
    return f"release {format_release_number(release.id)} is live"
