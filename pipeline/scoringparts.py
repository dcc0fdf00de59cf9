"""Scoring by parts: tasks over the files of test data, a small summary from each, all scores.

The scores are those of `evaluation.score_predictions`: F1, accuracy, precision and recall to the
last bit, log loss and Brier score up to the order of a sum; ROC AUC and average precision as
`RiskTable` has them, which says when they are no longer exact.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor, fsum, log10
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from pipeline.config import Config
from pipeline.engine import Engine
from pipeline.evaluation import tested_on
from pipeline.frames import open_table, table_batches, tables_in
from pipeline.history import Scores
from pipeline.inbox import FoundFile
from pipeline.models import Model
from pipeline.risktable import BINS, RiskTable
from pipeline.schema import Schema

log = logging.getLogger(__name__)

BATCH = 2 << 20  # characters of rows that a worker asks the model about at a time
TASKS = 4  # for each worker: few, for each brings up to 1.5 MB of risks
CERTAIN = np.finfo("float64").eps  # a risk is taken no closer to 0 or 1, or its loss is infinite


class ScoringTask(NamedTuple):
    """Files of test data, and the model to ask."""

    paths: tuple[Path, ...]
    schema: Schema
    model: Model


@dataclass(frozen=True, eq=False)
class Summary:
    """All that scores need of labelled rows: `counts` by actual and predicted outcome, (2, 2)."""

    counts: np.ndarray
    log_loss: float  # the sum
    squares: float  # the sum of those of the errors of the risk
    risks: RiskTable


def scores_by_parts(config: Config, engine: Engine, model: Model) -> Scores | None:
    """The scores of a model on the test data; None if no row has a known outcome.

    Raises `DataError` as `frames.read_folder` does.
    """
    groups = _groups(tables_in(config.test_data_path), TASKS * engine.workers)
    tasks = [ScoringTask(paths, config.schema, model) for paths in groups]
    summary = merged(engine.map(summary_of_files, tasks))
    if error := summary.risks.auc_error():
        log.info(
            "ROC AUC is within %.2g: there are more than %s different risks, told apart in bins of"
            " equal width",
            *(_rounded_up(error), f"{BINS:,}"),
        )
    return scores_of(summary)


def _rounded_up(error: float) -> float:
    """A bound to two digits, which still is one."""
    unit = 10.0 ** (floor(log10(error)) - 1)
    return ceil(error / unit) * unit


def _groups(files: Sequence[FoundFile], most: int) -> list[tuple[Path, ...]]:
    """The files in order, in no more than so many groups of about the same size.

    Not each alone: what many small files say of risks would be larger than the files.
    """
    size = sum(file.size for file in files) + 1
    groups: dict[int, list[Path]] = {}
    before = 0
    for file in files:
        groups.setdefault(before * most // size, []).append(file.path)
        before += file.size
    return [tuple(paths) for paths in groups.values()]


def summary_of_files(task: ScoringTask) -> Summary:
    """Check files, ask the model about their labelled rows, a batch at a time, and sum up."""
    summary = merged([])
    for path in task.paths:
        with open_table(path) as stream:
            for batch in table_batches(stream, task.schema, str(path), BATCH):
                summary = merged([summary, _summary(task, batch)])
    return summary


def _summary(task: ScoringTask, batch: pd.DataFrame) -> Summary:
    tested = tested_on(task.model, batch, task.schema)
    left = tested.outcomes == 1
    # what the model gave to the outcome that came
    given = np.clip(np.where(left, tested.risk, 1 - tested.risk), CERTAIN, 1 - CERTAIN)
    return Summary(
        counts=tested.counts if len(left) else np.zeros((2, 2), "int64"),
        log_loss=float(-np.log(given).sum()),
        squares=float(np.square(tested.risk - tested.outcomes).sum()),
        risks=RiskTable.of(tested.outcomes, tested.risk),
    )


def merged(summaries: Sequence[Summary]) -> Summary:
    """The summary of the rows of all."""
    return Summary(
        counts=sum((one.counts for one in summaries), np.zeros((2, 2), "int64")),
        log_loss=fsum(one.log_loss for one in summaries),
        squares=fsum(one.squares for one in summaries),
        risks=RiskTable.merged([one.risks for one in summaries]),
    )


def scores_of(summary: Summary) -> Scores | None:
    """The scores of summed-up rows; None if there is none."""
    rows = int(summary.counts.sum())
    if not rows:
        return None
    (kept, false_alarms), (missed, found) = summary.counts.tolist()
    return Scores(
        rows=rows,
        f1=_share(2 * found, 2 * found + missed + false_alarms),
        accuracy=(kept + found) / rows,
        precision=_share(found, found + false_alarms),
        recall=_share(found, found + missed),
        roc_auc=summary.risks.roc_auc(),
        average_precision=summary.risks.average_precision(),
        log_loss=summary.log_loss / rows,
        brier=summary.squares / rows,
    )


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
