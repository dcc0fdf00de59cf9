"""Confusion matrix, ranking, movers and the report of the live release."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from pipeline.core.config import Config
from pipeline.core.files import utc_now, write_atomic
from pipeline.core.formatting import format_minute
from pipeline.data.frames import read_folder
from pipeline.models.manifest import CARD
from pipeline.models.scorer import Scorer, scorer_of
from pipeline.monitoring.metrics import Tested, tested_on
from pipeline.ranking.current_ranking import CurrentRanking
from pipeline.ranking.explanations import Explainer, baseline_row
from pipeline.ranking.movers import update_movers
from pipeline.ranking.rank import rank_clients
from pipeline.ranking.ranking_file import ranking_table, write_ranking
from pipeline.registry.live_model import load_release
from pipeline.registry.releases import Release, live_release
from pipeline.reporting.charts.model_charts import confusion_matrix_png
from pipeline.reporting.document import ReportContent
from pipeline.reporting.overview import current_state, report_sections
from pipeline.reporting.report_files import forget_reports, write_reports
from pipeline.storage.history import open_history
from pipeline.storage.master import read_master

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


def report(config: Config, matrix_name: str = "confusionmatrix.png") -> Report:
    """Write all reports of the live release; raises `ReleaseError` if none is live."""
    release = live_release(config.prod_deployment_path)
    model = load_release(release, config.schema)
    matrix_path = config.output_model_path / matrix_name
    test = read_folder(config.test_data_path, config.schema)
    tested = tested_on(model, test, config.schema)
    write_atomic(matrix_path, confusion_matrix_png(tested, release.id))
    clients, moved = update_ranking(config, release, scorer_of(model, release.model))
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


def update_ranking(config: Config, release: Release, scorer: Scorer) -> Ranked:
    """Rank all clients into clientrisk.csv, and who moved into movers.csv.

    Whose risk changed goes into the history.
    """
    labels = [config.labels[column] for column in config.schema.features]
    explainer = Explainer(scorer, baseline_row(release.model), labels)
    with open_history(config.history_path) as history:
        frame = read_master(config, history)
        ranking = rank_clients(scorer, frame, config.schema, config.policy)
        _, moved = update_movers(history, config.movers_path, ranking, release.id)
    write_ranking(
        config.clientrisk_path, ranking_table(ranking, explainer, config.risk_bands, release.id)
    )
    return Ranked(len(ranking.clients), moved)
