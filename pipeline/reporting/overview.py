"""The sections of pages and report, and the overall health that they begin with.

What they are made of is gathered here, by the config; all else in this package takes what it needs.
"""

import logging
import platform
from collections.abc import Callable
from contextlib import nullcontext, suppress
from dataclasses import dataclass, replace

import pandas as pd

from pipeline.action.current_ranking import CurrentRanking
from pipeline.action.effect import Effect, measure_effect
from pipeline.core.config import Config
from pipeline.core.errors import HistoryError, NotRecordedError, PipelineError, ReleaseError
from pipeline.core.files import utc_now
from pipeline.core.formatting import (
    format_horizon,
    format_minute,
    format_release_number,
    pluralize,
)
from pipeline.models.manifest import CARD
from pipeline.monitoring.metrics import Evaluation
from pipeline.monitoring.packages import project_version
from pipeline.observations.master import Master
from pipeline.observations.rows import open_rows
from pipeline.ranking.movers import Movers
from pipeline.registry.live_model import LiveModel
from pipeline.registry.releases import Release, live_id, live_release, read_release, release_ids
from pipeline.reporting import history_charts, tables
from pipeline.reporting.document import ReportContent, Section, State
from pipeline.reporting.effect import effect_section
from pipeline.reporting.health import Risks, count_risks, overall_health
from pipeline.reporting.model_card import NOT_FOR, release_grid, releases_grid
from pipeline.reporting.model_charts import distribution_chart, model_charts
from pipeline.reporting.status import Status, read_status
from pipeline.reporting.tables import MAX_EVENTS
from pipeline.storage import trends
from pipeline.storage.database import History
from pipeline.storage.history import open_existing_history
from pipeline.storage.records import (
    Checked,
    Compared,
    last_checked,
    last_compared,
    last_packages,
    last_scores,
)

log = logging.getLogger(__name__)

MAX_RELEASES = 3  # side by side
STAGES = ("ingestion", "training")
CANNOT_SEE = (
    "Expected scores trust the calibration of the risks: they follow a change of the clients, and"
    " cannot see a change of what makes clients leave; only true scores show that."
)


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
    card = "The whole card is modelcard.md in the release's folder."
    return ReportContent(
        made_at=format_minute(utc_now()),
        release=release.id,
        state=overall_health(_status(config, history), risks, checked=checked, within_run=True),
        sections=(
            top_section(ranking if results.first is None else results.first, release.horizon_days),
            _risks_section(config, ranking, results.movers, release),
            *filter(None, [effect_section(results.effect)]),
            _score_section(history),
            model_section(results.evaluation),
            drift_section(checked, last_compared(history)),
            _data_section(history, config.schema.outcome),
            Section(
                *("card", "Model card", card),
                grids=(release_grid(release),),
                notes=("It must not be used for:", *NOT_FOR),
            ),
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
        scored = _score_section(history)
        drift = drift_section(last_checked(history), last_compared(history))
        scores = [last_scores(history, each.model.sha256) for each in releases]
        helped = None
        with suppress(HistoryError):  # the health says so
            helped = effect_section(effect(history))
        went_live = tables.deployments_grid(trends.last_deployments(history, MAX_EVENTS))
    charts = scored.charts
    with suppress(HistoryError):  # the health says so
        charts += _risks_section(config, current.ranking(), None, live).charts
    grids = tuple(each for each in scored.grids if not each.narrow)  # releases are below
    scored = replace(scored, title="Scores", charts=charts, grids=grids)
    side_by_side = releases_grid(releases, scores, live.id if live else None)
    made = Section(
        *("releases", "Releases"),
        grids=(side_by_side, replace(went_live, folded=True)),
        notes=("A model must not be used for:", *NOT_FOR),
    )
    return tuple(filter(None, [scored, drift, helped, made if releases else None]))


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
        files = _data_section(history, config.schema.outcome)
        grids = tables.files_grid(history), *files.grids
        bins = {stage: found for stage in STAGES if (found := trends.timing_bins(history, stage))}
        timings, runs = history_charts.timing_chart(bins), tables.runs_grid(history)
        alerts, packages = tables.alerts_grid(history), last_packages(history)
    rare = "Runs that found nothing new leave no record."
    versions = f"Commit {project_version()} of this project, on Python {platform.python_version()}."
    return (
        replace(files, title="Files", grids=grids),
        Section("runs", "Runs", rare, charts=(timings,), grids=(runs,)),
        Section("alerts", "Alerts", grids=(alerts,)),
        Section("versions", "Versions", versions, grids=(tables.packages_grid(packages),)),
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


def top_section(ranking: pd.DataFrame, horizon_days: int | None = None) -> Section:
    """The clients most likely to leave, and why."""
    if ranking.empty:
        return Section("top", "No client is at risk", "All clients have left.")
    horizon = format_horizon(horizon_days)
    risk = f"The risk is the probability of leaving{horizon}. " if horizon else ""
    count = min(tables.TOP_CLIENTS, len(ranking))
    return Section(
        "top",
        f"The {count} clients at the highest risk" if count > 1 else "The client at risk",
        f"{risk}Reasons are what raises the model's risk most, with the usual value; they are"
        " not causes, and a high risk does not mean that contacting the client helps.",
        grids=(tables.top_grid(ranking),),
    )


def _risks_section(
    config: Config, ranking: pd.DataFrame, movers: Movers | None, release: Release | None
) -> Section:
    """How many clients are at which risk, and who moved."""
    ranked_by_it = release and set(ranking["release"]) <= {release.id}  # not so after a rollback
    threshold = release.model.recipe.threshold if release and ranked_by_it else None
    horizon_days = release.horizon_days if release else None
    risks = ranking["risk"].to_numpy()
    chart = distribution_chart(risks, config.risk_bands, threshold, horizon_days)
    grids = tables.mover_grids(movers) if movers else ()
    return Section("risks", "Risks, and largest changes", charts=(chart,), grids=tuple(grids))


def _score_section(history: History) -> Section:
    """The score over time, and the decisions."""
    releases = trends.last_deployments(history, trends.MAX_POINTS)
    return Section(
        "scores",
        "Score over time",
        "The live model predicts every batch with known outcomes; the score says how well.",
        charts=(history_charts.score_chart(trends.score_bins(history), releases),),
        grids=(
            tables.checks_grid(trends.last_checks(history, MAX_EVENTS)),
            tables.deployments_grid(releases[-MAX_EVENTS:]),
            tables.expected_grid(trends.last_expected(history, MAX_EVENTS)),
        ),
        notes=(CANNOT_SEE,),
    )


def model_section(evaluation: Evaluation) -> Section:
    """How the live model does on the test data."""
    tested = evaluation.tested
    left = int(tested.outcomes.sum())
    rows = f"{pluralize(len(tested.outcomes), 'client')} of the test data, of whom {left:,} left"
    alike = "" if tested.both else " There are no curves: all of these rows have the same outcome."
    scores = tables.score_grid(evaluation.scores, evaluation.intervals)
    charts = model_charts(evaluation)
    return Section("model", "How good the model is", f"On {rows}.{alike}", charts, (scores,))


def drift_section(checked: Checked | None, compared: Compared | None = None) -> Section:
    """What the last drift check found, and the last challenge."""
    if checked is None:
        return Section("drift", "Drift", "No batch was checked for drift yet.")
    number, found = format_release_number(checked.release), checked.input
    challenge = [tables.compared_grid(compared)] if compared else []
    return Section(
        "drift",
        "Drift",
        f"The last check, {format_minute(checked.at)} UTC, of release {number}.",
        charts=(history_charts.input_chart(found, number),) if found else (),
        grids=(tables.verdicts_grid(checked), *challenge),
    )


def _data_section(history: History, outcome: str) -> Section:
    """Missing values, refused files and rows, over time."""
    chart = history_charts.missing_chart(trends.missing_samples(history), outcome)
    refused = tables.refused_grid(trends.last_refused(history, tables.MAX_REFUSED))
    grids = refused, tables.set_aside_grid(history)
    return Section("data", "Data quality", charts=(chart,), grids=grids)
