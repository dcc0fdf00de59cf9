"""Draw the confusion matrix of the deployed model, rank the clients at risk, and write the report.

confusionmatrix.png shows the test data; clientrisk.csv holds, for every client who has not left as
far as its latest row tells, the probability of leaving, highest first, whether to contact the
client, and why it is at risk; movers.csv whose risk rose or fell most since the ranking before.
report.html and report.pdf tell people how it all stands; report_formats in config.json says which
of them are written, and reports/ keeps the last of each day. All go to output_model_path.
"""

import argparse
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from matplotlib.figure import Figure

from pipeline import cli
from pipeline.config import Config
from pipeline.database import History, open_history
from pipeline.evaluation import Tested, tested_on
from pipeline.files import utc_now, write_atomic, writing
from pipeline.frames import read_folder
from pipeline.latest import Latest
from pipeline.master import read_master
from pipeline.matrixchart import draw_matrix
from pipeline.models import load_release
from pipeline.movers import update_movers
from pipeline.overview import report_sections, state_now
from pipeline.plotstyle import new_figure, png_of, styled
from pipeline.ranking import rank_clients
from pipeline.rankingbefore import ranking_before
from pipeline.rankingfile import ranking_text
from pipeline.reasons import Explainer, usual_client
from pipeline.releases import CARD, Release, live_release
from pipeline.reportfiles import forget_reports, write_reports
from pipeline.reportpage import ReportContent
from pipeline.riskchanges import record_changes
from pipeline.scorers import Scorer, scorer_of
from pipeline.words import counted, minute, score

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
    write_atomic(matrix_path, draw_confusion_matrix(tested, release))
    clients, moved = write_ranking(config, release, scorer_of(model, release.model))
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
    latest = Latest(config)
    content = ReportContent(
        made_at=minute(utc_now()),
        release=release.id,
        state=state_now(config, latest, within_run=True),
        sections=report_sections(config, latest, release, tested),
        card=release.path / CARD,
    )
    return write_reports(config, content)


def write_ranking(config: Config, release: Release, scorer: Scorer) -> Ranked:
    """Rank all clients into clientrisk.csv, and who moved into movers.csv.

    Whose risk changed goes into the history.
    """
    labels = [config.labels[column] for column in config.schema.features]
    explainer = Explainer(scorer, usual_client(release.model), labels)
    with open_history(config.history_path) as history:
        return _rank_file(config, history, release, explainer)


def _rank_file(config: Config, history: History, release: Release, explainer: Explainer) -> Ranked:
    frame = read_master(config, history)
    ranking = rank_clients(explainer.scorer, frame, config.schema, config.policy)
    before = ranking_before(config.clientrisk_path, ranking.clients)
    record_changes(history, release.id, ranking, before)
    moved = update_movers(config.movers_path, before, ranking, release.id)
    with writing(config.clientrisk_path) as file:
        for text in ranking_text(ranking, explainer, config.risk_bands, release.id):
            file.write(text.encode())
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
        f"F1 {score(scores.f1)} on {counted(scores.rows, 'client')} of the test data\n"
        f"release {release.id}",
    )
    return figure


def command(config: Config, args: argparse.Namespace) -> None:
    """Report, and tell where."""
    done = report(config)
    lines = [
        f"{config.shown(done.confusion_matrix)}: of release {done.release}",
        f"{config.shown(done.client_risk)}: {done.clients:,} clients, highest risk first",
        f"{config.shown(done.movers)}: {done.moved}",
        *(f"{config.shown(path)}: how it all stands, for people" for path in done.documents),
    ]
    cli.tell(config, args, done, lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the stage from the command line."""
    return cli.run_alone("reporting", command, cli.result_parser(__doc__).parse_args(argv))


if __name__ == "__main__":
    raise SystemExit(main())
