"""Draw the confusion matrix of the deployed model and write the ranking of clients at risk.

confusionmatrix.png shows the test data; clientrisk.csv holds, for every client who has not left as
far as its latest row tells, the probability of leaving, highest first. Both go to
output_model_path.
"""

import argparse
import io
import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from sklearn.metrics import confusion_matrix

from pipeline import cli
from pipeline.config import Config, RiskBands
from pipeline.evaluation import score_model
from pipeline.features import features_of
from pipeline.files import write_atomic
from pipeline.frames import read_folder
from pipeline.history import History
from pipeline.master import read_master
from pipeline.models import Model, load_release, predictions_of
from pipeline.releases import Release, live_release
from pipeline.schema import Schema, csv_line
from pipeline.scorers import Scorer, scorer_of
from pipeline.spreadsheet import neutral

log = logging.getLogger("reporting")

MARKS = '=+-@\t\r\n,"'  # only a name with one of these may need an apostrophe or quotes
_marked = re.compile(f"[{re.escape(MARKS)}]").search


@dataclass(frozen=True)
class Report:
    """Where the reports of one release lie."""

    release: str
    confusion_matrix: Path
    client_risk: Path
    clients: int


@dataclass(frozen=True)
class Ranking:
    """Clients and their probabilities of leaving, shape (clients,), highest first."""

    clients: list[str]
    risk: np.ndarray


def report(config: Config, matrix_name: str = "confusionmatrix.png") -> Report:
    """Write both reports of the live release; raises `ReleaseError` if none is live."""
    release = live_release(config.prod_deployment_path)
    model = load_release(release, config.schema)
    matrix_path = config.output_model_path / matrix_name
    test = read_folder(config.test_data_path, config.schema)
    write_atomic(matrix_path, _png(draw_confusion_matrix(model, release, test, config.schema)))
    clients = write_ranking(config, release, scorer_of(model, release.model))
    log.info("ranked %s clients by release %s", f"{clients:,}", release.id)
    return Report(release.id, matrix_path, config.clientrisk_path, clients)


def write_ranking(config: Config, release: Release, scorer: Scorer) -> int:
    """Rank the clients of finaldata.csv into clientrisk.csv; returns how many they are."""
    with History(config.history_path) as history:
        frame = read_master(config, history)
    ranking = rank_clients(scorer, frame, config.schema)
    write_atomic(config.clientrisk_path, ranking_text(ranking, config.risk_bands, release))
    return len(ranking.clients)


def rank_clients(scorer: Scorer, frame: pd.DataFrame, schema: Schema) -> Ranking:
    """Rank the clients of a frame by their probability of leaving, highest first.

    Of each client the latest row counts, and only if its outcome is 0 or unknown; clients of equal
    risk stand in order of name.
    """
    latest = ~frame[schema.client].duplicated(keep="last").to_numpy()
    here = frame[latest & (frame[schema.outcome].to_numpy() != 1)]
    risk = scorer.scores(features_of(here, schema)).risk
    clients = here[schema.client].to_numpy(dtype=object)
    order = _highest_first(risk, clients)
    return Ranking(clients[order].tolist(), risk[order])


def _highest_first(risk: np.ndarray, clients: np.ndarray) -> np.ndarray:
    """The places of the rows in order of risk, of equal ones in order of name.

    Names are compared only where risks are equal: to compare them all takes several times as long.
    """
    order = np.argsort(-risk)
    changes = np.concatenate([[True], np.diff(risk[order]) != 0, [True]])
    equal = np.flatnonzero(~(changes[:-1] & changes[1:]))
    order[equal] = sorted(order[equal], key=lambda i: (-risk[i], clients[i]))
    return order


def ranking_text(ranking: Ranking, bands: RiskBands, release: Release) -> str:
    """The ranking as `clientrisk.csv` holds it: canonical CSV, in which no name is a formula."""
    cells, every = ranking.clients, "".join(ranking.clients)
    if any(mark in every for mark in MARKS):
        cells = [csv_line((neutral(name),)) if _marked(name) else name for name in cells]
    risks = ranking.risk.tolist()
    text = "rank,client,risk,band,release\n"
    ends = np.searchsorted(-ranking.risk, [-bands.high, -bands.medium], side="right")
    for first, end in pairwise(sorted({0, *ends.tolist(), len(risks)})):
        # all rows of a band by one template: to put each together takes twice as long
        values: list[object] = [None] * 3 * (end - first)
        values[::3] = range(first + 1, end + 1)
        values[1::3], values[2::3] = cells[first:end], risks[first:end]
        row = f"%d,%s,%.6f,{bands.band(risks[first])},{release.id}\n"
        text += row * (end - first) % tuple(values)
    return text


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


def main(argv: Sequence[str] | None = None) -> int:
    """Run the stage from the command line."""
    return cli.run_alone("reporting", command, cli.stage_parser(__doc__).parse_args(argv))


if __name__ == "__main__":
    raise SystemExit(main())
