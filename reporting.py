"""Draw the confusion matrix of the deployed model and write the ranking of clients at risk.

confusionmatrix.png shows the test data; clientrisk.csv holds, for every client who has not left as
far as its latest row tells, the probability of leaving, highest first, whether to contact the
client, and why it is at risk; movers.csv whose risk rose or fell most since the ranking before.
All go to output_model_path.
"""

import argparse
import io
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from sklearn.metrics import confusion_matrix

from pipeline import cli
from pipeline.config import Config
from pipeline.evaluation import score_model
from pipeline.files import write_atomic, writing
from pipeline.frames import read_folder
from pipeline.history import History
from pipeline.master import read_master
from pipeline.models import Model, load_release, predictions_of
from pipeline.movers import update_movers
from pipeline.ranking import rank_clients
from pipeline.rankingbefore import ranking_before
from pipeline.rankingfile import ranking_text
from pipeline.reasons import Explainer, usual_client
from pipeline.releases import Release, live_release
from pipeline.riskchanges import record_changes
from pipeline.schema import Schema
from pipeline.scorers import Scorer, scorer_of

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


class Ranked(NamedTuple):
    """How many clients were ranked, and who moved since the ranking before, in words."""

    clients: int
    moved: str


def report(config: Config, matrix_name: str = "confusionmatrix.png") -> Report:
    """Write both reports of the live release; raises `ReleaseError` if none is live."""
    release = live_release(config.prod_deployment_path)
    model = load_release(release, config.schema)
    matrix_path = config.output_model_path / matrix_name
    test = read_folder(config.test_data_path, config.schema)
    write_atomic(matrix_path, _png(draw_confusion_matrix(model, release, test, config.schema)))
    clients, moved = write_ranking(config, release, scorer_of(model, release.model))
    log.info("ranked %s clients by release %s: %s", f"{clients:,}", release.id, moved)
    ranking_path, movers_path = config.clientrisk_path, config.movers_path
    return Report(release.id, matrix_path, ranking_path, clients, movers_path, moved)


def write_ranking(config: Config, release: Release, scorer: Scorer) -> Ranked:
    """Rank the clients of finaldata.csv into clientrisk.csv, and who moved into movers.csv.

    Whose risk changed goes into the history.
    """
    with History(config.history_path) as history:
        frame = read_master(config, history)
        ranking = rank_clients(scorer, frame, config.schema, config.policy)
        before = ranking_before(config.clientrisk_path, ranking.clients)
        record_changes(history, release.id, ranking, before)
    labels = [config.labels[column] for column in config.schema.features]
    explainer = Explainer(scorer, usual_client(release.model), labels)
    moved = update_movers(config.movers_path, before, ranking, release.id)
    with writing(config.clientrisk_path) as file:
        for text in ranking_text(ranking, explainer, config.risk_bands, release.id):
            file.write(text.encode())
    return Ranked(len(ranking.clients), moved)


def draw_confusion_matrix(
    model: Model, release: Release, frame: pd.DataFrame, schema: Schema
) -> Figure:
    """The confusion matrix of a release on the labelled rows: counts and percent of each row."""
    labelled = frame[frame[schema.outcome].notna()]
    scores = score_model(model, labelled, schema)
    outcomes = labelled[schema.outcome].astype("int64")
    counts = confusion_matrix(outcomes, predictions_of(model, labelled), labels=[0, 1])
    percent = 100 * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    labels = [
        [f"{count:,}\n{share:.1f} %" for count, share in zip(*row, strict=True)]
        for row in zip(counts, percent, strict=True)
    ]
    figure = Figure(figsize=(6.4, 5.6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    sns.heatmap(
        percent,
        annot=np.array(labels),
        fmt="",
        cmap="Blues",
        vmin=0,
        vmax=100,
        square=True,
        linewidths=1,
        annot_kws={"size": 15},
        cbar_kws={"label": "percent of the clients with that outcome"},
        xticklabels=["stay (0)", "leave (1)"],
        yticklabels=["stayed (0)", "left (1)"],
        ax=axes,
    )
    axes.set_xlabel("predicted", fontsize=12)
    axes.set_ylabel("actual", fontsize=12)
    axes.set_title(
        f"F1 {'undefined' if scores.f1 is None else format(scores.f1, '.3f')}"
        f" on {scores.rows:,} clients of the test data\nrelease {release.id}",
        fontsize=12,
    )
    return figure


def _png(figure: Figure) -> bytes:
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=150)
    return content.getvalue()


def command(config: Config, _: argparse.Namespace) -> None:
    """Report, and tell where."""
    done = report(config)
    print(f"{config.shown(done.confusion_matrix)}: of release {done.release}")
    print(f"{config.shown(done.client_risk)}: {done.clients:,} clients, highest risk first")
    print(f"{config.shown(done.movers)}: {done.moved}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the stage from the command line."""
    return cli.run_alone("reporting", command, cli.stage_parser(__doc__).parse_args(argv))


if __name__ == "__main__":
    raise SystemExit(main())
