"""Which sections stand where: on the page, in the report and in its PDF."""

from typing import Any

from pipeline.bootstrap import Predictions
from pipeline.config import Config
from pipeline.content import Section, State
from pipeline.database import History
from pipeline.driftrecords import last_checked
from pipeline.errors import HistoryError, PipelineError
from pipeline.evaluation import Tested
from pipeline.grids import Intervals
from pipeline.history import last_scores
from pipeline.intervals import score_intervals
from pipeline.latest import Latest
from pipeline.releases import Release, live_id, live_release
from pipeline.sections import (
    card_section,
    data_section,
    drift_section,
    model_section,
    risks_section,
    runs_section,
    score_section,
    top_section,
)
from pipeline.status import status
from pipeline.wellbeing import risks_of, state_of


def state_now(config: Config, latest: Latest, *, within_run: bool = False) -> State:
    """How the system stands; a run that tells it says nothing of itself."""
    try:
        ranking = latest.ranking()
    except HistoryError:
        return state_of(status(config), None, within_run=within_run)
    risks = risks_of(config, ranking["risk"].tolist(), (ranking["contact"] == "yes").tolist())
    return state_of(status(config), risks, within_run=within_run)


def page_sections(config: Config, latest: Latest) -> tuple[Section, ...]:
    """What the page tells below the list of clients."""
    release = readable_release(config)
    sections = [*_risks(config, latest, release)]
    if config.history_path.exists():  # opening it would make it
        with History(config.history_path) as history:
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
    config: Config, latest: Latest, release: Release, tested: Tested
) -> tuple[Section, ...]:
    """What the report tells of the live release."""
    with History(config.history_path) as history:
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
    sample = Predictions(tested.outcomes, tested.predicted, tested.clients)
    return score_intervals(sample, tested.risk, release.model.recipe.seed)


def readable_release(config: Config) -> Release | None:
    """The live release; None where there is none that can be read, which the state tells."""
    production = config.prod_deployment_path
    try:
        return live_release(production) if live_id(production) else None
    except PipelineError:
        return None


def _risks(config: Config, latest: Latest, release: Release | None) -> list[Section]:
    try:
        ranking = latest.ranking()
    except HistoryError:
        return []
    threshold = release.model.recipe.threshold if release else None
    return [risks_section(config, ranking, _movers(latest), threshold)]


def _movers(latest: Latest) -> dict[str, Any] | None:
    try:
        return latest.movers()
    except HistoryError:
        return None
