"""Confusion matrix, ranking, movers and the report of the live release."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from matplotlib.figure import Figure

from pipeline.core.config import Config
from pipeline.core.files import utc_now, write_atomic
from pipeline.core.formatting import format_minute, format_score, pluralize
from pipeline.models.manifest import CARD
from pipeline.monitoring.metrics import Evaluation, Tested
from pipeline.ranking.current_ranking import CurrentRanking
from pipeline.ranking.explanations import Explainer, baseline_row
from pipeline.ranking.movers import update_movers
from pipeline.ranking.rank import rank_clients
from pipeline.ranking.ranking_file import ranking_table, write_ranking
from pipeline.registry.live_model import Live
from pipeline.registry.releases import Release
from pipeline.reporting.charts.matrixchart import draw_matrix
from pipeline.reporting.charts.style import new_figure, png_of, styled
from pipeline.reporting.html import ReportContent
from pipeline.reporting.overview import current_state, report_sections
from pipeline.reporting.report_files import forget_reports, write_reports
from pipeline.storage.database import History
from pipeline.storage.rows import Store

log = logging.getLogger("reporting")


@dataclass(frozen=True)
class Report:
    """Where the reports of one release lie."""

    release: str
    confusion_matrix: Path
    client_risk: Path
    clients: int
    movers: Path
    moved: str  # who did, in words
    documents: tuple[Path, ...]  # report.html and report.pdf


class Ranked(NamedTuple):
    """How many clients were ranked, and who moved since the ranking before, in words."""

    clients: int
    moved: str


def report(
    config: Config,
    history: History,
    live: Live,
    evaluation: Evaluation,
    rows: Store,
    matrix_name: str = "confusionmatrix.png",
) -> Report:
    """Write all reports of the live release; `evaluation` is its on the test data."""
    release, tested = live.release, evaluation.tested
    matrix_path = config.output_model_path / matrix_name
    write_atomic(matrix_path, draw_confusion_matrix(tested, release))
    clients, moved = update_ranking(config, history, live, rows)
    log.info("ranked %s clients by release %s: %s", f"{clients:,}", release.id, moved)
    return Report(
        release=release.id,
        confusion_matrix=matrix_path,
        client_risk=config.clientrisk_path,
        clients=clients,
        movers=config.movers_path,
        moved=moved,
        documents=write_report(config, release, tested),
    )


def write_report(config: Config, release: Release, tested: Tested) -> tuple[Path, ...]:
    """Write the report for people, in the forms that the config names; returns its files."""
    if not config.report_formats:
        forget_reports(config)
        return ()
    latest = CurrentRanking(config.clientrisk_path, config.history_path)
    content = ReportContent(
        made_at=format_minute(utc_now()),
        release=release.id,
        state=current_state(config, latest, within_run=True),
        sections=report_sections(config, latest, release, tested),
        card=release.path / CARD,
    )
    return write_reports(config, content)


def update_ranking(config: Config, history: History, live: Live, rows: Store) -> Ranked:
    """Rank all clients into clientrisk.csv, and who moved into movers.csv.

    Whose risk changed goes into the history.
    """
    release = live.release
    labels = [config.labels[column] for column in config.schema.features]
    explainer = Explainer(live.scorer, baseline_row(release.model), labels)
    ranking = rank_clients(live.scorer, rows.frame, config.schema, config.policy)
    _, moved = update_movers(history, config.movers_path, ranking, release.id)
    write_ranking(
        config.clientrisk_path, ranking_table(ranking, explainer, config.risk_bands, release.id)
    )
    return Ranked(len(ranking.clients), moved)


def draw_confusion_matrix(tested: Tested, release: Release) -> bytes:
    """The confusion matrix of a release on labelled rows, as PNG: counts, row percents."""
    with styled():
        figure = matrix_figure(tested, release)
        return png_of(figure)


def matrix_figure(tested: Tested, release: Release) -> Figure:
    """The figure of it; to be called within `styled`."""
    scores = tested.scores
    figure = new_figure(6.4, 5.6)
    axes = figure.add_axes((0.11, 0.09, 0.83, 0.8))
    axes.set_aspect("equal")
    draw_matrix(axes, tested.counts, size=15, scale="percent of the clients with that outcome")
    axes.set_title(
        f"F1 {format_score(scores.f1)} on {pluralize(scores.rows, 'client')} of the test data\n"
        f"release {release.id}",
    )
    return figure
