"""Which sections pages and report have, and the overall health that they begin with.

What they are made of is gathered here, by the config; all else in this package takes what it needs.
"""

import logging
from collections.abc import Callable
from contextlib import nullcontext, suppress
from dataclasses import dataclass, replace

import pandas as pd

from pipeline.action.current_ranking import CurrentRanking
from pipeline.action.effect import Effect, measure_effect
from pipeline.core.config import Config
from pipeline.core.errors import HistoryError, NotRecordedError, PipelineError, ReleaseError
from pipeline.core.files import utc_now
from pipeline.core.formatting import format_minute, format_release_number
from pipeline.models.manifest import CARD
from pipeline.monitoring.metrics import Evaluation
from pipeline.observations.master import Master
from pipeline.observations.rows import open_rows
from pipeline.ranking.movers import Movers
from pipeline.registry.live_model import LiveModel
from pipeline.registry.releases import (
    Release,
    live_id,
    live_release,
    read_release,
    release_ids,
)
from pipeline.reporting.document import ReportContent, Section, State
from pipeline.reporting.effect import effect_section
from pipeline.reporting.health import Risks, count_risks, overall_health
from pipeline.reporting.sections import (
    alerts_section,
    card_section,
    data_section,
    drift_section,
    files_section,
    model_section,
    releases_section,
    risks_section,
    runs_section,
    score_section,
    top_section,
    versions_section,
)
from pipeline.reporting.status import Status, read_status
from pipeline.storage.database import History
from pipeline.storage.history import open_existing_history
from pipeline.storage.records import last_checked, last_compared, last_scores

log = logging.getLogger(__name__)

MAX_RELEASES = 3  # side by side


@dataclass(frozen=True)
class RunResults:
    """What a run found, for its report; the ranking as its file has it.

    Where that has only what is counted, `first` has the first clients whole.
    """

    release: Release
    evaluation: Evaluation  # on the test data
    ranking: pd.DataFrame
    movers: Movers
    first: pd.DataFrame | None = None
    effect: Effect | None = None  # of contacts


def report_content(config: Config, history: History, results: RunResults) -> ReportContent:
    """The report of a run, which is the last one and has not ended: it says nothing of itself."""
    release, ranking, checked = results.release, results.ranking, last_checked(history)
    risks = count_risks(ranking, config.policy)
    return ReportContent(
        made_at=format_minute(utc_now()),
        release=release.id,
        state=overall_health(_status(config, history), risks, checked=checked, within_run=True),
        sections=(
            top_section(ranking if results.first is None else results.first, release.horizon_days),
            _risks_section(config, ranking, results.movers, release),
            *filter(None, [effect_section(results.effect)]),
            score_section(history),
            model_section(results.evaluation),
            drift_section(checked, last_compared(history)),
            data_section(history, config.schema.outcome),
            card_section(release),
        ),
        card=card_of(release),
    )


def card_of(release: Release) -> str:
    """The whole model card of a release; empty if there is none."""
    card = release.path / CARD
    return card.read_text(encoding="utf-8") if card.is_file() else ""


def _status(config: Config, history: History | None) -> Status:
    paths = config.input_folder_path, config.prod_deployment_path, config.lock_path
    return read_status(*paths, history, config.schema, subfolders=config.subfolders)


def page_health(
    config: Config, current: CurrentRanking, live: LiveModel
) -> tuple[State, Risks | None]:
    """The overall health, and what the ranking counts; `live` is what the server predicts with."""
    history = open_existing_history(config.history_path)
    with history or nullcontext():
        status = _status(config, history)
        checked = last_checked(history) if history else None
    risks, doubts = _current_risks(config, current, status.release)
    wrong = _unserved(status.release, live)
    return overall_health(status, risks, checked=checked, wrong=wrong, doubts=doubts), risks


def _unserved(release: object, live: LiveModel) -> list[str]:
    """What keeps a server from answering by the live release."""
    if not isinstance(release, Release):
        return []
    number = format_release_number(release.id)
    try:
        served = live.get().release.id
    except PipelineError as error:
        log.error("release %s cannot be served: %s", release.id, error)
        return [f"release {number} cannot be served: the log says why"]
    refused = f"release {number} is refused, {format_release_number(served)} is still served"
    return [refused] if served != release.id else []


def _current_risks(
    config: Config, current: CurrentRanking, release: object
) -> tuple[Risks | None, list[str]]:
    """The counts of the ranking, and what speaks against it."""
    try:
        ranking = current.ranking()
    except NotRecordedError:
        missing = isinstance(release, Release)
        return None, ["no ranking is written: run python reporting.py"] * missing
    except HistoryError:
        return None, ["the ranking is not as it was written: run python reporting.py"]
    ranked_by = set(ranking["release"].unique())
    stale = isinstance(release, Release) and bool(ranked_by - {release.id})
    number = format_release_number(max(ranked_by, default=None))
    doubt = f"the ranking is by release {number}: run python reporting.py"
    return count_risks(ranking, config.policy), [doubt] * stale


def model_sections(
    config: Config, current: CurrentRanking, effect: Callable[[History], Effect]
) -> tuple[Section, ...]:
    """What the page of the model has: scores, drift, risks, releases side by side."""
    if not (history := open_existing_history(config.history_path)):
        return ()
    live = readable_release(config)
    releases = _last_releases(config, live)
    with history:
        scored = score_section(history)
        drift = drift_section(last_checked(history), last_compared(history))
        scores = [last_scores(history, each.model.sha256) for each in releases]
        helped = None
        with suppress(HistoryError):  # the health says so
            helped = effect_section(effect(history))
        made = releases_section(history, releases, scores, live.id if live else None)
    grids = tuple(each for each in scored.grids if not each.narrow)  # releases are below
    with suppress(HistoryError):  # the health says so
        risks = _risks_section(config, current.ranking(), None, live)
        scored = replace(scored, charts=(*scored.charts, *risks.charts))
    found = [
        replace(scored, title="Scores", grids=grids),
        drift,
        helped,
        made if releases else None,
    ]
    return tuple(filter(None, found))


def _last_releases(config: Config, live: Release | None) -> list[Release]:
    """The live release, then the newest others, that can be read."""
    production = config.prod_deployment_path
    found = [live] if live else []
    for name in reversed(release_ids(production)):
        if len(found) < MAX_RELEASES and name not in [each.id for each in found]:
            with suppress(ReleaseError):
                found.append(read_release(production, name))
    return found


def operations_sections(config: Config) -> tuple[Section, ...]:
    """What the page of operations has below what waits for a decision."""
    if not (history := open_existing_history(config.history_path)):
        return ()
    with history:
        return (
            files_section(history, config.schema.outcome),
            runs_section(history),
            alerts_section(history),
            versions_section(history),
        )


def read_effect(config: Config, history: History, rows: Master | None = None) -> Effect:
    """What contacts have changed.

    `rows` are all client rows, if they are open. Raises what `open_rows` does.
    """
    rows = rows or open_rows(config.finaldata_path, config.schema, history)
    worth = config.policy.worth
    return measure_effect(history, rows, None if worth.measured else worth.save_rate)


def readable_release(config: Config) -> Release | None:
    """The live release; None where none can be read, which the health says."""
    production = config.prod_deployment_path
    with suppress(PipelineError):
        return live_release(production) if live_id(production) else None
    return None


def _risks_section(
    config: Config, ranking: pd.DataFrame, movers: Movers | None, release: Release | None
) -> Section:
    ranked_by_it = release and set(ranking["release"]) <= {release.id}  # not so after a rollback
    threshold = release.model.recipe.threshold if release and ranked_by_it else None
    horizon_days = release.horizon_days if release else None
    return risks_section(ranking, movers, config.risk_bands, threshold, horizon_days)
