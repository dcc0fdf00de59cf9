"""Draw the confusion matrix of the deployed model and write the ranking of clients at risk.

confusionmatrix.png shows the test data; clientrisk.csv holds, for every client who has not left as
far as its latest row tells, the probability of leaving, highest first. Both go to
output_model_path.
"""

import argparse
import io
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from sklearn.metrics import confusion_matrix

from pipeline import cli
from pipeline.config import Config, RiskBands
from pipeline.files import write_atomic
from pipeline.frames import read_folder
from pipeline.history import History
from pipeline.master import read_master
from pipeline.models import Model, load_release, predictions_of, risk_of
from pipeline.releases import Release, live_release
from pipeline.schema import Schema
from pipeline.spreadsheet import neutral
from scoring import score_model

log = logging.getLogger("reporting")


@dataclass(frozen=True)
class Report:
    """Where the reports of one release lie."""

    release: str
    confusion_matrix: Path
    client_risk: Path
    clients: int


def report(config: Config, matrix_name: str = "confusionmatrix.png") -> Report:
    """Write both reports of the live release; raises `ReleaseError` if none is live."""
    release = live_release(config.prod_deployment_path)
    model = load_release(release, config.schema)
    matrix_path = config.output_model_path / matrix_name
    test = read_folder(config.test_data_path, config.schema)
    write_atomic(matrix_path, _png(draw_confusion_matrix(model, release, test, config.schema)))
    with History(config.history_path) as history:
        clients = read_master(config, history)
    ranking = rank_clients(model, clients, config.schema, config.risk_bands)
    ranking["client"] = [neutral(client) for client in ranking["client"]]
    ranking["release"] = release.id
    write_atomic(config.clientrisk_path, ranking.to_csv(index=False, float_format="%.6f"))
    log.info("ranked %s clients by release %s", f"{len(ranking):,}", release.id)
    return Report(release.id, matrix_path, config.clientrisk_path, len(ranking))


def rank_clients(
    model: Model, frame: pd.DataFrame, schema: Schema, bands: RiskBands
) -> pd.DataFrame:
    """Rank the clients of a frame by their probability of leaving, highest first.

    Of each client the latest row counts, and only if its outcome is 0 or unknown. Returns the
    columns `rank` (from 1), `client`, `risk` (0 to 1) and `band`; clients of equal risk stand in
    order of name.
    """
    latest = frame.drop_duplicates(schema.client, keep="last")
    here = latest[latest[schema.outcome] != 1]
    risk = risk_of(model, here)
    ranking = pd.DataFrame({"client": here[schema.client].to_numpy(), "risk": risk})
    ranking = ranking.sort_values(["risk", "client"], ascending=[False, True], ignore_index=True)
    ranking.insert(0, "rank", np.arange(1, len(ranking) + 1))
    ranking["band"] = [bands.band(value) for value in ranking["risk"]]
    return ranking


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
