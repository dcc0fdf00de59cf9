"""The sections of pages, report and PDF."""

import platform
from collections.abc import Sequence
from dataclasses import replace

import pandas as pd

from pipeline.core.config import RiskBands
from pipeline.core.formatting import (
    format_horizon,
    format_minute,
    format_release_number,
    pluralize,
)
from pipeline.monitoring.metrics import Evaluation
from pipeline.monitoring.packages import project_version
from pipeline.monitoring.scores import Scores
from pipeline.ranking.movers import Movers
from pipeline.registry.releases import Release
from pipeline.reporting.document import Section
from pipeline.reporting.history_charts import (
    input_chart,
    missing_chart,
    score_chart,
    timing_chart,
)
from pipeline.reporting.model_card import NOT_FOR, release_grid, releases_grid
from pipeline.reporting.model_charts import distribution_chart, model_charts
from pipeline.reporting.tables import (
    MAX_EVENTS,
    MAX_REFUSED,
    TOP_CLIENTS,
    alerts_grid,
    checks_grid,
    compared_grid,
    deployments_grid,
    expected_grid,
    files_grid,
    mover_grids,
    packages_grid,
    refused_grid,
    runs_grid,
    score_grid,
    set_aside_grid,
    top_grid,
    verdicts_grid,
)
from pipeline.storage.database import History
from pipeline.storage.records import Checked, Compared, last_packages
from pipeline.storage.trends import (
    MAX_POINTS,
    last_checks,
    last_deployments,
    last_expected,
    last_refused,
    missing_samples,
    score_bins,
    timing_bins,
)

STAGES = ("ingestion", "training")
CANNOT_SEE = (
    "Expected scores trust the calibration of the risks: they follow a change of the clients, and"
    " cannot see a change of what makes clients leave; only true scores show that."
)


def score_section(history: History) -> Section:
    """The score over time, and the decisions."""
    releases = last_deployments(history, MAX_POINTS)
    checks = checks_grid(last_checks(history, MAX_EVENTS))
    deployments = deployments_grid(releases[-MAX_EVENTS:])
    return Section(
        key="scores",
        title="Score over time",
        lead="The live model predicts every batch with known outcomes; the score says how well.",
        charts=(score_chart(score_bins(history), releases),),
        grids=(checks, deployments, expected_grid(last_expected(history, MAX_EVENTS))),
        notes=(CANNOT_SEE,),
    )


def model_section(evaluation: Evaluation) -> Section:
    """How the live model does on the test data."""
    tested = evaluation.tested
    left = int(tested.outcomes.sum())
    rows = f"{pluralize(len(tested.outcomes), 'client')} of the test data, of whom {left:,} left"
    alike = " There are no curves: all of these rows have the same outcome."
    return Section(
        key="model",
        title="How good the model is",
        lead=f"On {rows}.{'' if tested.both else alike}",
        charts=model_charts(evaluation),
        grids=(score_grid(evaluation.scores, evaluation.intervals),),
    )


def top_section(ranking: pd.DataFrame, horizon_days: int | None = None) -> Section:
    """The clients most likely to leave, and why."""
    horizon = format_horizon(horizon_days)
    risk = f"The risk is the probability of leaving{horizon}. " if horizon else ""
    if ranking.empty:
        lead = "All clients have left."
        return Section(key="top", title="No client is at risk", lead=lead)
    count = min(TOP_CLIENTS, len(ranking))
    return Section(
        key="top",
        title=f"The {count} clients at the highest risk" if count > 1 else "The client at risk",
        lead=f"{risk}Reasons are what raises the model's risk most, with the usual value; they are"
        " not causes, and a high risk does not mean that contacting the client helps.",
        grids=(top_grid(ranking),),
    )


def risks_section(
    ranking: pd.DataFrame,
    movers: Movers | None,
    bands: RiskBands,
    threshold: float | None,
    horizon_days: int | None,
) -> Section:
    """How many clients are at which risk, and who moved."""
    chart = distribution_chart(ranking["risk"].to_numpy(), bands, threshold, horizon_days)
    return Section(
        key="risks",
        title="Risks, and largest changes",
        charts=(chart,),
        grids=mover_grids(movers) if movers else (),
    )


def drift_section(checked: Checked | None, compared: Compared | None = None) -> Section:
    """What the last drift check found, and the last challenge."""
    title = "Drift"
    if checked is None:
        return Section(key="drift", title=title, lead="No batch was checked for drift yet.")
    return Section(
        key="drift",
        title=title,
        lead=f"The last check, {format_minute(checked.at)} UTC, of release"
        f" {format_release_number(checked.release)}.",
        charts=(input_chart(checked.input, format_release_number(checked.release)),)
        if checked.input
        else (),
        grids=(verdicts_grid(checked), *([compared_grid(compared)] if compared else [])),
    )


def data_section(history: History, outcome: str) -> Section:
    """Missing values, refused files and rows, over time."""
    return Section(
        key="data",
        title="Data quality",
        charts=(missing_chart(missing_samples(history), outcome),),
        grids=(refused_grid(last_refused(history, MAX_REFUSED)), set_aside_grid(history)),
    )


def runs_section(history: History) -> Section:
    """How long the stages took, and the last runs."""
    bins = {stage: found for stage in STAGES if (found := timing_bins(history, stage))}
    return Section(
        key="runs",
        title="Runs",
        lead="Runs that found nothing new leave no record.",
        charts=(timing_chart(bins),),
        grids=(runs_grid(history),),
    )


def files_section(history: History, outcome: str) -> Section:
    """The last files, what was refused of files, and what is missing in them."""
    section = data_section(history, outcome)
    return replace(section, title="Files", grids=(files_grid(history), *section.grids))


def alerts_section(history: History) -> Section:
    """What was told last."""
    return Section("alerts", "Alerts", grids=(alerts_grid(history),))


def versions_section(history: History) -> Section:
    """The versions of the project, of Python and of the packages."""
    lead = f"Commit {project_version()} of this project, on Python {platform.python_version()}."
    return Section("versions", "Versions", lead, grids=(packages_grid(last_packages(history)),))


def releases_section(
    history: History,
    releases: Sequence[Release],
    scores: Sequence[Scores | None],
    live: str | None,
) -> Section:
    """The live release beside those before it, and what no model must be used for."""
    went_live = replace(deployments_grid(last_deployments(history, MAX_EVENTS)), folded=True)
    return Section(
        "releases",
        "Releases",
        grids=(releases_grid(releases, scores, live), went_live),
        notes=("A model must not be used for:", *NOT_FOR),
    )


def card_section(release: Release) -> Section:
    """The model card in short."""
    return Section(
        key="card",
        title="Model card",
        lead="The whole card is modelcard.md in the release's folder.",
        grids=(release_grid(release),),
        notes=("It must not be used for:", *NOT_FOR),
    )
