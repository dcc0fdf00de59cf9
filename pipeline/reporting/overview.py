"""Which sections stand where: on the page, in the report and in its PDF."""

import logging

from pipeline.core.config import Config
from pipeline.core.errors import HistoryError, NotRecordedError, PipelineError
from pipeline.core.formatting import format_release_number
from pipeline.monitoring.bootstrap import score_intervals
from pipeline.monitoring.metrics import Tested
from pipeline.ranking.current_ranking import CurrentRanking
from pipeline.ranking.movers import Movers
from pipeline.registry.live_model import LiveModel
from pipeline.registry.releases import Release, live_id, live_release
from pipeline.reporting.document import Section, State
from pipeline.reporting.health import Risks, risks_of, state_of
from pipeline.reporting.sections import (
    card_section,
    data_section,
    drift_section,
    model_section,
    risks_section,
    runs_section,
    score_section,
    top_section,
)
from pipeline.reporting.status import status
from pipeline.reporting.tables import Intervals
from pipeline.storage.history import open_existing_history, open_history
from pipeline.storage.records import last_checked, last_scores

log = logging.getLogger(__name__)


def current_state(
    config: Config,
    latest: CurrentRanking,
    live: LiveModel | None = None,
    *,
    within_run: bool = False,
) -> State:
    """How the system stands; `live` is what a server answers from.

    `within_run`: a run tells it, and says nothing of itself.
    """
    checked = None
    now = status(config)
    if history := open_existing_history(config.history_path):
        with history:
            checked = last_checked(history)
    risks, doubts = _risks_now(config, latest, now.release)
    return state_of(
        now,
        risks,
        checked=checked,
        wrong=_unserved(now.release, live),
        doubts=doubts,
        within_run=within_run,
    )


def _unserved(release: object, live: LiveModel | None) -> list[str]:
    """What keeps a server from answering by the live release."""
    if live is None or not isinstance(release, Release):
        return []
    try:
        served = live.get().release
    except PipelineError as error:
        log.error("release %s cannot be served: %s", release.id, error)
        return [f"release {format_release_number(release.id)} cannot be served: the log says why"]
    if served.id == release.id:
        return []
    refused, goes_on = format_release_number(release.id), format_release_number(served.id)
    return [f"release {refused} is refused, {goes_on} goes on"]


def _risks_now(
    config: Config, latest: CurrentRanking, release: object
) -> tuple[Risks | None, list[str]]:
    """The counts of the ranking, and what speaks against it."""
    try:
        ranking = latest.ranking()
    except NotRecordedError:
        missing = isinstance(release, Release)
        return None, ["no ranking is written: run python reporting.py"] * missing
    except HistoryError:
        return None, ["the ranking is not as it was written: run python reporting.py"]
    by = set(ranking["release"])
    stale = isinstance(release, Release) and bool(by - {release.id})
    told = f"the ranking is by release {format_release_number(max(by, default=None))}"
    return risks_of(config, ranking), [f"{told}: run python reporting.py"] * stale


def page_sections(config: Config, latest: CurrentRanking) -> tuple[Section, ...]:
    """What the page tells below the list of clients."""
    release = readable_release(config)
    sections = [*_risks(config, latest, release)]
    if history := open_existing_history(config.history_path):
        with history:
            scores = last_scores(history, release.model.sha256) if release else None
            sections += [
                score_section(history, scores),
                drift_section(last_checked(history)),
                data_section(history, config.schema),
                runs_section(history),
            ]
    if release:
        sections.append(card_section(release))
    return tuple(sections)


def report_sections(
    config: Config, latest: CurrentRanking, release: Release, tested: Tested
) -> tuple[Section, ...]:
    """What the report tells of the live release."""
    with open_history(config.history_path) as history:
        score, drift = score_section(history, None), drift_section(last_checked(history))
        data = data_section(history, config.schema)
    return (
        top_section(latest.ranking()),
        *_risks(config, latest, release),
        score,
        model_section(tested, _intervals(release, tested)),
        drift,
        data,
        card_section(release),
    )


def _intervals(release: Release, tested: Tested) -> Intervals:
    """Those of the model card, which are drawn with the same seed."""
    return score_intervals(tested, tested.risk, release.model.recipe.seed)


def readable_release(config: Config) -> Release | None:
    """The live release; None where there is none that can be read, which the state tells."""
    production = config.prod_deployment_path
    try:
        return live_release(production) if live_id(production) else None
    except PipelineError:
        return None


def _risks(config: Config, latest: CurrentRanking, release: Release | None) -> list[Section]:
    try:
        ranking = latest.ranking()
    except HistoryError:
        return []
    by_it = release and set(ranking["release"]) <= {release.id}  # not so after a rollback
    threshold = release.model.recipe.threshold if release and by_it else None
    return [risks_section(config, ranking, _movers(latest), threshold)]


def _movers(latest: CurrentRanking) -> Movers | None:
    try:
        return latest.movers()
    except HistoryError:
        return None
