"""Confusion matrix, ranking, movers and the report of the live release."""

import logging
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pandas as pd

from pipeline.action.proposals import contact_state, new_assignments, with_contacts
from pipeline.core.config import Config
from pipeline.core.errors import HistoryError
from pipeline.core.formatting import format_horizon, pluralize
from pipeline.core.policy import ContactRules
from pipeline.monitoring.metrics import Evaluation
from pipeline.observations.master import Master
from pipeline.observations.rows import SampledMaster
from pipeline.ranking.explanations import explainer_of
from pipeline.ranking.movers import Movers, update_movers
from pipeline.ranking.rank import rank_clients
from pipeline.ranking.ranking_file import (
    ranking_table,
    read_in_short,
    read_ranking,
    write_ranking,
)
from pipeline.registry.live_model import Live
from pipeline.reporting.model_charts import write_confusion_matrix
from pipeline.reporting.overview import RunResults, read_effect, report_content
from pipeline.reporting.report_files import forget_reports, write_reports
from pipeline.stages.training import with_save_rate
from pipeline.storage.contacts import record_assignments
from pipeline.storage.database import History
from pipeline.storage.records import oldest_kept

log = logging.getLogger("reporting")


@dataclass(frozen=True)
class Report:
    """The files that report on one release."""

    release: str
    confusion_matrix: Path
    client_risk: Path
    clients: int
    movers: Path
    moved: str  # a summary of the movers
    documents: tuple[Path, ...]  # report.html and report.pdf
    horizon_days: int | None

    @property
    def ranked(self) -> str:
        """What the ranking is, for a person."""
        horizon = format_horizon(self.horizon_days)
        return f"{self.clients:,} clients, highest risk{horizon and f' of leaving{horizon}'} first"


@dataclass(frozen=True)
class Ranked:
    """The ranking as its file has it, and who moved since the ranking before.

    `first` has the first clients; of all others `table` may have only what is counted.
    """

    table: pd.DataFrame
    movers: Movers
    moved: str  # a summary of the movers
    first: pd.DataFrame


def report(
    config: Config,
    history: History,
    live: Live,
    evaluation: Evaluation,
    rows: Master,
    matrix_name: str = "confusionmatrix.png",
    *,
    with_pdf: bool = True,
) -> Report:
    """Write all reports of the live release; `evaluation` is its on the test data.

    The PDF takes most of the time; without it, it can be made later of what is written.
    """
    release = live.release
    matrix_path = config.output_model_path / matrix_name
    write_confusion_matrix(matrix_path, evaluation.tested, release.id)
    ranked = update_ranking(config, history, live, rows)
    clients = len(ranked.table)
    log.info("ranked %s clients by release %s: %s", f"{clients:,}", release.id, ranked.moved)
    effect = read_effect(config, history, rows)
    results = RunResults(release, evaluation, ranked.table, ranked.movers, ranked.first, effect)
    return Report(
        release=release.id,
        confusion_matrix=matrix_path,
        client_risk=config.clientrisk_path,
        clients=clients,
        movers=config.movers_path,
        moved=ranked.moved,
        documents=write_report(config, history, results, with_pdf=with_pdf),
        horizon_days=release.horizon_days,
    )


def update_ranking(config: Config, history: History, live: Live, rows: Master) -> Ranked:
    """Rank all clients, record whose risk changed, and write clientrisk.csv and movers.csv."""
    release, config = live.release, with_save_rate(config, history, rows)
    if isinstance(rows, SampledMaster):
        from pipeline.spark import ranking as spark  # what needs Spark, only where it is asked for

        oldest = oldest_kept(history, config.keep_history_days)
        movers, moved = spark.update_ranking(config, live, rows, oldest)
        first, whole = read_in_short(config.clientrisk_path, config.schema.carry)
        return Ranked(whole, movers, moved, first)
    explainer = explainer_of(live.scorer, release.model, config.labels, config.reasons_from)
    ranking = rank_clients(live.scorer, rows.current(), config.schema, config.policy)
    movers, moved = update_movers(history, config.movers_path, ranking, release.id)
    table = ranking_table(ranking, explainer, config.risk_bands, release.id)
    today = date.today()
    table = as_of(today, table, config.contact_rules, history)
    write_ranking(config.clientrisk_path, table)
    _record_look(history, config.contact_rules.mark(today))
    return Ranked(table, movers, moved, table)


def as_of(
    today: date, ranking: pd.DataFrame, rules: ContactRules, history: History
) -> pd.DataFrame:
    """A ranking with whom to contact on a day; who is proposed, or left alone, is recorded."""
    state = contact_state(history, rules, today)
    ranking = with_contacts(ranking, rules, state)
    with history.transaction():
        record_assignments(history, new_assignments(ranking, rules, state))
    return ranking


def _record_look(history: History, mark: str) -> None:
    """Record of which day the file is: once it is, so that a run killed before is made good."""
    history.query("UPDATE master SET contacts_day = ?", mark)


def renew_contacts(config: Config, history: History) -> str:
    """Write clientrisk.csv anew if contacts or the day change whom to contact; says what became.

    To be called once a day, unless a ranking was made on it by the same rules.
    """
    path, today, renewed = config.clientrisk_path, date.today(), ""
    try:
        before = read_ranking(path, config.schema.carry)
    except HistoryError as error:
        log.warning("whom to contact was not worked out: %s; run python reporting.py", error)
    else:
        ranking = as_of(today, before, config.contact_rules, history)
        if not ranking.equals(before):
            write_ranking(path, ranking)
            due = int((ranking["contact"] == "yes").sum())
            renewed = f"{pluralize(due, 'client')} to be contacted today"
    _record_look(history, config.contact_rules.mark(today))
    return renewed


def write_report(
    config: Config, history: History, results: RunResults, *, with_pdf: bool
) -> tuple[Path, ...]:
    """Write the report in the forms that the config names; returns its files."""
    folder, formats = config.output_model_path, config.report_formats
    written: tuple[Path, ...] = ()
    if formats:
        content = report_content(config, history, results)
        written = write_reports(folder, formats, content, with_pdf=with_pdf)
    forget_reports(folder, formats, oldest_kept(history, config.keep_history_days))
    return written
