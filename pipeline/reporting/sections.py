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
from pipeline.reporting import history_charts, tables
from pipeline.reporting.document import Section
from pipeline.reporting.model_card import NOT_FOR, release_grid, releases_grid
from pipeline.reporting.model_charts import distribution_chart, model_charts
from pipeline.reporting.tables import MAX_EVENTS
from pipeline.storage import trends
from pipeline.storage.database import History
from pipeline.storage.records import Checked, Compared, last_packages

STAGES = ("ingestion", "training")
CANNOT_SEE = (
    "Expected scores trust the calibration of the risks: they follow a change of the clients, and"
    " cannot see a change of what makes clients leave; only true scores show that."
)


def score_section(history: History) -> Section:
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


def top_section(ranking: pd.DataFrame, horizon_days: int | None = None) -> Section:
    """The clients most likely to leave, and why."""
    horizon = format_horizon(horizon_days)
    risk = f"The risk is the probability of leaving{horizon}. " if horizon else ""
    if ranking.empty:
        return Section("top", "No client is at risk", "All clients have left.")
    count = min(tables.TOP_CLIENTS, len(ranking))
    return Section(
        "top",
        f"The {count} clients at the highest risk" if count > 1 else "The client at risk",
        f"{risk}Reasons are what raises the model's risk most, with the usual value; they are"
        " not causes, and a high risk does not mean that contacting the client helps.",
        grids=(tables.top_grid(ranking),),
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
    grids = tables.mover_grids(movers) if movers else ()
    return Section("risks", "Risks, and largest changes", charts=(chart,), grids=tuple(grids))


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


def data_section(history: History, outcome: str) -> Section:
    """Missing values, refused files and rows, over time."""
    chart = history_charts.missing_chart(trends.missing_samples(history), outcome)
    refused = tables.refused_grid(trends.last_refused(history, tables.MAX_REFUSED))
    grids = refused, tables.set_aside_grid(history)
    return Section("data", "Data quality", charts=(chart,), grids=grids)


def runs_section(history: History) -> Section:
    """How long the stages took, and the last runs."""
    bins = {stage: found for stage in STAGES if (found := trends.timing_bins(history, stage))}
    charts = (history_charts.timing_chart(bins),)
    lead = "Runs that found nothing new leave no record."
    return Section("runs", "Runs", lead, charts, (tables.runs_grid(history),))


def files_section(history: History, outcome: str) -> Section:
    """The last files, what was refused of files, and what is missing in them."""
    section = data_section(history, outcome)
    return replace(section, title="Files", grids=(tables.files_grid(history), *section.grids))


def alerts_section(history: History) -> Section:
    """What was told last."""
    return Section("alerts", "Alerts", grids=(tables.alerts_grid(history),))


def versions_section(history: History) -> Section:
    """The versions of the project, of Python and of the packages."""
    lead = f"Commit {project_version()} of this project, on Python {platform.python_version()}."
    packages = tables.packages_grid(last_packages(history))
    return Section("versions", "Versions", lead, grids=(packages,))


def releases_section(
    history: History,
    releases: Sequence[Release],
    scores: Sequence[Scores | None],
    live: str | None,
) -> Section:
    """The live release beside those before it, and what no model must be used for."""
    went_live = tables.deployments_grid(trends.last_deployments(history, MAX_EVENTS))
    grids = releases_grid(releases, scores, live), replace(went_live, folded=True)
    notes = "A model must not be used for:", *NOT_FOR
    return Section("releases", "Releases", grids=grids, notes=notes)


def card_section(release: Release) -> Section:
    """The model card in short."""
    lead = "The whole card is modelcard.md in the release's folder."
    notes = "It must not be used for:", *NOT_FOR
    return Section("card", "Model card", lead, grids=(release_grid(release),), notes=notes)
