"""Reports of made-up worlds: a year of history, many clients, names in any letters."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.core.config import Config
from pipeline.models.manifest import SelfCheck
from pipeline.monitoring import metrics
from pipeline.monitoring.bootstrap import score_intervals
from pipeline.monitoring.decisions import FeatureDrift, ScoreDrift
from pipeline.ranking.movers import Movers
from pipeline.ranking.ranking_file import COLUMNS
from pipeline.registry.releases import Release, live_release
from pipeline.reporting.document import ReportContent
from pipeline.reporting.overview import RunResults, drift_section, report_content
from pipeline.storage.database import History
from pipeline.storage.records import Checked

MADE_AT = "2026-11-22 09:00"


def moments(count: int) -> list[str]:
    """So many moments of the last year, oldest first."""
    start = datetime.now(UTC) - timedelta(days=364)
    step = timedelta(days=364) / count
    return [f"{start + i * step:%Y-%m-%dT%H:%M:%S.000Z}" for i in range(count)]


def a_year(history: History, columns: tuple[str, ...], count: int) -> None:
    """Record a year in which every tick had work."""
    lot = np.random.default_rng(0)
    f1 = lot.normal(0.8, 0.05, count).clip(0, 1).tolist()
    times = moments(count)
    with history.transaction():
        history.many(
            "INSERT INTO decisions (at, files, rows, labelled, release, new_f1, verdict, action,"
            " reason) VALUES (?, '[]', 60, 60, '000001-x', ?, ?, 'kept', '')",
            ((at, f, "drift" if f < 0.7 else "no drift") for at, f in zip(times, f1, strict=True)),
        )
        history.many(
            "INSERT INTO timings (at, stage, seconds, rows) VALUES (?, 'training', ?, 60)",
            ((at, 0.1 + f) for at, f in zip(times[::10], f1, strict=False)),
        )
        history.many(
            "INSERT INTO missing (at, position, column_name, percent) VALUES (?, ?, ?, ?)",
            ((at, i, name, i / 10) for at in times[::100] for i, name in enumerate(columns)),
        )


def ranking_of(names: list[str], reasons: str = "number of employees 3, usual 41") -> pd.DataFrame:
    """A ranking of these clients, the first at the highest risk."""
    risk = np.linspace(0.99, 0.01, len(names))
    return pd.DataFrame(
        {
            "rank": range(1, len(names) + 1),
            "client": names,
            "risk": risk,
            "band": "high",
            "release": "000001-x",
            "contact": ["yes" if r >= 0.5 else "no" for r in risk],
            "reasons": reasons,
        }
    )[list(COLUMNS)]


def many_judged(rows: int = 2000) -> metrics.Tested:
    """A model that is right more often than not, on so many rows."""
    lot = np.random.default_rng(1)
    risk = lot.random(rows)
    outcomes = (lot.random(rows) < risk).astype("int64")
    clients = np.array([f"client{i}" for i in range(rows)], dtype=object)
    return metrics.Tested(outcomes, (risk >= 0.5).astype("int64"), clients, risk=risk)


def evaluation_of(tested: metrics.Tested) -> metrics.Evaluation:
    """The evaluation of predictions, without segments."""
    bins = metrics.calibration_bins(tested.outcomes, tested.risk)
    return metrics.Evaluation(
        tested=tested,
        scores=tested.scores,
        intervals=score_intervals(tested, tested.risk, seed=1),
        bins=bins,
        calibration_error=metrics.calibration_error(bins),
        lift=metrics.top_lift(tested.outcomes, tested.risk),
        segments=(),
    )


def checked_features(count: int) -> Checked:
    """A drift check of a table of so many features."""
    found = tuple(
        FeatureDrift(
            *(f"quite_a_long_feature_name_{i}", "number", 500, "ks", 0.01, 0.02),
            psi=0.01 * i,
            psi_limit=0.2,
            p_value=0.01,
            verdict="drift" if i > 20 else "no drift",
        )
        for i in range(count)
    )
    verdicts = (ScoreDrift("raw", "drift", "F1 on the new rows is 0.1, lower than 0.9", {}),)
    return Checked("2026-11-22T08:00:00Z", "000001-x", "raw", verdicts, found)


def content_of(
    config: Config,
    ranking: pd.DataFrame,
    tested: metrics.Tested,
    *,
    release: Release | None = None,
    features: int = 0,
) -> ReportContent:
    """What the report tells of the live release with another ranking, model and drift check."""
    live = release or live_release(config.prod_deployment_path)
    results = RunResults(live, evaluation_of(tested), ranking, Movers(None, live.id))
    with History(config.history_path) as history:
        content = report_content(config, history, results)
    if not features:
        return replace(content, made_at=MADE_AT)
    drift = drift_section(checked_features(features))
    sections = tuple(drift if one.key == "drift" else one for one in content.sections)
    return replace(content, made_at=MADE_AT, sections=sections)


def with_features(release: Release, count: int) -> Release:
    """A release of a table with so many features."""
    names = tuple(f"quite_a_long_feature_name_{i}" for i in range(count))
    schema = replace(release.model.schema, numeric=names)
    check = SelfCheck(((None,) * count,), (0.5,))
    manifest = replace(release.model, schema=schema, self_check=check, usual=())
    return replace(release, model=manifest)


def set_aside(path: Path) -> list[str]:
    """The files below a folder."""
    return sorted(str(one.relative_to(path)) for one in path.rglob("*") if one.is_file())
