"""The sections that page, report and PDF share, each made of the history or a release."""

from typing import Any

import numpy as np
import pandas as pd

from pipeline.bootstrap import Interval
from pipeline.config import Config
from pipeline.content import Grid, Section
from pipeline.database import History
from pipeline.driftrecords import Checked
from pipeline.evaluation import SCORE_NAMES, Tested
from pipeline.history import Scores
from pipeline.modelcard import CURVES, KINDS, RULES
from pipeline.modelcharts import model_charts, tested_words
from pipeline.reasons import SEPARATOR
from pipeline.releases import Release
from pipeline.riskcharts import distribution_chart, input_chart
from pipeline.spreadsheet import original
from pipeline.trendbins import deployments_of, missing_samples, score_bins, timing_bins
from pipeline.trendcharts import missing_chart, score_chart, timing_chart
from pipeline.trends import Trends, trends
from pipeline.words import day, minute, percent, release_number, score, seconds

STAGES = ("ingestion", "training")
LAST = 10  # rows of a table of what happened
TOP = 20  # clients
MOST_REFUSED = 20
NOT_FOR = (
    "whom to contact for the effect of it: a high risk does not say that a contact helps;",
    "prices, credit, contracts or other decisions about a client that a law asks reasons for;",
    "why clients leave: the reasons are what moves the model, not what moves clients;",
    "clients unlike those it learned from: the input drift shows them.",
)


def score_section(history: History, scores: Scores | None) -> Section:
    """The score over time, the decisions, and what the live model reached on the test data."""
    found = trends(history, LAST)
    grids = [_checks(found), _deployments(found)]
    return Section(
        key="scores",
        title="Score over time",
        lead="Every batch with known outcomes is first predicted by the live model, then compared"
        " with what came.",
        charts=(score_chart(score_bins(history), deployments_of(history)),),
        grids=(*((_scores(scores, None),) if scores else ()), *grids),
    )


def model_section(tested: Tested, interval: Interval | None) -> Section:
    """How the live model does on the test data; `interval` is that of the F1."""
    return Section(
        key="model",
        title="How good the model is",
        lead=f"On {tested_words(tested)}.",
        charts=model_charts(tested),
        grids=(_scores(tested.scores, interval),),
    )


def top_section(ranking: pd.DataFrame) -> Section:
    """The clients most likely to leave, and why."""
    return Section(
        key="top",
        title=f"The {min(TOP, len(ranking))} clients at the highest risk",
        lead="Reasons are what raises the model's risk most, beside the usual value; they are not"
        " causes, and a high risk does not say that a contact helps.",
        grids=(_top(ranking),),
    )


def risks_section(
    config: Config, ranking: pd.DataFrame, movers: dict[str, Any] | None, threshold: float | None
) -> Section:
    """How many clients are at which risk, and who moved."""
    chart = distribution_chart(ranking["risk"].to_numpy(), config.risk_bands, threshold)
    return Section(
        key="risks",
        title="Risks, and who moved",
        charts=(chart,),
        grids=_moved(movers) if movers else (),
    )


def drift_section(checked: Checked | None) -> Section:
    """What the last drift check found."""
    title = "Drift"
    if checked is None:
        return Section(key="drift", title=title, lead="No batch was checked for drift yet.")
    rows = tuple(
        (f"{one.test}{' (decides)' * (one.test == checked.drift_test)}", one.verdict, one.reason)
        for one in checked.scores
    )
    return Section(
        key="drift",
        title=title,
        lead=f"The last check, {minute(checked.at)} UTC, of release"
        f" {release_number(checked.release)}.",
        charts=(input_chart(checked.input, release_number(checked.release)),)
        if checked.input
        else (),
        grids=(Grid("By score", ("test", "verdict", "why"), rows, widths=(3, 3, 14)),),
    )


def data_section(history: History) -> Section:
    """Missing values, refused files and rows, over time."""
    return Section(
        key="data",
        title="Data quality",
        charts=(missing_chart(missing_samples(history)),),
        grids=(_refused(history), _set_aside(history)),
    )


def runs_section(history: History) -> Section:
    """How long the stages took, and the last runs."""
    bins = {stage: found for stage in STAGES if (found := timing_bins(history, stage))}
    return Section(
        key="runs",
        title="Runs",
        lead="Runs that found nothing new leave no record.",
        charts=(timing_chart(bins),),
        grids=(_runs(history),),
    )


def card_section(release: Release) -> Section:
    """The model card in short."""
    manifest, recipe = release.model, release.model.recipe
    made = "the first one, or by hand" if release.challenge is None else release.challenge.reason
    rows = (
        ("release", f"{release.id}, live since {day(release.deployed_at)}"),
        ("why it went live", made),
        ("model", KINDS.get(recipe.kind, recipe.kind)),
        (
            "learned from",
            f"{manifest.rows:,} rows with a known outcome, {day(manifest.trained_at)}",
        ),
        ("features", ", ".join(manifest.schema.features)),
        ("calibration", CURVES.get(recipe.calibration, recipe.calibration)),
        ("threshold", f"{recipe.threshold:.3g}: {RULES.get(recipe.rule, recipe.rule)}"),
        ("SHA-256 of the model", manifest.sha256),
    )
    return Section(
        key="card",
        title="Model card",
        lead="The whole card is modelcard.md in the release's folder.",
        grids=(Grid("What is live", ("what", "how"), rows, widths=(2, 8), on_paper=len(rows)),),
        notes=("It must not be used for:", *NOT_FOR),
    )


def _scores(scores: Scores, interval: Interval | None) -> Grid:
    told = f"{interval.low:.3f} to {interval.high:.3f}" if interval else ""
    return Grid(
        f"Scores on {scores.rows:,} rows of the test data",
        ("score", "value", "95 % interval") if interval else ("score", "value"),
        tuple(
            (label, score(getattr(scores, key)), *((told * (key == "f1"),) if interval else ()))
            for key, label in SCORE_NAMES.items()
        ),
        numbers=(1, 2),
        beside=True,
    )


def _checks(found: Trends) -> Grid:
    return Grid(
        "The last batches",
        ("when (UTC)", "release", "rows", "outcomes known", "F1", "verdict", "what was done"),
        tuple(
            (
                minute(one.at),
                release_number(one.release),
                *(f"{one.rows:,}", f"{one.labelled:,}"),
                score(one.new_f1) if one.new_f1 is not None else "-",
                one.verdict,
                f"{one.action} {release_number(one.new_release)}"
                if one.new_release
                else one.action,
            )
            for one in reversed(found.checks)
        ),
        numbers=(1, 2, 3, 4),
        widths=(4, 2, 2, 3, 2, 4, 3),
    )


def _deployments(found: Trends) -> Grid:
    return Grid(
        "Releases that went live",
        ("when (UTC)", "release", "F1", "how"),
        tuple(
            (minute(one.at), release_number(one.release), score(one.f1), one.action)
            for one in reversed(found.deployments)
        ),
        numbers=(1, 2),
        widths=(5, 3, 2, 3),
        beside=True,
    )


def _top(ranking: pd.DataFrame) -> Grid:
    valued = "expected_loss" in ranking
    rows = []
    for row in ranking.head(TOP).to_dict(orient="records"):
        loss = row.get("expected_loss", np.nan)
        reasons = "; ".join(original(text) for text in row["reasons"].split(SEPARATOR) if text)
        rows.append(
            (
                f"{row['rank']}",
                row["client"],
                percent(row["risk"]),
                *((("-" if np.isnan(loss) else f"{loss:,.0f}"),) if valued else ()),
                reasons or "-",
            )
        )
    header = ("#", "client", "risk", *(("expected loss",) if valued else ()), "reasons")
    widths = (1, 4, 2, 3, 12) if valued else (1, 4, 2, 12)
    caption = "Highest risk first"
    numbers = (0, 2, 3) if valued else (0, 2)
    return Grid(caption, header, tuple(rows), numbers, widths=widths, on_paper=TOP)


def _moved(movers: dict[str, Any]) -> tuple[Grid, ...]:
    before, now = (release_number(movers[key]) for key in ("release_before", "release"))
    mind = f" (release {before} then, {now} now)" if before != now else ""
    return tuple(
        Grid(
            f"Whose risk {what} most since the ranking before{mind}",
            ("client", "before", "now", "change"),
            tuple(
                (
                    one["client"],
                    percent(one["before"]),
                    percent(one["risk"]),
                    f"{100 * one['change']:+.1f}",
                )
                for one in movers[what][:LAST]
            ),
            numbers=(1, 2, 3),
            empty="Nobody's.",
            widths=(5, 2, 2, 2),
            beside=True,
        )
        for what in ("rose", "fell")
    )


def _refused(history: History) -> Grid:
    rows = tuple(
        (
            one.name,
            minute(one.at),
            f"{one.rows:,}",
            f"{one.set_aside:,}",
            f"rejected: it {one.reason}" if one.reason else "taken in without the bad rows",
        )
        for one in reversed(trends(history, MOST_REFUSED).refused)
    )
    header = ("file", "when (UTC)", "rows", "bad", "what became of it")
    caption = "Rejected files, and files of which rows were set aside"
    return Grid(caption, header, rows, (2, 3), empty="None.", widths=(3, 3, 1, 1, 9))


def _set_aside(history: History) -> Grid:
    rows = history.tuples(
        "SELECT name, line, rejected_rows.reason FROM rejected_rows"
        " JOIN files ON file_id = files.id ORDER BY rejected_rows.rowid DESC LIMIT ?",
        MOST_REFUSED,
    )
    return Grid(
        f"Rows set aside, the last {MOST_REFUSED}",
        ("file", "line", "reason"),
        tuple((name, f"{line:,}", reason) for name, line, reason in rows),
        numbers=(1,),
        empty="None.",
        widths=(3, 1, 6),
        beside=True,
    )


def _runs(history: History) -> Grid:
    rows = history.tuples(
        "SELECT started_at, command, outcome, detail, unixepoch(ended_at) - unixepoch(started_at)"
        " FROM runs ORDER BY id DESC LIMIT ?",
        LAST,
    )
    return Grid(
        "The last runs with work",
        ("begun (UTC)", "command", "outcome", "seconds", "error"),
        tuple(
            (
                minute(at),
                command,
                outcome or "not ended",
                "-" if took is None else seconds(took),
                detail or "",
            )
            for at, command, outcome, detail, took in rows
        ),
        numbers=(3,),
        widths=(3, 2, 2, 1, 5),
        beside=True,
    )
