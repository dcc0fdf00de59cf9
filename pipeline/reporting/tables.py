"""The tables that page, report, PDF and terminal share."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

import pandas as pd

from pipeline.core.formatting import (
    format_amount,
    format_minute,
    format_percent,
    format_release_number,
    format_score,
    format_significant,
)
from pipeline.monitoring.bootstrap import Interval
from pipeline.monitoring.decisions import (
    EXPECTED_SCORES,
    SCORE_NAMES,
    ChallengeOutcome,
    FeatureDrift,
    News,
    Scores,
)
from pipeline.monitoring.metrics import CalibrationBin
from pipeline.monitoring.packages import UNKNOWN, Package
from pipeline.ranking.explanations import reasons_of
from pipeline.ranking.movers import Movers
from pipeline.ranking.ranking_file import has_losses
from pipeline.reporting.document import Grid, grid_lines
from pipeline.storage import trends
from pipeline.storage.database import History
from pipeline.storage.held_files import HELD
from pipeline.storage.records import Checked, Compared

MAX_EVENTS = 10  # rows of a table of what happened
MAX_REFUSED = 20  # files or rows
MAX_MOVERS = 10  # that rose, and as many that fell
TOP_CLIENTS = 20
ENDINGS = {
    ChallengeOutcome.WON: "the challenger went live",
    ChallengeOutcome.LOST: "the live model stayed",
    ChallengeOutcome.HELD: "the challenger waits to be promoted",
}


def trend_lines(found: trends.Trends) -> list[str]:
    """Every kind of trend as a table for a terminal, the latest first."""
    grids = (
        checks_grid(found.checks),
        deployments_grid(found.deployments),
        missing_grid(found.missing),
        timings_grid(found.timings),
        refused_grid(found.refused),
    )
    return [line for grid in grids for line in ("", *grid_lines(grid))][1:]


def drift_lines(checked: Checked) -> list[str]:
    """What the last drift check found, by score, then by input, for a terminal."""
    title = f"last drift check, {format_minute(checked.at)} UTC, of release {checked.release}"
    lines = [title, *grid_lines(verdicts_grid(checked))]
    return [*lines, "", *grid_lines(input_grid(checked.input))] if checked.input else lines


def score_grid(scores: Scores, intervals: Mapping[str, Interval | None] | None) -> Grid:
    """What a model reached on the test data; `intervals` by the name of the score, if measured."""
    rows = []
    for key, label in SCORE_NAMES.items():
        found = (intervals or {}).get(key)
        interval = f"{found.low:.3f} to {found.high:.3f}" if found else ""
        rows.append((label, format_score(getattr(scores, key)), interval))
    shown = 3 if intervals else 2
    return Grid(
        f"Scores on {scores.rows:,} rows of the test data",
        ("score", "value", "95 % interval")[:shown],
        tuple(row[:shown] for row in rows),
        narrow=True,
    )


def calibration_grid(bins: Sequence[CalibrationBin]) -> Grid:
    """Whether of those at a risk of 30 % some 30 % leave."""
    return Grid(
        "Calibration on the test data",
        ("clients", "predicted to leave", "left"),
        tuple((f"{p.rows:,}", format_percent(p.risk), format_percent(p.left)) for p in bins),
    )


def checks_grid(checks: Sequence[trends.Check]) -> Grid:
    """The last batches that were judged, the latest first."""
    rows = []
    for one in reversed(checks):
        release = f" {format_release_number(one.new_release)}" if one.new_release else ""
        rows.append(
            (
                *(format_minute(one.at), format_release_number(one.release)),
                *(f"{one.rows:,}", f"{one.labelled:,}"),
                *(format_number(one.deployed_f1), format_number(one.new_f1)),
                *(f"{one.drifted}", one.verdict, f"{one.action}{release}"),
            )
        )
    header = (
        *("when (UTC)", "release", "rows", "outcomes known", "deployed F1", "F1"),
        *("drifted features", "verdict", "action"),
    )
    return Grid("The last batches", header, tuple(rows))


def expected_grid(expected: Sequence[trends.ExpectedScores]) -> Grid:
    """The scores to expect of the last batches beside the true ones, the latest first."""
    rows = []
    for one in reversed(expected):
        of = "outcomes known" if one.labelled else "all"
        about = format_minute(one.at), format_release_number(one.release), of, f"{one.rows:,}"
        rows.append((*about, *(cell for name in EXPECTED_SCORES for cell in _expected(one, name))))
    header = ["when (UTC)", "release", "of", "rows"]
    header += [cell for name in EXPECTED_SCORES for cell in (SCORE_NAMES[name], "true")]
    caption = "Expected scores, with 95 % intervals, and true ones"
    return Grid(caption, tuple(header), tuple(rows))


def _expected(one: trends.ExpectedScores, name: str) -> tuple[str, str]:
    """A score as it was expected, and the true one, marked where it is outside the interval."""
    value, low, high = (getattr(one, f"{name}{bound}") for bound in ("", "_low", "_high"))
    true = getattr(one, f"true_{name}")
    if value is None:
        return "-", format_number(true)
    where = "" if true is None else " below" * (true < low) or " above" * (true > high)
    return f"{value:.3f} ({low:.3f} to {high:.3f})", f"{format_number(true)}{where}"


def deployments_grid(deployments: Sequence[trends.Deployment]) -> Grid:
    """The last releases that went live, the latest first."""
    rows = tuple(
        (
            *(format_minute(one.at), format_release_number(one.release)),
            *(format_score(one.f1), one.action),
        )
        for one in reversed(deployments)
    )
    header = ("when (UTC)", "release", "F1", "how")
    return Grid("Releases that went live", header, rows, narrow=True)


def verdicts_grid(checked: Checked) -> Grid:
    """The verdict of each drift test of a check."""
    rows = tuple(
        (f"{one.test}{' (decides)' * (one.test == checked.drift_test)}", one.verdict, one.reason)
        for one in checked.scores
    )
    return Grid("By score", ("test", "verdict", "why"), rows, narrow=True)


def compared_grid(found: Compared) -> Grid:
    """The live model and the challenger side by side, as they were compared last."""
    numbers = found.compared
    bounds = found.difference_low, found.difference_high
    compared = {"F1": (found.champion_f1, found.challenger_f1, *bounds)}
    for name, title in (("auc", "ROC AUC"), ("log_loss", "relative log loss")):
        if name in numbers:
            low, high = numbers[f"{name}_low"], numbers[f"{name}_high"]
            compared[title] = numbers[f"{name}_before"], numbers[name], low, high
    return Grid(
        f"The last challenge, {format_minute(found.at)} UTC: {ENDINGS[found.challenge]}",
        ("score", "live model", "challenger", "95 % interval of the difference"),
        tuple(
            (title, format_score(live), format_score(new), f"{low:+.3f} to {high:+.3f}")
            for title, (live, new, low, high) in compared.items()
        ),
        narrow=True,
    )


def input_grid(found: Sequence[FeatureDrift]) -> Grid:
    """Each feature of a batch compared with the training data."""
    return Grid(
        "By input",
        ("feature", "PSI", "limit", "p", "missing", "before", "unseen", "verdict", "news"),
        tuple(
            (
                *(one.name, format_number(one.psi), format_number(one.psi_limit)),
                format_number(one.p_value, ".2g"),
                *map(format_percent, (one.missing, one.missing_before, one.unseen)),
                *(one.verdict, _news(one)),
            )
            for one in found
        ),
    )


def _news(one: FeatureDrift) -> str:
    """Whether a feature that has drifted is told, and why."""
    risk = f"mean risk {format_number(one.effect and 100 * one.effect, '+.0f')} %"
    match one.news:
        case News.TOLD:
            return f"told: new, {risk}"
        case News.SLIGHT:
            return f"new, {risk}"
        case News.KNOWN:
            return "as in recent batches"
    return "-"


def format_number(value: float | None, form: str = ".3f") -> str:
    """A number in a form such as `.3f`, or a dash where there is none."""
    return "-" if value is None else format(value, form)


def missing_grid(samples: Sequence[trends.Missing]) -> Grid:
    """Percent missing of each column, at the first and the last moment, and at most."""
    ends = [format_minute(one.at) for one in (*samples[:1], *samples[-1:])]
    span = f", {' to '.join(ends)}" if ends else ""
    rows = []
    for name in samples[-1].percent if samples else ():
        values = [one.percent.get(name) for one in samples]
        highest = max(value for value in values if value is not None)
        shown = (values[0], values[-1], highest)
        rows.append((name, *(format_number(value, ".2f") for value in shown)))
    header = ("column", "first", "last", "highest")
    return Grid(f"Missing data, percent{span}", header, tuple(rows))


def timings_grid(timings: Sequence[trends.Timing]) -> Grid:
    """How long stages took, the latest first."""
    rows = tuple(
        (format_minute(one.at), one.stage, f"{one.seconds:.3f}", f"{one.rows:,}")
        for one in reversed(timings)
    )
    return Grid("Timings", ("when (UTC)", "stage", "seconds", "rows"), rows)


def files_grid(history: History) -> Grid:
    """The last files that were looked at, as they are now, the latest first."""
    rows = history.tuples(
        "SELECT name, recorded_at, rows, CASE WHEN status = 'rejected' THEN 'rejected'"
        f" WHEN {HELD} THEN 'held back' WHEN judged_at IS NULL THEN 'waits for the next run'"
        " ELSE 'ingested' END FROM files WHERE current = 1 ORDER BY id DESC LIMIT ?",
        MAX_EVENTS,
    )
    texts = tuple((name, format_minute(at), f"{count:,}", now) for name, at, count, now in rows)
    return Grid("The last files", ("file", "when (UTC)", "rows", "now"), texts, narrow=True)


def alerts_grid(history: History) -> Grid:
    """The last alerts, the latest first, and to how many of their targets they went."""
    rows = history.tuples(
        "SELECT at, event, title, count(sent_at), count(target) FROM"
        " (SELECT * FROM alerts ORDER BY id DESC LIMIT ?) AS last"
        " LEFT JOIN deliveries ON alert_id = id GROUP BY id, at, event, title ORDER BY id DESC",
        MAX_EVENTS,
    )
    texts = tuple(
        (format_minute(at), event.replace("_", " "), title, f"{sent:,} of {targets:,}")
        for at, event, title, sent, targets in rows
    )
    return Grid("The last alerts", ("when (UTC)", "event", "alert", "sent to"), texts)


def packages_grid(packages: Sequence[Package]) -> Grid:
    """The packages that this stands on, as recorded last."""
    old = sum(one.latest not in (one.installed, UNKNOWN) for one in packages)
    rows = tuple((one.package, one.installed, one.latest) for one in packages)
    caption = f"The packages, {old:,} of {len(rows):,} with a newer version"
    if all(one.latest == UNKNOWN for one in packages):
        caption = "The packages; `diagnostics.py` asks which have a newer version"
    return Grid(caption, ("package", "installed", "latest"), rows, folded=True)


def refused_grid(refused: Sequence[trends.Refused]) -> Grid:
    """The last files that were rejected, or of which rows were set aside, the latest first."""
    rows = tuple(
        (
            *(one.name, format_minute(one.at), f"{one.rows:,}", f"{one.set_aside:,}"),
            f"rejected: it {one.reason}" if one.reason else "ingested without the bad rows",
        )
        for one in reversed(refused)
    )
    caption = "Rejected files, and files of which rows were set aside"
    return Grid(caption, ("file", "when (UTC)", "rows", "bad rows", "result"), rows, "None.")


def set_aside_grid(history: History) -> Grid:
    """The last rows that were set aside, and why."""
    rows = history.tuples(
        "SELECT name, line, rejected_rows.reason FROM rejected_rows"
        " JOIN files ON file_id = files.id ORDER BY rejected_rows.rowid DESC LIMIT ?",
        MAX_REFUSED,
    )
    texts = tuple((name, f"{line:,}", reason) for name, line, reason in rows)
    caption = f"Rows set aside, the last {MAX_REFUSED}"
    return Grid(caption, ("file", "line", "reason"), texts, "None.", narrow=True)


def runs_grid(history: History) -> Grid:
    """The last runs with work."""
    rows = []
    for at, command, outcome, detail, ended in history.tuples(
        "SELECT started_at, command, outcome, detail, ended_at FROM runs ORDER BY id DESC LIMIT ?",
        MAX_EVENTS,
    ):
        seconds = "-"
        if ended:
            span = datetime.fromisoformat(ended) - datetime.fromisoformat(at)
            seconds = format_significant(span.total_seconds())
        rows.append((format_minute(at), command, outcome or "not ended", seconds, detail or ""))
    header = ("started (UTC)", "command", "outcome", "seconds", "error")
    return Grid("The last runs with work", header, tuple(rows))


def top_grid(ranking: pd.DataFrame) -> Grid:
    """The clients at the highest risk, and why."""
    valued = has_losses(ranking)
    rows = []
    for row in ranking.head(TOP_CLIENTS).to_dict(orient="records"):
        loss = row.get("expected_loss")
        losses = ("-" if pd.isna(loss) else format_amount(loss),) if valued else ()
        reasons = "; ".join(reasons_of(row["reasons"])) or "-"
        rows.append(
            (str(row["rank"]), row["client"], format_percent(row["risk"]), *losses, reasons)
        )
    header = ("#", "client", "risk", *["expected loss"] * valued, "reasons")
    return Grid("Highest risk first", header, tuple(rows))


def mover_grids(movers: Movers) -> Iterable[Grid]:
    """Whose risk rose most, and whose fell most, in whole percents."""
    before, now = map(format_release_number, (movers.release_before, movers.release))
    note = f" (release {before} then, {now} now)" if before not in (now, "-") else ""
    for what, moved in (("increases", movers.rose), ("decreases", movers.fell)):
        rows = tuple(
            (
                *(one.client, format_percent(one.before, 0), format_percent(one.risk, 0)),
                f"{100 * one.change:+.0f}",
            )
            for one in moved[:MAX_MOVERS]
        )
        caption = f"Largest {what} since the previous ranking{note}"
        yield Grid(caption, ("client", "before", "now", "change"), rows, "none", narrow=True)
